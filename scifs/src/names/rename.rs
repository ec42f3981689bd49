//! Rename, with everything that POSIX and Linux ask of it.

use super::attr::{Inode, ROOT, Time};
use super::command::{Answer, Renaming};
use super::error::Refusal;
use super::node::{Body, entry_weight};
use super::state::Names;

/// A directory and a name in it.
type Entry<'a> = (Inode, &'a [u8]);

impl Names {
    pub(super) fn rename(
        &mut self,
        from: Entry<'_>,
        to: Entry<'_>,
        how: Renaming,
        now: Time,
    ) -> Result<Answer, Refusal> {
        let moved = self.directory(from.0)?.get(from.1).ok_or(Refusal::NotFound)?;
        let other = self.directory(to.0)?.get(to.1);
        match how {
            Renaming::NoReplace if other.is_some() => return Err(Refusal::Exists),
            Renaming::Exchange if other.is_none() => return Err(Refusal::NotFound),
            _ => {}
        }
        if self.is_within(to.0, moved) {
            return Err(Refusal::IntoItself);
        }
        if let Some(other) = other
            && self.is_within(from.0, other)
        {
            let exchange = how == Renaming::Exchange;
            return Err(if exchange { Refusal::IntoItself } else { Refusal::NotEmpty });
        }
        // Two names of one file, or twice the same name: nothing happens, both stay.
        if other == Some(moved) {
            return self.attr(moved);
        }
        match other {
            Some(other) if how == Renaming::Exchange => self.exchange((from, moved), (to, other), now),
            Some(other) => {
                self.check_replace(moved, other)?;
                self.move_over(from, to, moved, other, now)
            }
            None => self.move_entry(from, to, moved, now),
        }
    }

    /// Whether a directory is `ancestor` or somewhere in it.
    fn is_within(&self, directory: Inode, ancestor: Inode) -> bool {
        let mut at = directory;
        loop {
            if at == ancestor {
                return true;
            }
            match self.inodes.get(&at).map(|node| &node.body) {
                Some(Body::Directory(directory)) if at != ROOT => at = directory.parent,
                _ => return false,
            }
        }
    }

    fn check_replace(&self, moved: Inode, other: Inode) -> Result<(), Refusal> {
        match (self.node(moved)?.is_directory(), self.node(other)?.directory()) {
            (true, Err(_)) => Err(Refusal::NotDirectory),
            (false, Ok(_)) => Err(Refusal::IsDirectory),
            (true, Ok(directory)) if !directory.is_empty() => Err(Refusal::NotEmpty),
            _ => Ok(()),
        }
    }

    /// The new name was free.
    fn move_entry(
        &mut self,
        from: Entry<'_>,
        to: Entry<'_>,
        moved: Inode,
        now: Time,
    ) -> Result<Answer, Refusal> {
        self.room_for(entry_weight(to.1).saturating_sub(entry_weight(from.1)))?;
        self.remove_entry(from.0, from.1, now);
        self.weight += entry_weight(to.1);
        self.edit(to.0, now, |directory| directory.add(to.1, moved));
        self.settle_in(moved, from.0, to.0, now);
        self.attr(moved)
    }

    /// The new name's inode loses it.
    fn move_over(
        &mut self,
        from: Entry<'_>,
        to: Entry<'_>,
        moved: Inode,
        other: Inode,
        now: Time,
    ) -> Result<Answer, Refusal> {
        self.remove_entry(from.0, from.1, now);
        if self.node(other)?.is_directory() {
            self.change_links(to.0, -1);
        }
        // As if it were new: a reader that is past the old entry has not seen this file under this name.
        self.edit(to.0, now, |directory| {
            directory.remove(to.1);
            directory.add(to.1, moved);
        });
        self.settle_in(moved, from.0, to.0, now);
        self.drop_name(other, now)?;
        self.attr(moved)
    }

    fn exchange(
        &mut self,
        (from, moved): (Entry<'_>, Inode),
        (to, other): (Entry<'_>, Inode),
        now: Time,
    ) -> Result<Answer, Refusal> {
        self.edit(from.0, now, |directory| directory.point(from.1, other));
        self.edit(to.0, now, |directory| directory.point(to.1, moved));
        self.settle_in(moved, from.0, to.0, now);
        self.settle_in(other, to.0, from.0, now);
        self.attr(moved)
    }

    /// What was moved knows its new directory, and the directories know how many are in them.
    fn settle_in(&mut self, moved: Inode, old_parent: Inode, new_parent: Inode, now: Time) {
        let Some(node) = self.inodes.get_mut(&moved) else { return };
        node.ctime = now;
        if let Body::Directory(directory) = &mut node.body {
            directory.parent = new_parent;
            self.change_links(old_parent, -1);
            self.change_links(new_parent, 1);
        }
    }
}
