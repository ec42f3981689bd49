//! What it costs to count and to measure, alone and by two threads at once. For people to read: on a shared machine,
//! a test of times proves nothing.

use std::time::Instant;

use scios::metrics::Registry;

const ROUNDS: u64 = 20_000_000;

fn main() {
    let registry = Registry::new();
    let counter = registry.counter("scifs_example_total", "Counted.", &[]);
    let histogram = registry.histogram("scifs_example_ns", "Measured.", &[]);
    let count = |_| counter.increment();
    let measure = |n: u64| histogram.record(n.wrapping_mul(0x9e37_79b9) % 100_000);
    for threads in [1, 2] {
        report("counter", threads, count);
        report("histogram", threads, measure);
    }
    let started = Instant::now();
    let bytes = registry.snapshot().prometheus().len();
    println!("snapshot as {bytes} bytes of text: {:?}", started.elapsed());
}

fn report(what: &str, threads: usize, record: impl Fn(u64) + Sync) {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..ROUNDS).for_each(&record));
        }
    });
    let ns = started.elapsed().as_nanos() as f64 / ROUNDS as f64;
    println!("{what}, threads: {threads}: {ns:.1} ns");
}
