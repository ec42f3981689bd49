//! Every bound of the coherence engine, by name.

/// Pages that have one home: 2 MiB, so that a home is asked for once for as much as one huge page.
pub const EXTENT_PAGES: u32 = 512;

/// Pages that one message carries or names: what `MESSAGE_BYTES_MAX` of the fabric holds.
pub const RUN_PAGES_MAX: u16 = 16;

/// Slots of the registrars' table: enough that 1,000 members share the extents evenly within a few percent.
pub const SLOTS: usize = 4096;

/// Pages or extents in one message of a report, so that it stays below `MESSAGE_BYTES_MAX`.
pub const REPORT_ITEMS_MAX: usize = 1024;

/// Messages of a coming epoch that are kept until this node is told of it, over all peers. Honest peers send no more
/// than their reports and their open requests.
pub const EARLY_MESSAGES_MAX: usize = 1 << 18;

/// Local requests that may wait for one page. A surface has fewer threads than this.
pub const WAITERS_MAX: usize = 1024;
