//! The comparisons of mounts and of shared memory, with a folder in the place of SciFS: what they measure on the real floor, and that
//! nothing stays behind, however they end.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// For what takes a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Two paths to one folder, which is as coherent as it can be.
const STAND_IN: &str = r#"#!/bin/sh
case "$1 $2" in
"dev up") mkdir "$5/n1" && ln -s n1 "$5/n2" ;;
"dev down") rm -r "$3/n1" "$3/n2" ;;
*) exit 1 ;;
esac
"#;

/// Where the parts make their folders, and the stand-in beside it.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("scifs-{}-{test}", std::process::id()));
        std::fs::create_dir_all(folder.join("parts")).unwrap();
        let place = Self { folder };
        std::fs::write(place.scifs(), STAND_IN).unwrap();
        std::fs::set_permissions(place.scifs(), PermissionsExt::from_mode(0o755)).unwrap();
        place
    }

    fn scifs(&self) -> PathBuf {
        self.folder.join("scifs")
    }

    fn bench(&self, arguments: &[&str]) -> Command {
        self.compare("mount", arguments)
    }

    fn compare(&self, what: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scifs-bench"));
        command.args([what, "--effort=1", "--scifs"]).arg(self.scifs()).args(arguments);
        command.env("TMPDIR", self.folder.join("parts")).stdin(Stdio::null());
        command
    }

    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join("parts")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.left()) {
            assert!(Instant::now() < deadline, "not {what}: {:?}", self.left());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts a comparison that takes for ever, and waits until it is in the middle.
    fn started(&self) -> Child {
        let mut command = self.bench(&["--rounds=1000"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.wait_until("mounted", |left| left.iter().any(|name| name.ends_with("floor-2")));
        child
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Fails when something is still mounted, and must not remove what is below it.
        if is_mounted_below(&self.folder) {
            eprintln!("mounts are left below {}", self.folder.display());
            return;
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_mounted_below(folder: &Path) -> bool {
    std::fs::read_to_string("/proc/self/mounts").unwrap().contains(folder.to_str().unwrap())
}

fn end_of(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_workload_is_measured_beside_the_floor_and_its_references() {
    let place = Place::new("all");
    let output = place.bench(&["--rounds=2", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = report["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 13);
    for line in lines {
        for who in ["floor", "scifs"] {
            assert!(line[who]["median"].as_f64().unwrap() > 0.0, "{line}");
        }
        for reference in line["references"].as_array().unwrap() {
            assert!(reference[1]["median"].as_f64().unwrap() > 0.0, "{line}");
        }
        assert_eq!(line["target"].is_null(), line["references"].as_array().unwrap().is_empty());
    }
    assert_eq!(place.left(), [""; 0]);
    assert!(!is_mounted_below(&place.folder));
}

#[test]
fn a_comparison_that_is_interrupted_says_so_and_leaves_nothing() {
    let place = Place::new("interrupted");
    let mut child = place.started();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(!end_of(&mut child).success());
    assert_eq!(place.left(), [""; 0]);
    assert!(!is_mounted_below(&place.folder));
}

#[test]
fn the_parts_of_a_comparison_that_is_killed_clean_up_by_themselves() {
    let place = Place::new("killed");
    let mut child = place.started();
    child.kill().unwrap();
    end_of(&mut child);
    place.wait_until("cleaned up", <[String]>::is_empty);
    assert!(!is_mounted_below(&place.folder));
}

#[test]
fn a_cluster_that_does_not_come_up_is_an_error_with_its_reason() {
    let place = Place::new("refused");
    std::fs::write(place.scifs(), "#!/bin/sh\necho 'no cluster today' >&2\nexit 32\n").unwrap();
    let output = place.bench(&[]).output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("no cluster today"), "{}", said(&output));
    assert_eq!(place.left(), [""; 0]);
}

/// Two processes take pages of the floor from each other before the folder is asked for what it can't give.
#[test]
fn memory_that_is_not_on_the_fast_path_is_not_measured() {
    let place = Place::new("slow");
    let output = place.compare("vm", &["--rounds=1", "--only=exclusive migration"]).output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("is not on a SciFS mount"), "{}", said(&output));
    assert!(!said(&output).contains("floor"), "{}", said(&output));
    assert_eq!(place.left(), [""; 0]);
}
