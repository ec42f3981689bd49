//! How connections end, for one side and then for the other, and how silence is noticed.

use super::call::Told;
use super::conn::{ConnId, FRAME_BYTES, Frame, Lane, Side, State};
use super::net::Net;
use super::node::Life;
use super::queue::Happening;
use crate::Nanos;
use crate::verbs::{DownReason, OpError};

/// What the other side hears of it.
#[derive(Debug)]
pub(super) enum Parting {
    /// Behind everything that was sent before, or instead of it: as in life, nobody can rely on either.
    Close(DownReason),
    /// Instead of everything that was sent before.
    Reset(DownReason),
    /// Its operation was denied.
    Denied { number: u64 },
}

impl Net {
    /// This side has no connection any more from here on; its `Down` follows in `finish_close`.
    pub(super) fn begin_close(&mut self, conn: ConnId, side: Side, reason: DownReason, parting: Parting) {
        let Some(end) = self.end(conn, side) else { return };
        let (node, was) = (end.node, end.state);
        if matches!(was, State::Closing | State::Closed) {
            return;
        }
        end.cut_lazy_frames();
        end.reason = Some(reason);
        end.state = if was == State::Up { State::Closing } else { State::Closed };
        if was == State::Up {
            self.leave_peers(conn, side, node);
            self.queue.plan(self.now, Happening::Close { conn, side });
        }
        self.part(conn, side, parting);
        self.watch(conn, side.other());
        self.remove_if_over(conn);
    }

    fn leave_peers(&mut self, conn: ConnId, side: Side, node: usize) {
        let Some(peer) = self.conn(conn).map(|c| c.look(side.other()).id) else { return };
        if let Some(this) = self.nodes.get_mut(node)
            && this.peers.get(&peer) == Some(&(conn, side))
        {
            this.peers.remove(&peer);
            this.grants.forget_peer(peer);
        }
    }

    fn part(&mut self, conn: ConnId, side: Side, parting: Parting) {
        let instead = match parting {
            Parting::Close(_) => self.random.coin(),
            Parting::Reset(_) => true,
            Parting::Denied { .. } => false,
        };
        if instead && let Some(end) = self.end(conn, side) {
            end.way(Lane::Requests).frames.clear();
            end.way(Lane::Answers).frames.clear();
        }
        let (lane, frame) = match parting {
            Parting::Close(reason) | Parting::Reset(reason) => (Lane::Requests, Frame::Close(reason)),
            Parting::Denied { number } => (Lane::Answers, Frame::Denied { number }),
        };
        self.transmit(conn, side, lane, FRAME_BYTES, frame);
    }

    /// Tells the node what it lost, and that this was the last of it.
    pub(super) fn finish_close(&mut self, conn: ConnId, side: Side) {
        let Some(connection) = self.conns.get_mut(conn).and_then(Option::as_mut) else { return };
        let peer = connection.look(side.other()).id;
        let end = connection.end(side);
        if end.state != State::Closing {
            return;
        }
        end.state = State::Closed;
        let node = end.node;
        let reason = end.reason.clone().unwrap_or(DownReason::Closed);
        for (_, pending) in std::mem::take(&mut end.ops) {
            if !pending.told {
                self.tell(node, Told::Done { peer, op: pending.op, result: Err(OpError::PeerLost) });
            }
        }
        tracing::debug!(node = %self.nodes[node].id, %peer, %reason, now = %self.now, "down");
        self.tell(node, Told::Down { peer, reason });
        self.remove_if_over(conn);
    }

    /// Both, for when the node is not in the middle of a call.
    pub(super) fn close_now(&mut self, conn: ConnId, side: Side, reason: DownReason, parting: Parting) {
        self.begin_close(conn, side, reason, parting);
        self.finish_close(conn, side);
    }

    /// The other side's parting has arrived.
    pub(super) fn closed_by_peer(&mut self, conn: ConnId, side: Side, reason: DownReason) {
        match self.end(conn, side).map(|end| end.state) {
            Some(State::Dialing) => self.broken_off(conn, &reason),
            Some(State::Up | State::Accepted | State::Called) => {
                self.close_now(conn, side, reason, Parting::Reset(DownReason::Closed));
            }
            Some(State::Closing | State::Closed) | None => {}
        }
    }

    /// Begins or ends the wait for a sign of life at one side. Heartbeats are not simulated one by one: a peer is heard
    /// as long as it runs and its way to here is open.
    pub(super) fn watch(&mut self, conn: ConnId, side: Side) {
        let Some(connection) = self.conn(conn) else { return };
        let (end, other) = (connection.look(side), connection.look(side.other()));
        if end.state != State::Up {
            return;
        }
        let lives = self.nodes.get(other.node).is_some_and(|n| n.life == Life::Running && !n.paused);
        let open = !self.blocked.contains(&(other.host, end.host));
        let silent = !(lives && open && !matches!(other.state, State::Closing | State::Closed));
        let was = end.unheard;
        if silent && !was {
            self.await_silence(conn, side);
        } else if !silent
            && was
            && let Some(end) = self.end(conn, side)
        {
            end.unheard = false;
            end.round += 1;
        }
    }

    pub(super) fn watch_all(&mut self) {
        for conn in 0..self.conns.len() {
            self.watch(conn, Side::Dialer);
            self.watch(conn, Side::Listener);
        }
    }

    /// A frame got here that was still on its way when the peer fell silent.
    pub(super) fn heard(&mut self, conn: ConnId, side: Side) {
        if self.conn(conn).is_some_and(|c| c.look(side).unheard) {
            self.await_silence(conn, side);
        }
    }

    fn await_silence(&mut self, conn: ConnId, side: Side) {
        let Some(node) = self.conn(conn).and_then(|c| self.nodes.get(c.look(side).node)) else { return };
        let timeout = node.clock.truly(node.config.liveness_timeout_ms.saturating_mul(1_000_000));
        // The last sign of life may have been the last of its kind, or one just before the next.
        let at = Nanos(self.now.0.saturating_add(timeout).saturating_sub(self.random.up_to(timeout / 8)));
        let Some(end) = self.end(conn, side) else { return };
        end.unheard = true;
        end.round += 1;
        let round = end.round;
        self.queue.plan(at, Happening::Silence { conn, side, round });
    }

    pub(super) fn silence(&mut self, conn: ConnId, side: Side, round: u32) {
        let Some(connection) = self.conn(conn) else { return };
        let end = connection.look(side);
        if end.state != State::Up || !end.unheard || end.round != round {
            return;
        }
        let timeout_ms = self.nodes.get(end.node).map_or(0, |n| n.config.liveness_timeout_ms);
        let to_peer = DownReason::Lost("closed by a peer that heard nothing".into());
        self.close_now(conn, side, DownReason::Silent { timeout_ms }, Parting::Reset(to_peer));
    }
}
