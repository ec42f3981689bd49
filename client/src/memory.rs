//! Bytes of a mapping. Others may change them at any moment, so there are never references to them: they are copied word by word, or
//! used as atomics.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::error::Error;
use crate::registry::Mapping;

fn checked(mapping: &Mapping, offset: usize, length: usize) -> Result<usize, Error> {
    let address = mapping.address.wrapping_add(offset);
    match offset.checked_add(length) {
        Some(end) if end <= mapping.length => Ok(address),
        _ => Err(Error::NotMapped { address }),
    }
}

macro_rules! atomic {
    ($name:ident, $type:ty) => {
        /// A word of the mapping, for as long as the mapping lives.
        pub(crate) fn $name(mapping: &Mapping, offset: usize) -> Result<&$type, Error> {
            let address = checked(mapping, offset, size_of::<$type>())?;
            if !address.is_multiple_of(align_of::<$type>()) {
                return Err(Error::Word);
            }
            // SAFETY: inside of the mapping, aligned, and all access by safe code is atomic. Mapped for reading at least; a store to what
            // is mapped for reading only ends the process by a signal.
            Ok(unsafe { &*(address as *const $type) })
        }
    };
}
atomic!(byte, AtomicU8);
atomic!(word, AtomicU32);
atomic!(long_word, AtomicU64);

/// Whole words where both sides allow it, so that an aligned word is never seen in parts.
pub(crate) fn read(mapping: &Mapping, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
    checked(mapping, offset, bytes.len())?;
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let step = step(mapping, at, rest.len());
        let (chunk, after) = rest.split_at_mut(step);
        match step {
            8 => chunk.copy_from_slice(&long_word(mapping, at)?.load(Ordering::Relaxed).to_ne_bytes()),
            _ => chunk.copy_from_slice(&[byte(mapping, at)?.load(Ordering::Relaxed)]),
        }
        (at, rest) = (at + step, after);
    }
    Ok(())
}

pub(crate) fn write(mapping: &Mapping, offset: usize, bytes: &[u8]) -> Result<(), Error> {
    if !mapping.writable() {
        return Err(Error::Protection);
    }
    checked(mapping, offset, bytes.len())?;
    let mut at = offset;
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let step = step(mapping, at, rest.len());
        match rest.first_chunk::<8>() {
            Some(chunk) if step == 8 => {
                long_word(mapping, at)?.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed)
            }
            _ => byte(mapping, at)?.store(*first, Ordering::Relaxed),
        }
        rest = rest.get(step..).unwrap_or_default();
        at += step;
    }
    Ok(())
}

fn step(mapping: &Mapping, at: usize, left: usize) -> usize {
    if left >= 8 && (mapping.address + at).is_multiple_of(8) { 8 } else { 1 }
}
