//! The configuration file: TOML, with the names of the options as keys.
//!
//! ```toml
//! name = "n1"
//! join = ["n2", "n3:7001"]     # or one text
//! memory = "4G"                # or a number of bytes
//! allow_other = true           # false is as if it weren't there
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use scios::limits::CONFIG_BYTES_MAX;
use toml::{Table, Value};

use super::OptionsError;
use super::list::Entry;

/// The file that the last `config=` names.
pub(super) fn named_in(entries: &[Entry]) -> Option<PathBuf> {
    let entry = entries.iter().rfind(|entry| entry.name == "config")?;
    entry.value.as_deref().filter(|path| !path.is_empty()).map(PathBuf::from)
}

pub(super) fn read(path: &Path) -> Result<Vec<Entry>, OptionsError> {
    let read_error = |source| OptionsError::ConfigRead { path: path.into(), source };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(read_error)?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(OptionsError::ConfigLength { path: path.into() });
    }
    // The library's own text is a drawing of several lines; errors here are one sentence.
    let table = text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        OptionsError::ConfigSyntax { path: path.into(), line, message: error.message().to_owned() }
    })?;
    entries(table).map_err(|source| OptionsError::InFile { path: path.into(), source: Box::new(source) })
}

/// The table as if it had been given on the command line.
pub(super) fn entries(table: Table) -> Result<Vec<Entry>, OptionsError> {
    let mut entries = Vec::new();
    for (name, value) in table {
        match value {
            _ if name == "config" => return Err(OptionsError::ConfigNested),
            Value::Boolean(true) => entries.push(Entry { name, value: None }),
            Value::Boolean(false) => super::table::known(&name).map(|_| ())?,
            Value::Array(items) if name == "join" => {
                for item in items {
                    entries.push(Entry { value: Some(text(&name, item)?), name: name.clone() });
                }
            }
            value => entries.push(Entry { value: Some(text(&name, value)?), name }),
        }
    }
    Ok(entries)
}

fn text(name: &str, value: Value) -> Result<String, OptionsError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        other => Err(OptionsError::ConfigType { name: name.into(), found: other.type_str() }),
    }
}
