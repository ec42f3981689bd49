//! Waiting until a change has arrived everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use scios::NodeId;
use scios::rpc::CallError;

use super::client::NamesClient;
use super::codec::Settle;
use super::error::NameError;

const OPERATION: &str = "wait for a change to be everywhere";

/// How often the list of members is looked at, and a member asked again that could not be reached.
const LOOK: Duration = Duration::from_millis(10);

type Told = (NodeId, Result<(), CallError>);

impl NamesClient {
    /// Until every other member has applied the log up to `index` and done the consequences of its events. Members that
    /// leave meanwhile don't count. This node has applied it when `run` returned, and its own consequences are the
    /// caller's: they may need what the caller holds. Waits.
    pub fn settle(&self, index: u64) -> Result<(), NameError> {
        let began = Instant::now();
        let deadline = began + self.patience;
        let (tell, told) = channel();
        let own = self.rpc().fabric().id();
        let view = self.cluster(OPERATION)?.view();
        let mut unsettled: BTreeSet<NodeId> =
            view.members().map(|member| member.id).filter(|id| *id != own).collect();
        let mut lost = BTreeMap::new();
        unsettled.iter().for_each(|id| self.ask_settled(*id, index, deadline, &tell));
        while !unsettled.is_empty() {
            match told.recv_timeout(LOOK) {
                Ok((id, Ok(()))) => {
                    unsettled.remove(&id);
                    continue;
                }
                Ok((id, Err(why))) => {
                    lost.insert(id, (Instant::now(), why));
                }
                Err(_) => {}
            }
            let view = self.cluster(OPERATION)?.view();
            unsettled.retain(|id| view.contains(*id));
            if Instant::now() >= deadline && !unsettled.is_empty() {
                let why = format!("{} members have not answered", unsettled.len());
                let waited_ms = began.elapsed().as_millis() as u64;
                return Err(NameError::NoAnswer { operation: OPERATION, waited_ms, why });
            }
            for (id, (_, why)) in lost.extract_if(.., |_, (since, _)| since.elapsed() >= LOOK) {
                if unsettled.contains(&id) {
                    self.reconnect(id, &why);
                    self.ask_settled(id, index, deadline, &tell);
                }
            }
        }
        Ok(())
    }

    fn ask_settled(&self, peer: NodeId, index: u64, deadline: Instant, tell: &Sender<Told>) {
        let tell = tell.clone();
        let left = deadline.saturating_duration_since(Instant::now());
        self.rpc().call(peer, &Settle { index }, &[], left, move |answer| {
            // Nobody listens any more when the waiter has given up.
            let _ = tell.send((peer, answer.map(|_| ())));
        });
    }
}
