//! A node with a mount, from its start to its end, in the process that serves it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Plan, guard::Guard};
use crate::cli::CliError;
use crate::cli::serving::{Serving, Stop, Surroundings};
use crate::control::mounts::Record;
use crate::mount::Mount;
use crate::notify;
use scios::node::Node;

/// How long files may stay open after the mount was detached, before the node leaves all the same.
const UNMOUNT_WAIT: Duration = Duration::from_secs(5);

impl Serving for Mount {
    fn node(&self) -> &Node {
        Mount::node(self)
    }

    fn mount_status(&self) -> Option<Value> {
        serde_json::to_value(self.status()).ok()
    }
}

/// Mounts, tells `ready` once the mount serves, and returns when it is gone and the node has left.
pub(super) fn run(plan: Plan, ready: impl FnOnce(&str) -> Result<(), CliError>) -> Result<(), CliError> {
    let name = plan.mount.node.name.clone();
    let mut around = Surroundings::begin(&name)?;
    let guard = plan.auto_unmount.then(|| Guard::start(&plan.mount.mountpoint)).transpose()?;
    let mount = Arc::new(Mount::start(plan.mount)?);
    let record = Record::write(mount.mountpoint(), around.socket());
    if let Err(error) = &record {
        tracing::warn!(%error, "commands will not find this mount; ask the node by its name");
    }
    watch(&mount, &around)?;
    let told = around.serve(&mount, plan.metrics.as_ref()).and_then(|()| {
        let line = line(&mount, &name);
        notify::ready(&line);
        ready(&line)
    });
    let why = if told.is_ok() { around.wait() } else { Stop::Signal };
    notify::stopping();
    if !matches!(why, Stop::Unmounted) {
        if let Err(error) = mount.unmount() {
            tracing::warn!(%error, "cannot unmount");
        }
        if !around.wait_until_unmounted(UNMOUNT_WAIT) {
            tracing::warn!("files are still open; their users get errors from now on");
        }
    }
    let orderly = mount.leave();
    drop(record);
    drop(guard);
    let ended = around.end(why, orderly);
    told.and(ended)
}

/// Somebody may unmount at any time.
fn watch(mount: &Arc<Mount>, around: &Surroundings) -> Result<(), CliError> {
    let (mount, stop) = (Arc::clone(mount), around.stopper());
    let wait = move || {
        mount.wait();
        // Nobody receives any more when the node is ending for another reason.
        let _ = stop.send(Stop::Unmounted);
    };
    std::thread::Builder::new().name("unmounted".into()).spawn(wait).map(drop).map_err(CliError::Signals)
}

fn line(mount: &Mount, name: &str) -> String {
    let status = Mount::node(mount).status();
    format!(
        "{name} is member {} of {}, listens on {} and serves {}; stop it with: scifs umount {}",
        status.number.unwrap_or_default(),
        status.members.len(),
        status.address,
        mount.mountpoint().display(),
        mount.mountpoint().display(),
    )
}
