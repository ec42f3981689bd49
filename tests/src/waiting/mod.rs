//! The production engine of waiting in a simulator. Nothing of the protocol is written a second time here.

mod oracle;
pub mod sim;
mod thread;
pub mod violation;
