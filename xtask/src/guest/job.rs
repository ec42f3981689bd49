//! The script that makes a booted guest run the user's command: variables, then `stage2.sh`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Options, Wire};
use crate::error::{Doing, Error};
use crate::paths;

const STAGE2: &str = include_str!("stage2.sh");

/// Variables that the command sees as the host has them, by the start of their name ...
const PASSED_PREFIXES: [&str; 3] = ["RUST_", "SCIFS_", "LC_"];
/// ... or by their whole name.
const PASSED_NAMES: [&str; 6] = ["PATH", "HOME", "LANG", "TERM", "LD_LIBRARY_PATH", "NO_COLOR"];

/// Writes the script for one guest. `end` is what the guest writes after all output of the command.
pub(super) fn script(options: &Options, node: usize, out: &Path, end: &str) -> Result<Vec<u8>, Error> {
    let mut script = Vec::new();
    for (name, value) in passed_on(options)? {
        line(&mut script, &[b"export ", name.as_bytes(), b"=", &quoted(&value)]);
    }
    let cwd = env::current_dir().doing(|| "find the current directory".into())?;
    let wire = match (options.nodes, options.wire) {
        (1, Wire::Lo) => "lo",
        (1, Wire::Veth) => "veth",
        (1, Wire::None) => "none",
        _ => "guests",
    };
    line(&mut script, &[format!("nodes={} node={node} wire={wire}", options.nodes).as_bytes()]);
    line(&mut script, &[b"source_tree=", &quoted(paths::workspace().as_os_str())]);
    line(&mut script, &[b"out=", &quoted(out.as_os_str())]);
    line(&mut script, &[b"cwd=", &quoted(cwd.as_os_str())]);
    line(&mut script, &[b"end=", &quoted(OsStr::new(end))]);
    let mut words: Vec<u8> = b"set --".to_vec();
    for word in &options.command {
        words.push(b' ');
        words.extend_from_slice(&quoted(word));
    }
    line(&mut script, &[&words]);
    script.extend_from_slice(STAGE2.as_bytes());
    Ok(script)
}

fn passed_on(options: &Options) -> Result<Vec<(OsString, OsString)>, Error> {
    let mut variables: Vec<(OsString, OsString)> =
        env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed)).collect();
    for asked in &options.env {
        let (name, value) = match asked.split_once('=') {
            Some((name, value)) => (name, OsString::from(value)),
            None => (asked.as_str(), env::var_os(asked).unwrap_or_default()),
        };
        if !is_name(name) {
            return Err(Error::Usage(format!("--env {asked}: `{name}` is not the name of a variable")));
        }
        variables.push((name.into(), value));
    }
    Ok(variables)
}

fn is_passed(name: &str) -> bool {
    is_name(name)
        && (PASSED_NAMES.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// True for what a shell can export.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn line(script: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        script.extend_from_slice(part);
    }
    script.push(b'\n');
}

/// One word of a shell script, whatever bytes it has.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_word_survives_the_shell() {
        assert_eq!(quoted(OsStr::new("it's $HOME")), b"'it'\\''s $HOME'");
    }

    #[test]
    fn only_names_a_shell_can_export_are_passed_on() {
        assert!(is_passed("RUST_LOG") && is_passed("SCIFS_SEED") && is_passed("PATH"));
        assert!(!is_passed("SECRET") && !is_passed("RUST_LOG%%") && !is_passed(""));
    }
}
