//! One directory's entries: found by name, and listed in the order in which they were added.
//!
//! The cookie of an entry is a number that only grows, so a reader that stopped behind one goes on at the next whatever was
//! added or removed meanwhile: it sees each entry that stays exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attr::Inode;

/// Cookies of "." and "..".
pub(super) const COOKIE_SELF: u64 = 1;
pub(super) const COOKIE_PARENT: u64 = 2;
pub(super) const COOKIE_FIRST: u64 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) parent: Inode,
    entries: BTreeMap<Arc<[u8]>, Place>,
    order: BTreeMap<u64, Arc<[u8]>>,
    next_cookie: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    inode: Inode,
    cookie: u64,
}

impl Directory {
    pub(super) fn new(parent: Inode) -> Self {
        Self { parent, entries: BTreeMap::new(), order: BTreeMap::new(), next_cookie: COOKIE_FIRST }
    }

    /// For a snapshot: entries follow by `restore_entry`.
    pub(super) fn restored(parent: Inode, next_cookie: u64) -> Self {
        Self { next_cookie: next_cookie.max(COOKIE_FIRST), ..Self::new(parent) }
    }

    /// False if the name or the cookie is taken, or the cookie was not given yet.
    pub(super) fn restore_entry(&mut self, cookie: u64, name: &[u8], inode: Inode) -> bool {
        let name: Arc<[u8]> = Arc::from(name);
        (COOKIE_FIRST..self.next_cookie).contains(&cookie)
            && self.order.insert(cookie, Arc::clone(&name)).is_none()
            && self.entries.insert(name, Place { inode, cookie }).is_none()
    }

    pub(super) fn next_cookie(&self) -> u64 {
        self.next_cookie
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Inode> {
        self.entries.get(name).map(|place| place.inode)
    }

    /// A name that is not taken.
    pub(super) fn add(&mut self, name: &[u8], inode: Inode) {
        let name: Arc<[u8]> = Arc::from(name);
        self.order.insert(self.next_cookie, Arc::clone(&name));
        self.entries.insert(name, Place { inode, cookie: self.next_cookie });
        self.next_cookie += 1;
    }

    /// A name that stays, for another inode.
    pub(super) fn point(&mut self, name: &[u8], inode: Inode) {
        if let Some(place) = self.entries.get_mut(name) {
            place.inode = inode;
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        if let Some(place) = self.entries.remove(name) {
            self.order.remove(&place.cookie);
        }
    }

    /// Cookie, name and inode of the entries behind a cookie.
    pub(super) fn after(&self, cookie: u64) -> impl Iterator<Item = (u64, &Arc<[u8]>, Inode)> {
        let first = cookie.saturating_add(1);
        self.order.range(first..).filter_map(|(cookie, name)| {
            let place = self.entries.get(name)?;
            Some((*cookie, name, place.inode))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(directory: &Directory, after: u64) -> Vec<(u64, Inode)> {
        directory.after(after).map(|(cookie, _, inode)| (cookie, inode)).collect()
    }

    #[test]
    fn a_cookie_stays_valid_while_entries_come_and_go() {
        let mut directory = Directory::new(1);
        for (name, inode) in [(b"b", 10), (b"a", 11), (b"c", 12)] {
            directory.add(name, inode);
        }
        assert_eq!(listed(&directory, 0), [(3, 10), (4, 11), (5, 12)]);
        directory.remove(b"a");
        directory.add(b"a", 13);
        assert_eq!(listed(&directory, 4), [(5, 12), (6, 13)], "its own entry is gone, the place is not");
    }

    #[test]
    fn a_directory_can_be_emptied_while_it_is_read() {
        let mut directory = Directory::new(1);
        for at in 0..100u64 {
            directory.add(&at.to_le_bytes(), at);
        }
        let (mut cookie, mut seen) = (0, Vec::new());
        loop {
            let next = directory.after(cookie).next().map(|(at, name, inode)| (at, Arc::clone(name), inode));
            let Some((next, name, inode)) = next else { break };
            seen.push(inode);
            directory.remove(&name);
            cookie = next;
        }
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert!(directory.is_empty());
    }

    #[test]
    fn a_name_that_is_pointed_elsewhere_keeps_its_place() {
        let mut directory = Directory::new(1);
        directory.add(b"x", 7);
        directory.point(b"x", 8);
        assert_eq!(listed(&directory, 2), [(3, 8)]);
        assert_eq!(directory.get(b"x"), Some(8));
    }
}
