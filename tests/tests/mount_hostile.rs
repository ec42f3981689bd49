//! Mounts that are treated badly. Whatever happens to a node or a program, every other program goes on or is told so (EIO,
//! SIGBUS) within a bounded time, and the other mounts serve.
//!
//! These start daemons and mount: they need root and /dev/fuse, so they run when asked for (`cargo xtask test hostile`).

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use scifs_tests::hostile::cluster::{Cluster, Trouble, run};
use scifs_tests::hostile::toucher::{Answer, Toucher};
use scifs_tests::shared::surface::Surface;

const OPTIONS: &str = "failure_timeout_ms=1500";
/// Everything is answered within this: the failure timeout, what it takes to agree, and a machine that is busy.
const BOUND: Duration = Duration::from_secs(15);
/// For a process to die that nothing keeps.
const SOON: Duration = Duration::from_secs(5);

type Outcome = Result<(), Trouble>;

/// Each with programs that have the mount's mapping, and with programs that share their node's memory.
macro_rules! on_every_surface {
    ($($test:ident,)*) => {
        on_every_surface!(@ by_file, File, $($test,)*);
        on_every_surface!(@ by_vm, Vm, $($test,)*);
    };
    (@ $module:ident, $surface:ident, $($test:ident,)*) => {
        mod $module {
            $(
                #[test]
                #[ignore = "mounts: cargo xtask test hostile"]
                fn $test() -> super::Outcome {
                    super::$test(super::Surface::$surface)
                }
            )*
        }
    };
}

on_every_surface! {
    a_program_killed_while_it_waits_for_a_page_is_gone_and_nobody_minds,
    programs_killed_while_they_hammer_a_page_do_not_stop_the_others,
    a_short_stop_of_a_node_costs_nothing_but_time,
    a_stopped_node_is_given_up_and_comes_back,
    the_others_go_on_when_a_node_is_killed,
    the_others_go_on_when_the_founder_is_killed,
    an_unmount_under_open_mappings_is_refused_or_lazy_and_harms_nobody,
}

/// A cluster of three with a program on each node, all of them with the same file mapped.
fn three(surface: Surface) -> Result<(Cluster, Vec<Toucher>), Trouble> {
    let cluster = Cluster::up(surface, 3, OPTIONS)?;
    let mut programs = Vec::new();
    for node in 0..3 {
        let mut program = cluster.program(node, "shared")?;
        assert_eq!(program.ask("map", BOUND), Answer::Value(0), "map on node {node}");
        programs.push(program);
    }
    Ok((cluster, programs))
}

fn value(program: &mut Toucher, order: &str) -> u64 {
    match program.ask(order, BOUND) {
        Answer::Value(value) => value,
        other => panic!("{order}: {other:?}"),
    }
}

/// The mounts of these nodes do everything with a file that nobody has touched before.
fn serve_again(cluster: &Cluster, nodes: &[usize], name: &str) -> Outcome {
    let mut programs = Vec::new();
    for &node in nodes {
        let mut program = cluster.program(node, name)?;
        assert_eq!(program.ask("map", BOUND), Answer::Value(0), "map {name} on node {node}");
        programs.push(program);
    }
    for (index, program) in programs.iter_mut().enumerate() {
        value(program, &format!("store 0 {}", index + 1));
        value(program, "lock");
        value(program, "unlock");
        value(program, &format!("make {name}-{index}"));
    }
    for program in &mut programs {
        assert_eq!(value(program, "load 0"), nodes.len() as u64);
        assert_eq!(value(program, "pread 0"), nodes.len() as u64);
    }
    Ok(())
}

fn a_program_killed_while_it_waits_for_a_page_is_gone_and_nobody_minds(surface: Surface) -> Outcome {
    let (cluster, mut programs) = three(surface)?;
    value(&mut programs[1], "store 5 7");
    cluster.signal(1, Signal::STOP)?;
    // Its page is with a node that doesn't answer now.
    programs[0].begin("load 5");
    assert_eq!(programs[0].answer(Duration::from_millis(100)), Answer::Nothing);
    assert!(programs[0].kill(SOON), "a program that waits for a page can't be killed");
    cluster.signal(1, Signal::CONT)?;
    let seen = programs[2].ask("load 5", BOUND);
    assert!(
        seen == Answer::Value(7) || seen.is_bounded_and_sane() && !matches!(seen, Answer::Value(_)),
        "{seen:?}"
    );
    serve_again(&cluster, &[0, 2], "after")
}

fn programs_killed_while_they_hammer_a_page_do_not_stop_the_others(surface: Surface) -> Outcome {
    let (cluster, mut programs) = three(surface)?;
    programs[0].begin("increment 3 4000");
    programs[1].begin("increment 3 4000");
    for _ in 0..30 {
        let mut victim = cluster.program(2, "shared")?;
        value(&mut victim, "map");
        victim.begin("increment 3 10000");
        assert_eq!(victim.answer(Duration::from_millis(30)), Answer::Nothing);
        assert!(victim.kill(SOON), "a program that hammers a page can't be killed");
    }
    let mut done = Vec::new();
    for program in &mut programs[..2] {
        match program.answer(BOUND) {
            Answer::Value(count) => done.push(count),
            other => panic!("{other:?}"),
        }
    }
    assert!(value(&mut programs[2], "load 3") >= done.iter().sum());
    Ok(())
}

fn a_short_stop_of_a_node_costs_nothing_but_time(surface: Surface) -> Outcome {
    let cluster = Cluster::up(surface, 3, "failure_timeout_ms=10000")?;
    let (mut here, mut there) = (cluster.program(0, "shared")?, cluster.program(1, "shared")?);
    value(&mut here, "map");
    value(&mut there, "map");
    value(&mut there, "store 5 7");
    cluster.signal(1, Signal::STOP)?;
    here.begin("load 5");
    assert_eq!(here.answer(Duration::from_millis(500)), Answer::Nothing);
    cluster.signal(1, Signal::CONT)?;
    assert_eq!(here.answer(BOUND), Answer::Value(7));
    assert_eq!(value(&mut there, "load 5"), 7);
    serve_again(&cluster, &[0, 1, 2], "after")
}

fn a_stopped_node_is_given_up_and_comes_back(surface: Surface) -> Outcome {
    let (cluster, mut programs) = three(surface)?;
    value(&mut programs[2], "store 5 7");
    value(&mut programs[2], "store 6 8");
    value(&mut programs[2], "lock");
    cluster.signal(2, Signal::STOP)?;
    survivors_are_answered(&mut programs, &[0, 1]);
    serve_again(&cluster, &[0, 1], "during")?;
    cluster.signal(2, Signal::CONT)?;
    for order in ["load 5", "pread 6", "list"] {
        let answer = programs[2].ask(order, BOUND);
        assert!(answer.is_bounded_and_sane(), "{order} on the node that was stopped: {answer:?}");
        if matches!(answer, Answer::Signal(_)) {
            break;
        }
    }
    wait_until_served(&cluster, 2)?;
    serve_again(&cluster, &[0, 1, 2], "after")
}

/// A node that was expelled says EIO until it is a member again.
fn wait_until_served(cluster: &Cluster, node: usize) -> Outcome {
    let deadline = Instant::now() + BOUND;
    loop {
        match cluster.program(node, "served-again")?.ask("map", BOUND) {
            Answer::Value(0) => return Ok(()),
            answer => assert!(answer.is_bounded_and_sane() && Instant::now() < deadline, "{answer:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn the_others_go_on_when_a_node_is_killed(surface: Surface) -> Outcome {
    a_node_is_killed(surface, 2)
}

fn the_others_go_on_when_the_founder_is_killed(surface: Surface) -> Outcome {
    a_node_is_killed(surface, 0)
}

fn a_node_is_killed(surface: Surface, victim: usize) -> Outcome {
    let (cluster, mut programs) = three(surface)?;
    let others: Vec<_> = (0..3).filter(|node| *node != victim).collect();
    value(&mut programs[victim], "store 5 7");
    value(&mut programs[victim], "store 6 8");
    value(&mut programs[victim], "lock");
    // What a survivor has written and nobody else has is still there afterwards.
    value(&mut programs[others[0]], "store 9 11");
    cluster.signal(victim, Signal::KILL)?;
    survivors_are_answered(&mut programs, &others);
    let mut fresh = cluster.program(others[0], "shared")?;
    value(&mut fresh, "map");
    assert_eq!(value(&mut fresh, "load 9"), 11);
    // What it has in its memory, or nothing: never zeros instead, least of all for what another node had.
    let orphan = programs[victim].ask("load 9", BOUND);
    assert!(orphan.is_bounded_and_sane() && orphan != Answer::Value(0), "of another node: {orphan:?}");
    let orphan = programs[victim].ask("load 6", BOUND);
    assert!(
        orphan.is_bounded_and_sane() && orphan != Answer::Value(0),
        "a program on the dead node: {orphan:?}"
    );
    let orphan = programs[victim].ask("load 7", BOUND);
    assert!(orphan.is_bounded_and_sane(), "a program on the dead node: {orphan:?}");
    serve_again(&cluster, &others, "after")
}

/// Pages and a lock of a node that is gone: each question is answered in time, by each survivor.
fn survivors_are_answered(programs: &mut [Toucher], survivors: &[usize]) {
    for &node in survivors {
        for order in ["pread 5", "pwrite 5 1", "lock", "unlock", "list", "load 6"] {
            let answer = programs[node].ask(order, BOUND);
            assert!(answer.is_bounded_and_sane(), "{order} on node {node}: {answer:?}");
            if matches!(answer, Answer::Signal(_)) {
                break;
            }
        }
    }
}

fn an_unmount_under_open_mappings_is_refused_or_lazy_and_harms_nobody(surface: Surface) -> Outcome {
    let (cluster, mut programs) = three(surface)?;
    value(&mut programs[2], "store 5 7");
    let point = cluster.dir(2).display().to_string();
    assert!(run(Command::new("umount").arg(&point)).is_err(), "a busy mount was taken away");
    assert_eq!(value(&mut programs[2], "load 5"), 7);
    run(Command::new("umount").args(["--lazy", &point]))?;
    for order in ["store 5 8", "load 5", "pread 5"] {
        let answer = programs[2].ask(order, BOUND);
        assert!(answer.is_bounded_and_sane(), "{order} after the unmount: {answer:?}");
    }
    drop(programs.pop());
    let deadline = Instant::now() + BOUND;
    while cluster.runs(2) {
        assert!(Instant::now() < deadline, "the node runs on, though nobody uses its mount");
        std::thread::sleep(Duration::from_millis(10));
    }
    // It has left in an orderly way: what only it had is with the others now.
    let answer = programs[0].ask("load 5", BOUND);
    assert!(matches!(answer, Answer::Value(7 | 8)), "{answer:?}");
    serve_again(&cluster, &[0, 1], "after")
}
