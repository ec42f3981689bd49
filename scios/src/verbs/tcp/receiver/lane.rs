//! Lanes: where receivers block instead of spinning, a connection gets a thread that waits in `recv` for it alone.
//! Waiting in epoll first and receiving then costs a second system call and a longer way through the kernel on each
//! message: 1.4 times a plain socket's round trip, against 1.1 with lanes. Only `RECEIVER_THREADS_MAX` connections
//! get one; the others stay with the receiving thread, and so does everything that isn't receiving.
//!
//! A lane and the receiving thread never call the handler about one peer at the same time: whoever does holds the
//! link's `delivery` lock, which nothing that a handler may call takes.

use std::cell::Cell;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::Receiver;
use super::connections::{Connection, Phase, Receiving, Up};
use crate::limits::RECEIVER_THREADS_MAX;
use crate::verbs::Handler;
use crate::verbs::tcp::shared::{Command, Shared};
use crate::verbs::tcp::stream::{Context, End, Stream, report_placed};

thread_local! {
    /// This is a thread of a fabric.
    static FABRIC: Cell<bool> = const { Cell::new(false) };
    /// The connection whose lane this thread is.
    static LANE: Cell<Option<u64>> = const { Cell::new(None) };
    /// A `Place` to this lane's own peer was posted since the lane looked.
    static PLACED: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one of a fabric's, and as which.
pub(super) fn enter(lane: Option<u64>) {
    FABRIC.set(true);
    LANE.set(lane);
}

/// Whether this thread belongs to a fabric, and so can't wait for its end.
pub(in crate::verbs::tcp) fn is_fabric_thread() -> bool {
    FABRIC.get()
}

/// Notes a `Place` on connection `token`. True when this thread is its lane and will report it.
pub(in crate::verbs::tcp) fn note_place(token: u64) -> bool {
    let here = LANE.get() == Some(token);
    if here {
        PLACED.set(true);
    }
    here
}

impl Receiver {
    pub(super) fn join_lane(&mut self, lane: JoinHandle<()>) {
        self.lanes = self.lanes.saturating_sub(1);
        if lane.join().is_err() {
            tracing::error!("a handler panicked on a receiving thread");
        }
    }

    /// Gives a connection that has just come up its own thread, where that is worth it.
    pub(super) fn lend_to_lane(&mut self, token: u64) {
        if self.shared.spin_us > 0 || self.lanes >= RECEIVER_THREADS_MAX {
            return;
        }
        let Some(Connection { phase: Phase::Up(up), .. }) = self.connections.get_mut(token) else { return };
        let Err(error) = lend(up, &self.shared, &self.handler) else {
            self.lanes += 1;
            return;
        };
        // Slower, but not wrong.
        tracing::warn!(peer = %up.link.peer, %error, "cannot give a connection its own thread");
    }

    /// A lane has nothing more to receive.
    pub(super) fn lane_ended(&mut self, token: u64, end: End) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Phase::Up(up) = &mut connection.phase else { return };
        // It is watched again, for the peer's end of a goodbye. Fails only when the connection is broken.
        let _ = up.link.set_lane(false);
        let end = if up.ending.is_some() { End::Lost("closed".into()) } else { end };
        if let Receiving::Lane(lane) = std::mem::replace(&mut up.receiving, Receiving::Nobody) {
            self.join_lane(lane);
        }
        self.end(token, end);
    }

    /// The fabric stops: lanes whose peers don't answer the goodbye don't wait for it any longer.
    pub(super) fn end_lanes(&mut self) {
        let tokens: Vec<_> = self.connections.iter_mut().map(|(token, _)| token).collect();
        for token in tokens {
            self.end(token, End::Lost("stopped".into()));
        }
    }
}

fn lend(up: &mut Up, shared: &Arc<Shared>, handler: &Arc<dyn Handler>) -> std::io::Result<()> {
    up.link.set_lane(true)?;
    let Receiving::Here(mut stream) = std::mem::replace(&mut up.receiving, Receiving::Nobody) else {
        return Ok(());
    };
    stream.waits = true;
    // Kept here too until the thread has it, so that nothing is lost when there can be no thread.
    let kept = Arc::new(Mutex::new(Some(stream)));
    let (taken, shared, handler) = (Arc::clone(&kept), Arc::clone(shared), Arc::clone(handler));
    let name = format!("scifs-lane-{:04x}", up.link.peer.get() as u16);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let stream = taken.lock().take();
        if let Some(stream) = stream {
            run(*stream, &shared, handler);
        }
    });
    match spawned {
        Ok(lane) => up.receiving = Receiving::Lane(lane),
        Err(error) => {
            up.link.set_lane(false)?;
            if let Some(mut stream) = kept.lock().take() {
                stream.waits = false;
                up.receiving = Receiving::Here(stream);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn run(mut stream: Stream, shared: &Shared, handler: Arc<dyn Handler>) {
    let token = stream.link.token;
    enter(Some(token));
    let cx = Context { shared, handler: &*handler };
    let end = loop {
        let received = stream.receive(&cx);
        if PLACED.take() {
            let _delivery = stream.link.delivery();
            report_placed(&stream.link, &cx);
        }
        match received {
            Ok(_) if stream.link.is_ending() => {
                stream.discard();
                break End::Lost("closed".into());
            }
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    shared.command(Command::LaneEnded { token, end });
}
