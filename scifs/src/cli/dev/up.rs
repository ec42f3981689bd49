//! `scifs dev up`.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::state::{Node, State, runtime};
use super::{DevError, Doing, down};
use crate::cli::process::Process;
use crate::cli::{CliError, print};
use crate::control;
use crate::exit::Exit;

/// For all nodes to know who votes: a few messages on a machine that may be busy.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(2);

/// Start nodes of one cluster on this machine, mounted at DIR/n1, DIR/n2, ...; returns when all serve
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many nodes
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// The folder to mount them in; made if it isn't there
    dir: PathBuf,
    /// Options for every node; the same as those of a mount. Each donates memory=256M unless that is said here
    #[arg(short, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// More processes than that on one machine show nothing new.
const NODES_MAX: usize = 64;

/// Comes first, so that the user's own wins.
const DEFAULTS: &str = "memory=256M";

/// What only we can say of each node.
const OURS: [&str; 3] = ["name", "listen", "join"];

pub(crate) fn run(args: &Args) -> Result<(), CliError> {
    if !(1..=NODES_MAX).contains(&args.nodes) {
        return Err(DevError::Nodes { nodes: args.nodes, max: NODES_MAX }.into());
    }
    for option in OURS {
        let given = |list: &String| list.split(',').any(|entry| entry.split('=').next() == Some(option));
        if args.options.iter().any(given) {
            return Err(DevError::Option { option }.into());
        }
    }
    let interrupted = Signals::new([SIGINT, SIGTERM]).map_err(CliError::Signals)?;
    let made_folder = !args.dir.exists();
    fs::create_dir_all(&args.dir).doing("make", &args.dir)?;
    let folder = args.dir.canonicalize().doing("find", &args.dir)?;
    if State::exists(&folder) {
        return Err(DevError::Up { folder }.into());
    }
    let mut up = Up::prepare(folder, made_folder, args)?;
    if let Err(error) = up.start(interrupted) {
        up.withdraw();
        return Err(error.into());
    }
    for node in &up.state.nodes {
        print(&node.mountpoint.display().to_string());
    }
    Ok(())
}

struct Up<'a> {
    folder: PathBuf,
    state: State,
    options: &'a [String],
}

impl<'a> Up<'a> {
    fn prepare(folder: PathBuf, made_folder: bool, args: &'a Args) -> Result<Self, DevError> {
        let node = |number: usize| {
            let mountpoint = folder.join(format!("n{number}"));
            Node {
                name: format!("n{number}"),
                made_mountpoint: !mountpoint.exists(),
                mountpoint,
                process: None,
            }
        };
        let nodes = (1..=args.nodes).map(node).collect();
        let state = State { made_folder, runtime: runtime(&folder), nodes };
        state.write(&folder)?;
        Ok(Self { folder, state, options: &args.options })
    }

    /// The first founds the cluster; all others join it at the same time.
    fn start(&mut self, mut signals: Signals) -> Result<(), DevError> {
        control::own_folder(&control::folder())
            .and_then(|()| control::own_folder(&self.state.runtime))
            .map_err(|error| DevError::Io {
                doing: "make",
                path: self.state.runtime.clone(),
                source: std::io::Error::other(error),
            })?;
        let (first, others) = match self.state.nodes.split_first() {
            Some((first, others)) => (first, others),
            None => return Ok(()),
        };
        let mut check = || signals.pending().next().map_or(Ok(()), |_| Err(DevError::Interrupted));
        Starting::begin(self, first, None)?.finish()?;
        let socket = first.socket(&self.state.runtime);
        let join = address(first, &socket)?;
        check()?;
        let starting: Vec<_> = others.iter().map(|node| Starting::begin(self, node, Some(&join))).collect();
        // All are waited for, also when one has failed: none may still be starting while the others are ended.
        let results: Vec<_> =
            starting.into_iter().map(|starting| starting.and_then(Starting::finish)).collect();
        results.into_iter().collect::<Result<(), _>>()?;
        check()?;
        for node in &mut self.state.nodes {
            let socket = node.socket(&self.state.runtime);
            node.process = control::pid_of(&socket).and_then(Process::of);
        }
        self.state.write(&self.folder)?;
        self.wait_until_settled(&mut check)
    }

    /// Whoever kills a node next, the first one too, is to see the others go on. They serve anyhow, so this ends in any case.
    fn wait_until_settled(&self, check: &mut impl FnMut() -> Result<(), DevError>) -> Result<(), DevError> {
        let all = self.state.nodes.len();
        let deadline = Instant::now() + SETTLED_WITHIN;
        for node in &self.state.nodes {
            let socket = node.socket(&self.state.runtime);
            let settled = || {
                control::ask(&socket.to_string_lossy(), "status").is_ok_and(|status| {
                    status["voters_settled"] == true
                        && status["members"].as_array().map(Vec::len) == Some(all)
                })
            };
            while !settled() {
                check()?;
                if Instant::now() > deadline {
                    eprintln!("scifs: {} serves, but the nodes have not agreed yet on who votes", node.name);
                    return Ok(());
                }
                std::thread::sleep(GLANCE);
            }
        }
        Ok(())
    }

    /// What was begun is taken back.
    fn withdraw(&self) {
        if let Err(error) = down::take_down(&self.folder, &self.state) {
            eprintln!("scifs: {error}");
        }
    }
}

/// A command that mounts, while it runs.
struct Starting<'n> {
    node: &'n Node,
    child: Child,
}

impl<'n> Starting<'n> {
    fn begin(up: &Up<'_>, node: &'n Node, join: Option<&str>) -> Result<Self, DevError> {
        fs::create_dir_all(&node.mountpoint).doing("make", &node.mountpoint)?;
        let program = std::env::current_exe().doing("find", Path::new("scifs"))?;
        let ours = format!("name={},listen=127.0.0.1:0", node.name);
        let mut command = Command::new(&program);
        command.arg(&node.mountpoint).args(["-o", DEFAULTS]);
        for list in up.options {
            command.args(["-o", list]);
        }
        command.args(["-o", &ours]);
        if let Some(join) = join {
            command.args(["-o", &format!("join={join}")]);
        }
        let child = command
            .env("SCIFS_RUNTIME_DIR", &up.state.runtime)
            .env_remove(crate::notify::VARIABLE)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .doing("start", &program)?;
        Ok(Self { node, child })
    }

    fn finish(mut self) -> Result<(), DevError> {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Half a sentence is better than none.
            let _ = stderr.read_to_string(&mut said);
        }
        let status = self.child.wait().doing("wait for", &self.node.mountpoint)?;
        if status.success() {
            if std::io::stderr().is_terminal() {
                eprintln!("scifs: {} serves", self.node.name);
            }
            return Ok(());
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let said = said.trim();
        let last = said.rsplit_once("scifs: ").map_or(said, |(_, sentence)| sentence);
        Err(DevError::Node {
            name: self.node.name.clone(),
            said: last.to_owned(),
            exit: code.and_then(Exit::from_code).unwrap_or(Exit::Internal),
        })
    }
}

/// Where the others can join it.
fn address(node: &Node, socket: &Path) -> Result<String, DevError> {
    let failed = |said: String| DevError::Node { name: node.name.clone(), said, exit: Exit::Failed };
    let status =
        control::ask(&socket.to_string_lossy(), "status").map_err(|error| failed(error.to_string()))?;
    match status["address"].as_str() {
        Some(address) => Ok(address.to_owned()),
        None => Err(failed(format!("it gave no address: {status}"))),
    }
}
