//! What each process does to the shared page until its time is over.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use rustix::fs::{FlockOperation, flock};

use crate::shared::clock::{now_ns, wait_until};
use crate::shared::mapped::{Access, Mapped, Width};
use crate::shared::surface::Surface;
use crate::shared::team;

pub const PAGE: usize = 4096;
/// The counter that all share.
pub const COUNTER_AT: usize = 0;
/// A word for each process, one behind the other: false sharing of a line, and of a page.
pub const SLOTS_AT: usize = 64;
pub const WORKERS_MAX: usize = 16;
const TICKETS_AT: usize = 1024;
const SERVING_AT: usize = 1088;
const GUARDED_AT: usize = 1152;
/// The stack of `Stack`: how many entries, then the entries, spread over the second and third page.
pub const DEPTH_AT: usize = 2048;
pub const ENTRIES_AT: usize = PAGE;
pub const ENTRIES_MAX: u64 = 512;
pub const SUM_AT: usize = DEPTH_AT + 8;
/// `Wander` goes over this many pages.
pub const PAGES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// `lock xadd` to one counter
    Add,
    /// Plain loads and stores of an own word beside the others' words
    Slots,
    /// A ticket lock in the mapping around a plain counter
    Tickets,
    /// A stack under flock
    Stack,
    /// `lock xadd` to a word of one page after the other
    Wander,
}

impl Work {
    pub const ALL: [Work; 5] = [Work::Add, Work::Slots, Work::Tickets, Work::Stack, Work::Wander];

    pub fn name(self) -> &'static str {
        match self {
            Work::Add => "add",
            Work::Slots => "slots",
            Work::Tickets => "tickets",
            Work::Stack => "stack",
            Work::Wander => "wander",
        }
    }

    /// Where the process's work is counted, when it is: its slot, or all in one.
    pub fn total_at(self) -> usize {
        match self {
            Work::Tickets => GUARDED_AT,
            _ => COUNTER_AT,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub work: Work,
    pub worker: usize,
    pub node: usize,
    pub start_ns: u64,
    pub end_ns: u64,
    pub file: String,
}

impl Order {
    pub fn line(&self) -> String {
        let Order { work, worker, node, start_ns, end_ns, file } = self;
        format!("{} {worker} {node} {start_ns} {end_ns} {file}", work.name())
    }

    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let name = words.next()?;
        Some(Self {
            work: Work::ALL.into_iter().find(|work| work.name() == name)?,
            worker: words.next()?.parse().ok()?,
            node: words.next()?.parse().ok()?,
            start_ns: words.next()?.parse().ok()?,
            end_ns: words.next()?.parse().ok()?,
            file: words.next()?.into(),
        })
    }
}

/// The life of a process that works; answers with how often it did it, or with the word that it was told to look at.
pub fn serve(surface: Surface, folders: &[PathBuf]) -> io::Result<()> {
    let mut hands = None;
    team::serve(|line| match Look::parse(line) {
        Some(look) => look.obey(surface, folders, &mut hands),
        None => work(surface, folders, line),
    })
}

fn work(surface: Surface, folders: &[PathBuf], line: &str) -> Result<String, String> {
    let order = Order::parse(line).ok_or_else(|| format!("not an order: {line}"))?;
    let (file, mapped) = open(surface, folders, order.node, &order.file)?;
    wait_until(order.start_ns);
    let mut done = 0;
    while now_ns() < order.end_ns {
        once(&order, &file, &mapped, done)?;
        done += 1;
    }
    Ok(done.to_string())
}

pub(super) fn open(
    surface: Surface,
    folders: &[PathBuf],
    node: usize,
    name: &str,
) -> Result<(File, Mapped), String> {
    let path = folders.get(node).ok_or("no such node")?.join(name);
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::options().read(true).write(true).open(&path).map_err(told)?;
    let mapped = surface.map(&file, PAGES * PAGE, Access::ReadWrite).map_err(told)?;
    Ok((file, mapped))
}

/// What a process that looks at files has mapped.
type Hands = Option<(usize, String, Mapped)>;

/// A word as a process loads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub node: usize,
    pub file: String,
    pub at: usize,
}

impl Look {
    pub fn line(&self) -> String {
        format!("look {} {} {}", self.node, self.file, self.at)
    }

    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("look ")?.split(' ');
        Some(Self {
            node: words.next()?.parse().ok()?,
            file: words.next()?.into(),
            at: words.next()?.parse().ok()?,
        })
    }

    fn obey(self, surface: Surface, folders: &[PathBuf], hands: &mut Hands) -> Result<String, String> {
        let mapped = match hands.take() {
            Some((node, file, mapped)) if node == self.node && file == self.file => mapped,
            _ => open(surface, folders, self.node, &self.file)?.1,
        };
        let value = mapped.load(self.at, Width::Eight);
        *hands = Some((self.node, self.file, mapped));
        Ok(value.to_string())
    }
}

fn once(order: &Order, file: &File, mapped: &Mapped, done: u64) -> Result<(), String> {
    match order.work {
        Work::Add => drop(mapped.add(COUNTER_AT, Width::Eight, 1)),
        Work::Slots => {
            let slot = SLOTS_AT + 8 * order.worker;
            let before = mapped.load(slot, Width::Eight);
            if before != done {
                return Err(format!(
                    "slot {} holds {before} after {done} increments of its own",
                    order.worker
                ));
            }
            mapped.store(slot, Width::Eight, before + 1);
        }
        Work::Tickets => under_ticket(mapped, order.end_ns),
        Work::Stack => {
            flock(file, FlockOperation::LockExclusive).map_err(|error| format!("flock: {error}"))?;
            let result = push_or_pop(mapped, order.worker as u64 + 31 * done);
            flock(file, FlockOperation::Unlock).map_err(|error| format!("flock: {error}"))?;
            result?;
        }
        Work::Wander => drop(mapped.add((done as usize % PAGES) * PAGE, Width::Eight, 1)),
    }
    Ok(())
}

/// Whoever has drawn a ticket is served, also when its time is over meanwhile: the others wait for it.
fn under_ticket(mapped: &Mapped, end_ns: u64) {
    let ticket = mapped.word(TICKETS_AT).fetch_add(1, Ordering::AcqRel);
    while mapped.word(SERVING_AT).load(Ordering::Acquire) != ticket {
        // Long after the end, somebody's lost hand-over would keep everybody for ever: the total will show it.
        if now_ns() > end_ns + 10_000_000_000 {
            return;
        }
        std::thread::yield_now();
    }
    let before = mapped.load(GUARDED_AT, Width::Eight);
    mapped.store(GUARDED_AT, Width::Eight, before + 1);
    mapped.word(SERVING_AT).store(ticket + 1, Ordering::Release);
}

/// The sum beside the stack is that of its entries, whenever the lock is free.
fn push_or_pop(mapped: &Mapped, chance: u64) -> Result<(), String> {
    let depth = mapped.load(DEPTH_AT, Width::Eight);
    let sum = mapped.load(SUM_AT, Width::Eight);
    if depth > ENTRIES_MAX {
        return Err(format!("the stack says that it has {depth} entries"));
    }
    let entry = |index: u64| ENTRIES_AT + 16 * index as usize;
    let pushes = depth == 0 || (depth < ENTRIES_MAX && chance.count_ones().is_multiple_of(2));
    if pushes {
        let value = chance + 1;
        mapped.store(entry(depth), Width::Eight, value);
        mapped.store(SUM_AT, Width::Eight, sum.wrapping_add(value));
        mapped.store(DEPTH_AT, Width::Eight, depth + 1);
        return Ok(());
    }
    let value = mapped.swap(entry(depth - 1), Width::Eight, 0);
    if value == 0 {
        return Err(format!("entry {} of {depth} is empty", depth - 1));
    }
    mapped.store(SUM_AT, Width::Eight, sum.wrapping_sub(value));
    mapped.store(DEPTH_AT, Width::Eight, depth - 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_its_line() {
        let order = Order { work: Work::Slots, worker: 1, node: 0, start_ns: 5, end_ns: 9, file: "f".into() };
        assert_eq!(Order::parse(&order.line()), Some(order));
        assert_eq!(Order::parse("dance 1 0 5 9 f"), None);
        let look = Look { node: 1, file: "f".into(), at: 8 };
        assert_eq!(Look::parse(&look.line()), Some(look));
    }
}
