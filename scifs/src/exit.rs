//! How every `scifs` command ends: the exit codes of mount(8), since mount(8) is who calls it first. They are part of
//! the interface: scripts and systemd units rely on them, so a number never changes its meaning.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for a mount: it serves.
    Success = 0,
    /// The command line, an option, the configuration file or a permission is wrong. Nothing was begun.
    Usage = 1,
    /// The system refused something that is no fault of the options: memory, files, processes, /dev/fuse.
    System = 2,
    /// A bug in scifs.
    Internal = 4,
    /// Interrupted by the user before it was done.
    Interrupted = 8,
    /// The mount, the join or the request failed although the command was right.
    Failed = 32,
}

impl Exit {
    /// Every code with its meaning, as help and manual page print it.
    pub const TABLE: [(Self, &str); 6] = [
        (Self::Success, "success; for a mount: it serves"),
        (Self::Usage, "wrong command line, option, configuration file or permission; nothing was begun"),
        (Self::System, "the system refused: out of memory, no /dev/fuse, cannot fork"),
        (Self::Internal, "a bug in scifs"),
        (Self::Interrupted, "interrupted by the user"),
        (Self::Failed, "the mount, the join or the request failed"),
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    /// The meaning of a code, if it is one of ours.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::TABLE.iter().map(|(exit, _)| *exit).find(|exit| exit.code() == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_mount() {
        let codes: Vec<_> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 4, 8, 32]);
        assert!(Exit::TABLE.iter().all(|(exit, _)| Exit::from_code(exit.code()) == Some(*exit)));
        assert_eq!(Exit::from_code(3), None);
    }
}
