//! What programs that share memory need of the files.

use std::sync::{Arc, Weak};

use rustix::io::Errno;

use super::Inner;
use super::attributes;
use super::lanes::Lane;
use crate::node::{File, Pages};
use crate::vm::{SizeDone, Upward};

pub(super) struct ForPrograms(pub(super) Weak<Inner>);

impl Upward for ForPrograms {
    fn pages(&self) -> Option<Arc<Pages>> {
        let present = self.0.upgrade()?.present().ok()?;
        Some(Arc::clone(&present.pages))
    }

    fn ask_size(&self, file: &Arc<File>, done: SizeDone) -> bool {
        let Some(inner) = self.0.upgrade() else { return false };
        let (asks, file) = (Arc::clone(&inner), Arc::clone(file));
        inner.lanes.run(Lane::Ask, move || done(size(&asks, &file)))
    }

    fn written(&self, inode: u64) {
        if let Some(inner) = self.0.upgrade() {
            inner.written.mark(inode);
        }
    }
}

/// The size as the leader knows it.
fn size(inner: &Inner, file: &File) -> Result<u64, Errno> {
    let present = inner.present()?;
    if file.is_gone() {
        return Ok(0);
    }
    let before = file.layout();
    let size = attributes::attr(&present, file.inode())?.size;
    inner.learn_size(file, &before, size);
    Ok(size)
}
