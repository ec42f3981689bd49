//! Free memory and load of the members: soft state. The leader hears it with every renewal and spreads it with the
//! answers, a bounded number at a time, so that every node can show it and choose by it. It may be old; nothing may
//! depend on it being right.

use std::collections::BTreeMap;

use super::wire::{Announcement, Seen};
use crate::NodeId;
use crate::limits::ANNOUNCEMENTS_PER_REPLY_MAX;

#[derive(Debug, Default)]
pub(super) struct Announcements {
    term: u64,
    last_version: u64,
    by_member: BTreeMap<NodeId, (u64, Announcement)>,
    by_version: BTreeMap<u64, NodeId>,
}

impl Announcements {
    /// Versions are a leader's own: a new one counts anew, from what it knows.
    pub(super) fn enter(&mut self, term: u64) {
        self.term = term;
    }

    pub(super) fn hear(&mut self, announcement: Announcement) {
        if let Some((version, known)) = self.by_member.get(&announcement.member) {
            if *known == announcement {
                return;
            }
            self.by_version.remove(version);
        }
        self.last_version += 1;
        self.by_version.insert(self.last_version, announcement.member);
        self.by_member.insert(announcement.member, (self.last_version, announcement));
    }

    pub(super) fn forget(&mut self, member: NodeId) {
        if let Some((version, _)) = self.by_member.remove(&member) {
            self.by_version.remove(&version);
        }
    }

    /// What a member that has seen this much lacks most, oldest news first.
    pub(super) fn since(&self, seen: Seen) -> (Seen, Vec<Announcement>) {
        let after = if seen.term == self.term { seen.version } else { 0 };
        let news = self.by_version.range(after.saturating_add(1)..).take(ANNOUNCEMENTS_PER_REPLY_MAX);
        let mut version = after;
        let mut found = Vec::new();
        for (at, member) in news {
            version = *at;
            found.extend(self.by_member.get(member).map(|(_, announcement)| *announcement));
        }
        (Seen { term: self.term, version }, found)
    }

    pub(super) fn of(&self, member: NodeId) -> Option<Announcement> {
        self.by_member.get(&member).map(|(_, announcement)| *announcement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(n: u64) -> Announcement {
        Announcement { member: NodeId::new(n).unwrap(), free: n, load: 0 }
    }

    #[test]
    fn everything_reaches_a_member_in_bounded_pieces() {
        let mut all = Announcements::default();
        all.enter(3);
        (1..=100).for_each(|n| all.hear(announcement(n)));
        let (mut seen, mut got) = (Seen::default(), Vec::new());
        loop {
            let (next, news) = all.since(seen);
            assert!(news.len() <= ANNOUNCEMENTS_PER_REPLY_MAX);
            if news.is_empty() {
                break;
            }
            got.extend(news);
            seen = next;
        }
        assert_eq!(got.len(), 100);
        all.hear(announcement(7));
        assert!(all.since(seen).1.is_empty(), "what didn't change is no news");
        all.hear(Announcement { load: 5, ..announcement(7) });
        assert_eq!(all.since(seen).1.len(), 1);
    }
}
