//! rustc -O -o ring-rust ring.rs; ./ring-rust /dsm/ring ME PLAYERS NOTES NAME
//!
//! The same as ring.c, with nothing but the standard library and four functions of libc.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::OpenOptions;
use std::io::{Error, Write};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

unsafe extern "C" {
    fn mmap(at: *mut c_void, bytes: usize, protection: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
    fn getxattr(path: *const c_char, name: *const c_char, value: *mut c_void, bytes: usize) -> isize;
}

const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED_FIXED_NOREPLACE: c_int = 0x10_0001;

#[repr(C)]
struct Note {
    next: *mut Note,
    number: u64,
    who: [u8; 16],
    text: [u8; 64],
}

#[repr(C)]
struct Ring {
    turn: AtomicU64,
    count: u64,
    first: *mut Note,
    last: *mut Note,
    free: *mut Note,
}

/// The whole file, where the cluster wants it.
fn map(path: &str) -> Result<*mut Ring, Error> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let bytes = file.metadata()?.len() as usize;
    let (name, mut text) = (c"user.scifs.address", [0u8; 32]);
    let path = CString::new(path)?;
    // SAFETY: both strings end in a zero byte, and the buffer is as long as it is said to be.
    let length = unsafe { getxattr(path.as_ptr(), name.as_ptr(), text.as_mut_ptr().cast(), text.len()) };
    let length = usize::try_from(length).map_err(|_| Error::last_os_error())?;
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    let address = u64::from_str_radix(text.trim_end_matches('\0').trim_start_matches("0x"), 16)
        .map_err(Error::other)?;
    let wanted = address as *mut c_void;
    // SAFETY: NOREPLACE takes no memory away from anybody.
    let at = unsafe { mmap(wanted, bytes, PROT_READ_WRITE, MAP_SHARED_FIXED_NOREPLACE, file.as_raw_fd(), 0) };
    if at == wanted { Ok(at.cast()) } else { Err(Error::last_os_error()) }
}

fn put(text: &str, into: &mut [u8]) {
    into.fill(0);
    (&mut into[..]).write_all(text.as_bytes()).expect("the names of this example are short");
}

/// Walks the list by its pointers, links a note behind the last one, and says so.
///
/// # Safety
/// It is this player's turn, so nobody else touches the ring; every pointer in it was made by a player.
unsafe fn append(ring: *mut Ring, name: &str) {
    // SAFETY: as the function asks for.
    unsafe {
        let (mut seen, mut at) = (0, (*ring).first);
        while !at.is_null() {
            (seen, at) = (seen + 1, (*at).next);
        }
        let note: *mut Note = if (*ring).free.is_null() { ring.add(1).cast() } else { (*ring).free };
        (*note).next = null_mut();
        (*note).number = (*ring).count + 1;
        put(name, &mut (*note).who);
        put(&format!("{name} has walked past {seen} notes"), &mut (*note).text);
        let last = (*ring).last;
        print!("{name:<12} note {:2} at {note:p}", (*note).number);
        if last.is_null() {
            (*ring).first = note;
        } else {
            (*last).next = note;
            let who = (*last).who;
            print!(", linked from {last:p} by {}", String::from_utf8_lossy(&who).trim_end_matches('\0'));
        }
        println!();
        (*ring).last = note;
        (*ring).free = note.add(1);
        (*ring).count += 1;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, me, players, notes, name] = &arguments[..] else {
        eprintln!("usage: ring-rust FILE ME PLAYERS NOTES NAME");
        std::process::exit(1);
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    let (me, players, notes) = (number(me), number(players), number(notes));
    let ring = map(path).unwrap_or_else(|error| panic!("mapping {path} at its address: {error}"));
    // SAFETY: it is mapped for as long as the program runs, and shared as atomics are.
    let turn = unsafe { &(*ring).turn };
    loop {
        while turn.load(SeqCst) != me {
            std::thread::sleep(Duration::from_micros(200));
        }
        // SAFETY: it is our turn.
        let done = unsafe { (*ring).count >= notes };
        if !done {
            // SAFETY: it is our turn.
            unsafe { append(ring, name) };
        }
        turn.store((me + 1) % players, SeqCst);
        if done {
            return;
        }
    }
}
