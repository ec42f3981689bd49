//! The replicated state machine: commands in, answers and events out. A command is checked completely before it changes
//! anything, so a refusal leaves everything as it was.

use std::collections::{BTreeMap, BTreeSet};

use super::addresses::Addresses;
use super::attr::{Inode, ROOT, Time};
use super::command::{Answer, Command};
use super::directory::Directory;
use super::error::Refusal;
use super::event::Event;
use super::limits::{INODES_MAX, STATE_BYTES_MAX};
use super::node::{Body, File, MODE_BITS, Node};

/// The root directory of a new cluster, as its founder makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Founding {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub now: Time,
}

/// All names. Equal on all members that have applied the same commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub(super) inodes: BTreeMap<Inode, Node>,
    pub(super) next_inode: Inode,
    pub(super) addresses: Addresses,
    /// Inodes without a name, and the members that may have them open.
    pub(super) orphans: BTreeMap<Inode, BTreeSet<u32>>,
    pub(super) members: BTreeSet<u32>,
    /// The last command that was applied.
    pub(super) applied: u64,
    /// What all of it takes in a snapshot, at most.
    pub(super) weight: usize,
    events: Vec<Event>,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub answer: Result<Answer, Refusal>,
    /// In order.
    pub events: Vec<Event>,
}

impl Names {
    pub fn new(founding: &Founding) -> Self {
        let root = Node {
            mode: founding.mode & MODE_BITS,
            uid: founding.uid,
            gid: founding.gid,
            links: 2,
            atime: founding.now,
            mtime: founding.now,
            ctime: founding.now,
            birth: founding.now,
            xattrs: BTreeMap::new(),
            body: Body::Directory(Directory::new(ROOT)),
        };
        let weight = root.weight();
        Self { inodes: BTreeMap::from([(ROOT, root)]), weight, ..Self::empty(ROOT + 1) }
    }

    /// Without even a root: what a snapshot is put into.
    pub(super) fn empty(next_inode: Inode) -> Self {
        Self {
            inodes: BTreeMap::new(),
            next_inode,
            addresses: Addresses::new(),
            orphans: BTreeMap::new(),
            members: BTreeSet::new(),
            applied: 0,
            weight: 0,
            events: Vec::new(),
        }
    }

    /// Applies the command at this place of the log.
    pub fn apply(&mut self, index: u64, command: &Command) -> Done {
        self.applied = index;
        let answer = command.check().and_then(|()| self.execute(command));
        Done { answer, events: std::mem::take(&mut self.events) }
    }

    /// A command that makes no sense to this version.
    pub fn skip(&mut self, index: u64) {
        self.applied = index;
    }

    /// The index of the last command that was applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    fn execute(&mut self, command: &Command) -> Result<Answer, Refusal> {
        match command {
            Command::Make { parent, name, what, mode, uid, gid, now } => {
                let new = super::tree::New { what, mode: *mode, uid: *uid, gid: *gid };
                self.make(*parent, name, &new, *now)
            }
            Command::Link { inode, parent, name, now } => self.link(*inode, *parent, name, *now),
            Command::Unlink { parent, name, now } => self.unlink(*parent, name, *now),
            Command::RmDir { parent, name, now } => self.remove_directory(*parent, name, *now),
            Command::Rename { parent, name, new_parent, new_name, how, now } => {
                self.rename((*parent, name), (*new_parent, new_name), *how, *now)
            }
            Command::SetAttr { inode, changes, now } => self.set_attr(*inode, changes, *now),
            Command::Grow { inode, size, now } => self.grow(*inode, *size, *now),
            Command::Append { inode, at, bytes, now } => self.append(*inode, (*at, *bytes), *now),
            Command::Punch { inode, first_page, pages, now } => self.punch(*inode, *first_page, *pages, *now),
            Command::Touch { inode, written } => self.touch(*inode, *written),
            Command::SetXattr { inode, name, value, setting, now } => {
                self.set_xattr(*inode, name, value, *setting, *now)
            }
            Command::RemoveXattr { inode, name, now } => self.remove_xattr(*inode, name, *now),
            Command::Pin { inode } => self.pin(*inode),
            Command::LetGo { member, inodes } => {
                self.let_go(*member, inodes);
                Ok(Answer::Done)
            }
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn node(&self, inode: Inode) -> Result<&Node, Refusal> {
        self.inodes.get(&inode).ok_or(Refusal::Gone)
    }

    pub(super) fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, Refusal> {
        self.inodes.get_mut(&inode).ok_or(Refusal::Gone)
    }

    pub(super) fn file_mut(&mut self, inode: Inode) -> Result<&mut File, Refusal> {
        self.node_mut(inode)?.file_mut()
    }

    pub(super) fn attr(&self, inode: Inode) -> Result<Answer, Refusal> {
        Ok(Answer::Attr(self.node(inode)?.attr(inode)))
    }

    /// A directory that has a name still, so that something can be in it.
    pub(super) fn directory(&self, inode: Inode) -> Result<&Directory, Refusal> {
        let node = self.node(inode)?;
        let directory = node.directory()?;
        if node.links == 0 { Err(Refusal::NotFound) } else { Ok(directory) }
    }

    /// Changes a directory's entries, and with them its times.
    pub(super) fn edit(&mut self, inode: Inode, now: Time, edit: impl FnOnce(&mut Directory)) {
        if let Some(node) = self.inodes.get_mut(&inode) {
            if let Body::Directory(directory) = &mut node.body {
                edit(directory);
            }
            node.changed(now);
        }
    }

    pub(super) fn change_links(&mut self, inode: Inode, by: i32) {
        if let Some(node) = self.inodes.get_mut(&inode) {
            node.links = node.links.saturating_add_signed(by);
        }
    }

    /// Whether so many bytes more still fit into a snapshot.
    pub(super) fn room_for(&self, more: usize) -> Result<(), Refusal> {
        if self.weight.saturating_add(more) > STATE_BYTES_MAX { Err(Refusal::StateFull) } else { Ok(()) }
    }

    pub(super) fn room_for_inode(&self) -> Result<(), Refusal> {
        // Orphans don't count: nobody sees what could be deleted to have room.
        let named = self.inodes.len() - self.orphans.len();
        if named >= INODES_MAX { Err(Refusal::TooManyInodes) } else { Ok(()) }
    }
}
