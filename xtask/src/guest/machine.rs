//! One QEMU process: its command line and the channels to what runs in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Image, Options};
use crate::error::{Doing, Error};

pub(super) const QEMU: &str = "qemu-system-x86_64";

/// A running guest. Dropping it ends QEMU.
#[derive(Debug)]
pub(super) struct Machine {
    qemu: Child,
    /// What the guest printed before and beside the command: kernel, set-up.
    pub(super) console_log: PathBuf,
    pub(super) qemu_log: PathBuf,
}

/// The host's ends of the guest's ports.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) control: UnixStream,
    pub(super) out: UnixStream,
    pub(super) err: UnixStream,
}

impl Machine {
    /// Starts guest `node`, with `wire` as its network cable if it has one.
    pub(super) fn start(
        image: &Image,
        options: &Options,
        node: usize,
        wire: Option<OwnedFd>,
        out_dir: &Path,
        run_dir: &Path,
    ) -> Result<(Machine, Ports), Error> {
        let console_log = run_dir.join(format!("node{node}.console"));
        let qemu_log = run_dir.join(format!("node{node}.qemu"));
        let mut qemu = command();
        qemu.args(image.accelerator.arguments());
        qemu.args(["-m", &options.memory.to_string(), "-smp", &options.cpus.to_string()]);
        boot_arguments(&mut qemu, &image.vmlinux, &image.initramfs, "");
        console_arguments(&mut qemu, &console_log);
        share_argument(&mut qemu, "hostroot", Path::new("/"), true);
        share_argument(&mut qemu, "out", out_dir, false);
        qemu.args(["-device", "virtio-serial-pci"]);
        // Kept until QEMU has inherited them.
        let mut inherited = Vec::new();
        let control = port(&mut qemu, "control", &mut inherited)?;
        let out = port(&mut qemu, "out", &mut inherited)?;
        let err = port(&mut qemu, "err", &mut inherited)?;
        match wire {
            Some(end) => network_arguments(&mut qemu, node, end, &mut inherited)?,
            None => {
                qemu.args(["-nic", "none"]);
            }
        }
        let log = File::create(&qemu_log).doing(|| format!("create {}", qemu_log.display()))?;
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let qemu = qemu.spawn().map_err(|source| Error::Spawn { program: QEMU.into(), source })?;
        Ok((Machine { qemu, console_log, qemu_log }, Ports { control, out, err }))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// QEMU with what all guests share. It dies with xtask, however xtask ends.
pub(super) fn command() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", QEMU]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc"]);
    command
}

pub(super) fn boot_arguments(qemu: &mut Command, vmlinux: &Path, initramfs: &Path, extra: &str) {
    qemu.arg("-kernel").arg(vmlinux).arg("-initrd").arg(initramfs);
    // A panic ends QEMU instead of waiting. Messages below warnings would cost emulated time on the serial line.
    qemu.arg("-append").arg(format!("console=ttyS0 panic=-1 loglevel=5 mitigations=off {extra}"));
}

pub(super) fn console_arguments(qemu: &mut Command, log: &Path) {
    qemu.arg("-serial").arg(concat(&["file:".as_ref(), &escaped(log)]));
}

fn share_argument(qemu: &mut Command, tag: &str, path: &Path, read_only: bool) {
    let mode = if read_only { "on" } else { "off" };
    let rest = format!(",mount_tag={tag},security_model=none,multidevs=remap,readonly={mode}");
    qemu.arg("-virtfs").arg(concat(&["local,path=".as_ref(), &escaped(path), rest.as_ref()]));
}

/// A named serial port of the guest, whose other end is returned.
fn port(qemu: &mut Command, name: &str, inherited: &mut Vec<OwnedFd>) -> Result<UnixStream, Error> {
    let (ours, theirs) = UnixStream::pair().doing(|| "create a socket pair".into())?;
    let fd = inheritable(theirs.into(), inherited)?;
    qemu.arg("-chardev").arg(format!("socket,id={name},fd={fd}"));
    qemu.arg("-device").arg(format!("virtserialport,chardev={name},name=scifs.{name}"));
    Ok(ours)
}

fn network_arguments(
    qemu: &mut Command,
    node: usize,
    end: OwnedFd,
    inherited: &mut Vec<OwnedFd>,
) -> Result<(), Error> {
    let fd = inheritable(end, inherited)?;
    qemu.arg("-netdev").arg(format!("stream,id=wire,addr.type=fd,addr.str={fd}"));
    qemu.arg("-device")
        .arg(format!("virtio-net-pci,netdev=wire,mac=52:54:00:05:00:{:02x},romfile=", node + 1));
    Ok(())
}

/// Lets the next child inherit a descriptor and returns its number.
fn inheritable(fd: OwnedFd, inherited: &mut Vec<OwnedFd>) -> Result<i32, Error> {
    rustix::io::fcntl_setfd(fd.as_fd(), rustix::io::FdFlags::empty())
        .doing(|| "hand a socket to QEMU".into())?;
    let number = fd.as_raw_fd();
    inherited.push(fd);
    Ok(number)
}

/// A path as part of a QEMU option, where a comma is written twice.
fn escaped(path: &Path) -> OsString {
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

fn concat(parts: &[&OsStr]) -> OsString {
    parts.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_is_written_twice() {
        assert_eq!(escaped(Path::new("/a,b/c")), OsString::from("/a,,b/c"));
    }
}
