//! Notices that a process touches pages in order, and says how many to map at once. Pure.

use super::limits::RUN_PAGES_MAX;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    inode: u64,
    /// What it touches next if it goes on in order.
    next: u32,
    pages: u32,
}

impl Streak {
    /// A page is touched that isn't mapped. Gives how many to map from it on.
    pub(super) fn touch(&mut self, inode: u64, page: u32) -> u32 {
        let goes_on = inode == self.inode && page == self.next && page > 0;
        self.pages = if goes_on { (self.pages * 2).min(RUN_PAGES_MAX) } else { 1 };
        (self.inode, self.next) = (inode, page.saturating_add(1));
        self.pages
    }

    /// So many were mapped.
    pub(super) fn mapped(&mut self, inode: u64, page: u32, pages: u32) {
        if inode == self.inode && self.next == page.saturating_add(1) {
            self.next = page.saturating_add(pages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_in_order_is_given_more_each_time() {
        let (mut streak, mut page, mut faults) = (Streak::default(), 0, 0);
        while page < 10 * RUN_PAGES_MAX {
            let pages = streak.touch(7, page);
            streak.mapped(7, page, pages);
            (page, faults) = (page + pages, faults + 1);
        }
        assert!(faults < 20, "{faults}");
    }

    #[test]
    fn who_jumps_is_given_what_it_asks_for() {
        let mut streak = Streak::default();
        assert!((0..100).all(|n| streak.touch(7, n * 7_919 % 10_007) == 1));
        assert_eq!((streak.touch(7, 5), streak.touch(8, 6), streak.touch(8, 7)), (1, 1, 2));
    }
}
