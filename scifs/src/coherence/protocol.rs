//! What differs between coherence protocols: which copies may exist beside each other. A protocol only decides; asking,
//! queueing, forwarding, acknowledging, holding and recovering are the engine's and the same for all.

use std::fmt;

use super::copyset::CopySet;
use super::ids::{MapperId, MemberNo, Mode};
use super::message::Task;

/// Who holds a page, as its home knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Holders {
    /// Nobody ever did: it reads as zeros.
    #[default]
    Untouched,
    Shared(CopySet),
    Exclusive(MemberNo),
    /// Every copy died with its holder.
    Lost,
}

/// A request as the home sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    pub by: MemberNo,
    pub mode: Mode,
    pub fresh: bool,
}

/// What the home does for a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    pub source: Source,
    /// Who drops its copy and acknowledges to the asker.
    pub invalidate: CopySet,
    pub after: Holders,
}

/// Where the asker's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nowhere: the page is lost.
    Nowhere,
    /// It has them.
    Kept,
    /// They are zeros.
    Zero,
    /// A holder lends (reading) or cedes (writing) them.
    From(MemberNo),
}

/// What a mapper has to give up for something else to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loses {
    Nothing,
    Writing,
    All,
}

pub trait Protocol: fmt::Debug + Send + Sync {
    /// Home: how to satisfy a request, given who holds the page now.
    fn plan(&self, holders: &Holders, home: MemberNo, ask: Ask) -> Plan;

    /// Holder: what a mapper that has `held` loses before an order of the home can be carried out.
    fn order_takes(&self, held: Mode, task: Task) -> Loses;

    /// Holder: what one mapper loses before another one of the same node gets `wanted`.
    fn neighbour_takes(&self, holder: (MapperId, Mode), wanted: (MapperId, Mode)) -> Loses;
}

impl Holders {
    pub fn contains(&self, member: MemberNo) -> bool {
        match self {
            Self::Untouched | Self::Lost => false,
            Self::Shared(set) => set.contains(member),
            Self::Exclusive(owner) => *owner == member,
        }
    }
}
