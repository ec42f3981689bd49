//! The shared secret, read from a file that nobody else may read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN};

#[derive(Debug, Error)]
pub enum SecretError {
    #[error(
        "cannot read secret={path}: {source}; make one with: head -c 32 /dev/urandom > {path}; chmod 600 {path}"
    )]
    Read { path: PathBuf, source: std::io::Error },
    #[error("secret={path} can be read by others (mode {mode:03o}); run: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "secret={path} has {bytes} bytes, but a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}; \
         make one with: head -c 32 /dev/urandom > {path}"
    )]
    Length { path: PathBuf, bytes: u64 },
}

/// What every node of a cluster knows and nobody else. Not printable on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// For tests and embedding; the same length limits as for files are the caller's to keep.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let read_error = |source| SecretError::Read { path: path.into(), source };
        let file = File::open(path).map_err(read_error)?;
        // Asked of the open file, not of the path, so that it can't be exchanged in between.
        let mode = file.metadata().map_err(read_error)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Exposed { path: path.into(), mode });
        }
        let mut bytes = Vec::new();
        file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(read_error)?;
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(SecretError::Length { path: path.into(), bytes: bytes.len() as u64 });
        }
        Ok(Self(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
