//! The simulator's only source of chance.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

#[derive(Debug)]
pub(super) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    pub(super) fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to `max`, both possible.
    pub(super) fn up_to(&mut self, max: u64) -> u64 {
        // The high half of the product; its bias is below 2^-40 for the ranges used here.
        ((u128::from(self.any()) * (u128::from(max) + 1)) >> 64) as u64
    }

    pub(super) fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.up_to(max.saturating_sub(min))
    }

    /// True `ppm` times in a million.
    pub(super) fn happens(&mut self, ppm: u32) -> bool {
        ppm != 0 && self.up_to(999_999) < u64::from(ppm)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.any() >> 63 == 1
    }
}
