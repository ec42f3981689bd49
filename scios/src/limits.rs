//! Every bound of SciOS, by name and in one place. A queue, a pool, a retry or a size that a peer, the kernel or a
//! user can drive is limited by a constant here.

/// The unit of memory everywhere: coherence, frames, placement.
pub const PAGE_BYTES: usize = 4096;

/// The longest message a fabric carries in one piece: sixteen pages and a head. Longer ones are cut by the session.
pub const MESSAGE_BYTES_MAX: usize = 16 * PAGE_BYTES + 1024;

/// The longest run of bytes one operation places, reads or writes in a peer's memory.
pub const PLACED_BYTES_MAX: usize = 1 << 20;

/// How many slices one message or one-sided operation may gather.
pub const GATHER_SLICES_MAX: usize = 16;

/// Bytes that may wait to be sent to one peer; beyond that, `send` answers `Full`.
pub const SEND_QUEUE_BYTES_MAX: usize = 4 << 20;

/// One-sided operations under way to one peer; beyond that, they answer `Full`.
pub const OPS_IN_FLIGHT_MAX: usize = 256;

/// Grants of local memory that are live at once, over all peers.
pub const GRANTS_MAX: usize = 65_536;

/// Connections of one node, incoming and outgoing together.
pub const CONNECTIONS_MAX: usize = 4096;

/// Connections that have not authenticated yet; the oldest is closed for a new one.
pub const HANDSHAKES_MAX: usize = 64;

/// The longest handshake message; anything longer is not ours.
pub const HANDSHAKE_BYTES_MAX: usize = 1024;

/// A connection that has not authenticated within this time is closed.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 5_000;

/// How often a fabric calls `Event::Tick`.
pub const TICK_MS: u64 = 10;

/// The longest textual address, `HOST:PORT`.
pub const ADDRESS_BYTES_MAX: usize = 255 + 1 + 5;

/// The longest name of a node.
pub const NODE_NAME_BYTES_MAX: usize = 64;

/// A secret shorter than this can be guessed from one recorded handshake.
pub const SECRET_BYTES_MIN: usize = 16;

/// Longer secret files are a mistake (a certificate, a disk image), not a secret.
pub const SECRET_BYTES_MAX: usize = 4096;

/// The longest RPC message, in as many frames as it takes. Larger data travels by one-sided operations or in parts.
pub const RPC_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Calls under way to one peer. Fits into the slot bits of a request id (`rpc/session/calls.rs`).
pub const RPC_CALLS_MAX: usize = 1024;

/// Requests of one peer that are being served. More than `RPC_CALLS_MAX`, since a caller gives up a little earlier.
pub const RPC_SERVED_MAX: usize = 2 * RPC_CALLS_MAX;

/// Bytes that one peer's session keeps while the fabric has no room; at least one longest message.
pub const RPC_OUTBOX_BYTES_MAX: usize = 4 * RPC_MESSAGE_BYTES_MAX;

/// Bytes and messages of one peer that wait for this node to reach their epoch; at least one longest message.
pub const RPC_HELD_BYTES_MAX: usize = 2 * RPC_MESSAGE_BYTES_MAX;
pub const RPC_HELD_MESSAGES_MAX: usize = 1024;

/// How long a message waits for this node to reach its epoch before it is refused.
pub const RPC_HELD_MS_MAX: u64 = 2_000;

/// The longest deadline of a call; longer ones are cut to it.
pub const RPC_DEADLINE_MAX_MS: u64 = 600_000;

/// How long a request that may be sent again waits before it is.
pub const RPC_RETRY_MS: u64 = 20;

/// The longest explanation that an error carries.
pub const RPC_ERROR_TEXT_BYTES_MAX: usize = 256;

/// A finished call's copy of its request keeps its memory for the next call up to this size.
pub const RPC_SPARE_BYTES_MAX: usize = 16 * 1024;

/// The largest segment: 2^32 pages, 16 TiB.
pub const SEGMENT_BYTES_MAX: u64 = (PAGE_BYTES as u64) << 32;

/// The smallest frame budget that a node can work with: its staging buffers and a few pages.
pub const BUDGET_BYTES_MIN: u64 = 16 << 20;

/// The longest run of adjacent frames that is handed out at once: as long as one operation places.
pub const FRAME_RUN_MAX: usize = PLACED_BYTES_MAX / PAGE_BYTES;

/// Gaps that are looked at for a run of frames before the pool is called fragmented.
pub const FRAME_GAPS_TRIED_MAX: usize = 4096;

/// Pages that are given back to the kernel before a segment's lock is let go for others.
pub const RELEASE_RUN_PAGES_MAX: u64 = 512;

/// Times that the evictor is asked before a reservation fails.
pub const EVICTIONS_MAX: usize = 4;

/// Registered staging buffers: (bytes each, how many). All together stay well below the 8 MiB that a user who is not
/// root may lock.
pub const STAGING_CLASSES: [(usize, usize); 3] =
    [(PAGE_BYTES, 256), (16 * PAGE_BYTES, 16), (PLACED_BYTES_MAX, 2)];

/// The longest that a receiver may be told to poll before it blocks: above it, it is a core that is given away.
pub const SPIN_US_MAX: u64 = 1_000_000;

/// Below it, a node that is only busy would be declared dead.
pub const FAILURE_TIMEOUT_MS_MIN: u64 = 100;

/// Above it, programs wait so long for a dead node that they look hung.
pub const FAILURE_TIMEOUT_MS_MAX: u64 = 600_000;

/// Members that a node tries to join through.
pub const JOIN_ADDRESSES_MAX: usize = 64;

/// The longest configuration file.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
