//! The production engine under a model checker and in a simulator. Nothing of the protocol is written a second time here:
//! stations feed [`scifs::coherence::Engine`] and do what it says.

pub mod explore;
mod fingerprint;
pub mod history;
pub mod invariants;
mod misfortune;
pub(crate) mod random;
pub mod scopes;
pub mod sim;
pub mod station;
pub mod violation;
pub mod world;
