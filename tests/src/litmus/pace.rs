//! How long threads should wait for each other to meet: pauses that are short beside what a page takes to move let one thread
//! run as a whole, and long ones only cost time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
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

fn delay_log2(move_ns: u64) -> (u64, u64) {
    let log2 = u64::from(move_ns.max(1).ilog2());
    let high = (log2 + 4).clamp(DELAY_LOG2.1, DELAY_LOG2_MAX);
    (log2.saturating_sub(1).clamp(DELAY_LOG2.0, high - 3), high)
}

/// How long things take on the directories of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The median of a store to a page that another directory has just stored to.
    pub move_ns: u64,
    /// Of a pwrite there.
    pub call_ns: u64,
}

impl Pace {
    /// The scales of pauses for a test.
    pub fn delay_log2(&self, calls: bool) -> (u64, u64) {
        delay_log2(if calls { self.move_ns.max(self.call_ns) } else { self.move_ns })
    }

    pub fn slower(self, other: Self) -> Self {
        Self { move_ns: self.move_ns.max(other.move_ns), call_ns: self.call_ns.max(other.call_ns) }
    }

    pub fn parse(line: &str) -> Option<Self> {
        let (move_ns, call_ns) = line.split_once(' ')?;
        Some(Self { move_ns: move_ns.parse().ok()?, call_ns: call_ns.parse().ok()? })
    }
}

/// The life of a process that measures that.
pub fn serve(surface: Surface, folders: &[PathBuf]) -> io::Result<()> {
    team::serve(|_| {
        let Pace { move_ns, call_ns } = measured(surface, folders).map_err(|error| error.to_string())?;
        Ok(format!("{move_ns} {call_ns}"))
    })
}

fn measured(surface: Surface, folders: &[PathBuf]) -> io::Result<Pace> {
    let name = format!("litmus-pace-{}", std::process::id());
    let first = folders.first().ok_or(io::ErrorKind::NotFound)?.join(&name);
    File::create_new(&first)?.set_len(4096)?;
    let open = |folder: &PathBuf| {
        let file = File::options().read(true).write(true).open(folder.join(&name))?;
        surface.map(&file, 4096, Access::ReadWrite).map(|mapped| (file, mapped))
    };
    let open = folders.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    let move_ns = median_ns(|index| {
        open[index % open.len()].1.store(0, Width::Eight, index as u64);
        Ok(())
    })?;
    let call_ns =
        median_ns(|index| open[index % open.len()].0.write_all_at(&(index as u64).to_le_bytes(), 0))?;
    drop(open);
    std::fs::remove_file(first)?;
    Ok(Pace { move_ns, call_ns })
}

fn median_ns(access: impl Fn(usize) -> io::Result<()>) -> io::Result<u64> {
    let timed = |index| {
        let start_ns = now_ns();
        access(index).map(|()| now_ns() - start_ns)
    };
    let mut times = (0..MOVES).map(timed).collect::<io::Result<Vec<_>>>()?;
    times.sort_unstable();
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
