//! How long threads should wait for each other to meet: pauses that are short beside what a page takes to move let one thread
//! run as a whole, and long ones only cost time.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::shared::clock::now_ns;
use crate::shared::mapped::{Access, Width};
use crate::shared::surface::Surface;
use crate::shared::team;

/// Where a page moves in no time, processes still need some to meet.
const DELAY_LOG2: (u64, u64) = (7, 17);
/// Pauses of a millisecond would make a run too long.
const DELAY_LOG2_MAX: u64 = 20;
const MOVES: usize = 101;

/// The scales of pauses for pages that take so long.
pub fn delay_log2(move_ns: u64) -> (u64, u64) {
    let log2 = u64::from(move_ns.max(1).ilog2());
    let high = (log2 + 4).clamp(DELAY_LOG2.1, DELAY_LOG2_MAX);
    (log2.saturating_sub(1).clamp(DELAY_LOG2.0, high - 3), high)
}

/// The life of a process that measures how long a page takes to move.
pub fn serve(surface: Surface, folders: &[PathBuf]) -> io::Result<()> {
    team::serve(|_| move_ns(surface, folders).map(|ns| ns.to_string()).map_err(|error| error.to_string()))
}

/// The median time of a store to a page that another directory has just stored to.
fn move_ns(surface: Surface, folders: &[PathBuf]) -> io::Result<u64> {
    let name = format!("litmus-pace-{}", std::process::id());
    let first = folders.first().ok_or(io::ErrorKind::NotFound)?.join(&name);
    File::create_new(&first)?.set_len(4096)?;
    let map = |folder: &PathBuf| {
        let file = File::options().read(true).write(true).open(folder.join(&name))?;
        surface.map(file, 4096, Access::ReadWrite)
    };
    let mapped = folders.iter().map(map).collect::<io::Result<Vec<_>>>()?;
    let store = |index: usize| {
        let start_ns = now_ns();
        mapped[index % mapped.len()].store(0, Width::Eight, index as u64);
        now_ns() - start_ns
    };
    let mut times: Vec<_> = (0..MOVES).map(store).collect();
    times.sort_unstable();
    drop(mapped);
    std::fs::remove_file(first)?;
    Ok(times[MOVES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_what_a_page_takes_but_not_for_ever() {
        assert_eq!(delay_log2(50), (7, 17));
        assert_eq!(delay_log2(70_000), (15, 20));
        assert_eq!(delay_log2(u64::MAX), (17, 20));
    }
}
