//! Queries: they change nothing.

use super::attr::{FileInfo, Inode};
use super::directory::{COOKIE_PARENT, COOKIE_SELF};
use super::error::Refusal;
use super::limits::{ENTRIES_MAX, INODES_MAX};
use super::node::Body;
use super::query::{Entry, Found, Query, Totals};
use super::state::Names;
use super::xattrs::{XATTR_ADDRESS, XATTR_CONSISTENCY, address_text, check_namespace};

impl Names {
    pub fn query(&self, query: &Query) -> Result<Found, Refusal> {
        query.check()?;
        match query {
            Query::Lookup { parent, name } => {
                let inode = self.directory(*parent)?.get(name).ok_or(Refusal::NotFound)?;
                Ok(Found::Attr(self.node(inode)?.attr(inode)))
            }
            Query::GetAttr { inode } => Ok(Found::Attr(self.node(*inode)?.attr(*inode))),
            Query::ReadDir { inode, after, max } => self.list(*inode, *after, *max).map(Found::Entries),
            Query::ReadLink { inode } => match &self.node(*inode)?.body {
                Body::SymLink(target) => Ok(Found::Target(target.clone())),
                _ => Err(Refusal::WrongKind),
            },
            Query::GetXattr { inode, name } => self.xattr(*inode, name).map(Found::Value),
            Query::ListXattr { inode } => {
                Ok(Found::XattrNames(self.node(*inode)?.xattrs.keys().cloned().collect()))
            }
            Query::StatFs => Ok(Found::Totals(self.totals())),
            Query::File { inode } => self.info(*inode).map(Found::File),
        }
    }

    fn list(&self, inode: Inode, after: u64, max: u32) -> Result<Vec<Entry>, Refusal> {
        let node = self.node(inode)?;
        let directory = node.directory()?;
        let max = ENTRIES_MAX.min(max as usize);
        // A removed directory has nothing in it, not even itself.
        let dots = [(COOKIE_SELF, &b"."[..], inode), (COOKIE_PARENT, b"..", directory.parent)];
        let dots = dots.into_iter().filter(|(cookie, ..)| node.links > 0 && *cookie > after);
        let rest = directory.after(after).map(|(cookie, name, inode)| (cookie, &name[..], inode));
        dots.chain(rest)
            .take(max)
            .map(|(cookie, name, inode)| {
                // A removed directory's parent may be gone, but then the list is empty.
                let kind = self.node(inode)?.kind();
                Ok(Entry { cookie, inode, kind, name: name.to_vec() })
            })
            .collect()
    }

    fn xattr(&self, inode: Inode, name: &[u8]) -> Result<Vec<u8>, Refusal> {
        let node = self.node(inode)?;
        check_namespace(name)?;
        match (name, &node.body) {
            (XATTR_ADDRESS, Body::File(file)) => {
                let address = file.address.ok_or(Refusal::NoXattr)?;
                Ok(address_text(address).into_bytes())
            }
            (XATTR_CONSISTENCY, Body::File(file)) => Ok(file.consistency.name().into()),
            _ => node.xattrs.get(name).cloned().ok_or(Refusal::NoXattr),
        }
    }

    fn info(&self, inode: Inode) -> Result<FileInfo, Refusal> {
        let node = self.node(inode)?;
        let file = node.file()?;
        Ok(FileInfo {
            attr: node.attr(inode),
            layout: file.layout.clone(),
            consistency: file.consistency,
            address: file.address,
        })
    }

    fn totals(&self) -> Totals {
        Totals { inodes: self.inodes.len() as u64, inodes_max: INODES_MAX as u64 }
    }
}
