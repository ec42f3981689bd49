//! What a test or a status report may see of the engine.

use super::engine::LockEngine;
use super::table::Table;

impl LockEngine {
    /// The tables that this node manages.
    pub fn tables(&self) -> impl Iterator<Item = (u64, &Table)> {
        self.tables.iter().map(|(inode, managed)| (*inode, &managed.table))
    }

    /// How many requests of this node's programs haven't ended.
    pub fn requests(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing is under way that only another member's message can end.
    pub fn is_settled(&self) -> bool {
        self.recovery.is_none() && self.gone.is_empty() && self.early_asks.is_empty()
    }
}
