//! The threads that read a guest's ports. Each reports what it sees over one channel and decides nothing.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::thread;

use super::machine::Ports;
use super::stream::{Plain, Prefixed, Sink, copy_until_end};

/// What a port's reader tells.
#[derive(Debug)]
pub(super) enum Event {
    Booted,
    Stage(String),
    Failed(String),
    Exit(u8),
    OutputEnd,
    /// A port closed: QEMU has ended.
    Lost,
}

/// Starts the readers of a guest's three ports.
pub(super) fn read_ports(ports: Ports, node: usize, nodes: u8, end: &str, events: &Sender<(usize, Event)>) {
    let prefix = if nodes > 1 { Some(format!("{node}| ")) } else { None };
    let sender = events.clone();
    thread::spawn(move || read_control(ports.control, node, &sender));
    spawn_copy(ports.out, io::stdout(), prefix.clone(), node, end, events);
    spawn_copy(ports.err, io::stderr(), prefix, node, end, events);
}

/// Turns the control port's lines into events. A send fails only after the run has been decided.
fn read_control(port: UnixStream, node: usize, events: &Sender<(usize, Event)>) {
    for line in BufReader::new(port).lines() {
        let Ok(line) = line else { break };
        let event = match line.split_once(' ') {
            None if line == "booted" => Event::Booted,
            Some(("stage", text)) => Event::Stage(text.into()),
            Some(("exit", code)) => match code.parse() {
                Ok(code) => Event::Exit(code),
                Err(_) => Event::Failed(format!("the guest reported a strange exit code: {code}")),
            },
            Some(("failed", text)) => Event::Failed(text.into()),
            _ => Event::Failed(format!("the guest said something unknown: {line}")),
        };
        let _ = events.send((node, event));
    }
    let _ = events.send((node, Event::Lost));
}

fn spawn_copy<W: Write + Send + 'static>(
    port: UnixStream,
    to: W,
    prefix: Option<String>,
    node: usize,
    end: &str,
    events: &Sender<(usize, Event)>,
) {
    let (end, events) = (end.as_bytes().to_vec(), events.clone());
    thread::spawn(move || {
        let event = match prefix {
            Some(prefix) => copy(port, &end, &mut Prefixed::new(prefix, to)),
            None => copy(port, &end, &mut Plain(to)),
        };
        let _ = events.send((node, event));
    });
}

fn copy(port: UnixStream, end: &[u8], sink: &mut impl Sink) -> Event {
    match copy_until_end(port, end, sink) {
        Ok(true) => Event::OutputEnd,
        Ok(false) => Event::Lost,
        Err(error) => Event::Failed(format!("passing on its output failed: {error}")),
    }
}
