//! A thread of a test, in its own process: meets the others, waits its own random while, and does its accesses.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::control::Control;
use super::place::Layout;
use super::program::{Op, Place, Program, REGISTERS_MAX};
use super::shapes;
use crate::model::random::Random;
use crate::shared::clock::wait_until;
use crate::shared::mapped::{Access, Mapped, Width};
use crate::shared::surface::Surface;
use crate::shared::team;

/// Of the iterations with system calls, those in which one thread begins after the others.
const LATE_PERCENT: u64 = 30;

/// One round of one thread. Everything random in it follows from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub test: String,
    pub thread: usize,
    pub node: usize,
    pub layout: Layout,
    pub instances: usize,
    /// Files that the thread never stores to are opened for reading only.
    pub sparing: bool,
    /// Do the accesses backwards in half of the iterations: what a test of the tests must notice.
    pub sabotage: bool,
    /// Delays are uniform up to 2^n ns, n from the first of these to the second.
    pub delay_log2: (u64, u64),
    pub seed: u64,
    pub stem: String,
}

impl Order {
    pub fn line(&self) -> String {
        let Order { test, thread, node, layout, instances, sparing, sabotage, delay_log2, seed, stem } = self;
        let (layout, (low, high)) = (layout.name(), delay_log2);
        format!("{test} {thread} {node} {layout} {instances} {sparing} {sabotage} {low} {high} {seed} {stem}")
    }

    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            test: words.next()?.into(),
            thread: words.next()?.parse().ok()?,
            node: words.next()?.parse().ok()?,
            layout: Layout::of(words.next()?)?,
            instances: words.next()?.parse().ok()?,
            sparing: words.next()?.parse().ok()?,
            sabotage: words.next()?.parse().ok()?,
            delay_log2: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            seed: words.next()?.parse().ok()?,
            stem: words.next()?.into(),
        })
    }
}

/// The files of a round, below a node's directory.
pub fn file_path(folder: &Path, stem: &str, file: usize) -> PathBuf {
    folder.join(format!("{stem}-{file}"))
}

/// The life of a process that plays threads.
pub fn serve(surface: Surface, control: &Path, folders: &[PathBuf]) -> std::io::Result<()> {
    let control = Control::open(control)?;
    team::serve(|line| {
        let order = Order::parse(line).ok_or_else(|| format!("not an order: {line}"))?;
        let program =
            shapes::find(&order.test).ok_or_else(|| format!("no shape is called {}", order.test))?;
        let folder = folders.get(order.node).ok_or("no such node")?;
        let files = Files::open(surface, &program, &order, folder)?;
        Player { control: &control, program: &program, order: &order, files: &files }.play()?;
        Ok("played".into())
    })
}

struct Files(Vec<(File, Mapped, bool)>);

impl Files {
    fn open(surface: Surface, program: &Program, order: &Order, folder: &Path) -> Result<Self, String> {
        let variables = program.variables();
        let bytes = order.layout.file_bytes(variables, order.instances);
        let open = |index: usize| {
            let here = |variable: &usize| order.layout.file_of(*variable) == index;
            let pure = (0..variables).filter(here).all(|variable| program.only_reads(order.thread, variable));
            let writable = !(order.sparing && pure);
            let path = file_path(folder, &order.stem, index);
            let told = |error: std::io::Error| format!("{}: {error}", path.display());
            let file = File::options().read(true).write(writable).open(&path).map_err(told)?;
            let access = if writable { Access::ReadWrite } else { Access::Read };
            let mapped = surface.map(&file, bytes, access).map_err(told)?;
            Ok::<_, String>((file, mapped, writable))
        };
        Ok(Self((0..order.layout.files(variables)).map(open).collect::<Result<_, _>>()?))
    }
}

/// What all threads of a round draw alike, and what each draws for itself.
struct Chance {
    common: Random,
    own: Random,
}

impl Chance {
    fn new(order: &Order) -> Self {
        let own = order.seed ^ (order.thread as u64 + 1) << 48;
        Self { common: Random::new(order.seed), own: Random::new(own) }
    }
}

struct Player<'a> {
    control: &'a Control,
    program: &'a Program,
    order: &'a Order,
    files: &'a Files,
}

impl Player<'_> {
    fn play(&self) -> Result<(), String> {
        let mut ops = self.program.threads[self.order.thread].clone();
        let mut chance = Chance::new(self.order);
        for iteration in 0..self.order.instances {
            let delays = self.delays_ns(&mut chance, ops.len());
            if self.order.sabotage && chance.own.percent(50) {
                ops.reverse();
            }
            self.warm_up(&mut chance.own, iteration);
            let mut now_ns = self.control.meet(self.program.threads.len() as u64, iteration as u64);
            let mut registers = [0; REGISTERS_MAX];
            for (index, op) in ops.iter().enumerate() {
                if delays[index] > 0 || index == 0 {
                    now_ns = now_ns.max(if index == 0 { 0 } else { crate::shared::clock::now_ns() });
                    wait_until(now_ns + delays[index]);
                }
                self.control.doing(self.order.thread, iteration, index);
                self.perform(op, iteration, &mut registers).map_err(|error| format!("{op}: {error}"))?;
            }
            for register in ops.iter().filter_map(Op::register) {
                self.control.set_register(iteration, register, registers[register]);
            }
        }
        // The last stores are seen by whoever reads the files next.
        Mapped::fence();
        Ok(())
    }

    /// How long to wait before each access: uniform up to a scale that all threads of an iteration share, so that any
    /// interleaving is likely. Often threads also pause between accesses: pages then move in the middle of a thread, which
    /// they hardly would otherwise, with a page that stays for a minimum time.
    fn delays_ns(&self, chance: &mut Chance, accesses: usize) -> Vec<u64> {
        let (low, high) = self.order.delay_log2;
        let scale_ns = 1 << chance.common.between(low, high + 1);
        // A system call takes longer than a load of a page that is here: the caller would never be first.
        let threads = self.program.threads.len() as u64;
        let late = self.program.calls()
            && chance.common.percent(LATE_PERCENT)
            && chance.common.between(0, threads) == self.order.thread as u64;
        let late_ns = if late { 3 * scale_ns } else { 0 };
        let own = &mut chance.own;
        let pauses = own.percent(70);
        let mut delay = |index| match index {
            0 => late_ns + own.between(0, scale_ns),
            _ if pauses => own.between(0, 2 * scale_ns),
            _ => 0,
        };
        (0..accesses).map(&mut delay).collect()
    }

    /// Pages start an iteration in many states: here for reading, here for writing, elsewhere.
    fn warm_up(&self, random: &mut Random, iteration: usize) {
        let Order { layout, thread, .. } = *self.order;
        let variables = self.program.variables();
        for variable in 0..variables {
            let (_, mapped, writable) = &self.files.0[layout.file_of(variable)];
            let spare = layout.spare(variables, variable, iteration, thread);
            match random.between(0, 6) {
                0 => drop(mapped.load(spare, Width::Eight)),
                1 if *writable => mapped.store(spare, Width::Eight, iteration as u64),
                _ => (),
            }
        }
    }

    fn perform(&self, op: &Op, iteration: usize, registers: &mut [u64]) -> std::io::Result<()> {
        let Some(place) = op.place() else {
            Mapped::fence();
            return Ok(());
        };
        let (file, mapped, at) = self.at(place, iteration);
        let width = place.width;
        let result = match *op {
            Op::Store { value, .. } => {
                mapped.store(at, width, value);
                0
            }
            Op::Load { .. } => mapped.load(at, width),
            Op::Swap { value, .. } => mapped.swap(at, width, value),
            Op::Add { value, .. } => mapped.add(at, width, value),
            Op::CompareSwap { expected, value, .. } => mapped.compare_swap(at, width, expected, value),
            Op::Write { value, .. } => {
                file.write_all_at(&value.to_le_bytes()[..width.bytes()], at as u64)?;
                0
            }
            Op::Read { .. } => {
                let mut bytes = [0; 8];
                file.read_exact_at(&mut bytes[..width.bytes()], at as u64)?;
                u64::from_le_bytes(bytes)
            }
            Op::Fence => 0,
        };
        if let Some(register) = op.register() {
            registers[register] = result;
        }
        Ok(())
    }

    fn at(&self, place: Place, iteration: usize) -> (&File, &Mapped, usize) {
        let layout = self.order.layout;
        let (file, mapped, _) = &self.files.0[layout.file_of(place.variable)];
        (file, mapped, layout.offset(self.program.variables(), place.variable, iteration) + place.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_its_line() {
        let order = Order {
            test: "MP+writes".into(),
            thread: 1,
            node: 3,
            layout: Layout::Pages,
            instances: 250,
            sparing: true,
            sabotage: false,
            delay_log2: (7, 17),
            seed: 7,
            stem: "litmus-1-2".into(),
        };
        assert_eq!(Order::parse(&order.line()), Some(order));
        assert_eq!(Order::parse("MP 1"), None);
    }
}
