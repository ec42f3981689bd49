//! Faults that can be built into the protocol, to see that the simulator finds every one of them. Exists only with the
//! feature `mutations`, which only tests switch on.

/// Each breaks one rule on which the argument in `PROTOCOL.md` rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Messages of an old epoch are taken for new.
    AcceptOldEpoch,
    /// A notification is spent on somebody who may see the new value by itself.
    WakeUnsure,
    /// Who looked before somebody notified sleeps on.
    SleepThroughNotify,
    /// What was seen before joining a queue counts.
    TrustOldLook,
    /// Who withdraws doesn't wait for the keeper's word.
    LeaveWithoutAsking,
    /// A node forgets what it has notified before all who were woken know it.
    DontSettle,
    /// A notification that was maybe done is done as if it had not been.
    TrustRepeatedNotify,
    /// A keeper keeps its queue in a new epoch.
    KeepQueues,
    /// A keeper begins before every survivor has reported.
    ServeBeforeReports,
    /// Nobody tells the next keeper which barriers have opened.
    HideOpened,
    /// Those who slept in the old epoch count as awake in the new one.
    ForgetWhoSleeps,
    /// Those who waited in the old epoch aren't reported in the new one.
    DontAskAgain,
}

impl Mutation {
    pub const ALL: [Self; 12] = [
        Self::AcceptOldEpoch,
        Self::WakeUnsure,
        Self::SleepThroughNotify,
        Self::TrustOldLook,
        Self::LeaveWithoutAsking,
        Self::DontSettle,
        Self::TrustRepeatedNotify,
        Self::KeepQueues,
        Self::ServeBeforeReports,
        Self::HideOpened,
        Self::ForgetWhoSleeps,
        Self::DontAskAgain,
    ];
}
