//! The fabric: how bytes get from one node's memory to another's. One trait, three backends, one conformance suite
//! (`tests/src/conformance`) that is run on all three:
//!
//! - `tcp`: the embedded default, needs no set-up;
//! - `rdma`: reliable connections through libibverbs, loaded at run time;
//! - `sim`: seeded, in-process, in virtual time.
//!
//! # What every backend promises
//!
//! - **Peers.** A peer is named by its [`NodeId`] and is *up* from [`Event::Up`] to [`Event::Down`]; there is at most one
//!   connection to it, also when both sides connect at once. Nothing of a peer is delivered outside of that span.
//! - **Order.** Messages of one peer arrive once, whole and in the order sent, on one thread at a time. `Up` comes
//!   first. `Down` comes last, after a `Done` for every operation that was under way.
//! - **Run to completion.** The thread that receives an event calls the handler; no lock is held that `send` or
//!   `post` takes, so a handler answers from within the call. It must not wait: it holds up its peers.
//! - **Bounds.** What waits to be sent to one peer is limited; beyond it the caller gets [`SendError::Full`] and, when
//!   half of it has drained, [`Event::Writable`]. A slow peer costs its senders errors, never memory.
//! - **Protection.** A peer reaches exactly the memory that it was granted, with the rights and until the time of the
//!   grant. An attempt beyond that ends in [`OpError::Denied`] and costs the offender its connection.
//! - **Liveness.** A peer from which nothing was heard for `liveness_timeout_ms` is down, whatever the network below says.
//! - **Hostile bytes.** Whatever a peer sends costs at most its own connection, with a logged reason.

pub mod liveness;
pub mod rdma;
pub mod sim;
pub mod tcp;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::memory::{MemoryError, Region, RegionId, RegionSlice};
use crate::{Nanos, NodeId};

/// The version of everything that travels between nodes. Peers of another version are refused at the handshake, with
/// both versions named. Raise it with every change to `rpc/WIRE.md`.
pub const PROTOCOL_VERSION: u16 = 3;

/// A node's connection to its peers.
pub trait Fabric: Send + Sync + 'static {
    fn id(&self) -> NodeId;

    /// Where peers reach this node, as `HOST:PORT` with the port that was really bound.
    fn address(&self) -> String;

    /// The clock that ticks, leases and deadlines of this node go by.
    fn now(&self) -> Nanos;

    /// Begins to accept, to connect and to deliver. Called once.
    fn start(&self, handler: Arc<dyn Handler>) -> Result<(), FabricError>;

    /// Begins to connect to `address`. Ends in `Up` or `ConnectFailed`; an address that can't even be understood or
    /// resolved is refused at once. Connecting to a peer that is up already does nothing and delivers nothing.
    fn connect(&self, address: &str) -> Result<(), FabricError>;

    /// Ends the connection to a peer; `Down` follows with `DownReason::Closed`.
    fn disconnect(&self, peer: NodeId);

    /// Prepares a region for transfers, so that the first one doesn't pay for it. Optional.
    fn register(&self, region: &Arc<Region>) -> Result<(), FabricError>;

    /// Forgets a region, and revokes what was granted of it: call it before its memory is punched or unmapped.
    fn forget(&self, region: RegionId);

    /// Lets one peer, while it is up, reach a part of this node's memory until `until`.
    fn grant(
        &self,
        peer: NodeId,
        slice: &RegionSlice,
        rights: Rights,
        until: Nanos,
    ) -> Result<RemoteKey, FabricError>;

    /// Ends a grant early. An operation that comes later is denied.
    fn revoke(&self, peer: NodeId, key: &RemoteKey);

    /// Sends `head` followed by `body` as one message of at most `MESSAGE_BYTES_MAX`, in one operation of the network
    /// below. All bytes have been read when this returns.
    fn send(&self, peer: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), SendError>;

    /// Begins a one-sided operation. It ends in `Event::Done` with the same `op`, which the caller chooses. Operations and
    /// messages to one peer take effect in the order in which they were begun, except that a read may see later writes.
    fn post(&self, peer: NodeId, op: OpId, operation: Operation<'_>) -> Result<(), SendError>;

    /// Closes every connection and stops the threads. No event is delivered once this has returned.
    fn stop(&self);
}

/// Who is told what happens. Called by the receiving threads themselves.
pub trait Handler: Send + Sync + 'static {
    fn on_event(&self, event: Event<'_>);
}

#[derive(Debug)]
pub enum Event<'a> {
    /// A peer is connected and, where a secret is set, has proven that it knows it.
    Up { peer: NodeId, address: &'a str },
    /// A peer is gone. Whatever was sent and not answered may or may not have arrived.
    Down { peer: NodeId, reason: DownReason },
    /// A `connect` came to nothing.
    ConnectFailed { address: &'a str, reason: ConnectError },
    /// One message, head and body together.
    Message { peer: NodeId, bytes: &'a [u8] },
    /// A peer's `WriteImm` has placed `bytes` bytes.
    Written { peer: NodeId, imm: u32, bytes: usize },
    /// An operation of `post` has ended; atomics give the value that was there before, the others 0.
    Done { peer: NodeId, op: OpId, result: Result<u64, OpError> },
    /// After `SendError::Full`: there is room again.
    Writable { peer: NodeId },
    /// Every `TICK_MS` or so.
    Tick { now: Nanos },
}

/// The caller's name for an operation; the fabric only gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// What can be done to a peer's memory without its help. The local memory of an operation belongs to it until `Done`.
#[derive(Clone, Debug)]
pub enum Operation<'a> {
    /// `into` gets the peer's bytes. Same length on both sides, as everywhere here.
    Read {
        from: RemoteSlice,
        into: RegionSlice,
    },
    /// The peer's memory gets the gathered bytes; `Done` says that they are in place.
    Write {
        from: &'a [RegionSlice],
        into: RemoteSlice,
    },
    /// As `Write`, and the peer's handler gets `Written` once they are in place.
    WriteImm {
        from: &'a [RegionSlice],
        into: RemoteSlice,
        imm: u32,
    },
    /// Pages and a message: the peer gets `head` as a message once the gathered bytes are in place. `Done` says
    /// only that `from` may be changed again.
    Place {
        head: &'a [u8],
        from: &'a [RegionSlice],
        into: RemoteSlice,
    },
    /// On 8 aligned bytes, in the byte order of the machines (little-endian).
    CompareAndSwap {
        at: RemoteSlice,
        expected: u64,
        new: u64,
    },
    FetchAdd {
        at: RemoteSlice,
        add: u64,
    },
}

/// What a grant allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub read: bool,
    pub write: bool,
    pub atomic: bool,
}

impl Rights {
    pub const READ: Self = Self { read: true, write: false, atomic: false };
    pub const WRITE: Self = Self { read: false, write: true, atomic: false };
    pub const ALL: Self = Self { read: true, write: true, atomic: true };
}

/// Names granted memory to the peer it was granted to. It travels inside of messages and proves nothing by itself:
/// only the peer that it was made for can use it. 24 bytes on the wire (`rpc/WIRE.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemoteKey {
    /// The backend's name for the grant.
    pub key: u64,
    /// What offset 0 is called on the wire.
    pub base: u64,
    pub bytes: u64,
}

/// A part of granted memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteSlice {
    pub key: RemoteKey,
    pub offset: u64,
    pub bytes: usize,
}

impl RemoteKey {
    /// The part of the grant at `offset`. Not checked here: the granting side checks every operation.
    pub fn slice(&self, offset: u64, bytes: usize) -> RemoteSlice {
        RemoteSlice { key: *self, offset, bytes }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// `disconnect` or `stop`, here or there.
    Closed,
    /// Nothing was heard for the liveness timeout.
    Silent { timeout_ms: u64 },
    /// The network below gave up.
    Lost(String),
    /// The peer broke the protocol, or reached for memory that it was not granted.
    Protocol(String),
    /// The peer closed because this node did.
    Denied,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Silent { timeout_ms } => write!(f, "nothing heard for {timeout_ms} ms"),
            Self::Lost(what) => write!(f, "connection lost: {what}"),
            Self::Protocol(what) => write!(f, "protocol broken: {what}"),
            Self::Denied => f.write_str("reached for memory that was not granted"),
        }
    }
}

/// Why a connection was not made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConnectError {
    #[error("cannot connect to {address}: {what}; is a node listening there?")]
    Unreachable { address: String, what: String },
    #[error("{address} does not answer as a SciFS node ({what}); check the address and port")]
    NotSciFs { address: String, what: String },
    #[error(
        "{address} speaks protocol version {theirs}, this node speaks {ours}; \
         run the same version of scifs on both"
    )]
    Version { address: String, ours: u16, theirs: u16 },
    #[error("{address} was started with another secret; give every node the same secret=FILE")]
    WrongSecret { address: String },
    #[error("{address} requires a secret; give this node the cluster's secret=FILE")]
    SecretRequired { address: String },
    #[error("{address} has no secret, but this node has; give every node the same secret=FILE")]
    SecretUnexpected { address: String },
    #[error("{address} did not finish the handshake within {timeout_ms} ms")]
    Timeout { address: String, timeout_ms: u64 },
    #[error("{address} is this node itself; name another member in join=")]
    Itself { address: String },
    #[error("{address} cannot be reached over {fabric}: {what}")]
    Fabric { address: String, fabric: &'static str, what: String },
}

#[derive(Debug, Error)]
pub enum FabricError {
    #[error("cannot listen on {address}: {source}; choose another listen=HOST:PORT or end what uses it")]
    Listen { address: String, source: std::io::Error },
    #[error("{address:?} is not an address: write HOST:PORT, or [IPV6]:PORT")]
    Address { address: String },
    #[error("cannot resolve {address}: {source}; check the name, or write the IP address")]
    Resolve { address: String, source: std::io::Error },
    #[error(
        "refusing to listen on {address} without a secret: only loopback addresses are allowed then; \
         set secret=FILE on every node, or listen on 127.0.0.1"
    )]
    SecretNeeded { address: String },
    #[error("fabric=verbs is not available: {what}")]
    Verbs { what: String },
    #[error("peer {0} is not connected")]
    NotConnected(NodeId),
    #[error("no more than {max} grants can be live at once; revoke some first")]
    Grants { max: usize },
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error("{operation} failed: {source}")]
    System { operation: &'static str, source: std::io::Error },
    #[error("the fabric has been stopped")]
    Stopped,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    #[error("peer {0} is not connected")]
    NotConnected(NodeId),
    #[error("too much is waiting to be sent to this peer; go on when it is writable again")]
    Full,
    #[error("{bytes} bytes are more than the {max} that fit into one operation")]
    TooLong { bytes: usize, max: usize },
    #[error("the local and the remote range differ in length, or an atomic isn't 8 aligned bytes")]
    Shape,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum OpError {
    #[error("the peer was lost before the operation was known to have ended")]
    PeerLost,
    #[error("the peer has not granted this operation on this range, or not any longer")]
    Denied,
}

/// How a backend is set up; the same for all.
#[derive(Clone, Debug)]
pub struct FabricConfig {
    pub id: NodeId,
    /// `HOST:PORT`; port 0 lets the kernel choose.
    pub listen: String,
    pub secret: Option<crate::auth::Secret>,
    /// How long a receiver polls after the last event before it blocks. 0 blocks at once.
    pub spin_us: u64,
    pub liveness_timeout_ms: u64,
    /// `PROTOCOL_VERSION`, except in tests of what happens when it differs.
    pub version: u16,
}

impl FabricConfig {
    /// Loopback, no secret, a port that the kernel chooses.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            listen: "127.0.0.1:0".into(),
            secret: None,
            spin_us: 50,
            liveness_timeout_ms: 2_000,
            version: PROTOCOL_VERSION,
        }
    }
}
