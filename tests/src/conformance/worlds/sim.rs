//! The simulator: waiting is stepping, and harm is done by its faults.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use scios::NodeId;
use scios::verbs::sim::{SimConfig, SimFabric, SimNet};
use scios::verbs::{Fabric, FabricConfig, FabricError};

use crate::conformance::peer::Peer;
use crate::conformance::recorder::Recorder;
use crate::conformance::signal::Signal;
use crate::conformance::world::{Place, Process, World};

/// In virtual time, so it costs nothing to be patient.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct SimWorld {
    net: Rc<SimNet>,
    /// For nodes that no case asked for; far from the ids of those.
    extra: Cell<u64>,
}

impl SimWorld {
    pub fn new(seed: u64, config: SimConfig) -> Self {
        Self { net: Rc::new(SimNet::new(seed, config)), extra: Cell::new(u64::MAX) }
    }

    fn extra_node(&self) -> Arc<SimFabric> {
        let id = self.extra.replace(self.extra.get() - 1);
        let fabric = self.net.add_node(FabricConfig::new(NodeId::new(id).expect("far from zero")));
        serve(&fabric);
        fabric
    }
}

fn serve(fabric: &Arc<SimFabric>) {
    let peer = Peer::new(Arc::clone(fabric) as Arc<dyn Fabric>);
    fabric.start(Arc::new(peer)).expect("start");
}

impl World for SimWorld {
    fn fabric(&self, config: FabricConfig) -> Result<Arc<dyn Fabric>, FabricError> {
        Ok(self.net.add_node(config))
    }

    fn wait(&self, _signal: &Signal, done: &mut dyn FnMut() -> bool) -> bool {
        self.net.run_until(self.net.now() + PATIENCE, |_| done())
    }

    fn hold(&self, id: NodeId, _recorder: &Recorder) {
        self.net.pause(id);
    }

    fn release(&self, id: NodeId, _recorder: &Recorder) {
        self.net.resume(id);
    }

    fn process(&self, config: FabricConfig) -> Box<dyn Process> {
        let fabric = self.net.add_node(config);
        serve(&fabric);
        Box::new(SimProcess { net: Rc::clone(&self.net), fabric })
    }

    fn stranger(&self) -> Place {
        Place { address: self.net.add_stranger(), kept: Box::new(()) }
    }

    fn mute(&self) -> Place {
        let fabric = self.extra_node();
        self.net.pause(fabric.id());
        place(&fabric)
    }

    fn nobody(&self) -> Place {
        let fabric = self.extra_node();
        fabric.stop();
        place(&fabric)
    }

    fn takes_raw_bytes(&self) -> bool {
        false
    }
}

fn place(fabric: &Arc<SimFabric>) -> Place {
    Place { address: fabric.address(), kept: Box::new(()) as Box<dyn Any> }
}

struct SimProcess {
    net: Rc<SimNet>,
    fabric: Arc<SimFabric>,
}

impl Process for SimProcess {
    fn address(&self) -> String {
        self.fabric.address()
    }

    fn kill(&self) {
        self.net.crash(self.fabric.id());
    }

    fn freeze(&self) {
        self.net.pause(self.fabric.id());
    }

    fn thaw(&self) {
        self.net.resume(self.fabric.id());
    }
}
