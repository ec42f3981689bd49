//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, the top bit set in all but the last.

use scios::rpc::codec::{DecodeError, Reader};

pub(super) fn invalid(what: &'static str, value: impl Into<u64>) -> DecodeError {
    DecodeError::Invalid { what, value: value.into() }
}

#[derive(Debug, Default)]
pub(super) struct Pack {
    pub(super) bytes: Vec<u8>,
}

impl Pack {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn number(&mut self, mut value: u64) {
        while value > 0x7f {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Small ones of both signs are short: the sign is the lowest bit.
    pub(super) fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63) as u64);
    }

    /// How many, and each.
    pub(super) fn numbers(&mut self, values: impl ExactSizeIterator<Item = u64>) {
        self.number(values.len() as u64);
        values.for_each(|value| self.number(value));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }
}

/// The same for reading.
pub(super) trait Unpack<'a> {
    fn number(&mut self) -> Result<u64, DecodeError>;
    fn signed(&mut self) -> Result<i64, DecodeError>;
    fn number_below(&mut self, what: &'static str, end: u64) -> Result<u64, DecodeError>;
    fn small(&mut self, what: &'static str, max: u32) -> Result<u32, DecodeError>;
    fn some_bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError>;
}

impl<'a> Unpack<'a> for Reader<'a> {
    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(invalid("number", value))
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn number_below(&mut self, what: &'static str, end: u64) -> Result<u64, DecodeError> {
        let value = self.number()?;
        if value < end { Ok(value) } else { Err(invalid(what, value)) }
    }

    fn small(&mut self, what: &'static str, max: u32) -> Result<u32, DecodeError> {
        let value = self.number()?;
        u32::try_from(value).ok().filter(|small| *small <= max).ok_or(invalid(what, value))
    }

    fn some_bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.number_below(what, max as u64 + 1)?;
        self.raw(length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_small_ones_take_a_byte() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut pack = Pack::default();
            pack.number(value);
            assert_eq!(Reader::new(&pack.bytes).number(), Ok(value));
            assert_eq!(pack.bytes.len(), (64 - (value | 1).leading_zeros() as usize).div_ceil(7));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut pack = Pack::default();
            pack.signed(value);
            assert_eq!(Reader::new(&pack.bytes).signed(), Ok(value));
        }
    }

    #[test]
    fn a_number_that_does_not_fit_or_does_not_end_is_refused() {
        assert!(Reader::new(&[0xff; 11]).number().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).number().is_err());
        assert!(Reader::new(&[0x80]).number().is_err());
    }
}
