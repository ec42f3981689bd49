//! The parts together: what is charged, what is refused, and what the kernel says.

use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::testing::Random;
use super::*;
use crate::limits::FRAME_RUN_MAX;
use crate::metrics::Value;

const PAGE: u64 = PAGE_BYTES as u64;

/// Pages that the kernel holds for a memory file.
fn kernel_pages(file: impl AsFd) -> u64 {
    rustix::fs::fstat(file).unwrap().st_blocks as u64 * 512 / PAGE
}

fn assert_adds_up(status: &MemoryStatus) {
    assert_eq!(status.used_bytes() + status.free_bytes, status.budget_bytes, "{status:?}");
}

#[test]
fn a_segment_of_sixteen_tebibytes_costs_nothing_until_pages_are_populated() {
    let memory = Memory::new(16 << 20).unwrap();
    let segment = memory.segment("test").unwrap();
    assert_eq!((memory.status().used_bytes(), segment.resident_pages()), (0, 0));
    for page in [0, 1, (1 << 32) - 1] {
        assert!(segment.populate(page).unwrap());
        assert!(!segment.populate(page).unwrap(), "charged twice");
        segment.page(page).unwrap().write_from(&[7; PAGE_BYTES]).unwrap();
    }
    assert_eq!(memory.status().segments_bytes, 3 * PAGE);
    assert_eq!(kernel_pages(segment.file()), 3);
    let runs: Vec<Range<u64>> = segment.resident_runs(0).collect();
    assert_eq!(runs, [0..2, (1 << 32) - 1..1 << 32]);
    assert!(matches!(segment.populate(1 << 32), Err(MemoryError::Page { .. })));
    assert!(matches!(segment.page(u64::MAX), Err(MemoryError::Page { .. })));
    assert_eq!(segment.release(0..u64::MAX).unwrap(), 3);
    assert_eq!((memory.status().used_bytes(), kernel_pages(segment.file())), (0, 0));
    assert_eq!(segment.page(0).unwrap().to_vec(), [0; PAGE_BYTES]);
}

#[test]
fn adjacent_pages_are_one_slice_and_a_page_has_its_bytes_in_whichever_window_it_is_mapped() {
    let memory = Memory::new(16 << 20).unwrap();
    let segment = memory.segment("test").unwrap();
    let window_pages = WINDOW_BYTES / PAGE;
    for first in [0, window_pages - 512, window_pages, (1 << 32) - 512] {
        let run = segment.run(first, 512).unwrap();
        assert_eq!(run.bytes(), 512 * PAGE_BYTES);
        run.part(511 * PAGE_BYTES, 8).unwrap().write_from(&first.to_le_bytes()).unwrap();
        assert_eq!(segment.page(first + 511).unwrap().to_vec()[..8], first.to_le_bytes());
    }
    assert!(matches!(segment.run(window_pages - 1, 2), Err(MemoryError::Range { .. })));
    assert!(matches!(segment.run(0, usize::MAX), Err(MemoryError::Range { .. })));
    let client = Region::map(segment.file().try_clone_to_owned().unwrap(), 2 * WINDOW_BYTES).unwrap();
    let word = client.slice(WINDOW_BYTES + 511 * PAGE, 8).unwrap();
    assert_eq!(word.to_vec(), window_pages.to_le_bytes());
    assert!(matches!(Memory::new(PAGE - 1), Err(MemoryError::TooSmall { .. })));
}

#[test]
fn more_segments_than_may_be_mapped_at_once_keep_their_bytes_and_those_in_use_stay_mapped() {
    const MAX: usize = 4;
    let budget = Arc::new(Budget::new(1 << 12));
    let clock = Clock::new(MAX);
    let segments: Vec<_> =
        (0..10).map(|_| SegmentMemory::new(Arc::clone(&budget), &clock, "many", 2 * PAGE).unwrap()).collect();
    let slices: Vec<_> = (0..40u64)
        .map(|n| {
            let busy = segments[0].page(0).unwrap();
            let slice = segments[n as usize % 10].page(n / 10).unwrap();
            slice.write_from(&n.to_le_bytes()).unwrap();
            assert!(segments.iter().map(SegmentMemory::windows_mapped).sum::<usize>() <= MAX);
            assert_eq!(segments[0].page(0).unwrap().region().id(), busy.region().id(), "in use all the time");
            slice
        })
        .collect();
    for (n, slice) in (0u64..).zip(&slices) {
        assert_eq!(slice.part(0, 8).unwrap().to_vec(), n.to_le_bytes(), "a slice keeps its window mapped");
        let again = segments[n as usize % 10].page(n / 10).unwrap();
        assert_eq!(again.part(0, 8).unwrap().to_vec(), n.to_le_bytes());
    }
    drop(segments);
    let last = SegmentMemory::new(budget, &clock, "last", 2 * PAGE).unwrap();
    (0..100).for_each(|page| drop(last.page(page).unwrap()));
    assert!(last.windows_mapped() <= MAX);
}

#[test]
fn what_others_rely_on_this_node_to_take_finds_room_when_nothing_else_does_and_the_next_makes_it_again() {
    let memory = Memory::new(128 * PAGE).unwrap();
    let segment = Arc::new(memory.segment("test").unwrap());
    assert_eq!(memory.status().reserve_bytes, 2 * PAGE);
    (0..126).for_each(|page| assert!(segment.try_populate(page).unwrap()));
    assert!(segment.try_populate(126).is_err() && segment.populate(126).is_err());
    assert_eq!((memory.status().available_bytes(), memory.status().free_bytes), (0, 2 * PAGE));
    assert!(segment.populate_obliged(200).unwrap() && segment.populate_obliged(201).unwrap());
    assert!(!segment.populate_obliged(200).unwrap(), "charged twice");
    assert!(matches!(segment.populate_obliged(202), Err(MemoryError::Full { .. })));
    assert_adds_up(&memory.status());
    let evictor = Arc::new(ReleaseOne::of(&memory, &segment));
    memory.set_evictor(evictor.clone());
    assert!(segment.populate(300).unwrap());
    assert_eq!(evictor.asked_for.load(Ordering::SeqCst), 3, "the reserve too");
    assert_eq!(memory.status().free_bytes, 2 * PAGE);
}

#[test]
fn dropping_a_segment_gives_its_pages_back_even_while_somebody_has_it_mapped() {
    let memory = Memory::new(16 << 20).unwrap();
    let segment = memory.segment("test").unwrap();
    for page in 5..5 + 3 * crate::limits::RELEASE_RUN_PAGES_MAX {
        segment.populate(page).unwrap();
        segment.page(page).unwrap().write_from(b"x").unwrap();
    }
    let client = segment.file().try_clone_to_owned().unwrap();
    drop(segment);
    assert_eq!((memory.status().used_bytes(), kernel_pages(client)), (0, 0));
}

#[test]
fn frames_read_as_zero_also_when_they_were_used_before() {
    let memory = Memory::new(4 * PAGE).unwrap();
    let used = memory.frames(4).unwrap();
    used.slice().unwrap().write_from(&[9; 4 * PAGE_BYTES]).unwrap();
    assert_eq!((used.frames(), memory.status().pool_bytes), (4, 4 * PAGE));
    drop(used);
    assert_eq!(memory.frames(4).unwrap().slice().unwrap().to_vec(), [0; 4 * PAGE_BYTES]);
    assert!(matches!(memory.frames(0), Err(MemoryError::Run { .. })));
    assert!(matches!(memory.frames(FRAME_RUN_MAX + 1), Err(MemoryError::Run { .. })));
}

#[test]
fn a_full_budget_is_refused_with_the_figures_and_nothing_is_lost() {
    let memory = Memory::new(4 * PAGE).unwrap();
    let segment = memory.segment("test").unwrap();
    let run = memory.frames(3).unwrap();
    segment.populate(0).unwrap();
    segment.page(0).unwrap().write_from(b"kept").unwrap();
    for refused in
        [segment.populate(1).map(|_| ()), memory.frames(1).map(|_| ()), memory.frames(5).map(|_| ())]
    {
        let sentence = refused.unwrap_err().to_string();
        assert!(sentence.contains("memory=16384") && sentence.contains("larger memory=SIZE"), "{sentence}");
    }
    assert!(!segment.populate(0).unwrap(), "what is resident needs no frame");
    assert_eq!(&segment.page(0).unwrap().to_vec()[..4], b"kept");
    assert_eq!((memory.status().refusals_total, memory.status().free_bytes), (3, 0));
    drop(run);
    assert!(segment.populate(1).unwrap());
}

#[test]
fn adjacent_frames_that_are_not_there_are_refused_and_not_charged() {
    let memory = Memory::new(4 * PAGE).unwrap();
    let mut frames: Vec<_> = (0..4).map(|_| memory.frames(1).unwrap()).collect();
    frames.remove(2);
    frames.remove(0);
    assert!(matches!(memory.frames(2), Err(MemoryError::Fragmented { frames: 2 })));
    assert_eq!(memory.status().pool_bytes, 2 * PAGE);
    assert!(memory.frames(1).is_ok());
}

/// Releases the first resident page of a segment, and tries things that an evictor shouldn't.
struct ReleaseOne {
    segment: Weak<SegmentMemory>,
    memory: Weak<Memory>,
    nested_refused: AtomicBool,
    asked_for: AtomicU64,
}

impl ReleaseOne {
    fn of(memory: &Arc<Memory>, segment: &Arc<SegmentMemory>) -> Self {
        Self {
            segment: Arc::downgrade(segment),
            memory: Arc::downgrade(memory),
            nested_refused: AtomicBool::new(false),
            asked_for: AtomicU64::new(0),
        }
    }
}

impl Evictor for ReleaseOne {
    fn evict(&self, frames: u64) -> bool {
        self.asked_for.store(frames, Ordering::SeqCst);
        let (Some(segment), Some(memory)) = (self.segment.upgrade(), self.memory.upgrade()) else {
            return false;
        };
        let nested = memory.frames(1);
        self.nested_refused.store(matches!(nested, Err(MemoryError::Full { .. })), Ordering::SeqCst);
        let Some(run) = segment.resident_runs(0).next() else { return false };
        segment.release(run.start..run.start + frames).is_ok()
    }
}

#[test]
fn the_evictor_makes_room_and_is_not_asked_again_from_inside() {
    let memory = Memory::new(4 * PAGE).unwrap();
    let segment = Arc::new(memory.segment("test").unwrap());
    let evictor = Arc::new(ReleaseOne::of(&memory, &segment));
    memory.set_evictor(evictor.clone());
    (0..4).for_each(|page| assert!(segment.populate(page).unwrap()));
    assert!(segment.populate(9).unwrap(), "the same segment is evicted from while it is populated");
    assert!(!segment.is_resident(0) && segment.is_resident(9));
    assert!(
        evictor.nested_refused.load(Ordering::SeqCst),
        "a reservation inside of the evictor waits for itself"
    );
    let run = memory.frames(2).unwrap();
    assert_eq!(evictor.asked_for.load(Ordering::SeqCst), 2);
    assert_eq!((memory.status().evictions_total, segment.resident_pages()), (2, 2));
    segment.release(0..10).unwrap();
    drop(run);
    let refused_before = memory.status().refusals_total;
    let all = memory.frames(4).unwrap();
    assert!(segment.populate(0).is_err(), "nothing is left to evict");
    assert_eq!(memory.status().refusals_total, refused_before + 2, "the evictor's own and this one");
    drop(all);
}

#[test]
fn staging_buffers_are_charged_once_bounded_and_come_back() {
    let memory = Memory::new(64 * PAGE).unwrap();
    let staging = memory.staging(&[(4 * PAGE_BYTES, 1), (100, 2), (0, 9)]).unwrap();
    assert_eq!(memory.status().staging_bytes, 6 * PAGE);
    assert_eq!(staging.free(), [(PAGE_BYTES, 2), (4 * PAGE_BYTES, 1)]);
    let buffers: Vec<_> = (0..3).map(|_| staging.take(64).unwrap()).collect();
    let lengths: Vec<_> = buffers.iter().map(StagingBuffer::bytes).collect();
    assert_eq!(
        lengths,
        [PAGE_BYTES, PAGE_BYTES, 4 * PAGE_BYTES],
        "a longer one when the short ones are in use"
    );
    for (n, buffer) in buffers.iter().enumerate() {
        buffer.slice(PAGE_BYTES).unwrap().write_from(&[n as u8 + 1; PAGE_BYTES]).unwrap();
        assert!(buffer.slice(4 * PAGE_BYTES + 1).is_err());
    }
    for (n, buffer) in buffers.iter().enumerate() {
        assert_eq!(buffer.slice(1).unwrap().to_vec(), [n as u8 + 1], "buffers don't overlap");
    }
    assert!(matches!(staging.take(1), Err(MemoryError::StagingBusy { .. })));
    assert!(matches!(staging.take(4 * PAGE_BYTES + 1), Err(MemoryError::StagingLength { .. })));
    drop(staging);
    assert_eq!(memory.status().staging_bytes, 6 * PAGE, "buffers that are in use keep the charge");
    drop(buffers);
    assert_eq!(memory.status().used_bytes(), 0);
    assert!(matches!(memory.staging(&[(PAGE_BYTES, 65)]), Err(MemoryError::Full { .. })));
}

#[test]
fn the_default_staging_buffers_fit_into_the_smallest_budget_and_into_what_users_may_lock() {
    let memory = Memory::new(crate::limits::BUDGET_BYTES_MIN).unwrap();
    let _staging = memory.staging(&crate::limits::STAGING_CLASSES).unwrap();
    let status = memory.status();
    assert!(status.staging_bytes < 6 << 20 && status.free_bytes > 8 << 20, "{status:?}");
}

#[test]
fn the_accounting_is_shown_among_the_metrics() {
    let registry = Registry::new();
    let memory = Memory::new(8 * PAGE).unwrap();
    memory.show(&registry);
    let _run = memory.frames(3).unwrap();
    assert!(memory.frames(6).is_err());
    let snapshot = registry.snapshot();
    let free = snapshot.value("scifs_memory_free_bytes", &[]);
    let pool = snapshot.value("scifs_memory_used_bytes", &[("class", "pool")]);
    let refusals = snapshot.value("scifs_memory_refusals_total", &[]);
    assert_eq!(free, Some(&Value::Gauge(5 * PAGE as i64)));
    assert_eq!(pool, Some(&Value::Gauge(3 * PAGE as i64)));
    assert_eq!(refusals, Some(&Value::Counter(1)));
}

/// Seeded operations on everything at once, compared after each step with plain sets and counts, and at the end of a
/// seed with what the kernel holds.
#[test]
fn the_accounting_agrees_with_a_naive_model_after_each_step() {
    use std::collections::BTreeSet;
    const BUDGET: u64 = 40;
    const PAGES: u64 = 64;
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let memory = Memory::new(BUDGET * PAGE).unwrap();
        let mut segments: Vec<(SegmentMemory, BTreeSet<u64>)> = Vec::new();
        let mut runs = Vec::new();
        let mut stagings = Vec::new();
        for step in 0..200 {
            let at = format!("seed {seed}, step {step}");
            let used =
                |segments: &[(SegmentMemory, BTreeSet<u64>)], runs: &[FrameRun], stagings: &[Staging]| {
                    let pages: usize = segments.iter().map(|(_, pages)| pages.len()).sum();
                    let frames: usize = runs.iter().map(FrameRun::frames).sum();
                    [pages as u64, frames as u64, 2 * stagings.len() as u64]
                };
            let free = BUDGET - used(&segments, &runs, &stagings).iter().sum::<u64>();
            let page = random.below(PAGES);
            let end = (page + 1 + random.below(8)).min(PAGES);
            let choice = random.below(100);
            let number = random.below(segments.len().max(1) as u64) as usize;
            match (choice, segments.get_mut(number)) {
                (0..5, _) => segments.push((memory.segment("model").unwrap(), BTreeSet::new())),
                (5..7, Some(_)) => drop(segments.swap_remove(number)),
                (7..50, Some((segment, pages))) => match segment.populate(page) {
                    Ok(new) => {
                        assert_eq!(new, pages.insert(page), "{at}");
                        segment.page(page).unwrap().write_from(b"x").unwrap();
                    }
                    Err(_) => assert!(free == 0 && !pages.contains(&page), "{at}"),
                },
                (50..70, Some((segment, pages))) => {
                    let expected = pages.range(page..end).count() as u64;
                    assert_eq!(segment.release(page..end).unwrap(), expected, "{at}");
                    pages.retain(|p| !(page..end).contains(p));
                }
                (70..82, _) => {
                    let count = end - page;
                    match memory.frames(count as usize) {
                        Ok(run) => runs.push(run),
                        Err(MemoryError::Full { .. }) => assert!(free < count, "{at}"),
                        Err(error) => assert!(count > 1, "{at}: {error}"),
                    }
                }
                (82..92, _) if !runs.is_empty() => {
                    drop(runs.swap_remove(random.below(runs.len() as u64) as usize));
                }
                (92..96, _) => match memory.staging(&[(PAGE_BYTES, 2)]) {
                    Ok(staging) => stagings.push(staging),
                    Err(_) => assert!(free < 2, "{at}"),
                },
                (96.., _) => drop(stagings.pop()),
                _ => {}
            }
            let status = memory.status();
            let [pages, frames, staged] = used(&segments, &runs, &stagings);
            assert_adds_up(&status);
            let got =
                [status.segments_bytes, status.pool_bytes, status.staging_bytes].map(|bytes| bytes / PAGE);
            assert_eq!(got, [pages, frames, staged], "{at}");
        }
        for (segment, pages) in &segments {
            assert!(segment.resident_runs(0).flatten().eq(pages.iter().copied()), "seed {seed}");
            assert_eq!(kernel_pages(segment.file()), pages.len() as u64, "seed {seed}");
        }
        drop((segments, runs, stagings));
        assert_eq!(memory.status().used_bytes(), 0, "seed {seed}");
    }
}

/// Releases pages of the shared segments of the test below, in turn.
struct ReleaseInTurn {
    segments: Mutex<Vec<Arc<SegmentMemory>>>,
}

impl Evictor for ReleaseInTurn {
    fn evict(&self, frames: u64) -> bool {
        let mut left = frames;
        for segment in self.segments.lock().iter() {
            while left > 0
                && let Some(run) = segment.resident_runs(0).next()
            {
                left -= segment.release(run.start..run.end.min(run.start + left)).unwrap().min(left);
            }
        }
        left < frames
    }
}

/// Threads populate and release the same pages, take and drop frames, while one looks at the accounting all the time.
#[test]
fn the_accounting_adds_up_at_every_moment_while_threads_work_on_the_same_pages() {
    const BUDGET: u64 = 48;
    const STEPS: usize = 4_000;
    let memory = Memory::new(BUDGET * PAGE).unwrap();
    let segments: Vec<_> = (0..2).map(|_| Arc::new(memory.segment("hammer").unwrap())).collect();
    memory.set_evictor(Arc::new(ReleaseInTurn { segments: Mutex::new(segments.clone()) }));
    let populated = AtomicU64::new(0);
    let working = AtomicBool::new(true);
    let work = |seed: u64| {
        let mut random = Random::new(seed);
        let mut runs: Vec<FrameRun> = Vec::new();
        for _ in 0..STEPS {
            let segment = &segments[random.below(2) as usize];
            // Few pages, so that threads meet on them.
            let page = random.below(40);
            match random.below(8) {
                0..4 => {
                    populated.fetch_add(u64::from(segment.populate(page).unwrap_or(false)), Ordering::Relaxed)
                }
                4 => segment.release(page..page + 4).unwrap(),
                5 if runs.len() < 3 => match memory.frames(1) {
                    Ok(run) => {
                        // Nobody else has this frame: it is zero, and stays what is written.
                        let word = run.slice().unwrap().part(0, 8).unwrap();
                        let before = word.atomic().unwrap().swap(seed, Ordering::SeqCst);
                        assert_eq!(before, 0, "somebody else's frame");
                        runs.push(run);
                        0
                    }
                    Err(MemoryError::Full { .. }) => 0,
                    Err(error) => panic!("one frame was charged but not found: {error}"),
                },
                _ => {
                    if let Some(run) = runs.pop() {
                        let word = run.slice().unwrap().part(0, 8).unwrap();
                        assert_eq!(word.atomic().unwrap().load(Ordering::SeqCst), seed, "taken twice");
                    }
                    0
                }
            };
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=4).map(|seed| scope.spawn(move || work(seed))).collect();
        let watcher = scope.spawn(|| {
            while working.load(Ordering::SeqCst) {
                assert_adds_up(&memory.status());
                std::thread::yield_now();
            }
        });
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        working.store(false, Ordering::SeqCst);
        watcher.join().unwrap();
        assert!(results.iter().all(Result::is_ok), "a worker failed");
    });
    let resident: u64 = segments.iter().map(|segment| segment.resident_pages()).sum();
    let status = memory.status();
    assert_eq!((status.segments_bytes, status.pool_bytes), (resident * PAGE, 0));
    assert!(populated.load(Ordering::Relaxed) > 1_000 && status.evictions_total > 10, "{status:?}");
}
