//! `scifs dev`: clusters on this machine, from beginning to end.

use rustix::process::Signal;

use crate::support::{Place, is_mounted, runs, signal};

#[test]
fn dev_up_gives_a_cluster_and_dev_down_leaves_nothing() {
    let place = Place::new("dev");
    let folder = place.path("cluster");
    let printed = place.ok(&["dev", "up", "--nodes", "3", &folder, "-o", "memory=64M"]);
    let points: Vec<_> = printed.lines().collect();
    assert_eq!(points, ["n1", "n2", "n3"].map(|name| format!("{folder}/{name}")));
    for point in &points {
        assert!(is_mounted(point));
        assert_eq!(place.members(point), 3, "all are members when it returns");
        assert_eq!(place.status(point)["memory"]["budget_bytes"], 64 << 20);
    }
    let again = place.scifs(&["dev", "up", &folder]);
    assert_eq!(again.status.code(), Some(1), "{}", String::from_utf8_lossy(&again.stderr));
    place.ok(&["dev", "down", &folder]);
    assert!(!place.folder.join("cluster").exists());
    assert_eq!(std::fs::read_dir(place.runtime()).unwrap().count(), 0);
}

#[test]
fn dev_down_works_after_nodes_were_killed_stopped_or_unmounted() {
    let place = Place::new("dev-crash");
    let folder = place.point("cluster");
    place.ok(&["dev", "up", "--nodes", "4", &folder, "-o", "memory=64M,failure_timeout_ms=500"]);
    let pid = |name: &str| {
        let status = place.status(&format!("{folder}/{name}"));
        u32::try_from(status["pid"].as_u64().unwrap()).unwrap()
    };
    let (killed, stopped) = (pid("n2"), pid("n3"));
    place.ok(&["umount", &format!("{folder}/n4")]);
    signal(killed, Signal::KILL);
    signal(stopped, Signal::STOP);
    place.ok(&["dev", "down", &folder]);
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}: the folder itself was there before, so it stays");
    assert!(!runs(stopped));
    place.ok(&["dev", "up", "--nodes", "1", &folder, "-o", "memory=64M"]);
    place.ok(&["dev", "down", &folder]);
}

#[test]
fn dev_up_that_fails_takes_everything_back() {
    let place = Place::new("dev-fails");
    let folder = place.path("cluster");
    for (options, exit, words) in
        [("fabrik=tcp", 1, "did you mean fabric?"), ("metrics=192.0.2.1:1", 2, "192.0.2.1:1")]
    {
        let output = place.scifs(&["dev", "up", "--nodes", "2", &folder, "-o", options]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{said}");
        assert!(said.contains(words) && said.contains("n1"), "{said}");
        assert!(!place.folder.join("cluster").exists());
        assert_eq!(std::fs::read_dir(place.runtime()).unwrap().count(), 0);
    }
}
