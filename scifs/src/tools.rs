//! Other programs that are called. mount(8) resets the path and systemd's is short, so the standard folders are looked
//! through first.

use std::path::{Path, PathBuf};

const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where the program is; if it is nowhere, its bare name, so that starting it gives the error.
pub fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&path);
    let candidates = FOLDERS.iter().map(PathBuf::from).chain(own).map(|folder| folder.join(name));
    candidates.into_iter().find(|program| is_program(program)).unwrap_or_else(|| name.into())
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_without_a_path_and_missing_ones_keep_their_name() {
        assert!(find("sh").is_absolute());
        assert_eq!(find("no-such-program-anywhere"), Path::new("no-such-program-anywhere"));
    }
}
