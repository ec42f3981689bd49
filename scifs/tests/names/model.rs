//! The names under test and the real directory, side by side.

use std::collections::BTreeMap;

use rustix::fd::OwnedFd;
use rustix::fs::Dir;
use rustix::io::Errno;
use scifs::names::{Answer, Attr, Command, Found, Founding, Inode, Names, Query, ROOT, Time};

use crate::real::{Scratch, Seen, stat};

/// A fixed sequence for a seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

pub(crate) struct Model {
    pub(crate) random: Random,
    pub(crate) names: Names,
    index: u64,
    /// Every directory there ever was, with its real counterpart: removed ones can still be named by those who have them open.
    pub(crate) directories: Vec<(Inode, OwnedFd)>,
    /// How often each kind of command has worked, by its name: a comparison of refusals alone would prove little.
    pub(crate) worked: BTreeMap<String, u32>,
    _scratch: Scratch,
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        let scratch = Scratch::new();
        let root = scratch.open();
        let stat = rustix::fs::fstat(&root).expect("stat the scratch directory");
        let founding = Founding {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            now: time(2_000_000),
        };
        let mut names = Names::new(&founding);
        // A member that never lets go, so that removed directories stay known.
        names.set_members([1].into());
        Self {
            random: Random::new(seed),
            names,
            index: 0,
            directories: vec![(ROOT, root)],
            worked: BTreeMap::new(),
            _scratch: scratch,
        }
    }

    pub(crate) fn now(&self) -> Time {
        time(2_000_000 + self.index as i64)
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Result<Answer, Errno> {
        self.index += 1;
        let decoded = Command::decode(&command.encode().expect("what the test makes can be sent"));
        assert_eq!(decoded.as_ref(), Ok(command), "what travels is what was meant");
        self.names.apply(self.index, command).answer.map_err(|why| why.errno())
    }

    pub(crate) fn query(&self, query: &Query) -> Result<Found, Errno> {
        self.names.query(query).map_err(|why| why.errno())
    }

    pub(crate) fn lookup(&self, parent: Inode, name: &[u8]) -> Result<Attr, Errno> {
        match self.query(&Query::Lookup { parent, name: name.to_vec() })? {
            Found::Attr(attr) => Ok(attr),
            other => panic!("a lookup found {other:?}"),
        }
    }

    /// One name in one directory.
    pub(crate) fn compare_entry(&self, (parent, fd): (Inode, &OwnedFd), name: &[u8]) -> Result<(), String> {
        let ours = self.lookup(parent, name).map(|attr| Seen::from(&attr));
        let real = stat(fd, name).map(|stat| Seen::from(&stat));
        let two_wrongs = name.len() > 255 && ours.is_err() && real.is_err();
        if ours == real || two_wrongs {
            Ok(())
        } else {
            Err(format!("entry {name:?}: {ours:?} here, {real:?} there"))
        }
    }

    pub(crate) fn compare_directory(&self, inode: Inode, fd: &OwnedFd) -> Result<(), String> {
        let Ok(Found::Attr(attr)) = self.query(&Query::GetAttr { inode }) else {
            return Err(format!("directory {inode} is gone"));
        };
        let real = rustix::fs::fstat(fd).map_err(|why| why.to_string())?;
        let (ours, real) = (Seen::from(&attr), Seen::from(&real));
        if ours == real { Ok(()) } else { Err(format!("directory {inode}: {ours:?} here, {real:?} there")) }
    }

    /// The whole tree, and what a snapshot makes of it.
    pub(crate) fn compare_everything(&self) -> Result<(), String> {
        for (inode, fd) in &self.directories {
            self.compare_directory(*inode, fd)?;
            let ours = self.list(*inode)?;
            let real = list(fd)?;
            if !ours.keys().eq(real.iter()) {
                return Err(format!("directory {inode} has {:?} here, {real:?} there", ours.keys()));
            }
            for name in ours.keys().filter(|name| !matches!(&name[..], b"." | b"..")) {
                self.compare_entry((*inode, fd), name)?;
            }
        }
        let bytes = self.names.snapshot();
        match Names::from_snapshot(&bytes) {
            Ok(copy) if copy == self.names => Ok(()),
            Ok(_) => Err("a snapshot brings back something else".into()),
            Err(why) => Err(format!("a snapshot can't be read: {why}")),
        }
    }

    fn list(&self, inode: Inode) -> Result<BTreeMap<Vec<u8>, Inode>, String> {
        let (mut all, mut after) = (BTreeMap::new(), 0);
        loop {
            let query = Query::ReadDir { inode, after, max: 3 };
            let Found::Entries(entries) = self.query(&query).map_err(|why| why.to_string())? else {
                return Err("no list".into());
            };
            let Some(last) = entries.last() else { return Ok(all) };
            after = last.cookie;
            for entry in entries {
                if all.insert(entry.name.clone(), entry.inode).is_some() {
                    return Err(format!("{:?} is listed twice", entry.name));
                }
            }
        }
    }
}

fn list(fd: &OwnedFd) -> Result<std::collections::BTreeSet<Vec<u8>>, String> {
    match Dir::read_from(fd).map_err(|why| why.to_string())?.collect::<Result<Vec<_>, _>>() {
        Ok(entries) => Ok(entries.iter().map(|entry| entry.file_name().to_bytes().to_vec()).collect()),
        // A removed directory can't be listed; here it is empty.
        Err(Errno::NOENT) => Ok([].into()),
        Err(why) => Err(why.to_string()),
    }
}

pub(crate) fn time(seconds: i64) -> Time {
    Time { seconds, nanos: 0 }
}
