//! All names as bytes, for members that join and for those that lag behind. Compact: numbers take as many bytes as they
//! need, and times that are equal are written once. Layout: `WIRE.md`.

use std::collections::{BTreeMap, BTreeSet};

use scios::limits::MEMBERS_MAX;
use scios::rpc::codec::{DecodeError, Reader};

use super::attr::{Inode, Kind, Layout, Piece, ROOT, Time};
use super::codec::{check_layout, consistency_code, consistency_from, kind_code, kind_from};
use super::command::Special;
use super::directory::Directory;
use super::limits::{
    ADDRESS_UNIT, FILE_BYTES_MAX, GENERATION_MAX, INODE_MAX, NAME_BYTES_MAX, PIECES_MAX, TARGET_BYTES_MAX,
    XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
};
use super::node::{Body, File, MODE_BITS, Node, entry_weight};
use super::pack::{Pack, Unpack, invalid};
use super::state::Names;

/// Raised with every change of the layout.
const VERSION: u8 = 1;

const KIND_MASK: u8 = 0b0000_0111;
/// Set where a time equals the change time.
const SAME_MTIME: u8 = 0b0000_1000;
const SAME_ATIME: u8 = 0b0001_0000;
const SAME_BIRTH: u8 = 0b0010_0000;
const FLAGS: u8 = KIND_MASK | SAME_MTIME | SAME_ATIME | SAME_BIRTH;

impl Names {
    pub fn snapshot(&self) -> Vec<u8> {
        let mut to = Pack::with_capacity(self.weight / 2);
        to.byte(VERSION);
        to.number(self.applied);
        to.number(self.next_inode);
        to.numbers(self.members.iter().map(|member| u64::from(*member)));
        to.number(self.inodes.len() as u64);
        let mut last = 0;
        for (inode, node) in &self.inodes {
            to.number(inode - last);
            last = *inode;
            put_node(&mut to, node);
        }
        to.number(self.orphans.len() as u64);
        for (inode, holders) in &self.orphans {
            to.number(*inode);
            to.numbers(holders.iter().map(|holder| u64::from(*holder)));
        }
        to.bytes
    }

    /// What a snapshot describes. Anything that could not have been written is refused.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(invalid("version of names", version));
        }
        let applied = from.number()?;
        let mut names = Self::empty(from.number_below("inode", INODE_MAX + 1)?);
        names.applied = applied;
        names.members = get_members(&mut from)?;
        let mut last = 0u64;
        for _ in 0..from.number()? {
            let inode = last.saturating_add(from.number()?);
            if inode <= last || inode >= names.next_inode {
                return Err(invalid("inode", inode));
            }
            last = inode;
            let node = get_node(&mut from)?;
            names.take_in(inode, node)?;
        }
        for _ in 0..from.number()? {
            let inode = from.number()?;
            names.orphans.insert(inode, get_members(&mut from)?);
        }
        from.end()?;
        names.check()?;
        Ok(names)
    }

    fn take_in(&mut self, inode: Inode, node: Node) -> Result<(), DecodeError> {
        self.weight += node.weight();
        match &node.body {
            Body::File(File { address: Some(address), size, .. }) => {
                let claimed = self.addresses.claim(inode, *address, *size);
                claimed.map_err(|_| invalid("address", *address))?;
            }
            Body::Directory(directory) => {
                self.weight += directory.after(0).map(|(_, name, _)| entry_weight(name)).sum::<usize>();
            }
            _ => {}
        }
        self.inodes.insert(inode, node);
        Ok(())
    }

    /// What the state machine relies on: a tree whose root is there, links that are counted right, and orphans without a name.
    fn check(&self) -> Result<(), DecodeError> {
        if !self.inodes.get(&ROOT).is_some_and(Node::is_directory) {
            return Err(invalid("root", ROOT));
        }
        let mut names: BTreeMap<Inode, u32> = BTreeMap::new();
        for (inode, node) in &self.inodes {
            let Body::Directory(directory) = &node.body else { continue };
            let mut subdirectories = 0u32;
            for (_, _, entry) in directory.after(0) {
                let Some(node) = self.inodes.get(&entry) else { return Err(invalid("entry", entry)) };
                *names.entry(entry).or_default() += 1;
                if let Body::Directory(child) = &node.body {
                    subdirectories += 1;
                    if child.parent != *inode {
                        return Err(invalid("parent", child.parent));
                    }
                }
            }
            let alive = node.links == subdirectories.saturating_add(2);
            if !alive && (node.links != 0 || !directory.is_empty()) {
                return Err(invalid("links", node.links));
            }
        }
        for (inode, node) in &self.inodes {
            let count = names.get(inode).copied().unwrap_or(0);
            let expected = match (node.is_directory(), node.links) {
                (true, 0) => 0,
                (true, _) => u32::from(*inode != ROOT),
                (false, links) => links,
            };
            if count != expected || (node.links == 0) != self.orphans.contains_key(inode) {
                return Err(invalid("links", *inode));
            }
        }
        let directories = self.inodes.values().filter(|node| node.is_directory() && node.links > 0);
        if directories.count() != self.reachable() {
            return Err(invalid("tree", self.inodes.len() as u64));
        }
        if !self.orphans.keys().all(|inode| self.inodes.contains_key(inode)) {
            return Err(invalid("orphans", self.orphans.len() as u64));
        }
        Ok(())
    }

    /// How many directories are below the root, itself included. Each has one parent, so none is met twice.
    fn reachable(&self) -> usize {
        let (mut open, mut count) = (vec![ROOT], 0);
        while let Some(inode) = open.pop() {
            if let Some(Body::Directory(directory)) = self.inodes.get(&inode).map(|node| &node.body) {
                count += 1;
                open.extend(directory.after(0).map(|(_, _, entry)| entry));
            }
        }
        count
    }
}

fn get_members(from: &mut Reader<'_>) -> Result<BTreeSet<u32>, DecodeError> {
    let count = from.number_below("members", MEMBERS_MAX as u64 + 1)?;
    (0..count).map(|_| from.small("member", u32::MAX)).collect()
}

fn put_node(to: &mut Pack, node: &Node) {
    let times = [(node.mtime, SAME_MTIME), (node.atime, SAME_ATIME), (node.birth, SAME_BIRTH)];
    let same = times.iter().filter(|(time, _)| *time == node.ctime).fold(0, |all, (_, flag)| all | flag);
    to.byte(kind_code(node.kind()) | same);
    for word in [node.mode, node.uid, node.gid, node.links] {
        to.number(u64::from(word));
    }
    put_time(to, node.ctime);
    for (time, _) in times.iter().filter(|(time, _)| *time != node.ctime) {
        put_time(to, *time);
    }
    to.number(node.xattrs.len() as u64);
    for (name, value) in &node.xattrs {
        to.bytes(name);
        to.bytes(value);
    }
    match &node.body {
        Body::File(file) => put_file(to, file),
        Body::Directory(directory) => put_directory(to, directory),
        Body::SymLink(target) => to.bytes(target),
        Body::Special { device, .. } => to.number(u64::from(*device)),
    }
}

fn get_node(from: &mut Reader<'_>) -> Result<Node, DecodeError> {
    let flags = from.u8()?;
    if flags & !FLAGS != 0 {
        return Err(invalid("flags of an inode", flags));
    }
    let kind = kind_from(flags & KIND_MASK)?;
    let mode = from.small("mode", MODE_BITS)?;
    let (uid, gid) = (from.small("user", u32::MAX)?, from.small("group", u32::MAX)?);
    let links = from.small("links", u32::MAX)?;
    let ctime = get_time(from)?;
    let time = |from: &mut Reader<'_>, same| if flags & same != 0 { Ok(ctime) } else { get_time(from) };
    let (mtime, atime) = (time(from, SAME_MTIME)?, time(from, SAME_ATIME)?);
    let birth = time(from, SAME_BIRTH)?;
    let mut xattrs = BTreeMap::new();
    for _ in 0..from.number()? {
        let name = from.some_bytes("attribute name", XATTR_NAME_BYTES_MAX)?.to_vec();
        xattrs.insert(name, from.some_bytes("attribute value", XATTR_VALUE_BYTES_MAX)?.to_vec());
    }
    let body = get_body(from, kind)?;
    Ok(Node { mode, uid, gid, links, atime, mtime, ctime, birth, xattrs, body })
}

fn get_body(from: &mut Reader<'_>, kind: Kind) -> Result<Body, DecodeError> {
    let kind = match kind {
        Kind::File => return get_file(from).map(Body::File),
        Kind::Directory => return get_directory(from).map(Body::Directory),
        Kind::SymLink => return Ok(Body::SymLink(from.some_bytes("target", TARGET_BYTES_MAX)?.to_vec())),
        Kind::Fifo => Special::Fifo,
        Kind::Socket => Special::Socket,
        Kind::CharDevice => Special::CharDevice,
        Kind::BlockDevice => Special::BlockDevice,
    };
    Ok(Body::Special { kind, device: from.small("device", u32::MAX)? })
}

fn put_time(to: &mut Pack, time: Time) {
    to.signed(time.seconds);
    to.number(u64::from(time.nanos));
}

fn get_time(from: &mut Reader<'_>) -> Result<Time, DecodeError> {
    Ok(Time { seconds: from.signed()?, nanos: from.small("time's nanoseconds", 999_999_999)? })
}

/// An address is counted in units; none is written as 0, since the first possible one is far above.
fn put_file(to: &mut Pack, file: &File) {
    to.number(file.size);
    to.byte(consistency_code(file.consistency));
    to.number(file.address.unwrap_or(0) / ADDRESS_UNIT);
    to.number(u64::from(file.generation));
    to.number(file.layout.pieces.len() as u64);
    for piece in &file.layout.pieces {
        to.number(u64::from(piece.first_page));
        to.number(u64::from(piece.generation));
    }
}

fn get_file(from: &mut Reader<'_>) -> Result<File, DecodeError> {
    let size = from.number_below("size", FILE_BYTES_MAX + 1)?;
    let consistency = consistency_from(from.u8()?)?;
    let units = from.number_below("address", u64::MAX / ADDRESS_UNIT)?;
    let address = (units != 0).then_some(units * ADDRESS_UNIT);
    let generation = from.small("generation", GENERATION_MAX)?;
    let mut pieces = Vec::new();
    for _ in 0..from.number_below("pieces", PIECES_MAX as u64 + 1)? {
        let first_page = from.small("page", u32::MAX)?;
        pieces.push(Piece { first_page, generation: from.small("generation", generation)? });
    }
    check_layout(&pieces)?;
    Ok(File { size, consistency, address, layout: Layout { pieces }, generation })
}

fn put_directory(to: &mut Pack, directory: &Directory) {
    to.number(directory.parent);
    to.number(directory.next_cookie());
    to.number(directory.len() as u64);
    let mut last = 0;
    for (cookie, name, inode) in directory.after(0) {
        to.number(cookie - last);
        last = cookie;
        to.number(inode);
        to.bytes(name);
    }
}

fn get_directory(from: &mut Reader<'_>) -> Result<Directory, DecodeError> {
    let (parent, next_cookie) = (from.number()?, from.number()?);
    let mut directory = Directory::restored(parent, next_cookie);
    let mut cookie = 0u64;
    for _ in 0..from.number()? {
        cookie = cookie.saturating_add(from.number()?);
        let inode = from.number()?;
        let name = from.some_bytes("name", NAME_BYTES_MAX)?;
        if name.is_empty() || !directory.restore_entry(cookie, name, inode) {
            return Err(invalid("entry", cookie));
        }
    }
    Ok(directory)
}
