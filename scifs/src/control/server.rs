//! The daemon's side of the local socket.

use std::fs::{DirBuilder, remove_file};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ControlError, EXCHANGE_TIMEOUT_S, REQUEST_BYTES_MAX, socket_path};

/// What a node answers to a request; `None` for a request that it doesn't know.
pub type Answer = dyn Fn(&str) -> Option<Value> + Send + Sync;

/// The listening socket of one node; gone, with its file, when this is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens as the node called `name`. A socket file that nobody answers is left over from a killed node and is replaced.
    pub fn start(name: &str, answer: Arc<Answer>) -> Result<Self, ControlError> {
        let path = socket_path(name);
        let listen_error = |source| ControlError::Listen { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            own_folder(folder)?;
        }
        if UnixStream::connect(&path).is_ok() {
            return Err(ControlError::NameTaken { name: name.into(), path });
        }
        match remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(listen_error(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(listen_error)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || serve(&listener, &stop, &answer))
            .map_err(listen_error)?;
        Ok(Self { path, stopping, thread: Some(thread) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // The accept call returns for a connection; if none can be made, the listener is gone already.
        if UnixStream::connect(&self.path).is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread had panicked");
        }
        if let Err(error) = remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the control socket");
        }
    }
}

/// Makes the folder for its user alone, or checks that it is so: in a shared place like /tmp somebody else could have
/// made it to read what is asked.
pub(crate) fn own_folder(folder: &Path) -> Result<(), ControlError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| ControlError::Listen { path: folder.into(), source })?;
    let about = std::fs::symlink_metadata(folder)
        .map_err(|source| ControlError::Listen { path: folder.into(), source })?;
    let ours = about.uid() == rustix::process::getuid().as_raw();
    if about.is_dir() && ours && about.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(ControlError::Folder { folder: folder.into() })
}

fn serve(listener: &UnixListener, stopping: &AtomicBool, answer: &Arc<Answer>) {
    for stream in listener.incoming() {
        if stopping.load(Ordering::Acquire) {
            return;
        }
        let result = stream.and_then(|stream| exchange(stream, answer));
        if let Err(error) = result {
            tracing::debug!(%error, "a control connection ended early");
        }
    }
}

fn exchange(stream: UnixStream, answer: &Arc<Answer>) -> std::io::Result<()> {
    let timeout = Some(Duration::from_secs(EXCHANGE_TIMEOUT_S));
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)?;
    let mut line = String::new();
    BufReader::new((&stream).take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let request = line.trim_end();
    let reply = answer(request)
        .unwrap_or_else(|| json!({ "error": format!("this node does not know the request {request:?}") }));
    (&stream).write_all(reply.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ask;

    fn path(test: &str) -> String {
        let folder = std::env::temp_dir().join(format!("scifs-control-{}-{test}", std::process::id()));
        folder.join("n.sock").display().to_string()
    }

    fn echo() -> Arc<Answer> {
        Arc::new(|request| (request == "status").then(|| json!({ "asked": request })))
    }

    #[test]
    fn a_request_is_answered_and_an_unknown_one_is_refused_in_words() {
        let path = path("answer");
        let server = Server::start(&path, echo()).unwrap();
        assert_eq!(ask(&path, "status").unwrap(), json!({ "asked": "status" }));
        assert!(ask(&path, "dance").unwrap()["error"].as_str().unwrap().contains("dance"));
        drop(server);
        assert!(matches!(ask(&path, "status"), Err(ControlError::NoNode { .. })));
    }

    #[test]
    fn a_second_node_of_one_name_is_refused_and_a_dead_ones_socket_is_replaced() {
        let path = path("twice");
        let server = Server::start(&path, echo()).unwrap();
        assert!(matches!(Server::start(&path, echo()), Err(ControlError::NameTaken { .. })));
        drop(server);
        drop(UnixListener::bind(&path).unwrap());
        assert!(Path::new(&path).exists(), "the file of a listener that died stays");
        Server::start(&path, echo()).unwrap();
    }

    #[test]
    fn an_endless_request_is_cut_off() {
        let path = path("endless");
        let _server = Server::start(&path, echo()).unwrap();
        let long = "x".repeat(100_000);
        let answer = ask(&path, &long);
        assert!(answer.is_err() || answer.unwrap()["error"].is_string());
        assert_eq!(ask(&path, "status").unwrap(), json!({ "asked": "status" }));
    }
}
