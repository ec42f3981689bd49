//! The name space: which files there are, what they are called, how long they are and where they lie. One state machine,
//! applied alike by every member of the cluster.
//!
//! - [`Names`] is pure: a [`Command`] goes in, an answer and [`Event`]s come out; a [`Query`] reads. No clock, no chance, no I/O.
//! - [`NamesClient`] is a node's end of it: commands through the cluster's log, queries at its leader.
//! - A node that has to do with a file is told what changes by its own replica ([`Watch`]).
//!
//! Addresses. A file gets its range of addresses when somebody asks for it first ([`NamesClient::address`], a command
//! then), or when it is made with one. From then on it is fixed. So a range never has to move, and a million files that
//! nobody maps by address take none.

mod addresses;
mod attr;
mod attributes;
mod checks;
mod client;
mod codec;
mod command;
mod directory;
mod error;
mod event;
pub mod limits;
mod node;
mod orphans;
mod pack;
mod query;
mod reading;
mod rename;
mod replica;
mod settle;
mod settling;
mod sizes;
mod snapshot;
mod state;
mod tree;
mod xattrs;

pub use attr::{Attr, Consistency, FileInfo, Inode, Kind, Layout, Piece, ROOT, Time, pages};
pub use client::{NAMES_KINDS, NamesClient};
pub use command::{Answer, Applied, Changes, Command, Make, Renaming, Setting, Special};
pub use error::{NameError, Refusal};
pub use event::{Consequences, Event, NoWatch, Watch};
pub use query::{Entry, Found, Query, Totals};
pub use state::{Done, Founding, Names};
pub use xattrs::{XATTR_ADDRESS, XATTR_CONSISTENCY, address_text, parse_address};

#[cfg(test)]
mod tests;
