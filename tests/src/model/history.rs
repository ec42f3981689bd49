//! What all threads saw, and whether there is one order of it all that explains it: sequential consistency.
//!
//! Every write of a page has a number of its own, and the numbers of a page's writes are their order. So the order that
//! has to exist is known in parts: each thread's own (program order), each write before those who read it, each page's
//! writes in sequence, and who reads a write before the page's next write. It exists exactly if these have no cycle.

use std::collections::BTreeMap;

use scifs::coherence::PageId;

use super::station::{Seen, Value};
use super::violation::Violation;

/// One operation that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub thread: usize,
    pub page: PageId,
    pub seen: Seen,
}

#[derive(Clone, Debug, Default)]
pub struct History(Vec<Done>);

impl History {
    pub fn push(&mut self, thread: usize, page: PageId, seen: Seen) {
        self.0.push(Done { thread, page, seen });
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What a thread got done.
    pub fn count(&self, thread: usize) -> usize {
        self.0.iter().filter(|done| done.thread == thread).count()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of one page, no thread sees an older write after a newer one.
    pub fn check_each_page(&self) -> Result<(), Violation> {
        let mut newest: BTreeMap<(usize, PageId), Value> = BTreeMap::new();
        for done in &self.0 {
            if let Some(value) = done.value() {
                let seen = newest.entry((done.thread, done.page)).or_insert(value);
                if value < *seen {
                    return Err(Violation::NotSequential(format!("{done:?} after it had seen write {seen}")));
                }
                *seen = value;
            }
        }
        Ok(())
    }

    /// Across pages: one order of everything.
    pub fn check_all_pages(&self) -> Result<(), Violation> {
        let order = self.known_order();
        let mut before: Vec<usize> = vec![0; self.0.len()];
        order.iter().flatten().for_each(|later| before[*later] += 1);
        let mut free: Vec<_> = (0..self.0.len()).filter(|at| before[*at] == 0).collect();
        let mut ordered = 0;
        while let Some(at) = free.pop() {
            ordered += 1;
            for later in &order[at] {
                before[*later] -= 1;
                if before[*later] == 0 {
                    free.push(*later);
                }
            }
        }
        if ordered == self.0.len() {
            return Ok(());
        }
        let cycle: Vec<_> =
            (0..self.0.len()).filter(|at| before[*at] > 0).map(|at| self.0[at]).take(20).collect();
        Err(Violation::NotSequential(format!("among {cycle:?}")))
    }

    /// For each operation, which ones come after it.
    fn known_order(&self) -> Vec<Vec<usize>> {
        let mut order = vec![Vec::new(); self.0.len()];
        let mut last_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut writes: BTreeMap<(PageId, Value), usize> = BTreeMap::new();
        for (at, done) in self.0.iter().enumerate() {
            if let Some(previous) = last_of.insert(done.thread, at) {
                order[previous].push(at);
            }
            if let Seen::Wrote(value) = done.seen {
                writes.insert((done.page, value), at);
            }
        }
        for (at, done) in self.0.iter().enumerate() {
            let Some(value) = done.value() else { continue };
            let write = writes.get(&(done.page, value)).copied();
            if let (Seen::Read(_), Some(write)) = (done.seen, write) {
                order[write].push(at);
            }
            if let Some((_, next)) = writes.range((done.page, value + 1)..(done.page, Value::MAX)).next() {
                order[at].push(*next);
            }
        }
        order
    }
}

impl Done {
    fn value(&self) -> Option<Value> {
        match self.seen {
            Seen::Read(value) | Seen::Wrote(value) => Some(value),
            Seen::Lost => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scopes::page;
    use super::*;
    use Seen::{Read, Wrote};

    fn history(of: &[(usize, u64, Seen)]) -> History {
        let mut history = History::default();
        of.iter().for_each(|(thread, at, seen)| history.push(*thread, page(*at), *seen));
        history
    }

    #[test]
    fn store_buffering_is_seen() {
        let both_missed = [(0, 0, Wrote(1)), (1, 1, Wrote(1)), (0, 1, Read(0)), (1, 0, Read(0))];
        assert!(history(&both_missed).check_all_pages().is_err());
        let one_missed = [(0, 0, Wrote(1)), (1, 1, Wrote(1)), (0, 1, Read(1)), (1, 0, Read(0))];
        assert!(history(&one_missed).check_all_pages().is_ok());
    }

    #[test]
    fn message_passing_without_the_message_is_seen() {
        let stale = [(0, 0, Wrote(1)), (0, 1, Wrote(1)), (1, 1, Read(1)), (1, 0, Read(0))];
        assert!(history(&stale).check_all_pages().is_err());
    }

    #[test]
    fn readers_that_disagree_on_the_order_of_writes_are_seen() {
        let iriw = [
            (0, 0, Wrote(1)),
            (1, 1, Wrote(1)),
            (2, 0, Read(1)),
            (2, 1, Read(0)),
            (3, 1, Read(1)),
            (3, 0, Read(0)),
        ];
        assert!(history(&iriw).check_each_page().is_ok());
        assert!(history(&iriw).check_all_pages().is_err());
    }

    #[test]
    fn going_back_in_time_on_one_page_is_seen() {
        assert!(history(&[(0, 0, Wrote(1)), (1, 0, Read(1)), (1, 0, Read(0))]).check_each_page().is_err());
    }
}
