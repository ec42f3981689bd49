//! Every bound of the name space, by name.

use scios::limits::{COMMAND_BYTES_MAX, SEGMENT_BYTES_MAX, SNAPSHOT_BYTES_MAX};

/// The longest name of a directory's entry (NAME_MAX).
pub const NAME_BYTES_MAX: usize = 255;

/// The longest target of a symbolic link: PATH_MAX without the zero at its end.
pub const TARGET_BYTES_MAX: usize = 4095;

/// Names of one file. Directories inside a directory are bounded by `INODES_MAX` alone.
pub const LINKS_MAX: u32 = 65_000;

/// Files, directories and everything else that has an inode.
pub const INODES_MAX: usize = 1 << 20;

/// Inode numbers are never given twice and stay below this, so that an inode and a generation make a segment's number.
pub const INODE_MAX: u64 = 1 << 40;

/// Generations of one file: how often it may be cut or punched in its life.
pub const GENERATION_MAX: u32 = (1 << 24) - 1;

/// What all names together may take in a snapshot. The rest of the cluster's room is for its own state.
pub const STATE_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX / 4 * 3;

/// The largest file: 16 TiB.
pub const FILE_BYTES_MAX: u64 = SEGMENT_BYTES_MAX;

/// Pieces of one file's layout: each cut further back than the last one, and each hole, leaves one or two behind.
pub const PIECES_MAX: usize = 16_384;

/// The longest value of an extended attribute: with its name it fits into a command.
pub const XATTR_VALUE_BYTES_MAX: usize = COMMAND_BYTES_MAX / 4 * 3;

/// The longest name of an extended attribute (XATTR_NAME_MAX).
pub const XATTR_NAME_BYTES_MAX: usize = 255;

/// Names and values of all extended attributes of one inode. What listing them returns fits into XATTR_LIST_MAX.
pub const XATTRS_BYTES_MAX: usize = 64 * 1024;

/// Entries in one answer to a reader of a directory.
pub const ENTRIES_MAX: usize = 1024;

/// Inodes in one `LetGo`.
pub const LET_GO_MAX: usize = 2048;

/// Where files' addresses lie, and what they are multiples of.
pub const ADDRESS_FIRST: u64 = 0x2000_0000_0000;
pub const ADDRESS_END: u64 = 0x4000_0000_0000;
pub const ADDRESS_UNIT: u64 = 2 << 20;
