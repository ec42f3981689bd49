//! `scifs stat`: what the cluster knows of a file. All of it comes through extended attributes of the mounted file, so it
//! works wherever the file can be reached, in containers too.

use std::fmt::Write;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde_json::{Map, Value, json};

use super::{CliError, print, show};
use crate::control::mounts;
use crate::exit::Exit;

/// Show where a file of a mount lies: address, consistency, home, replicas, pages by state
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StatError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} is not on a SciFS mount")]
    NotOurs { path: PathBuf },
    #[error("{path} has no attribute {name}: {source}")]
    Attribute { path: PathBuf, name: &'static str, source: io::Error },
}

impl StatError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::File { .. } | Self::NotOurs { .. } => Exit::Usage,
            Self::Attribute { .. } => Exit::Failed,
        }
    }
}

/// The attributes, and what they are called here.
const ATTRIBUTES: [(&str, &str); 5] = [
    ("address", "user.scifs.address"),
    ("consistency", "user.scifs.consistency"),
    ("home", "user.scifs.home"),
    ("replicas", "user.scifs.replicas"),
    ("stats", "user.scifs.stats"),
];

/// The longest value that is read; the attributes above are all far shorter.
const VALUE_BYTES_MAX: usize = 64 * 1024;

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let about = gather(&args.file)?;
    print(&if args.json { format!("{about:#}") } else { table(&about) });
    Ok(())
}

fn gather(path: &Path) -> Result<Value, StatError> {
    let file = |source| StatError::File { path: path.into(), source };
    let metadata = std::fs::metadata(path).map_err(file)?;
    let ours = mounts::around(&path.canonicalize().map_err(file)?).map_err(file)?;
    let mounted = ours.ok_or_else(|| StatError::NotOurs { path: path.into() })?;
    let mut about = Map::new();
    about.insert("path".into(), path.to_string_lossy().into());
    about.insert("mountpoint".into(), mounted.point.to_string_lossy().into());
    about.insert("inode".into(), metadata.ino().into());
    about.insert("size_bytes".into(), metadata.len().into());
    // A folder has neither address nor pages.
    for (key, name) in ATTRIBUTES.into_iter().filter(|_| metadata.is_file()) {
        match attribute(path, name) {
            Ok(text) => {
                about.insert(key.into(), value(key, &text));
            }
            Err(Errno::NODATA | Errno::NOTSUP) => {
                about.insert(key.into(), Value::Null);
            }
            Err(errno) => {
                return Err(StatError::Attribute { path: path.into(), name, source: errno.into() });
            }
        }
    }
    Ok(Value::Object(about))
}

/// The text of an attribute.
pub(super) fn attribute(path: &Path, name: &str) -> Result<String, Errno> {
    let mut bytes = vec![0; VALUE_BYTES_MAX];
    let length = rustix::fs::getxattr(path, name, &mut bytes)?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n']).to_owned())
}

/// Numbers and JSON as such; an address stays text, since JSON's readers round large numbers.
fn value(key: &str, text: &str) -> Value {
    match key {
        "address" | "consistency" => text.into(),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

fn table(about: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<16} {value}");
    };
    line("file", show::word(&about["path"]).into());
    line("inode", about["inode"].to_string());
    line("size", show::optional_bytes(&about["size_bytes"]));
    for (key, _) in ATTRIBUTES {
        match &about[key] {
            Value::Null => {}
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::Object(nodes) if name == "nodes" => {
                            nodes.iter().for_each(|(node, value)| line(&format!("on {node}"), plain(value)));
                        }
                        // Mostly nobody.
                        Value::Array(items) if items.is_empty() => {}
                        value => line(&name.replace('_', " "), plain(value)),
                    }
                }
            }
            // There is no home as long as nobody has touched the file.
            value => {
                let text = plain(value);
                line(key, if text.is_empty() { "-".into() } else { text });
            }
        }
    }
    text
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_elsewhere_is_refused_and_a_missing_one_is_named() {
        let here = std::env::current_exe().unwrap();
        assert!(matches!(gather(&here), Err(StatError::NotOurs { .. })));
        let error = gather(Path::new("/nonexistent/file")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/file") && error.exit() == Exit::Usage);
    }

    #[test]
    fn what_the_attributes_say_is_shown_to_people() {
        let about = json!({
            "path": "/dsm/a", "inode": 7, "size_bytes": 1u64 << 40, "home": null,
            "address": value("address", "0x200000000000"),
            "stats": value("stats", r#"{"pages": {"exclusive": 1, "shared": 2}, "homes": ["ant", "bee"], "nodes": {"ant": {"home": 3}}, "silent": []}"#),
            "replicas": value("replicas", "0"), "consistency": value("consistency", "strict"),
        });
        let text = table(&about);
        for words in
            ["1.0 TiB", "0x200000000000", "exclusive 1, shared 2", "ant, bee", "strict", "replicas         0"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.contains("on ant           home 3") && !text.contains("silent"), "{text}");
    }
}
