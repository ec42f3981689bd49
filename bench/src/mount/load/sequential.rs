//! All of a file that was written on the first mount is read on the second, once and in order.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::{CHUNK_PAGES, Ends, LoadError, call, for_reading};
use crate::mapped::{Access, Mapped};
use crate::sweep::{Measured, PAGE_BYTES, check, expected, per_byte, read_all};

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
            check(page, found, expected(page, 0))?;
        }
    }
    Ok(per_byte(begun, ends.pages))
}

pub(super) fn by_map(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let file = ends.second(&for_reading())?;
    let mapped = Mapped::new(&file, ends.pages, Access::Read).map_err(call("mmap"))?;
    let begun = Instant::now();
    read_all(&mapped, 0..ends.pages, 0)?;
    Ok(per_byte(begun, ends.pages))
}
