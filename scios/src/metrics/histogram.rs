//! A histogram that any number of threads record into without a lock.
//!
//! Own code because `hdrhistogram` has no atomic variant: its `SyncHistogram` needs a recorder for each thread and stops them
//! all for a snapshot. What is needed is small: buckets of equal width inside of each power of two (log-linear), so that
//! a value is known to 1/32, which is 3.1 %, over the whole range.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::snapshot::HistogramSummary;
use super::stripes::Stripes;

/// Each power of two has 2^5 buckets.
const STEP_BITS: u32 = 5;
const STEPS: usize = 1 << STEP_BITS;

/// Values from 2^40 (18 minutes in nanoseconds, 1 TiB in bytes) on share the last bucket; `max` still tells them.
const VALUE_BITS: u32 = 40;
const BUCKETS: usize = STEPS * (VALUE_BITS - STEP_BITS + 1) as usize;

/// A distribution of values, of which count, sum and maximum are exact.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Stripes<Cells>>);

#[derive(Debug)]
struct Cells {
    /// The count is the sum of the buckets, so recording has one atomic addition less.
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Cells {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub fn record(&self, value: u64) {
        let cells = self.0.mine();
        cells.buckets[bucket_of(value)].fetch_add(1, Ordering::Relaxed);
        cells.sum.fetch_add(value, Ordering::Relaxed);
        // Mostly only a load: a new maximum is rare.
        if value > cells.max.load(Ordering::Relaxed) {
            cells.max.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// In nanoseconds; for histograms whose name ends in `_ns`.
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was recorded so far. What others record in the meantime may be missing from some of the numbers.
    pub fn summary(&self) -> HistogramSummary {
        let mut counts = [0u64; BUCKETS];
        let (mut sum, mut max) = (0u64, 0);
        for cells in self.0.iter() {
            for (count, bucket) in counts.iter_mut().zip(&cells.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
            sum = sum.wrapping_add(cells.sum.load(Ordering::Relaxed));
            max = max.max(cells.max.load(Ordering::Relaxed));
        }
        let count: u64 = counts.iter().sum();
        let quantile = |percent: u64| {
            // The smallest value that at least `percent` of the values don't exceed.
            let rank = (u128::from(count) * u128::from(percent)).div_ceil(100);
            let mut seen = 0u128;
            let bucket = counts.iter().position(|&n| {
                seen += u128::from(n);
                seen >= rank && seen > 0
            });
            bucket.map_or(0, |bucket| if bucket + 1 == BUCKETS { max } else { highest_in(bucket).min(max) })
        };
        HistogramSummary {
            count,
            sum,
            p50: quantile(50),
            p90: quantile(90),
            p99: quantile(99),
            max,
            powers: counts.chunks(STEPS).map(|power| power.iter().sum()).collect(),
        }
    }
}

/// Always below `BUCKETS`. The values below 2^5 have a bucket each; above, a bucket is named by the highest bit and the five after it.
fn bucket_of(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let power = value.ilog2();
    if power >= VALUE_BITS {
        return BUCKETS - 1;
    }
    let step = (value >> (power - STEP_BITS)) as usize % STEPS;
    (power - STEP_BITS + 1) as usize * STEPS + step
}

fn highest_in(bucket: usize) -> u64 {
    let (group, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    match group.checked_sub(1) {
        None => step,
        Some(shift) => ((STEPS as u64 + step + 1) << shift) - 1,
    }
}

/// The highest value that the first `powers + 1` groups of [`HistogramSummary::powers`] hold.
pub(super) fn highest_in_power(power: usize) -> u64 {
    highest_in((power + 1) * STEPS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_tells_it_to_one_thirty_second() {
        let powers = (0..VALUE_BITS).flat_map(|power| {
            let base = 1u64 << power;
            [base - 1, base, base + 1, base + base / 3, base + base / 2, 2 * base - 1]
        });
        for value in powers.chain(0..5000) {
            let bucket = bucket_of(value);
            let highest = highest_in(bucket);
            assert!(highest >= value, "{value}");
            assert!((highest - value) as f64 <= value as f64 / 32.0, "{value} told as {highest}");
            assert!(bucket == 0 || highest_in(bucket - 1) < value, "{value}");
        }
        assert_eq!(bucket_of((1 << VALUE_BITS) - 1), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_agree_with_a_sorted_list() {
        let mut state = 7u64;
        for spread in [10, 1_000, 1_000_000, 1 << 39] {
            let histogram = Histogram::default();
            let mut values: Vec<u64> = (0..10_007)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 24) % spread
                })
                .collect();
            values.iter().for_each(|&value| histogram.record(value));
            values.sort_unstable();
            let summary = histogram.summary();
            assert_eq!((summary.count, summary.sum), (10_007, values.iter().sum()));
            assert_eq!(summary.max, values[10_006]);
            for (percent, told) in [(50, summary.p50), (90, summary.p90), (99, summary.p99)] {
                let exact = values[(10_007usize * percent).div_ceil(100) - 1];
                assert!(
                    told >= exact && told - exact <= exact / 32 + 1,
                    "p{percent}: {exact} told as {told}"
                );
            }
        }
    }

    #[test]
    fn an_empty_histogram_is_all_zeros_and_one_value_is_every_quantile() {
        let histogram = Histogram::default();
        let empty = histogram.summary();
        assert_eq!((empty.count, empty.p50, empty.p99, empty.max), (0, 0, 0, 0));
        histogram.record(1_000);
        let one = histogram.summary();
        assert_eq!((one.count, one.sum, one.p50, one.p99, one.max), (1, 1_000, 1_000, 1_000, 1_000));
        histogram.record(u64::MAX);
        assert_eq!(histogram.summary().p99, u64::MAX);
    }

    #[test]
    fn nothing_that_threads_record_at_once_is_lost() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let histogram = histogram.clone();
                scope.spawn(move || (0..50_000).for_each(|n| histogram.record(n % 700 + thread)));
            }
        });
        let summary = histogram.summary();
        let expected: u64 = (0..4u64).map(|thread| (0..50_000).map(|n| n % 700 + thread).sum::<u64>()).sum();
        assert_eq!((summary.count, summary.sum, summary.max), (200_000, expected, 702));
    }
}
