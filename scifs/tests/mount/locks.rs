//! Locks between nodes, as programs get them by fcntl(2) and flock(2).

use std::time::Duration;

use rustix::process::Signal;

use crate::program::{Answer, EAGAIN, EDEADLK, EINTR, PATIENCE, Program, value};
use crate::support::Cluster;

/// A program on each node with the file open.
fn programs(cluster: &Cluster, nodes: &[usize], file: &str) -> Vec<Program> {
    let started = nodes.iter().map(|&node| {
        let mut program = cluster.program(node);
        program.open(file);
        program
    });
    started.collect()
}

/// Begins to wait for a lock; in line when this returns, since who asks later on that node is told that there is no lock for it.
fn line_up(cluster: &Cluster, node: usize, program: &mut Program, ask: &str) {
    program.begin_waiting(ask);
    let mut later = cluster.program(node);
    later.open(ask.split(' ').nth(1).unwrap());
    assert_eq!(later.ask(&ask.replace(" wait", " try")), EAGAIN);
}

#[test]
fn posix_locks_of_ranges_stand_in_each_others_way_across_nodes_and_are_shown() {
    ranges("posix");
}

#[test]
fn open_file_description_locks_of_ranges_stand_in_each_others_way_across_nodes_and_are_shown() {
    ranges("ofd");
}

fn ranges(space: &str) {
    let cluster = Cluster::new(2);
    let mut both = programs(&cluster, &[0, 1], "file");
    both[0].get(&format!("lock file {space} try write 100 50"));
    assert_eq!(both[1].ask(&format!("lock file {space} try write 149 1")), EAGAIN);
    assert_eq!(both[1].ask(&format!("lock file {space} get read 0 0")), value("write 100 50"));
    both[1].get(&format!("lock file {space} try write 0 100"));
    both[1].get(&format!("lock file {space} try write 150 0"));
    // What lies in the middle is unlocked, and only that is free.
    both[0].get(&format!("lock file {space} try none 110 10"));
    assert_eq!(both[1].ask(&format!("lock file {space} try read 109 5")), EAGAIN);
    both[1].get(&format!("lock file {space} try read 110 10"));
    assert_eq!(both[0].ask(&format!("lock file {space} get write 105 10")), value("read 110 10"));
    both[0].get(&format!("lock file {space} try read 110 10"));
    assert_eq!(both[0].ask(&format!("lock file {space} try write 110 10")), EAGAIN, "two share it");
    both[1].get("close file");
    // The locks of an open file go a moment after it was closed.
    both[0].get(&format!("lock file {space} wait write 0 0"));
}

#[test]
fn a_deadlock_across_two_nodes_and_two_files_is_refused_to_who_would_close_the_circle() {
    let cluster = Cluster::new(2);
    let mut both = programs(&cluster, &[0, 1], "a");
    both.iter_mut().for_each(|program| program.open("b"));
    both[0].get("lock a posix try write 0 1");
    both[1].get("lock b posix try write 0 1");
    line_up(&cluster, 0, &mut both[0], "lock b posix wait write 0 1");
    assert_eq!(both[1].ask("lock a posix wait write 0 1"), EDEADLK);
    assert_eq!(both[0].answer(Duration::from_millis(100)), Answer::Nothing, "the other waits on");
    both[1].get("lock b posix try none 0 1");
    assert_eq!(both[0].answer(PATIENCE), value(0));
}

#[test]
fn a_deadlock_of_three_programs_on_three_nodes_is_refused() {
    let cluster = Cluster::new(3);
    let mut all = programs(&cluster, &[0, 1, 2], "file");
    for (program, byte) in all.iter_mut().zip(0..) {
        program.get(&format!("lock file posix try write {byte} 1"));
    }
    line_up(&cluster, 0, &mut all[0], "lock file posix wait write 1 1");
    line_up(&cluster, 1, &mut all[1], "lock file posix wait write 2 1");
    assert_eq!(all[2].ask("lock file posix wait write 0 1"), EDEADLK);
    all[2].get("lock file posix try none 2 1");
    assert_eq!(all[1].answer(PATIENCE), value(0));
    all[1].get("lock file posix try none 0 0");
    assert_eq!(all[0].answer(PATIENCE), value(0));
}

#[test]
fn who_waits_first_is_served_first() {
    let cluster = Cluster::new(3);
    for (space, order) in [("posix", "lock file posix"), ("ofd", "lock file ofd"), ("flock", "flock file")] {
        let nodes = [0, 1, 2, 1, 0, 2];
        let mut all = programs(&cluster, &nodes, "file");
        let (ask, free) = match space {
            "flock" => (format!("{order} exclusive wait"), format!("{order} none wait")),
            _ => (format!("{order} wait write 0 0"), format!("{order} try none 0 0")),
        };
        all[0].get(&ask);
        for (program, node) in all.iter_mut().zip(nodes).skip(1) {
            line_up(&cluster, node, program, &ask);
        }
        for turn in 1..nodes.len() {
            for later in &mut all[turn..] {
                assert_eq!(later.answer(Duration::ZERO), Answer::Nothing, "{space}, turn {turn}");
            }
            all[turn - 1].get(&free);
            assert_eq!(all[turn].answer(PATIENCE), value(0), "{space}, turn {turn}");
        }
    }
}

/// How a whole file is locked, with waiting, and unlocked in each lock space.
const EXCLUSIVE: [(&str, &str); 3] = [
    ("lock file posix wait write 0 0", "lock file posix try none 0 0"),
    ("lock file ofd wait write 0 0", "lock file ofd try none 0 0"),
    ("flock file exclusive wait", "flock file none wait"),
];

#[test]
fn a_waiting_program_can_be_interrupted_and_waits_no_more() {
    let cluster = Cluster::new(2);
    for (ask, free) in EXCLUSIVE {
        let mut all = programs(&cluster, &[0, 1, 1], "file");
        all[0].get(ask);
        line_up(&cluster, 1, &mut all[1], ask);
        line_up(&cluster, 1, &mut all[2], ask);
        all[1].signal(Signal::INT);
        assert_eq!(all[1].answer(PATIENCE), EINTR, "{ask}");
        all[0].get(free);
        assert_eq!(all[2].answer(PATIENCE), value(0), "{ask}: the next in line");
        all[2].get(free);
        all[0].get(ask);
    }
}

#[test]
fn a_waiting_program_can_be_killed_and_stands_in_nobodys_way() {
    let cluster = Cluster::new(2);
    for (ask, free) in EXCLUSIVE {
        let mut all = programs(&cluster, &[0, 1, 1], "file");
        all[0].get(ask);
        line_up(&cluster, 1, &mut all[1], ask);
        line_up(&cluster, 1, &mut all[2], ask);
        assert!(all[1].kill(), "{ask}");
        all[0].get(free);
        assert_eq!(all[2].answer(PATIENCE), value(0), "{ask}: the next in line");
    }
}

#[test]
fn locks_of_a_killed_program_are_free_for_who_waits_on_another_node() {
    let cluster = Cluster::new(2);
    for (hold, ask) in [
        ("lock file posix try write 0 0", "lock file posix wait write 5 1"),
        ("lock file ofd try write 0 0", "lock file ofd wait read 5 1"),
        ("flock file exclusive try", "flock file shared wait"),
    ] {
        let mut both = programs(&cluster, &[0, 1], "file");
        both[0].get(hold);
        both[1].begin_waiting(ask);
        assert!(both[0].kill());
        assert_eq!(both[1].answer(PATIENCE), value(0), "{ask}");
    }
}

#[test]
fn locks_of_a_killed_node_are_free_for_who_waits_on_the_others() {
    let cluster = Cluster::with(3, "memory=64M,failure_timeout_ms=1000");
    let mut all = programs(&cluster, &[0, 1, 2], "file");
    all[2].get("lock file posix try write 0 10");
    all[2].get("lock file ofd try write 20 10");
    all[2].get("flock file exclusive try");
    let mut more = programs(&cluster, &[0], "file");
    all[0].begin_waiting("lock file posix wait write 0 1");
    all[1].begin_waiting("lock file ofd wait write 20 1");
    more[0].begin_waiting("flock file shared wait");
    cluster.signal(2, Signal::KILL);
    assert_eq!(all[0].answer(PATIENCE), value(0));
    assert_eq!(all[1].answer(PATIENCE), value(0));
    assert_eq!(more[0].answer(PATIENCE), value(0));
}

#[test]
fn flock_changes_between_shared_and_exclusive_as_others_let_it() {
    let cluster = Cluster::new(2);
    let mut both = programs(&cluster, &[0, 1], "file");
    both[0].get("flock file shared try");
    both[1].get("flock file shared try");
    assert_eq!(both[0].ask("flock file exclusive try"), EAGAIN);
    // A conversion that fails has lost the lock, as flock(2) says; the other is alone now, or both still share.
    both[1].get("flock file none try");
    both[0].get("flock file exclusive try");
    assert_eq!(both[1].ask("flock file shared try"), EAGAIN);
    both[1].begin_waiting("flock file shared wait");
    both[0].get("flock file shared try");
    assert_eq!(both[1].answer(PATIENCE), value(0), "down from exclusive lets sharers in");
    both[1].begin_waiting("flock file exclusive wait");
    both[0].get("flock file none try");
    assert_eq!(both[1].answer(PATIENCE), value(0));
    both[0].begin_waiting("flock file exclusive wait");
    both[1].get("close file");
    assert_eq!(both[0].answer(PATIENCE), value(0));
}
