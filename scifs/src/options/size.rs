//! `512M`, `1.5GiB`, `50%`: sizes as people write them.

use scios::memory::{MachineMemory, MemoryError};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum SizeError {
    #[error(
        "{text:?} is not a size; write a number with a unit as in 512M or 1.5GiB, or a share of the machine as in 50%"
    )]
    Garbage { text: String },
    #[error("{text:?} has the unit {unit:?}, which is none of K, M, G, T, P and %")]
    Unit { text: String, unit: String },
    #[error("{text} is nothing; write a size above 0, as in 512M")]
    Zero { text: String },
    #[error("{text} is more bytes than can be counted; write less, as in 512M")]
    Overflow { text: String },
    #[error("{text} is more than the whole machine; write at most 100%")]
    OverHundred { text: String },
    #[error("{text} cannot be had: {source}")]
    Machine { text: String, source: MemoryError },
}

/// A size and the text it was given as, for errors that are found later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    text: String,
    amount: Amount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Bytes(u64),
    /// Of what this process may use of the machine; 1,000,000 is all of it.
    Millionths(u64),
}

const WHOLE_MILLIONTHS: u64 = 1_000_000;

/// More digits behind the point than any size needs, and few enough that nothing below overflows.
const FRACTION_DIGITS_MAX: usize = 9;

impl Size {
    /// Units count in powers of 1024, however they are written: `K`, `KB`, `KiB`, in small letters too.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let (number, unit) = match text.find(|c: char| !c.is_ascii_digit() && c != '.') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let decimal = Decimal::parse(number).ok_or_else(|| SizeError::Garbage { text: text.into() })?;
        let amount = if unit.trim() == "%" {
            Amount::Millionths(decimal.times(u128::from(WHOLE_MILLIONTHS / 100), text)?)
        } else {
            let unit_bytes = unit_bytes(unit.trim())
                .ok_or_else(|| SizeError::Unit { text: text.into(), unit: unit.trim().into() })?;
            Amount::Bytes(decimal.times(unit_bytes, text)?)
        };
        match amount {
            Amount::Bytes(0) | Amount::Millionths(0) => Err(SizeError::Zero { text: text.into() }),
            Amount::Millionths(share) if share > WHOLE_MILLIONTHS => {
                Err(SizeError::OverHundred { text: text.into() })
            }
            amount => Ok(Self { text: text.into(), amount }),
        }
    }

    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// The bytes it means on this machine, if the machine has them.
    pub fn resolve(&self, machine: MachineMemory) -> Result<u64, SizeError> {
        let bytes = match self.amount {
            Amount::Bytes(bytes) => bytes,
            Amount::Millionths(share) => {
                let bytes =
                    u128::from(machine.limit_bytes()) * u128::from(share) / u128::from(WHOLE_MILLIONTHS);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        };
        machine.check(bytes).map_err(|source| SizeError::Machine { text: self.text.clone(), source })?;
        Ok(bytes)
    }
}

/// A decimal number without rounding: `digits / 10^fraction_digits`.
struct Decimal {
    digits: u128,
    fraction_digits: u32,
}

impl Decimal {
    /// `None` for anything but `12` and `1.5`, or for too many digits.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        if whole.is_empty() || fraction.len() > FRACTION_DIGITS_MAX {
            return None;
        }
        // A number that doesn't even fit here is far too large, not garbage; `times` says so.
        let digits = [whole, fraction].concat();
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = digits.parse().unwrap_or(u128::MAX);
        Some(Self { digits, fraction_digits: fraction.len() as u32 })
    }

    fn times(&self, factor: u128, text: &str) -> Result<u64, SizeError> {
        self.digits
            .checked_mul(factor)
            .and_then(|product| u64::try_from(product / 10u128.pow(self.fraction_digits)).ok())
            .ok_or_else(|| SizeError::Overflow { text: text.into() })
    }
}

fn unit_bytes(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let prefix = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match prefix {
        "" if unit != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    Some(1 << (10 * power))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: MachineMemory = MachineMemory { total_bytes: 16 << 30, cgroup_bytes: None };

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1", 1),
            ("4096B", 4096),
            ("512k", 512 << 10),
            ("512M", 512 << 20),
            ("512MB", 512 << 20),
            ("4G", 4 << 30),
            ("4gib", 4 << 30),
            ("4 GiB", 4 << 30),
            ("1.5GiB", 3 << 29),
            ("0.25T", 1 << 38),
            ("2P", 2 << 50),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(Size::parse(text).unwrap().amount(), Amount::Bytes(bytes), "{text}");
        }
        assert_eq!(Size::parse("50%").unwrap().amount(), Amount::Millionths(500_000));
        assert_eq!(Size::parse("12.5 %").unwrap().amount(), Amount::Millionths(125_000));
        assert_eq!(Size::parse("100%").unwrap().amount(), Amount::Millionths(1_000_000));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        let digits = "9".repeat(60);
        for (text, part) in [
            ("", "not a size"),
            ("G", "not a size"),
            ("much", "not a size"),
            ("-1G", "not a size"),
            ("+1G", "not a size"),
            (".5G", "not a size"),
            ("1.G", "not a size"),
            ("1.2.3G", "not a size"),
            ("0.0000000001T", "not a size"),
            ("1e9", "unit \"e9\""),
            ("0x10", "unit \"x10\""),
            ("1iB", "unit \"iB\""),
            ("4GG", "unit \"GG\""),
            ("4Gigs", "unit \"Gigs\""),
            ("٤G", "not a size"),
            ("0", "is nothing"),
            ("0G", "is nothing"),
            ("0.0M", "is nothing"),
            ("0%", "is nothing"),
            ("101%", "more than the whole machine"),
            ("18446744073709551616", "can be counted"),
            ("99999999P", "can be counted"),
            (&digits, "can be counted"),
        ] {
            let sentence = Size::parse(text).unwrap_err().to_string();
            assert!(sentence.contains(part), "{text:?}: {sentence}");
        }
    }

    #[test]
    fn a_size_is_checked_against_the_machine() {
        assert_eq!(Size::parse("50%").unwrap().resolve(MACHINE).unwrap(), 8 << 30);
        let group = MachineMemory { cgroup_bytes: Some(1 << 30), ..MACHINE };
        assert_eq!(Size::parse("50%").unwrap().resolve(group).unwrap(), 1 << 29);
        for (text, machine, part) in [
            ("17G", MACHINE, "17179869184"),
            ("2G", group, "control group"),
            ("1K", MACHINE, "at least"),
            ("0.01%", MACHINE, "at least"),
        ] {
            let sentence = Size::parse(text).unwrap().resolve(machine).unwrap_err().to_string();
            assert!(sentence.contains(part) && sentence.starts_with(text), "{text:?}: {sentence}");
        }
    }
}
