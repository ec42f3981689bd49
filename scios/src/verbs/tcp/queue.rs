//! Bytes that the kernel didn't take at once, in chunks, so that growing never moves what waits. The callers bound it.

use std::collections::VecDeque;

use crate::limits::SEND_QUEUE_BYTES_MAX;
use crate::memory::RegionSlice;

/// What one `send` of the flushing thread hands over.
const CHUNK_BYTES: usize = 64 << 10;

/// Emptied chunks that are kept while there is traffic.
const SPARES_MAX: usize = SEND_QUEUE_BYTES_MAX / CHUNK_BYTES;

/// Bytes in one piece: those from `start` to `used` are still to be sent.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Box<[u8]>,
    start: usize,
    used: usize,
}

impl Chunk {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.used).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct SendQueue {
    chunks: VecDeque<Chunk>,
    /// Of all chunks, and of the one that was taken out.
    bytes: usize,
    spares: Vec<Chunk>,
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
            let room = self.room();
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            if let Some(into) = room.get_mut(..now.len()) {
                into.copy_from_slice(now);
            }
            self.pushed(now.len());
            bytes = later;
        }
    }

    fn push_slice(&mut self, slice: &RegionSlice, from: usize) {
        let mut from = from;
        while from < slice.bytes() {
            let room = self.room();
            let now = room.len().min(slice.bytes() - from);
            if let (Ok(part), Some(into)) = (slice.part(from, now), room.get_mut(..now)) {
                // Both are `now` bytes long.
                let _ = part.read_to(into);
            }
            self.pushed(now);
            from += now;
        }
    }

    /// What is free of the last chunk; never empty.
    fn room(&mut self) -> &mut [u8] {
        if self.chunks.back().is_none_or(|chunk| chunk.used == CHUNK_BYTES) {
            let fresh = || Chunk { bytes: vec![0; CHUNK_BYTES].into(), start: 0, used: 0 };
            let chunk = self.spares.pop().unwrap_or_else(fresh);
            self.chunks.push_back(chunk);
        }
        self.chunks.back_mut().and_then(|chunk| chunk.bytes.get_mut(chunk.used..)).unwrap_or_default()
    }

    fn pushed(&mut self, bytes: usize) {
        self.bytes += bytes;
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.used += bytes;
        }
    }

    /// Takes out what to send next. It counts as waiting until `put_back` says how much of it was sent.
    pub(super) fn take_front(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Ends what `take_front` began: the first `sent` bytes are gone.
    pub(super) fn put_back(&mut self, mut chunk: Chunk, sent: usize) {
        self.bytes = self.bytes.saturating_sub(sent);
        chunk.start += sent;
        if chunk.start < chunk.used {
            self.chunks.push_front(chunk);
        } else if self.spares.len() < SPARES_MAX {
            self.spares.push(Chunk { start: 0, used: 0, ..chunk });
        }
    }

    /// Gives back what only traffic is worth keeping.
    pub(super) fn shrink(&mut self) {
        self.spares = Vec::new();
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
            while let Some(chunk) = queue.take_front() {
                assert!(!queue.is_empty());
                let some = chunk.rest().len().min(30_000);
                out.extend_from_slice(&chunk.rest()[..some]);
                queue.put_back(chunk, some);
            }
            assert!(out == whole[skip..], "skip {skip}");
            assert!(queue.is_empty());
        }
    }
}
