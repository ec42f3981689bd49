//! Errors on their way to C: the number in `errno`, the sentence in a place of the thread's own.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use scifs_client::{Error, advice};

#[derive(Default)]
struct Sentences {
    /// Of the last call that failed.
    last: Option<(c_int, CString)>,
    /// What was given out last, which stays until the next call for one.
    given: CString,
}

thread_local! {
    static SENTENCES: RefCell<Sentences> = RefCell::default();
}

/// Runs a call; an error or a panic becomes `failed`, errno and a sentence.
pub(crate) fn guarded<T>(failed: T, call: impl FnOnce() -> Result<T, Error>) -> T {
    match catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(Error::Bug)) {
        Ok(result) => result,
        Err(error) => {
            note(&error);
            failed
        }
    }
}

fn note(error: &Error) {
    let errno = error.errno().raw_os_error();
    let sentence = CString::new(error.to_string()).unwrap_or_default();
    // A thread that is ending has only the number.
    let _ = SENTENCES.try_with(|sentences| sentences.borrow_mut().last = Some((errno, sentence)));
    // SAFETY: the place of errno of this thread is always there.
    unsafe { *libc::__errno_location() = errno };
}

/// The sentence of this thread's last error if that had this number; else what the number says by itself.
pub(crate) fn sentence(errno: c_int) -> *const c_char {
    let text = |sentences: &RefCell<Sentences>| {
        let sentences = &mut *sentences.borrow_mut();
        sentences.given = match &sentences.last {
            Some((last, sentence)) if *last == errno => sentence.clone(),
            _ => CString::new(general(errno)).unwrap_or_default(),
        };
        sentences.given.as_ptr()
    };
    let nothing: &CStr = c"the thread is ending";
    catch_unwind(|| SENTENCES.try_with(text).unwrap_or(nothing.as_ptr())).unwrap_or(nothing.as_ptr())
}

/// A text that stays until this thread asks for the next one.
pub(crate) fn give(text: &str) -> *const c_char {
    let text = CString::new(text).unwrap_or_default();
    let place = |sentences: &RefCell<Sentences>| {
        let sentences = &mut *sentences.borrow_mut();
        sentences.given = text;
        sentences.given.as_ptr()
    };
    SENTENCES.try_with(place).unwrap_or(std::ptr::null())
}

fn general(errno: c_int) -> String {
    let error = std::io::Error::from_raw_os_error(errno);
    match rustix_errno(errno) {
        Some(number) => format!("{error}; {}", advice(number)),
        None => error.to_string(),
    }
}

fn rustix_errno(errno: c_int) -> Option<scifs_client::Errno> {
    (1..4096).contains(&errno).then(|| scifs_client::Errno::from_raw_os_error(errno))
}
