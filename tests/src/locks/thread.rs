//! One thread of a program: it locks and unlocks at random, and in the end unlocks everything.

use scifs::locks::{Input, Kind, LocalOwner, Range, Request, Space, Token};

use crate::model::random::Random;

#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) owner: LocalOwner,
    files: Vec<u64>,
    left: u32,
    released: usize,
    pub(super) current: Option<(Token, Doing)>,
}

/// What a thread is waiting for the end of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing {
    pub(super) inode: u64,
    pub(super) range: Range,
    /// `None` for unlocking; nothing at all for a test.
    pub(super) kind: Option<Kind>,
    pub(super) test: bool,
    pub(super) wait: bool,
}

pub(super) const BYTES: u64 = 8;

impl Thread {
    pub(super) fn new(owner: LocalOwner, files: Vec<u64>, operations: u32) -> Self {
        Self { owner, files, left: operations, released: 0, current: None }
    }

    /// The next request; `None` when all is done.
    pub(super) fn next(&mut self, random: &mut Random, token: Token) -> Option<(Input, Doing)> {
        if self.left == 0 {
            let inode = *self.files.get(self.released)?;
            self.released += 1;
            let doing = Doing { inode, range: Range::ALL, kind: None, test: false, wait: false };
            return Some((Input::ReleaseOwner { inode, owner: self.owner, token }, doing));
        }
        self.left -= 1;
        let flock = self.owner.space == Space::Flock;
        let inode = *random.pick(&self.files);
        let (a, b) = (random.between(0, BYTES), random.between(0, BYTES));
        let end = if random.percent(10) { u64::MAX } else { a.max(b) };
        let range = if flock { Range::ALL } else { Range { start: a.min(b), end } };
        let kind = match random.between(0, 10) {
            0..3 => Some(Kind::Read),
            3..7 => Some(Kind::Write),
            _ => None,
        };
        let test = !flock && kind.is_some() && random.percent(10);
        let wait = kind.is_some() && !test && random.percent(75);
        let request = Request { space: self.owner.space, owner: self.owner.id, pid: 1, range, kind, wait };
        let input =
            if test { Input::Test { inode, request, token } } else { Input::Set { inode, request, token } };
        Some((input, Doing { inode, range, kind, test, wait }))
    }
}
