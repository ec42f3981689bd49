//! Fabrics of real sockets or cards: several nodes in this process, some in processes of their own.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use scios::NodeId;
use scios::auth::Secret;
use scios::verbs::{Fabric, FabricConfig, FabricError};

use super::places;
use super::processes::Child;
use crate::conformance::recorder::Recorder;
use crate::conformance::signal::Signal;
use crate::conformance::world::{Place, Process, World};

/// Only a failing case waits this long. The guest, whose processor is simulated too, is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network below that waits for lost packets is slower still, and silent for longer.
const PATIENCE_ON_A_BAD_WIRE: Duration = Duration::from_secs(150);
const LIVENESS_ON_A_BAD_WIRE_MS: u64 = 30_000;

/// How a node is made, and what the program `peer` is told to make the same.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub make: fn(FabricConfig) -> Result<Arc<dyn Fabric>, FabricError>,
}

/// A fabric by its name on the command line.
pub fn kind(name: &str) -> Option<Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

const KINDS: &[Kind] = &[
    Kind { name: "tcp", make: |config| Ok(scios::verbs::tcp::TcpFabric::new(config)?) },
    Kind { name: "rdma", make: |config| Ok(scios::verbs::rdma::RdmaFabric::new(config)?) },
    // Receivers that never spin work differently: each connection has a thread.
    Kind {
        name: "tcp-blocking",
        make: |config| Ok(scios::verbs::tcp::TcpFabric::new(FabricConfig { spin_us: 0, ..config })?),
    },
];

#[derive(Debug)]
pub struct HostWorld {
    kind: Kind,
    secret: Option<Secret>,
    /// Addresses that nodes take in turn.
    addresses: Vec<String>,
    bad_wire: bool,
    turn: Cell<usize>,
}

impl HostWorld {
    /// All nodes on loopback, with a secret or without.
    pub fn loopback(kind: Kind, secret: Option<&str>) -> Self {
        let secret = secret.map(|text| Secret::from_bytes(text.as_bytes()));
        Self { kind, secret, addresses: vec!["127.0.0.1:0".into()], bad_wire: false, turn: Cell::new(0) }
    }

    /// Nodes at these addresses in turn, with a wire in between that loses packets.
    pub fn on_a_bad_wire(kind: Kind, addresses: &[String]) -> Self {
        let secret = Some(Secret::from_bytes(b"only nodes with one leave loopback"));
        Self { kind, secret, addresses: addresses.to_vec(), bad_wire: true, turn: Cell::new(0) }
    }
}

impl World for HostWorld {
    fn fabric(&self, config: FabricConfig) -> Result<Arc<dyn Fabric>, FabricError> {
        (self.kind.make)(config)
    }

    fn config(&self, id: NodeId) -> FabricConfig {
        let turn = self.turn.replace(self.turn.get() + 1);
        let mut config = FabricConfig::new(id);
        config.secret.clone_from(&self.secret);
        if let Some(address) = turn.checked_rem(self.addresses.len()).and_then(|at| self.addresses.get(at)) {
            config.listen.clone_from(address);
        }
        if self.bad_wire {
            config.liveness_timeout_ms = LIVENESS_ON_A_BAD_WIRE_MS;
        }
        config
    }

    fn wait(&self, signal: &Signal, done: &mut dyn FnMut() -> bool) -> bool {
        signal.wait(if self.bad_wire { PATIENCE_ON_A_BAD_WIRE } else { PATIENCE }, done)
    }

    fn hold(&self, _id: NodeId, recorder: &Recorder) {
        recorder.hold();
    }

    fn release(&self, _id: NodeId, recorder: &Recorder) {
        recorder.release();
    }

    fn process(&self, config: FabricConfig) -> Box<dyn Process> {
        Box::new(Child::start(self.kind.name, &config))
    }

    fn stranger(&self) -> Place {
        places::stranger()
    }

    fn mute(&self) -> Place {
        places::mute()
    }

    fn nobody(&self) -> Place {
        places::nobody()
    }

    fn takes_raw_bytes(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
