//! The receiving thread. It owns every connection (some of which it lends to threads of their own, see `lane`), waits for all of them, and runs each event to its end: receive,
//! decode, call the handler, answer. Other threads send by themselves and leave everything else in `Shared`.
//!
//! After an event it polls for `spin_us`, because a wake-up costs more than most events; then it blocks.

mod accept;
mod connections;
mod establish;
mod handshake;
mod lane;
mod sweep;

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use self::connections::{Connection, Connections, Phase, Receiving, Up};
pub(super) use self::lane::{is_fabric_thread, note_place};
use super::poll::{self, LISTENER, Poller, Ready, TIMER};
use super::shared::{Command, Shared};
use super::stream::{Context, End, report_placed};
use crate::Nanos;
use crate::verbs::{ConnectError, DownReason, Event, Handler};

/// How many times the last active connection is asked before all others are.
const SPINS_PER_PEEK: u32 = 64;

/// After so many receives in a row the last active connection is taken from the poller until the spinning ends: for a
/// socket that it watches, the kernel spends a tenth of a round trip on telling it of each message.
const UNPOLL_AFTER: u32 = 16;

pub(super) struct Receiver {
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    listener: TcpListener,
    listening: bool,
    timer: OwnedFd,
    connections: Connections,
    /// Incoming connections that have not authenticated, oldest first. May name some that are gone.
    strangers: VecDeque<u64>,
    /// Connects that the other side called duplicates; see `handshake`.
    deferred: Vec<Deferred>,
    lanes: usize,
    /// Who sent something last: what spinning asks. And when, as of the last time that mattered.
    hot: Option<u64>,
    streak: u32,
    /// The hot connection, while the poller doesn't watch it.
    unpolled: Option<u64>,
    was_active: bool,
    active: Nanos,
    swept: Nanos,
    stop_by: Option<Nanos>,
}

/// What a turn of spinning leads to.
enum Spin {
    Received,
    Peek,
    Block,
}

/// A connect that ended because its peer has, or is about to have, another connection with this node.
#[derive(Debug)]
struct Deferred {
    peer: crate::NodeId,
    address: String,
    deadline: Nanos,
}

impl Receiver {
    pub(super) fn new(
        shared: Arc<Shared>,
        handler: Arc<dyn Handler>,
        listener: TcpListener,
    ) -> Result<Self, Errno> {
        let timer = poll::tick_timer()?;
        shared.poller.add(&timer, TIMER, false)?;
        shared.poller.add(&listener, LISTENER, false)?;
        let now = Nanos::monotonic();
        Ok(Self {
            shared,
            handler,
            listener,
            listening: true,
            timer,
            connections: Connections::default(),
            strangers: VecDeque::new(),
            deferred: Vec::new(),
            lanes: 0,
            hot: None,
            streak: 0,
            unpolled: None,
            was_active: false,
            active: now,
            swept: now,
            stop_by: None,
        })
    }

    pub(super) fn run(mut self) {
        lane::enter(None);
        let mut ready = Vec::new();
        while !self.has_stopped() {
            if self.shared.poller.take_work() {
                self.commands();
            }
            match self.spin() {
                Spin::Received => {}
                Spin::Peek => {
                    std::thread::yield_now();
                    self.shared.poller.peek(&mut ready);
                }
                Spin::Block => {
                    self.cool_down();
                    self.shared.poller.wait(&mut ready);
                }
            }
            for event in ready.drain(..) {
                self.dispatch(event);
            }
        }
        self.end_lanes();
        // A `Placed` names a connection, and that names what holds the commands.
        self.shared.commands.lock().clear();
    }

    /// Asks the last active connection for a while; says what to do next.
    fn spin(&mut self) -> Spin {
        if self.shared.spin_us == 0 {
            return Spin::Block;
        }
        if let Some(hot) = self.hot {
            for _ in 0..SPINS_PER_PEEK {
                if self.receive(hot) {
                    return Spin::Received;
                }
            }
        }
        // The clock is asked here only, not for each message.
        let now = Nanos::monotonic();
        if std::mem::take(&mut self.was_active) {
            self.active = now;
        }
        if now.since(self.active) < Duration::from_micros(self.shared.spin_us) {
            Spin::Peek
        } else {
            Spin::Block
        }
    }

    fn dispatch(&mut self, event: Ready) {
        match event.token {
            LISTENER => self.accept(),
            TIMER => self.tick(),
            token => {
                if event.writable {
                    self.writable(token);
                }
                if event.readable {
                    self.receive(token);
                }
            }
        }
    }

    /// Takes what a connection has to say. True when it said something.
    #[inline(always)]
    fn receive(&mut self, token: u64) -> bool {
        let Some(connection) = self.connections.get_mut(token) else {
            self.hot = self.hot.filter(|hot| *hot != token);
            return false;
        };
        match &mut connection.phase {
            Phase::Up(Up { receiving: Receiving::Lane(_) | Receiving::Nobody, .. }) => false,
            Phase::Up(Up { receiving: Receiving::Here(stream), link, .. }) => {
                let cx = Context { shared: &self.shared, handler: &*self.handler };
                match stream.receive(&cx) {
                    Ok(false) => false,
                    Ok(true) => {
                        if self.shared.spin_us > 0 {
                            self.was_active = true;
                            self.streak =
                                if self.hot == Some(token) { self.streak.saturating_add(1) } else { 0 };
                            if self.streak == UNPOLL_AFTER && link.set_unpolled(true).is_ok() {
                                self.unpolled = Some(token);
                            } else if self.streak == 0 {
                                self.heat(token);
                            }
                        }
                        true
                    }
                    Err(end) => {
                        self.end(token, end);
                        true
                    }
                }
            }
            Phase::Connecting { .. } | Phase::Over => false,
            Phase::Handshaking { .. } => {
                self.receive_handshake(token);
                true
            }
            Phase::Lingering { .. } => {
                self.receive_rest(token);
                true
            }
        }
    }

    /// From now on spinning asks this connection.
    fn heat(&mut self, token: u64) {
        self.cool_down();
        self.hot = Some(token);
    }

    /// The poller watches every connection again.
    fn cool_down(&mut self) {
        self.streak = 0;
        let Some(token) = self.unpolled.take() else { return };
        let Some(Phase::Up(up)) = self.connections.get_mut(token).map(|connection| &connection.phase) else {
            return;
        };
        if let Err(error) = up.link.set_unpolled(false) {
            tracing::error!(%error, "epoll_ctl failed; closing a connection");
            self.end(token, End::Lost(error.to_string()));
        }
    }

    fn writable(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match &connection.phase {
            Phase::Connecting { .. } => self.connected(token),
            Phase::Up(Up { link, .. }) => {
                if link.flush() {
                    let _delivery = link.delivery();
                    self.handler.on_event(Event::Writable { peer: link.peer });
                }
            }
            Phase::Lingering { link } => {
                link.flush();
            }
            Phase::Handshaking { .. } | Phase::Over => {}
        }
    }

    fn commands(&mut self) {
        let commands = std::mem::take(&mut *self.shared.commands.lock());
        for command in commands {
            match command {
                Command::Connect { address, resolved } => self.connect(address, resolved),
                Command::Disconnect(peer) => {
                    if let Some(link) = self.shared.link(peer) {
                        self.end(link.token, End::Here(DownReason::Closed));
                    }
                }
                Command::Placed(link) => {
                    let cx = Context { shared: &self.shared, handler: &*self.handler };
                    let _delivery = link.delivery();
                    report_placed(&link, &cx);
                }
                Command::LaneEnded { token, end } => self.lane_ended(token, end),
            }
        }
        if self.shared.stopping.load(Ordering::SeqCst) && self.stop_by.is_none() {
            self.begin_stop();
        }
    }

    fn poller(&self) -> &Poller {
        &self.shared.poller
    }

    fn connect_failed(&self, address: &str, reason: ConnectError) {
        tracing::debug!(address, %reason, "connecting failed");
        self.handler.on_event(Event::ConnectFailed { address, reason });
    }

    /// Forgets a connection and closes its socket.
    fn drop_connection(&mut self, token: u64) -> Option<Connection> {
        let connection = self.connections.remove(token)?;
        // Before the socket closes, or its number could be another's already. Fails only when it never was added.
        let _ = self.poller().remove(&*connection.socket);
        Some(connection)
    }
}
