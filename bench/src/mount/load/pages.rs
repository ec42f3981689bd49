//! Loads and stores through mappings on both mounts.

use super::{Ends, LoadError, call, for_reading, for_writing};
use crate::mapped::{Access, Mapped};
use crate::sweep::{Measured, Times, load_all, out_of_order, store_all};

impl Ends<'_> {
    fn first_mapped(&self) -> Result<Mapped, LoadError> {
        Mapped::new(&self.first(&for_writing())?, self.pages, Access::ReadWrite).map_err(call("mmap"))
    }

    fn second_mapped(&self, access: Access) -> Result<Mapped, LoadError> {
        let how = if access == Access::Read { for_reading() } else { for_writing() };
        Mapped::new(&self.second(&how)?, self.pages, access).map_err(call("mmap"))
    }

    fn order(&self) -> impl Iterator<Item = usize> {
        out_of_order(self.pages)
    }

    /// How often each page is visited.
    fn sweeps(&self) -> u64 {
        (self.repeats / self.pages) as u64
    }
}

/// Pages that only the first node has are loaded on the second.
pub(super) fn cold_faults(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let second = ends.second_mapped(Access::Read)?;
    let mut times = Times::new(ends.repeats);
    load_all(&second, ends.order(), 0, &mut times)?;
    Ok(times.measured())
}

/// Each page is stored to on one mount, then on the other, and so on.
pub(super) fn dirty_migrations(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let (first, second) = (ends.first_mapped()?, ends.second_mapped(Access::ReadWrite)?);
    let mut times = Times::new(ends.repeats);
    // No migration yet: the pages are there.
    store_all(&first, ends.order(), 0, &mut Times::new(ends.pages))?;
    for (sweep, mount) in (1..=ends.sweeps()).zip([&second, &first].into_iter().cycle()) {
        store_all(mount, ends.order(), sweep, &mut times)?;
    }
    Ok(times.measured())
}

/// The same with loads. Both mounts may write, so the page can only be at one of them.
pub(super) fn clean_migrations(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let (first, second) = (ends.first_mapped()?, ends.second_mapped(Access::ReadWrite)?);
    let mut times = Times::new(ends.repeats);
    load_all(&first, ends.order(), 0, &mut Times::new(ends.pages))?;
    for (_, mount) in (0..ends.sweeps()).zip([&second, &first].into_iter().cycle()) {
        load_all(mount, ends.order(), 0, &mut times)?;
    }
    Ok(times.measured())
}

/// The second mount only reads, so both have the page; then the first stores to it.
pub(super) fn write_upgrades(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let (first, second) = (ends.first_mapped()?, ends.second_mapped(Access::Read)?);
    let mut times = Times::new(ends.repeats);
    for sweep in 0..ends.sweeps() {
        load_all(&second, ends.order(), sweep, &mut Times::new(ends.pages))?;
        store_all(&first, ends.order(), sweep, &mut times)?;
    }
    Ok(times.measured())
}
