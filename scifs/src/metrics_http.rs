//! The metrics listener: `GET /metrics` over HTTP/1.1, in Prometheus' text format. It is there when `metrics=` is, and
//! at exactly that address: numbers and the names of members are all that it tells, but it asks nobody who he is.
//!
//! Bounded in everything: connections at a time, bytes of a request, and time, so that no client can hold it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use scios::metrics::Registry;

const CONNECTIONS_MAX: usize = 8;
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// For reading the request and, again, for writing the answer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("cannot offer metrics at {address}: {source}; choose another metrics=HOST:PORT")]
pub struct MetricsError {
    address: String,
    source: io::Error,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    pub fn start(address: &str, registry: &Arc<Registry>) -> Result<Self, MetricsError> {
        let failed = |source| MetricsError { address: address.into(), source };
        let addresses: Vec<_> = address.to_socket_addrs().map_err(failed)?.collect();
        let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, registry) = (Arc::clone(&stopping), Arc::clone(registry));
        let thread = std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || serve(&listener, &stop, &registry))
            .map_err(failed)?;
        Ok(Self { address, stopping, thread: Some(thread) })
    }

    /// Where it listens; the port is the kernel's choice when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // The accept call returns for a connection; without one the thread ends with the process.
        if TcpStream::connect_timeout(&self.address, EXCHANGE_TIMEOUT).is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the metrics thread had panicked");
        }
    }
}

fn serve(listener: &TcpListener, stopping: &AtomicBool, registry: &Arc<Registry>) {
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stopping.load(Ordering::Acquire) {
            return;
        }
        let mut stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, for example; not a reason to spin.
                tracing::warn!(%error, "a connection for metrics was lost");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if busy.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            busy.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (registry, done) = (Arc::clone(registry), Arc::clone(&busy));
        let work = move || {
            if let Err(error) = exchange(&mut stream, &registry) {
                tracing::debug!(%error, "an exchange about metrics ended early");
            }
            // Before the connection closes: who was cut off may come again at once.
            done.fetch_sub(1, Ordering::AcqRel);
            drop(stream);
        };
        if let Err(error) = std::thread::Builder::new().name("metrics-reply".into()).spawn(work) {
            busy.fetch_sub(1, Ordering::AcqRel);
            tracing::warn!(%error, "cannot start a thread for metrics");
        }
    }
}

fn exchange(stream: &mut TcpStream, registry: &Registry) -> io::Result<()> {
    stream.set_write_timeout(Some(EXCHANGE_TIMEOUT))?;
    let head = read_head(stream)?;
    let (status, kind, body) = answer(&head, registry);
    let text_bytes = body.len();
    let with_body = !head.starts_with(b"HEAD ");
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {text_bytes}\r\nConnection: close\r\n\r\n{}",
        if with_body { &body } else { "" },
    )?;
    stream.shutdown(Shutdown::Write)
}

/// The request up to its empty line. A body isn't read: nothing that is answered here has one.
fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + EXCHANGE_TIMEOUT;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(part.get(..count).unwrap_or_default());
        if head.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(head)
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn answer(head: &[u8], registry: &Registry) -> (&'static str, &'static str, String) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if !version.is_some_and(|version| version.starts_with("HTTP/1.")) || words.next().is_some() {
        return ("400 Bad Request", PLAIN, "this speaks HTTP/1.1\n".into());
    }
    let path = target.and_then(|target| target.split('?').next());
    match (method, path) {
        (Some("GET" | "HEAD"), Some("/metrics")) => {
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", registry.snapshot().prometheus())
        }
        (Some("GET" | "HEAD"), _) => ("404 Not Found", PLAIN, "there is only /metrics\n".into()),
        _ => ("405 Method Not Allowed", PLAIN, "there is only GET /metrics\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> MetricsServer {
        let registry = Registry::new();
        registry.counter("scifs_tests_total", "Tests.", &[]).add(7);
        MetricsServer::start("127.0.0.1:0", &registry).unwrap()
    }

    fn ask(server: &MetricsServer, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        // Whoever is cut off while sending sees a reset; what counts is what was answered.
        let _ = stream.write_all(request);
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn metrics_are_given_and_nothing_else() {
        let server = server();
        let text = ask(&server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("scifs_tests_total 7\n"), "{text}");
        let head = ask(&server, b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask(&server, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(&server, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(&server, b"\xff\0 nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn an_endless_request_is_cut_off_and_idle_clients_do_not_keep_others_out() {
        let server = server();
        assert_eq!(ask(&server, &vec![b'x'; 100_000]), "");
        let _idle: Vec<_> =
            (0..CONNECTIONS_MAX - 1).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        assert!(ask(&server, b"GET /metrics HTTP/1.1\r\n\r\n").contains("scifs_tests_total 7\n"));
    }

    #[test]
    fn an_address_in_use_is_named() {
        let server = server();
        let address = server.address().to_string();
        let error = MetricsServer::start(&address, &Registry::new()).unwrap_err().to_string();
        assert!(error.contains(&address) && error.contains("metrics=HOST:PORT"), "{error}");
    }
}
