//! Connections from beginning to end, all on the receiver's thread.
//!
//! A TCP connection comes up, both ends tell where their queue pair is (`Endpoint`), connect it and say so (`Ready`).
//! An end delivers `Up` when its own queue pair is connected and the peer is known to be ready: it said so, or a message of it
//! has come.
//!
//! A connection ends by failing its queue pair, which makes the device give back everything under way, and closing the TCP
//! connection. `Down` comes when both have happened, or are overdue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::control::{ControlError, ControlMessage, Endpoint, NUMBER_MASK};
use super::ffi::{PathToPeer, Payload, VerbsError, Work, WorkKind};
use super::inbox::Input;
use super::link::{Done, Ending, Flying, Link, Peer, Phase};
use super::receiver::Receiver;
use crate::limits::{HANDSHAKE_TIMEOUT_MS, RDMA_ENDING_MS};
use crate::verbs::{ConnectError, DownReason, Event};
use crate::{Nanos, NodeId};

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Close the TCP connection too.
    Now,
    /// Give the peer, which may know the reason, a little time to close it.
    Wait,
    /// This end did wrong: tell the peer, which closes it.
    Denied,
    /// It is closed already.
    ControlDown,
}

impl Receiver {
    pub(super) fn take_inputs(&mut self) {
        for input in self.shared.inbox.take() {
            match input {
                Input::ControlUp { peer, address } => self.control_up(peer, &address),
                Input::Control { peer, message } => {
                    if let Some(peer) = self.shared.peer(peer) {
                        self.control(&peer, message);
                    }
                }
                Input::ControlDown { peer, reason } => {
                    if let Some(peer) = self.shared.peer(peer) {
                        self.end(&peer, reason, How::ControlDown);
                    }
                }
                Input::ControlFailed { address, reason } => {
                    self.shared.asked.lock().remove(&address);
                    self.deliver(Event::ConnectFailed { address: &address, reason });
                }
                Input::Disconnect { peer } => {
                    if let Some(peer) = self.shared.peer(peer) {
                        self.end(&peer, DownReason::Closed, How::Now);
                    }
                }
                Input::Broken { number, what } => {
                    if let Some(peer) = self.shared.peer_by_number(number) {
                        self.end(&peer, DownReason::Lost(what), How::Wait);
                    }
                }
            }
        }
    }

    fn control_up(&mut self, id: NodeId, address: &str) {
        if let Err(error) = self.begin(id, address) {
            tracing::error!(peer = %id, %error, "no RDMA connection");
            self.shared.control.disconnect(id);
            self.connect_failed(address, error.to_string());
        }
    }

    /// Makes this end and tells the peer where it is.
    fn begin(&mut self, id: NodeId, address: &str) -> Result<(), VerbsError> {
        if let Some(old) = self.shared.peer(id) {
            // It has come back before the last connection had given back everything.
            self.finish(&old);
        }
        let adapter = &self.shared.adapter;
        let queue_pair = adapter.queue_pair()?;
        let packet = random_packet()?;
        let endpoint = Endpoint {
            mtu: adapter.port.mtu,
            reads_answered: adapter.reads_answered,
            window: adapter.window,
            queue_pair: queue_pair.number(),
            packet,
            lid: adapter.port.lid,
            gid: adapter.gid.raw,
        };
        let deadline = Nanos::monotonic() + Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
        let window = adapter.window;
        let peer =
            self.shared.add(|number| Peer::new(id, address, number, queue_pair, packet, window, deadline));
        self.unsettled.insert(peer.number);
        self.tell(&peer, ControlMessage::Endpoint(endpoint));
        Ok(())
    }

    fn control(&mut self, peer: &Arc<Peer>, message: Result<ControlMessage, ControlError>) {
        match message {
            Ok(ControlMessage::Endpoint(endpoint)) => match self.connect(peer, &endpoint) {
                Ok(()) => self.tell(peer, ControlMessage::Ready),
                Err(error) => self.end(peer, DownReason::Lost(error.to_string()), How::Now),
            },
            Ok(ControlMessage::Ready) => {
                if !self.begin_if_ready(peer) && !peer.link.lock().closing {
                    self.end(peer, DownReason::Protocol("ready without an endpoint".into()), How::Now);
                }
            }
            Ok(ControlMessage::Denied) => {
                let what = "it reached for memory that it was not granted".into();
                self.end(peer, DownReason::Protocol(what), How::Now);
            }
            Err(error) => self.end(peer, DownReason::Protocol(error.to_string()), How::Now),
        }
    }

    /// Connects this end's queue pair to the peer's.
    fn connect(&self, peer: &Peer, theirs: &Endpoint) -> Result<(), VerbsError> {
        let adapter = &self.shared.adapter;
        let mut link = peer.link.lock();
        let link = &mut *link;
        let (Phase::Connecting { ready: ready @ false, .. }, Some(queue_pair)) =
            (&mut link.phase, &link.queue_pair)
        else {
            return Err(VerbsError::Call {
                operation: "connecting a second time",
                source: std::io::ErrorKind::AlreadyExists.into(),
            });
        };
        queue_pair.connect(&PathToPeer {
            local_port: adapter.port.number,
            local_gid_index: adapter.gid.index,
            local_packet: link.packet,
            queue_pair: theirs.queue_pair,
            packet: theirs.packet,
            gid: theirs.gid,
            lid: theirs.lid,
            mtu: adapter.port.mtu.min(theirs.mtu),
            reads_asked: adapter.reads_asked.min(theirs.reads_answered),
            reads_answered: adapter.reads_answered,
        })?;
        *ready = true;
        link.credit.open(theirs.window);
        Ok(())
    }

    /// The peer is known to be ready; delivers `Up` if that makes the connection complete. Whether events of the peer may
    /// be delivered.
    pub(super) fn begin_if_ready(&mut self, peer: &Peer) -> bool {
        let mut link = peer.link.lock();
        match &link.phase {
            _ if link.closing => return false,
            Phase::Up => return true,
            Phase::Ending(ending) => return ending.was_up,
            Phase::Connecting { ready: false, .. } => return false,
            Phase::Connecting { ready: true, .. } => link.phase = Phase::Up,
        }
        drop(link);
        self.unsettled.remove(&peer.number);
        self.shared.asked.lock().remove(&peer.address);
        tracing::debug!(peer = %peer.id, address = peer.address, "RDMA connection");
        self.deliver(Event::Up { peer: peer.id, address: &peer.address });
        true
    }

    fn tell(&self, peer: &Peer, message: ControlMessage) {
        // If it can't be sent, the TCP connection is about to be reported down.
        if let Err(error) = self.shared.control.send(peer.id, &message.encode(), &[]) {
            tracing::debug!(peer = %peer.id, %error, ?message, "not told");
        }
    }

    /// Begins to end a connection, or notes that more of it has ended.
    pub(super) fn end(&mut self, peer: &Peer, reason: DownReason, how: How) {
        let mut close = how == How::Now;
        let mut link = peer.link.lock();
        match &mut link.phase {
            Phase::Ending(ending) => {
                if ending.guessed && how != How::Wait {
                    ending.reason = reason;
                    ending.guessed = false;
                }
                ending.control_down |= how == How::ControlDown;
                close &= !ending.control_closed;
                ending.control_closed |= close;
            }
            Phase::Connecting { .. } | Phase::Up => {
                let ending = Ending {
                    was_up: matches!(link.phase, Phase::Up),
                    reason,
                    guessed: how == How::Wait,
                    control_closed: close,
                    control_down: how == How::ControlDown,
                    deadline: Nanos::monotonic() + Duration::from_millis(RDMA_ENDING_MS),
                };
                self.fail(peer, &mut link, ending);
            }
        }
        drop(link);
        if how == How::Denied {
            self.tell(peer, ControlMessage::Denied);
        }
        if close {
            self.shared.control.disconnect(peer.id);
        }
    }

    /// Stops the traffic at once, and has the device give back what is under way.
    fn fail(&mut self, peer: &Peer, link: &mut Link, ending: Ending) {
        link.phase = Phase::Ending(ending);
        self.unsettled.insert(peer.number);
        peer.note_failure();
        if let Some(queue_pair) = &link.queue_pair
            && let Err(error) = queue_pair.fail()
        {
            tracing::error!(peer = %peer.id, %error);
        }
        self.shared.end_all_grants(peer, link);
        // Comes back last. An unsignaled message before it comes back too, as everything does that fails.
        let last =
            Work { id: 0, signaled: true, kind: WorkKind::Send { imm: 0 }, payload: Payload::Inline(&[]) };
        self.shared.post(peer, link, &mut [last], Flying::Other);
    }

    /// Looks after the connections that are being made or ended.
    pub(super) fn settle(&mut self, now: Nanos) {
        for number in self.unsettled.clone() {
            let Some(peer) = self.shared.peer_by_number(number) else {
                self.unsettled.remove(&number);
                continue;
            };
            let mut link = peer.link.lock();
            let drained = link.in_flight.is_empty();
            match &mut link.phase {
                Phase::Up => {}
                Phase::Connecting { deadline, .. } => {
                    if now >= *deadline {
                        drop(link);
                        let what = format!("no RDMA connection within {HANDSHAKE_TIMEOUT_MS} ms");
                        self.end(&peer, DownReason::Lost(what), How::Now);
                    }
                }
                Phase::Ending(ending) => {
                    let overdue = now >= ending.deadline;
                    let close = overdue && !ending.control_closed && !ending.control_down;
                    let finished = ending.control_down && (drained || overdue);
                    ending.control_closed |= close;
                    drop(link);
                    if close {
                        self.shared.control.disconnect(peer.id);
                    }
                    if finished {
                        self.finish(&peer);
                    }
                }
            }
        }
    }

    /// Frees the queue pair and says `Down`, after an end for every operation.
    pub(super) fn finish(&mut self, peer: &Arc<Peer>) {
        self.unsettled.remove(&peer.number);
        let mut done = Done::new();
        let mut link = peer.link.lock();
        // Freed before operations are given up: from here on the device touches none of their memory.
        drop(link.queue_pair.take());
        link.abandon(&mut done);
        self.shared.works.fetch_sub(peer.note_completed(link.posted), Ordering::AcqRel);
        let (was_up, reason) = match &link.phase {
            Phase::Ending(ending) => (ending.was_up, ending.reason.clone()),
            Phase::Connecting { .. } | Phase::Up => (matches!(link.phase, Phase::Up), DownReason::Closed),
        };
        drop(link);
        self.shared.remove(peer);
        self.deliver_done(peer, done);
        if was_up {
            self.deliver(Event::Down { peer: peer.id, reason });
        } else {
            self.connect_failed(&peer.address, reason.to_string());
        }
    }

    /// Only who asked for a connection is told that it wasn't made.
    fn connect_failed(&self, address: &str, what: String) {
        if self.shared.asked.lock().remove(address) {
            let reason = ConnectError::Fabric { address: address.into(), fabric: "verbs", what };
            self.deliver(Event::ConnectFailed { address, reason });
        }
    }

    /// At the end: whoever is still there is told goodbye.
    pub(super) fn close_all(&mut self) {
        for peer in self.shared.peers() {
            self.end(&peer, DownReason::Closed, How::Now);
        }
        self.complete();
        for peer in self.shared.peers() {
            self.finish(&peer);
        }
    }
}

fn random_packet() -> Result<u32, VerbsError> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| VerbsError::Call { operation: "drawing a packet number", source: errno.into() })?;
    Ok(u32::from_le_bytes(bytes) & NUMBER_MASK)
}
