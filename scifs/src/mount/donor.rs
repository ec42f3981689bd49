//! A node without a mount: it donates memory, votes, and keeps pages for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use scios::node::{Node, NodeConfig};

use super::MountFailed;
use super::upper::Above;
use crate::fuse::files::{FilesConfig, FilesStatus};
use crate::fuse::kernel::{MountError, Session};
use crate::names::{Consistency, Founding, Time};

/// Threads for each kind of waiting that requests do.
const LANE_THREADS: usize = 8;

/// A request about names is given up after this many failure timeouts: enough for a new leader to be found.
const PATIENCE: u32 = 5;

/// The mode of the root directory of a new cluster: as /tmp, since every user of the mount may put files there.
const ROOT_MODE: u32 = 0o1777;

/// A member of the cluster, able to serve a mount. Dropped, it vanishes as if it had crashed.
#[derive(Debug)]
pub struct Donor {
    node: Arc<Node>,
    above: Arc<Above>,
    left: AtomicBool,
}

impl Donor {
    pub fn start(config: NodeConfig) -> Result<Self, MountFailed> {
        Self::start_with(config, Consistency::Strict, 0)
    }

    /// `workers` will serve the mount.
    pub(super) fn start_with(
        config: NodeConfig,
        consistency: Consistency,
        workers: usize,
    ) -> Result<Self, MountFailed> {
        let founding = Founding {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            mode: ROOT_MODE,
            now: now(),
        };
        let files = FilesConfig { consistency, threads: LANE_THREADS, workers };
        let above = Above::new(founding, config.failure_timeout * PATIENCE, files);
        let upper = Arc::clone(&above);
        let node = Arc::new(Node::start(config, upper)?);
        let donor = Self { node, above, left: AtomicBool::new(false) };
        match donor.above.failed() {
            None => Ok(donor),
            Some(why) => Err(MountFailed::Parts(why)),
        }
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Hands over what this node holds and leaves the cluster. False when nobody could be told in time.
    pub fn leave(&self) -> bool {
        if let Some(service) = self.above.service() {
            service.end();
        }
        self.left.store(true, Ordering::Release);
        self.node.leave()
    }

    /// Has the session's requests answered.
    pub(super) fn serve(&self, session: &Session) -> Result<(), MountError> {
        let Some(service) = self.above.service() else { return Ok(()) };
        service.mounted(session.notifier()?);
        session.measure(self.node.registry());
        session.serve(&service.requests())
    }

    pub(super) fn files_status(&self) -> FilesStatus {
        self.above.service().map(crate::fuse::files::FilesService::status).unwrap_or_default()
    }
}

impl Drop for Donor {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Acquire)
            && let Some(service) = self.above.service()
        {
            service.end();
        }
    }
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}
