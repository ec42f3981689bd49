//! Through which open file each owner of record locks has locked, for the sake of OFD locks: their owner is one open file, and
//! when that is closed nobody else will unlock them. A process that locked through two open files is no such owner; it
//! unlocks by `FLUSH`.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Handles {
    /// By file and owner; `None` when it used several.
    users: BTreeMap<(u64, u64), Option<u64>>,
    /// By file and handle.
    owners: BTreeMap<(u64, u64), BTreeSet<u64>>,
}

impl Handles {
    pub(super) fn used(&mut self, inode: u64, owner: u64, handle: u64) {
        let used = self.users.entry((inode, owner)).or_insert(Some(handle));
        if *used == Some(handle) {
            self.owners.entry((inode, handle)).or_default().insert(owner);
        } else {
            *used = None;
        }
    }

    pub(super) fn flushed(&mut self, inode: u64, owner: u64) {
        if let Some(Some(handle)) = self.users.remove(&(inode, owner))
            && let Some(owners) = self.owners.get_mut(&(inode, handle))
        {
            owners.remove(&owner);
            if owners.is_empty() {
                self.owners.remove(&(inode, handle));
            }
        }
    }

    /// The owners to unlock.
    pub(super) fn closed(&mut self, inode: u64, handle: u64) -> Vec<u64> {
        let owners = self.owners.remove(&(inode, handle)).unwrap_or_default();
        owners.into_iter().filter(|owner| self.users.get(&(inode, *owner)) == Some(&Some(handle))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_locked_through_one_open_file_unlocks_with_it() {
        let mut handles = Handles::default();
        handles.used(1, 7, 100);
        handles.used(1, 8, 100);
        handles.used(1, 8, 200);
        handles.used(1, 9, 100);
        handles.flushed(1, 9);
        assert_eq!(handles.closed(1, 100), [7]);
        assert_eq!(handles.closed(1, 200), []);
        handles.flushed(1, 7);
        handles.flushed(1, 8);
        assert!(handles.users.is_empty() && handles.owners.is_empty());
    }

    #[test]
    fn a_late_close_of_another_open_file_unlocks_nothing() {
        let mut handles = Handles::default();
        handles.used(1, 7, 100);
        handles.flushed(1, 7);
        handles.used(1, 7, 200);
        assert_eq!(handles.closed(1, 100), []);
        assert_eq!(handles.closed(1, 200), [7]);
    }
}
