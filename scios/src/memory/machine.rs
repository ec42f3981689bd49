//! How much memory this process can have at all: the machine's, or what its control groups leave of it.

use std::path::{Path, PathBuf};

use super::MemoryError;
use crate::limits::BUDGET_BYTES_MIN;

const MEMINFO: &str = "/proc/meminfo";
const CGROUP: &str = "/proc/self/cgroup";

/// Where control groups of version 2 and of version 1 are found, and what their limit is called. A hybrid set-up has
/// the former in a folder of its own.
const HIERARCHIES: [(&str, bool, &str); 3] = [
    ("/sys/fs/cgroup", false, "memory.max"),
    ("/sys/fs/cgroup/unified", false, "memory.max"),
    ("/sys/fs/cgroup/memory", true, "memory.limit_in_bytes"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineMemory {
    pub total_bytes: u64,
    /// The lowest limit of the control groups that this process is in, when that is less than the machine has.
    pub cgroup_bytes: Option<u64>,
}

impl MachineMemory {
    pub fn read() -> Result<Self, MemoryError> {
        let machine_error = |what: String| MemoryError::Machine { path: MEMINFO, what };
        let meminfo = std::fs::read_to_string(MEMINFO).map_err(|error| machine_error(error.to_string()))?;
        let total_bytes =
            parse_mem_total(&meminfo).ok_or_else(|| machine_error("no MemTotal line".to_owned()))?;
        let membership = std::fs::read_to_string(CGROUP).unwrap_or_default();
        let lowest = limit_files(&membership)
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .filter_map(|text| text.trim().parse::<u64>().ok())
            .min();
        Ok(Self { total_bytes, cgroup_bytes: lowest.filter(|&limit| limit < total_bytes) })
    }

    /// The most that a node may donate.
    pub fn limit_bytes(&self) -> u64 {
        self.cgroup_bytes.unwrap_or(self.total_bytes)
    }

    /// Whether `memory=` of that many bytes is possible here.
    pub fn check(&self, asked: u64) -> Result<(), MemoryError> {
        if asked < BUDGET_BYTES_MIN {
            return Err(MemoryError::TooSmall { asked, min: BUDGET_BYTES_MIN });
        }
        let limit = self.limit_bytes();
        if asked <= limit {
            return Ok(());
        }
        let source_name = match self.cgroup_bytes {
            Some(_) => "the control group of this process allows",
            None => "this machine has",
        };
        Err(MemoryError::LargerThanMachine { asked, limit, source_name })
    }
}

fn parse_mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Every file that may hold a limit for the groups in `membership` (/proc/self/cgroup) and for those above them: a
/// limit holds for everything below it. In a container the path may be that of another view; then only the root's exists.
fn limit_files(membership: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        for (root, wants_memory, file) in HIERARCHIES {
            let of_this_kind = if wants_memory {
                controllers.split(',').any(|c| c == "memory")
            } else {
                controllers.is_empty()
            };
            if of_this_kind {
                let relative = Path::new(group.trim_start_matches('/'));
                files.extend(relative.ancestors().map(|group| Path::new(root).join(group).join(file)));
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory() {
        let machine = MachineMemory::read().unwrap();
        assert!(machine.limit_bytes() >= BUDGET_BYTES_MIN);
        assert!(machine.limit_bytes() <= machine.total_bytes);
    }

    #[test]
    fn mem_total_is_read_in_kibibytes_and_garbage_is_none() {
        assert_eq!(parse_mem_total("MemTotal:       24684084 kB\nMemFree: 1 kB\n"), Some(24_684_084 * 1024));
        for garbage in ["", "MemTotal:", "MemTotal: x kB", "MemTotal: 99999999999999999999 kB", "MemTotal: 5"]
        {
            assert_eq!(parse_mem_total(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn limits_are_looked_for_in_every_group_above_in_both_versions() {
        let files = limit_files("4:cpu,memory:/a/b\n0::/c\n3:cpuset:/d\ngarbage\n");
        let files: Vec<_> = files.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/c/memory.max",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/unified/c/memory.max",
                "/sys/fs/cgroup/unified/memory.max",
            ]
        );
    }

    #[test]
    fn more_than_the_machine_or_the_group_has_is_refused_with_the_figures() {
        let machine = MachineMemory { total_bytes: 8 << 30, cgroup_bytes: None };
        assert!(machine.check(8 << 30).is_ok());
        let sentence = machine.check((8 << 30) + 1).unwrap_err().to_string();
        assert!(sentence.contains("8589934593") && sentence.contains("8589934592 bytes"), "{sentence}");
        let grouped = MachineMemory { cgroup_bytes: Some(1 << 30), ..machine };
        let sentence = grouped.check(2 << 30).unwrap_err().to_string();
        assert!(sentence.contains("control group") && sentence.contains("1073741824"), "{sentence}");
        assert!(matches!(machine.check(0), Err(MemoryError::TooSmall { .. })));
    }
}
