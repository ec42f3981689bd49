//! What a running node has around it, with a mount or without: signals, the control socket, metrics, and the wait for
//! whatever ends it.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::CliError;
use crate::control::{self, Server};
use crate::exit::Exit;
use crate::metrics_http::MetricsServer;
use crate::options::{HostPort, Options};
use scios::auth::Secret;
use scios::node::{Node, NodeConfig};

/// A node that serves.
pub(super) trait Serving: Send + Sync {
    fn node(&self) -> &Node;
    /// About its mount, if it has one.
    fn mount_status(&self) -> Option<Value>;
}

/// What ends a node.
#[derive(Debug)]
pub(super) enum Stop {
    Signal,
    /// Somebody has unmounted it.
    Unmounted,
    /// From the control socket; it wants to hear whether the others were told.
    Asked(Sender<bool>),
}

/// Filled once the node serves; weak, so that the node ends when the main thread lets go of it.
type Slot = Arc<OnceLock<Weak<dyn Serving>>>;

pub(super) struct Surroundings {
    serving: Slot,
    stop: Sender<Stop>,
    stopped: Receiver<Stop>,
    signals: Handle,
    waiter: JoinHandle<()>,
    server: Server,
    metrics: Option<MetricsServer>,
}

impl Surroundings {
    /// Before the node begins: from here on its name is taken on this machine, and signals are heard.
    pub(super) fn begin(name: &str) -> Result<Self, CliError> {
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(CliError::Signals)?;
        let (stop, stopped) = channel();
        let serving = Slot::default();
        let server = Server::start(name, answers(Arc::clone(&serving), stop.clone()))?;
        let handle = signals.handle();
        let (slot, sender, path) = (Arc::clone(&serving), stop.clone(), server.path().to_path_buf());
        let waiter = std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || heed(signals, &slot, &sender, path))
            .map_err(CliError::Signals)?;
        Ok(Self { serving, stop, stopped, signals: handle, waiter, server, metrics: None })
    }

    /// From here on the node can be asked.
    pub(super) fn serve<S: Serving + 'static>(
        &mut self,
        serving: &Arc<S>,
        metrics: Option<&HostPort>,
    ) -> Result<(), CliError> {
        let registry = serving.node().registry();
        self.metrics = metrics.map(|at| MetricsServer::start(&at.to_string(), registry)).transpose()?;
        let weak: Weak<S> = Arc::downgrade(serving);
        // Set once only, by the one caller.
        let _ = self.serving.set(weak);
        Ok(())
    }

    pub(super) fn socket(&self) -> &std::path::Path {
        self.server.path()
    }

    pub(super) fn stopper(&self) -> Sender<Stop> {
        self.stop.clone()
    }

    /// Waits for whatever ends the node.
    pub(super) fn wait(&self) -> Stop {
        self.stopped.recv().unwrap_or(Stop::Signal)
    }

    /// Waits until the mount is gone, at most so long; false when it isn't.
    pub(super) fn wait_until_unmounted(&self, at_most: Duration) -> bool {
        let deadline = std::time::Instant::now() + at_most;
        loop {
            match self.stopped.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
                Ok(Stop::Unmounted) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// The node has ended: tells who asked for it, and lets go of everything.
    pub(super) fn end(self, why: Stop, orderly: bool) -> Result<(), CliError> {
        if let Stop::Asked(told) = why {
            // Who asked may have lost patience.
            let _ = told.send(orderly);
        }
        drop(self.server);
        drop(self.metrics);
        self.signals.close();
        if self.waiter.join().is_err() {
            tracing::error!("the signal thread had panicked");
        }
        if orderly { Ok(()) } else { Err(CliError::NotOrderly) }
    }
}

/// The first signal asks the node to leave; while it doesn't serve yet, and from the second one on, it ends the process at
/// once: joining and leaving may take a while, and whoever sends it again doesn't want to wait.
fn heed(mut signals: Signals, serving: &Slot, stop: &Sender<Stop>, socket: PathBuf) {
    for (count, _) in signals.forever().enumerate() {
        if count > 0 || serving.get().is_none() {
            let _ = std::fs::remove_file(&socket);
            std::process::exit(Exit::Interrupted.code().into());
        }
        // The main thread is on its way out already when nobody receives.
        let _ = stop.send(Stop::Signal);
    }
}

fn answers(serving: Slot, stop: Sender<Stop>) -> Arc<control::Answer> {
    let stop = Mutex::new(stop);
    Arc::new(move |request| {
        let Some(serving) = serving.get() else {
            return Some(json!({ "error": "it is still starting; ask again in a moment" }));
        };
        let serving = serving.upgrade()?;
        Some(match request {
            "status" => status_json(&*serving),
            "ping" => {
                let life = serving.node().life();
                json!({ "round_trips": life.pinger().ping_all(&life) })
            }
            "leave" => {
                drop(serving);
                let (tell, told) = channel();
                stop.lock().send(Stop::Asked(tell)).ok()?;
                json!({ "orderly": told.recv().ok()? })
            }
            _ => return None,
        })
    })
}

fn status_json(serving: &dyn Serving) -> Value {
    let node = serving.node();
    let metrics = serde_json::to_value(node.registry().snapshot()).unwrap_or_default();
    let mut status = serde_json::to_value(node.status()).unwrap_or_default();
    if let Some(fields) = status.as_object_mut() {
        fields.insert("pid".into(), std::process::id().into());
        fields.insert("mount".into(), serving.mount_status().unwrap_or_default());
        fields.insert("metrics".into(), metrics);
    }
    status
}

pub(super) fn node_config(options: &Options) -> Result<NodeConfig, CliError> {
    let secret = options.secret.as_deref().map(Secret::load).transpose()?;
    Ok(NodeConfig {
        name: options.name.clone().unwrap_or_else(default_name),
        listen: options.listen.as_ref().map(ToString::to_string),
        join: options.join.iter().map(ToString::to_string).collect(),
        fabric: options.fabric,
        memory_bytes: options.memory_bytes,
        secret,
        spin_us: options.spin_us,
        failure_timeout: Duration::from_millis(options.failure_timeout_ms),
        voters_max: u8::try_from(options.voters).unwrap_or(u8::MAX),
    })
}

/// Several nodes of one machine must not have one name.
fn default_name() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let machine: String = machine.chars().take_while(|c| *c != '.').take(32).collect();
    format!("{machine}-{:04x}", std::process::id() & 0xffff)
}
