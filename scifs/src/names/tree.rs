//! Names come and go: make, link, unlink, rmdir.

use std::collections::BTreeMap;

use super::attr::{Inode, Time};
use super::command::{Answer, Make};
use super::directory::Directory;
use super::error::Refusal;
use super::event::Event;
use super::limits::{FILE_BYTES_MAX, INODE_MAX, LINKS_MAX};
use super::node::{Body, File, MODE_BITS, NODE_WEIGHT, Node, SET_GID, entry_weight};
use super::state::Names;

/// What is to be made, by whom.
pub(super) struct New<'a> {
    pub(super) what: &'a Make,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Names {
    pub(super) fn make(
        &mut self,
        parent: Inode,
        name: &[u8],
        new: &New<'_>,
        now: Time,
    ) -> Result<Answer, Refusal> {
        if self.directory(parent)?.get(name).is_some() {
            return Err(Refusal::Exists);
        }
        self.room_for_inode()?;
        let extra = if let Make::SymLink { target } = new.what { target.len() } else { 0 };
        self.room_for(2 * NODE_WEIGHT + entry_weight(name) + extra)?;
        let inode = self.next_inode;
        if inode >= INODE_MAX {
            return Err(Refusal::TooManyInodes);
        }
        // The last that can be refused.
        let body = self.body(inode, parent, new.what)?;
        let mut node = Node {
            mode: new.mode & MODE_BITS,
            uid: new.uid,
            gid: new.gid,
            links: 1,
            atime: now,
            mtime: now,
            ctime: now,
            birth: now,
            xattrs: BTreeMap::new(),
            body,
        };
        self.inherit(parent, &mut node);
        self.next_inode += 1;
        self.weight += node.weight() + entry_weight(name);
        if node.is_directory() {
            node.links = 2;
            self.change_links(parent, 1);
        }
        self.inodes.insert(inode, node);
        self.edit(parent, now, |directory| directory.add(name, inode));
        self.attr(inode)
    }

    fn body(&mut self, inode: Inode, parent: Inode, what: &Make) -> Result<Body, Refusal> {
        Ok(match what {
            Make::File { consistency, address, size } => {
                if *size > FILE_BYTES_MAX {
                    return Err(Refusal::TooLong);
                }
                if let Some(address) = address {
                    self.addresses.claim(inode, *address, *size)?;
                }
                let (consistency, address) = (*consistency, *address);
                Body::File(File { size: *size, consistency, address, ..File::default() })
            }
            Make::Directory => Body::Directory(Directory::new(parent)),
            Make::SymLink { target } => Body::SymLink(target.clone()),
            Make::Special { kind, device } => Body::Special { kind: *kind, device: *device },
        })
    }

    /// In a directory with the set-group-id bit, everything new belongs to its group, and new directories have the bit too.
    fn inherit(&self, parent: Inode, node: &mut Node) {
        let Some(parent) = self.inodes.get(&parent).filter(|parent| parent.mode & SET_GID != 0) else {
            return;
        };
        node.gid = parent.gid;
        if node.is_directory() {
            node.mode |= SET_GID;
        }
    }

    pub(super) fn link(
        &mut self,
        inode: Inode,
        parent: Inode,
        name: &[u8],
        now: Time,
    ) -> Result<Answer, Refusal> {
        if self.directory(parent)?.get(name).is_some() {
            return Err(Refusal::Exists);
        }
        let node = self.node(inode)?;
        match node.links {
            _ if node.is_directory() => return Err(Refusal::LinkToDirectory),
            0 => return Err(Refusal::NotFound),
            LINKS_MAX.. => return Err(Refusal::TooManyLinks),
            _ => {}
        }
        self.room_for(entry_weight(name))?;
        self.weight += entry_weight(name);
        let node = self.node_mut(inode)?;
        node.links += 1;
        node.ctime = now;
        self.edit(parent, now, |directory| directory.add(name, inode));
        self.attr(inode)
    }

    pub(super) fn unlink(&mut self, parent: Inode, name: &[u8], now: Time) -> Result<Answer, Refusal> {
        let inode = self.directory(parent)?.get(name).ok_or(Refusal::NotFound)?;
        if self.node(inode)?.is_directory() {
            return Err(Refusal::IsDirectory);
        }
        self.remove_entry(parent, name, now);
        self.drop_name(inode, now)
    }

    pub(super) fn remove_directory(
        &mut self,
        parent: Inode,
        name: &[u8],
        now: Time,
    ) -> Result<Answer, Refusal> {
        let inode = self.directory(parent)?.get(name).ok_or(Refusal::NotFound)?;
        if !self.node(inode)?.directory()?.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.remove_entry(parent, name, now);
        self.change_links(parent, -1);
        self.drop_name(inode, now)
    }

    pub(super) fn remove_entry(&mut self, parent: Inode, name: &[u8], now: Time) {
        self.weight -= entry_weight(name);
        self.edit(parent, now, |directory| directory.remove(name));
    }

    /// One name fewer; a directory's only one. Without any it is an orphan. Answers what it is now.
    pub(super) fn drop_name(&mut self, inode: Inode, now: Time) -> Result<Answer, Refusal> {
        let node = self.node_mut(inode)?;
        node.ctime = now;
        node.links = if node.is_directory() { 0 } else { node.links.saturating_sub(1) };
        let (orphan, attr) = (node.links == 0, node.attr(inode));
        if orphan {
            self.tell(Event::Orphaned { inode });
            let holders = self.members.clone();
            self.orphans.insert(inode, holders);
            self.delete_if_free(inode);
        }
        Ok(Answer::Attr(attr))
    }
}
