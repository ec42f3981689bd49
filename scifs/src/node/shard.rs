//! One slice of the page space: an engine, and who waits for its answers. Everything here is behind the shard's lock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use scios::NodeId;

use super::access::Waiting;
use super::limits::SHARDS;
use super::peers::Roster;
use super::spare::Spare;
use super::tokens::Tokens;
use crate::coherence::{Engine, ExtentId, Message, PageId};

#[derive(Default)]
pub(super) struct Shard {
    /// From the first view with this node in it on, until the membership ends.
    pub(super) engine: Option<Engine>,
    pub(super) ended: bool,
    pub(super) waiting: Tokens<Waiting>,
    pub(super) roster: Arc<Roster>,
    /// What nodes said that are no members yet as far as this shard knows, in order.
    pub(super) strangers: VecDeque<Stranger>,
    /// Pages that the kernel is dropping, and whether it has asked for the page again in the meantime.
    pub(super) dropping: HashMap<PageId, bool>,
    /// Pages that programs are not given for the moment.
    pub(super) withheld: HashSet<PageId>,
    /// Frames without a page.
    pub(super) spare: Spare,
}

pub(super) struct Stranger {
    pub(super) node: NodeId,
    pub(super) message: Message,
}

pub(super) fn number_of(extent: ExtentId) -> usize {
    extent.hash() as usize % SHARDS
}
