//! Extended attributes. Those of `user.scifs.` are how programs see and choose what a segment is.

use std::collections::BTreeMap;

use rustix::io::Errno;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, errno, mismatch};
use super::convert;
use super::present::Present;
use crate::names::{Command, Consistency, Found, Inode, Query, Setting, address_text};
use crate::node::FileStat;

const OURS: &[u8] = b"user.scifs.";
const ADDRESS: &[u8] = b"user.scifs.address";
const CONSISTENCY: &[u8] = b"user.scifs.consistency";
const HOME: &[u8] = b"user.scifs.home";
const REPLICAS: &[u8] = b"user.scifs.replicas";
const STATS: &[u8] = b"user.scifs.stats";

const XATTR_CREATE: u32 = 1;
const XATTR_REPLACE: u32 = 2;

/// Kinds of attributes that nobody here keeps. The kernel asks for one of them at many an operation: not worth a question to the
/// leader.
pub(super) fn is_unsupported(name: &[u8]) -> bool {
    !(name.starts_with(b"user.") || name.starts_with(b"trusted."))
}

pub(super) fn get(present: &Present, inode: Inode, name: Vec<u8>, bytes_max: u32) -> Outcome {
    let value = match name.as_slice() {
        ADDRESS => address_text(present.names.address(inode).map_err(errno)?).into_bytes(),
        CONSISTENCY => present.info(inode)?.consistency.name().into(),
        HOME | REPLICAS | STATS => stats(present, inode, &name)?,
        ours if ours.starts_with(OURS) => return Err(Errno::INVAL),
        _ => match present.names.ask(&Query::GetXattr { inode, name }).map_err(errno)? {
            Found::Value(value) => value,
            _ => return Err(mismatch("getxattr")),
        },
    };
    Ok(Answer::Xattr { value, bytes_max })
}

/// Nodes that are listed one by one; the sums are of all. Keeps the value far below what an attribute may have.
const NODES_SHOWN_MAX: usize = 128;

/// What the whole cluster knows, whichever node is asked.
fn stats(present: &Present, inode: Inode, name: &[u8]) -> Result<Vec<u8>, Errno> {
    // Also the check that it is a regular file.
    let info = present.info(inode)?;
    if name == REPLICAS {
        // Until pages are replicated every page is kept once, by whoever holds it.
        return Ok(b"1".to_vec());
    }
    let file = present.file(&info)?;
    let view = present.cluster.view();
    let name_of = |node| view.member(node).map_or_else(|| "?".into(), |member| member.name.clone());
    let counted = present.pages.stat(&file).into_iter().map(|(node, stat)| (name_of(node), stat));
    let counted: BTreeMap<String, Option<FileStat>> = counted.collect();
    let value = if name == HOME { homes(&counted) } else { pages(&counted) };
    Ok(value.to_string().into())
}

/// A member that didn't answer can't be told to be none of them: it is in `silent` of the stats.
fn homes(counted: &BTreeMap<String, Option<FileStat>>) -> Value {
    let is_home = |stat: &Option<FileStat>| stat.is_some_and(|stat| stat.pages_home > 0);
    let names = counted.iter().filter(|(_, stat)| is_home(stat)).map(|(name, _)| name.as_str());
    names.take(NODES_SHOWN_MAX).collect()
}

fn pages(counted: &BTreeMap<String, Option<FileStat>>) -> Value {
    let known = || counted.iter().filter_map(|(name, stat)| Some((name, (*stat)?)));
    let sum = |of: fn(&FileStat) -> u64| known().map(|(_, stat)| of(&stat)).sum::<u64>();
    let one = |stat: FileStat| {
        json!({
            "exclusive": stat.pages_exclusive,
            "shared": stat.pages_shared,
            "moving": stat.pages_moving,
            "home": stat.pages_home,
        })
    };
    let nodes = known().filter(|(_, stat)| !stat.is_empty()).take(NODES_SHOWN_MAX);
    let silent: Vec<_> = counted.iter().filter(|(_, stat)| stat.is_none()).map(|(name, _)| name).collect();
    json!({
        "pages_exclusive": sum(|stat| stat.pages_exclusive),
        "pages_shared": sum(|stat| stat.pages_shared),
        "pages_moving": sum(|stat| stat.pages_moving),
        "pages_home": sum(|stat| stat.pages_home),
        "nodes": nodes.map(|(name, stat)| (name.clone(), one(stat))).collect::<serde_json::Map<_, _>>(),
        "silent": silent.into_iter().take(NODES_SHOWN_MAX).collect::<Vec<_>>(),
    })
}

pub(super) fn set(present: &Present, inode: Inode, (name, value): (Vec<u8>, Vec<u8>), flags: u32) -> Outcome {
    match name.as_slice() {
        ADDRESS => {}
        CONSISTENCY => match Consistency::from_name(&value) {
            Some(Consistency::Lazy) => {
                tracing::warn!(inode, "consistency=lazy is not there yet; the file stays strict");
                return Err(Errno::OPNOTSUPP);
            }
            Some(Consistency::Strict) => {}
            None => return Err(Errno::INVAL),
        },
        HOME | REPLICAS | STATS => return Err(Errno::INVAL),
        ours if ours.starts_with(OURS) => return Err(Errno::INVAL),
        _ => {}
    }
    let setting = match flags {
        0 => Setting::Either,
        XATTR_CREATE => Setting::Create,
        XATTR_REPLACE => Setting::Replace,
        _ => return Err(Errno::INVAL),
    };
    let command = Command::SetXattr { inode, name, value, setting, now: convert::now() };
    present.names.run(&command).map_err(errno)?;
    Ok(Answer::Empty)
}

pub(super) fn list(present: &Present, inode: Inode, bytes_max: u32) -> Outcome {
    match present.names.ask(&Query::ListXattr { inode }).map_err(errno)? {
        Found::XattrNames(names) => {
            let value = names.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
            Ok(Answer::Xattr { value, bytes_max })
        }
        _ => Err(mismatch("listxattr")),
    }
}

pub(super) fn remove(present: &Present, inode: Inode, name: Vec<u8>) -> Outcome {
    if name.starts_with(OURS) {
        return Err(Errno::PERM);
    }
    let command = Command::RemoveXattr { inode, name, now: convert::now() };
    present.names.run(&command).map_err(errno)?;
    Ok(Answer::Empty)
}
