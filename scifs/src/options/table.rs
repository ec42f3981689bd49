//! Every option there is: its name, what it takes and what it does.

use scios::limits::{FAILURE_TIMEOUT_MS_MAX, FAILURE_TIMEOUT_MS_MIN, NODE_NAME_BYTES_MAX, SPIN_US_MAX};

use crate::names::Consistency;

use super::list::Entry;
use super::{Access, AddressError, Draft, FabricKind, HostPort, MountOptions, OptionsError, Size};

pub(super) struct Known {
    name: &'static str,
    takes: Takes,
}

enum Takes {
    /// A value; with an example for who leaves it out.
    Value(&'static str, fn(&mut Draft, &str) -> Result<(), OptionsError>),
    /// No value.
    Nothing(fn(&mut MountOptions)),
    /// Perhaps a value. It is for mount(8), systemd or an older FUSE, and nothing that this file system does depends on it.
    Whatever(fn(&mut MountOptions)),
    /// A clear no, and what to do instead.
    Refused(&'static str),
}

const fn value(
    name: &'static str,
    example: &'static str,
    set: fn(&mut Draft, &str) -> Result<(), OptionsError>,
) -> Known {
    Known { name, takes: Takes::Value(example, set) }
}

const fn flag(name: &'static str, set: fn(&mut MountOptions)) -> Known {
    Known { name, takes: Takes::Nothing(set) }
}

const fn kept(name: &'static str) -> Known {
    Known { name, takes: Takes::Whatever(|_| {}) }
}

const fn refused(name: &'static str, instead: &'static str) -> Known {
    Known { name, takes: Takes::Refused(instead) }
}

const KNOWN: &[Known] = &[
    value("name", "name=n1", |draft, text| set(&mut draft.options.name, node_name(text))),
    value("listen", "listen=127.0.0.1:7000", |draft, text| {
        set(&mut draft.options.listen, address("listen", text, HostPort::parse_listen))
    }),
    value("join", "join=n1:7000", |draft, text| {
        draft.options.join.push(address("join", text, HostPort::parse_join)?);
        Ok(())
    }),
    value("fabric", "fabric=tcp", |draft, text| {
        draft.options.fabric =
            choice("fabric", text, &[("tcp", FabricKind::Tcp), ("verbs", FabricKind::Verbs)])?;
        Ok(())
    }),
    value("memory", "memory=4G", |draft, text| {
        draft.memory = Size::parse(text)?;
        Ok(())
    }),
    value("secret", "secret=/etc/scifs/secret", |draft, text| {
        draft.options.secret = Some(draft.base.join(text));
        Ok(())
    }),
    // Read before the others are applied.
    value("config", "config=/etc/scifs/scifs.toml", |_, _| Ok(())),
    value("consistency", "consistency=strict", |draft, text| {
        let choices = [("strict", Consistency::Strict), ("lazy", Consistency::Lazy)];
        draft.options.consistency = choice("consistency", text, &choices)?;
        Ok(())
    }),
    value("spin_us", "spin_us=50", |draft, text| {
        draft.options.spin_us = number("spin_us", text, 0, SPIN_US_MAX, "spin_us=50")?;
        Ok(())
    }),
    value("failure_timeout_ms", "failure_timeout_ms=2000", |draft, text| {
        let (min, max) = (FAILURE_TIMEOUT_MS_MIN, FAILURE_TIMEOUT_MS_MAX);
        draft.options.failure_timeout_ms =
            number("failure_timeout_ms", text, min, max, "failure_timeout_ms=2000")?;
        Ok(())
    }),
    value("voters", "voters=3", |draft, text| {
        draft.options.voters = choice("voters", text, &[("3", 3), ("5", 5)])?;
        Ok(())
    }),
    value("metrics", "metrics=127.0.0.1:9100", |draft, text| {
        set(&mut draft.options.metrics, address("metrics", text, HostPort::parse_with_port))
    }),
    value("fsname", "fsname=scifs", |draft, text| set(&mut draft.options.mount.fsname, Ok(text.into()))),
    flag("rw", |mount| mount.read_only = false),
    flag("ro", |mount| mount.read_only = true),
    flag("dev", |mount| mount.dev = true),
    flag("nodev", |mount| mount.dev = false),
    flag("suid", |mount| mount.suid = true),
    flag("nosuid", |mount| mount.suid = false),
    flag("exec", |mount| mount.exec = true),
    flag("noexec", |mount| mount.exec = false),
    // A write is in the cluster's memory when it returns, whoever asks.
    kept("sync"),
    kept("async"),
    kept("dirsync"),
    flag("atime", |mount| mount.atime = true),
    flag("noatime", |mount| mount.atime = false),
    flag("allow_other", |mount| mount.access = Access::Everybody),
    // The kernel always checks modes and owners.
    kept("default_permissions"),
    flag("auto_unmount", |mount| mount.auto_unmount = true),
    flag("defaults", MountOptions::defaults),
    Known { name: "user", takes: Takes::Whatever(MountOptions::restrict_to_data) },
    flag("users", MountOptions::restrict_to_data),
    flag("owner", MountOptions::restrict),
    flag("group", MountOptions::restrict),
    refused("remount", "unmount, then mount with the new options"),
    refused(
        "allow_root",
        "FUSE can tell root only together with everybody; use allow_other, which heeds modes and owners",
    ),
    refused("kernel_cache", STALE),
    refused("auto_cache", STALE),
    refused("writeback_cache", STALE),
    refused("attr_timeout", STALE),
    refused("entry_timeout", STALE),
    refused("negative_timeout", STALE),
    refused("ac_attr_timeout", STALE),
    refused("uid", OWNERS),
    refused("gid", OWNERS),
    refused("umask", OWNERS),
    refused("fd", KERNELS),
    refused("rootmode", KERNELS),
    refused("user_id", KERNELS),
    refused("group_id", KERNELS),
    refused("blkdev", "no block device is behind it; leave it out"),
    kept("nouser"),
    kept("auto"),
    kept("noauto"),
    kept("nofail"),
    kept("_netdev"),
    kept("comment"),
    kept("uhelper"),
    kept("helper"),
    kept("relatime"),
    kept("norelatime"),
    kept("strictatime"),
    kept("nostrictatime"),
    kept("lazytime"),
    kept("nolazytime"),
    kept("diratime"),
    kept("nodiratime"),
    kept("iversion"),
    kept("noiversion"),
    kept("mand"),
    kept("nomand"),
    kept("silent"),
    kept("loud"),
    kept("nonempty"),
    // Of older FUSE file systems: what they ask for is so anyway, or is negotiated with the kernel.
    kept("subtype"),
    kept("max_read"),
    kept("max_write"),
    kept("max_readahead"),
    kept("max_background"),
    kept("big_writes"),
    kept("large_read"),
    kept("async_read"),
    kept("sync_read"),
    kept("direct_io"),
    kept("hard_remove"),
    kept("use_ino"),
    kept("readdir_ino"),
    kept("intr"),
    kept("clone_fd"),
];

/// Why options about caches of names and bytes are refused.
const STALE: &str = "it would show old names or bytes after another node has changed them; leave it out";
/// Why options about owners are refused.
const OWNERS: &str =
    "files belong to whoever makes them and can be changed with chown and chmod; leave it out";
/// Why options that FUSE programs give the kernel are refused.
const KERNELS: &str = "scifs gives it to the kernel itself; leave it out";

/// Does what one option says.
pub(super) fn apply(draft: &mut Draft, entry: &Entry) -> Result<(), OptionsError> {
    let kept = |mount: &mut MountOptions| {
        mount.kept.push(match &entry.value {
            Some(value) => format!("{}={value}", entry.name),
            None => entry.name.clone(),
        });
    };
    if is_comment(&entry.name) {
        kept(&mut draft.options.mount);
        return Ok(());
    }
    let known = known(&entry.name)?;
    let name = known.name;
    match (&known.takes, entry.value.as_deref()) {
        (Takes::Value(example, _), None | Some("")) => Err(OptionsError::NoValue { name, example }),
        (Takes::Value(_, set), Some(text)) => set(draft, text),
        (Takes::Nothing(set), None) => {
            set(&mut draft.options.mount);
            Ok(())
        }
        (Takes::Nothing(_), Some(value)) => Err(OptionsError::ValueNotTaken { name, value: value.into() }),
        (Takes::Whatever(set), _) => {
            set(&mut draft.options.mount);
            kept(&mut draft.options.mount);
            Ok(())
        }
        (Takes::Refused(instead), _) => Err(OptionsError::Refused { name, instead }),
    }
}

/// What fstab has for other programs, by agreement.
fn is_comment(name: &str) -> bool {
    name.starts_with("x-") || name.starts_with("X-")
}

/// The option of that name, or which one may have been meant.
pub(super) fn known(name: &str) -> Result<&'static Known, OptionsError> {
    if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
        return Ok(known);
    }
    let name = name.to_owned();
    Err(match closest(&name, KNOWN.iter().map(|known| known.name)) {
        Some(closest) => OptionsError::UnknownNear { name, closest },
        None => OptionsError::Unknown { name },
    })
}

/// The candidate that is a few typing mistakes away, the fewer the shorter the text.
fn closest(text: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let text = text.to_lowercase();
    let mistakes_max = match text.chars().count() {
        0 | 1 => 0,
        letters => (letters / 3).clamp(1, 3),
    };
    candidates
        .map(|candidate| (strsim::osa_distance(&text, candidate), candidate))
        .filter(|&(mistakes, _)| mistakes <= mistakes_max)
        .min_by_key(|&(mistakes, _)| mistakes)
        .map(|(_, candidate)| candidate)
}

fn set<T>(into: &mut Option<T>, value: Result<T, OptionsError>) -> Result<(), OptionsError> {
    *into = Some(value?);
    Ok(())
}

fn address(
    name: &'static str,
    text: &str,
    parse: fn(&str) -> Result<HostPort, AddressError>,
) -> Result<HostPort, OptionsError> {
    parse(text).map_err(|source| OptionsError::Address { name, value: text.into(), source })
}

fn choice<T: Copy>(name: &'static str, text: &str, choices: &[(&'static str, T)]) -> Result<T, OptionsError> {
    if let Some((_, value)) = choices.iter().find(|(choice, _)| *choice == text) {
        return Ok(*value);
    }
    let names = || choices.iter().map(|(choice, _)| *choice);
    Err(OptionsError::Choice {
        name,
        value: text.into(),
        choices: names().collect::<Vec<_>>().join(", "),
        closest: closest(text, names()),
    })
}

fn number(
    name: &'static str,
    text: &str,
    min: u64,
    max: u64,
    example: &'static str,
) -> Result<u64, OptionsError> {
    let digits_only = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits_only && (min..=max).contains(&number) => Ok(number),
        _ => Err(OptionsError::Number { name, value: text.into(), min, max, example }),
    }
}

fn node_name(text: &str) -> Result<String, OptionsError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if text.len() <= NODE_NAME_BYTES_MAX && starts_well && text.chars().all(allowed) {
        return Ok(text.into());
    }
    Err(OptionsError::NodeName { value: text.into() })
}
