//! Random commands, carried out on both sides.

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags, makedev,
};
use rustix::io::Errno;
use scifs::names::{
    Answer, Attr, Changes, Command, Consistency, Inode, Kind, Make, Query, Renaming, Setting, Special,
};

use crate::model::{Model, time};

/// A directory (by its place in the list) and a name in it.
type At = (usize, Vec<u8>);

#[derive(Debug)]
pub(crate) enum Act {
    Make { at: At, what: Make, mode: u32 },
    Link { from: At, to: At },
    Unlink(At),
    RmDir(At),
    Rename { from: At, to: At, how: Renaming },
    ChMod { at: At, mode: u32 },
    ChOwn { at: At, uid: Option<u32>, gid: Option<u32> },
    Truncate { at: At, size: u64 },
    SetXattr { at: At, name: Vec<u8>, value: Vec<u8>, setting: Setting },
    RemoveXattr { at: At, name: Vec<u8> },
}

fn at(model: &mut Model) -> At {
    // Mostly young directories, or the tree becomes a list of removed ones.
    let count = model.directories.len() as u64;
    let back = model.random.below(count).min(model.random.below(count)).min(model.random.below(8));
    let directory = if model.random.below(4) == 0 { 0 } else { count - 1 - back };
    let name = match model.random.below(40) {
        0 => vec![b'l'; 255],
        1 => vec![b'l'; 256],
        other => vec![b'a' + (other % 8) as u8],
    };
    (directory as usize, name)
}

pub(crate) fn random(model: &mut Model) -> Act {
    let here = at(model);
    let mode = model.random.below(0o10000) as u32;
    match model.random.below(22) {
        0..=3 => {
            let what = Make::File { consistency: Consistency::Strict, address: None, size: 0 };
            Act::Make { at: here, what, mode }
        }
        4..=6 => Act::Make { at: here, what: Make::Directory, mode: mode & 0o1777 },
        7 => {
            let target = vec![b't'; 1 + model.random.below(20) as usize];
            Act::Make { at: here, what: Make::SymLink { target }, mode: 0o777 }
        }
        8 => special(model, here, mode),
        9 | 10 => Act::Link { from: here, to: at(model) },
        11 | 12 => Act::Unlink(here),
        13 => Act::RmDir(here),
        14..=16 => {
            let how = [Renaming::Replace, Renaming::Replace, Renaming::NoReplace, Renaming::Exchange];
            let how = how[model.random.below(4) as usize];
            Act::Rename { from: here, to: at(model), how }
        }
        17 => Act::ChMod { at: here, mode },
        18 => {
            let mut id = || (model.random.below(2) == 0).then(|| model.random.below(5) as u32);
            Act::ChOwn { at: here, uid: id(), gid: id() }
        }
        19 => Act::Truncate { at: here, size: model.random.below(100_000) },
        20 => {
            let setting =
                [Setting::Either, Setting::Create, Setting::Replace][model.random.below(3) as usize];
            let value = vec![7; model.random.below(50) as usize];
            Act::SetXattr { at: here, name: xattr(model), value, setting }
        }
        _ => Act::RemoveXattr { at: here, name: xattr(model) },
    }
}

fn special(model: &mut Model, at: At, mode: u32) -> Act {
    let kinds = [Special::Fifo, Special::Socket, Special::CharDevice, Special::BlockDevice];
    let kind = kinds[model.random.below(4) as usize];
    let device = match kind {
        Special::CharDevice | Special::BlockDevice => makedev(1, 3) as u32,
        _ => 0,
    };
    Act::Make { at, what: Make::Special { kind, device }, mode }
}

/// Of a namespace that every kind of file has. (`user.` is refused for most kinds by the kernel already.)
fn xattr(model: &mut Model) -> Vec<u8> {
    format!("trusted.{}", model.random.below(3)).into_bytes()
}

/// Does it on both sides, and looks at everything that it should have touched.
pub(crate) fn compare(model: &mut Model, act: &Act) -> Result<(), String> {
    let places: Vec<&At> = match act {
        Act::Link { from, to } | Act::Rename { from, to, .. } => vec![from, to],
        Act::Make { at, .. }
        | Act::Unlink(at)
        | Act::RmDir(at)
        | Act::ChMod { at, .. }
        | Act::ChOwn { at, .. }
        | Act::Truncate { at, .. }
        | Act::SetXattr { at, .. }
        | Act::RemoveXattr { at, .. } => vec![at],
    };
    for place in &places {
        age(model, place);
    }
    let (ours, real) = both(model, act);
    // Where a name is too long and something else is wrong too, either may be said.
    let two_wrongs = places.iter().any(|(_, name)| name.len() > 255);
    let same = ours.err() == real.err() || (two_wrongs && ours.is_err() && real.is_err());
    if !same {
        return Err(format!("{ours:?} here, {real:?} there"));
    }
    if ours.is_ok() {
        let act = format!("{act:?}");
        let kind = act.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        *model.worked.entry(kind.to_owned()).or_default() += 1;
    }
    if let (Ok(Answer::Attr(attr)), Act::Make { at, what: Make::Directory, .. }) = (ours, act) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&model.directories[at.0].1, &at.1[..], flags, Mode::empty());
        model.directories.push((attr.inode, fd.map_err(|why| why.to_string())?));
    }
    for (directory, name) in places {
        let (inode, fd) = &model.directories[*directory];
        model.compare_directory(*inode, fd)?;
        model.compare_entry((*inode, fd), name)?;
        compare_xattrs(model, (*inode, fd), name)?;
    }
    Ok(())
}

/// Gives a directory and what is there a time that is easy to recognize, so that it shows which of them a command touches.
fn age(model: &mut Model, (directory, name): &At) {
    let (parent, fd) = &model.directories[*directory];
    let old = Timestamps {
        last_access: Timespec { tv_sec: 77, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: 77, tv_nsec: 0 },
    };
    let real = rustix::fs::utimensat(fd, &name[..], &old, AtFlags::SYMLINK_NOFOLLOW);
    rustix::fs::futimens(fd, &old).expect("age a directory");
    let (parent, entry) = (*parent, model.lookup(*parent, name));
    assert_eq!(real.is_ok(), entry.is_ok(), "both have {name:?} in {parent}, or none has");
    let changes = Changes { atime: Some(time(77)), mtime: Some(time(77)), ..Changes::default() };
    for inode in [Some(parent), entry.ok().map(|attr| attr.inode)].into_iter().flatten() {
        let now = model.now();
        model.apply(&Command::SetAttr { inode, changes, now }).expect("age an inode");
    }
}

type Both = (Result<Answer, Errno>, Result<(), Errno>);

fn both(model: &mut Model, act: &Act) -> Both {
    match act {
        Act::Make { at, what, mode } => make(model, at, what, *mode),
        Act::Link { from, to } => link(model, from, to),
        Act::Unlink(at) => {
            let (parent, name, now) = (model.directories[at.0].0, at.1.clone(), model.now());
            let ours = long(&at.1).and_then(|()| model.apply(&Command::Unlink { parent, name, now }));
            (ours, rustix::fs::unlinkat(&model.directories[at.0].1, &at.1[..], AtFlags::empty()))
        }
        Act::RmDir(at) => {
            let (parent, name, now) = (model.directories[at.0].0, at.1.clone(), model.now());
            let ours = long(&at.1).and_then(|()| model.apply(&Command::RmDir { parent, name, now }));
            (ours, rustix::fs::unlinkat(&model.directories[at.0].1, &at.1[..], AtFlags::REMOVEDIR))
        }
        Act::Rename { from, to, how } => rename(model, from, to, *how),
        Act::ChMod { at, mode } => changed(model, at, Changes { mode: Some(*mode), ..Changes::default() }),
        Act::ChOwn { at, uid, gid } => {
            // A chown of nothing drops privileges too; the kernel says so, since no owner shows it.
            let drop_privileges = uid.or(*gid).is_none();
            changed(model, at, Changes { uid: *uid, gid: *gid, drop_privileges, ..Changes::default() })
        }
        Act::Truncate { at, size } => changed(model, at, Changes { size: Some(*size), ..Changes::default() }),
        Act::SetXattr { at, name, value, setting } => set_xattr(model, at, name, value, *setting),
        Act::RemoveXattr { at, name } => with_entry(model, at, |model, attr, path| {
            let now = model.now();
            let command = Command::RemoveXattr { inode: attr.inode, name: name.clone(), now };
            (model.apply(&command), rustix::fs::lremovexattr(path, &name[..]))
        }),
    }
}

/// A name that is too long can't even be sent; the client says so itself.
fn long(name: &[u8]) -> Result<(), Errno> {
    let query = Query::Lookup { parent: 1, name: name.to_vec() };
    query.check().map_err(|why| why.errno())
}

fn make(model: &mut Model, at: &At, what: &Make, mode: u32) -> Both {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (parent, name, now) = (model.directories[at.0].0, at.1.clone(), model.now());
    let command = Command::Make { parent, name, what: what.clone(), mode, uid, gid, now };
    let ours = long(&at.1).and_then(|()| model.apply(&command));
    let (fd, name, bits) = (&model.directories[at.0].1, &at.1[..], Mode::from_raw_mode(mode));
    let real = match what {
        Make::File { .. } => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(fd, name, flags, bits).map(drop)
        }
        Make::Directory => rustix::fs::mkdirat(fd, name, bits),
        Make::SymLink { target } => rustix::fs::symlinkat(&target[..], fd, name),
        Make::Special { kind, device } => {
            let kind = match kind {
                Special::Fifo => FileType::Fifo,
                Special::Socket => FileType::Socket,
                Special::CharDevice => FileType::CharacterDevice,
                Special::BlockDevice => FileType::BlockDevice,
            };
            rustix::fs::mknodat(fd, name, kind, bits, u64::from(*device))
        }
    };
    (ours, real)
}

fn link(model: &mut Model, from: &At, to: &At) -> Both {
    let (source, parent, now) = (model.directories[from.0].0, model.directories[to.0].0, model.now());
    let ours = long(&from.1).and_then(|()| model.lookup(source, &from.1)).and_then(|attr| {
        long(&to.1)?;
        model.apply(&Command::Link { inode: attr.inode, parent, name: to.1.clone(), now })
    });
    let (from_fd, to_fd) = (&model.directories[from.0].1, &model.directories[to.0].1);
    (ours, rustix::fs::linkat(from_fd, &from.1[..], to_fd, &to.1[..], AtFlags::empty()))
}

fn rename(model: &mut Model, from: &At, to: &At, how: Renaming) -> Both {
    let (parent, new_parent, now) = (model.directories[from.0].0, model.directories[to.0].0, model.now());
    let (name, new_name) = (from.1.clone(), to.1.clone());
    let command = Command::Rename { parent, name, new_parent, new_name, how, now };
    let ours = command.check().map_err(|why| why.errno()).and_then(|()| model.apply(&command));
    let flags = match how {
        Renaming::Replace => RenameFlags::empty(),
        Renaming::NoReplace => RenameFlags::NOREPLACE,
        Renaming::Exchange => RenameFlags::EXCHANGE,
    };
    let (from_fd, to_fd) = (&model.directories[from.0].1, &model.directories[to.0].1);
    (ours, rustix::fs::renameat_with(from_fd, &from.1[..], to_fd, &to.1[..], flags))
}

/// The path of an entry through its directory's descriptor, for calls that take no directory.
fn path(fd: &OwnedFd, name: &[u8]) -> Vec<u8> {
    use rustix::fd::AsRawFd;
    [format!("/proc/self/fd/{}/", fd.as_raw_fd()).as_bytes(), name].concat()
}

/// What needs an inode: both sides look it up first.
fn with_entry(model: &mut Model, at: &At, act: impl FnOnce(&mut Model, &Attr, &[u8]) -> Both) -> Both {
    let path = path(&model.directories[at.0].1, &at.1);
    match long(&at.1).and_then(|()| model.lookup(model.directories[at.0].0, &at.1)) {
        Ok(attr) => act(model, &attr, &path),
        Err(why) => (Err(why), crate::real::stat(&model.directories[at.0].1, &at.1).map(drop)),
    }
}

fn changed(model: &mut Model, at: &At, changes: Changes) -> Both {
    with_entry(model, at, |model, attr, path| {
        // chmod follows symbolic links, and only files are cut.
        if (changes.mode.is_some() && attr.kind == Kind::SymLink)
            || (changes.size.is_some() && attr.kind != Kind::File)
        {
            return (Ok(Answer::Done), Ok(()));
        }
        let now = model.now();
        let ours = model.apply(&Command::SetAttr { inode: attr.inode, changes, now });
        let (fd, name) = (&model.directories[at.0].1, &at.1[..]);
        let real = if let Some(mode) = changes.mode {
            rustix::fs::chmodat(fd, name, Mode::from_raw_mode(mode), AtFlags::empty())
        } else if let Some(size) = changes.size {
            let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
            file.and_then(|file| rustix::fs::ftruncate(file, size))
        } else {
            let (uid, gid) = (changes.uid.map(Uid::from_raw), changes.gid.map(Gid::from_raw));
            rustix::fs::chownat(fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        };
        (ours, real)
    })
}

fn set_xattr(model: &mut Model, at: &At, name: &[u8], value: &[u8], setting: Setting) -> Both {
    with_entry(model, at, |model, attr, path| {
        let (inode, now) = (attr.inode, model.now());
        let (name, value) = (name.to_vec(), value.to_vec());
        let flags = match setting {
            Setting::Either => XattrFlags::empty(),
            Setting::Create => XattrFlags::CREATE,
            Setting::Replace => XattrFlags::REPLACE,
        };
        let real = rustix::fs::lsetxattr(path, &name[..], &value, flags);
        (model.apply(&Command::SetXattr { inode, name, value, setting, now }), real)
    })
}

fn compare_xattrs(model: &Model, (parent, fd): (Inode, &OwnedFd), name: &[u8]) -> Result<(), String> {
    let Ok(attr) = model.lookup(parent, name) else { return Ok(()) };
    for number in 0..3 {
        let xattr = format!("trusted.{number}").into_bytes();
        let ours = model.query(&Query::GetXattr { inode: attr.inode, name: xattr.clone() });
        let mut value = [0; 64];
        let real = rustix::fs::lgetxattr(&path(fd, name)[..], &xattr[..], &mut value)
            .map(|length| scifs::names::Found::Value(value[..length].to_vec()));
        if ours != real {
            return Err(format!("attribute {number}: {ours:?} here, {real:?} there"));
        }
    }
    Ok(())
}
