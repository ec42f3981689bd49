//! One peer's session, and how its frames get into the fabric.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::KEEP_UNUSED;
use crate::memory::RegionSlice;
use crate::rpc::codec::Writer;
use crate::rpc::error::CallError;
use crate::rpc::service::Completion;
use crate::rpc::session::{Session, Unsent};
use crate::verbs::Fabric;
use crate::{Epoch, Nanos, NodeId};

pub(super) struct Peer {
    pub id: NodeId,
    pub fabric: Arc<dyn Fabric>,
    session: Mutex<Session<Completion>>,
    /// The session's alarm, so that a tick looks at a thousand peers without a thousand locks.
    alarm: AtomicU64,
    down_since: AtomicU64,
}

impl Peer {
    pub(super) fn new(id: NodeId, fabric: Arc<dyn Fabric>, epoch: Epoch) -> Self {
        let session = Mutex::new(Session::new(epoch));
        let (alarm, down_since) = (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX));
        Self { id, fabric, session, alarm, down_since }
    }

    /// Every access to the session; never while calling anything outside of it.
    #[inline]
    pub(super) fn with<T>(&self, use_it: impl FnOnce(&mut Session<Completion>) -> T) -> T {
        let mut session = self.session.lock();
        let result = use_it(&mut session);
        self.alarm.store(session.alarm().0, Ordering::Relaxed);
        result
    }

    pub(super) fn alarm(&self) -> Nanos {
        Nanos(self.alarm.load(Ordering::Relaxed))
    }

    pub(super) fn set_epoch(&self, epoch: Epoch) {
        self.with(|session| session.set_epoch(epoch));
    }

    pub(super) fn went_down(&self, now: Nanos) {
        self.down_since.store(now.0, Ordering::Relaxed);
    }

    pub(super) fn is_unused(&self, now: Nanos) -> bool {
        let since = Nanos(self.down_since.load(Ordering::Relaxed));
        now.since(since) > KEEP_UNUSED && self.session.lock().is_unused()
    }

    /// Gives a message to the fabric that the session let go directly. An error concerns a one-way message; calls
    /// end through their completion.
    pub(super) fn send(&self, message: &Writer, body: &[RegionSlice]) -> Result<(), CallError> {
        let Err(why) = self.fabric.send(self.id, message.frame(), body) else { return Ok(()) };
        let now = self.fabric.now();
        match self.with(|session| session.not_sent(now, message, body, why)) {
            Unsent::Handled => {
                self.pump();
                Ok(())
            }
            Unsent::Completed { token, error } => {
                token(Err(error));
                Ok(())
            }
            Unsent::Lost(error) => Err(error),
        }
    }

    /// Sends what is queued, as far as the fabric takes it.
    pub(super) fn pump(&self) {
        let mut next = self.with(Session::start_sending);
        while let Some(frame) = next {
            let result = self.fabric.send(self.id, &frame.bytes, &[]);
            next = self.with(|session| session.sent(frame, result));
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", &self.id).finish_non_exhaustive()
    }
}
