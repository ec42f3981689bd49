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

mod attr;
mod command;
mod error;
mod event;
pub mod limits;
mod query;

pub use attr::{Attr, Consistency, FileInfo, Inode, Kind, Layout, Piece, ROOT, Time, pages};
pub use command::{Answer, Applied, Changes, Command, Make, Renaming, Setting, Special};
pub use error::{NameError, Refusal};
pub use event::{Consequences, Event, NoWatch, Watch};
pub use query::{Entry, Found, Query, Totals};

#[cfg(any())]
mod signatures {
    pub struct Names; // pure
    pub struct NamesClient;
    impl NamesClient {
        /// In `Upper::begin`: registers kinds 272..=287. One a membership.
        pub fn new(rpc: &Arc<Rpc>, watch: Arc<dyn Watch>) -> Arc<Self>;
        /// In `Upper::begin`: what it returns.
        pub fn machine(&self) -> Box<dyn Machine>;
        /// In `Upper::cluster`.
        pub fn set_cluster(&self, cluster: &Arc<AnyCluster>);
        /// In `Upper::ended`: whoever waits gets an error.
        pub fn end(&self);
        // These wait (bounded): only on meta threads.
        pub fn run(&self, command: &Command) -> Result<Applied, NameError>;
        pub fn ask(&self, query: &Query) -> Result<Found, NameError>;
        pub fn address(&self, inode: Inode) -> Result<u64, NameError>;
        /// Until every member, this node too, has applied `index` and done the consequences of its events.
        pub fn settle(&self, index: u64) -> Result<(), NameError>;
        // These don't wait.
        /// What this node's replica knows: maybe old.
        pub fn local(&self, query: &Query) -> Result<Found, NameError>;
        pub fn consequences_done(&self, index: u64);
        /// This node's number in the cluster, for `LetGo`.
        pub fn member(&self) -> Option<u32>;
    }
}
