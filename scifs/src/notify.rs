//! Tells systemd how far the service is (`sd_notify`), when systemd is who started it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use std::ffi::OsStr;
use std::io;

pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service serves. `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    say(&format!("READY=1\nSTATUS={status}\n"));
}

/// The service has begun to stop.
pub fn stopping() {
    say("STOPPING=1\n");
}

fn say(text: &str) {
    let Some(socket) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&socket, text) {
        tracing::warn!(%error, socket = %socket.display(), "cannot tell systemd");
    }
}

/// A name that begins with `@` is one outside of the file system.
fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_at_a_socket_with_a_path_and_at_one_without() {
        let name = format!("scifs-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let abstract_name = format!("@{name}");
        let with_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let without = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in [(with_path, path.as_os_str()), (without, OsStr::new(&abstract_name))] {
            send(name, "READY=1\n").unwrap();
            let mut bytes = [0; 64];
            let length = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1\n");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(send(path.as_os_str(), "READY=1\n").is_err());
    }
}
