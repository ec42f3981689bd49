//! What the node of a mount says about itself.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::abi::{self, Info};
use crate::error::Error;
use crate::{mount, sys};

/// Of the mount that [`mount::of_process`] chooses.
pub fn info() -> Result<Info, Error> {
    let place = mount::of_process()?;
    let answer = sys::read(place.as_fd(), abi::INFO).map_err(|errno| match errno {
        Errno::NOTTY | Errno::NOSYS => Error::NotOffered { what: "numbers about itself" },
        errno => Error::Node { what: "ask the node for its numbers", errno },
    })?;
    let info = Info::from_bytes(&answer).map_err(|_| Error::Version)?;
    if info.version == abi::VERSION { Ok(info) } else { Err(Error::Version) }
}
