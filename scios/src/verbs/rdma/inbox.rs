//! What other threads have for the receiver: news of the TCP connections, and connections to end.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::event::EventfdFlags;

use super::control::{ControlError, ControlMessage};
use crate::NodeId;
use crate::verbs::{ConnectError, DownReason, Event, Fabric, Handler};

/// A peer has three things to say in the life of a connection.
const CONTROL_MESSAGES_MAX: u32 = 3;

#[derive(Debug)]
pub(super) enum Input {
    ControlUp {
        peer: NodeId,
        address: String,
    },
    ControlDown {
        peer: NodeId,
        reason: DownReason,
    },
    ControlFailed {
        address: String,
        reason: ConnectError,
    },
    Control {
        peer: NodeId,
        message: Result<ControlMessage, ControlError>,
    },
    Disconnect {
        peer: NodeId,
    },
    /// Posting to a connection has failed.
    Broken {
        number: u32,
        what: String,
    },
}

#[derive(Debug)]
pub(super) struct Inbox {
    inputs: Mutex<VecDeque<Input>>,
    /// Whether there are inputs, or a stop; so that a spinning receiver need not lock.
    news: AtomicBool,
    stopping: AtomicBool,
    /// Stopped by the handler itself, which expects no more calls.
    quiet: AtomicBool,
    wake: OwnedFd,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Self {
            inputs: Mutex::default(),
            news: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            wake,
        }))
    }

    pub(super) fn push(&self, input: Input) {
        self.inputs.lock().push_back(input);
        self.news.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.news.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn be_quiet(&self) {
        self.quiet.store(true, Ordering::Release);
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn wake(&self) {
        // It fails only when the counter is full, and then the receiver is being woken already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> VecDeque<Input> {
        self.news.store(false, Ordering::Release);
        std::mem::take(&mut self.inputs.lock())
    }

    /// After a wake-up: makes the file unreadable again.
    pub(super) fn take_wakeups(&self) {
        // It fails when there is none.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Hears the TCP fabric and passes on what matters. Bounded: who says more than there is to say is cut off.
pub(super) struct ControlHandler {
    pub(super) inbox: Arc<Inbox>,
    /// Weak, since the fabric holds its handler.
    pub(super) control: Weak<dyn Fabric>,
    pub(super) said: Mutex<HashMap<NodeId, u32>>,
}

impl Handler for ControlHandler {
    fn on_event(&self, event: Event<'_>) {
        match event {
            Event::Up { peer, address } => {
                self.said.lock().insert(peer, 0);
                self.inbox.push(Input::ControlUp { peer, address: address.into() });
            }
            Event::Down { peer, reason } => {
                self.said.lock().remove(&peer);
                self.inbox.push(Input::ControlDown { peer, reason });
            }
            Event::ConnectFailed { address, reason } => {
                self.inbox.push(Input::ControlFailed { address: address.into(), reason });
            }
            Event::Message { peer, bytes } => self.heard(peer, bytes),
            Event::Written { .. } | Event::Done { .. } | Event::Writable { .. } | Event::Tick { .. } => {}
        }
    }
}

impl ControlHandler {
    fn heard(&self, peer: NodeId, bytes: &[u8]) {
        let count = {
            let mut said = self.said.lock();
            let count = said.entry(peer).or_insert(0);
            *count += 1;
            *count
        };
        if count <= CONTROL_MESSAGES_MAX {
            self.inbox.push(Input::Control { peer, message: ControlMessage::decode(bytes) });
        } else if count == CONTROL_MESSAGES_MAX + 1 {
            tracing::warn!(%peer, "closing: more control messages than the protocol has");
            self.control.upgrade().into_iter().for_each(|control| control.disconnect(peer));
        }
    }
}
