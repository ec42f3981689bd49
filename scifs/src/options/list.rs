//! The text of `-o`, taken apart.

use super::OptionsError;

/// One option as it was given, not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub value: Option<String>,
}

/// The entries of several `-o`, in order.
pub(super) fn split_all(lists: &[impl AsRef<str>]) -> Result<Vec<Entry>, OptionsError> {
    let mut entries = Vec::new();
    for list in lists {
        split(list.as_ref(), &mut entries)?;
    }
    Ok(entries)
}

/// Commas separate, except after a backslash (as libfuse has it) or between double quotes (as mount(8) has it). Empty
/// entries are passed over, as both do.
fn split(list: &str, into: &mut Vec<Entry>) -> Result<(), OptionsError> {
    let mut item = String::new();
    let mut quoted = false;
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => item.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => finish(&mut item, into),
            c => item.push(c),
        }
    }
    if quoted {
        return Err(OptionsError::Quote { list: list.into() });
    }
    finish(&mut item, into);
    Ok(())
}

fn finish(item: &mut String, into: &mut Vec<Entry>) {
    let item = std::mem::take(item);
    if item.is_empty() {
        return;
    }
    into.push(match item.split_once('=') {
        Some((name, value)) => Entry { name: name.into(), value: Some(value.into()) },
        None => Entry { name: item, value: None },
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_unless_escaped_or_quoted() {
        for (list, expected) in [
            ("", &[][..]),
            (",,", &[]),
            ("rw,dev", &[("rw", None), ("dev", None)]),
            ("name=n1,", &[("name", Some("n1"))]),
            ("secret=a=b", &[("secret", Some("a=b"))]),
            ("name=", &[("name", Some(""))]),
            (r"secret=/a\,b,ro", &[("secret", Some("/a,b")), ("ro", None)]),
            (r"secret=/a\\b", &[("secret", Some(r"/a\b"))]),
            (r#"secret="/a,b",ro"#, &[("secret", Some("/a,b")), ("ro", None)]),
            (r"ro\", &[("ro", None)]),
        ] {
            let entries = split_all(&[list]).unwrap();
            let entries: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.value.as_deref())).collect();
            assert_eq!(entries, expected, "{list:?}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_refused() {
        assert!(matches!(split_all(&[r#"secret="/a,ro"#]), Err(OptionsError::Quote { .. })));
    }
}
