//! What the accounting costs beside the memory itself. For people to read: on a shared machine, a test of times proves
//! nothing.

use std::error::Error;
use std::time::Instant;

use scios::limits::PAGE_BYTES;
use scios::memory::Memory;

const ROUNDS: u64 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let memory = Memory::new(4 << 30)?;
    let segment = memory.segment("example")?;
    report("populate a page, not touched", |n| segment.populate(n * 7).map(drop))?;
    report("populate a page that is resident", |n| segment.populate(n * 7).map(drop))?;
    report("release a page, not touched", |n| segment.release(n * 7..n * 7 + 1).map(drop))?;
    report("look up a page that is mapped", |n| segment.page(n * 7).map(drop))?;
    let page = [1; PAGE_BYTES];
    report("populate, copy in and release a page", |n| {
        segment.populate(n)?;
        segment.page(n)?.write_from(&page)?;
        segment.release(n..n + 1).map(drop)
    })?;
    let staging = memory.staging(&[(PAGE_BYTES, 16)])?;
    report("take and drop a staging buffer", |_| staging.take(PAGE_BYTES).map(drop))?;
    report("take and drop a frame, not touched", |_| memory.frames(1).map(drop))?;
    let mut held = Vec::new();
    report("take a frame and keep it", |_| memory.frames(1).map(|frame| held.push(frame)))?;
    // Nearly full: one free frame far behind the search.
    while let Ok(frame) = memory.frames(1) {
        held.push(frame);
    }
    report("take and drop the last free frame", |_| {
        held.pop();
        memory.frames(1).map(|frame| held.push(frame))
    })?;
    println!("{:?}", memory.status());
    Ok(())
}

fn report<E>(what: &str, mut operation: impl FnMut(u64) -> Result<(), E>) -> Result<(), E> {
    let started = Instant::now();
    for n in 0..ROUNDS {
        operation(n)?;
    }
    println!("{what}: {:.0} ns", started.elapsed().as_nanos() as f64 / ROUNDS as f64);
    Ok(())
}
