//! What those parts of a node have in common that speak with the same part of every other member (locks, waiting): the fence that keeps
//! messages of different epochs apart, the way messages are sent, and the requests of programs that wait.

mod fence;
mod post;
mod waiting;

pub use fence::EARLY_MESSAGES_MAX;
pub(crate) use fence::{Fence, Passage};
pub use post::Post;
pub(crate) use waiting::Waiting;
