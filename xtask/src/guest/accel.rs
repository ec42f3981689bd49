//! Chooses between KVM and software emulation.
//!
//! A `/dev/kvm` that exists proves nothing: under some hypervisors it opens and the guest then hangs. So the guest's
//! own kernel is booted with it once, against a time limit, and the answer is kept until the machine changes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::machine;
use crate::error::{Doing, Error, output_of};

/// A probe takes 2 s where KVM works.
const PROBE_MAX: Duration = Duration::from_secs(12);
const KVM_DEVICE: &str = "/dev/kvm";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    /// QEMU's arguments for it.
    pub(super) fn arguments(self) -> [&'static str; 4] {
        match self {
            Accelerator::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // Five-level page tables only cost time in emulation.
            Accelerator::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"],
        }
    }
}

/// Returns the accelerator to use, from `dir/accelerator` when this is still the machine that was probed.
pub(crate) fn choose(dir: &Path, vmlinux: &Path, initramfs: &Path) -> Result<Accelerator, Error> {
    let usable = fs::OpenOptions::new().read(true).write(true).open(KVM_DEVICE).is_ok();
    if !usable {
        return Ok(Accelerator::Tcg);
    }
    let file = dir.join("accelerator");
    let machine = machine_key()?;
    let known = fs::read_to_string(&file).unwrap_or_default();
    if let Some(answer) = known.strip_prefix(&machine) {
        return Ok(if answer.trim() == "kvm" { Accelerator::Kvm } else { Accelerator::Tcg });
    }
    eprintln!("guest: trying whether KVM works here ...");
    let works = probe(dir, vmlinux, initramfs)?;
    eprintln!(
        "guest: {}",
        if works { "KVM works" } else { "KVM doesn't work here; using software emulation" }
    );
    let answer = if works { "kvm" } else { "tcg" };
    fs::write(&file, format!("{machine}{answer}\n")).doing(|| format!("write {}", file.display()))?;
    Ok(if works { Accelerator::Kvm } else { Accelerator::Tcg })
}

/// What the answer depends on: the machine's kernel, its processor and QEMU.
fn machine_key() -> Result<String, Error> {
    let kernel = fs::read_to_string("/proc/version").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    let qemu = output_of(Command::new(machine::QEMU).arg("--version"))?;
    let qemu = String::from_utf8_lossy(&qemu.stdout).lines().next().unwrap_or_default().to_owned();
    Ok(format!("{}\n{cpu}\n{qemu}\n", kernel.trim()))
}

fn probe(dir: &Path, vmlinux: &Path, initramfs: &Path) -> Result<bool, Error> {
    let log = dir.join("probe.log");
    let _ = fs::remove_file(&log);
    let mut qemu = machine::command();
    qemu.args(Accelerator::Kvm.arguments());
    machine::boot_arguments(&mut qemu, vmlinux, initramfs, "scifs_probe");
    machine::console_arguments(&mut qemu, &log);
    qemu.args(["-m", "512", "-nic", "none"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = qemu.spawn().map_err(|source| Error::Spawn { program: machine::QEMU.into(), source })?;
    let deadline = Instant::now() + PROBE_MAX;
    loop {
        if let Some(_status) = child.try_wait().doing(|| "wait for QEMU".into())? {
            break;
        }
        if Instant::now() >= deadline {
            child.kill().doing(|| "stop QEMU".into())?;
            child.wait().doing(|| "wait for QEMU".into())?;
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let console = fs::read(&log).unwrap_or_default();
    Ok(String::from_utf8_lossy(&console).contains("scifs-guest: probe passed"))
}
