//! The command's side of the local socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{ANSWER_BYTES_MAX, ControlError, EXCHANGE_TIMEOUT_S, socket_path};

/// Sends one request to the node called `name` on this machine and returns its answer.
pub fn ask(name: &str, request: &str) -> Result<Value, ControlError> {
    let path = socket_path(name);
    let stream = UnixStream::connect(&path).map_err(|source| ControlError::NoNode {
        name: name.into(),
        path,
        source,
    })?;
    let text = exchange(stream, request)
        .map_err(|error| ControlError::Answer { request: request.into(), what: error.to_string() })?;
    serde_json::from_str(&text)
        .map_err(|error| ControlError::Answer { request: request.into(), what: error.to_string() })
}

/// The process that listens at a control socket. The kernel knows it, so it is told also of a node that hangs.
pub fn pid_of(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

fn exchange(mut stream: UnixStream, request: &str) -> std::io::Result<String> {
    let timeout = Some(Duration::from_secs(EXCHANGE_TIMEOUT_S));
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
