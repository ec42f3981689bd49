//! Whether something can be mounted at a path. The kernel would say EBUSY, ENOTCONN or nothing at all.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::control;
use crate::control::mounts::{self, MOUNT_TYPE};
use crate::exit::Exit;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PointError {
    #[error("no mountpoint; write for example: scifs /dsm")]
    None,
    #[error("cannot mount on {path}: {source}; make the folder first: mkdir -p {path}")]
    Missing { path: PathBuf, source: io::Error },
    #[error("there is no folder and no command {first:?}; did you mean scifs {command}?")]
    Command { first: String, command: String },
    #[error("{path} is not a folder; a file system is mounted on a folder")]
    NotAFolder { path: PathBuf },
    #[error("cannot mount on {path}: {source}")]
    Denied { path: PathBuf, source: io::Error },
    #[error("{path} has a SciFS mount already{who}; unmount it first: scifs umount {path}")]
    Busy { path: PathBuf, who: String },
    #[error("{path} has the mount of a file system that has died; remove it first: umount {path}")]
    Dead { path: PathBuf },
    #[error("{path} has characters that are no UTF-8; mount on another path")]
    Text { path: PathBuf },
    #[error(
        "there is no /dev/fuse; load the driver with `modprobe fuse`, or give the container --device /dev/fuse"
    )]
    NoDevice,
    #[error("cannot read the table of mounts: {0}; is /proc mounted?")]
    Table(io::Error),
}

impl PointError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Busy { .. } | Self::Dead { .. } => Exit::Failed,
            Self::NoDevice | Self::Table(_) => Exit::System,
            _ => Exit::Usage,
        }
    }
}

/// The absolute path of a folder that something can be mounted on. One that isn't empty is fine, as with mount(8).
pub(super) fn check(path: &Path) -> Result<PathBuf, PointError> {
    // First of all, since a mount whose node hangs would hang whoever touches it.
    if let Some(mounted) = mounts::at(path).map_err(PointError::Table)?
        && mounted.kind == MOUNT_TYPE
    {
        return Err(match std::fs::metadata(path) {
            Err(error) if is_dead(&error) => PointError::Dead { path: mounted.point },
            _ => PointError::Busy { path: mounted.point.clone(), who: served_by(&mounted) },
        });
    }
    let about = std::fs::metadata(path).map_err(|source| {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => PointError::Missing { path, source },
            io::ErrorKind::NotADirectory => PointError::NotAFolder { path },
            _ if is_dead(&source) => PointError::Dead { path },
            _ => PointError::Denied { path, source },
        }
    })?;
    if !about.is_dir() {
        return Err(PointError::NotAFolder { path: path.into() });
    }
    if !Path::new("/dev/fuse").exists() {
        return Err(PointError::NoDevice);
    }
    let absolute = path.canonicalize().map_err(|source| PointError::Denied { path: path.into(), source })?;
    match absolute.to_str() {
        Some(_) => Ok(absolute),
        None => Err(PointError::Text { path: absolute }),
    }
}

/// The daemon behind a FUSE mount is gone.
pub(super) fn is_dead(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOTCONN)
}

fn served_by(mounted: &mounts::Mounted) -> String {
    let socket = mounts::socket_of(mounted);
    let name = socket.as_deref().and_then(control::name_of);
    name.map(|name| format!(", of node {name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_and_everything_else_is_refused_in_words() {
        let folder = std::env::temp_dir().join(format!("scifs-point-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("file");
        std::fs::write(&file, "").unwrap();
        let taken = check(&folder);
        let refused =
            [folder.join("none"), file.clone(), file.join("below")].map(|path| check(&path).unwrap_err());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(taken.unwrap(), folder);
        let words = ["mkdir -p", "is not a folder", "is not a folder"];
        for (error, words) in refused.iter().zip(words) {
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.exit(), Exit::Usage);
        }
    }
}
