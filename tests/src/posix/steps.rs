//! What is done to the file. Every step makes sense at every moment, so a list of them can be shortened anywhere.

use crate::model::random::Random;

pub const PAGE: u64 = 4096;
/// The file grows to one of these; the largest has holes that a file system may treat as a whole.
const SIZES_MAX: [u64; 3] = [16 * PAGE, 75 * PAGE, 1600 * PAGE];
const PIECE_MAX: u64 = 16 * PAGE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// pread, pwrite
    Read,
    Write,
    /// Loads and stores in the mapping, as far as the file reaches
    MapRead,
    MapWrite,
    /// write with O_APPEND
    Append,
    /// ftruncate to `at`
    Resize,
    /// open with O_TRUNC
    Empty,
    Punch,
    Allocate,
    AllocateKeepingSize,
    Fsync,
    Msync,
    /// Only the descriptor and the mapping for reading stay open; the next step that writes here opens again
    CloseWriting,
    /// Close and open again, with O_DIRECT or without
    Reopen,
    ReopenDirect,
    SeekData,
    SeekHole,
}

impl Op {
    /// How often each comes, in a thousand.
    const CHANCES: [(Op, u64); 17] = [
        (Op::Read, 150),
        (Op::Write, 170),
        (Op::MapRead, 150),
        (Op::MapWrite, 170),
        (Op::Append, 60),
        (Op::Resize, 70),
        (Op::Empty, 10),
        (Op::Punch, 60),
        (Op::Allocate, 25),
        (Op::AllocateKeepingSize, 15),
        (Op::Fsync, 20),
        (Op::Msync, 20),
        (Op::CloseWriting, 60),
        (Op::Reopen, 20),
        (Op::ReopenDirect, 10),
        (Op::SeekData, 25),
        (Op::SeekHole, 25),
    ];

    fn maps(self) -> bool {
        matches!(self, Op::MapRead | Op::MapWrite | Op::Msync)
    }

    fn any(random: &mut Random) -> Self {
        let mut left = random.between(0, Self::CHANCES.iter().map(|(_, chance)| chance).sum());
        for (op, chance) in Self::CHANCES {
            match left.checked_sub(chance) {
                None => return op,
                Some(less) => left = less,
            }
        }
        Op::Read
    }
}

/// One step, and where its effect is looked at afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The position in the list as it was made; what is written follows from it.
    pub index: usize,
    pub node: usize,
    pub op: Op,
    pub at: u64,
    pub bytes: u64,
    pub witness: usize,
    pub witness_maps: bool,
}

impl Step {
    /// What this step writes to a position: never zero, so that it differs from a hole.
    pub fn byte(&self, position: u64) -> u8 {
        (1 + (self.index as u64 * 41 + position * 7 + position / PAGE) % 255) as u8
    }

    pub fn end(&self) -> u64 {
        self.at + self.bytes
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Step { index, node, op, at, bytes, witness, witness_maps } = self;
        let by = if *witness_maps { "mapping" } else { "read" };
        write!(f, "{index}: node {node} {op:?} at {at:#x} bytes {bytes:#x}, seen from node {witness} by {by}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    pub size_max: u64,
    pub steps: Vec<Step>,
}

impl Steps {
    /// The same list for the same arguments, for ever.
    pub fn new(seed: u64, count: usize, nodes: usize, maps: bool) -> Self {
        let mut random = Random::new(seed);
        let size_max = *random.pick(&SIZES_MAX);
        let mut steps = Vec::with_capacity(count);
        while steps.len() < count {
            let step = Self::step(&mut random, steps.len(), nodes, size_max);
            if maps || !step.op.maps() {
                steps.push(Step { witness_maps: maps && step.witness_maps, ..step });
            }
        }
        Self { size_max, steps }
    }

    fn step(random: &mut Random, index: usize, nodes: usize, size_max: u64) -> Step {
        let op = Op::any(random);
        let at = Self::position(random, size_max);
        // Holes are sometimes as large as the file; everything else is of moderate size, and often tiny.
        let piece_max = match random.between(0, 4) {
            0 => 16,
            1 if matches!(op, Op::Punch | Op::Allocate) => size_max,
            _ => PIECE_MAX,
        };
        let end = Self::position(random, size_max).clamp(at + 1, at + piece_max).min(size_max);
        let mut node = || random.between(0, nodes as u64) as usize;
        let (node, witness) = (node(), node());
        Step { index, node, op, at, bytes: end - at, witness, witness_maps: random.percent(50) }
    }

    /// Often at or beside a page's border, and below `size_max`.
    fn position(random: &mut Random, size_max: u64) -> u64 {
        let anywhere = random.between(0, size_max);
        let border = anywhere / PAGE * PAGE;
        let position = match random.between(0, 4) {
            0 => border,
            1 => (border + random.between(0, 5)).saturating_sub(2),
            _ => anywhere,
        };
        position.min(size_max - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_stays_inside_the_largest_file() {
        for seed in 0..50 {
            let steps = Steps::new(seed, 500, 3, seed % 2 == 0);
            assert_eq!(steps, Steps::new(seed, 500, 3, seed % 2 == 0));
            for step in steps.steps {
                assert!(step.bytes > 0 && step.end() <= steps.size_max, "{step}");
                assert!(step.node < 3 && step.witness < 3 && (seed % 2 == 0 || !step.op.maps()), "{step}");
            }
        }
    }
}
