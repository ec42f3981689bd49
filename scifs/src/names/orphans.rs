//! Inodes without a name live as long as some member has them open.
//!
//! When the last name goes, every member of that moment may have the inode open, so all are its holders. Each says `LetGo`
//! when it has it open no longer; a member that left or died is taken out. Nobody can open it anew: it has no name.

use std::collections::BTreeSet;

use super::attr::Inode;
use super::event::Event;
use super::node::Body;
use super::state::Names;

impl Names {
    pub(super) fn let_go(&mut self, member: u32, inodes: &[Inode]) {
        for inode in inodes {
            if let Some(holders) = self.orphans.get_mut(inode) {
                holders.remove(&member);
                self.delete_if_free(*inode);
            }
        }
    }

    /// The members are these from now on.
    pub fn set_members(&mut self, members: BTreeSet<u32>) -> Vec<Event> {
        self.members = members;
        let mut free = Vec::new();
        for (inode, holders) in &mut self.orphans {
            holders.retain(|holder| self.members.contains(holder));
            if holders.is_empty() {
                free.push(*inode);
            }
        }
        for inode in free {
            self.delete_if_free(inode);
        }
        self.take_events()
    }

    pub(super) fn delete_if_free(&mut self, inode: Inode) {
        if self.orphans.get(&inode).is_none_or(|holders| !holders.is_empty()) {
            return;
        }
        self.orphans.remove(&inode);
        let Some(node) = self.inodes.remove(&inode) else { return };
        self.weight -= node.weight();
        if let Body::File(file) = &node.body
            && let Some(address) = file.address
        {
            self.addresses.release(address);
        }
        self.tell(Event::Deleted { inode });
    }

    /// Orphans that this member is said to hold.
    pub fn held_by(&self, member: u32) -> impl Iterator<Item = Inode> {
        self.orphans.iter().filter(move |(_, holders)| holders.contains(&member)).map(|(inode, _)| *inode)
    }
}
