//! The floor: the least that FUSE and TCP let a program do that moves pages of one file between two mounts. A fault asks the
//! other side over a raw connection; the other side has its kernel drop the page, and answers. No directory, no names, no
//! protocol for more than two.

mod files;
mod link;
mod side;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scifs::fuse::kernel::{FileSystem, MountSetting, Session, SessionConfig};

use self::files::{Files, NAME};
use self::link::Link;
use self::side::Side;
use super::MountBenchError;
use crate::part::{Scratch, until_unwanted};
use crate::wire::{Pair, answer};

/// As the mounts of SciFS have it.
const SETTING: SessionConfig =
    SessionConfig { workers: 2, write_bytes_max: 1 << 20, readahead_bytes_max: 4096 };

/// A side and its mount, which is gone when this is dropped.
struct Mounted {
    folder: Scratch,
    session: Session,
}

impl Mounted {
    fn new(name: &str, side: &Arc<Side>) -> Result<Self, MountBenchError> {
        let folder = Scratch::new(name)?;
        let setting = MountSetting {
            source: "scifs-bench".into(),
            read_only: false,
            nosuid: true,
            nodev: true,
            noexec: true,
            noatime: true,
            allow_other: false,
            default_permissions: false,
        };
        let session = Session::mount(folder.path(), &setting, SETTING)?;
        // Set once, before anything else can have a page of this side.
        let _ = side.notifier.set(session.notifier()?);
        session.serve(&(Arc::new(Files::new(side)) as Arc<dyn FileSystem>))?;
        Ok(Self { folder, session })
    }

    fn file(&self) -> String {
        self.folder.path().join(NAME).to_string_lossy().into_owned()
    }

    /// Not by dropping the session, which waits for its workers: they may wait for the other side, and end with this process.
    fn end(self) {
        if let Err(error) = self.session.unmount() {
            eprintln!("scifs-bench: {error}");
        }
        std::mem::forget(self.session);
    }
}

/// The side that has all pages in the beginning. Says where the other can connect.
pub(super) fn first(pages: usize, spin: Duration) -> Result<(), MountBenchError> {
    let side = Arc::new(Side::new(pages, true));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(MountBenchError::socket("bind"))?;
    let address = listener.local_addr().map_err(MountBenchError::socket("bind"))?.to_string();
    let accepting = Arc::clone(&side);
    std::thread::spawn(move || {
        let Pair { ours, theirs } = Pair::accept(&listener, spin)?;
        let _ = accepting.link.set(Link::Tcp(Mutex::new(ours)));
        answer(&*accepting, &theirs)
    });
    let mounted = Mounted::new("floor-1", &side)?;
    until_unwanted(&[mounted.file(), address]);
    mounted.end();
    Ok(())
}

/// The side that has nothing in the beginning.
pub(super) fn second(pages: usize, spin: Duration, address: &str) -> Result<(), MountBenchError> {
    let side = Arc::new(Side::new(pages, false));
    let Pair { ours, theirs } = Pair::connect(address, spin).map_err(MountBenchError::socket("connect"))?;
    let _ = side.link.set(Link::Tcp(Mutex::new(ours)));
    let answering = Arc::clone(&side);
    std::thread::spawn(move || answer(&*answering, &theirs));
    let mounted = Mounted::new("floor-2", &side)?;
    until_unwanted(&[mounted.file()]);
    mounted.end();
    Ok(())
}

/// Both in one process: what is left when nothing has to be sent.
pub(super) fn both(pages: usize) -> Result<(), MountBenchError> {
    let sides = [Arc::new(Side::new(pages, true)), Arc::new(Side::new(pages, false))];
    let [first, second] = &sides;
    let _ = first.link.set(Link::Beside(Arc::downgrade(second)));
    let _ = second.link.set(Link::Beside(Arc::downgrade(first)));
    let mounts = [Mounted::new("floor-3", first)?, Mounted::new("floor-4", second)?];
    until_unwanted(&mounts.each_ref().map(Mounted::file));
    mounts.into_iter().for_each(Mounted::end);
    Ok(())
}
