//! What the program says about itself: manual page and completions.

use std::process::{Command, Stdio};

use crate::support::{Place, succeeded};

#[test]
fn the_manual_page_is_one_that_man_can_show() {
    let place = Place::new("manual");
    let path = place.path("scifs.8");
    std::fs::write(&path, place.ok(&["manual"])).unwrap();
    let mut man = Command::new("man");
    let output = man.args(["--warnings", "-l", &path]).env("MANWIDTH", "100").stdin(Stdio::null()).output();
    // Not every machine has man(1); what it would complain about is looked for all the same.
    let page = match output {
        Ok(output) => {
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            succeeded(&output, "man")
        }
        Err(_) => std::fs::read_to_string(&path).unwrap().replace("\\-", "-"),
    };
    for words in ["dev up", "umount", "memory=SIZE", "EXIT STATUS", "user.scifs.address"] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn there_are_completions_for_the_usual_shells() {
    let place = Place::new("completions");
    for shell in ["bash", "zsh", "fish"] {
        let text = place.ok(&["completions", shell]);
        assert!(text.contains("umount") && text.contains("scifs"), "{shell}");
    }
    assert_eq!(place.scifs(&["completions", "csh"]).status.code(), Some(1));
    let bash = place.path("bash");
    std::fs::write(&bash, place.ok(&["completions", "bash"])).unwrap();
    succeeded(&Command::new("bash").args(["-n", &bash]).output().unwrap(), "bash -n");
}
