//! What changes the name space. Every command is applied once, in the same order, by every member. Bytes: `WIRE.md`.

use super::attr::{Attr, Consistency, Inode, Time};

/// What a new entry is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Make {
    /// `address`: where it is to lie, else it is chosen when somebody asks. `size`: how long it is from the start, all zeros.
    File {
        consistency: Consistency,
        address: Option<u64>,
        size: u64,
    },
    Directory,
    SymLink {
        target: Vec<u8>,
    },
    Special {
        kind: Special,
        device: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

/// What is to be changed; `None` stays as it is. The change time always becomes the command's `now`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<Time>,
    pub mtime: Option<Time>,
    /// Takes the set-user-id bit and, if the group may execute, the set-group-id bit: what a write does.
    pub drop_privileges: bool,
}

/// How a rename treats what has the new name already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renaming {
    #[default]
    Replace,
    NoReplace,
    Exchange,
}

/// Whether an extended attribute may or must exist already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    #[default]
    Either,
    Create,
    Replace,
}

/// `now` is the proposer's clock. Permissions were checked by the kernel (`default_permissions`); structure is checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Answers the new inode's `Attr`. `Exists` if the name is taken.
    Make {
        parent: Inode,
        name: Vec<u8>,
        what: Make,
        mode: u32,
        uid: u32,
        gid: u32,
        now: Time,
    },
    /// Another name for an inode. Answers its `Attr`.
    Link {
        inode: Inode,
        parent: Inode,
        name: Vec<u8>,
        now: Time,
    },
    /// Answers the `Attr` of what had the name.
    Unlink {
        parent: Inode,
        name: Vec<u8>,
        now: Time,
    },
    RmDir {
        parent: Inode,
        name: Vec<u8>,
        now: Time,
    },
    /// Answers the `Attr` of what was moved.
    Rename {
        parent: Inode,
        name: Vec<u8>,
        new_parent: Inode,
        new_name: Vec<u8>,
        how: Renaming,
        now: Time,
    },
    /// Answers the new `Attr`.
    SetAttr {
        inode: Inode,
        changes: Changes,
        now: Time,
    },
    /// The file is at least this long. Answers the new `Attr`.
    Grow {
        inode: Inode,
        size: u64,
        now: Time,
    },
    /// So many bytes were written at `at`, which was the end of the file: it is at least that long, unless it was cut
    /// shorter than `at` meanwhile. Then they were cut off with the rest. Answers the new `Attr`.
    Append {
        inode: Inode,
        at: u64,
        bytes: u64,
        now: Time,
    },
    /// These pages become zeros. Answers the new `Attr`; the layout comes with the event `Relaid`.
    Punch {
        inode: Inode,
        first_page: u32,
        pages: u32,
        now: Time,
    },
    /// The file was written to at that time: its times move forward to it, never back.
    Touch {
        inode: Inode,
        written: Time,
    },
    SetXattr {
        inode: Inode,
        name: Vec<u8>,
        value: Vec<u8>,
        setting: Setting,
        now: Time,
    },
    RemoveXattr {
        inode: Inode,
        name: Vec<u8>,
        now: Time,
    },
    /// The file needs its address now. Answers `Address`: the same for ever, unless it is changed while the file is empty.
    Pin {
        inode: Inode,
    },
    /// A member has none of these orphans open.
    LetGo {
        member: u32,
        inodes: Vec<Inode>,
    },
}

/// What applying a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Attr(Attr),
    Address(u64),
}

/// The answer, and where in the log the command stands: what `NamesClient::settle` wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    pub index: u64,
    pub answer: Answer,
}
