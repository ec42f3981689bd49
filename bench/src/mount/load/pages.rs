//! Loads and stores through mappings on both mounts.

use super::mapped::{Access, Mapped};
use super::{Ends, LoadError, Measured, Times, call, check, for_reading, for_writing, written};

/// Odd, so that it meets every page of a power of two once; far enough that no page follows its neighbour, which would be
/// taken for reading in order.
const STRIDE: usize = 1597;

fn out_of_order(pages: usize) -> impl Iterator<Item = usize> {
    (0..pages).map(move |index| index * STRIDE % pages)
}

impl Ends<'_> {
    fn first_mapped(&self) -> Result<Mapped, LoadError> {
        Mapped::new(&self.first(&for_writing())?, self.pages, Access::ReadWrite).map_err(call("mmap"))
    }

    fn second_mapped(&self, access: Access) -> Result<Mapped, LoadError> {
        let how = if access == Access::Read { for_reading() } else { for_writing() };
        Mapped::new(&self.second(&how)?, self.pages, access).map_err(call("mmap"))
    }
}

/// Pages that only the first node has are loaded on the second.
pub(super) fn cold_faults(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let second = ends.second_mapped(Access::Read)?;
    let mut times = Times::new(ends.repeats);
    for page in out_of_order(ends.pages) {
        let found = times.time(|| second.load(page));
        check(page, found, written(page))?;
    }
    Ok(times.measured())
}

/// Each page is stored to on one mount, then on the other, and so on.
pub(super) fn dirty_migrations(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let mounts = [ends.first_mapped()?, ends.second_mapped(Access::ReadWrite)?];
    let mut times = Times::new(ends.repeats);
    let mut last: Vec<u64> = (0..ends.pages).map(written).collect();
    // No migration yet: the pages are there.
    store_all(&mounts[0], &mut Times::new(ends.pages), &mut last)?;
    for sweep in 0..ends.repeats / ends.pages {
        store_all(&mounts[(sweep + 1) % 2], &mut times, &mut last)?;
    }
    Ok(times.measured())
}

/// `last` is what was stored last to each page.
fn store_all(mount: &Mapped, times: &mut Times, last: &mut [u64]) -> Result<(), LoadError> {
    for page in out_of_order(last.len()) {
        let expected = last[page];
        last[page] += 1;
        let found = times.time(|| mount.swap(page, expected + 1));
        check(page, found, expected)?;
    }
    Ok(())
}

/// The same with loads. Both mounts may write, so the page can only be at one of them.
pub(super) fn clean_migrations(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let mounts = [ends.first_mapped()?, ends.second_mapped(Access::ReadWrite)?];
    let mut times = Times::new(ends.repeats);
    for page in out_of_order(ends.pages) {
        check(page, mounts[0].load(page), written(page))?;
    }
    for sweep in 0..ends.repeats / ends.pages {
        let mount = &mounts[(sweep + 1) % 2];
        for page in out_of_order(ends.pages) {
            let found = times.time(|| mount.load(page));
            check(page, found, written(page))?;
        }
    }
    Ok(times.measured())
}

/// The second mount only reads, so both have the page; then the first stores to it.
pub(super) fn write_upgrades(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let (first, second) = (ends.first_mapped()?, ends.second_mapped(Access::Read)?);
    let mut times = Times::new(ends.repeats);
    let mut last: Vec<u64> = (0..ends.pages).map(written).collect();
    for _ in 0..ends.repeats / ends.pages {
        for page in out_of_order(ends.pages) {
            check(page, second.load(page), last[page])?;
        }
        store_all(&first, &mut times, &mut last)?;
    }
    Ok(times.measured())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_order_meets_each_page_once_and_never_neighbours() {
        for pages in [1, 64, 2048, 65_536] {
            let order: Vec<_> = out_of_order(pages).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..pages));
            assert!(order.windows(2).all(|pair| pair[1].abs_diff(pair[0]) > 1));
        }
    }
}
