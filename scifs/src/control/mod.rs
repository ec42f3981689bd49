//! The daemon's local socket: how commands on the same machine talk to a running node. File permissions are the
//! only authentication, so the folder belongs to the user who runs the node and nobody else gets in.
//!
//! One exchange a connection: a line with the request, then one JSON document as the answer, then the end.

mod client;
pub mod mounts;
mod server;

pub use client::{ask, pid_of};
pub(crate) use server::own_folder;
pub use server::{Answer, Server};

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The longest request line; a longer one is refused.
const REQUEST_BYTES_MAX: u64 = 256;
/// The longest answer that is read; a status of 1,000 nodes is a tenth of it.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// A peer on the same machine that is silent for longer is given up.
const EXCHANGE_TIMEOUT_S: u64 = 10;

#[derive(Debug, Error)]
pub enum ControlError {
    #[error("no node named {name:?} runs here for this user ({path} does not answer: {source}); see: ls {folder}",
        folder = path.parent().map(|p| p.display().to_string()).unwrap_or_default())]
    NoNode { name: String, path: PathBuf, source: std::io::Error },
    #[error("a node named {name:?} already runs on this machine ({path} answers); choose another name=")]
    NameTaken { name: String, path: PathBuf },
    #[error(
        "cannot make the control socket {path}: {source}; set XDG_RUNTIME_DIR to a folder that can be written"
    )]
    Listen { path: PathBuf, source: std::io::Error },
    #[error(
        "{folder} is open to other users or belongs to one; remove it, or set XDG_RUNTIME_DIR to a folder of yours"
    )]
    Folder { folder: PathBuf },
    #[error("the node did not answer {request:?}: {what}")]
    Answer { request: String, what: String },
}

/// Where nodes of this user put their sockets.
pub fn folder() -> PathBuf {
    if let Some(set) = std::env::var_os("SCIFS_RUNTIME_DIR") {
        return PathBuf::from(set);
    }
    let user = rustix::process::getuid();
    if user.is_root() {
        return PathBuf::from("/run/scifs");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) => PathBuf::from(folder).join("scifs"),
        None => std::env::temp_dir().join(format!("scifs-{}", user.as_raw())),
    }
}

const SUFFIX: &str = ".sock";

/// The name of the node with that control socket.
pub fn name_of(socket: &Path) -> Option<String> {
    Some(socket.file_name()?.to_str()?.strip_suffix(SUFFIX)?.to_owned())
}

/// The sockets of the nodes of this user on this machine, also of those that have died, by name.
pub fn sockets() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sockets: Vec<_> = entries.filter(|path| name_of(path).is_some()).collect();
    sockets.sort();
    sockets
}

/// The socket of the node called `name`. A name with a slash is the path itself.
pub fn socket_path(name: &str) -> PathBuf {
    if name.contains('/') { PathBuf::from(name) } else { folder().join(format!("{name}{SUFFIX}")) }
}
