//! Faults that can be built into the protocol, to see that the simulator finds every one of them. Exists only with the
//! feature `mutations`, which only tests switch on.

/// Each breaks one rule on which the argument in `PROTOCOL.md` rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Messages of an old epoch are taken for new.
    AcceptOldEpoch,
    /// A table moves on before its last move is confirmed.
    MoveUnconfirmed,
    /// The new manager doesn't wait for what the registrar sent to the old one.
    DontDefer,
    /// What comes to the old manager after the table left is dropped.
    LoseStragglers,
    /// The table's waiters stay behind.
    MoveWithoutWaiters,
    /// The table's other holders stay behind.
    MoveWithoutHolders,
    /// A node that has the table asks itself, though an earlier request of its own is still under way.
    OvertakeMyself,
    /// An unlock crosses a lock of the same owner that is under way.
    CrossUnlock,
    /// A request overtakes earlier ones that wait.
    Overtake,
    /// Nobody listens to interrupts.
    IgnoreCancel,
    /// A node holds what it has unlocked until the answer comes.
    HoldUntilAnswered,
    /// A survivor doesn't report one of its locks.
    HideOneLock,
    /// A registrar begins before every survivor has reported.
    ServeBeforeReports,
    /// What was asked in the old epoch isn't asked again in the new one.
    DontAskAgain,
    /// Nobody looks for deadlocks.
    DontSeek,
    /// What one run saw is taken for a deadlock.
    DoomAfterOneRun,
    /// The next search begins before the refused request has ended.
    DontWaitForTheDoomed,
}

impl Mutation {
    pub const ALL: [Self; 17] = [
        Self::AcceptOldEpoch,
        Self::MoveUnconfirmed,
        Self::DontDefer,
        Self::LoseStragglers,
        Self::MoveWithoutWaiters,
        Self::MoveWithoutHolders,
        Self::OvertakeMyself,
        Self::CrossUnlock,
        Self::Overtake,
        Self::IgnoreCancel,
        Self::HoldUntilAnswered,
        Self::HideOneLock,
        Self::ServeBeforeReports,
        Self::DontAskAgain,
        Self::DontSeek,
        Self::DoomAfterOneRun,
        Self::DontWaitForTheDoomed,
    ];
}
