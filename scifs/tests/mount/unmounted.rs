//! Mounts that are taken away while they are in use.

use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use crate::program::{Answer, PATIENCE, Program, SIGBUS};
use crate::support::Cluster;

/// A program on node 1 that has stored into its mapping of a file whose home is node 0.
fn busy(cluster: &Cluster) -> Program {
    let mut first = cluster.program(0);
    first.open("file");
    first.get("pwrite file 9 9");
    let mut program = cluster.program(1);
    program.open("file");
    program.get("cut file 65536");
    program.get("map file 16");
    program.get("store file 3 33");
    program
}

fn wait_for_end(cluster: &mut Cluster, node: usize) {
    let deadline = Instant::now() + PATIENCE;
    while cluster.runs(node) {
        assert!(Instant::now() < deadline, "the daemon runs on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Also with the file that was in use there.
fn the_other_goes_on(cluster: &Cluster) {
    let mut other = cluster.program(0);
    other.open("file");
    assert_eq!(other.get("pread file 9"), "9");
    other.get("pwrite file 9 34");
    other.get("flock file exclusive try");
}

#[test]
fn a_mount_taken_away_by_its_daemon_ends_programs_that_have_it_mapped_by_sigbus() {
    let mut cluster = Cluster::new(2);
    let mut program = busy(&cluster);
    let mut reader = busy(&cluster);
    // As `scifs dev down` and `systemctl stop` do.
    cluster.signal(1, Signal::TERM);
    wait_for_end(&mut cluster, 1);
    assert!(!matches!(reader.ask("pread file 3"), Answer::Ok(_) | Answer::Nothing));
    assert_eq!(program.ask("store file 5 5"), SIGBUS);
    the_other_goes_on(&cluster);
}

#[test]
fn a_lazy_unmount_lets_programs_finish_and_ends_the_daemon_with_the_last() {
    let mut cluster = Cluster::new(2);
    let mut program = busy(&cluster);
    unmount(cluster.mountpoint(1), UnmountFlags::DETACH).unwrap();
    assert_eq!(program.get("load file 3"), "33");
    program.get("store file 3 44");
    assert_eq!(program.get("pread file 3"), "44");
    assert!(cluster.runs(1), "a program uses it");
    assert!(program.kill());
    wait_for_end(&mut cluster, 1);
    the_other_goes_on(&cluster);
}

#[test]
fn a_forced_unmount_ends_the_daemon_and_its_programs_by_sigbus() {
    let mut cluster = Cluster::new(2);
    let mut program = busy(&cluster);
    unmount(cluster.mountpoint(1), UnmountFlags::FORCE | UnmountFlags::DETACH).unwrap();
    wait_for_end(&mut cluster, 1);
    assert_eq!(program.ask("store file 5 5"), SIGBUS);
    the_other_goes_on(&cluster);
}
