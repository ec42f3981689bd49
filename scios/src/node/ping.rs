//! Round trips between members, measured where they happen: the answer to one ping sends the next from the receiving
//! thread, so no wake-up of a waiting thread is measured with them.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Life;
use crate::cluster::Member;
use crate::limits::PAGE_BYTES;
use crate::memory::{MemoryError, Region};
use crate::rpc::codec::{DecodeError, Message, Reader, Request, Writer};
use crate::rpc::{CallError, Incoming, Listener, Responder, Rpc, Service};
use crate::verbs::DownReason;
use crate::{Nanos, NodeId};

pub const PING_KINDS: RangeInclusive<u16> = Ping::KIND..=Pong::KIND;

/// Asks for an answer of so many bytes, at most a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ping {
    bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pong;

impl Message for Ping {
    const KIND: u16 = 32;
    const FENCED: bool = false;
    fn encode(&self, to: &mut Writer) {
        to.u32(self.bytes);
    }
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { bytes: from.u32()? })
    }
}

impl Message for Pong {
    const KIND: u16 = 33;
    const FENCED: bool = false;
    const BODY_BYTES_MAX: usize = PAGE_BYTES;
    fn encode(&self, _to: &mut Writer) {}
    fn decode(_from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

impl Request for Ping {
    type Reply = Pong;
    const IDEMPOTENT: bool = true;
}

/// The medians of some round trips to one member.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RoundTrips {
    pub member: String,
    pub empty_us: f64,
    pub page_us: f64,
    pub error: Option<String>,
}

/// Answers pings, and sends them.
pub struct Pinger {
    page: Arc<Region>,
    up: Mutex<HashSet<NodeId>>,
    changed: Condvar,
}

const ROUNDS: usize = 200;
/// Of the whole series of rounds to one member.
const DEADLINE: Duration = Duration::from_secs(5);

impl Pinger {
    pub(super) fn serve(rpc: &Rpc) -> Result<Arc<Self>, MemoryError> {
        let page = Region::new("ping", PAGE_BYTES as u64)?;
        let pinger = Arc::new(Self { page, up: Mutex::default(), changed: Condvar::new() });
        rpc.serve(PING_KINDS, Arc::clone(&pinger) as Arc<dyn Service>);
        rpc.listen(Arc::clone(&pinger) as Arc<dyn Listener>);
        Ok(pinger)
    }

    /// Measures round trips to every other member, one after the other. Waits: not for receiving threads.
    pub fn ping_all(&self, life: &Life) -> Vec<RoundTrips> {
        let (view, own) = (life.cluster().view(), life.id());
        view.members().filter(|member| member.id != own).map(|member| self.ping(life, member)).collect()
    }

    fn ping(&self, life: &Life, member: &Member) -> RoundTrips {
        let name = member.name.clone();
        let series = |bytes| self.reach(life, member).and_then(|()| median_us(life.rpc(), member.id, bytes));
        match (series(0), series(PAGE_BYTES as u32)) {
            (Ok(empty_us), Ok(page_us)) => RoundTrips { member: name, empty_us, page_us, error: None },
            (Err(error), _) | (_, Err(error)) => {
                RoundTrips { member: name, empty_us: 0.0, page_us: 0.0, error: Some(error) }
            }
        }
    }

    /// Connects to a member, if nobody has yet.
    fn reach(&self, life: &Life, member: &Member) -> Result<(), String> {
        let mut up = self.up.lock();
        if !up.contains(&member.id) {
            life.fabric().connect(&member.address).map_err(|error| error.to_string())?;
        }
        let missing = |up: &mut HashSet<NodeId>| !up.contains(&member.id);
        if self.changed.wait_while_for(&mut up, missing, DEADLINE).timed_out() {
            return Err(format!("cannot connect to {} within {} s", member.address, DEADLINE.as_secs()));
        }
        Ok(())
    }
}

impl Service for Pinger {
    fn request(&self, peer: NodeId, message: Incoming<'_>, responder: Responder) {
        let ping = match message.decode::<Ping>() {
            Ok(ping) => ping,
            Err(error) => return responder.malformed(&error.to_string()),
        };
        let answered = match self.page.slice(0, ping.bytes as usize) {
            Ok(body) => responder.reply(&Pong, &[body]),
            Err(error) => return responder.malformed(&error.to_string()),
        };
        if let Err(error) = answered {
            tracing::debug!(%peer, %error, "a ping was not answered");
        }
    }

    fn one_way(&self, peer: NodeId, _message: Incoming<'_>) {
        tracing::warn!(%peer, "a ping that wants no answer");
    }
}

impl Listener for Pinger {
    fn up(&self, peer: NodeId, _address: &str) {
        self.up.lock().insert(peer);
        self.changed.notify_all();
    }

    fn down(&self, peer: NodeId, _reason: &DownReason) {
        self.up.lock().remove(&peer);
    }
}

impl std::fmt::Debug for Pinger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinger").field("up", &*self.up.lock()).finish_non_exhaustive()
    }
}

fn median_us(rpc: &Arc<Rpc>, peer: NodeId, bytes: u32) -> Result<f64, String> {
    let (tell, told) = sync_channel(1);
    let series = Series { rpc: Arc::clone(rpc), peer, bytes, began: Nanos::ZERO, samples: Vec::new(), tell };
    series.go_on();
    // Each round has a deadline of its own, so the chain ends; the end is dropped only when the node stops.
    let mut samples =
        told.recv().map_err(|_| "this node is stopping".to_owned())?.map_err(|e| e.to_string())?;
    samples.sort_unstable();
    let median = samples.get(samples.len() / 2).copied().unwrap_or_default();
    Ok(median as f64 / 1000.0)
}

/// Pings under way: what is left is carried from answer to answer.
struct Series {
    rpc: Arc<Rpc>,
    peer: NodeId,
    bytes: u32,
    began: Nanos,
    samples: Vec<u64>,
    tell: SyncSender<Result<Vec<u64>, CallError>>,
}

impl Series {
    fn go_on(mut self) {
        if self.samples.len() == ROUNDS {
            // Nobody listens any more when the asker is gone.
            let _ = self.tell.send(Ok(self.samples));
            return;
        }
        let (rpc, peer, ping) = (Arc::clone(&self.rpc), self.peer, Ping { bytes: self.bytes });
        self.began = Nanos::monotonic();
        rpc.call(peer, &ping, &[], DEADLINE, move |answer| match answer {
            Ok(_) => {
                self.samples.push(Nanos::monotonic().0.saturating_sub(self.began.0));
                self.go_on();
            }
            Err(error) => {
                let _ = self.tell.send(Err(error));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_four_bytes_and_a_pong_is_its_body() {
        let mut writer = Writer::new();
        Ping { bytes: 4096 }.encode(&mut writer);
        Pong.encode(&mut writer);
        assert_eq!(writer.finish().unwrap(), [0, 16, 0, 0]);
    }
}
