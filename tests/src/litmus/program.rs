//! A litmus test as data, written as text: threads beside each other, each a list of accesses.
//!
//! ```text
//! x=1 mf a=y | y=1 mf b=x        store 1 to x, mfence, load y into register a; …
//! x.8=1  a=x+4.4                 accesses of 8 bytes, and of 4 bytes at offset 4 (4 bytes when nothing is said)
//! a=xchg(x,1) a=xadd(x,1) a=cas(x,0,1)     the old value goes to the register
//! w:x=1  a=r:x                   pwrite(2) and pread(2)
//! ```
//! Variables are `w x y z`, registers `a` to `h`; both count over all threads. Everything is zero at first.

use crate::shared::mapped::Width;

pub const VARIABLES: [char; 4] = ['x', 'y', 'z', 'w'];
pub const REGISTERS_MAX: usize = 8;
/// One more than threads in any test of the table; also how many processes a run has.
pub const THREADS_MAX: usize = 4;
/// Bytes of a variable; the widest access.
pub const VARIABLE_BYTES: usize = 8;

/// Which bytes of which variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub variable: usize,
    pub offset: usize,
    pub width: Width,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Store { to: Place, value: u64 },
    Load { from: Place, register: usize },
    Fence,
    Swap { at: Place, value: u64, register: usize },
    Add { at: Place, value: u64, register: usize },
    CompareSwap { at: Place, expected: u64, value: u64, register: usize },
    Write { to: Place, value: u64 },
    Read { from: Place, register: usize },
}

impl Op {
    pub fn place(&self) -> Option<Place> {
        match *self {
            Op::Store { to, .. } | Op::Write { to, .. } => Some(to),
            Op::Load { from, .. } | Op::Read { from, .. } => Some(from),
            Op::Swap { at, .. } | Op::Add { at, .. } | Op::CompareSwap { at, .. } => Some(at),
            Op::Fence => None,
        }
    }

    pub fn register(&self) -> Option<usize> {
        match *self {
            Op::Load { register, .. } | Op::Read { register, .. } => Some(register),
            Op::Swap { register, .. } | Op::Add { register, .. } | Op::CompareSwap { register, .. } => {
                Some(register)
            }
            Op::Store { .. } | Op::Write { .. } | Op::Fence => None,
        }
    }

    pub fn stores(&self) -> bool {
        !matches!(self, Op::Load { .. } | Op::Read { .. } | Op::Fence)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub name: String,
    pub threads: Vec<Vec<Op>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{token}` is not an access: {why}; see the notation in tests/src/litmus/program.rs")]
pub struct NotAProgram {
    token: String,
    why: &'static str,
}

impl Program {
    pub fn parse(name: &str, text: &str) -> Result<Self, NotAProgram> {
        let thread = |text: &str| text.split_whitespace().map(op).collect::<Result<Vec<_>, _>>();
        let threads = text.split('|').map(thread).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { name: name.into(), threads })
    }

    fn ops(&self) -> impl Iterator<Item = &Op> {
        self.threads.iter().flatten()
    }

    pub fn variables(&self) -> usize {
        self.ops().filter_map(Op::place).map(|place| place.variable + 1).max().unwrap_or(0)
    }

    pub fn registers(&self) -> usize {
        self.ops().filter_map(Op::register).map(|register| register + 1).max().unwrap_or(0)
    }

    /// Whether it makes system calls, which may take longer than a page to move.
    pub fn calls(&self) -> bool {
        self.ops().any(|op| matches!(op, Op::Write { .. } | Op::Read { .. }))
    }

    /// Whether this thread never stores to that variable: it may then open its file for reading only.
    pub fn only_reads(&self, thread: usize, variable: usize) -> bool {
        let touches = |op: &&Op| op.place().is_some_and(|place| place.variable == variable);
        !self.threads[thread].iter().filter(touches).any(Op::stores)
    }
}

fn op(token: &str) -> Result<Op, NotAProgram> {
    parse_op(token).map_err(|why| NotAProgram { token: token.into(), why })
}

fn parse_op(token: &str) -> Result<Op, &'static str> {
    if token == "mf" {
        return Ok(Op::Fence);
    }
    let (left, right) = token.split_once('=').ok_or("no `=`")?;
    if let Some(variable) = left.strip_prefix("w:") {
        return Ok(Op::Write { to: place(variable)?, value: number(right)? });
    }
    let Some(register) = register(left) else {
        return Ok(Op::Store { to: place(left)?, value: number(right)? });
    };
    if let Some(variable) = right.strip_prefix("r:") {
        return Ok(Op::Read { from: place(variable)?, register });
    }
    let Some((function, arguments)) = right.split_once('(') else {
        return Ok(Op::Load { from: place(right)?, register });
    };
    let arguments: Vec<_> = arguments.strip_suffix(')').ok_or("no `)`")?.split(',').collect();
    match (function, arguments.as_slice()) {
        ("xchg", [at, value]) => Ok(Op::Swap { at: place(at)?, value: number(value)?, register }),
        ("xadd", [at, value]) => Ok(Op::Add { at: place(at)?, value: number(value)?, register }),
        ("cas", [at, expected, value]) => Ok(Op::CompareSwap {
            at: place(at)?,
            expected: number(expected)?,
            value: number(value)?,
            register,
        }),
        _ => Err("no such operation"),
    }
}

fn register(text: &str) -> Option<usize> {
    let mut letters = ('a'..='h').enumerate();
    letters.find(|(_, letter)| text.len() == 1 && text.starts_with(*letter)).map(|(index, _)| index)
}

/// `x`, `x.8`, `x+4.4`
fn place(text: &str) -> Result<Place, &'static str> {
    let (rest, width) = text.split_once('.').unwrap_or((text, "4"));
    let (letter, offset) = rest.split_once('+').unwrap_or((rest, "0"));
    let variable = VARIABLES.iter().position(|known| letter.chars().eq([*known]));
    let variable = variable.ok_or("no such variable")?;
    let width = width.parse().ok().and_then(Width::of).ok_or("no such width")?;
    let offset: usize = offset.parse().map_err(|_| "no such offset")?;
    let fits = offset.is_multiple_of(width.bytes()) && offset + width.bytes() <= VARIABLE_BYTES;
    if fits { Ok(Place { variable, offset, width }) } else { Err("outside the variable, or not aligned") }
}

fn number(text: &str) -> Result<u64, &'static str> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "not a number")
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", VARIABLES[self.variable])?;
        if self.offset > 0 {
            write!(f, "+{}", self.offset)?;
        }
        if self.width == Width::Four && self.offset == 0 {
            Ok(())
        } else {
            write!(f, ".{}", self.width.bytes())
        }
    }
}

pub fn register_name(register: usize) -> char {
    ('a'..='h').nth(register).unwrap_or('?')
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(register) = self.register() {
            write!(f, "{}=", register_name(register))?;
        }
        match self {
            Op::Store { to, value } => write!(f, "{to}={value:#x}"),
            Op::Write { to, value } => write!(f, "w:{to}={value:#x}"),
            Op::Load { from, .. } => write!(f, "{from}"),
            Op::Read { from, .. } => write!(f, "r:{from}"),
            Op::Fence => write!(f, "mf"),
            Op::Swap { at, value, .. } => write!(f, "xchg({at},{value:#x})"),
            Op::Add { at, value, .. } => write!(f, "xadd({at},{value:#x})"),
            Op::CompareSwap { at, expected, value, .. } => write!(f, "cas({at},{expected:#x},{value:#x})"),
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, thread) in self.threads.iter().enumerate() {
            let ops: Vec<_> = thread.iter().map(Op::to_string).collect();
            write!(f, "{}{}", if index == 0 { "" } else { " | " }, ops.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_was_read() {
        let text = "x=0x1 mf a=y | w:y+4.4=0x2 b=r:x.8 | c=cas(z,0x0,0x1) d=xadd(w.2,0x3) e=xchg(x,0x7)";
        let program = Program::parse("all", text).unwrap();
        assert_eq!(program.to_string(), text);
        assert_eq!((program.variables(), program.registers()), (4, 5));
        assert!(program.only_reads(0, 1) && !program.only_reads(0, 0) && program.only_reads(1, 0));
    }

    #[test]
    fn what_is_no_access_is_refused() {
        for bad in
            ["x", "q=1", "x.3=1", "x+2.4=1", "x+8.1=1", "a=add(x,1)", "a=xchg(x)", "x=one", "a=cas(x,1,2"]
        {
            assert!(Program::parse("bad", bad).is_err(), "{bad}");
        }
    }
}
