//! Waiting for others, wherever in the cluster they are. The node of the mount does it; here is only the asking.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use rustix::io::Errno;

use crate::abi::{self, Barrier, FOREVER, NAME_BYTES, Notify, Prefetch, Wait};
use crate::error::Error;
use crate::locks::Mode;
use crate::mount;
use crate::registry::{Mapping, registry};
use crate::sys;

/// How a wait ended. Look at the word again in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    Notified,
    /// It did not have the expected value, so there was no wait.
    OtherValue,
    TimedOut,
    Interrupted,
}

fn nanoseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(FOREVER, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(FOREVER).min(FOREVER - 1))
}

/// The mapping around a range, and where the range begins in the file.
fn place(address: usize, length: usize) -> Result<(Arc<Mapping>, u64), Error> {
    let mapping = registry().around(address, length)?;
    let offset = mapping.offset + (address - mapping.address) as u64;
    Ok((mapping, offset))
}

/// An ioctl that an older node doesn't know.
fn offered(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| match errno {
        Errno::NOTTY | Errno::NOSYS => Error::NotOffered { what },
        Errno::INTR => Error::Interrupted,
        Errno::TIMEDOUT => Error::TimedOut,
        errno => Error::Node { what, errno },
    }
}

/// Until somebody notifies that address, if the word there has the expected value.
pub(crate) fn wait(
    address: usize,
    expected: u64,
    width: usize,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    if !matches!(width, 4 | 8) || !address.is_multiple_of(width) {
        return Err(Error::Word);
    }
    let (mapping, offset) = place(address, width)?;
    let width = width as u32;
    let request = Wait { offset, expected, width, reserved: 0, timeout_ns: nanoseconds(timeout) };
    let answer = sys::write(mapping.file.as_fd(), abi::WAIT, &request.to_bytes());
    fence(Ordering::SeqCst);
    answer.map(drop).map_err(|errno| match errno {
        Errno::AGAIN => Error::OtherValue,
        errno => offered("waiting for a word")(errno),
    })
}

/// Wakes so many of those who wait for that address, at most; gives how many.
pub(crate) fn notify(address: usize, count: u32) -> Result<u32, Error> {
    if !address.is_multiple_of(4) {
        return Err(Error::Word);
    }
    let (mapping, offset) = place(address, 4)?;
    fence(Ordering::SeqCst);
    sys::write(mapping.file.as_fd(), abi::NOTIFY, &Notify { offset, count, reserved: 0 }.to_bytes())
        .map_err(offered("waking who waits for a word"))
}

/// Until so many have come to the barrier of that name, anywhere in the cluster. True for one of them.
pub fn barrier(name: &str, parties: u32, timeout: Option<Duration>) -> Result<bool, Error> {
    if parties == 0 {
        return Err(Error::Parties);
    }
    let name = abi::name(name).filter(|_| (1..NAME_BYTES).contains(&name.len())).ok_or(Error::BarrierName)?;
    let request = Barrier { name, parties, reserved: 0, timeout_ns: nanoseconds(timeout) };
    let place = mount::of_process()?;
    fence(Ordering::SeqCst);
    let answer = sys::write(place.as_fd(), abi::BARRIER, &request.to_bytes());
    fence(Ordering::SeqCst);
    answer.map(|last| last == 1).map_err(|errno| match errno {
        Errno::INVAL => Error::Parties,
        errno => offered("a barrier")(errno),
    })
}

/// Has the pages brought here, and doesn't wait for them. A node that can't do that just brings them when they are touched.
pub(crate) fn prefetch(address: usize, length: usize, mode: Mode) -> Result<(), Error> {
    if length == 0 {
        return Err(Error::NoLength);
    }
    let (mapping, offset) = place(address, length)?;
    let mode = match mode {
        Mode::Read => 0,
        Mode::Write => 1,
    };
    let request = Prefetch { offset, bytes: length as u64, mode, reserved: 0 };
    match sys::write(mapping.file.as_fd(), abi::PREFETCH, &request.to_bytes()) {
        Ok(_) | Err(Errno::NOTTY | Errno::NOSYS) => Ok(()),
        Err(errno) => Err(offered("fetch pages ahead")(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_too_long_are_for_ever_and_no_others() {
        assert_eq!(nanoseconds(None), FOREVER);
        assert_eq!(nanoseconds(Some(Duration::from_nanos(5))), 5);
        assert_eq!(nanoseconds(Some(Duration::MAX)), FOREVER - 1);
    }

    #[test]
    fn what_cannot_be_is_refused_before_any_node_is_asked() {
        assert_eq!(wait(8, 0, 3, None), Err(Error::Word));
        assert_eq!(wait(6, 0, 4, None), Err(Error::Word));
        assert_eq!(wait(8, 0, 4, None), Err(Error::NotMapped { address: 8 }));
        assert_eq!(notify(8, 1), Err(Error::NotMapped { address: 8 }));
        assert_eq!(prefetch(8, 0, Mode::Read), Err(Error::NoLength));
        assert_eq!(barrier("x", 0, None), Err(Error::Parties));
        assert_eq!(barrier("", 1, None), Err(Error::BarrierName));
        assert_eq!(barrier(&"x".repeat(64), 1, None), Err(Error::BarrierName));
    }
}
