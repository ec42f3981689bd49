//! What became of runs.

/// What became of one seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub steps: usize,
    pub messages: usize,
    pub woken: usize,
    pub changed: usize,
    pub timed_out: usize,
    pub interrupted: usize,
    pub through: usize,
    pub refused: usize,
    pub deaths: usize,
    pub breaks: usize,
}

impl Summary {
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.messages += other.messages;
        self.woken += other.woken;
        self.changed += other.changed;
        self.timed_out += other.timed_out;
        self.interrupted += other.interrupted;
        self.through += other.through;
        self.refused += other.refused;
        self.deaths += other.deaths;
        self.breaks += other.breaks;
    }
}
