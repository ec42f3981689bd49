//! When files were written to, gathered here until the cluster is told: each write telling at once would cost a decision
//! of the whole cluster a write.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::convert;
use crate::names::{Inode, Time};

#[derive(Debug, Default)]
pub(super) struct Written {
    at: Mutex<HashMap<Inode, Time>>,
}

impl Written {
    pub(super) fn mark(&self, inode: Inode) {
        self.at.lock().insert(inode, convert::now());
    }

    pub(super) fn is_marked(&self, inode: Inode) -> bool {
        self.at.lock().contains_key(&inode)
    }

    pub(super) fn take(&self, inode: Inode) -> Option<Time> {
        self.at.lock().remove(&inode)
    }

    pub(super) fn take_all(&self) -> Vec<(Inode, Time)> {
        self.at.lock().drain().collect()
    }
}
