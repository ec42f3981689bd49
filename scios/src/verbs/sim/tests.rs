//! What only the simulator has: repeatability, faults, clocks. The promises of every fabric are tested by the
//! conformance suite.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{SimConfig, SimFabric, SimNet};
use crate::verbs::{DownReason, Event, Fabric, FabricConfig, Handler};
use crate::{Nanos, NodeId};

/// Keeps what it is told as text, and answers messages that end in `?` with the rest.
struct Log {
    fabric: Arc<SimFabric>,
    lines: Mutex<Vec<String>>,
}

impl Handler for Log {
    fn on_event(&self, event: Event<'_>) {
        let line = match &event {
            Event::Tick { .. } => return,
            Event::Message { peer, bytes } => {
                if let Some((b'?', rest)) = bytes.split_last() {
                    self.fabric.send(*peer, rest, &[]).unwrap();
                }
                String::from_utf8_lossy(bytes).into_owned()
            }
            Event::Up { peer, .. } => format!("up {}", peer.get()),
            Event::Down { reason, .. } => format!("down {reason}"),
            other => format!("{other:?}"),
        };
        self.lines.lock().push(line);
    }
}

impl Log {
    fn has(&self, line: &str) -> bool {
        self.lines.lock().iter().any(|l| l == line)
    }
}

fn id(n: u64) -> NodeId {
    NodeId::new(n).unwrap()
}

fn started(fabric: Arc<SimFabric>) -> Arc<Log> {
    let log = Arc::new(Log { fabric: Arc::clone(&fabric), lines: Mutex::default() });
    fabric.start(log.clone()).unwrap();
    log
}

fn nodes(net: &SimNet, count: u64) -> Vec<Arc<Log>> {
    (1..=count).map(|n| started(net.add_node(FabricConfig::new(id(n))))).collect()
}

fn pair(config: SimConfig) -> (SimNet, Arc<Log>, Arc<Log>) {
    let net = SimNet::new(1, config);
    let logs = nodes(&net, 2);
    let [a, b] = &logs[..] else { unreachable!() };
    a.fabric.connect(&b.fabric.address()).unwrap();
    assert!(net.run_until(Nanos::from_millis(1_000), |_| a.has("up 2") && b.has("up 1")));
    (net, Arc::clone(a), Arc::clone(b))
}

fn within(net: &SimNet, ms: u64, done: impl Fn() -> bool) -> bool {
    net.run_until(net.now() + Duration::from_millis(ms), |_| done())
}

/// A little of everything; returns what the nodes saw and the digest.
fn busy_run(seed: u64) -> (Vec<Vec<String>>, u64) {
    let net = SimNet::new(seed, SimConfig::rough());
    let mut logs = nodes(&net, 5);
    for a in &logs {
        for b in &logs {
            a.fabric.connect(&b.fabric.address()).unwrap();
        }
    }
    net.run_for(Duration::from_secs(1));
    for round in 0..20 {
        for log in &logs {
            for peer in 1..=5 {
                let _ = log.fabric.send(id(peer), format!("round {round}?").as_bytes(), &[]);
            }
        }
        match round {
            3 => net.partition(&[id(1), id(2)], &[id(3), id(4), id(5)]),
            6 => net.heal(),
            8 => net.pause(id(3)),
            10 => net.resume(id(3)),
            12 => logs.push(started(net.restart(id(4), FabricConfig::new(id(6))))),
            _ => {}
        }
        net.run_for(Duration::from_millis(100));
    }
    let seen = logs.iter().map(|log| log.lines.lock().clone()).collect();
    (seen, net.trace_digest())
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_byte() {
    let (seen, digest) = busy_run(7);
    assert_eq!((seen, digest), busy_run(7));
    assert_ne!(digest, busy_run(8).1);
}

#[test]
fn a_partition_delays_messages_and_one_that_lasts_ends_the_connection() {
    let (net, a, b) = pair(SimConfig::default());
    net.partition(&[id(1)], &[id(2)]);
    a.fabric.send(id(2), b"late", &[]).unwrap();
    net.run_for(Duration::from_millis(1_000));
    assert!(!b.has("late"));
    net.heal();
    assert!(within(&net, 100, || b.has("late")));
    net.partition(&[id(1)], &[id(2)]);
    net.run_for(Duration::from_millis(2_100));
    assert!(a.has("down nothing heard for 2000 ms") && b.has("down nothing heard for 2000 ms"));
}

#[test]
fn a_one_way_partition_is_noticed_by_the_deaf_side_which_hangs_up_on_the_other() {
    let (net, a, b) = pair(SimConfig::default());
    net.partition_one_way(&[id(1)], &[id(2)]);
    b.fabric.send(id(1), b"still heard", &[]).unwrap();
    assert!(within(&net, 100, || a.has("still heard")));
    assert!(within(&net, 2_100, || b.has("down nothing heard for 2000 ms")));
    assert!(within(&net, 100, || a.has("down connection lost: closed by a peer that heard nothing")));
}

#[test]
fn a_vanished_machine_is_noticed_by_its_silence_and_a_dead_process_by_its_reset() {
    for (crash_resets, after_ms) in [(true, 10), (false, 2_100)] {
        let (net, a, _) = pair(SimConfig { crash_resets, ..SimConfig::default() });
        net.crash(id(2));
        let down = || a.lines.lock().iter().any(|line| line.starts_with("down"));
        assert!(within(&net, after_ms, down));
        assert!(crash_resets || net.now() > Nanos::from_millis(1_700));
    }
}

#[test]
fn a_paused_node_goes_on_where_it_stopped_if_nobody_gave_it_up() {
    let (net, a, b) = pair(SimConfig::default());
    net.pause(id(2));
    a.fabric.send(id(2), b"hello?", &[]).unwrap();
    net.run_for(Duration::from_millis(1_500));
    assert!(!b.has("hello?"));
    net.resume(id(2));
    assert!(within(&net, 100, || a.has("hello")));
    net.run_for(Duration::from_secs(10));
    assert!(!a.lines.lock().iter().any(|line| line.starts_with("down")));
}

#[test]
fn a_node_paused_for_too_long_finds_itself_given_up() {
    let (net, a, b) = pair(SimConfig::default());
    net.pause(id(2));
    assert!(within(&net, 2_100, || a.has("down nothing heard for 2000 ms")));
    net.run_for(Duration::from_secs(5));
    net.resume(id(2));
    assert!(within(&net, 100, || b.lines.lock().iter().any(|line| line.starts_with("down"))));
}

#[test]
fn a_restarted_node_is_found_at_the_old_address_with_its_new_name() {
    let (net, a, b) = pair(SimConfig { crash_resets: false, ..SimConfig::default() });
    let again = started(net.restart(id(2), FabricConfig::new(id(3))));
    assert_eq!(again.fabric.address(), b.fabric.address());
    assert!(within(&net, 100, || a.lines.lock().iter().any(|line| line.starts_with("down"))));
    a.fabric.connect(&b.fabric.address()).unwrap();
    assert!(within(&net, 100, || a.has("up 3") && again.has("up 1")));
    assert!(b.fabric.connect(&a.fabric.address()).is_err(), "the old one is dead");
}

#[test]
fn clocks_drift_and_jump_apart() {
    let (net, a, b) = pair(SimConfig::default());
    net.set_drift(id(2), 1_000);
    let (a0, b0) = (a.fabric.now(), b.fabric.now());
    net.run_for(Duration::from_secs(10));
    assert_eq!(a.fabric.now().since(a0), Duration::from_secs(10));
    assert_eq!(b.fabric.now().since(b0), Duration::from_millis(10_010));
    net.jump_clock(id(1), Duration::from_secs(60));
    assert_eq!(a.fabric.now().since(a0), Duration::from_secs(70));
}

#[test]
fn a_stopped_node_says_goodbye_and_hears_nothing_any_more() {
    let (net, a, b) = pair(SimConfig::default());
    b.fabric.stop();
    assert!(within(&net, 100, || a
        .lines
        .lock()
        .contains(&DownReason::Closed.to_string().replace("closed", "down closed"))));
    assert!(!b.lines.lock().iter().any(|line| line.starts_with("down")));
}
