//! What can be said about a command or a query without looking at the state. Checked before it leaves its node, and again by
//! every replica.

use super::command::{Command, Make};
use super::error::Refusal;
use super::limits::{
    LET_GO_MAX, NAME_BYTES_MAX, TARGET_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
};
use super::query::Query;

impl Command {
    pub fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Make { name, what, .. } => {
                check_name(name)?;
                if let Make::SymLink { target } = what {
                    check_target(target)?;
                }
                Ok(())
            }
            Self::Link { name, .. } | Self::Unlink { name, .. } | Self::RmDir { name, .. } => {
                check_name(name)
            }
            Self::Rename { name, new_name, .. } => check_name(name).and(check_name(new_name)),
            Self::SetXattr { name, value, .. } => {
                check_xattr_name(name)?;
                if value.len() > XATTR_VALUE_BYTES_MAX { Err(Refusal::XattrTooLong) } else { Ok(()) }
            }
            Self::RemoveXattr { name, .. } => check_xattr_name(name),
            Self::LetGo { inodes, .. } if inodes.len() > LET_GO_MAX => Err(Refusal::Malformed),
            _ => Ok(()),
        }
    }
}

impl Query {
    pub fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Lookup { name, .. } => check_name(name),
            Self::GetXattr { name, .. } => check_xattr_name(name),
            _ => Ok(()),
        }
    }
}

fn check_name(name: &[u8]) -> Result<(), Refusal> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::NameTooLong);
    }
    let special = matches!(name, b"" | b"." | b"..");
    if special || name.iter().any(|byte| matches!(byte, b'/' | 0)) { Err(Refusal::BadName) } else { Ok(()) }
}

fn check_target(target: &[u8]) -> Result<(), Refusal> {
    match target.len() {
        0 => Err(Refusal::NotFound),
        1..=TARGET_BYTES_MAX if !target.contains(&0) => Ok(()),
        1..=TARGET_BYTES_MAX => Err(Refusal::BadName),
        _ => Err(Refusal::TargetTooLong),
    }
}

fn check_xattr_name(name: &[u8]) -> Result<(), Refusal> {
    if (1..=XATTR_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(&0) {
        Ok(())
    } else {
        Err(Refusal::XattrName)
    }
}
