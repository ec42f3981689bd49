//! The programs that test mounts, on a directory of this machine: it is coherent, so they must pass; and when threads are made
//! to break their order, they must notice.

use std::path::PathBuf;
use std::process::{Command, Output};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        // Always a tmpfs, which wants no alignment of O_DIRECT.
        let path = PathBuf::from("/dev/shm").join(format!("scifs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).arg("--dirs").args([&self.0, &self.0]).args(arguments).output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn one_machine_shows_nothing_that_x86_forbids() {
    let folder = Folder::new("litmus");
    for test in ["=MP", "=SB+mfences", "=IRIW", "=WRC+write0", "=2+2W", "=CoRR2", "=inc4", "=halves-word"] {
        let output = folder.run(env!("CARGO_BIN_EXE_litmus"), &["--only", test, "--iterations", "400"]);
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn threads_that_break_their_order_are_noticed() {
    let folder = Folder::new("sabotage");
    for test in ["=MP", "=SB+mfences", "=LB", "=S", "=2+2W", "=CoRR", "=MP+writes+preads", "=halves-word"] {
        let arguments = ["--sabotage", "--only", test, "--iterations", "2000"];
        let output = folder.run(env!("CARGO_BIN_EXE_litmus"), &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("forbidden: "), "{}", text(&output));
    }
}

#[test]
fn random_steps_and_hammers_pass_on_one_machine() {
    let folder = Folder::new("steps");
    let output = folder.run(env!("CARGO_BIN_EXE_fsxr"), &["--seeds", "4", "--ops", "400"]);
    assert!(output.status.success(), "{}", text(&output));
    let output =
        folder.run(env!("CARGO_BIN_EXE_hammer"), &["--milliseconds", "200", "--only", "s", "--kills", "40"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "something was left behind");
}
