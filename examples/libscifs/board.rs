//! cargo run -p scifs-client --example board -- /dsm/board ME PLAYERS NAME
//!
//! The same as board.c, with the safe face of libscifs. The file is shared memory that others change at any moment, so there are no references into it:
//! words are atomics, other bytes are copied, and a pointer is a number from which the segment's address is subtracted.

use std::mem::size_of;
use std::sync::atomic::Ordering::SeqCst;

use scifs_client::{Access, Error, Mode, Segment};

const SAMPLES: usize = 1024;
/// struct board: where its fields are, and where it ends.
const HERE: usize = 0;
const FIRST: usize = 8;
const FREE: usize = 16;
const SAMPLE: usize = 24;
const BOARD_BYTES: usize = SAMPLE + SAMPLES * size_of::<f64>();
/// struct entry.
const NEXT: usize = 0;
const TEXT: usize = 8;
const TEXT_BYTES: usize = 56;
const ENTRY_BYTES: usize = TEXT + TEXT_BYTES;

struct Board(Segment);

impl Board {
    fn get(&self, at: usize) -> Result<u64, Error> {
        Ok(self.0.long_word(at)?.load(SeqCst))
    }

    fn set(&self, at: usize, value: u64) -> Result<(), Error> {
        self.0.long_word(at)?.store(value, SeqCst);
        Ok(())
    }

    /// Where in the segment a pointer of the others points.
    fn offset(&self, pointer: u64) -> usize {
        (pointer as usize).wrapping_sub(self.0.address())
    }

    /// Under the lock: what it reads was written by others, on other nodes.
    fn put(&self, name: &str) -> Result<(), Error> {
        let lock = self.0.lock(HERE, SAMPLE, Mode::Write)?;
        let end = (self.0.address() + BOARD_BYTES) as u64;
        let entry = Some(self.get(FREE)?).filter(|free| *free != 0).unwrap_or(end);
        let at = self.offset(entry);
        let mut text = [0; TEXT_BYTES];
        let bytes = name.len().min(TEXT_BYTES - 1);
        text[..bytes].copy_from_slice(&name.as_bytes()[..bytes]);
        self.set(FREE, entry + ENTRY_BYTES as u64)?;
        self.set(at + NEXT, self.get(FIRST)?)?;
        self.0.write(at + TEXT, &text)?;
        self.set(FIRST, entry)?;
        self.set(HERE, self.get(HERE)? + 1)?;
        drop(lock);
        self.0.notify(HERE, u32::MAX).map(drop)
    }

    fn wait_for(&self, players: u64) -> Result<(), Error> {
        loop {
            let here = self.get(HERE)?;
            if here >= players {
                return Ok(());
            }
            // Whatever it ends with, the value is looked at again.
            let _ = self.0.wait_long(HERE, here, None)?;
        }
    }

    fn samples(&self) -> Result<f64, Error> {
        (0..SAMPLES).map(|at| self.get(SAMPLE + at * 8).map(f64::from_bits)).sum()
    }

    fn entries(&self) -> Result<u64, Error> {
        let (mut entries, mut pointer) = (0, self.get(FIRST)?);
        while pointer != 0 {
            (entries, pointer) = (entries + 1, self.get(self.offset(pointer) + NEXT)?);
        }
        Ok(entries)
    }

    fn newest(&self) -> Result<String, Error> {
        let mut text = [0; TEXT_BYTES];
        self.0.read(self.offset(self.get(FIRST)?) + TEXT, &mut text)?;
        Ok(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned())
    }
}

fn play(path: &str, me: usize, players: usize, name: &str) -> Result<(), Error> {
    let board = Board(Segment::map(path, Access::ReadWrite)?);
    for at in me * SAMPLES / players..(me + 1) * SAMPLES / players {
        board.set(SAMPLE + at * 8, (at as f64).to_bits())?;
    }
    board.put(name)?;
    board.wait_for(players as u64)?;
    let node = scifs_client::info()?;
    println!(
        "{name:<12} on node {} of {}: {} entries, the newest at {:#x} by {}; the samples add up to {:.0}",
        node.node,
        node.nodes,
        board.entries()?,
        board.get(FIRST)?,
        board.newest()?,
        board.samples()?
    );
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, me, players, name] = arguments.as_slice() else {
        eprintln!("usage: board FILE ME PLAYERS NAME");
        std::process::exit(1);
    };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no number"));
    if let Err(error) = play(path, number(me), number(players), name) {
        eprintln!("board: {error}");
        std::process::exit(1);
    }
}
