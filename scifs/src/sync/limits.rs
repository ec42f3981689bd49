//! Every bound of waiting, by name.

/// Bytes of a barrier's name.
pub const NAME_BYTES_MAX: usize = 64;

/// Requests that may wait for one word, of all nodes. More are refused with `ENOMEM`.
pub const WAITERS_MAX: usize = 1 << 16;

/// Parties of one barrier. More are refused with `EINVAL`.
pub const PARTIES_MAX: u32 = 1 << 14;

/// Items of a list in one message: it stays far below `RPC_MESSAGE_BYTES_MAX`. Longer lists travel in several.
pub const LIST_ITEMS_MAX: usize = 512;

/// How often a waiter looks at its word because somebody notified just then. After that it is told to see for itself (`EAGAIN`).
pub const LOOKS_MAX: u8 = 4;
