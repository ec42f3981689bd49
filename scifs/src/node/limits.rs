//! Every bound of this folder, by name.

use std::time::Duration;

/// Slices of the page space with a lock each. All members must have the same number; a power of two.
pub(super) const SHARDS: usize = 32;

/// How long a page stays with a winner before it has to be given on: long enough for the process to be woken and to store,
/// short beside a round trip between kernels.
pub(super) const HOLD_MIN: Duration = Duration::from_micros(40);

/// What is left of a hold time is waited for in place if it is no more than this. Less than a thread takes to wake up.
pub(super) const WAIT_HERE_MAX: Duration = Duration::from_micros(15);

/// Bytes that may wait for one member that isn't connected or doesn't take them. Beyond that they count as lost.
pub(super) const LINK_QUEUE_BYTES_MAX: usize = 32 << 20;

/// Between two attempts to connect to a member, and between two reports of a break.
pub(super) const REDIAL_EVERY: Duration = Duration::from_millis(200);

/// Messages of nodes that are in no view of this node yet, for each shard.
pub(super) const STRANGERS_MAX: usize = 65_536;

/// Frames of each shard that are kept for a moment after their pages left, since contended pages come back: so 16 MiB, which
/// whoever needs memory gets first.
pub(super) const SPARE_FRAMES_MAX: usize = 128;

/// A read of so many bytes takes longer to answer than it takes to wake a thread for it.
pub(super) const LONG_READ_BYTES: usize = 128 << 10;

/// Pages that are fetched ahead of a file that is read in order.
pub(super) const AHEAD_PAGES_MAX: u32 = 512;

/// Pages of a program's hint that are asked for together, and how many such windows are under way: what comes in answer must
/// stay far below `LINK_QUEUE_BYTES_MAX`.
pub(super) const PREFETCH_WINDOW_PAGES: u32 = 1024;
pub(super) const PREFETCH_WINDOWS: usize = 2;

/// Inodes of deleted files that are remembered, to ignore what members that don't know yet say about them.
pub(super) const GONE_FILES_MAX: usize = 65_536;

/// Requests that wait for memory. Further ones are refused at once.
pub(super) const PARKED_MAX: usize = 4096;

/// Memory that is kept for pages that are only read: this part of the budget, but no more than so many bytes.
pub(super) const READERS_SHARE: u64 = 16;
pub(super) const READERS_BYTES_MAX: u64 = 16 << 20;

/// This part of it is lent to pages that are on their way to their home: if that takes none any more, they stay.
pub(super) const PASSING_SHARE: u64 = 2;

/// How long writes wait for memory while none is given back, and reads also while none is on its way.
pub(super) const PARKED_FOR: Duration = Duration::from_millis(500);

/// How long reads wait while pages are leaving: what was fetched to be read can always leave, so there will be room.
pub(super) const READ_PARKED_FOR: Duration = Duration::from_secs(5);

/// Pages of a node that leaves which are on their way to others at any time.
pub(super) const HAND_OVER_PAGES_MAX: usize = 4096;

/// Between two looks at what has become of them.
pub(super) const HAND_OVER_LOOK: Duration = Duration::from_millis(1);

/// After this time a page that nobody has taken is offered to the next member.
pub(super) const HAND_OVER_AGAIN: Duration = Duration::from_millis(50);

/// Nobody has taken anything for so long: there is no room for the rest.
pub(super) const HAND_OVER_STALL: Duration = Duration::from_secs(3);

/// How long a node that leaves is at most busy with what it holds.
pub(super) const HAND_OVER_MAX: Duration = Duration::from_secs(600);

/// Pages in one request from or to a file.
pub(super) const ACCESS_PAGES_MAX: u64 = 65_536;
