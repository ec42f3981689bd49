//! Bytes that the kernel didn't take at once, in chunks, so that growing never moves what waits. The callers bound it.

use std::collections::VecDeque;

use crate::memory::RegionSlice;

/// What one `send` of the flushing thread hands over.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct SendQueue {
    chunks: VecDeque<Vec<u8>>,
    /// How much of the first chunk is gone.
    start: usize,
    bytes: usize,
    /// One emptied chunk, so that a queue that comes and goes doesn't allocate each time.
    spare: Option<Vec<u8>>,
}

impl SendQueue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues a frame's parts without the first `skip` bytes, which have been sent.
    pub(super) fn push_frame(&mut self, heads: [&[u8]; 2], slices: &[RegionSlice], skip: usize) {
        let mut skip = skip;
        for head in heads {
            let left_out = skip.min(head.len());
            skip -= left_out;
            self.push(head.get(left_out..).unwrap_or_default());
        }
        for slice in slices {
            let left_out = skip.min(slice.bytes());
            skip -= left_out;
            self.push_slice(slice, left_out);
        }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (chunk, room) = self.open_chunk();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            chunk.extend_from_slice(now);
            self.bytes += now.len();
            bytes = later;
        }
    }

    fn push_slice(&mut self, slice: &RegionSlice, from: usize) {
        let mut from = from;
        while from < slice.bytes() {
            let (chunk, room) = self.open_chunk();
            let now = room.min(slice.bytes() - from);
            let start = chunk.len();
            chunk.resize(start + now, 0);
            if let (Ok(part), Some(into)) = (slice.part(from, now), chunk.get_mut(start..)) {
                // Both are `now` bytes long.
                let _ = part.read_to(into);
            }
            self.bytes += now;
            from += now;
        }
    }

    /// The last chunk, and how much still fits into it.
    fn open_chunk(&mut self) -> (&mut Vec<u8>, usize) {
        if self.chunks.back().is_none_or(|chunk| chunk.len() >= CHUNK_BYTES) {
            let fresh = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES));
            self.chunks.push_back(fresh);
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let room = CHUNK_BYTES - chunk.len();
        (chunk, room)
    }

    /// What to send next.
    pub(super) fn front(&self) -> &[u8] {
        self.chunks.front().and_then(|chunk| chunk.get(self.start..)).unwrap_or_default()
    }

    /// Says that the first `bytes` of `front` are sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.start += bytes;
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.chunks.front().is_some_and(|chunk| self.start >= chunk.len()) {
            self.start = 0;
            if let Some(mut emptied) = self.chunks.pop_front() {
                emptied.clear();
                self.spare = Some(emptied);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Region;

    #[test]
    fn what_comes_out_is_what_went_in_without_what_was_sent() {
        let region = Region::new("test", 200_000).unwrap();
        let body: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        region.whole().write_from(&body).unwrap();
        let slices = [region.slice(0, 100_000).unwrap(), region.slice(100_000, 100_000).unwrap()];
        let whole = [b"header".as_slice(), b"head", &body].concat();
        for skip in [0, 3, 6, 8, 10, 11, 99_999, 100_011, 200_009, 200_010] {
            let mut queue = SendQueue::default();
            queue.push_frame([b"header", b"head"], &slices, skip);
            assert_eq!(queue.bytes(), whole.len() - skip);
            let mut out = Vec::new();
            while !queue.is_empty() {
                let some = queue.front().len().min(30_000);
                out.extend_from_slice(&queue.front()[..some]);
                queue.sent(some);
            }
            assert!(out == whole[skip..], "skip {skip}");
            assert!(queue.front().is_empty());
        }
    }
}
