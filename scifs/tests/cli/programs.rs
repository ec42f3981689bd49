//! Programs that use a mount by libscifs or under `scifs exec`: `libscifs.c`, compiled, does what it is told line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::support::{PATIENCE, Place, succeeded};

pub(crate) const PROT_READ: &str = "1";
pub(crate) const PROT_READ_WRITE: &str = "3";
pub(crate) const LOCK_READ: &str = "0";
pub(crate) const LOCK_WRITE: &str = "1";
pub(crate) const NOWAIT: u32 = 2;

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder that has the libraries, beside the command; cargo builds them for no test by itself.
pub(crate) fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_scifs")).parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "scifs-c", "--package", "scifs-preload"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        succeeded(&build.current_dir(workspace()).output().unwrap(), "build the libraries");
        folder.to_path_buf()
    })
}

/// What is compiled, and how it is linked.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// With libscifs.so.
    Shared,
    /// With libscifs.a, as C++.
    Archive,
    /// Knows nothing of SciFS.
    Plain,
    /// The same, linked statically.
    Static,
}

/// Compiles `libscifs.c` into the place of the test.
pub(crate) fn compiled(place: &Place, kind: Kind) -> PathBuf {
    let name = match kind {
        Kind::Shared => "with-so",
        Kind::Archive => "with-a",
        Kind::Plain => "plain",
        Kind::Static => "static",
    };
    let program = place.folder.join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/libscifs.c");
    let compiler = if matches!(kind, Kind::Archive) { "g++" } else { "gcc" };
    let mut compile = Command::new(compiler);
    compile.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-O1", "-o"]).arg(&program);
    if matches!(kind, Kind::Shared | Kind::Archive) {
        compile.arg("-DWITH_LIBSCIFS").arg("-I").arg(workspace().join("client/include"));
    }
    match kind {
        Kind::Archive => compile.args(["-std=c++17", "-x", "c++", source, "-x", "none"]),
        _ => compile.args(["-std=gnu99", source]),
    };
    match kind {
        Kind::Shared => {
            let folder = libraries();
            compile.arg("-L").arg(folder).arg("-lscifs");
            compile.arg(format!("-Wl,-rpath,{}", folder.display()))
        }
        Kind::Archive => compile.arg(libraries().join("libscifs.a")).args(["-ldl", "-lm"]),
        Kind::Plain => &mut compile,
        Kind::Static => compile.arg("-static"),
    };
    succeeded(&compile.arg("-lpthread").output().unwrap(), "compile");
    program
}

/// A program that runs and does what it is told.
pub(crate) struct Told {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Told {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = lines(child.stdout.take().unwrap());
        Self { orders: child.stdin.take(), child, answers }
    }

    pub(crate) fn tell(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
    }

    /// The next line that it prints.
    pub(crate) fn answer(&mut self) -> String {
        self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
    }

    pub(crate) fn number(&mut self, order: &str) -> u64 {
        let answer = self.ask(order);
        let word = answer.split(' ').next().unwrap();
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        number.unwrap_or_else(|_| panic!("{order}: {answer}"))
    }

    /// Nothing is printed for that long. Too short a time makes this pass wrongly, never fail.
    pub(crate) fn is_silent(&mut self, time: Duration) -> bool {
        matches!(self.answers.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Read by a thread, so that waiting for one has an end.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Two nodes, and a file of 64 KiB at their mounts.
pub(crate) struct Pair {
    pub(crate) place: Place,
    pub(crate) ant: String,
    pub(crate) bee: String,
}

impl Pair {
    pub(crate) fn new(test: &str) -> Self {
        let place = Place::new(test);
        let ant = place.mount("ant", "allow_other");
        let bee = place.mount("bee", &format!("allow_other,join={}", place.address("ant")));
        place.ok(&["create", &format!("{ant}/file"), "--size", "64K"]);
        Self { place, ant, bee }
    }

    /// A program on each node.
    pub(crate) fn programs(&self) -> [Told; 2] {
        let program = compiled(&self.place, Kind::Shared);
        [Told::start(Command::new(&program)), Told::start(Command::new(&program))]
    }

    pub(crate) fn files(&self) -> [String; 2] {
        [format!("{}/file", self.ant), format!("{}/file", self.bee)]
    }
}
