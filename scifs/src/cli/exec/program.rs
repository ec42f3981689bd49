//! What kind of program a command is, as far as the loader is concerned.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Enough for the head of any program.
const HEAD_BYTES: u64 = 64 * 1024;
/// As many interpreters of interpreters as the kernel follows.
const SCRIPTS_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Takes our library.
    Dynamic,
    Static,
    /// The loader takes no libraries from the user of a program that gains rights.
    Privileged,
    /// Its loader can't use a library of another C library.
    Musl,
    /// Another word size or processor.
    Foreign,
    /// Can't be read, or is nothing we know.
    Unknown,
}

/// Why it doesn't get the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Obstacle(&'static str);

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, so its mappings are the kernel's: slower, and just as coherent", self.0)
    }
}

/// The path of a command, as execvp finds it.
pub(super) fn find(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    let folders = std::env::split_paths(path.unwrap_or(OsStr::new("/usr/bin:/bin")));
    let paths = folders.map(|folder| folder.join(name));
    paths.into_iter().find(|path| {
        std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    })
}

impl Program {
    /// Of the program that the kernel would start in the end: for a script, its interpreter.
    pub(super) fn look(path: &Path) -> Self {
        let mut path = path.to_path_buf();
        for _ in 0..SCRIPTS_MAX {
            let Ok(head) = head(&path) else { return Self::Unknown };
            match interpreter(&head) {
                Some(next) => path = next,
                None if gains_rights(&path) => return Self::Privileged,
                None => return Self::of(&head),
            }
        }
        Self::Unknown
    }

    pub(super) fn obstacle(self) -> Option<Obstacle> {
        match self {
            Self::Dynamic => None,
            Self::Static => Some(Obstacle("is statically linked")),
            Self::Privileged => {
                Some(Obstacle("gains rights when it is run (setuid, setgid or capabilities)"))
            }
            Self::Musl => Some(Obstacle("uses musl instead of glibc")),
            Self::Foreign => Some(Obstacle("is for another processor or word size")),
            Self::Unknown => Some(Obstacle("is no program that could be looked into")),
        }
    }

    /// Its children may well be dynamic, so all get the list whom it doesn't harm.
    pub(super) fn takes_libraries(self) -> bool {
        !matches!(self, Self::Musl | Self::Foreign)
    }

    /// By the head of an ELF file (elf(5)).
    fn of(head: &[u8]) -> Self {
        const EXPECTED: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
        const SEGMENT_BYTES: usize = 56;
        const INTERPRETER: u64 = 3;
        if !head.starts_with(&EXPECTED[..4]) {
            return Self::Unknown;
        }
        if !head.starts_with(&EXPECTED) || number(head, 18, 2) != Some(machine()) {
            return Self::Foreign;
        }
        let (Some(first), Some(count)) = (number(head, 32, 8), number(head, 56, 2)) else {
            return Self::Unknown;
        };
        let segments = (0..count).filter_map(|index| {
            let at =
                usize::try_from(first).ok()?.checked_add(usize::try_from(index).ok()? * SEGMENT_BYTES)?;
            head.get(at..at.checked_add(SEGMENT_BYTES)?)
        });
        let mut interpreters = segments.filter(|segment| number(segment, 0, 4) == Some(INTERPRETER));
        let Some(segment) = interpreters.next() else { return Self::Static };
        let name = number(segment, 8, 8).zip(number(segment, 32, 8)).and_then(|(offset, bytes)| {
            let offset = usize::try_from(offset).ok()?;
            head.get(offset..offset.checked_add(usize::try_from(bytes).ok()?)?)
        });
        let musl = name.is_some_and(|name| name.windows(7).any(|part| part == b"ld-musl"));
        if musl { Self::Musl } else { Self::Dynamic }
    }
}

/// ELF's number of the processor that this was compiled for.
fn machine() -> u64 {
    if cfg!(target_arch = "aarch64") { 183 } else { 62 }
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    Some(field.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
}

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// `#! /bin/sh -e`
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.trim_ascii().split(u8::is_ascii_whitespace).next().filter(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(word)))
}

fn gains_rights(path: &Path) -> bool {
    const SETUID: u32 = 0o4000;
    const SETGID: u32 = 0o2010;
    let Ok(about) = std::fs::metadata(path) else { return false };
    let user = about.mode() & SETUID != 0 && about.uid() != rustix::process::geteuid().as_raw();
    let group = about.mode() & SETGID == SETGID && about.gid() != rustix::process::getegid().as_raw();
    let capabilities = rustix::fs::getxattr(path, "security.capability", &mut [0; 64]).is_ok();
    user || group || (capabilities && !rustix::process::geteuid().is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_this_machine_are_told_apart() {
        let shell = find(OsStr::new("sh"), Some(OsStr::new("/nowhere:/bin:/usr/bin"))).unwrap();
        assert_eq!(Program::look(&shell), Program::Dynamic);
        assert_eq!(Program::look(Path::new("/proc/self/status")), Program::Unknown);
        assert_eq!(find(OsStr::new("no-such-command"), Some(OsStr::new("/bin"))), None);
        assert_eq!(find(OsStr::new("./x"), None), Some(PathBuf::from("./x")));
    }

    #[test]
    fn a_script_is_what_its_interpreter_is_and_a_circle_of_scripts_ends() {
        assert_eq!(interpreter(b"#! /bin/sh -e\necho"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(interpreter(b"#!\n"), None);
        assert_eq!(interpreter(b"echo"), None);
        let circle = std::env::temp_dir().join(format!("scifs-circle-{}", std::process::id()));
        std::fs::write(&circle, format!("#!{}\n", circle.display())).unwrap();
        let kind = Program::look(&circle);
        std::fs::remove_file(&circle).unwrap();
        assert_eq!(kind, Program::Unknown);
    }

    #[test]
    fn heads_that_lie_are_harmless() {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        elf[18] = machine() as u8;
        assert_eq!(Program::of(&elf), Program::Static, "no segments");
        elf[32..40].fill(0xff);
        elf[56..58].fill(0xff);
        assert_eq!(Program::of(&elf), Program::Static, "segments behind the end");
        assert_eq!(Program::of(&elf[..40]), Program::Unknown);
        elf[4] = 1;
        assert_eq!(Program::of(&elf), Program::Foreign);
        assert_eq!(Program::of(b"\x7fELF"), Program::Foreign);
    }
}
