//! What a run may not show.

use scifs::coherence::Token;
use scifs::sync::{Key, Refusal, Round, WaiterId, Word};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Violation {
    #[error("request {0:?} of node {1} ended twice or was never asked")]
    Unasked(Token, usize),
    #[error("{1:?} was woken at {0:?} before {2:?}, which has slept longer")]
    Overtaken(Word, WaiterId, WaiterId),
    #[error("{1:?} was woken at {0:?} though it hasn't said that it sleeps")]
    Awake(Word, WaiterId),
    #[error("{1} were woken at {0:?}, and only {2} were to be")]
    TooMany(Word, u64, u64),
    #[error("{1} were woken at {0:?}, and notifications said {2}")]
    Miscounted(Word, u64, u64),
    #[error("{1:?} slept at {0:?} when somebody notified all, and sleeps on")]
    Slept(Word, WaiterId),
    #[error("{1:?} waits at {0:?} for a value that it doesn't have any more, and all were notified")]
    Missed(Word, WaiterId),
    #[error("{0:?} of {1:?} opened for some and not for {2:?}")]
    Torn(Round, Key, WaiterId),
    #[error("{0:?} of {1:?} opened for {2} of {3} parties")]
    Incomplete(Round, Key, usize, u32),
    #[error("{0:?} of {1:?} made {2} of its parties the one")]
    Ones(Round, Key, usize),
    #[error("{0:?} went through {1:?} without a round")]
    Alone(WaiterId, Key),
    #[error("{0:?} was refused: {1}")]
    Refused(WaiterId, Refusal),
    #[error("{0} requests of node {1} never end")]
    Endless(usize, usize),
    #[error("node {0} keeps something though nobody waits")]
    Remains(usize),
    #[error("node {0} distrusts an honest peer: {1}")]
    Distrust(usize, String),
    #[error("a message doesn't survive being sent: {0}")]
    Codec(String),
    #[error("{0} steps and no end")]
    TooLong(usize),
}
