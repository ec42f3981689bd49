//! Whether every crate that is built in has a licence that `deny.toml` allows. `cargo deny check` does the same and
//! more; this needs nothing but cargo.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::tally::Tally;
use crate::error::{Doing, Error, output_of};
use crate::paths;

pub(crate) fn check() -> Result<Tally, Error> {
    let allowed = allowed()?;
    let output = output_of(Command::new(env!("CARGO")).current_dir(paths::workspace()).args([
        "metadata",
        "--format-version=1",
        "--locked",
    ]))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Usage(format!("cargo metadata printed no JSON: {error}")))?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let refused: Vec<_> = packages.iter().filter_map(|package| refusal(package, &allowed)).collect();
    for sentence in &refused {
        println!("{sentence}");
    }
    println!("{} crates, {} with a licence that deny.toml does not allow", packages.len(), refused.len());
    let failed = refused.len() as u64 + u64::from(packages.is_empty());
    Ok(Tally { passed: packages.len() as u64 - refused.len() as u64, failed })
}

/// The strings of `allow = [ … ]` in deny.toml.
fn allowed() -> Result<Vec<String>, Error> {
    let path = paths::workspace().join("deny.toml");
    let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    let list = text
        .split_once("\nallow = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(list, _)| list)
        .ok_or_else(|| Error::Usage(format!("{} has no `allow = [`", path.display())))?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

fn refusal(package: &Value, allowed: &[String]) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("?");
    match package["license"].as_str() {
        Some(expression) if permits(expression, allowed) => None,
        Some(expression) => Some(format!("{name}: {expression} is not among the allowed licences")),
        None => Some(format!("{name}: names no licence")),
    }
}

/// An SPDX expression without nesting deeper than one level of brackets: some side of an `OR` (or of the old `/`)
/// whose every `AND` part is allowed.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let part = |part: &str| allowed.iter().any(|licence| licence == part.trim());
    let plain =
        |text: &str| text.replace('/', " OR ").split(" OR ").any(|side| side.split(" AND ").all(part));
    // Brackets join alternatives: `(MIT OR Apache-2.0) AND Unicode-3.0`.
    match expression.contains('(') {
        false => plain(expression),
        true => expression.split(" AND ").all(|side| plain(side.trim().trim_matches(['(', ')']))),
    }
}

#[cfg(test)]
mod tests {
    use super::permits;

    #[test]
    fn an_expression_is_allowed_when_one_alternative_is() {
        let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"].map(str::to_owned);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT AND Unicode-3.0",
        ] {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in ["MPL-2.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", ""] {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }
}
