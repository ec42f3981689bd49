//! The one-sided operations that this node has under way to one peer. Pure.
//!
//! The peer works on one stream in order, so answers come in the order of the requests: the oldest one under way is
//! the only one that may end next. An answer to anything else is the peer's mistake, or worse.

use std::collections::VecDeque;

use crate::limits::{OPS_IN_FLIGHT_MAX, READ_BYTES_IN_FLIGHT_MAX};
use crate::memory::RegionSlice;
use crate::verbs::OpId;

/// What the answer to an operation will be.
#[derive(Debug)]
pub(super) enum Expect {
    /// Bytes for this memory.
    Data(RegionSlice),
    /// Only that it is done.
    Done,
}

impl Expect {
    fn read_bytes(&self) -> usize {
        match self {
            Self::Data(into) => into.bytes(),
            Self::Done => 0,
        }
    }
}

#[derive(Debug)]
struct Pending {
    tag: u32,
    op: OpId,
    expect: Expect,
}

#[derive(Debug, Default)]
pub(super) struct Ops {
    pending: VecDeque<Pending>,
    /// `Place`s whose bytes have left; their `Done` is due from the receiving thread.
    placed: Vec<OpId>,
    next_tag: u32,
    read_bytes: usize,
    /// Somebody was told `Full` and waits for `Writable`.
    starved: bool,
}

impl Ops {
    /// The tag of a new operation; `None` when there are too many.
    pub(super) fn begin(&mut self, op: OpId, expect: Expect) -> Option<u32> {
        let read_bytes = self.read_bytes + expect.read_bytes();
        if self.in_flight() >= OPS_IN_FLIGHT_MAX || read_bytes > READ_BYTES_IN_FLIGHT_MAX {
            self.starved = true;
            return None;
        }
        let tag = self.next_tag;
        self.next_tag = tag.wrapping_add(1);
        self.read_bytes = read_bytes;
        self.pending.push_back(Pending { tag, op, expect });
        Some(tag)
    }

    /// Notes a `Place` and says whether it is the only one; `None` when there are too many.
    pub(super) fn begin_place(&mut self, op: OpId) -> Option<bool> {
        if self.in_flight() >= OPS_IN_FLIGHT_MAX {
            self.starved = true;
            return None;
        }
        self.placed.push(op);
        Some(self.placed.len() == 1)
    }

    fn in_flight(&self) -> usize {
        self.pending.len() + self.placed.len()
    }

    pub(super) fn take_placed(&mut self) -> Vec<OpId> {
        std::mem::take(&mut self.placed)
    }

    /// The operation that an answer with `tag` ends. `None` when the peer answers what it wasn't asked.
    pub(super) fn end(&mut self, tag: u32) -> Option<(OpId, Expect)> {
        if self.pending.front()?.tag != tag {
            return None;
        }
        let ended = self.pending.pop_front()?;
        self.read_bytes -= ended.expect.read_bytes();
        Some((ended.op, ended.expect))
    }

    /// The oldest operation, when an answer with `tag` may carry data for it.
    pub(super) fn data_target(&self, tag: u32, bytes: usize) -> Option<RegionSlice> {
        match self.pending.front()? {
            Pending { tag: oldest, expect: Expect::Data(into), .. }
                if *oldest == tag && into.bytes() == bytes =>
            {
                Some(into.clone())
            }
            _ => None,
        }
    }

    /// True once after a `Full`, when half of what was under way has ended.
    pub(super) fn relieved(&mut self) -> bool {
        let relieved = self.starved
            && self.in_flight() <= OPS_IN_FLIGHT_MAX / 2
            && self.read_bytes <= READ_BYTES_IN_FLIGHT_MAX / 2;
        if relieved {
            self.starved = false;
        }
        relieved
    }

    /// The oldest operation that will not be answered any more.
    pub(super) fn abandon(&mut self) -> Option<OpId> {
        self.read_bytes = 0;
        self.pending.pop_front().map(|pending| pending.op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Region;

    #[test]
    fn answers_are_taken_in_the_order_of_the_requests_only() {
        let mut ops = Ops::default();
        let first = ops.begin(OpId(10), Expect::Done).unwrap();
        let second = ops.begin(OpId(11), Expect::Done).unwrap();
        assert!(ops.end(second).is_none());
        assert_eq!(ops.end(first).unwrap().0, OpId(10));
        assert!(ops.end(first).is_none(), "an answer that is repeated ends nothing");
        assert_eq!(ops.abandon(), Some(OpId(11)));
        assert_eq!(ops.abandon(), None);
    }

    #[test]
    fn data_goes_only_where_it_was_asked_for_and_in_the_length_that_was() {
        let region = Region::new("test", 4096).unwrap();
        let mut ops = Ops::default();
        let tag = ops.begin(OpId(1), Expect::Data(region.whole())).unwrap();
        assert!(ops.data_target(tag, 4096).is_some());
        assert!(ops.data_target(tag, 4095).is_none());
        assert!(ops.data_target(tag + 1, 4096).is_none());
        ops.end(tag);
        let tag = ops.begin(OpId(2), Expect::Done).unwrap();
        assert!(ops.data_target(tag, 0).is_none());
    }

    #[test]
    fn too_many_operations_are_refused_until_half_have_ended() {
        let mut ops = Ops::default();
        for op in 0..OPS_IN_FLIGHT_MAX {
            ops.begin(OpId(op as u64), Expect::Done).unwrap();
        }
        assert!(!ops.relieved());
        assert!(ops.begin(OpId(9999), Expect::Done).is_none());
        assert!(ops.begin_place(OpId(9999)).is_none());
        for tag in 0..OPS_IN_FLIGHT_MAX as u32 / 2 {
            assert!(!ops.relieved());
            ops.end(tag).unwrap();
        }
        assert!(ops.relieved());
        assert!(!ops.relieved(), "told once");
    }

    #[test]
    fn reads_are_bounded_by_bytes_too() {
        let region = Region::new("test", 1 << 20).unwrap();
        let mut ops = Ops::default();
        let mut begun = 0;
        while ops.begin(OpId(begun), Expect::Data(region.whole())).is_some() {
            begun += 1;
        }
        assert_eq!(begun as usize, READ_BYTES_IN_FLIGHT_MAX >> 20);
    }
}
