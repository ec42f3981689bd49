//! The command's output on its way to the terminal: recognises its end, and names the node in front of each line.

use std::io::{self, Read, Write};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Copies until the text `end` comes by, which is not copied. False when the source ended without it.
pub(super) fn copy_until_end(mut source: impl Read, end: &[u8], sink: &mut impl Sink) -> io::Result<bool> {
    let mut buffer = vec![0; CHUNK];
    let mut held: Vec<u8> = Vec::new();
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => {
                sink.write(&held)?;
                sink.finish()?;
                return Ok(false);
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        held.extend_from_slice(&buffer[..count]);
        if let Some(at) = held.windows(end.len()).position(|window| window == end) {
            sink.write(&held[..at])?;
            sink.finish()?;
            return Ok(true);
        }
        // Only what may be the beginning of the end is held back, so that output stays live.
        let keep = (0..end.len().min(held.len() + 1)).rev().find(|&n| held.ends_with(&end[..n])).unwrap_or(0);
        let ready = held.len() - keep;
        sink.write(&held[..ready])?;
        held.drain(..ready);
    }
}

/// Where output goes.
pub(super) trait Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// No more bytes follow.
    fn finish(&mut self) -> io::Result<()>;
}

/// Passes bytes on as they come.
#[derive(Debug)]
pub(super) struct Plain<W: Write>(pub(super) W);

impl<W: Write> Sink for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes whole lines on, each with a prefix, so that the lines of several guests don't mix.
#[derive(Debug)]
pub(super) struct Prefixed<W: Write> {
    prefix: String,
    line: Vec<u8>,
    inner: W,
}

impl<W: Write> Prefixed<W> {
    pub(super) fn new(prefix: String, inner: W) -> Self {
        Prefixed { prefix, line: Vec::new(), inner }
    }

    fn emit(&mut self) -> io::Result<()> {
        let whole = [self.prefix.as_bytes(), &self.line, b"\n"].concat();
        self.line.clear();
        self.inner.write_all(&whole)?;
        self.inner.flush()
    }
}

impl<W: Write> Sink for Prefixed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes {
            if byte == b'\n' {
                self.emit()?;
            } else {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.line.is_empty() { Ok(()) } else { self.emit() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out its pieces one read at a time.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn copied(pieces: Vec<&'static [u8]>) -> (bool, String) {
        let mut sink = Plain(Vec::new());
        let ended = copy_until_end(Pieces(pieces), b"\0END", &mut sink).unwrap();
        (ended, String::from_utf8(sink.0).unwrap())
    }

    #[test]
    fn the_end_is_recognised_in_one_piece_and_in_several() {
        assert_eq!(copied(vec![b"abc\0END"]), (true, "abc".into()));
        assert_eq!(copied(vec![b"abc\0E", b"N", b"D"]), (true, "abc".into()));
        assert_eq!(copied(vec![b"\0END"]), (true, String::new()));
    }

    #[test]
    fn what_only_looks_like_the_end_is_copied() {
        assert_eq!(copied(vec![b"a\0E", b"x\0\0END"]), (true, "a\0Ex\0".into()));
        assert_eq!(copied(vec![b"abc", b"\0EN"]), (false, "abc\0EN".into()));
    }

    #[test]
    fn each_line_names_its_node_and_the_last_needs_no_newline() {
        let mut sink = Prefixed::new("0| ".into(), Vec::new());
        copy_until_end(Pieces(vec![b"one\ntw", b"o\nthree\0END"]), b"\0END", &mut sink).unwrap();
        assert_eq!(String::from_utf8(sink.inner).unwrap(), "0| one\n0| two\n0| three\n");
    }
}
