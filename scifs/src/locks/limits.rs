//! Every bound of the locks, by name.

/// Requests that may wait for one file, of all nodes. More are refused with `ENOLCK`.
pub const WAITERS_MAX: usize = 1 << 16;

/// Locks and waiters of a table that may move to another node: one message, and cheap enough to move at each hand-over. A
/// larger table stays where it is and grants from there.
pub const MOVING_ITEMS_MAX: usize = 256;

/// Empty tables that a node keeps so that locking again is local. The oldest goes back to its registrar.
pub const IDLE_TABLES_MAX: usize = 1 << 16;

/// Locks in one message of a report, edges in one message to the detector: both stay far below `RPC_MESSAGE_BYTES_MAX`.
pub const LIST_ITEMS_MAX: usize = 1024;
