//! Frames without a page, oldest first: each page once, as of when it went last. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::coherence::PageId;

#[derive(Debug, Default)]
pub(super) struct Spare {
    turn: u64,
    by_age: BTreeMap<u64, PageId>,
    ages: HashMap<PageId, u64>,
}

impl Spare {
    pub(super) fn len(&self) -> usize {
        self.ages.len()
    }

    pub(super) fn push(&mut self, page: PageId) {
        self.turn += 1;
        self.by_age.insert(self.turn, page);
        if let Some(before) = self.ages.insert(page, self.turn) {
            self.by_age.remove(&before);
        }
    }

    /// The one that has been here for longest.
    pub(super) fn pop(&mut self) -> Option<PageId> {
        let (_, page) = self.by_age.pop_first()?;
        self.ages.remove(&page);
        Some(page)
    }

    pub(super) fn clear(&mut self) {
        self.by_age.clear();
        self.ages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::SegmentId;

    #[test]
    fn a_page_that_went_again_is_the_youngest_and_counts_once() {
        let page = |index| PageId { segment: SegmentId(1), index };
        let mut spare = Spare::default();
        [1, 2, 3, 1].map(page).into_iter().for_each(|page| spare.push(page));
        assert_eq!(spare.len(), 3);
        assert_eq!([2, 3, 1].map(|index| Some(page(index))), [(); 3].map(|()| spare.pop()));
        assert_eq!((spare.pop(), spare.len()), (None, 0));
    }
}
