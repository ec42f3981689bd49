//! Where the library is that `scifs exec` loads: beside the binary as cargo leaves it, or where it was installed with the binary.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::ExecError;

const NAME: &str = "libscifs_preload.so";
const VARIABLE: &str = "SCIFS_PRELOAD";

/// From the folder of the binary.
const PLACES: [&str; 5] = [".", "../lib", "../lib/scifs", "../lib64", "../lib/x86_64-linux-gnu"];

pub(super) fn find() -> Result<PathBuf, ExecError> {
    let given = env::var_os(VARIABLE).map(PathBuf::from);
    let places = match given {
        Some(path) => vec![path],
        None => candidates(&env::current_exe().unwrap_or_default()),
    };
    let found = places.iter().find(|path| path.is_file()).and_then(|path| path.canonicalize().ok());
    let path = found.ok_or_else(|| {
        let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
        ExecError::NoLibrary { name: NAME, places: places.join(", ") }
    })?;
    if is_loadable(&path) { Ok(path) } else { Err(ExecError::BadPath { path }) }
}

fn candidates(binary: &Path) -> Vec<PathBuf> {
    let folder = binary.parent().unwrap_or(Path::new("/"));
    PLACES.iter().map(|place| folder.join(place).join(NAME)).collect()
}

/// The loader splits its list at these, and takes a dollar sign for a variable of its own.
fn is_loadable(path: &Path) -> bool {
    !path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b' ' | b':' | b'$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_looked_for_beside_the_binary_and_in_the_libraries_of_its_prefix() {
        let places = candidates(Path::new("/opt/x/bin/scifs"));
        for place in ["/opt/x/bin/./libscifs_preload.so", "/opt/x/bin/../lib/libscifs_preload.so"] {
            assert!(places.iter().any(|path| path.as_os_str() == place), "{places:?}");
        }
        assert!(is_loadable(Path::new("/usr/lib/libscifs_preload.so")));
        assert!(!is_loadable(Path::new("/my files/libscifs_preload.so")));
    }
}
