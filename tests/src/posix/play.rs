//! Does the steps, and after each looks at the file from another directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use super::model::Model;
use super::steps::{Op, PAGE, Step, Steps};
use super::turns::{Member, Task};
use crate::shared::mapped::{Access, Mapped};
use crate::shared::surface::Surface;
use crate::shared::team;

/// The whole file is compared after so many steps.
const COMPARE_ALL_EVERY: usize = 64;
/// How much of the surroundings of a step is compared.
const AROUND: u64 = 2 * PAGE;

/// The life of a process that plays lists, alone or by turns with one process for each other directory.
pub fn serve(surface: Surface, progress: &Path, folders: &[PathBuf]) -> io::Result<()> {
    let progress = File::options().read(true).write(true).open(progress)?;
    let progress = Mapped::shared(progress, PAGE as usize, Access::ReadWrite)?;
    let mut runs = 0;
    let mut member: Option<Member> = None;
    team::serve(|line| match Task::parse(line).ok_or_else(|| format!("not an order: {line}"))? {
        Task::Alone(order) => {
            let list = Steps::new(order.seed, order.count, folders.len(), order.maps);
            runs += 1;
            let name = format!("fsxr-{}-{runs}", std::process::id());
            let played = play(surface, &order, &list, &progress, folders, &name);
            // Only a worker that dies leaves its file behind.
            std::fs::remove_file(folders[0].join(&name)).map_err(|error| error.to_string())?;
            played.map(|()| "played".into())
        }
        Task::Join { node, name, order } => {
            member = None;
            member = Some(joined(surface, folders, (node, &name), &order)?);
            Ok("joined".into())
        }
        Task::Turn { at, turn } => {
            let member = member.as_mut().ok_or("a turn of nothing")?;
            member.take(at, turn).map(|()| "done".into()).map_err(|error| format!("{at}: {error}"))
        }
        Task::Part => {
            member = None;
            Ok("parted".into())
        }
    })
}

fn joined(
    surface: Surface,
    folders: &[PathBuf],
    (node, name): (usize, &str),
    order: &Order,
) -> Result<Member, String> {
    Member::new(surface, folders, node, name, order).map_err(|error| error.to_string())
}

fn play(
    surface: Surface,
    order: &Order,
    list: &Steps,
    progress: &Mapped,
    folders: &[PathBuf],
    name: &str,
) -> Result<(), String> {
    let mut player =
        Player::new(surface, folders, name, order.maps, list.size_max).map_err(|error| error.to_string())?;
    for step in order.kept.iter().filter_map(|index| list.steps.get(*index)) {
        progress.word(0).store(step.index as u64 + 1, Ordering::SeqCst);
        player.step(step).map_err(|error| format!("{}: {error}", step.index))?;
    }
    player.compare_all(0).map_err(|error| format!("at the end: {error}"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub seed: u64,
    pub count: usize,
    pub maps: bool,
    pub kept: Vec<usize>,
}

impl Order {
    pub fn line(&self) -> String {
        let kept: Vec<_> = self.kept.iter().map(usize::to_string).collect();
        format!("{} {} {} {}", self.seed, self.count, self.maps, kept.join(","))
    }

    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (seed, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let maps = words.next()?.parse().ok()?;
        let kept = words.next()?.split(',').map(|index| index.parse().ok()).collect::<Option<_>>()?;
        Some(Self { seed, count, maps, kept })
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    #[error("{0}")]
    Call(#[from] io::Error),
    #[error("{0}")]
    Errno(#[from] Errno),
    #[error("{surface} on node {node}: byte {position:#x} is {found:#04x} and should be {expected:#04x}")]
    Byte { surface: &'static str, node: usize, position: u64, found: u8, expected: u8 },
    #[error("{surface} on node {node} at {at:#x}: {found} bytes, and should be {expected}")]
    Short { surface: &'static str, node: usize, at: u64, found: usize, expected: usize },
    #[error("node {node}: the size is {found:#x} and should be {expected:#x}")]
    Size { node: usize, found: u64, expected: u64 },
    #[error("node {node}: {op:?} from {at:#x} answers {answer:?}, which passes over data or stops at none")]
    Seek { node: usize, op: Op, at: u64, answer: Option<u64> },
}

/// A directory's hands on the file. What has it open for reading stays for the whole run, and its mapping has the largest
/// size that the file may have: pages that were cut off and have come back are the same ones.
pub(super) struct Node {
    surface: Surface,
    path: PathBuf,
    reader: File,
    reading: Mapped,
    writer: Option<Writer>,
}

struct Writer {
    file: File,
    append: File,
    mapped: Mapped,
}

impl Node {
    pub(super) fn open(surface: Surface, path: PathBuf, size_max: u64) -> io::Result<Self> {
        let reader = File::open(&path)?;
        let reading = surface.map(&reader, size_max as usize, Access::Read)?;
        Ok(Self { surface, path, reader, reading, writer: None })
    }

    fn writer(&mut self) -> io::Result<&mut Writer> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let file = File::options().read(true).write(true).open(&self.path)?;
                let append = File::options().append(true).open(&self.path)?;
                let mapped = self.surface.map(&file, self.reading.len(), Access::ReadWrite)?;
                Writer { file, append, mapped }
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Steps that read do so through what is open for writing, if anything is; witnesses through what is open for reading.
    fn file(&self, witness: bool) -> &File {
        self.writer.as_ref().filter(|_| !witness).map_or(&self.reader, |writer| &writer.file)
    }

    fn mapped(&self, witness: bool) -> &Mapped {
        self.writer.as_ref().filter(|_| !witness).map_or(&self.reading, |writer| &writer.mapped)
    }
}

pub(super) struct Player {
    /// Those of this process.
    pub(super) nodes: BTreeMap<usize, Node>,
    model: Model,
    maps: bool,
    steps: usize,
}

impl Player {
    /// The hands of those directories on a file that is there and empty.
    pub(super) fn of(nodes: BTreeMap<usize, Node>, maps: bool, size_max: u64) -> Self {
        Self { nodes, model: Model::new(size_max), maps, steps: 0 }
    }

    fn new(surface: Surface, folders: &[PathBuf], name: &str, maps: bool, size_max: u64) -> io::Result<Self> {
        File::create_new(folders.first().ok_or(io::ErrorKind::NotFound)?.join(name))?;
        let open =
            |(node, folder): (usize, &PathBuf)| Ok((node, Node::open(surface, folder.join(name), size_max)?));
        let nodes = folders.iter().enumerate().map(open).collect::<io::Result<_>>()?;
        Ok(Self::of(nodes, maps, size_max))
    }

    fn step(&mut self, step: &Step) -> Result<(), Wrong> {
        self.perform(step)?;
        self.follow(step);
        self.witness(step)
    }

    pub(super) fn follow(&mut self, step: &Step) {
        self.model.apply(step);
        self.steps += 1;
    }

    pub(super) fn witness(&self, step: &Step) -> Result<(), Wrong> {
        self.compare_size(step.witness)?;
        if self.steps.is_multiple_of(COMPARE_ALL_EVERY) {
            return self.compare_all(step.witness);
        }
        let at = step.at.saturating_sub(AROUND);
        self.compare((step.witness, true), step.witness_maps, at, (step.bytes + 2 * AROUND).min(16 * PAGE))
    }

    pub(super) fn perform(&mut self, step: &Step) -> Result<(), Wrong> {
        let node = self.nodes.get_mut(&step.node).ok_or(Errno::BADF)?;
        match step.op {
            Op::Read => self.compare((step.node, false), false, step.at, step.bytes)?,
            Op::MapRead => self.compare((step.node, false), true, step.at, step.bytes)?,
            Op::Write => node.writer()?.file.write_all_at(&pattern(step, step.at, step.bytes), step.at)?,
            Op::MapWrite => {
                let bytes = self.model.range(step.at, step.bytes).len() as u64;
                node.writer()?.mapped.copy_to(step.at as usize, &pattern(step, step.at, bytes));
            }
            Op::Append => {
                let data = pattern(step, self.model.size(), self.model.appends(step));
                io::Write::write_all(&mut node.writer()?.append, &data)?;
            }
            Op::Resize => node.writer()?.file.set_len(step.at)?,
            Op::Empty => drop(File::options().write(true).truncate(true).open(&node.path)?),
            Op::Punch => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&node.writer()?.file, flags, step.at, step.bytes)?;
            }
            Op::Allocate => fallocate(&node.writer()?.file, FallocateFlags::empty(), step.at, step.bytes)?,
            Op::AllocateKeepingSize => {
                fallocate(&node.writer()?.file, FallocateFlags::KEEP_SIZE, step.at, step.bytes)?
            }
            Op::Fsync => node.file(false).sync_all()?,
            Op::Msync => node.mapped(false).sync()?,
            Op::CloseWriting => node.writer = None,
            Op::Reopen | Op::ReopenDirect => {
                let flags = if step.op == Op::Reopen { OFlags::empty() } else { OFlags::DIRECT };
                let mut options = File::options();
                options.read(true).write(true).custom_flags(flags.bits() as i32);
                let file = options.open(&node.path)?;
                node.writer()?.file = file;
            }
            Op::SeekData | Op::SeekHole => self.seek(step)?,
        }
        Ok(())
    }

    fn seek(&self, step: &Step) -> Result<(), Wrong> {
        let from = if step.op == Op::SeekData { SeekFrom::Data(step.at) } else { SeekFrom::Hole(step.at) };
        let answer = match seek(self.node(step.node)?.file(false), from) {
            Ok(position) => Some(position),
            Err(Errno::NXIO) => None,
            Err(error) => return Err(error.into()),
        };
        let right = match step.op {
            Op::SeekData => self.model.may_be_data(step.at, answer),
            _ => self.model.may_be_hole(step.at, answer),
        };
        if right { Ok(()) } else { Err(Wrong::Seek { node: step.node, op: step.op, at: step.at, answer }) }
    }

    fn node(&self, node: usize) -> Result<&Node, Errno> {
        self.nodes.get(&node).ok_or(Errno::BADF)
    }

    fn compare_size(&self, node: usize) -> Result<(), Wrong> {
        let (found, expected) = (self.node(node)?.reader.metadata()?.len(), self.model.size());
        if found == expected { Ok(()) } else { Err(Wrong::Size { node, found, expected }) }
    }

    pub(super) fn compare_all(&self, node: usize) -> Result<(), Wrong> {
        self.compare_size(node)?;
        let everything = self.model.size();
        self.compare((node, true), false, 0, everything.max(1))?;
        if self.maps { self.compare((node, true), true, 0, everything) } else { Ok(()) }
    }

    fn compare(&self, (node, witness): (usize, bool), maps: bool, at: u64, bytes: u64) -> Result<(), Wrong> {
        let hands = self.node(node)?;
        let expected = self.model.range(at, bytes);
        let mut found = vec![0; expected.len()];
        let surface = if maps { "mapping" } else { "read" };
        if maps {
            hands.mapped(witness).copy_from(at as usize, &mut found);
            self.compare_tail((node, witness), at + bytes)?;
        } else {
            found.resize(bytes as usize, 0);
            let read = read_up_to(hands.file(witness), &mut found, at)?;
            if read != expected.len() {
                return Err(Wrong::Short { surface, node, at, found: read, expected: expected.len() });
            }
        }
        match expected.iter().zip(&found).position(|(expected, found)| expected != found) {
            None => Ok(()),
            Some(index) => Err(Wrong::Byte {
                surface,
                node,
                position: at + index as u64,
                found: found[index],
                expected: expected[index],
            }),
        }
    }

    /// Behind its end, the file's last page is zero.
    fn compare_tail(&self, (node, witness): (usize, bool), end: u64) -> Result<(), Wrong> {
        let size = self.model.size();
        if end < size || size == 0 {
            return Ok(());
        }
        let mut tail = vec![0; self.model.tail() as usize];
        self.node(node)?.mapped(witness).copy_from(size as usize, &mut tail);
        match tail.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(index) => Err(Wrong::Byte {
                surface: "mapping behind the end",
                node,
                position: size + index as u64,
                found: tail[index],
                expected: 0,
            }),
        }
    }
}

fn pattern(step: &Step, at: u64, bytes: u64) -> Vec<u8> {
    (at..at + bytes).map(|position| step.byte(position)).collect()
}

fn read_up_to(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], at + done as u64)? {
            0 => break,
            more => done += more,
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_its_line() {
        let order = Order { seed: 7, count: 100, maps: true, kept: vec![0, 5, 99] };
        assert_eq!(Order::parse(&order.line()), Some(order));
        assert_eq!(Order::parse("1 2 true x"), None);
    }

    #[test]
    fn a_byte_that_changes_behind_the_models_back_is_found_by_both_surfaces() {
        let folder = std::env::temp_dir().join(format!("fsxr-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut player =
            Player::new(Surface::File, &[folder.clone(), folder.clone()], "file", true, 16 * PAGE).unwrap();
        let step =
            Step { index: 1, node: 0, op: Op::Write, at: 5, bytes: 5000, witness: 1, witness_maps: true };
        player.step(&step).unwrap();
        player.compare_all(1).unwrap();
        File::options().write(true).open(folder.join("file")).unwrap().write_all_at(&[0], 4097).unwrap();
        for maps in [false, true] {
            let found = player.compare((1, true), maps, 0, 9000).map_err(|wrong| wrong.to_string());
            assert!(found.as_ref().is_err_and(|wrong| wrong.contains("byte 0x1001 is 0x00")), "{found:?}");
        }
        File::options().write(true).open(folder.join("file")).unwrap().set_len(5004).unwrap();
        assert!(player.compare_size(1).is_err() && player.compare((1, true), false, 0, 9000).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
