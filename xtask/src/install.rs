//! `cargo xtask install`: puts the command, what explains it and what starts it into a prefix, or takes them away again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::build_release;
use crate::error::{Doing, Error, output_of};
use crate::paths;

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
const FILES: [(&str, Origin); 7] = [
    ("bin/scifs", Origin::Program),
    ("share/man/man8/scifs.8", Origin::Said(&["manual"])),
    ("share/bash-completion/completions/scifs", Origin::Said(&["completions", "bash"])),
    ("share/zsh/site-functions/_scifs", Origin::Said(&["completions", "zsh"])),
    ("share/fish/vendor_completions.d/scifs.fish", Origin::Said(&["completions", "fish"])),
    ("lib/systemd/system/scifs@.service", Origin::Unit("scifs@.service")),
    ("lib/systemd/system/scifs-node.service", Origin::Unit("scifs-node.service")),
];

enum Origin {
    /// The release binary.
    Program,
    /// What it prints.
    Said(&'static [&'static str]),
    /// A template in `packaging/`.
    Unit(&'static str),
}

pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    let prefix = std::path::absolute(&options.prefix).doing(|| "find the prefix".into())?;
    if options.remove {
        return remove(&prefix);
    }
    println!("Building scifs (the first time, this takes some minutes) ...");
    build_release(&["scifs"])?;
    for (name, origin) in &FILES {
        let path = prefix.join(name);
        put(
            &path,
            &content(origin, &prefix)?,
            if matches!(origin, Origin::Program) { 0o755 } else { 0o644 },
        )?;
        println!("  {}", path.display());
    }
    println!("Try: mount -t fuse scifs /mnt && scifs status /mnt; man scifs");
    Ok(0)
}

fn content(origin: &Origin, prefix: &Path) -> Result<Vec<u8>, Error> {
    let program = paths::target().join("release/scifs");
    match origin {
        Origin::Program => fs::read(&program).doing(|| format!("read {}", program.display())),
        Origin::Said(arguments) => Ok(output_of(Command::new(&program).args(*arguments))?.stdout),
        Origin::Unit(name) => {
            let path = paths::workspace().join("packaging").join(name);
            let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
            Ok(text.replace("@PREFIX@", &prefix.to_string_lossy()).into_bytes())
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
    fn a_unit_has_the_prefix_and_nothing_is_left_to_fill_in() {
        for (_, origin) in FILES.iter().filter(|(_, origin)| matches!(origin, Origin::Unit(_))) {
            let text = String::from_utf8(content(origin, Path::new("/opt/x")).unwrap()).unwrap();
            assert!(text.contains("ExecStart=/opt/x/bin/scifs ") && !text.contains("@PREFIX@"), "{text}");
        }
    }
}
