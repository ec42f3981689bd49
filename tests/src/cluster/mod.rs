//! Simulated clusters: real membership over real sessions on the simulated fabric, in virtual time, with faults drawn
//! from a seed and every invariant looked at after every single event.

mod faults;
mod machine;
mod node;
mod run;
mod seeds;

pub use faults::Plan;
pub use machine::{Histories, Places};
pub use node::{Call, Journal, Setup, SimNode, ViewSeen};
pub use run::{Failure, World};
pub use seeds::{Scenario, first_failure, reproduce, run_seeds};

/// A sequence that a seed decides (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `from..to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.draw() % (to - from).max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.draw().is_multiple_of(n)
    }
}
