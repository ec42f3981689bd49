//! `HOST:PORT`, checked as far as that is possible without asking anybody.

use std::fmt;
use std::net::SocketAddrV6;

use scios::limits::ADDRESS_BYTES_MAX;
use thiserror::Error;

/// Where a node listens and is looked for when nobody says another port.
pub const DEFAULT_PORT: u16 = 7000;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    #[error("no host; write HOST:PORT, as in n1:{DEFAULT_PORT} or [::1]:{DEFAULT_PORT}")]
    NoHost,
    #[error("no port; write {host}:PORT")]
    NoPort { host: String },
    #[error("port {port:?} is not a number from {min} to 65535")]
    Port { port: String, min: u16 },
    #[error("an IPv6 address stands in brackets; write [{address}]:{DEFAULT_PORT}")]
    Brackets { address: String },
    #[error("{address:?} is not an IPv6 address")]
    Ipv6 { address: String },
    #[error("{host:?} is no host name: only letters, digits, '-', '_' and '.' can be in one")]
    Host { host: String },
    #[error("longer than {ADDRESS_BYTES_MAX} bytes")]
    TooLong,
}

/// The text of an address that the fabric can resolve. IPv6 addresses keep their brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// A member to join: the port may be left out, and can't be 0.
    pub fn parse_join(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, Some(DEFAULT_PORT), 1)
    }

    /// Where peers reach this node: the port may be left out; 0 lets the kernel choose.
    pub fn parse_listen(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, Some(DEFAULT_PORT), 0)
    }

    /// An address of another service, which has a port of its own.
    pub fn parse_with_port(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, None, 0)
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn parse(text: &str, default_port: Option<u16>, port_min: u16) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let (host, port) = split(text)?;
        check_host(host)?;
        let port = match port {
            None => default_port.ok_or_else(|| AddressError::NoPort { host: host.into() })?,
            Some(port) => parse_port(port, port_min)?,
        };
        Ok(Self { host: host.into(), port })
    }
}

/// The host, with the brackets of an IPv6 address, and the port if there is one.
fn split(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    if text.starts_with('[') {
        let Some(end) = text.find(']') else {
            return Err(AddressError::Ipv6 { address: text.into() });
        };
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(AddressError::Port { port: rest.into(), min: 0 }),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(AddressError::Brackets { address: text.into() }),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn check_host(host: &str) -> Result<(), AddressError> {
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    if host.starts_with('[') {
        // The standard library's own reading, so that what passes here can be resolved later; it knows scopes as numbers.
        return match format!("{host}:0").parse::<SocketAddrV6>() {
            Ok(_) => Ok(()),
            Err(_) => Err(AddressError::Ipv6 { address: host.into() }),
        };
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !host.chars().all(allowed) || host.starts_with(['-', '.']) {
        return Err(AddressError::Host { host: host.into() });
    }
    Ok(())
}

fn parse_port(text: &str, min: u16) -> Result<u16, AddressError> {
    let wrong = || AddressError::Port { port: text.into(), min };
    // parse() would take a leading plus sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    match text.parse::<u16>() {
        Ok(port) if port >= min => Ok(port),
        _ => Err(wrong()),
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_port() {
        for (text, expected) in [
            ("n1:7001", "n1:7001"),
            ("n1", "n1:7000"),
            ("10.0.0.1", "10.0.0.1:7000"),
            ("10.0.0.1:65535", "10.0.0.1:65535"),
            ("node_1.example.org:1", "node_1.example.org:1"),
            ("[::1]:7001", "[::1]:7001"),
            ("[fe80::1%3]:7001", "[fe80::1%3]:7001"),
            ("[::1]", "[::1]:7000"),
        ] {
            assert_eq!(HostPort::parse_join(text).unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(HostPort::parse_listen("127.0.0.1:0").unwrap().port(), 0);
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, part) in [
            ("", "no host"),
            (":7000", "no host"),
            ("n1:", "port \"\""),
            ("n1:0", "from 1 to 65535"),
            ("n1:65536", "port \"65536\""),
            ("n1:+5", "port \"+5\""),
            ("n1:http", "port \"http\""),
            ("::1", "write [::1]:7000"),
            ("fe80::1:7000", "brackets"),
            ("[::1", "not an IPv6 address"),
            ("[n1]:7000", "not an IPv6 address"),
            ("[]:7000", "not an IPv6 address"),
            ("[::1]7000", "port \"7000\""),
            ("[fe80::1%eth0]:7000", "not an IPv6 address"),
            ("n 1:7000", "no host name"),
            ("-n1:7000", "no host name"),
            ("ñ:7000", "no host name"),
            ("http://n1", "port \"//n1\""),
        ] {
            let sentence = HostPort::parse_join(text).unwrap_err().to_string();
            assert!(sentence.contains(part), "{text:?}: {sentence}");
        }
        assert_eq!(HostPort::parse_join(&"n".repeat(ADDRESS_BYTES_MAX + 1)), Err(AddressError::TooLong));
        assert!(matches!(HostPort::parse_with_port("n1"), Err(AddressError::NoPort { .. })));
    }
}
