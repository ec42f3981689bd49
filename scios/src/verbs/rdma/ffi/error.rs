//! What can go wrong between here and a card, each with what to do about it.

use std::io;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum VerbsError {
    #[error("cannot load {name} ({what}); install it: apt install libibverbs1 ibverbs-providers")]
    Library { name: String, what: String },
    #[error(
        "this kernel has no InfiniBand support loaded; load your card's driver, or make a soft-RoCE device: \
         sudo rxe-setup/up.sh"
    )]
    Kernel,
    #[error(
        "there is no RDMA device; load your card's driver, or make a soft-RoCE device: sudo rxe-setup/up.sh"
    )]
    NoDevice,
    #[error(
        "the kernel has the RDMA device {device}, but libibverbs has no provider for it; \
         install it: apt install ibverbs-providers"
    )]
    NoProvider { device: String },
    #[error(
        "no RDMA device can be used ({what}); bring the link and its IP address up, \
         or make a soft-RoCE device: sudo rxe-setup/up.sh"
    )]
    NoPort { what: String },
    #[error("the RDMA device {device} cannot {what}; use fabric=tcp with it")]
    Lacks { device: String, what: &'static str },
    #[error(
        "{operation} failed: {source}; more memory must be lockable than `ulimit -l` allows ({bytes} bytes were asked \
         for): raise it, or run as root"
    )]
    Lockable { operation: &'static str, bytes: usize, source: io::Error },
    #[error("{operation} failed: {source}")]
    Call { operation: &'static str, source: io::Error },
}

impl VerbsError {
    /// For the calls that return NULL and set `errno`.
    pub(super) fn last(operation: &'static str) -> Self {
        Self::Call { operation, source: io::Error::last_os_error() }
    }

    /// For the calls that return 0 or an error number.
    pub(super) fn check(operation: &'static str, returned: i32) -> Result<(), Self> {
        match returned {
            0 => Ok(()),
            // Some providers return -1 and set errno, others the number, others its negative.
            -1 => Err(Self::last(operation)),
            code => Err(Self::Call { operation, source: io::Error::from_raw_os_error(code.abs()) }),
        }
    }
}
