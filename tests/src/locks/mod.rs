//! The production lock engine in a simulator. Nothing of the protocol is written a second time here.

pub mod oracle;
pub mod sim;
mod thread;
pub mod violation;
