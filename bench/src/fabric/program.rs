//! What is compared with what. A fabric is made here and nowhere else; everything after that is the same for all.

use clap::ValueEnum;
use scios::NodeId;
use scios::auth::Secret;
use scios::verbs::rdma::RdmaFabric;
use scios::verbs::tcp::TcpFabric;
use scios::verbs::{FabricConfig, FabricError};

use super::workload::Workload;
use super::{BenchError, rdma_floor, subject, tcp_floor};
use crate::mode::Mode;

/// Longer than any pause of a measurement: a spinning receiver never blocks.
const SPIN_US: u64 = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    Tcp,
    TcpEncrypted,
    TcpFloor,
    Rdma,
    RdmaFloor,
}

impl Program {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::TcpEncrypted => "tcp-encrypted",
            Self::TcpFloor => "tcp-floor",
            Self::Rdma => "rdma",
            Self::RdmaFloor => "rdma-floor",
        }
    }

    /// The other end: calls `ready` with its address, and ends when that returns.
    pub(super) fn serve(self, mode: Mode, ready: impl FnOnce(&str)) -> Result<(), BenchError> {
        match self {
            Self::TcpFloor => tcp_floor::serve(mode, ready),
            Self::RdmaFloor => rdma_floor::serve(mode, ready),
            Self::Rdma => subject::serve(RdmaFabric::new(config(mode, false)?)?, ready),
            Self::Tcp => subject::serve(TcpFabric::new(config(mode, false)?)?, ready),
            Self::TcpEncrypted => subject::serve(TcpFabric::new(config(mode, true)?)?, ready),
        }
    }

    /// Measures: nanoseconds of a round trip (the median) or of a byte.
    pub(super) fn drive(
        self,
        address: &str,
        mode: Mode,
        workload: Workload,
        repeats: usize,
    ) -> Result<f64, BenchError> {
        match self {
            Self::TcpFloor => tcp_floor::drive(address, mode, workload, repeats),
            Self::RdmaFloor => rdma_floor::drive(address, mode, workload, repeats),
            Self::Rdma => subject::drive(RdmaFabric::new(config(mode, false)?)?, address, workload, repeats),
            Self::Tcp => subject::drive(TcpFabric::new(config(mode, false)?)?, address, workload, repeats),
            Self::TcpEncrypted => {
                subject::drive(TcpFabric::new(config(mode, true)?)?, address, workload, repeats)
            }
        }
    }
}

fn config(mode: Mode, encrypted: bool) -> Result<FabricConfig, FabricError> {
    let id =
        NodeId::random().map_err(|source| FabricError::System { operation: "drawing a node id", source })?;
    let mut config = FabricConfig::new(id);
    config.spin_us = match mode {
        Mode::Spinning => SPIN_US,
        Mode::Blocking => 0,
    };
    config.secret = encrypted.then(|| Secret::from_bytes(b"only for this comparison"));
    Ok(config)
}
