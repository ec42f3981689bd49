//! Everything that can end a command early, and the exit code that each has.

use std::io;
use std::path::PathBuf;

use super::create::CreateError;
use super::dev::DevError;
use super::exec::ExecError;
use super::mount::PointError;
use super::stat::StatError;
use super::umount::UmountError;
use crate::control::ControlError;
use crate::exit::Exit;
use crate::fuse::kernel::MountError;
use crate::metrics_http::MetricsError;
use crate::mount::MountFailed;
use crate::options::OptionsError;
use scios::auth::SecretError;
use scios::logging::LoggingError;
use scios::node::NodeError;
use scios::verbs::FabricError;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Point(#[from] PointError),
    #[error(transparent)]
    Mount(#[from] MountFailed),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Umount(#[from] UmountError),
    #[error(transparent)]
    Stat(#[from] StatError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error("cannot stand in for the daemon: {0}")]
    Keeper(io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    #[error("cannot start the background process {program}: {source}")]
    Background { program: PathBuf, source: io::Error },
    /// The background process has said why it could not mount; its sentence and its code are passed on.
    #[error("{sentence}")]
    Reported { sentence: String, exit: Exit },
    #[error("the background process ended before the mount served ({0}); see what it says with: scifs -f")]
    Died(String),
    #[error("whoever started this mount is gone, so it was ended")]
    Abandoned,
    #[error("cannot leave the folder where it was started: {0}")]
    Detach(io::Error),
    #[error("cannot read the table of mounts: {0}; is /proc mounted?")]
    Table(io::Error),
    #[error("{0}")]
    WhichNode(String),
    #[error("the node says: {0}")]
    Refused(String),
    #[error("nobody could be told in time that this node leaves; the others will declare it dead")]
    NotOrderly,
}

impl CliError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Options(error) => error.exit(),
            Self::Secret(_) | Self::WhichNode(_) => Exit::Usage,
            Self::Node(error) => node_exit(error),
            Self::Point(error) => error.exit(),
            Self::Mount(error) => mount_exit(error),
            Self::Umount(error) => error.exit(),
            Self::Stat(error) => error.exit(),
            Self::Create(error) => error.exit(),
            Self::Exec(error) => error.exit(),
            Self::Dev(error) => error.exit(),
            Self::Reported { exit, .. } => *exit,
            Self::Died(_) => Exit::Internal,
            Self::Control(ControlError::NoNode { .. } | ControlError::Answer { .. })
            | Self::Refused(_)
            | Self::Abandoned
            | Self::NotOrderly => Exit::Failed,
            Self::Control(ControlError::NameTaken { .. }) => Exit::Usage,
            Self::Control(_)
            | Self::Metrics(_)
            | Self::Logging(_)
            | Self::Background { .. }
            | Self::Detach(_)
            | Self::Table(_)
            | Self::Keeper(_)
            | Self::Signals(_) => Exit::System,
        }
    }
}

fn node_exit(error: &NodeError) -> Exit {
    match error {
        NodeError::Name { .. }
        | NodeError::Fabric(FabricError::Address { .. } | FabricError::SecretNeeded { .. }) => Exit::Usage,
        NodeError::Join(_) | NodeError::Ended(_) => Exit::Failed,
        _ => Exit::System,
    }
}

fn mount_exit(error: &MountFailed) -> Exit {
    match error {
        MountFailed::Node(error) => node_exit(error),
        MountFailed::Lazy
        | MountFailed::Mount(MountError::MountPoint { .. } | MountError::NotAFolder { .. }) => Exit::Usage,
        MountFailed::Mount(
            MountError::Refused { .. } | MountError::HelperRefused { .. } | MountError::Unmount { .. },
        ) => Exit::Failed,
        _ => Exit::System,
    }
}
