//! Programs of several nodes that wait for each other: for words of a file, and at barriers.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::program::{Answer, EAGAIN, EBADF, EINTR, EINVAL, ENOTTY, ETIMEDOUT, PATIENCE, Program, value};
use crate::support::Cluster;

const PAGE: usize = crate::support::PAGE;

/// Programs with a file open that is full of zeros.
fn programs(cluster: &Cluster, nodes: &[usize]) -> Vec<Program> {
    let started = nodes.iter().map(|&node| {
        let mut program = cluster.program(node);
        program.open("file");
        program
    });
    let mut all: Vec<_> = started.collect();
    all[0].get(&format!("cut file {}", 16 * PAGE));
    all
}

/// Notifies until so many were woken: one that has just begun to wait may have to look first.
fn wake(program: &mut Program, offset: usize, count: u32) {
    let (deadline, mut left) = (Instant::now() + PATIENCE, count);
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} of {count} weren't woken");
        left -= program.get(&format!("notify file {offset} {left}")).parse::<u32>().unwrap();
        if left > 0 {
            // Whoever is notified again and again while it looks is told to see for itself.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn who_waits_on_any_node_is_woken_by_any_other() {
    let cluster = Cluster::new(3);
    let mut all = programs(&cluster, &[0, 1, 2, 0]);
    for offset in [0, 64, 5 * PAGE + 8] {
        for waiter in &mut all[..3] {
            waiter.begin_waiting(&format!("wait file {offset} 0"));
        }
        wake(&mut all[3], offset, 3);
        assert!(all[..3].iter_mut().all(|waiter| waiter.answer(PATIENCE) == value(0)));
        assert_eq!(all[3].ask(&format!("notify file {offset} 9")), value(0), "nobody waits any more");
    }
}

#[test]
fn a_wait_ends_when_the_value_is_another_when_time_is_over_and_when_it_is_interrupted() {
    let cluster = Cluster::new(2);
    let mut both = programs(&cluster, &[0, 1]);
    both[0].get("pwrite file 1 7");
    assert_eq!(both[1].ask(&format!("wait file {PAGE} 0")), EAGAIN);
    assert_eq!(both[1].ask(&format!("wait file {PAGE} 0 0")), EAGAIN, "without time as well");
    assert_eq!(both[1].ask(&format!("wait file {PAGE} 7 20")), ETIMEDOUT);
    assert_eq!(both[0].ask(&format!("wait file {PAGE} 7 20 4")), ETIMEDOUT, "half a word");
    both[1].begin_waiting(&format!("wait file {PAGE} 7"));
    both[1].signal(Signal::INT);
    assert_eq!(both[1].answer(PATIENCE), EINTR);
    assert_eq!(both[0].ask(&format!("notify file {PAGE} 5")), value(0), "it waits no more");
}

#[test]
fn a_killed_waiter_takes_no_wake_up_from_another() {
    let cluster = Cluster::new(2);
    let mut all = programs(&cluster, &[0, 1, 1]);
    all[1].begin_waiting("wait file 0 0");
    all[2].begin_waiting("wait file 0 0");
    assert!(all[1].kill());
    wake(&mut all[0], 0, 1);
    assert_eq!(all[2].answer(PATIENCE), value(0));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let cluster = Cluster::new(1);
    let mut program = programs(&cluster, &[0]).remove(0);
    program.open_as(".", "r");
    for (ask, errno) in [
        ("wait file 4 0".to_owned(), EINVAL),
        ("wait file 8 0 0 2".to_owned(), EINVAL),
        (format!("wait file {} 0", 16 * PAGE), EINVAL),
        ("notify file 2 1".to_owned(), EINVAL),
        ("wait . 0 0".to_owned(), ENOTTY),
        ("notify . 0 1".to_owned(), ENOTTY),
        ("barrier file b 0".to_owned(), EINVAL),
        ("barrier . b 999999".to_owned(), EINVAL),
        (format!("barrier file {} 1", "x".repeat(64)), EINVAL),
    ] {
        assert_eq!(program.ask(&ask), errno, "{ask}");
    }
    assert_eq!(program.ask("barrier . b 1"), value(1));
    assert_eq!(program.ask(&format!("barrier . {} 1", "x".repeat(63))), value(1));
    let path = cluster.path(0, "file");
    program.get("close file");
    program.get(&format!("open file {} w", path.display()));
    assert_eq!(program.ask("wait file 0 0"), EBADF);
}

#[test]
fn a_ring_of_programs_on_two_and_on_three_nodes_never_misses_a_wake_up() {
    const ROUNDS: u32 = 200;
    for nodes in [2, 3] {
        let cluster = Cluster::new(nodes);
        let places: Vec<_> = (0..nodes).chain([0]).collect();
        let mut all = programs(&cluster, &places);
        let count = all.len();
        for (me, program) in all.iter_mut().enumerate() {
            program.begin(&format!("ring file {PAGE} {me} {count} {ROUNDS}"));
        }
        for (me, program) in all.iter_mut().enumerate() {
            assert_eq!(program.answer(PATIENCE), value(0), "program {me} of {count}");
        }
        assert_eq!(all[1].ask("pread file 1"), value(count as u32 * ROUNDS));
    }
}

#[test]
fn all_parties_of_a_barrier_leave_each_phase_together_and_one_is_told_to_be_the_one() {
    const PHASES: u32 = 100;
    for nodes in [2, 3] {
        let cluster = Cluster::new(nodes);
        let places: Vec<_> = (0..6).map(|n| n % nodes).collect();
        let mut all = programs(&cluster, &places);
        for (me, program) in all.iter_mut().enumerate() {
            program.begin(&format!("phases file meet {me} 6 {PHASES}"));
        }
        let ones = all.iter_mut().map(|program| match program.answer(PATIENCE) {
            Answer::Ok(ones) => ones.parse::<u32>().unwrap_or_else(|_| panic!("{ones}")),
            other => panic!("{other:?}"),
        });
        assert_eq!(ones.sum::<u32>(), PHASES);
    }
}

#[test]
fn who_wants_another_number_is_refused_and_who_gives_up_is_missing() {
    let cluster = Cluster::new(2);
    let mut all = programs(&cluster, &[0, 1, 1]);
    all[0].begin_waiting("barrier file b 2");
    let deadline = Instant::now() + PATIENCE;
    while all[1].ask("barrier file b 3 0") != EINVAL {
        assert!(Instant::now() < deadline, "the first has never come");
    }
    all[0].signal(Signal::INT);
    assert_eq!(all[0].answer(PATIENCE), EINTR);
    assert_eq!(all[1].ask("barrier file b 2 20"), ETIMEDOUT, "the first is gone");
    all[2].begin_waiting("barrier file b 2");
    assert!(all[2].kill());
    all[1].begin_waiting("barrier file b 2");
    assert_eq!(all[1].answer(Duration::from_millis(100)), Answer::Nothing, "so is the killed one");
    let last = all[0].ask("barrier file b 2");
    assert_eq!([last, all[1].answer(PATIENCE)], [value(1), value(0)]);
}

#[test]
fn after_a_nodes_death_the_others_wait_on_and_can_be_woken() {
    const WORDS: usize = 6;
    let cluster = Cluster::with(3, "memory=64M,failure_timeout_ms=1000");
    let nodes: Vec<_> = (0..WORDS).map(|n| n % 2).collect();
    let mut waiters = programs(&cluster, &nodes);
    let mut parties = programs(&cluster, &[0, 1, 2]);
    let mut others = programs(&cluster, &[0, 1]);
    // Kept by different nodes, some by the one that dies.
    for (word, waiter) in waiters.iter_mut().enumerate() {
        waiter.begin_waiting(&format!("wait file {} 0", word * 8));
    }
    for party in &mut parties {
        party.begin_waiting("barrier file b 4");
    }
    cluster.signal(2, Signal::KILL);
    let deadline = Instant::now() + PATIENCE;
    while !others.iter_mut().all(|program| program.get("info file").contains(" nodes=2 ")) {
        assert!(Instant::now() < deadline, "nobody notices the death");
    }
    for (word, waiter) in waiters.iter_mut().enumerate() {
        wake(&mut others[1], word * 8, 1);
        // A notification that has met the change of members has the waiters look.
        let answer = waiter.answer(PATIENCE);
        assert!([value(0), EAGAIN].contains(&answer), "word {word}: {answer:?}");
    }
    others[0].begin_waiting("barrier file b 4");
    for party in &mut parties[..2] {
        assert_eq!(party.answer(Duration::from_millis(50)), Answer::Nothing, "three of four");
    }
    let mut ends = vec![others[1].ask("barrier file b 4"), others[0].answer(PATIENCE)];
    ends.extend(parties[..2].iter_mut().map(|party| party.answer(PATIENCE)));
    ends.sort_by_key(|end| *end == value(1));
    assert_eq!(ends, [value(0), value(0), value(0), value(1)]);
}
