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

/// Bytes that one-sided reads to one peer may ask for at once; beyond that, they answer `Full`. What a node has to
/// hold for a peer that asks and doesn't take is bounded by this.
pub const READ_BYTES_IN_FLIGHT_MAX: usize = 4 << 20;

/// What a TCP connection receives into: several messages at once, and always room for the longest.
pub const RECEIVE_BUFFER_BYTES: usize = 256 << 10;

/// One-sided operations under way to one peer; beyond that, they answer `Full`.
pub const OPS_IN_FLIGHT_MAX: usize = 256;

/// Bytes of headers and acknowledgements of all operations that may be under way to one peer.
pub const HEADERS_IN_FLIGHT_BYTES_MAX: usize = OPS_IN_FLIGHT_MAX * 64;

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

/// Connections that get a receiving thread of their own where receivers block; all others share one.
pub const RECEIVER_THREADS_MAX: usize = 16;

/// How long a connection that was closed here waits for the other side to close too, so that it sees the reason.
pub const LINGER_MS: u64 = 1_000;

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

/// Nodes of one cluster. A few vote, the others learn.
pub const MEMBERS_MAX: usize = 1024;

/// Voters of one cluster; always an odd number of them.
pub const VOTERS_MAX: usize = 5;

/// One command of the replicated state.
pub const COMMAND_BYTES_MAX: usize = 32 * 1024;

/// What applying one command may answer.
pub const RESULT_BYTES_MAX: usize = 16 * 1024;

/// Commands that one node has proposed and not seen applied.
pub const PROPOSALS_IN_FLIGHT_MAX: usize = 64;

/// Entries of the replicated log that are kept before it is cut, and how many are kept for slow members then. More for a large
/// state, which takes long to write down: one for so many bytes of it. And so many times as many for members that a
/// snapshot is on its way to.
pub const LOG_ENTRIES_MAX: usize = 2048;
pub const LOG_ENTRIES_KEPT: u64 = 512;
pub const LOG_STATE_BYTES_PER_ENTRY: usize = 4096;
pub const LOG_PATIENCE: usize = 8;

/// Log entries in one message, in bytes (one entry always fits), and messages under way to one member.
pub const APPEND_BYTES_MAX: usize = 16 * 1024;
pub const APPEND_ENTRIES_MAX: usize = 4096;
pub const APPENDS_IN_FLIGHT_MAX: usize = 64;

/// Bytes of proposals that the leader holds uncommitted; beyond that it refuses new ones.
pub const UNCOMMITTED_BYTES_MAX: u64 = 8 << 20;

/// What the layers above replicate, as a new member gets it; and that with the members and the recent answers.
pub const SNAPSHOT_BYTES_MAX: usize = 256 << 20;
pub const STATE_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX + (64 << 20);

/// What of it travels in one message, and how many of these are under way at once: half of what may wait for one peer,
/// since other messages go the same way.
pub const SNAPSHOT_PART_BYTES_MAX: usize = 256 << 10;
pub const SNAPSHOT_PARTS_IN_FLIGHT_MAX: usize = 8;

/// Members that were removed and are still remembered, so that anybody can tell them.
pub const REMOVED_REMEMBERED_MAX: usize = 1024;

/// What one answer to a renewed lease tells about the memory and load of others.
pub const ANNOUNCEMENTS_PER_REPLY_MAX: usize = 32;

/// Connections that membership begins at once; others wait for the next tick.
pub const DIALS_PER_TICK_MAX: usize = 8;

/// Terms and log indexes beyond this can't be reached by counting; a peer that names one is refused.
pub const RAFT_NUMBER_MAX: u64 = 1 << 56;

/// Buffers of `MESSAGE_BYTES_MAX` that an RDMA device fills with the messages of all peers. The second number is for
/// users that may lock little memory (8 MiB is common): with the send buffers it stays below that.
pub const RDMA_RECEIVE_BUFFERS: u32 = 256;
pub const RDMA_RECEIVE_BUFFERS_FEW: u32 = 64;

/// Registered buffers for what is being sent, over all peers: short ones for a page and its head, long ones for the longest message.
pub const RDMA_SEND_BUFFERS_SHORT: u32 = 256;
pub const RDMA_SEND_BUFFER_SHORT_BYTES: usize = PAGE_BYTES + 1024;
pub const RDMA_SEND_BUFFERS_LONG: u32 = 16;

/// The longest message that is asked to be copied into the work request itself; a device may allow less.
pub const RDMA_INLINE_BYTES_MAX: usize = 512;

/// Work requests that one connection may have under way, and how many of these are kept for grants.
pub const RDMA_QUEUE_WORKS: u32 = 1024;
pub const RDMA_QUEUE_WORKS_FOR_GRANTS: u64 = 256;

/// Completions that may wait to be taken, over all connections.
pub const RDMA_COMPLETIONS: u32 = 32_768;

/// An inline message asks for a completion only every so often, one that holds a send buffer more often.
pub const RDMA_SIGNAL_EVERY: u32 = 16;
pub const RDMA_SIGNAL_EVERY_BUFFER: u32 = 4;

/// Reads and atomics that one connection may have under way in the network.
pub const RDMA_READS_IN_FLIGHT: u8 = 16;

/// Registrations of memory kept for the next transfer, and how many bytes they may pin that nobody asked to register.
pub const RDMA_REGISTRATIONS_MAX: usize = 1024;
pub const RDMA_REGISTERED_BYTES_MAX: u64 = 1 << 30;

/// How long a connection that has failed may take to give back what was under way, and how long a revoked grant may take
/// to be in place. Then the connection is ended by force.
pub const RDMA_ENDING_MS: u64 = 200;
pub const RDMA_REVOKE_MS: u64 = 500;

/// How long a device may take to show the address that this node listens on.
pub const RDMA_GID_WAIT_MS: u64 = 300;

/// The longest RPC message, in as many frames as it takes. Larger data travels by one-sided operations or in parts.
pub const RPC_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Calls under way to one peer. Fits into the slot bits of a request id (`rpc/session/calls.rs`).
pub const RPC_CALLS_MAX: usize = 1024;

/// Requests of one peer that are being served. More than `RPC_CALLS_MAX`, since a caller gives up a little earlier.
pub const RPC_SERVED_MAX: usize = 2 * RPC_CALLS_MAX;

/// Bytes that one peer's session keeps while the fabric has no room; at least one longest message.
pub const RPC_OUTBOX_BYTES_MAX: usize = 4 * RPC_MESSAGE_BYTES_MAX;

/// Bytes beyond these for the small frames of sessions themselves: refusals and cancels. What doesn't fit is dropped, and its
/// caller's deadline ends it.
pub const RPC_CONTROL_BYTES_MAX: usize = 1 << 20;

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

/// Bytes of requests to one peer that are kept because they may have to be sent again.
pub const RPC_KEPT_BYTES_MAX: usize = 16 * RPC_MESSAGE_BYTES_MAX;

/// A finished call's copy of its request keeps its memory for the next call up to this size.
pub const RPC_SPARE_BYTES_MAX: usize = 16 * 1024;

/// The largest segment: 2^32 pages, 16 TiB.
pub const SEGMENT_BYTES_MAX: u64 = (PAGE_BYTES as u64) << 32;

/// A segment is mapped in parts of so many bytes, and so many of them are mapped at once over all segments: a quarter of
/// what a process may map (vm.max_map_count, 65,530 unless set otherwise).
pub const WINDOW_BYTES: u64 = 1 << 30;
pub const WINDOWS_MAX: usize = 16_384;

/// Descriptors that a node asks for, if it may: one for each segment that it has to do with, and for each connection.
pub const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Frames that are kept for pages which other members rely on this node to take. A budget that is so small that a 64th of
/// it is less keeps that.
pub const RESERVE_FRAMES_MAX: u64 = 1024;
pub const RESERVE_SHARE: u64 = 64;

/// The smallest frame budget that a node can work with: its staging buffers and a few pages.
pub const BUDGET_BYTES_MIN: u64 = 16 << 20;

/// The longest run of adjacent frames that is handed out at once: as long as one operation places.
pub const FRAME_RUN_MAX: usize = PLACED_BYTES_MAX / PAGE_BYTES;

/// Gaps that are looked at for a run of frames before the pool is called fragmented.
pub const FRAME_GAPS_TRIED_MAX: usize = 4096;

/// Pages that are given back to the kernel before a segment's lock is let go for others.
pub const RELEASE_RUN_PAGES_MAX: u64 = 512;

/// Times that the evictor is asked before a reservation fails. More than one, since other threads may take what it has
/// given back.
pub const EVICTIONS_MAX: usize = 16;

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

/// Combinations of label values that one metric shows; what comes after them is counted together. Room for a label with
/// all peers of a large cluster.
pub const METRIC_SERIES_MAX: usize = 1024;

/// The longest pause between two attempts of an expelled node to join again.
pub const REJOIN_PAUSE_MAX_MS: u64 = 5_000;
