//! A node's clock: true time with an offset and a drift, which never goes back.

use crate::Nanos;

const MILLION: i128 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What the clock showed when the true time was `from`.
    shown: u64,
    from: Nanos,
    drift_ppm: i64,
}

impl Clock {
    pub(super) fn new(shown: Nanos, from: Nanos, drift_ppm: i64) -> Self {
        Self { shown: shown.0, from, drift_ppm }
    }

    pub(super) fn at(&self, truth: Nanos) -> Nanos {
        let passed = truth.0.saturating_sub(self.from.0);
        if self.drift_ppm == 0 {
            return Nanos(self.shown.saturating_add(passed));
        }
        let shown = i128::from(passed) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        Nanos(self.shown.saturating_add(u64::try_from(shown).unwrap_or(u64::MAX)))
    }

    /// The true time that passes while this clock counts `ns`.
    pub(super) fn truly(&self, ns: u64) -> u64 {
        if self.drift_ppm == 0 {
            return ns;
        }
        u64::try_from(i128::from(ns) * MILLION / (MILLION + i128::from(self.drift_ppm))).unwrap_or(u64::MAX)
    }

    /// From `truth` on, another rate; what is shown goes on from where it was.
    pub(super) fn set_drift(&mut self, truth: Nanos, drift_ppm: i64) {
        *self = Self::new(self.at(truth), truth, drift_ppm);
    }

    pub(super) fn jump(&mut self, ns: u64) {
        self.shown = self.shown.saturating_add(ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_gains_its_drift_and_goes_on_without_a_step_when_the_drift_changes() {
        let mut clock = Clock::new(Nanos(500), Nanos(0), 100);
        assert_eq!(clock.at(Nanos(1_000_000)), Nanos(1_000_600));
        clock.set_drift(Nanos(1_000_000), -100);
        assert_eq!(clock.at(Nanos(1_000_000)), Nanos(1_000_600));
        assert_eq!(clock.at(Nanos(2_000_000)), Nanos(2_000_500));
        assert_eq!(clock.truly(999_900), 1_000_000);
    }
}
