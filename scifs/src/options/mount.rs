//! The options that are about the mount, not about the node.

/// Who else than the user who mounted may use the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    Owner,
    /// Everybody (`allow_other`).
    Everybody,
}

/// What mount(8) and fusermount3 understand. Of options that contradict each other the last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    pub read_only: bool,
    pub dev: bool,
    pub suid: bool,
    pub exec: bool,
    pub atime: bool,
    pub access: Access,
    pub auto_unmount: bool,
    pub fsname: Option<String>,
    /// What was accepted and changes nothing here, such as `_netdev` and `x-systemd.automount`, as it was given.
    pub kept: Vec<String>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            dev: true,
            suid: true,
            exec: true,
            atime: true,
            access: Access::Owner,
            auto_unmount: false,
            fsname: None,
            kept: Vec::new(),
        }
    }
}

impl MountOptions {
    /// `defaults`, as mount(8) defines it.
    pub(super) fn defaults(&mut self) {
        self.read_only = false;
        self.dev = true;
        self.suid = true;
        self.exec = true;
    }

    /// `owner` and `group`: somebody else than root mounts.
    pub(super) fn restrict(&mut self) {
        self.dev = false;
        self.suid = false;
    }

    /// `user` and `users`: anybody mounts.
    pub(super) fn restrict_to_data(&mut self) {
        self.restrict();
        self.exec = false;
    }
}
