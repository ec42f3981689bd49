//! What a case needs from the fabric under test, beside the fabric itself.

use std::fmt;
use std::sync::Arc;

use scios::NodeId;
use scios::verbs::{Fabric, FabricConfig, FabricError};

use super::recorder::Recorder;
use super::signal::Signal;

/// One of the fabrics, with the means to wait and to do harm.
pub trait World {
    /// A fabric that isn't started.
    fn fabric(&self, config: FabricConfig) -> Result<Arc<dyn Fabric>, FabricError>;

    /// The configuration of a usual node in this world.
    fn config(&self, id: NodeId) -> FabricConfig {
        FabricConfig::new(id)
    }

    /// Waits until `done`, or for as long as the slowest machine may need. What recorders of `signal` are told may
    /// change the answer; nothing else does.
    fn wait(&self, signal: &Signal, done: &mut dyn FnMut() -> bool) -> bool;

    /// Keeps a node's handler from taking anything until `release`.
    fn hold(&self, id: NodeId, recorder: &Recorder);
    fn release(&self, id: NodeId, recorder: &Recorder);

    /// A node with the manners of [`super::peer`], in a process of its own where there are processes.
    fn process(&self, config: FabricConfig) -> Box<dyn Process>;

    /// Where something listens that answers, and isn't SciFS.
    fn stranger(&self) -> Place;

    /// Where something listens that never answers.
    fn mute(&self) -> Place;

    /// Where nobody listens, and nobody will as long as the place is kept.
    fn nobody(&self) -> Place;

    /// Whether a node's address takes a TCP connection, and with it any bytes.
    fn takes_raw_bytes(&self) -> bool;
}

/// A node that can be harmed. Its drop ends it.
pub trait Process {
    fn address(&self) -> String;

    /// As SIGKILL.
    fn kill(&self);

    /// As SIGSTOP and SIGCONT.
    fn freeze(&self);
    fn thaw(&self);
}

/// An address, with what keeps it as it is.
pub struct Place {
    pub address: String,
    pub kept: Box<dyn std::any::Any>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}
