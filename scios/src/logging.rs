//! Log lines on stderr, for people and for the journal. Set up once, by the process; libraries only use `tracing`.
//!
//! Levels come from `SCIFS_LOG`, in the form `info` or `warn,scios::verbs=debug`; without it they are `info`, or
//! `debug` with `-d`. Lines tell the peer or segment that they are about when they are written inside of [`peer_span`]
//! or [`segment_span`].

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;

use thiserror::Error;
use tracing::{Level, Metadata, Span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::NodeId;

pub const LOG_VARIABLE: &str = "SCIFS_LOG";

#[derive(Debug, Error)]
pub enum LoggingError {
    #[error(
        "{LOG_VARIABLE}={text:?} is not understood: {source}; write a level (error, warn, info, debug, trace), \
         or for example warn,scios::verbs=debug"
    )]
    Filter { text: String, source: tracing_subscriber::filter::ParseError },
    #[error("logging was set up twice in one process: {0}")]
    Twice(tracing_subscriber::util::TryInitError),
}

/// Begins to log to stderr, in colours when that is a terminal. What can't be written is lost, silently: a daemon
/// outlives the terminal and the pipe that it was started from.
pub fn init(debug: bool) -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let text = std::env::var(LOG_VARIABLE).ok();
    tracing_subscriber::fmt()
        .with_env_filter(filter(debug, text.as_deref())?)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Lossy(io::stderr()))
        // It would report a failed write with eprintln!, which panics when stderr is closed.
        .log_internal_errors(false)
        .finish()
        .try_init()
        .map_err(LoggingError::Twice)
}

/// Begins to log to syslog, through a socket that is connected to it. What it doesn't take at once is lost.
pub fn init_syslog(socket: UnixDatagram) -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt;
    // A syslog that hangs must not hang the node.
    let _ = socket.set_nonblocking(true);
    let text = std::env::var(LOG_VARIABLE).ok();
    tracing_subscriber::fmt()
        .with_env_filter(filter(false, text.as_deref())?)
        .with_ansi(false)
        .without_time()
        .with_level(false)
        .with_writer(Syslog(socket))
        .log_internal_errors(false)
        .finish()
        .try_init()
        .map_err(LoggingError::Twice)
}

/// Makes a datagram of each line, with its priority in front (RFC 3164, as /dev/log has it).
struct Syslog(UnixDatagram);

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = SyslogLine<'a>;

    fn make_writer(&'a self) -> SyslogLine<'a> {
        SyslogLine { socket: &self.0, level: Level::INFO }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> SyslogLine<'a> {
        SyslogLine { socket: &self.0, level: *about.level() }
    }
}

struct SyslogLine<'a> {
    socket: &'a UnixDatagram,
    level: Level,
}

impl Write for SyslogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const DAEMON: u8 = 3 << 3;
        let severity = match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let mut line = format!("<{}>scifs[{}]: ", DAEMON + severity, std::process::id()).into_bytes();
        line.extend_from_slice(bytes.trim_ascii_end());
        let _ = self.socket.send(&line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Log lines inside of it are about that peer. Made once a connection, not once a message. On the level `error`, so that
/// a filter which leaves out lines doesn't leave out what the others are about.
pub fn peer_span(peer: NodeId) -> Span {
    tracing::error_span!("peer", id = %peer)
}

/// Log lines inside of it are about that segment.
pub fn segment_span(segment: impl Display) -> Span {
    tracing::error_span!("segment", id = %segment)
}

fn filter(debug: bool, text: Option<&str>) -> Result<EnvFilter, LoggingError> {
    let default = if debug { "debug" } else { "info" };
    match text.map(str::trim) {
        None | Some("") => Ok(EnvFilter::new(default)),
        Some(text) => EnvFilter::builder()
            .parse(text)
            .map_err(|source| LoggingError::Filter { text: text.into(), source }),
    }
}

/// Takes everything and passes on what it can.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    const CHILD: &str = "SCIFS_TEST_LOGS_TO_A_BROKEN_STDERR";

    #[test]
    fn levels_are_read_from_the_variable_and_mistakes_are_explained() {
        assert_eq!(filter(false, None).unwrap().to_string(), "info");
        assert_eq!(filter(true, Some(" ")).unwrap().to_string(), "debug");
        assert_eq!(filter(true, Some("warn")).unwrap().to_string(), "warn");
        let text = filter(false, Some("warn,scios::verbs=debug")).unwrap().to_string();
        assert!(text.contains("scios::verbs=debug") && text.contains("warn"), "{text}");
        let sentence = filter(false, Some("scios=loud")).unwrap_err().to_string();
        assert!(sentence.contains("SCIFS_LOG=\"scios=loud\"") && sentence.contains("trace"), "{sentence}");
    }

    /// This test starts itself again with a stderr that can't be written: a pipe that nobody reads, and a full device.
    #[test]
    fn a_node_that_cannot_write_to_stderr_goes_on() {
        if std::env::var_os(CHILD).is_some() {
            init(true).unwrap();
            for n in 0..100 {
                let _context = peer_span(NodeId::new(7).unwrap()).entered();
                tracing::error!(n, "nobody reads this");
            }
            return;
        }
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        for stderr in [Stdio::from(writer), Stdio::from(full)] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "logging::tests::a_node_that_cannot_write_to_stderr_goes_on",
                    "--nocapture",
                ])
                .env(CHILD, "1")
                .stdout(Stdio::null())
                .stderr(stderr)
                .status()
                .unwrap();
            assert!(status.success(), "{status}");
        }
    }

    #[test]
    fn a_line_for_syslog_is_one_datagram_with_its_priority() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_level(false)
            .with_writer(Syslog(ours))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(page = 5, "slow");
            tracing::error!("gone");
        });
        for (priority, words) in [("<28>scifs[", "slow page=5"), ("<27>scifs[", "gone")] {
            let mut bytes = [0; 256];
            let length = theirs.recv(&mut bytes).unwrap();
            let line = String::from_utf8_lossy(&bytes[..length]).into_owned();
            assert!(line.starts_with(priority) && line.ends_with(words), "{line}");
        }
    }

    #[test]
    fn lines_tell_peer_and_segment() {
        let (mut reader, writer) = io::pipe().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(false, Some("warn")).unwrap())
            .with_writer(std::sync::Arc::new(writer))
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _peer = peer_span(NodeId::new(0xab).unwrap()).entered();
            let _segment = segment_span("heap").entered();
            tracing::warn!(page = 5, "slow");
            tracing::info!("left out");
        });
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.contains("peer{id=00000000000000ab}:segment{id=heap}"), "{text}");
        assert!(text.contains("slow page=5") && !text.contains("left out"), "{text}");
    }
}
