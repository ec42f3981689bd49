//! A process's mappings as /proc shows them, for those that this node was not told of.

use std::io::{BufRead, BufReader};
use std::os::fd::BorrowedFd;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    /// In the file.
    pub(super) offset: u64,
    inode: u64,
}

/// The mapping of this address, of the process that the thread belongs to.
pub(super) fn find(thread: u32, address: u64) -> Option<Mapping> {
    let file = std::fs::File::open(format!("/proc/{thread}/maps")).ok()?;
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter_map(|line| parse(&line)).find(|found| (found.start..found.end).contains(&address))
}

/// Whether it is of this memory file.
pub(super) fn is(mapping: &Mapping, file: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_ino == mapping.inode)
}

fn parse(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let offset = words.nth(1)?;
    let inode = words.nth(1)?.parse().ok()?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let mapping = Mapping { start: hex(start)?, end: hex(end)?, offset: hex(offset)?, inode };
    line.contains("/memfd:").then_some(mapping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_memory_file_is_read() {
        let line = "200000000000-200000003000 rw-s 00002000 00:01 1234   /memfd:scifs-7 (deleted)";
        let found = Mapping { start: 0x2000_0000_0000, end: 0x2000_0000_3000, offset: 0x2000, inode: 1234 };
        assert_eq!(parse(line), Some(found));
        assert_eq!(parse("7f00-7f01 r--p 00000000 08:01 99   /usr/lib/libc.so.6"), None);
        assert_eq!(parse("nonsense"), None);
    }
}
