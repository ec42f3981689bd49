//! What is done to nodes and to the ways between them.

use std::sync::Arc;

use super::closing::Parting;
use super::conn::{ConnId, FRAME_BYTES, Frame, Lane, Side, State};
use super::net::Net;
use super::node::Life;
use super::queue::Happening;
use crate::Nanos;
use crate::verbs::{DownReason, FabricError, Handler};

impl Net {
    pub(super) fn start(&mut self, node: usize, handler: Arc<dyn Handler>) -> Result<(), FabricError> {
        let first_tick = self.random.up_to(self.config.tick_ms * 1_000_000);
        let Some(this) = self.nodes.get_mut(node).filter(|node| node.life == Life::New) else {
            return Err(FabricError::Stopped);
        };
        this.life = Life::Running;
        this.handler = Some(handler);
        this.running.store(true, std::sync::atomic::Ordering::Relaxed);
        self.queue.plan(Nanos(self.now.0 + first_tick), Happening::Tick { node });
        self.unblock();
        Ok(())
    }

    /// Ends a node in an orderly way: its peers are told.
    pub(super) fn stop(&mut self, node: usize) -> Option<Arc<dyn Handler>> {
        for (conn, side) in self.sides_of(node) {
            self.begin_close(conn, side, DownReason::Closed, Parting::Close(DownReason::Closed));
            self.hush(conn, side);
        }
        self.end_node(node, Life::Ended)
    }

    /// Ends a node at once. Any number of the frames that it sent last are lost.
    pub(super) fn crash(&mut self, node: usize) -> Option<Arc<dyn Handler>> {
        let resets = self.config.crash_resets;
        for (conn, side) in self.sides_of(node) {
            for lane in [Lane::Requests, Lane::Answers] {
                let kept = self.random.any();
                if let Some(end) = self.end(conn, side) {
                    let frames = &mut end.way(lane).frames;
                    frames.truncate((kept % (frames.len() as u64 + 1)) as usize);
                }
            }
            self.hush(conn, side);
            if resets {
                self.reset(conn, side);
            }
        }
        self.end_node(node, if resets { Life::Ended } else { Life::Vanished })
    }

    fn end_node(&mut self, node: usize, life: Life) -> Option<Arc<dyn Handler>> {
        let handler = self.nodes.get_mut(node).and_then(|node| node.end(life));
        self.watch_all();
        for conn in 0..self.conns.len() {
            self.remove_if_over(conn);
        }
        handler
    }

    /// This side is gone without anybody to tell.
    fn hush(&mut self, conn: ConnId, side: Side) {
        if let Some(end) = self.end(conn, side) {
            end.state = State::Closed;
            end.ops.clear();
        }
    }

    fn reset(&mut self, conn: ConnId, side: Side) {
        let reason = DownReason::Lost("reset by the peer's machine".into());
        self.transmit(conn, side, Lane::Requests, FRAME_BYTES, Frame::Close(reason));
    }

    fn sides_of(&self, node: usize) -> Vec<(ConnId, Side)> {
        let side = |(conn, slot): (ConnId, &Option<Box<super::conn::Conn>>)| {
            let connection = slot.as_ref()?;
            let side = connection.side_of(node)?;
            (connection.look(side).state != State::Closed).then_some((conn, side))
        };
        self.conns.iter().enumerate().filter_map(side).collect()
    }

    /// After a machine came back: it doesn't know the connections of the one before it.
    pub(super) fn came_back(&mut self, vanished: usize) {
        if let Some(node) = self.nodes.get_mut(vanished).filter(|node| node.life == Life::Vanished) {
            node.life = Life::Ended;
        }
        for conn in 0..self.conns.len() {
            let Some(side) = self.conn(conn).and_then(|c| c.side_of(vanished)) else { continue };
            self.reset(conn, side);
        }
        self.unblock();
    }

    pub(super) fn pause(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node).filter(|node| node.life == Life::Running) {
            node.paused = true;
        }
        self.watch_all();
    }

    pub(super) fn resume(&mut self, node: usize) {
        let Some(node) = self.nodes.get_mut(node) else { return };
        node.paused = false;
        for what in std::mem::take(&mut node.deferred) {
            self.queue.plan(self.now, what);
        }
        self.watch_all();
        self.unblock();
    }

    pub(super) fn block(&mut self, from: &[usize], to: &[usize]) {
        for from in from {
            self.blocked.extend(to.iter().filter(|to| *to != from).map(|to| (*from, *to)));
        }
        self.watch_all();
    }

    pub(super) fn open(&mut self, from: &[usize], to: &[usize]) {
        self.blocked.retain(|(f, t)| !(from.contains(f) && to.contains(t)));
        self.watch_all();
        self.unblock();
    }

    pub(super) fn heal(&mut self) {
        self.blocked.clear();
        self.watch_all();
        self.unblock();
    }

    pub(super) fn disconnect(&mut self, node: usize, peer: crate::NodeId) {
        let found = self.nodes.get(node).and_then(|node| node.peers.get(&peer)).copied();
        if let Some((conn, side)) = found {
            self.begin_close(conn, side, DownReason::Closed, Parting::Close(DownReason::Closed));
        }
    }
}
