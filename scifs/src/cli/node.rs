//! `scifs node`: a member of the cluster without a mount. It donates memory, and votes if it is among the first.

use std::io::Write;
use std::sync::Arc;

use serde_json::Value;

use super::serving::{Serving, Surroundings, node_config};
use super::{CliError, help};
use crate::mount::Donor;
use crate::notify;
use crate::options::Options;
use scios::node::Node;

/// Be a member of a cluster, without a mount: donate memory
///
/// Runs in the foreground until it is told to leave (Ctrl-C, SIGTERM or `scifs leave NAME`). Without options it founds
/// a cluster of its own; with join= it becomes a member of the one that the named node belongs to.
#[derive(Debug, clap::Args)]
#[command(after_help = help::NODE_OPTIONS)]
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

impl Serving for Donor {
    fn node(&self) -> &Node {
        Donor::node(self)
    }

    fn mount_status(&self) -> Option<Value> {
        None
    }
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let options = Options::load(&args.options, args.member.as_deref())?;
    let config = node_config(&options)?;
    scios::logging::init(args.debug)?;
    let mut around = Surroundings::begin(&config.name)?;
    let donor = Arc::new(Donor::start(config)?);
    around.serve(&donor, options.metrics.as_ref())?;
    announce(Donor::node(&donor));
    let why = around.wait();
    notify::stopping();
    let orderly = donor.leave();
    around.end(why, orderly)
}

/// Tells whoever started it that it is a member. Scripts wait for this line.
fn announce(node: &Node) {
    let status = node.status();
    let line = format!(
        "{} is member {} of {} and listens on {}; stop it with: scifs leave {}",
        status.name,
        status.number.unwrap_or_default(),
        status.members.len(),
        status.address,
        status.name,
    );
    notify::ready(&line);
    // A closed stdout is no reason to stop a node.
    let _ = writeln!(std::io::stdout(), "scifs: {line}");
}
