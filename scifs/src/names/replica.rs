//! The state machine as the cluster sees it: bytes in, bytes out; events go to this node's watch.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;
use scios::cluster::{Machine, View};

use super::codec::encode_outcome;
use super::command::Command;
use super::error::Refusal;
use super::event::{Consequences, Event, Watch};
use super::settling::Settling;
use super::state::Names;

/// What the replica and the client of one node share.
pub(super) struct Shared {
    pub(super) names: RwLock<Names>,
    pub(super) settling: Settling,
    pub(super) watch: Arc<dyn Watch>,
}

impl Shared {
    /// The state is new already; now come its consequences.
    fn tell(&self, index: u64, events: Vec<Event>) {
        for event in events {
            self.settling.begin(index);
            if self.watch.event(index, event) == Consequences::Done {
                self.settling.done(index);
            }
        }
        self.settling.applied(index);
    }
}

/// This node's copy of all names.
pub(super) struct Replica(pub(super) Arc<Shared>);

impl Machine for Replica {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        let (answer, events) = match Command::decode(command) {
            Ok(command) => {
                let done = self.0.names.write().apply(index, &command);
                (done.answer, done.events)
            }
            // Every member skips it alike.
            Err(why) => {
                tracing::warn!(index, "skipped a command about names that makes no sense: {why}");
                self.0.names.write().skip(index);
                (Err(Refusal::Malformed), Vec::new())
            }
        };
        self.0.tell(index, events);
        // Answers have no parts that could be too long.
        encode_outcome(index, &answer).unwrap_or_default()
    }

    fn members_changed(&mut self, index: u64, view: &View) {
        let members: BTreeSet<u32> = view.members().map(|member| member.number).collect();
        let events = self.0.names.write().set_members(members);
        self.0.tell(index, events);
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.names.read().snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let names = Names::from_snapshot(snapshot).map_err(|why| format!("a snapshot of names: {why}"))?;
        let index = names.applied();
        *self.0.names.write() = names;
        self.0.tell(index, vec![Event::Restored]);
        Ok(())
    }
}
