//! Tests of the checker: protocols with one fault each, and the small clusters in which it must be found.

mod careless;

use std::sync::Arc;

use scifs::coherence::Mutation;

use crate::model::explore::{Found, explore};
use crate::model::scopes::{
    cold, deadly, dying, evicting, holding, leaving, mixed_epochs, overwriting, peaceful, shaken, surfaces,
};
use crate::model::world::Scope;
use careless::{LendWithoutAsking, SideBySide};

/// A cluster with a fault in it.
#[derive(Debug)]
pub struct Mutant {
    pub name: String,
    pub scope: Scope,
}

/// More than any fault needs.
const STATES_MAX: usize = 2_000_000;

impl Mutant {
    pub fn all() -> Vec<Self> {
        let of_engine = Mutation::ALL.into_iter().map(|mutation| Self {
            name: format!("{mutation:?}"),
            scope: scope(mutation).with_mutation(mutation),
        });
        let of_protocol = [
            Self { name: "SideBySide".into(), scope: surfaces(2, 2).with_protocol(Arc::new(SideBySide)) },
            Self {
                name: "LendWithoutAsking".into(),
                scope: surfaces(2, 2).with_protocol(Arc::new(LendWithoutAsking)),
            },
        ];
        of_engine.chain(of_protocol).collect()
    }

    /// What the checker says to it; `None` if it is fooled.
    pub fn hunt(&self) -> Option<Box<Found>> {
        explore(&self.scope, STATES_MAX).err()
    }
}

/// Where a fault shows: the smallest cluster in which it can matter.
fn scope(mutation: Mutation) -> Scope {
    use Mutation as M;
    match mutation {
        M::AckAndKeep | M::WriteBeforeAcks | M::OneAckLess | M::LoseEarlyAck => peaceful(3, 1, 2),
        M::ForgetReader | M::ForgetLender | M::SkipInvalidation | M::DropQueued => peaceful(3, 1, 2),
        M::DontWaitForDone | M::DontConfirm | M::GiverStaysSilent | M::LendAndWrite => peaceful(3, 1, 2),
        M::KeepCopyInUpgrade | M::UpgradeWithoutCopy | M::ReuseVersion => peaceful(3, 1, 2),
        M::DontWaitForMappers => surfaces(2, 2),
        M::ExpelLastCopy => evicting(peaceful(3, 1, 2), 2),
        M::DropLentCopy => evicting(shaken(3, 1, 1), 1),
        M::AcceptOldEpoch => mixed_epochs(deadly(3, 1, 1)),
        M::ForgetCededAtFence | M::ReviveHistory | M::HideShared | M::ServeBeforeReports => deadly(3, 1, 1),
        M::DontAskAgain | M::LostReadsAsZeros | M::DeadHomeWasUntouched => deadly(3, 1, 1),
        M::ForgetVerdict => shaken(3, 1, 1),
        M::ForgetRegistration => cold(peaceful(3, 1, 1)),
        M::BeginAfterClosing | M::DontWaitToBeHeard | M::LeaveWithTheLast => leaving(peaceful(3, 1, 1)),
        M::HideLostWhenLeaving | M::TrustTheTaken => leaving(dying(3, 1, 1)),
    }
}

/// The sound engine in all of the clusters above and a few more: what finds the faults must find nothing here.
pub fn sound() -> Vec<(&'static str, Scope)> {
    vec![
        ("3 nodes, 1 page, 2 operations", peaceful(3, 1, 2)),
        ("a page cache and processes, slow surfaces", surfaces(2, 2)),
        ("hold times", holding(3, 1, 2)),
        ("evictions", evicting(peaceful(3, 1, 2), 2)),
        ("evictions and a death", evicting(deadly(3, 1, 1), 1)),
        ("unknown homes", cold(peaceful(3, 2, 1))),
        ("unknown homes and a death", cold(deadly(3, 1, 1))),
        ("two changes of epoch", shaken(3, 1, 1)),
        ("messages across epochs", mixed_epochs(deadly(3, 1, 1))),
        ("a departure", leaving(peaceful(3, 1, 2))),
        ("unknown homes and a departure", leaving(cold(peaceful(3, 1, 1)))),
        ("slow surfaces and a departure", leaving(surfaces(2, 1))),
        ("a departure and a death", leaving(dying(3, 1, 1))),
        ("whole pages overwritten, and a death", overwriting(deadly(3, 1, 1))),
    ]
}
