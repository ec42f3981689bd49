//! Writes the archive format that the kernel unpacks as its first file system.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error};

/// An archive in the format that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Debug, Default)]
pub(super) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    pub(super) fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }

    pub(super) fn character_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, 0o020_600, (major, minor), &[]);
    }

    pub(super) fn symlink(&mut self, name: &str, target: &str) {
        self.entry(name, 0o120_777, (0, 0), target.as_bytes());
    }

    pub(super) fn file(&mut self, name: &str, permissions: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | permissions, (0, 0), content);
    }

    /// Adds everything below `dir`, whose own name in the archive is `prefix`.
    pub(super) fn tree(&mut self, dir: &Path, prefix: &str) -> Result<(), Error> {
        let entries = fs::read_dir(dir).doing(|| format!("list {}", dir.display()))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if path.is_dir() {
                self.directory(&name);
                self.tree(&path, &name)?;
            } else {
                let content = fs::read(&path).doing(|| format!("read {}", path.display()))?;
                self.file(&name, 0o644, &content);
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            major,
            minor,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_layout_the_kernel_expects() {
        let mut cpio = Cpio::default();
        cpio.file("init", 0o755, b"hi");
        let text = String::from_utf8_lossy(&cpio.bytes).into_owned();
        assert!(text.starts_with("07070100000001000081ed"), "{text}");
        assert_eq!(&cpio.bytes[110..115], b"init\0");
        assert_eq!(&cpio.bytes[116..118], b"hi");
        assert_eq!(cpio.bytes.len() % 4, 0);
    }
}
