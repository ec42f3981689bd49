//! `scifs [SOURCE] MOUNTPOINT`: mounts, as a person or as mount(8) asks for it.
//!
//! In the background the command is two processes: this one checks what it was given, starts the other one, and waits until
//! that one serves (exit code 0) or has said why it can't. The other one is the daemon; see [`daemon`].

mod daemon;
mod guard;
mod point;
mod serve;

use std::path::{Path, PathBuf};

use super::serving::node_config;
use super::{CliError, command_names};
use crate::fuse::kernel::MountSetting;
use crate::mount::MountConfig;
use crate::options::{Access, HostPort, Options};

pub(super) use guard::{GuardArgs, run as guard};
pub(super) use point::PointError;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A member to join (HOST[:PORT]; scifs or none: nobody), and the folder to mount on
    #[arg(value_names = ["SOURCE", "MOUNTPOINT"], num_args = 1..=2)]
    places: Vec<String>,
    /// Options, separated by commas; may be given several times
    #[arg(short, value_name = "OPTIONS")]
    options: Vec<String>,
    /// Stay in the foreground and log to stderr
    #[arg(short)]
    foreground: bool,
    /// Log everything; stays in the foreground too
    #[arg(short)]
    debug: bool,
    /// Be the background process of another scifs
    #[arg(long, hide = true)]
    daemon: bool,
}

/// Everything that was asked for, checked as far as that is possible before anything begins.
struct Plan {
    mount: MountConfig,
    metrics: Option<HostPort>,
    auto_unmount: bool,
}

pub(super) fn run(args: Args) -> Result<(), CliError> {
    let (source, mountpoint) = places(&args.places)?;
    if args.daemon {
        return daemon::be(|| plan(source, mountpoint, &args.options));
    }
    let plan = plan(source, mountpoint, &args.options)?;
    if args.foreground || args.debug {
        scios::logging::init(args.debug)?;
        return serve::run(plan, |line| {
            super::print(&format!("scifs: {line}"));
            Ok(())
        });
    }
    daemon::start(&plan.mount.mountpoint)
}

fn places(places: &[String]) -> Result<(Option<&str>, &Path), CliError> {
    match places {
        [mountpoint] => Ok((None, Path::new(mountpoint))),
        [source, mountpoint] => Ok((Some(source), Path::new(mountpoint))),
        _ => Err(PointError::None.into()),
    }
}

fn plan(source: Option<&str>, mountpoint: &Path, lists: &[String]) -> Result<Plan, CliError> {
    let mountpoint = point::check(mountpoint).map_err(|error| meant(error, source, mountpoint))?;
    let options = Options::load(lists, source)?;
    let mount = &options.mount;
    let shown = source.filter(|source| !source.is_empty()).unwrap_or("scifs");
    let setting = MountSetting {
        source: mount.fsname.clone().unwrap_or_else(|| shown.to_owned()),
        read_only: mount.read_only,
        nosuid: !mount.suid,
        nodev: !mount.dev,
        noexec: !mount.exec,
        noatime: !mount.atime,
        allow_other: mount.access == Access::Everybody,
        default_permissions: true,
    };
    Ok(Plan {
        mount: MountConfig {
            node: node_config(&options)?,
            mountpoint,
            setting,
            workers: 0,
            consistency: options.consistency,
        },
        auto_unmount: mount.auto_unmount,
        metrics: options.metrics,
    })
}

/// A mistyped command looks like a mount on a folder that isn't there.
fn meant(error: PointError, source: Option<&str>, mountpoint: &Path) -> PointError {
    let PointError::Missing { path, source: cause } = error else { return error };
    let first = source.map_or_else(|| mountpoint.to_string_lossy().into_owned(), str::to_owned);
    let near = command_names().into_iter().find(|name| strsim::damerau_levenshtein(name, &first) <= 2);
    match near {
        Some(command) => PointError::Command { first, command },
        None => PointError::Missing { path, source: cause },
    }
}

/// This program, for starting it again. Deleted or replaced since, it is still there under its number.
fn this_program() -> PathBuf {
    std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or_else(|| "/proc/self/exe".into())
}
