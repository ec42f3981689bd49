//! Faults that can be built into the protocol, to see that the model checker finds every one of them. Exists only
//! with the feature `mutations`, which only tests switch on.

use super::copyset::CopySet;
use super::ids::Mode;
use super::message::Task;
use super::page_state::PageState;
use super::protocol::{Ask, Holders, Plan, Source};

/// Each breaks one rule on which the argument in `PROTOCOL.md` rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A sharer acknowledges and goes on reading.
    AckAndKeep,
    /// The new writer begins before the acknowledgements are in.
    WriteBeforeAcks,
    /// The new writer waits for one acknowledgement too few.
    OneAckLess,
    /// An acknowledgement that comes before the page isn't counted.
    LoseEarlyAck,
    /// The home doesn't write down a new reader.
    ForgetReader,
    /// The home forgets that who lends a page keeps a copy.
    ForgetLender,
    /// The home leaves one sharer out when it invalidates.
    SkipInvalidation,
    /// The home drops a request for a page that is busy.
    DropQueued,
    /// The home begins the next thing before the last is done.
    DontWaitForDone,
    /// The new holder doesn't say that the page has arrived.
    DontConfirm,
    /// The giver doesn't tell the home that the page has arrived.
    GiverStaysSilent,
    /// The lender goes on writing.
    LendAndWrite,
    /// An order is carried out while a process still maps the page.
    DontWaitForMappers,
    /// An upgrade that lost its copy in a race believes that it still has it.
    KeepCopyInUpgrade,
    /// The home grants an upgrade without bytes to who has none.
    UpgradeWithoutCopy,
    /// Two writers get the same version.
    ReuseVersion,
    /// The only copy of a page is dropped when its holder is short of memory.
    ExpelLastCopy,
    /// A home drops its own copy though those that it lent may not have arrived.
    DropLentCopy,
    /// Messages of an old epoch are taken for new.
    AcceptOldEpoch,
    /// What was given away and never arrived is forgotten in a change of epoch.
    ForgetCededAtFence,
    /// What was given to a member that died comes back, though that may have written.
    ReviveHistory,
    /// A survivor doesn't report its shared copies.
    HideShared,
    /// A home begins before every survivor has reported.
    ServeBeforeReports,
    /// What was asked in the old epoch isn't asked again in the new one.
    DontAskAgain,
    /// A page whose holders died reads as zeros.
    LostReadsAsZeros,
    /// Nobody remembers that a dead home's extent was in use.
    DeadHomeWasUntouched,
    /// That a giver was told to keep its copy is forgotten in the next change of epoch.
    ForgetVerdict,
    /// The registrar gives each toucher an answer of its own.
    ForgetRegistration,
    /// A home that has said farewell goes on giving pages away.
    BeginAfterClosing,
    /// A member leaves before the others have said that what it granted them has arrived.
    DontWaitToBeHeard,
    /// A home doesn't tell its heirs which extents have lost pages.
    HideLostWhenLeaving,
    /// A member leaves with pages that nobody else has.
    LeaveWithTheLast,
    /// What a home took over from who left counts as untouched, though somebody died who had not reported.
    TrustTheTaken,
}

impl Mutation {
    pub const ALL: [Self; 33] = [
        Self::AckAndKeep,
        Self::WriteBeforeAcks,
        Self::OneAckLess,
        Self::LoseEarlyAck,
        Self::ForgetReader,
        Self::ForgetLender,
        Self::SkipInvalidation,
        Self::DropQueued,
        Self::DontWaitForDone,
        Self::DontConfirm,
        Self::GiverStaysSilent,
        Self::LendAndWrite,
        Self::DontWaitForMappers,
        Self::KeepCopyInUpgrade,
        Self::UpgradeWithoutCopy,
        Self::ReuseVersion,
        Self::ExpelLastCopy,
        Self::DropLentCopy,
        Self::AcceptOldEpoch,
        Self::ForgetCededAtFence,
        Self::ReviveHistory,
        Self::HideShared,
        Self::ServeBeforeReports,
        Self::DontAskAgain,
        Self::LostReadsAsZeros,
        Self::DeadHomeWasUntouched,
        Self::ForgetVerdict,
        Self::ForgetRegistration,
        Self::BeginAfterClosing,
        Self::DontWaitToBeHeard,
        Self::HideLostWhenLeaving,
        Self::LeaveWithTheLast,
        Self::TrustTheTaken,
    ];

    /// The faults in what the home decides.
    pub(super) fn spoil(self, plan: &mut Plan, ask: Ask) {
        match self {
            Self::ForgetReader if ask.mode == Mode::Read => {
                if let Holders::Shared(set) = &mut plan.after
                    && set.len() > 1
                {
                    set.remove(ask.by);
                }
            }
            Self::ForgetLender => {
                if let (Mode::Read, Source::From(_)) = (ask.mode, plan.source) {
                    plan.after = Holders::Shared(CopySet::one(ask.by));
                }
            }
            Self::SkipInvalidation => {
                if let Some(first) = plan.invalidate.first() {
                    plan.invalidate.remove(first);
                }
            }
            Self::UpgradeWithoutCopy if ask.mode == Mode::Write => {
                if let Source::From(giver) = plan.source {
                    plan.invalidate.insert(giver);
                    plan.source = Source::Zero;
                }
            }
            _ => {}
        }
    }

    /// The faults in how an order is carried out: whether the holder goes on as if nothing had happened.
    pub(super) fn ignores(self, state: PageState, task: Task) -> bool {
        match self {
            Self::AckAndKeep => task == Task::Invalidate,
            Self::LendAndWrite => task == Task::Lend,
            Self::KeepCopyInUpgrade => task == Task::Invalidate && state == PageState::SharedAskWrite,
            _ => false,
        }
    }
}
