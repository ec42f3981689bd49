//! Debian's stock kernel, under `target/guest/kernel`: its package and the `vmlinux` out of it.
//!
//! The package is fetched with `apt-get download`, which needs no root and installs nothing. Which one is asked of
//! apt (what `linux-image-amd64` depends on), because Debian replaces old versions on its servers. Once fetched it
//! is kept: remove `target/guest/kernel` to get a newer one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Doing, Error, output_of};
use crate::setup;

/// The generic kernel; the cloud kernel of Debian has no rdma_rxe.
const META_PACKAGE: &str = "linux-image-amd64";
const PACKAGE_FILE: &str = "package.deb";

/// A kernel ready to boot.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// `uname -r` of this kernel.
    pub(crate) release: String,
    /// Booted by PVH, which saves the seconds that emulated decompression takes.
    pub(crate) vmlinux: PathBuf,
    package: PathBuf,
}

/// Returns the kernel in `dir`, fetching it when it is not there yet.
pub(crate) fn ensure(dir: &Path) -> Result<Kernel, Error> {
    let release_file = dir.join("release");
    if !release_file.exists() {
        fetch(dir)?;
    }
    let release = fs::read_to_string(&release_file).doing(|| format!("read {}", release_file.display()))?;
    Ok(Kernel { release, vmlinux: dir.join("vmlinux"), package: dir.join(PACKAGE_FILE) })
}

impl Kernel {
    /// Unpacks all modules into `root/lib/modules/RELEASE`, with the lists that modprobe reads. They are not kept
    /// unpacked, for they are five times the size of the package.
    pub(crate) fn unpack_modules(&self, root: &Path) -> Result<(), Error> {
        let unpacked = root.with_extension("package");
        extract(&self.package, &unpacked)?;
        let (modules, release) = find_modules(&unpacked)?;
        let place = root.join("lib/modules");
        fs::create_dir_all(&place).doing(|| format!("create {}", place.display()))?;
        fs::rename(&modules, place.join(release)).doing(|| "move the kernel's modules".into())?;
        remove_dir(&unpacked)?;
        output_of(Command::new(super::tool("depmod")).arg("-b").arg(root).arg(&self.release)).map(drop)
    }
}

/// Builds the folder beside its final place and renames it, so that a broken download is never taken for a kernel.
fn fetch(dir: &Path) -> Result<(), Error> {
    let name = package_name()?;
    let work = dir.with_extension("partial");
    remove_dir(&work)?;
    remove_dir(dir)?;
    fs::create_dir_all(&work).doing(|| format!("create {}", work.display()))?;
    eprintln!("guest: fetching {name} from Debian ...");
    let package = work.join(PACKAGE_FILE);
    let downloaded = download(&name, &work)?;
    fs::rename(&downloaded, &package).doing(|| format!("rename {}", downloaded.display()))?;
    eprintln!("guest: unpacking the kernel ...");
    let unpacked = work.join("unpacked");
    extract(&package, &unpacked)?;
    let (_, release) = find_modules(&unpacked)?;
    unpack_image(&unpacked.join("boot").join(format!("vmlinuz-{release}")), &work.join("vmlinux"))?;
    remove_dir(&unpacked)?;
    fs::write(work.join("release"), &release).doing(|| "write the kernel's release".into())?;
    fs::rename(&work, dir).doing(|| format!("move the kernel to {}", dir.display()))
}

fn extract(package: &Path, into: &Path) -> Result<(), Error> {
    remove_dir(into)?;
    output_of(Command::new("dpkg-deb").arg("--extract").arg(package).arg(into)).map(drop)
}

/// Asks apt which package the meta package stands for at present.
fn package_name() -> Result<String, Error> {
    if let Some(name) = ask_apt()? {
        return Ok(name);
    }
    if setup::is_root() {
        eprintln!("guest: refreshing the package lists (apt-get update) ...");
        setup::apt_update()?;
        if let Some(name) = ask_apt()? {
            return Ok(name);
        }
    }
    Err(Error::KernelPackage(format!(
        "apt does not know the package {META_PACKAGE}, whose kernel the guest boots; run `apt-get update` as root, \
         and check that /etc/apt/sources.list names a Debian archive"
    )))
}

fn ask_apt() -> Result<Option<String>, Error> {
    let answer = Command::new("apt-cache")
        .args(["depends", "--important", META_PACKAGE])
        .output()
        .map_err(|source| Error::Spawn { program: "apt-cache".into(), source })?;
    Ok(parse_depends(&String::from_utf8_lossy(&answer.stdout)))
}

/// Finds the image among the lines that `apt-cache depends` prints.
fn parse_depends(text: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
}

fn download(package: &str, into: &Path) -> Result<PathBuf, Error> {
    let attempt = || output_of(Command::new("apt-get").args(["download", package]).current_dir(into));
    if let Err(error) = attempt() {
        if !setup::is_root() {
            return Err(error);
        }
        // Lists that are a few weeks old name a version that the archive no longer has.
        setup::apt_update()?;
        attempt()?;
    }
    let entries = fs::read_dir(into).doing(|| format!("list {}", into.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .ok_or_else(|| Error::KernelPackage(format!("`apt-get download {package}` left no .deb file")))
}

/// The modules' folder and the release it is named after. Debian 13 moved /lib to /usr/lib.
fn find_modules(unpacked: &Path) -> Result<(PathBuf, String), Error> {
    for place in ["lib/modules", "usr/lib/modules"] {
        let Ok(mut entries) = fs::read_dir(unpacked.join(place)) else { continue };
        if let Some(Ok(entry)) = entries.next() {
            return Ok((entry.path(), entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Err(Error::KernelPackage("the kernel's package has no folder lib/modules/RELEASE".into()))
}

/// Takes the ELF image out of a bzImage. The offsets are those of the x86 boot protocol (Documentation/arch/x86/boot.rst).
fn unpack_image(image: &Path, vmlinux: &Path) -> Result<(), Error> {
    let bytes = fs::read(image).doing(|| format!("read {}", image.display()))?;
    let bad = |why: &str| Error::KernelImage { path: image.to_path_buf(), why: why.into() };
    let payload = payload_of(&bytes).ok_or_else(|| bad("its header names no payload"))?;
    let tool = match payload {
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0x1f, 0x8b, ..] => "gzip",
        _ => return Err(bad("its compression is neither xz, zstd nor gzip")),
    };
    let packed = vmlinux.with_extension("packed");
    fs::write(&packed, payload).doing(|| format!("write {}", packed.display()))?;
    let input = fs::File::open(&packed).doing(|| format!("open {}", packed.display()))?;
    let output = fs::File::create(vmlinux).doing(|| format!("create {}", vmlinux.display()))?;
    let status = Command::new(tool)
        .args(["-d", "-c", "-q"])
        .stdin(input)
        .stdout(output)
        .status()
        .map_err(|source| Error::Spawn { program: tool.into(), source })?;
    fs::remove_file(&packed).doing(|| format!("remove {}", packed.display()))?;
    if status.success() { Ok(()) } else { Err(bad(&format!("{tool} ended with {status}"))) }
}

fn payload_of(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    let setup_sectors = usize::from(*image.get(0x1f1)?);
    let start = (setup_sectors + 1) * 512 + word(0x248)?;
    let payload = image.get(start..start.checked_add(word(0x24c)?)?)?;
    // The build appends the unpacked size to every format but gzip, which carries it itself.
    let tail = if payload.starts_with(&[0x1f, 0x8b]) { 0 } else { 4 };
    payload.get(..payload.len().checked_sub(tail)?)
}

pub(super) fn remove_dir(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_found_among_the_dependencies() {
        let text = "linux-image-amd64\n  Depends: linux-base\n  Depends: linux-image-6.1.0-9-amd64\n";
        assert_eq!(parse_depends(text).as_deref(), Some("linux-image-6.1.0-9-amd64"));
        assert_eq!(parse_depends("W: Unable to locate package\n"), None);
    }

    #[test]
    fn a_truncated_image_has_no_payload() {
        assert_eq!(payload_of(&[0; 100]), None);
        let mut image = vec![0; 0x400];
        image[0x24c] = 0xff;
        image[0x24d] = 0xff;
        assert_eq!(payload_of(&image), None);
    }

    #[test]
    fn the_payload_starts_after_the_setup_sectors_and_ends_before_its_size() {
        let mut image = vec![0; 0x400 + 16];
        image[0x1f1] = 1;
        image[0x24c] = 12;
        image[0x400..0x40c].copy_from_slice(b"payloadxSIZE");
        assert_eq!(payload_of(&image), Some(&b"payloadx"[..]));
    }
}
