//! The ways in which a process reaches a file's memory. All are the same program, started in another way: its own mmap, or what
//! `scifs exec` makes of it. A process that gets another mapping than it was started for fails: the mount's mapping is coherent too,
//! so a test would pass without having tested anything.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::ValueEnum;

use super::mapped::{Access, Mapped};
use super::team::Worker;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Surface {
    /// What the mount gives: the kernel's page cache
    File,
    /// The node's own memory, by userfaultfd
    Vm,
}

impl Surface {
    pub fn name(self) -> &'static str {
        match self {
            Surface::File => "file",
            Surface::Vm => "vm",
        }
    }

    /// A shared mapping, which is certain to be of this kind.
    pub fn map(self, file: impl AsFd, bytes: usize, access: Access) -> io::Result<Mapped> {
        let mapped = Mapped::shared(file, bytes, access)?;
        self.check(mapped.address())?;
        Ok(mapped)
    }

    pub fn check(self, address: usize) -> io::Result<()> {
        let seen = Kind::of(address, BufReader::new(File::open("/proc/self/smaps")?))?;
        let right = match self {
            Surface::File => !seen.memory,
            Surface::Vm => seen.memory && seen.served,
        };
        if right {
            return Ok(());
        }
        let what = format!("the surface should be {}, and what is mapped is {seen:?}", self.name());
        Err(io::Error::other(what))
    }
}

/// What the kernel says about a mapping.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    path: String,
    /// A node's memory, not a file of a mount.
    memory: bool,
    /// Its faults go to a userfaultfd.
    served: bool,
}

impl Kind {
    fn of(address: usize, smaps: impl BufRead) -> io::Result<Self> {
        let mut found: Option<Self> = None;
        for line in smaps.lines() {
            let line = line?;
            let mut words = line.split_ascii_whitespace();
            let first = words.next().unwrap_or_default();
            if let Some(range) = range(first) {
                if found.is_some() {
                    break;
                }
                let path: Vec<_> = words.skip(4).collect();
                let path = path.join(" ");
                let memory = path.starts_with("/memfd:");
                found = range.contains(&address).then_some(Self { path, memory, served: false });
            } else if let ("VmFlags:", Some(kind)) = (first, &mut found) {
                kind.served = words.any(|flag| matches!(flag, "um" | "ui"));
            }
        }
        found.ok_or_else(|| io::Error::other(format!("nothing is mapped at {address:#x}")))
    }
}

fn range(word: &str) -> Option<std::ops::Range<usize>> {
    let (start, end) = word.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

/// How the processes of a run reach memory, in turn.
#[derive(Clone, Debug, clap::Args)]
pub struct Surfaces {
    /// How processes map files, in turn: by the mount (file), by `scifs exec` (vm)
    #[arg(long, value_delimiter = ',', default_value = "file")]
    surfaces: Vec<Surface>,
    /// What starts those of `vm`, if it isn't beside this program
    #[arg(long)]
    scifs: Option<PathBuf>,
}

/// Where processes that work together are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Nodes {
    /// All on one node
    Same,
    /// On as many as there are
    Different,
}

impl Nodes {
    /// On how many of those that there are.
    pub fn of(self, nodes: usize) -> usize {
        if self == Nodes::Same { 1 } else { nodes }
    }

    pub fn option(self) -> &'static str {
        if self == Nodes::Same { "--place same" } else { "--place different" }
    }
}

impl Surfaces {
    pub fn at(&self, turn: usize) -> Surface {
        self.surfaces.get(turn % self.surfaces.len().max(1)).copied().unwrap_or(Surface::File)
    }

    pub fn distinct(&self) -> Vec<Surface> {
        let mut list = self.surfaces.clone();
        list.sort_unstable();
        list.dedup();
        list
    }

    /// How many ways there are to hand them out in turn.
    pub fn turns(&self) -> usize {
        if self.distinct().len() > 1 { self.surfaces.len() } else { 1 }
    }

    /// Of a process when processes go to so many nodes in turn: every surface gets to every node.
    pub fn of(&self, process: usize, nodes: usize) -> Surface {
        let nodes = nodes.max(1);
        let shift = if nodes.is_multiple_of(self.turns()) { process / nodes } else { 0 };
        self.at(process + shift)
    }

    /// This program again: `PART --surface SURFACE ARGUMENTS`.
    pub fn start(&self, surface: Surface, part: &str, arguments: &[String]) -> io::Result<Worker> {
        let this = std::env::current_exe()?;
        let mut all = vec![part.to_owned(), "--surface".into(), surface.name().into()];
        all.extend_from_slice(arguments);
        if surface == Surface::File {
            return Worker::of(&this, &all);
        }
        let beside = || this.with_file_name("scifs");
        let scifs = self.scifs.clone().unwrap_or_else(beside);
        let mut exec = vec!["exec".to_owned(), "--".into(), this.display().to_string()];
        exec.append(&mut all);
        Worker::of(&scifs, &exec).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}; see --scifs", scifs.display()))
        })
    }

    /// For whoever repeats a run.
    pub fn options(&self) -> String {
        let names: Vec<_> = self.surfaces.iter().map(|surface| surface.name()).collect();
        format!("--surfaces {}", names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000004000 rw-s 00000000 00:01 5      /memfd:scifs (deleted)
Rss:                   4 kB
VmFlags: rd wr sh mr mw me ms um uw sd
7f0000004000-7f0000008000 rw-s 00000000 00:2a 7      /mnt/a file
Rss:                   4 kB
VmFlags: rd wr sh mr mw me ms sd
";

    #[test]
    fn a_mapping_is_known_by_what_the_kernel_says_of_it() {
        let kind = |address| Kind::of(address, SMAPS.as_bytes()).unwrap();
        let vm = kind(0x7f00_0000_3fff);
        assert!(vm.memory && vm.served, "{vm:?}");
        let file = Kind { path: "/mnt/a file".into(), memory: false, served: false };
        assert_eq!(kind(0x7f00_0000_4000), file);
        assert!(Kind::of(0x1000, SMAPS.as_bytes()).is_err());
    }

    #[test]
    fn a_mapping_of_another_kind_is_refused() {
        let file = rustix::fs::memfd_create("other", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 4096).unwrap();
        for surface in [Surface::File, Surface::Vm] {
            assert!(surface.map(&file, 4096, Access::Read).is_err(), "{surface:?}");
        }
    }

    #[test]
    fn every_surface_gets_to_every_node() {
        let surfaces = Surfaces { surfaces: vec![Surface::File, Surface::Vm], scifs: None };
        for nodes in [2, 3, 4] {
            let seen: std::collections::HashSet<_> =
                (0..12).map(|process| (process % nodes, surfaces.of(process, nodes))).collect();
            assert_eq!(seen.len(), 2 * nodes);
        }
        assert_ne!(surfaces.of(0, 1), surfaces.of(1, 1));
    }
}
