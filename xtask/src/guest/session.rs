//! One run: starts the guests, passes their output on, and waits for exit codes, for a failure or for the deadline.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::machine::Machine;
use super::ports::{Event, read_ports};
use super::run_dir::RunDir;
use super::{Image, Options, console, job};
use crate::error::{Doing, Error};

/// A guest that has not asked for its script by then won't. Emulation on a busy machine takes 10 s.
const BOOT_MAX: Duration = Duration::from_secs(180);

/// What is known of one guest.
#[derive(Debug)]
struct Guest {
    machine: Machine,
    control: UnixStream,
    stage: String,
    booted: bool,
    streams_open: u8,
    code: Option<u8>,
}

impl Guest {
    fn is_done(&self) -> bool {
        self.code.is_some() && self.streams_open == 0
    }
}

/// Runs the command in all guests; the first exit code that isn't zero is the result.
pub(super) fn run(image: &Image, options: &Options, out: &Path, time_max: Duration) -> Result<u8, Error> {
    let started = Instant::now();
    let run_dir = RunDir::create()?;
    let end = end_marker()?;
    let (events, inbox) = mpsc::channel();
    let mut guests = start(image, options, out, &run_dir.path, &end, &events)?;
    drop(events);
    let outcome = loop {
        if guests.iter().all(Guest::is_done) {
            break Ok(first_failure(&guests));
        }
        let booting = guests.iter().any(|guest| !guest.booted);
        let limit = if booting { time_max.min(BOOT_MAX) } else { time_max };
        let left = limit.saturating_sub(started.elapsed());
        match inbox.recv_timeout(left) {
            Ok((node, event)) => {
                if let Err(error) = handle(&mut guests, node, event, options, out, &end) {
                    break Err(error);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                break Err(timeout(&guests, limit));
            }
        }
    };
    let mut keep_logs = outcome.is_err();
    if outcome.as_ref().is_ok_and(|&code| code != 0) {
        keep_logs |= report_complaints(&guests);
    }
    drop(guests);
    if !keep_logs {
        run_dir.remove()?;
    }
    outcome
}

fn start(
    image: &Image,
    options: &Options,
    out: &Path,
    run_dir: &Path,
    end: &str,
    events: &Sender<(usize, Event)>,
) -> Result<Vec<Guest>, Error> {
    let mut wires = vec![None];
    if options.nodes == 2 {
        let (left, right) = UnixStream::pair().doing(|| "create the wire between the guests".into())?;
        wires = vec![Some(left.into()), Some(right.into())];
    }
    let mut guests = Vec::new();
    for (node, wire) in wires.into_iter().enumerate() {
        let (machine, ports) = Machine::start(image, options, node, wire, out, run_dir)?;
        let control = ports.control.try_clone().doing(|| "share the control port".into())?;
        read_ports(ports, node, options.nodes, end, events);
        guests.push(Guest {
            machine,
            control,
            stage: "booting".into(),
            booted: false,
            streams_open: 2,
            code: None,
        });
    }
    Ok(guests)
}

fn handle(
    guests: &mut [Guest],
    node: usize,
    event: Event,
    options: &Options,
    out: &Path,
    end: &str,
) -> Result<(), Error> {
    let Some(guest) = guests.get_mut(node) else { return Ok(()) };
    match event {
        Event::Booted => {
            guest.booted = true;
            let script = job::script(options, node, out, end)?;
            let message = [format!("{}\n", script.len()).as_bytes(), &script].concat();
            guest.control.write_all(&message).doing(|| "send the command to the guest".into())?;
        }
        Event::Stage(stage) => guest.stage = stage,
        Event::Exit(code) => guest.code = Some(code),
        Event::OutputEnd => guest.streams_open = guest.streams_open.saturating_sub(1),
        Event::Failed(what) => return Err(failure(guest, node, what)),
        Event::Lost if guest.is_done() => {}
        Event::Lost => {
            let what = format!("the machine stopped while {}", guest.stage);
            return Err(failure(guest, node, what));
        }
    }
    Ok(())
}

fn first_failure(guests: &[Guest]) -> u8 {
    guests.iter().filter_map(|guest| guest.code).find(|&code| code != 0).unwrap_or(0)
}

/// A command that failed may have been the victim of its kernel: killed for want of memory, or of a bug in rxe.
fn report_complaints(guests: &[Guest]) -> bool {
    let mut any = false;
    for (node, guest) in guests.iter().enumerate() {
        if let Some(line) = console::complaint(&guest.machine.console_log) {
            eprintln!("guest {node}: its kernel said: {line}");
            eprintln!("guest {node}: the whole console: {}", guest.machine.console_log.display());
            any = true;
        }
    }
    any
}

fn failure(guest: &Guest, node: usize, what: String) -> Error {
    let log = guest.machine.console_log.clone();
    Error::Guest { node, what, tail: console::tail(&guest.machine), log }
}

fn timeout(guests: &[Guest], after: Duration) -> Error {
    let mut during = Vec::new();
    let mut culprit = None;
    for (node, guest) in guests.iter().enumerate().filter(|(_, guest)| !guest.is_done()) {
        during.push(format!("while guest {node} was {}", guest.stage));
        culprit = culprit.or(Some(guest));
    }
    let (log, tail) = match culprit {
        Some(guest) => (guest.machine.console_log.clone(), console::tail(&guest.machine)),
        None => (PathBuf::new(), String::new()),
    };
    Error::Timeout { after, during: during.join(" and "), log, tail }
}

/// Text that no command prints: begins with a control character and has 128 random bits.
fn end_marker() -> Result<String, Error> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .doing(|| "get random bytes".into())?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("\u{1}scifs-guest-end-{digits}\n"))
}
