//! `cargo xtask guest -- COMMAND`: a virtual machine with soft-RoCE devices, over the host's own files.
//!
//! Debian's stock kernel boots in QEMU; its root is the host's, read-only under an overlay in memory, so a program
//! built on the host runs there under the same path. Output is live, the exit code is the command's. Everything is
//! built below `target/guest` from Debian packages. Nothing waits without a limit, and a failure prints the
//! console's last lines.

mod accel;
mod console;
mod cpio;
mod initramfs;
mod job;
mod kernel;
mod machine;
mod ports;
mod run_dir;
mod session;
mod stream;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::error::{Doing, Error};
use crate::setup::{self, Capability};

/// What the soft-RoCE devices of a lone guest sit on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wire {
    /// One device, rxe0, on the loopback interface, with eight addresses
    #[default]
    Lo,
    /// Two devices, rxe0 and rxe1, at the ends of a virtual cable that `tc netem` can disturb
    Veth,
    /// No device, and none of the modules loaded
    None,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many guests; two have a wire of their own and both run COMMAND
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) nodes: u8,
    /// What the devices of a lone guest sit on
    #[arg(long, value_enum, default_value_t)]
    pub(crate) wire: Wire,
    /// Stop everything after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    /// Memory of each guest, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..))]
    pub(crate) memory: u32,
    /// Processors of each guest. Emulated ones wake each other slowly, but several let programs spin
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) cpus: u8,
    /// Where COMMAND may leave files for the host, $SCIFS_GUEST_OUT there [default: target/guest/out]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Pass on one more variable; RUST_*, SCIFS_*, PATH and a few others always are
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// `cargo xtask guest`
pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    if options.nodes > 1 && options.wire != Wire::Lo {
        return Err(Error::Usage(
            "two guests have a wire of their own: leave out --wire, or --nodes 2".into(),
        ));
    }
    let image = prepare()?;
    let out = match &options.out {
        Some(dir) => std::path::absolute(dir).doing(|| format!("find {}", dir.display()))?,
        None => crate::paths::guest().join("out"),
    };
    fs::create_dir_all(&out).doing(|| format!("create {}", out.display()))?;
    session::run(&image, options, &out, Duration::from_secs(options.timeout))
}

/// `cargo xtask guest ARGUMENTS`, by this same program. Not by its path: an earlier step may have built it anew, and
/// cargo removes the old file then.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.current_dir(crate::paths::workspace()).arg("guest").args(arguments);
    command
}

/// What every guest boots from.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) vmlinux: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) accelerator: accel::Accelerator,
}

/// Installs, fetches and builds what is missing. One process at a time does that; others wait for it.
fn prepare() -> Result<Image, Error> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Error::Architecture(std::env::consts::ARCH));
    }
    let dir = crate::paths::guest();
    fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
    let lock_path = dir.join("lock");
    let lock = fs::File::create(&lock_path).doing(|| format!("create {}", lock_path.display()))?;
    lock.lock().doing(|| format!("lock {}", lock_path.display()))?;
    setup::ensure(&[Capability::Guest])?;
    let kernel = kernel::ensure(&dir.join("kernel"))?;
    let initramfs = initramfs::ensure(&dir, &kernel)?;
    let accelerator = accel::choose(&dir, &kernel.vmlinux, &initramfs)?;
    Ok(Image { vmlinux: kernel.vmlinux, initramfs, accelerator })
}

/// Programs of /usr/sbin are not in every user's PATH.
fn tool(name: &str) -> PathBuf {
    ["/usr/sbin", "/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}
