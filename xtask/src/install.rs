//! `cargo xtask install`: puts the command, its libraries, what explains them and what starts them into a prefix, or takes them away again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::build_release;
use crate::error::{Doing, Error, output_of};
use crate::paths;
use crate::setup::is_root;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to; mount(8) finds the command below /usr/local and /usr only
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
    /// Take away what was installed there
    #[arg(long)]
    remove: bool,
}

/// Below the prefix, and what prints it or where it comes from.
const FILES: [(&str, Origin); 12] = [
    ("bin/scifs", Origin::Built),
    ("lib/libscifs.so", Origin::Built),
    ("lib/libscifs.a", Origin::Built),
    ("lib/libscifs_preload.so", Origin::Built),
    ("include/scifs.h", Origin::Source("client/include/scifs.h")),
    ("lib/pkgconfig/scifs.pc", Origin::Template("scifs.pc")),
    ("share/man/man8/scifs.8", Origin::Said(&["manual"])),
    ("share/bash-completion/completions/scifs", Origin::Said(&["completions", "bash"])),
    ("share/zsh/site-functions/_scifs", Origin::Said(&["completions", "zsh"])),
    ("share/fish/vendor_completions.d/scifs.fish", Origin::Said(&["completions", "fish"])),
    ("lib/systemd/system/scifs@.service", Origin::Template("scifs@.service")),
    ("lib/systemd/system/scifs-node.service", Origin::Template("scifs-node.service")),
];

enum Origin {
    /// By cargo, under the same name in its folder for releases.
    Built,
    /// A file of the source tree as it is.
    Source(&'static str),
    /// What it prints.
    Said(&'static [&'static str]),
    /// A template in `packaging/`.
    Template(&'static str),
}

pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    let prefix = std::path::absolute(&options.prefix).doing(|| "find the prefix".into())?;
    if options.remove {
        return remove(&prefix);
    }
    println!("Building scifs (the first time, this takes some minutes) ...");
    build_release(&["scifs", "scifs-c", "scifs-preload"])?;
    for (name, origin) in &FILES {
        let path = prefix.join(name);
        put(&path, &content(name, origin, &prefix)?, mode(name))?;
        println!("  {}", path.display());
    }
    if prefix.starts_with("/usr") && is_root() {
        // The loader keeps a list of what is where.
        output_of(&mut Command::new("/sbin/ldconfig"))?;
    }
    println!("Try: mount -t fuse scifs /mnt && scifs status /mnt; man scifs");
    Ok(0)
}

fn mode(name: &str) -> u32 {
    if name.starts_with("bin/") || name.ends_with(".so") { 0o755 } else { 0o644 }
}

fn content(name: &str, origin: &Origin, prefix: &Path) -> Result<Vec<u8>, Error> {
    let release = paths::target().join("release");
    let read = |path: PathBuf| fs::read(&path).doing(|| format!("read {}", path.display()));
    match origin {
        Origin::Built => read(release.join(Path::new(name).file_name().unwrap_or_default())),
        Origin::Source(path) => read(paths::workspace().join(path)),
        Origin::Said(arguments) => {
            Ok(output_of(Command::new(release.join("scifs")).args(*arguments))?.stdout)
        }
        Origin::Template(name) => {
            let path = paths::workspace().join("packaging").join(name);
            let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
            let text = text.replace("@PREFIX@", &prefix.to_string_lossy());
            Ok(text.replace("@VERSION@", env!("CARGO_PKG_VERSION")).into_bytes())
        }
    }
}

/// Complete or not at all, also while an older one runs.
fn put(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let doing = || format!("write {} (install as root, or with --prefix)", path.display());
    fs::create_dir_all(folder).doing(doing)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let draft = PathBuf::from(name);
    fs::write(&draft, content).doing(doing)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).doing(doing)?;
    fs::rename(&draft, path).doing(doing)
}

fn remove(prefix: &Path) -> Result<u8, Error> {
    for (name, _) in &FILES {
        let path = prefix.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.doing(|| format!("remove {}", path.display()))?,
        }
    }
    println!("removed from {}", prefix.display());
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_the_prefix_and_nothing_is_left_to_fill_in() {
        for (name, origin) in FILES.iter().filter(|(_, origin)| matches!(origin, Origin::Template(_))) {
            let text = String::from_utf8(content(name, origin, Path::new("/opt/x")).unwrap()).unwrap();
            let expected =
                if name.ends_with(".pc") { "prefix=/opt/x\n" } else { "ExecStart=/opt/x/bin/scifs " };
            assert!(
                text.contains(expected) && !text.contains("@PREFIX@") && !text.contains("@VERSION@"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_header_is_in_the_tree() {
        let header = content("include/scifs.h", &Origin::Source("client/include/scifs.h"), Path::new("/x"));
        assert!(String::from_utf8(header.unwrap()).unwrap().contains("scifs_map"));
    }
}
