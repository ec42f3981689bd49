//! What a node holds of one page, as a table.
//!
//! ```text
//!  getting it      Invalid ──Ask(Read)───▶ AskRead ──GrantRead──▶ Shared
//!                  Invalid ──Ask(Write)──▶ AskWrite ──DataWrite─▶ Arrived ──GrantWrite──▶ Exclusive
//!                                             └────────GrantWrite (zeros)───────────────▶ Exclusive
//!                  Shared ───Ask(Write)──▶ SharedAskWrite ───────GrantWrite─────────────▶ Exclusive
//!                  AskRead, AskWrite ────Refuse───▶ Invalid
//!
//!  giving it up    Exclusive ──Lend──▶ Shared      Shared, SharedAskWrite ──Lend──▶ the same
//!                  Exclusive, Shared ──Drop──▶ Invalid
//!                  Exclusive, Shared ──Cede──▶ Ceded ──Release──▶ Invalid
//!
//!  races: another  SharedAskWrite ──Drop──▶ AskWrite
//!  writer is first SharedAskWrite ──Cede──▶ CededAskWrite ──Release──▶ AskWrite
//!
//!  a new epoch     AskRead, AskWrite ──Fence──▶ Invalid       Arrived, SharedAskWrite ──Fence──▶ Shared
//!                  CededAskWrite ──Fence──▶ Ceded ──Keep──▶ Shared
//!                                           Ceded ──Release──▶ Invalid
//! ```
//!
//! *Ceded* is what makes a page's only copy safe on its way: the giver of the last copy keeps its frame, unmapped, until the
//! new holder has said that it arrived. *Arrived* is the other end: the bytes are here and current, but a sharer has not yet
//! acknowledged, so nobody may write. A *fence* is a change of epoch: what was asked for will be asked again.

use thiserror::Error;

use super::ids::Mode;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PageState {
    /// Nothing here.
    Invalid,
    /// Nothing here; asked for a copy.
    AskRead,
    /// Nothing here; asked for the page.
    AskWrite,
    /// The current bytes are here, waiting for sharers to acknowledge.
    Arrived,
    /// A copy that others may have too.
    Shared,
    /// A copy, and asked to be the only one.
    SharedAskWrite,
    /// The only copy.
    Exclusive,
    /// Given away; kept until it has arrived.
    Ceded,
    /// Given away while an own request was in the home's queue.
    CededAskWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageEvent {
    /// This node sends a request to the home.
    Ask(Mode),
    /// A copy came.
    GrantRead,
    /// The page came, acknowledgements are missing.
    DataWrite,
    /// Page and acknowledgements are complete.
    GrantWrite,
    /// The home said that the page is lost.
    Refuse,
    /// Another node gets a copy from this one.
    Lend,
    /// Another node gets the page from this one.
    Cede,
    /// Another node becomes the writer without this one's bytes, or the home takes a surplus copy off it.
    Drop,
    /// The new holder has the page.
    Release,
    /// The new holder never got it, says the home after a change of epoch.
    Keep,
    /// The epoch changed.
    Fence,
}

/// A pair that the protocol never produces: a peer that sends it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{event:?} can't happen to a page that is {state:?} here: the peer that sent it doesn't keep the protocol"
)]
pub struct ImpossibleEvent {
    pub state: PageState,
    pub event: PageEvent,
}

impl PageState {
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::AskRead,
        Self::AskWrite,
        Self::Arrived,
        Self::Shared,
        Self::SharedAskWrite,
        Self::Exclusive,
        Self::Ceded,
        Self::CededAskWrite,
    ];

    /// The transition table. Whatever isn't listed is impossible.
    pub fn on(self, event: PageEvent) -> Result<Self, ImpossibleEvent> {
        use PageEvent as E;
        use PageState as S;
        Ok(match (self, event) {
            (S::Invalid, E::Ask(Mode::Read)) => S::AskRead,
            (S::Invalid, E::Ask(Mode::Write)) => S::AskWrite,
            (S::Shared, E::Ask(Mode::Write)) => S::SharedAskWrite,

            (S::AskRead, E::GrantRead) => S::Shared,
            (S::AskWrite, E::DataWrite) => S::Arrived,
            (S::AskWrite | S::Arrived | S::SharedAskWrite, E::GrantWrite) => S::Exclusive,
            (S::AskRead | S::AskWrite, E::Refuse) => S::Invalid,

            (S::Shared | S::Exclusive, E::Lend) => S::Shared,
            (S::SharedAskWrite, E::Lend) => S::SharedAskWrite,
            (S::Shared | S::Exclusive, E::Cede) => S::Ceded,
            (S::SharedAskWrite, E::Cede) => S::CededAskWrite,
            (S::Shared | S::Exclusive, E::Drop) => S::Invalid,
            (S::SharedAskWrite, E::Drop) => S::AskWrite,

            (S::Ceded, E::Release) => S::Invalid,
            (S::CededAskWrite, E::Release) => S::AskWrite,
            (S::Ceded, E::Keep) => S::Shared,

            (S::Invalid | S::AskRead | S::AskWrite, E::Fence) => S::Invalid,
            (S::Shared | S::SharedAskWrite | S::Arrived, E::Fence) => S::Shared,
            (S::Exclusive, E::Fence) => S::Exclusive,
            (S::Ceded | S::CededAskWrite, E::Fence) => S::Ceded,
            (state, event) => return Err(ImpossibleEvent { state, event }),
        })
    }

    /// Whether this node's programs may do `mode` to the page now.
    pub fn permits(self, mode: Mode) -> bool {
        match mode {
            Mode::Read => matches!(self, Self::Shared | Self::SharedAskWrite | Self::Exclusive),
            Mode::Write => self == Self::Exclusive,
        }
    }

    /// Whether a request of this node is on its way or in the home's queue.
    pub fn asking(self) -> bool {
        matches!(
            self,
            Self::AskRead | Self::AskWrite | Self::Arrived | Self::SharedAskWrite | Self::CededAskWrite
        )
    }

    /// Whether there is a frame behind the page.
    pub fn has_frame(self) -> bool {
        !matches!(self, Self::Invalid | Self::AskRead | Self::AskWrite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PageEvent as E;
    use PageState as S;

    const EVENTS: [PageEvent; 12] = [
        E::Ask(Mode::Read),
        E::Ask(Mode::Write),
        E::GrantRead,
        E::DataWrite,
        E::GrantWrite,
        E::Refuse,
        E::Lend,
        E::Cede,
        E::Drop,
        E::Release,
        E::Keep,
        E::Fence,
    ];

    /// Every pair that is valid, and where it leads; all others must be refused.
    const VALID: [(S, E, S); 31] = [
        (S::Invalid, E::Ask(Mode::Read), S::AskRead),
        (S::Invalid, E::Ask(Mode::Write), S::AskWrite),
        (S::Invalid, E::Fence, S::Invalid),
        (S::AskRead, E::GrantRead, S::Shared),
        (S::AskRead, E::Refuse, S::Invalid),
        (S::AskRead, E::Fence, S::Invalid),
        (S::AskWrite, E::DataWrite, S::Arrived),
        (S::AskWrite, E::GrantWrite, S::Exclusive),
        (S::AskWrite, E::Refuse, S::Invalid),
        (S::AskWrite, E::Fence, S::Invalid),
        (S::Arrived, E::GrantWrite, S::Exclusive),
        (S::Arrived, E::Fence, S::Shared),
        (S::Shared, E::Ask(Mode::Write), S::SharedAskWrite),
        (S::Shared, E::Lend, S::Shared),
        (S::Shared, E::Cede, S::Ceded),
        (S::Shared, E::Drop, S::Invalid),
        (S::Shared, E::Fence, S::Shared),
        (S::SharedAskWrite, E::GrantWrite, S::Exclusive),
        (S::SharedAskWrite, E::Lend, S::SharedAskWrite),
        (S::SharedAskWrite, E::Cede, S::CededAskWrite),
        (S::SharedAskWrite, E::Drop, S::AskWrite),
        (S::SharedAskWrite, E::Fence, S::Shared),
        (S::Exclusive, E::Lend, S::Shared),
        (S::Exclusive, E::Cede, S::Ceded),
        (S::Exclusive, E::Drop, S::Invalid),
        (S::Exclusive, E::Fence, S::Exclusive),
        (S::Ceded, E::Release, S::Invalid),
        (S::Ceded, E::Keep, S::Shared),
        (S::Ceded, E::Fence, S::Ceded),
        (S::CededAskWrite, E::Release, S::AskWrite),
        (S::CededAskWrite, E::Fence, S::Ceded),
    ];

    #[test]
    fn every_valid_pair_leads_where_the_diagram_says() {
        for (from, event, to) in VALID {
            assert_eq!(from.on(event), Ok(to), "{from:?} on {event:?}");
        }
    }

    #[test]
    fn every_other_pair_is_refused() {
        for state in S::ALL {
            for event in EVENTS {
                if !VALID.iter().any(|(s, e, _)| *s == state && *e == event) {
                    assert_eq!(state.on(event), Err(ImpossibleEvent { state, event }));
                }
            }
        }
    }

    #[test]
    fn writing_is_permitted_only_to_the_only_copy() {
        for state in S::ALL {
            assert_eq!(state.permits(Mode::Write), state == S::Exclusive);
            assert!(!state.permits(Mode::Write) || state.permits(Mode::Read));
            assert!(!state.permits(Mode::Read) || state.has_frame());
        }
    }
}
