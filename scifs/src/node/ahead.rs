//! Notices that a file is read in order, and says what to fetch ahead. Pure.

use super::limits::AHEAD_PAGES_MAX;

#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Where the next read begins if the reader goes on in order.
    next: u32,
    /// What was fetched ends here.
    fetched: u32,
    /// How far ahead of the reader; grows as the reader goes on.
    window: u32,
}

/// Small first, since most files are short.
const FIRST: u32 = 16;

impl Ahead {
    /// The reader that asked for `page` got so many pages, itself among them: it will ask for what follows them.
    pub(super) fn got(&mut self, page: u32, pages: u32) {
        if self.next == page.saturating_add(1) {
            self.next = page.saturating_add(pages);
        }
    }

    /// A read of `pages` pages from `page` on begins. Gives the run of pages to fetch now, the read's own not among them.
    pub(super) fn read(&mut self, page: u32, pages: u32) -> Option<(u32, u32)> {
        let end = page.saturating_add(pages);
        let in_order = page == self.next && page > 0;
        self.next = end;
        if !in_order {
            (self.window, self.fetched) = (0, end);
            return None;
        }
        self.window = (self.window * 2).clamp(FIRST, AHEAD_PAGES_MAX);
        let from = self.fetched.max(end);
        let until = end.saturating_add(self.window);
        // In pieces that are worth a message, but before the reader gets there.
        if until.saturating_sub(from) < (self.window / 2).max(FIRST) {
            return None;
        }
        self.fetched = until;
        Some((from, until - from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_in_order_finds_everything_fetched_and_nothing_twice() {
        let mut ahead = Ahead::default();
        let mut fetched = vec![0, 1];
        for page in 0..5_000 {
            if let Some((from, pages)) = ahead.read(page, 1) {
                fetched.extend(from..from + pages);
            }
            assert!(page < 2 || fetched.contains(&page), "page {page}");
        }
        let mut once = fetched.clone();
        once.dedup();
        assert_eq!(once, fetched);
        assert!(fetched.len() as u32 <= 5_000 + AHEAD_PAGES_MAX);
    }

    #[test]
    fn a_reader_that_gets_more_than_it_asked_for_still_goes_on_in_order() {
        let mut ahead = Ahead::default();
        ahead.read(0, 1);
        assert_eq!(ahead.read(1, 1), Some((2, FIRST)));
        ahead.got(1, 8);
        assert!(ahead.read(9, 1).is_some());
    }

    #[test]
    fn a_reader_that_jumps_fetches_nothing_ahead() {
        let mut ahead = Ahead::default();
        assert!((0..1_000).all(|n| ahead.read(n * 7_919 % 10_007, 1).is_none()));
    }
}
