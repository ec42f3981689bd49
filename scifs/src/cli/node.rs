//! `scifs node`: a member of the cluster without a mount. It donates memory, and votes if it is among the first.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::CliError;
use crate::control::Server;
use crate::options::Options;
use scios::auth::Secret;
use scios::node::{NoUpper, Node, NodeConfig};

/// Be a member of a cluster, without a mount: donate memory
///
/// Runs in the foreground until it is told to leave (Ctrl-C, SIGTERM or `scifs leave NAME`). Without options it founds
/// a cluster of its own; with join= it becomes a member of the one that the named node belongs to.
#[derive(Debug, clap::Args)]
#[command(after_help = OPTIONS)]
pub(super) struct Args {
    /// A member to join, as HOST[:PORT]; the same as -o join=
    member: Option<String>,
    /// Options, separated by commas; may be given several times
    #[arg(short, value_name = "OPTIONS")]
    options: Vec<String>,
    /// Log everything to stderr
    #[arg(short)]
    debug: bool,
}

const OPTIONS: &str = "\
Options for -o:
  name=NAME             what people call the node (default: its machine's name and a few random letters)
  listen=HOST:PORT      where members reach it (default: 127.0.0.1:7000); not on loopback only with secret=
  join=HOST:PORT        a member of the cluster to join; may be repeated
  fabric=tcp|verbs      how members talk (default: tcp); verbs needs rdma-core and a card, or soft-RoCE
  memory=SIZE           what the node donates: 512M, 8G, 50% (default: 50% of the machine)
  secret=FILE           what all nodes of the cluster know; the file has mode 600
  config=FILE           a TOML file with the same names
  spin_us=N             how long to poll for messages before sleeping (default: 50)
  failure_timeout_ms=N  silence after which a member is declared dead (default: 2000)
  voters=1|3|5          how many of the first members vote (default: 3)";

/// What ends the node.
enum Stop {
    Signal,
    /// From the control socket; it wants to hear whether the others were told.
    Asked(Sender<bool>),
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let options = Options::load(&args.options, args.member.as_deref())?;
    let config = node_config(options)?;
    scios::logging::init(args.debug)?;
    // Before anything else can be interrupted.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(CliError::Signals)?;
    let node = Arc::new(Node::start(config, Arc::new(NoUpper))?);
    let (stop, stopped) = channel();
    let on_signal = stop.clone();
    let handle = signals.handle();
    let waiter = std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // The main thread is on its way out already when nobody receives.
            let _ = on_signal.send(Stop::Signal);
        }
    });
    let server = Server::start(&node.config().name, answers(&node, stop))?;
    announce(&node);
    let orderly = match stopped.recv() {
        Ok(Stop::Asked(told)) => {
            let orderly = node.leave();
            let _ = told.send(orderly);
            orderly
        }
        Ok(Stop::Signal) | Err(_) => node.leave(),
    };
    drop(server);
    handle.close();
    if waiter.join().is_err() {
        tracing::error!("the signal thread had panicked");
    }
    if orderly { Ok(()) } else { Err(CliError::NotOrderly) }
}

fn node_config(options: Options) -> Result<NodeConfig, CliError> {
    let secret = options.secret.as_deref().map(Secret::load).transpose()?;
    Ok(NodeConfig {
        name: options.name.unwrap_or_else(default_name),
        listen: options.listen.map(|address| address.to_string()),
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

/// Tells whoever started it that it is a member. Scripts wait for this line.
fn announce(node: &Node) {
    let status = node.status();
    let line = format!(
        "scifs: {} is member {} of {} and listens on {}; stop it with: scifs leave {}",
        status.name,
        status.number.unwrap_or_default(),
        status.members.len(),
        status.address,
        status.name,
    );
    // A closed stdout is no reason to stop a node.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn answers(node: &Arc<Node>, stop: Sender<Stop>) -> Arc<crate::control::Answer> {
    // Weak, so that the node ends when the main thread lets go of it.
    let node = Arc::downgrade(node);
    let stop = parking_lot::Mutex::new(stop);
    Arc::new(move |request| {
        let node = node.upgrade()?;
        Some(match request {
            "status" => status_json(&node),
            "ping" => {
                let life = node.life();
                json!({ "round_trips": life.pinger().ping_all(&life) })
            }
            "leave" => {
                drop(node);
                let (tell, told) = channel();
                stop.lock().send(Stop::Asked(tell)).ok()?;
                json!({ "orderly": told.recv().ok()? })
            }
            _ => return None,
        })
    })
}

fn status_json(node: &Node) -> Value {
    let metrics = serde_json::to_value(node.registry().snapshot()).unwrap_or_default();
    let mut status = serde_json::to_value(node.status()).unwrap_or_default();
    if let Some(fields) = status.as_object_mut() {
        fields.insert("metrics".into(), metrics);
    }
    status
}
