//! How requests for pages end when they don't succeed.

use thiserror::Error;

use crate::coherence::PageError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PageFault {
    #[error("the page is lost with the nodes that held it; overwrite it whole or truncate the file")]
    Lost,
    #[error("too many requests wait for one page; retry")]
    Busy,
    #[error("the cluster's memory is full; delete files, or add a node or memory")]
    Full,
    #[error("this node's membership has ended before the request was done; retry")]
    Ended,
    #[error("the file was deleted")]
    Gone,
    #[error("the request goes beyond the longest possible file, or is too long")]
    Range,
    #[error("this node has no memory file left for it; raise the limit of open files")]
    Memory,
}

impl From<PageError> for PageFault {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Lost => Self::Lost,
            PageError::Busy => Self::Busy,
        }
    }
}
