//! Where things are: the source tree and the folder that everything is built in.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the source tree that this binary was built from.
pub(crate) fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// The folder of everything that belongs to the guest: kernel, initramfs, results of probes, logs.
pub(crate) fn guest() -> PathBuf {
    target().join("guest")
}
