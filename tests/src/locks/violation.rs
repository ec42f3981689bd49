//! What a run may not show.

use scifs::locks::{Owner, Range, WaiterId};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Violation {
    #[error("{0:?} and {1:?} both hold {3:?} of file {2}")]
    Exclusion(Owner, Owner, u64, Range),
    #[error("{1:?} overtook {0:?}, which waited first, for file {2}")]
    Overtaken(Owner, Owner, u64),
    #[error("{0:?} was refused for a deadlock that didn't exist")]
    NoDeadlock(WaiterId),
    #[error("{0:?} was refused for a deadlock that was broken before")]
    BrokenDeadlock(WaiterId),
    #[error("{0} requests of node {1} never ended")]
    Endless(usize, u32),
    #[error("node {0} keeps something of what everybody has unlocked")]
    Remains(u32),
    #[error("node {0} distrusts an honest peer: {1}")]
    Distrust(u32, String),
    #[error("a message doesn't survive being sent: {0}")]
    Codec(String),
    #[error("request {0:?} ended twice or was never asked")]
    Unasked(WaiterId),
    #[error("{0} steps and no end")]
    TooLong(usize),
}
