//! One page as its home knows it. An idle page is one small record; pages that nobody touched have none.

use std::collections::VecDeque;

use super::ids::MemberNo;
use super::protocol::{Ask, Holders};

/// The version of a page that had no writer: its copies are zeros, and so is the page without any.
pub(super) const NEVER_WRITTEN: u64 = 0;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) holders: Holders,
    /// Counts writers.
    pub(super) version: u64,
    /// Since the last writer, this home has lent its own copy, and nobody says whether those have arrived: its own has to stay.
    pub(super) lent: bool,
    pub(super) busy: Option<Box<Busy>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Busy {
    /// What is under way. Nothing else begins before it is done.
    pub(super) transfer: Option<Transfer>,
    /// First come, first served. At most one request to get and one to put a member.
    pub(super) queue: VecDeque<Request>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Request {
    Get(Ask),
    Put(MemberNo),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Transfer {
    /// Whose `Done` ends it.
    pub(super) expect: MemberNo,
    /// Who had the bytes that are on their way.
    pub(super) giver: Option<MemberNo>,
    /// The page is lost until this is done.
    pub(super) revives: bool,
    /// What is under way is no transfer but the news for `expect`, the giver of one that was cut short, that its copy is the page.
    pub(super) keeps: bool,
}

impl Entry {
    pub(super) fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// A copy that others may do without: others have the page for certain, or it reads as zeros because nobody ever wrote it.
    pub(super) fn is_surplus(&self, of: MemberNo, home: MemberNo) -> bool {
        let Holders::Shared(set) = &self.holders else { return false };
        let backed = set.len() > 1 && (of != home || !self.lent);
        set.contains(of) && (backed || self.version == NEVER_WRITTEN)
    }

    pub(super) fn transfer(&self) -> Option<Transfer> {
        self.busy.as_deref().and_then(|b| b.transfer)
    }

    /// Queues a request, once.
    pub(super) fn enqueue(&mut self, request: Request) {
        let same = |other: &Request| match (other, &request) {
            (Request::Get(a), Request::Get(b)) => a.by == b.by,
            (Request::Put(a), Request::Put(b)) => a == b,
            _ => false,
        };
        let queue = &mut self.busy().queue;
        if !queue.iter().any(same) {
            queue.push_back(request);
        }
    }

    /// The next request, if nothing is under way; gives back what only a busy page needs.
    pub(super) fn next(&mut self) -> Option<Request> {
        let busy = self.busy.as_deref_mut()?;
        if busy.transfer.is_some() {
            return None;
        }
        let next = busy.queue.pop_front();
        if busy.queue.is_empty() && next.is_none() {
            self.busy = None;
        }
        next
    }
}
