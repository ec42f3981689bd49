//! The receiving thread. It owns every connection, waits for all of them, and runs each event to its end: receive,
//! decode, call the handler, answer. Other threads send by themselves and leave everything else in `Shared`.
//!
//! After an event it polls for `spin_us`, because a wake-up costs more than most events; then it blocks.

mod accept;
mod connections;
mod establish;
mod handshake;
mod sweep;

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use self::connections::{Connection, Connections, Phase};
use super::poll::{self, LISTENER, Poller, Ready, TIMER};
use super::shared::{Command, Shared};
use super::stream::{Context, End};
use crate::Nanos;
use crate::verbs::{ConnectError, DownReason, Event, Handler};

/// How many times the last active connection is asked before all others are.
const SPINS_PER_PEEK: u32 = 16;

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
    /// Who sent something last, and when: what spinning asks.
    hot: Option<u64>,
    active: Nanos,
    swept: Nanos,
    stop_by: Option<Nanos>,
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
            hot: None,
            active: now,
            swept: now,
            stop_by: None,
        })
    }

    pub(super) fn run(mut self) {
        let spin = Duration::from_micros(self.shared.spin_us);
        let mut ready = Vec::new();
        let mut spins = 0u32;
        while !self.has_stopped() {
            if self.shared.poller.take_work() {
                self.commands();
            }
            if spin.is_zero() || Nanos::monotonic().since(self.active) >= spin {
                self.shared.poller.wait(&mut ready);
            } else if self.spin_once() {
                continue;
            } else {
                spins = spins.wrapping_add(1);
                if self.hot.is_some() && !spins.is_multiple_of(SPINS_PER_PEEK) {
                    std::hint::spin_loop();
                    continue;
                }
                self.shared.poller.peek(&mut ready);
            }
            for event in ready.drain(..) {
                self.dispatch(event);
            }
        }
        // A `Placed` names a connection, and that names what holds the commands.
        self.shared.commands.lock().clear();
    }

    /// Asks the last active connection; true when it had something.
    fn spin_once(&mut self) -> bool {
        match self.hot {
            Some(token) => self.receive(token),
            None => false,
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
    fn receive(&mut self, token: u64) -> bool {
        let Some(connection) = self.connections.get_mut(token) else {
            self.hot = self.hot.filter(|hot| *hot != token);
            return false;
        };
        match &mut connection.phase {
            Phase::Up(stream) => {
                let cx = Context { shared: &self.shared, handler: &*self.handler };
                match stream.receive(&cx) {
                    Ok(false) => false,
                    Ok(true) => {
                        if self.shared.spin_us > 0 {
                            self.hot = Some(token);
                            self.active = Nanos::monotonic();
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

    fn writable(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match &connection.phase {
            Phase::Connecting { .. } => self.connected(token),
            Phase::Up(stream) => {
                if stream.link.flush() {
                    self.handler.on_event(Event::Writable { peer: stream.link.peer });
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
                    establish::report_placed(&link, &cx);
                }
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
        tracing::info!(address, %reason, "connecting failed");
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
