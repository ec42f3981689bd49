//! Addresses: `HOST:PORT` as people write it, what it resolves to, and the socket that listens on it.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use crate::limits::ADDRESS_BYTES_MAX;
use crate::verbs::FabricError;

/// Splits `HOST:PORT` or `[IPV6]:PORT`.
fn split(address: &str) -> Result<(&str, u16), FabricError> {
    let malformed = || FabricError::Address { address: address.into() };
    if address.len() > ADDRESS_BYTES_MAX || !address.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(malformed());
    }
    let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
    let port = port.parse().map_err(|_| malformed())?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bracketed {
        Some(host) if host.contains(':') => Ok((host, port)),
        None if !host.is_empty() && !host.contains([':', '[', ']']) => Ok((host, port)),
        _ => Err(malformed()),
    }
}

/// Looks the name up, which may take as long as the network's name service does.
pub(super) fn resolve(address: &str) -> Result<Vec<SocketAddr>, FabricError> {
    let (host, port) = split(address)?;
    let resolved = (host, port)
        .to_socket_addrs()
        .map_err(|source| FabricError::Resolve { address: address.into(), source })?;
    let resolved: Vec<_> = resolved.collect();
    if resolved.is_empty() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no addresses");
        return Err(FabricError::Resolve { address: address.into(), source });
    }
    Ok(resolved)
}

/// Binds, and says where peers reach it. Without a secret on loopback only.
pub(super) fn listen(address: &str, secret: bool) -> Result<(TcpListener, String), FabricError> {
    let resolved = resolve(address)?;
    if !secret && !resolved.iter().all(|socket| socket.ip().is_loopback()) {
        return Err(FabricError::SecretNeeded { address: address.into() });
    }
    let listen_error = |source| FabricError::Listen { address: address.into(), source };
    let listener = TcpListener::bind(resolved.as_slice()).map_err(listen_error)?;
    let port = listener.local_addr().map_err(listen_error)?.port();
    listener.set_nonblocking(true).map_err(listen_error)?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    Ok((listener, format!("{host}:{port}")))
}

/// A node that listens on all addresses announces none that others could use; then it is where it connected from.
pub(super) fn reachable(announced: &str, seen_at: Option<SocketAddr>) -> String {
    match (announced.parse::<SocketAddr>(), seen_at) {
        (Ok(socket), Some(seen)) if socket.ip().is_unspecified() => {
            SocketAddr::new(seen.ip(), socket.port()).to_string()
        }
        _ => announced.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_or_refused() {
        assert_eq!(split("node1.example:7000").unwrap(), ("node1.example", 7000));
        assert_eq!(split("[::1]:7").unwrap(), ("::1", 7));
        for bad in
            ["", ":", "host", "host:", ":1", "host:65536", "host:-1", "::1:7", "[host]:7", "a b:1", "[::1:7"]
        {
            assert!(matches!(split(bad), Err(FabricError::Address { .. })), "{bad:?}");
        }
    }

    #[test]
    fn without_a_secret_only_loopback_is_listened_on() {
        assert!(matches!(listen("0.0.0.0:0", false), Err(FabricError::SecretNeeded { .. })));
        assert!(matches!(listen("[::]:0", false), Err(FabricError::SecretNeeded { .. })));
        let (_listener, address) = listen("127.0.0.1:0", false).unwrap();
        assert!(!address.ends_with(":0"), "{address}");
    }

    #[test]
    fn an_address_in_use_is_refused_with_its_name() {
        let (_listener, address) = listen("127.0.0.1:0", false).unwrap();
        let again = listen(&address, false).map(|_| ());
        assert!(matches!(again, Err(FabricError::Listen { address: named, .. }) if named == address));
    }

    #[test]
    fn a_node_that_listens_everywhere_is_reached_where_it_was_seen() {
        let seen = "10.1.2.3:55555".parse().ok();
        assert_eq!(reachable("0.0.0.0:7000", seen), "10.1.2.3:7000");
        assert_eq!(reachable("192.168.0.1:7000", seen), "192.168.0.1:7000");
        assert_eq!(reachable("name:7000", seen), "name:7000");
    }
}
