//! The guest's first file system: busybox, the kernel modules it needs, and `init.sh`.
//!
//! Written as a newc archive by hand, because that needs neither root for its device nodes nor another tool. It is
//! not compressed: emulated decompression costs more than the bytes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cpio::Cpio;
use super::kernel::{Kernel, remove_dir};
use crate::error::{Doing, Error, output_of};

const BUSYBOX: &str = "/bin/busybox";
const INIT: &str = include_str!("init.sh");

/// Loaded by init in this order, with what they depend on.
const LOADED: [&str; 7] =
    ["virtio_pci", "virtio_console", "virtio_net", "9pnet_virtio", "9p", "overlay", "fuse"];

/// There for whoever asks for them in the guest. The first is what rdma_rxe makes the kernel look for.
const AVAILABLE: [&str; 8] =
    ["crc32_generic", "ib_uverbs", "rdma_ucm", "rdma_rxe", "dummy", "veth", "sch_netem", "nbd"];

/// Programs of busybox that init.sh calls by name.
const APPLETS: [&str; 14] = [
    "sh",
    "mount",
    "mkdir",
    "insmod",
    "cat",
    "cp",
    "switch_root",
    "poweroff",
    "ln",
    "head",
    "uname",
    "mkfifo",
    "sync",
    "sleep",
];

/// Returns the initramfs in `dir`, building it again when one of its inputs changed.
pub(crate) fn ensure(dir: &Path, kernel: &Kernel) -> Result<PathBuf, Error> {
    let archive = dir.join("initramfs.cpio");
    let stamp_file = dir.join("initramfs.stamp");
    let stamp = stamp(kernel)?;
    if archive.exists() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(archive);
    }
    let root = dir.join("initramfs.root");
    remove_dir(&root)?;
    eprintln!("guest: building its initramfs ...");
    let modules = dir.join("modules.unpacked");
    remove_dir(&modules)?;
    kernel.unpack_modules(&modules)?;
    let load_order = copy_modules(kernel, &modules, &root)?;
    remove_dir(&modules)?;
    let mut cpio = Cpio::default();
    cpio.directory("dev");
    cpio.character_device("dev/console", 5, 1);
    for name in ["bin", "proc", "sys", "root", "host", "upper"] {
        cpio.directory(name);
    }
    let busybox = fs::read(BUSYBOX).doing(|| format!("read {BUSYBOX} (package busybox-static)"))?;
    cpio.file("bin/busybox", 0o755, &busybox);
    for applet in APPLETS {
        cpio.symlink(&format!("bin/{applet}"), "busybox");
    }
    cpio.file("init", 0o755, INIT.as_bytes());
    cpio.file("modules.load", 0o644, load_order.as_bytes());
    cpio.tree(&root, "")?;
    let partial = archive.with_extension("partial");
    fs::write(&partial, cpio.finish()).doing(|| format!("write {}", partial.display()))?;
    fs::rename(&partial, &archive).doing(|| format!("rename {}", partial.display()))?;
    remove_dir(&root)?;
    fs::write(&stamp_file, stamp).doing(|| format!("write {}", stamp_file.display()))?;
    Ok(archive)
}

/// Everything the archive is made from, as text that changes when one of them does.
fn stamp(kernel: &Kernel) -> Result<String, Error> {
    let busybox = fs::metadata(BUSYBOX).doing(|| format!("look at {BUSYBOX} (package busybox-static)"))?;
    Ok(format!(
        "kernel {}\nbusybox {} {}\nmodules {LOADED:?} {AVAILABLE:?}\napplets {APPLETS:?}\ninit\n{INIT}",
        kernel.release,
        busybox.size(),
        busybox.mtime()
    ))
}

/// Copies the modules and what they depend on, and returns the paths that init loads, one a line.
fn copy_modules(kernel: &Kernel, all: &Path, root: &Path) -> Result<String, Error> {
    let mut load_order: Vec<String> = Vec::new();
    for (index, module) in LOADED.iter().chain(&AVAILABLE).enumerate() {
        for path in with_dependencies(kernel, all, module)? {
            let relative = relative_to(&path, all)?;
            let plain = copy_module(&path, &root.join(&relative))?;
            let name = format!("/{}", relative_to(&plain, root)?.display());
            if index < LOADED.len() && !load_order.contains(&name) {
                load_order.push(name);
            }
        }
    }
    let modules = PathBuf::from("lib/modules").join(&kernel.release);
    for list in ["modules.builtin", "modules.order"] {
        let (from, to) = (all.join(&modules).join(list), root.join(&modules).join(list));
        fs::copy(&from, &to).doing(|| format!("copy {}", from.display()))?;
    }
    output_of(Command::new(super::tool("depmod")).arg("-b").arg(root).arg(&kernel.release))?;
    load_order.push(String::new());
    Ok(load_order.join("\n"))
}

fn relative_to(path: &Path, base: &Path) -> Result<PathBuf, Error> {
    path.strip_prefix(base)
        .map(Path::to_path_buf)
        .map_err(|_| Error::KernelPackage(format!("{} is not below {}", path.display(), base.display())))
}

/// The files of a module and its dependencies, in the order to load them. None for what is built in.
fn with_dependencies(kernel: &Kernel, all: &Path, module: &str) -> Result<Vec<PathBuf>, Error> {
    let listed = output_of(
        Command::new(super::tool("modprobe"))
            .args(["-C", "/dev/null", "--show-depends", "-S", &kernel.release, "-d"])
            .arg(all)
            .arg(module),
    )
    .map_err(|_| {
        Error::KernelPackage(format!(
            "the kernel {} has no module {module}, which the guest needs",
            kernel.release
        ))
    })?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .map(|p| PathBuf::from(p.trim()))
        .collect())
}

/// Copies a module, decompressed, since busybox loads plain files only. Returns where it is.
fn copy_module(from: &Path, to: &Path) -> Result<PathBuf, Error> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).doing(|| format!("create {}", parent.display()))?;
    }
    let tool = match from.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => {
            fs::copy(from, to).doing(|| format!("copy {}", from.display()))?;
            return Ok(to.to_path_buf());
        }
    };
    let plain = to.with_extension("");
    let unpacked = output_of(Command::new(tool).args(["-d", "-c", "-q"]).arg(from))?;
    fs::write(&plain, unpacked.stdout).doing(|| format!("write {}", plain.display()))?;
    Ok(plain)
}
