//! One process that touches pages of one file that are far from each other, as many as it likes: the kernel allows a process only so
//! many mappings, and pages that come one by one must not each become one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scifs_client::Segment;

use crate::shared::calls;
use crate::shared::clock::nap;
use crate::shared::mapped::{Access, Mapped};
use crate::shared::surface::{Surface, Surfaces};
use crate::shared::team;

const PAGE: u64 = 4096;
/// Pages that are also read by another process.
const SAMPLES: u64 = 1000;
/// Mappings that a program has besides; those of the file must not grow with its pages.
const MAPPINGS_MAX: u64 = 1000;
const GLANCE_NS: u64 = 20_000_000;

#[derive(Clone, Debug)]
pub struct Plan {
    pub folder: PathBuf,
    pub surfaces: Surfaces,
    /// By libscifs instead of what the process was started by
    pub library: bool,
    pub pages: u64,
    /// From one touched page to the next
    pub stride: u64,
    pub patience: Duration,
}

#[derive(Debug)]
pub struct Done {
    /// Of the process, after all pages were touched.
    pub mappings: u64,
    pub stores_ms: u64,
    pub loads_ms: u64,
    pub memory_bytes: u64,
}

pub fn run(plan: &Plan) -> io::Result<Done> {
    let before = calls::info(&plan.folder)?;
    let path = plan.folder.join(format!("scattered-{}", std::process::id()));
    File::create_new(&path)?.set_len(plan.pages * plan.stride * PAGE)?;
    let done = touched(plan, &path, before.memory_used);
    std::fs::remove_file(&path)?;
    let done = done?;
    let deadline = Instant::now() + plan.patience;
    loop {
        let now = calls::info(&plan.folder)?;
        if now.attached <= before.attached && now.memory_used <= before.memory_used {
            return Ok(done);
        }
        if Instant::now() > deadline {
            let (programs, bytes) = (now.attached, now.memory_used);
            let left =
                format!("{programs} programs and {bytes} bytes are left; there were {}", before.memory_used);
            return Err(io::Error::other(left));
        }
        nap(GLANCE_NS);
    }
}

fn touched(plan: &Plan, path: &Path, before: u64) -> io::Result<Done> {
    let surface = if plan.library { Surface::File } else { plan.surfaces.at(0) };
    let arguments = [path.display().to_string(), plan.pages.to_string(), plan.stride.to_string()];
    let mut worker = plan.surfaces.start(surface, "touch", &arguments)?;
    worker.order(if plan.library { "library" } else { "mmap" });
    let answer = worker.answer(Instant::now() + plan.patience).map_err(io::Error::other)?;
    let numbers: Option<Vec<u64>> = answer.split(' ').map(|word| word.parse().ok()).collect();
    let Some([mappings, stores_ms, loads_ms]) = numbers.as_deref() else {
        return Err(io::Error::other(answer));
    };
    let file = File::open(path)?;
    for page in (0..plan.pages).step_by((plan.pages / SAMPLES).max(1) as usize) {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, page * plan.stride * PAGE)?;
        expect(page, u64::from_le_bytes(bytes)).map_err(io::Error::other)?;
    }
    let memory_bytes = calls::info(&plan.folder)?.memory_used - before;
    let done = Done { mappings: *mappings, stores_ms: *stores_ms, loads_ms: *loads_ms, memory_bytes };
    if done.mappings > MAPPINGS_MAX || done.memory_bytes < plan.pages * PAGE {
        return Err(io::Error::other(format!("too many mappings, or too little memory: {done:?}")));
    }
    Ok(done)
}

fn expect(page: u64, found: u64) -> Result<(), String> {
    if found == page + 1 { Ok(()) } else { Err(format!("touched page {page} holds {found}")) }
}

enum Words {
    Mapped(Mapped),
    Library(Segment),
}

impl Words {
    fn open(surface: Surface, library: bool, path: &Path, bytes: u64) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        if library {
            let access = scifs_client::Access::ReadWrite;
            let segment = Segment::map(path, access).map_err(|error| error.to_string())?;
            Surface::Vm.check(segment.address()).map_err(told)?;
            return Ok(Self::Library(segment));
        }
        let file = File::options().read(true).write(true).open(path).map_err(told)?;
        surface.map(&file, bytes as usize, Access::ReadWrite).map(Self::Mapped).map_err(told)
    }

    fn word(&self, at: u64) -> Result<&AtomicU64, String> {
        match self {
            Self::Mapped(mapped) => Ok(mapped.word(at as usize)),
            Self::Library(segment) => segment.long_word(at as usize).map_err(|error| error.to_string()),
        }
    }
}

/// The life of a process that touches pages; answers with its mappings and how long it took.
pub fn serve(surface: Surface, path: &Path, pages: u64, stride: u64) -> io::Result<()> {
    team::serve(|line| {
        let words = Words::open(surface, line == "library", path, pages * stride * PAGE)?;
        let start = Instant::now();
        for page in 0..pages {
            words.word(page * stride * PAGE)?.store(page + 1, Ordering::SeqCst);
        }
        let stored = Instant::now();
        for page in 0..pages {
            expect(page, words.word(page * stride * PAGE)?.load(Ordering::SeqCst))?;
        }
        let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
        let (stores, loads) = (stored - start, stored.elapsed());
        Ok(format!("{} {} {}", maps.lines().count(), stores.as_millis(), loads.as_millis()))
    })
}
