//! What a machine with x86's memory model may do with a program: every execution is tried.
//!
//! The machine is the one of "x86-TSO: A Rigorous and Usable Programmer's Model for x86 Multiprocessors" (Sewell et al., 2010):
//! each thread has a first-in-first-out buffer of stores; a load takes the newest buffered store of its own thread or else
//! memory; a fence or a locked instruction waits until the own buffer is empty. A system call does, too: entering the kernel
//! takes locks, so pwrite and pread are direct accesses to memory between two fences.
//!
//! A load of which only some bytes are in the buffer waits for the buffer, as processors do; the table has no such load.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::program::{Op, Place, Program, VARIABLE_BYTES};

/// Registers, then variables.
pub type Outcome = Vec<u64>;

/// Every outcome that x86-TSO allows; with each, whether in every execution that ends so some load has read another
/// thread's store.
pub fn allowed(program: &Program) -> BTreeMap<Outcome, bool> {
    let mut outcomes = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut left = vec![State::new(program)];
    while let Some(state) = left.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        if state.is_over(program) {
            let communicates = outcomes.entry(state.outcome()).or_insert(true);
            *communicates &= state.communicated;
        }
        for thread in 0..program.threads.len() {
            left.extend(state.step(program, thread));
            left.extend(state.drain(thread));
        }
    }
    outcomes
}

/// The outcomes of running the threads one after another, in any order: without any overlap.
pub fn serial(program: &Program) -> BTreeSet<Outcome> {
    let mut outcomes = BTreeSet::new();
    let mut left = vec![(State::new(program), (0..program.threads.len()).collect::<Vec<_>>())];
    while let Some((state, threads)) = left.pop() {
        if threads.is_empty() {
            outcomes.insert(state.outcome());
        }
        for &thread in &threads {
            let others = threads.iter().copied().filter(|other| *other != thread).collect();
            left.push((state.run_alone(program, thread), others));
        }
    }
    outcomes
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Buffered {
    place: Place,
    value: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    next: Vec<usize>,
    buffers: Vec<Vec<Buffered>>,
    registers: Vec<u64>,
    memory: Vec<u64>,
    /// Which thread stored each byte last.
    authors: Vec<[Option<u8>; VARIABLE_BYTES]>,
    communicated: bool,
}

impl State {
    fn new(program: &Program) -> Self {
        let threads = program.threads.len();
        Self {
            next: vec![0; threads],
            buffers: vec![Vec::new(); threads],
            registers: vec![0; program.registers()],
            memory: vec![0; program.variables()],
            authors: vec![[None; VARIABLE_BYTES]; program.variables()],
            communicated: false,
        }
    }

    fn outcome(&self) -> Outcome {
        self.registers.iter().chain(&self.memory).copied().collect()
    }

    fn is_over(&self, program: &Program) -> bool {
        let ended = |(next, ops): (&usize, &Vec<Op>)| *next == ops.len();
        self.buffers.iter().all(Vec::is_empty) && self.next.iter().zip(&program.threads).all(ended)
    }

    fn run_alone(&self, program: &Program, thread: usize) -> Self {
        let mut state = self.clone();
        while let Some(next) = state.drain(thread).or_else(|| state.step(program, thread)) {
            state = next;
        }
        state
    }

    /// The oldest buffered store of a thread reaches memory.
    fn drain(&self, thread: usize) -> Option<Self> {
        self.buffers[thread].first()?;
        let mut state = self.clone();
        let oldest = state.buffers[thread].remove(0);
        state.set(thread, oldest.place, oldest.value);
        Some(state)
    }

    /// The next instruction of a thread, if it can be executed now.
    fn step(&self, program: &Program, thread: usize) -> Option<Self> {
        let op = *program.threads[thread].get(self.next[thread])?;
        let mut state = self.clone();
        state.next[thread] += 1;
        match op {
            Op::Store { to, value } => state.buffers[thread].push(Buffered { place: to, value }),
            Op::Load { from, register } => match self.forwarded(thread, from)? {
                Forward::Value(value) => state.registers[register] = value,
                Forward::Nothing => state.registers[register] = state.get(thread, from),
            },
            // Everything else waits for the own buffer.
            _ if !self.buffers[thread].is_empty() => return None,
            Op::Fence => (),
            Op::Write { to, value } => state.set(thread, to, value),
            Op::Read { from, register } => state.registers[register] = state.get(thread, from),
            Op::Swap { at, value, register } => state.update(thread, at, register, |_| value),
            Op::Add { at, value, register } => {
                state.update(thread, at, register, |old| old.wrapping_add(value))
            }
            Op::CompareSwap { at, expected, value, register } => {
                state.update(thread, at, register, |old| if old == expected { value } else { old });
            }
        }
        Some(state)
    }

    /// What the own buffer has to say about a load; `None`: it has to wait.
    fn forwarded(&self, thread: usize, from: Place) -> Option<Forward> {
        let newest = self.buffers[thread].iter().rev().find(|store| overlaps(store.place, from));
        match newest {
            None => Some(Forward::Nothing),
            Some(store) if covers(store.place, from) => {
                let shift = 8 * (from.offset - store.place.offset);
                Some(Forward::Value((store.value >> shift) & mask(from)))
            }
            Some(_) => None,
        }
    }

    fn get(&mut self, thread: usize, from: Place) -> u64 {
        let authors = &self.authors[from.variable][from.offset..from.offset + from.width.bytes()];
        self.communicated |= authors.iter().flatten().any(|author| usize::from(*author) != thread);
        (self.memory[from.variable] >> (8 * from.offset)) & mask(from)
    }

    fn set(&mut self, thread: usize, to: Place, value: u64) {
        let shift = 8 * to.offset;
        let word = &mut self.memory[to.variable];
        *word = (*word & !(mask(to) << shift)) | ((value & mask(to)) << shift);
        self.authors[to.variable][to.offset..to.offset + to.width.bytes()].fill(Some(thread as u8));
    }

    fn update(&mut self, thread: usize, at: Place, register: usize, new: impl Fn(u64) -> u64) {
        let old = self.get(thread, at);
        self.registers[register] = old;
        let new = new(old);
        if new != old {
            self.set(thread, at, new);
        }
    }
}

enum Forward {
    Value(u64),
    Nothing,
}

fn mask(place: Place) -> u64 {
    u64::MAX >> (64 - 8 * place.width.bytes())
}

fn end(place: Place) -> usize {
    place.offset + place.width.bytes()
}

fn overlaps(one: Place, other: Place) -> bool {
    one.variable == other.variable && one.offset < end(other) && other.offset < end(one)
}

fn covers(outer: Place, inner: Place) -> bool {
    outer.variable == inner.variable && outer.offset <= inner.offset && end(inner) <= end(outer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::shapes;

    /// Whether some allowed outcome has these values: `a=1 b=0 x=2`.
    fn allows(name: &str, condition: &str) -> bool {
        let program = shapes::find(name).unwrap_or_else(|| panic!("no shape is called {name}"));
        let index = |name: &str| {
            let variable =
                crate::litmus::program::VARIABLES.iter().position(|known| name.starts_with(*known));
            let register = ('a'..='h').position(|known| name.starts_with(known));
            register.or(variable.map(|variable| program.registers() + variable)).unwrap()
        };
        let wanted = condition.split(' ').map(|part| part.split_once('=').unwrap());
        let wanted: Vec<(usize, u64)> =
            wanted.map(|(name, value)| (index(name), value.parse().unwrap())).collect();
        allowed(&program).keys().any(|outcome| wanted.iter().all(|(at, value)| outcome[*at] == *value))
    }

    /// The outcome each shape is known for, and whether it is allowed: from the x86-TSO paper and from what herd7 says with
    /// its x86tso model.
    const KNOWN: &[(&str, &str, bool)] = &[
        ("SB", "a=0 b=0", true),
        ("SB+mfences", "a=0 b=0", false),
        ("SB+mfence0", "a=0 b=0", true),
        ("SB+mfence1", "a=0 b=0", true),
        ("SB+xchgs", "a=0 b=0", false),
        ("SB+writes", "a=0 b=0", false),
        ("SB+preads", "a=0 b=0", false),
        ("SB+rfis", "a=1 b=0 c=1 d=0", true),
        ("MP", "a=1 b=0", false),
        ("LB", "a=1 b=1", false),
        ("S", "a=1 x=2", false),
        ("R", "y=2 a=0", true),
        ("R+mfences", "y=2 a=0", false),
        ("R+mfence0", "y=2 a=0", true),
        ("R+mfence1", "y=2 a=0", false),
        ("2+2W", "x=1 y=1", false),
        ("WRC", "a=1 b=1 c=0", false),
        ("WRC+write0", "a=1 b=1 c=0", false),
        ("WWC", "a=2 b=1 x=2", false),
        ("RWC", "a=1 b=0 c=0", true),
        ("RWC+mfences", "a=1 b=0 c=0", false),
        ("WRR+2W", "a=2 b=0 x=2", false),
        ("WRW+WR", "a=1 y=2 b=0", true),
        ("WRW+WR+mfences", "a=1 y=2 b=0", false),
        ("WRW+2W", "a=2 y=2 x=2", false),
        ("ISA2", "a=1 b=1 c=0", false),
        ("Z6.0", "a=1 z=2 b=0", true),
        ("Z6.0+mfences", "a=1 z=2 b=0", false),
        ("Z6.1", "y=2 a=1 x=2", false),
        ("Z6.2", "a=1 b=1 x=2", false),
        ("Z6.3", "y=2 a=1 b=0", false),
        ("Z6.4", "y=2 a=0 b=0", true),
        ("Z6.4+mfences", "y=2 a=0 b=0", false),
        ("Z6.5", "y=2 z=2 a=0", true),
        ("Z6.5+mfences", "y=2 z=2 a=0", false),
        ("W+RWC", "a=1 b=0 c=0", true),
        ("W+RWC+mfences", "a=1 b=0 c=0", false),
        ("3.SB", "a=0 b=0 c=0", true),
        ("3.SB+mfences", "a=0 b=0 c=0", false),
        ("3.LB", "a=1 b=1 c=1", false),
        ("3.2W", "x=1 y=1 z=1", false),
        ("IRIW", "a=1 b=0 c=1 d=0", false),
        ("IRRWIW", "a=2 b=0 c=1 x=2", false),
        ("IRWIW", "a=2 y=2 b=2 x=2", false),
        ("4.SB", "a=0 b=0 c=0 d=0", true),
        ("4.LB", "a=1 b=1 c=1 d=1", false),
        ("CoRR", "a=1 b=0", false),
        ("CoRW", "a=2 x=2", false),
        ("CoWR", "a=0", false),
        ("CoWW", "x=1", false),
        ("CoRR2", "a=1 b=2 c=2 d=1", false),
        ("n4", "a=2 c=1", false),
        ("n5", "a=2 b=1", false),
        ("n6", "a=1 b=0 x=1", true),
        ("n7", "a=1 b=0 c=1 d=0", true),
        ("inc", "a=0 b=0", false),
        ("word-halves", "a=4294967296", false),
        ("halves-word", "a=1 b=0", false),
    ];

    #[test]
    fn shapes_have_the_verdicts_of_the_literature() {
        for (name, condition, verdict) in KNOWN {
            assert_eq!(allows(name, condition), *verdict, "{name}: {condition}");
        }
    }

    #[test]
    fn a_load_of_anothers_store_is_communication_and_of_the_own_is_not() {
        let program = Program::parse("", "x=1 a=x | x=2").unwrap();
        let outcomes = allowed(&program);
        let of = |outcome: &[u64]| outcomes.get(outcome).copied();
        assert_eq!(of(&[1, 1]), Some(false));
        assert_eq!(of(&[1, 2]), Some(false));
        assert_eq!(of(&[2, 2]), Some(true));
        assert_eq!(of(&[2, 1]), None);
    }

    #[test]
    fn threads_one_after_another_never_overlap() {
        let program = Program::parse("", "x=1 a=y | y=1 b=x").unwrap();
        let both: BTreeSet<_> = [vec![0, 1, 1, 1], vec![1, 0, 1, 1]].into();
        assert_eq!(serial(&program), both);
    }
}
