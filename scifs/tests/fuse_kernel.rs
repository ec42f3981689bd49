//! The kernel's side of a mount, by itself: a file system of one file whose locks are never free.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use scifs::fuse::kernel::{
    Attr, DirBuffer, Entry, FileKind, FileSystem, Header, Ioctl, MountSetting, OpenFlags, Operation, Reply,
    Session, SessionConfig,
};

const FILE: u64 = 2;
/// Takes eight bytes and gives them back in the other order.
const TURN_ROUND: u32 = 0xC008_F500;
/// Takes and gives nothing, and ends when it is interrupted.
const WAIT: u32 = 0xF501;
const CONTENT: &[u8] = b"one page, or less\n";

/// Keeps the replies of waiting locks until the kernel interrupts them.
#[derive(Default)]
struct Locked {
    waiting: Mutex<Vec<Reply>>,
    interrupts: Mutex<u32>,
    changed: Condvar,
}

fn attr(inode: u64) -> Attr {
    let (kind, size) =
        if inode == FILE { (FileKind::File, CONTENT.len() as u64) } else { (FileKind::Directory, 0) };
    Attr {
        inode,
        kind,
        size,
        blocks_512: 1,
        atime: (0, 0),
        mtime: (0, 0),
        ctime: (0, 0),
        permissions: 0o755,
        links: 1,
        uid: 0,
        gid: 0,
        device: 0,
        block_bytes: 4096,
    }
}

impl FileSystem for Locked {
    fn handle(&self, header: &Header, operation: Operation<'_>, reply: Reply) {
        let ever = Duration::from_secs(60);
        match operation {
            Operation::Lookup { name } if name == "file" => {
                reply.entry(&Entry { attr: attr(FILE), generation: 0, name_valid: ever, attr_valid: ever });
            }
            Operation::Lookup { .. } => reply.error(Errno::NOENT),
            Operation::GetAttr { .. } => reply.attr(&attr(header.inode), ever),
            Operation::Open { .. } | Operation::OpenDir { .. } => reply.opened(1, OpenFlags::default()),
            Operation::Read { offset, .. } => reply.data(CONTENT.get(offset as usize..).unwrap_or_default()),
            Operation::ReadDir { offset, bytes_max, .. } => {
                let mut buffer = DirBuffer::new(bytes_max);
                if offset == 0 {
                    buffer.push(FILE, 1, FileKind::File, "file".as_ref());
                }
                reply.directory(&buffer);
            }
            Operation::SetLock { wait: true, .. } => {
                self.waiting.lock().unwrap().push(reply);
                self.changed.notify_all();
            }
            Operation::Ioctl(ioctl) => self.ioctl(&ioctl, reply),
            Operation::Interrupt { unique } => self.interrupt(unique, reply),
            Operation::Release { .. } | Operation::ReleaseDir { .. } | Operation::Flush { .. } => {
                reply.empty()
            }
            Operation::Forget(_) => {}
            _ => reply.error(Errno::NOSYS),
        }
    }
}

impl Locked {
    fn ioctl(&self, ioctl: &Ioctl<'_>, reply: Reply) {
        match ioctl.command {
            TURN_ROUND => {
                let mut answer: Vec<_> = ioctl.data.iter().rev().copied().collect();
                answer[0] = u8::from(ioctl.on_directory);
                assert_eq!(ioctl.answer_bytes_max, answer.len());
                reply.ioctl(42, &answer);
            }
            WAIT => {
                self.waiting.lock().unwrap().push(reply);
                self.changed.notify_all();
            }
            _ => reply.error(Errno::NOTTY),
        }
    }

    /// An interrupt may overtake the request that it is for; EAGAIN has the kernel send it again.
    fn interrupt(&self, unique: u64, reply: Reply) {
        let mut waiting = self.waiting.lock().unwrap();
        match waiting.iter().position(|waiter| waiter.unique() == unique) {
            Some(at) => {
                waiting.swap_remove(at).error(Errno::INTR);
                reply.none();
                *self.interrupts.lock().unwrap() += 1;
            }
            None => reply.error(Errno::AGAIN),
        }
    }
}

/// A mount on a folder of its own; both are gone when it is dropped.
struct Mounted {
    folder: PathBuf,
    session: Option<Session>,
}

impl Mounted {
    fn new(test: &str, files: Arc<dyn FileSystem>) -> Self {
        let folder = std::env::temp_dir().join(format!("scifs-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let setting = MountSetting {
            source: "scifs".into(),
            read_only: false,
            nosuid: true,
            nodev: true,
            noexec: false,
            noatime: false,
            allow_other: false,
            default_permissions: true,
        };
        let config = SessionConfig { workers: 2, write_bytes_max: 1 << 20, readahead_bytes_max: 4096 };
        let session = Session::mount(&folder, &setting, config).unwrap();
        session.serve(&files).unwrap();
        Self { folder, session: Some(session) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.session.take());
        std::fs::remove_dir(&self.folder).unwrap();
    }
}

#[test]
fn a_mount_serves_names_and_bytes_until_it_is_unmounted() {
    let mounted = Mounted::new("serves", Arc::new(Locked::default()));
    let names: Vec<_> = std::fs::read_dir(&mounted.folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    assert_eq!(std::fs::read(mounted.folder.join("file")).unwrap(), CONTENT);
    assert!(std::fs::read(mounted.folder.join("none")).is_err());
    let folder = mounted.folder.clone();
    drop(mounted);
    assert!(!folder.exists());
}

#[test]
fn a_process_that_waits_for_a_lock_can_be_interrupted_and_killed() {
    let files = Arc::new(Locked::default());
    let mounted = Mounted::new("interrupt", Arc::clone(&files) as Arc<dyn FileSystem>);
    for (round, signal) in [(1, Signal::TERM), (2, Signal::KILL)] {
        let mut command = Command::new("flock");
        command.arg(mounted.folder.join("file")).arg("true");
        files.wait_and_be_hit(command, signal, round);
    }
}

#[test]
fn an_ioctl_brings_bytes_both_ways_and_a_result_on_files_and_directories() {
    let mounted = Mounted::new("ioctl", Arc::new(Locked::default()));
    let ask =
        "data = bytearray(b'abcdefgh'); print(fcntl.ioctl(file, 0xC008F500, data, True), data.decode())";
    let answer = |name: &str, ask: &str| {
        let output = python(&mounted.folder.join(name), ask).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(answer("file", ask), "42 \0gfedcba\n");
    assert_eq!(answer("", ask), "42 \x01gfedcba\n");
    let unknown = "
try: fcntl.ioctl(file, 0xF577)
except OSError as error: print(error.errno)";
    assert_eq!(answer("file", unknown), "25\n");
}

#[test]
fn a_process_that_waits_in_an_ioctl_can_be_interrupted_and_killed() {
    let files = Arc::new(Locked::default());
    let mounted = Mounted::new("ioctl-wait", Arc::clone(&files) as Arc<dyn FileSystem>);
    for (round, signal) in [(1, Signal::TERM), (2, Signal::KILL)] {
        files.wait_and_be_hit(
            python(&mounted.folder.join("file"), "fcntl.ioctl(file, 0xF501)"),
            signal,
            round,
        );
    }
}

fn python(path: &Path, code: &str) -> Command {
    let mut command = Command::new("python3");
    let open = format!("import fcntl, os\nfile = os.open({path:?}, os.O_RDONLY)\n");
    command.arg("-c").arg(open + code);
    command
}

impl Locked {
    /// Runs what will wait, sends it a signal when it does, and sees it end.
    fn wait_and_be_hit(&self, mut command: Command, signal: Signal, interrupts: u32) {
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let waiting = self.waiting.lock().unwrap();
        let (waiting, _) = self
            .changed
            .wait_timeout_while(waiting, Duration::from_secs(10), |list| list.is_empty())
            .unwrap();
        assert_eq!(waiting.len(), 1, "it never asked");
        drop(waiting);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(Instant::now() < deadline);
        assert_eq!(*self.interrupts.lock().unwrap(), interrupts);
    }
}
