//! The table: shapes of the literature (names as in diy and in the x86-TSO paper), and from each the variants that use fences,
//! locked instructions, or system calls instead of loads and stores. What is forbidden is nowhere written: `tso` knows.

use super::program::{Op, Program};

/// Which kinds of variants a shape is run in, beside itself.
#[derive(Clone, Copy)]
enum With {
    /// `mfence`s in all threads that have two accesses.
    Fences,
    /// Stores by `xchg`; loads by `lock xadd` of nothing.
    Locked,
    /// Stores by pwrite, loads by pread, both.
    Calls,
    /// `mfence`s and pwrite in only one thread: for threads that do different things.
    OneSided,
}
use With::{Calls, Fences, Locked, OneSided};

const PLAIN: &[With] = &[];

const BASES: &[(&str, &str, &[With])] = &[
    ("SB", "x=1 a=y | y=1 b=x", &[Fences, Locked, Calls, OneSided]),
    ("MP", "x=1 y=1 | a=y b=x", &[Fences, Locked, Calls, OneSided]),
    ("LB", "a=x y=1 | b=y x=1", &[Locked, Calls]),
    ("R", "x=1 y=1 | y=2 a=x", &[Fences, Locked, Calls, OneSided]),
    ("S", "x=2 y=1 | a=y x=1", &[Calls, OneSided]),
    ("2+2W", "x=1 y=2 | y=1 x=2", &[Fences, Locked, Calls]),
    ("WRC", "x=1 | a=x y=1 | b=y c=x", &[Fences, Calls, OneSided]),
    ("WWC", "x=2 | a=x y=1 | b=y x=1", &[Calls]),
    ("RWC", "x=1 | a=x b=y | y=1 c=x", &[Fences, OneSided]),
    ("WRR+2W", "x=2 | a=x b=y | y=1 x=1", PLAIN),
    ("WRW+WR", "x=1 | a=x y=1 | y=2 b=x", &[Fences]),
    ("WRW+2W", "x=2 | a=x y=1 | y=2 x=1", PLAIN),
    ("ISA2", "x=1 y=1 | a=y z=1 | b=z c=x", &[Calls]),
    ("Z6.0", "x=1 y=1 | a=y z=1 | z=2 b=x", &[Fences]),
    ("Z6.1", "x=2 y=1 | y=2 z=1 | a=z x=1", PLAIN),
    ("Z6.2", "x=2 y=1 | a=y z=1 | b=z x=1", PLAIN),
    ("Z6.3", "x=1 y=1 | y=2 z=1 | a=z b=x", PLAIN),
    ("Z6.4", "x=1 y=1 | y=2 a=z | z=1 b=x", &[Fences]),
    ("Z6.5", "x=1 y=1 | y=2 z=1 | z=2 a=x", &[Fences]),
    ("W+RWC", "x=1 y=1 | a=y b=z | z=1 c=x", &[Fences]),
    ("3.SB", "x=1 a=y | y=1 b=z | z=1 c=x", &[Fences, Calls]),
    ("3.LB", "a=x y=1 | b=y z=1 | c=z x=1", PLAIN),
    ("3.2W", "x=1 y=2 | y=1 z=2 | z=1 x=2", PLAIN),
    ("IRIW", "x=1 | a=x b=y | y=1 | c=y d=x", &[Calls]),
    ("IRRWIW", "x=2 | a=x b=y | y=1 | c=y x=1", PLAIN),
    ("IRWIW", "x=2 | a=x y=1 | y=2 | b=y x=1", PLAIN),
    ("4.SB", "x=1 a=y | y=1 b=z | z=1 c=w | w=1 d=x", &[Fences]),
    ("4.LB", "a=x y=1 | b=y z=1 | c=z w=1 | d=w x=1", PLAIN),
    // One variable.
    ("CoRR", "x=1 | a=x b=x", &[Calls]),
    ("CoRW", "a=x x=1 | x=2", &[Calls]),
    ("CoWR", "x=1 a=x | x=2", &[Calls]),
    ("CoWW", "x=1 x=2 | a=x b=x", PLAIN),
    ("CoRR2", "x=1 | x=2 | a=x b=x | c=x d=x", &[Calls]),
    ("CoRRR", "x=1 x=2 x=3 | a=x b=x c=x", PLAIN),
    ("CoWW2", "x=1 x=2 | x=3 x=4", PLAIN),
    // Examples of the x86-TSO paper: reading the own store early.
    ("SB+rfis", "x=1 a=x b=y | y=1 c=y d=x", &[Fences]),
    ("n4", "a=x x=1 b=x | c=x x=2 d=x", PLAIN),
    ("n5", "x=1 a=x | x=2 b=x", PLAIN),
    ("n6", "x=1 a=x b=y | y=1 x=2", PLAIN),
    ("n7", "x=1 a=x b=y | y=1 | c=y d=x", PLAIN),
    // Atomics.
    ("inc", "a=xadd(x,1) | b=xadd(x,1)", PLAIN),
    ("inc4", "a=xadd(x,1) | b=xadd(x,1) | c=xadd(x,1) | d=xadd(x,1)", PLAIN),
    ("inc2", "a=xadd(x,1) b=xadd(x,1) | c=xadd(x,1) d=xadd(x,1)", PLAIN),
    ("swap", "a=xchg(x,1) | b=xchg(x,2)", PLAIN),
    ("swap3", "a=xchg(x,1) | b=xchg(x,2) | c=xchg(x,3)", PLAIN),
    ("cas", "a=cas(x,0,1) | b=cas(x,0,2)", PLAIN),
    ("cas4", "a=cas(x,0,1) | b=cas(x,0,2) | c=cas(x,0,3) | d=cas(x,0,4)", PLAIN),
    ("cas-hand-over", "x=1 a=cas(y,0,1) | b=cas(y,1,2) c=x", PLAIN),
    ("lock-and-data", "a=xchg(w,1) b=x x=1 | c=xchg(w,1) d=x x=2", PLAIN),
    ("store-beside-inc", "x=5 | a=xadd(x,1) b=x", PLAIN),
    // Widths, and several of them on the same bytes.
    ("MP.1", "x.1=1 y.1=1 | a=y.1 b=x.1", PLAIN),
    ("MP.2", "x.2=1 y.2=1 | a=y.2 b=x.2", PLAIN),
    ("MP.8", "x.8=1 y.8=1 | a=y.8 b=x.8", PLAIN),
    ("SB.1", "x.1=1 mf a=y.1 | y.1=1 mf b=x.1", PLAIN),
    ("SB.8", "x.8=1 mf a=y.8 | y.8=1 mf b=x.8", PLAIN),
    ("word-halves", "x.4=1 x+4.4=1 | a=x.8", PLAIN),
    ("halves-word", "x.8=0x100000001 | a=x+4.4 b=x.4", PLAIN),
    ("bytes-word", "x.1=1 x+1.1=1 x+2.1=1 | a=x.4", PLAIN),
    ("two-halves", "x.4=1 | x+4.4=1 | a=x.8 b=x.8", PLAIN),
    ("wide-narrow", "x.8=0x100000001 | x.4=2 | a=x.8 b=x.8", PLAIN),
    ("inc-halves", "a=xadd(x.4,1) | b=xadd(x+4.4,1) | c=x.8 d=x.8", PLAIN),
    ("neighbours", "x.2=1 a=x+2.2 | x+2.2=1 b=x.2", PLAIN),
    // Through several surfaces at once.
    ("write-and-store", "w:x=1 y=1 | a=y b=r:x", PLAIN),
    ("store-and-write", "x=1 w:y=1 | a=r:y b=x", PLAIN),
    ("inc-and-read", "a=xadd(x,1) w:y=1 | b=r:y c=xadd(x,1)", PLAIN),
    ("write-over-store", "x=1 w:x=2 a=x | b=x c=r:x", PLAIN),
    ("store-over-write", "w:x=1 x=2 a=r:x | b=r:x c=x", PLAIN),
];

/// Every test, in the order it is run in.
pub fn all() -> Vec<Program> {
    BASES.iter().flat_map(|(name, text, with)| variants(&parsed(name, text), with)).collect()
}

pub fn find(name: &str) -> Option<Program> {
    all().into_iter().find(|program| program.name == name)
}

fn parsed(name: &str, text: &str) -> Program {
    Program::parse(name, text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn variants(base: &Program, with: &[With]) -> Vec<Program> {
    let mut found = vec![base.clone()];
    for kind in with {
        match kind {
            Fences => found.extend(changed(base, "mfences", None, fenced)),
            OneSided => {
                found.extend(each_thread(base, "mfence", fenced));
                found.extend(each_thread(base, "write", writes));
            }
            Locked => {
                found.extend(changed(base, "xchgs", None, locked_stores));
                found.extend(changed(base, "xadds", None, locked_loads));
            }
            Calls => {
                found.extend(changed(base, "writes", None, writes));
                found.extend(changed(base, "preads", None, reads));
                let mixed = changed(base, "writes", None, writes);
                found.extend(mixed.and_then(|program| changed(&program, "preads", None, reads)));
            }
        }
    }
    found
}

/// With one of the first two threads changed and the others as they were, if that isn't the same as changing all.
fn each_thread(base: &Program, what: &str, change: fn(&[Op], &mut Spare) -> Vec<Op>) -> Vec<Program> {
    let one = |thread| changed(base, what, Some(thread), change);
    let all = changed(base, what, None, change).map(|program| program.threads);
    let mut found: Vec<_> = (0..2).filter_map(one).collect();
    found.retain(|program| Some(&program.threads) != all.as_ref());
    found
}

/// The next register that no access uses yet.
struct Spare(usize);

impl Spare {
    fn take(&mut self) -> usize {
        self.0 += 1;
        self.0 - 1
    }
}

/// The program with all threads changed, or one; `None` if that makes no difference.
fn changed(
    base: &Program,
    what: &str,
    only: Option<usize>,
    change: fn(&[Op], &mut Spare) -> Vec<Op>,
) -> Option<Program> {
    let mut spare = Spare(base.registers());
    let mut program = base.clone();
    for (index, thread) in program.threads.iter_mut().enumerate() {
        if only.is_none_or(|only| only == index) {
            *thread = change(thread, &mut spare);
        }
    }
    program.name = format!("{}+{what}{}", base.name, only.map_or(String::new(), |thread| thread.to_string()));
    (program.threads != base.threads).then_some(program)
}

fn fenced(thread: &[Op], _: &mut Spare) -> Vec<Op> {
    let with_fence = |(index, op): (usize, &Op)| if index == 0 { vec![*op] } else { vec![Op::Fence, *op] };
    thread.iter().enumerate().flat_map(with_fence).collect()
}

fn locked_stores(thread: &[Op], spare: &mut Spare) -> Vec<Op> {
    let locked = |op: &Op| match *op {
        Op::Store { to, value } => Op::Swap { at: to, value, register: spare.take() },
        other => other,
    };
    thread.iter().map(locked).collect()
}

fn locked_loads(thread: &[Op], _: &mut Spare) -> Vec<Op> {
    let locked = |op: &Op| match *op {
        Op::Load { from, register } => Op::Add { at: from, value: 0, register },
        other => other,
    };
    thread.iter().map(locked).collect()
}

fn writes(thread: &[Op], _: &mut Spare) -> Vec<Op> {
    let written = |op: &Op| match *op {
        Op::Store { to, value } => Op::Write { to, value },
        other => other,
    };
    thread.iter().map(written).collect()
}

fn reads(thread: &[Op], _: &mut Spare) -> Vec<Op> {
    let read = |op: &Op| match *op {
        Op::Load { from, register } => Op::Read { from, register },
        other => other,
    };
    thread.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::program::{REGISTERS_MAX, THREADS_MAX, VARIABLES};

    #[test]
    fn the_table_has_more_than_a_hundred_different_tests() {
        let programs = all();
        let texts: std::collections::HashSet<_> = programs.iter().map(Program::to_string).collect();
        let names: std::collections::HashSet<_> = programs.iter().map(|program| &program.name).collect();
        let mut seen = std::collections::HashMap::new();
        for program in &programs {
            let same = seen.insert(program.to_string(), program.name.clone());
            assert_eq!(same, None, "{} is the same", program.name);
        }
        assert_eq!((texts.len(), names.len()), (programs.len(), programs.len()));
        assert!(programs.len() > 100, "{}", programs.len());
    }

    #[test]
    fn every_test_fits_a_run() {
        for program in all() {
            assert!(program.threads.len() >= 2 && program.threads.len() <= THREADS_MAX, "{program}");
            assert!(
                program.variables() <= VARIABLES.len() && program.registers() <= REGISTERS_MAX,
                "{program}"
            );
        }
    }
}
