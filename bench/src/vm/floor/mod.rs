//! The floor: the least that userfaultfd and TCP let two programs do that share a file's pages. Each has the memory of the file, a thread that
//! serves its page faults by asking the other program over a connection, and one that answers the other's. No directory, no names, no
//! protocol for more than two, no process that serves another.

mod side;
mod userfault;

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use self::side::{Held, Side};
use self::userfault::Userfault;
use super::end::{EndError, call};
use crate::mapped::{Access, Mapped};
use crate::sweep::{PAGE_BYTES, WORD_BYTES, expected};
use crate::wire::{Pair, answer};

/// The side that has all pages in the beginning, and where the other can connect.
pub(super) fn first(pages: usize, spin: Duration) -> Result<(Arc<Side>, String), EndError> {
    let side = side(pages, spin, Held::Alone)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(call("listen on loopback"))?;
    let address = listener.local_addr().map_err(call("listen on loopback"))?.to_string();
    let serving = Arc::clone(&side);
    std::thread::spawn(move || start(&serving, || Pair::accept(&listener, spin)));
    Ok((side, address))
}

/// The side that has nothing in the beginning.
pub(super) fn second(pages: usize, spin: Duration, address: &str) -> Result<Arc<Side>, EndError> {
    let side = side(pages, spin, Held::Nothing)?;
    let pair = Pair::connect(address, spin).map_err(call("connect on loopback"))?;
    let serving = Arc::clone(&side);
    std::thread::spawn(move || start(&serving, || Ok(pair)));
    Ok(side)
}

fn side(pages: usize, spin: Duration, held: Held) -> Result<Arc<Side>, EndError> {
    let file = memfd_create("scifs-bench", MemfdFlags::CLOEXEC).map_err(call("make memory"))?;
    let file = File::from(file);
    file.set_len((pages * PAGE_BYTES) as u64).map_err(call("make memory"))?;
    if held == Held::Alone {
        for page in 0..pages {
            let mut bytes = [0; PAGE_BYTES];
            bytes[..WORD_BYTES].copy_from_slice(&expected(page, 0).to_ne_bytes());
            file.write_all_at(&bytes, (page * PAGE_BYTES) as u64).map_err(call("fill memory"))?;
        }
    }
    let mapped = Mapped::new(&file, pages, Access::ReadWrite).map_err(call("map memory"))?;
    let faults = Userfault::new(&mapped, pages, spin.is_zero())
        .map_err(call("use userfaultfd (as root, or after sysctl vm.unprivileged_userfaultfd=1)"))?;
    Ok(Arc::new(Side::new(file, mapped, faults, vec![held; pages], spin)))
}

/// Ends with the other side, and the comparison sees that its order isn't answered.
fn start(side: &Arc<Side>, connect: impl FnOnce() -> io::Result<Pair>) {
    // Pages that are here need nobody else; but the thread needs a connection, and gets it before anything counts.
    let served = connect().and_then(|Pair { ours, theirs }| {
        let answering = Arc::clone(side);
        std::thread::spawn(move || answer(&*answering, &theirs));
        side.serve(&ours)
    });
    if let Err(error) = served {
        eprintln!("scifs-bench: floor: {error}");
    }
}
