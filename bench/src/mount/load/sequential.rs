//! All of a file that was written on the first mount is read on the second, once and in order.

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::mapped::{Access, Mapped};
use super::{CHUNK_PAGES, Ends, LoadError, Measured, call, check, for_reading, written};
use crate::mount::workload::PAGE_BYTES;

pub(super) fn by_read(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let file = ends.second(&for_reading())?;
    let mut chunk = vec![0; CHUNK_PAGES * PAGE_BYTES];
    let begun = Instant::now();
    for first in (0..ends.pages).step_by(CHUNK_PAGES) {
        let pages = CHUNK_PAGES.min(ends.pages - first);
        let bytes = &mut chunk[..pages * PAGE_BYTES];
        file.read_exact_at(bytes, (first * PAGE_BYTES) as u64).map_err(call("read"))?;
        for (page, bytes) in (first..).zip(bytes.chunks_exact(PAGE_BYTES)) {
            let found = bytes.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
            check(page, found, written(page))?;
        }
    }
    Ok(rate(begun, ends.pages))
}

pub(super) fn by_map(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let file = ends.second(&for_reading())?;
    let mapped = Mapped::new(&file, ends.pages, Access::Read).map_err(call("mmap"))?;
    let begun = Instant::now();
    for page in 0..ends.pages {
        let (found, sum) = mapped.read(page);
        black_box(sum);
        check(page, found, written(page))?;
    }
    Ok(rate(begun, ends.pages))
}

fn rate(begun: Instant, pages: usize) -> Measured {
    Measured { typical: begun.elapsed().as_nanos() as f64 / (pages * PAGE_BYTES) as f64, p99: None }
}
