//! The locks of one membership of this node: the engine behind a mutex, its messages sent while that is held (so that they keep
//! their order), what ends told after it is released.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::engine::LockEngine;
use super::handles::Handles;
use super::ids::{Kind, LocalOwner, Range, Space, Token};
use super::input::{Conflict, Effect, Input, Refusal, Request, Violation};
use super::message::Message;
use crate::coherence::{MemberNo, View};
use crate::members::{Post, Waiting};

/// What a program asks for, as the kernel tells it.
#[derive(Clone, Copy, Debug)]
pub struct LockRequest {
    pub space: Space,
    pub owner: u64,
    pub pid: u32,
    /// Both included; to the end of the file is the greatest number the kernel knows.
    pub start: u64,
    pub end: u64,
    /// `None` unlocks.
    pub kind: Option<Kind>,
    pub wait: bool,
    /// The open file through which it came.
    pub handle: u64,
}

type SetDone = Box<dyn FnOnce(Result<(), Errno>) + Send>;
type TestDone = Box<dyn FnOnce(Result<Option<Conflict>, Errno>) + Send>;

enum Done {
    Set(SetDone),
    Test(TestDone),
}

pub struct Locks {
    post: Arc<dyn Post<Message>>,
    state: Mutex<State>,
}

struct State {
    engine: LockEngine,
    waiting: Waiting<Done>,
    handles: Handles,
}

/// What is done when the mutex is free again.
enum After {
    Set(SetDone, Result<(), Errno>),
    Test(TestDone, Result<Option<Conflict>, Errno>),
    Distrust(MemberNo, Violation),
    Rejoin,
}

impl Locks {
    pub fn new(me: MemberNo, view: View, post: Arc<dyn Post<Message>>) -> Arc<Self> {
        let (engine, effects) = LockEngine::new(me, view);
        let state = State { engine, waiting: Waiting::default(), handles: Handles::default() };
        let locks = Self { post, state: Mutex::new(state) };
        let after = locks.state.lock().perform(effects, &*locks.post);
        locks.finish(after);
        Arc::new(locks)
    }

    /// Locks or unlocks. `done` is called exactly once, maybe before this returns, on any thread.
    pub fn set(
        &self,
        inode: u64,
        request: LockRequest,
        unique: u64,
        done: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let Some(wanted) = request.checked() else { return done(Err(Errno::INVAL)) };
        self.start(Done::Set(Box::new(done)), Some(unique).filter(|_| request.wait), |state, token| {
            if request.space == Space::Posix && request.kind.is_some() {
                state.handles.used(inode, request.owner, request.handle);
            }
            Input::Set { inode, request: wanted, token }
        });
    }

    /// Which lock stands in the way of this one?
    pub fn test(
        &self,
        inode: u64,
        request: &LockRequest,
        done: impl FnOnce(Result<Option<Conflict>, Errno>) + Send + 'static,
    ) {
        let Some(request) = request.checked() else { return done(Err(Errno::INVAL)) };
        self.start(Done::Test(Box::new(done)), None, |_, token| Input::Test { inode, request, token });
    }

    /// Ends a waiting request in `EINTR`, unless it is granted just then. False if there is none of that number.
    pub fn interrupt(&self, unique: u64) -> bool {
        let mut state = self.state.lock();
        let Some(token) = state.waiting.by_unique(unique) else { return false };
        let effects = state.engine.handle(Input::Interrupt { token });
        let after = state.perform(effects, &*self.post);
        drop(state);
        self.finish(after);
        true
    }

    /// A process closed the file (POSIX), or an open file was closed (`flock`): whatever the owner holds is unlocked.
    pub fn release_owner(&self, inode: u64, space: Space, owner: u64, done: impl FnOnce() + Send + 'static) {
        let owner = LocalOwner { space, id: owner };
        self.start(Done::Set(Box::new(move |_| done())), None, |state, token| {
            if space == Space::Posix {
                state.handles.flushed(inode, owner.id);
            }
            Input::ReleaseOwner { inode, owner, token }
        });
    }

    /// An open file is gone: unlocks what owners hold that locked through it alone. The kernel doesn't unlock the OFD locks of a
    /// FUSE file when it is closed, and doesn't tell them from those of a process.
    pub fn release_handle(&self, inode: u64, handle: u64) {
        let owners = self.state.lock().handles.closed(inode, handle);
        for owner in owners {
            self.release_owner(inode, Space::Posix, owner, || ());
        }
    }

    /// The file was deleted: nobody will lock it again.
    pub fn forget(&self, inode: u64) {
        self.feed(Input::Recall { inode });
    }

    pub fn view(&self, view: View) {
        self.feed(Input::View(view));
    }

    pub fn message(&self, from: MemberNo, message: Message) {
        self.feed(Input::Message { from, message });
    }

    /// The membership is over: whatever waits, and whatever is asked from now on, ends in `EIO`.
    pub fn end(&self) {
        let waiting = self.state.lock().waiting.end_all();
        self.finish(waiting.into_iter().map(|done| done.failed(Errno::IO)).collect());
    }

    fn start(&self, done: Done, unique: Option<u64>, input: impl FnOnce(&mut State, Token) -> Input) {
        let mut state = self.state.lock();
        let token = match state.waiting.begin(done, unique) {
            Ok(token) => token,
            Err(done) => {
                drop(state);
                return self.finish(vec![done.failed(Errno::IO)]);
            }
        };
        let input = input(&mut state, token);
        let effects = state.engine.handle(input);
        let after = state.perform(effects, &*self.post);
        drop(state);
        self.finish(after);
    }

    fn feed(&self, input: Input) {
        let mut state = self.state.lock();
        if state.waiting.has_ended() {
            return;
        }
        let effects = state.engine.handle(input);
        let after = state.perform(effects, &*self.post);
        drop(state);
        self.finish(after);
    }

    fn finish(&self, after: Vec<After>) {
        for after in after {
            match after {
                After::Set(done, result) => done(result),
                After::Test(done, result) => done(result),
                After::Distrust(peer, why) => self.post.distrust(peer, &why),
                After::Rejoin => self.post.rejoin(),
            }
        }
    }
}

impl State {
    fn perform(&mut self, effects: Vec<Effect>, post: &dyn Post<Message>) -> Vec<After> {
        let mut after = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, message } => post.send(to, &message),
                Effect::Granted { token } => after.extend(self.ended(token, Ok(None))),
                Effect::Refused { token, why } => after.extend(self.ended(token, Err(errno(why)))),
                Effect::Tested { token, conflict } => after.extend(self.ended(token, Ok(conflict))),
                Effect::Distrust { peer, why } => after.push(After::Distrust(peer, why)),
                Effect::Rejoin => after.push(After::Rejoin),
            }
        }
        after
    }

    fn ended(&mut self, token: Token, result: Result<Option<Conflict>, Errno>) -> Option<After> {
        Some(match self.waiting.end(token)? {
            Done::Set(done) => After::Set(done, result.map(|_| ())),
            Done::Test(done) => After::Test(done, result),
        })
    }
}

impl Done {
    fn failed(self, errno: Errno) -> After {
        match self {
            Self::Set(done) => After::Set(done, Err(errno)),
            Self::Test(done) => After::Test(done, Err(errno)),
        }
    }
}

impl LockRequest {
    fn checked(&self) -> Option<Request> {
        let Self { space, owner, pid, start, end, kind, wait, .. } = *self;
        (start <= end).then_some(Request { space, owner, pid, range: Range { start, end }, kind, wait })
    }
}

fn errno(why: Refusal) -> Errno {
    match why {
        Refusal::WouldBlock => Errno::AGAIN,
        Refusal::Deadlock => Errno::DEADLK,
        Refusal::Interrupted => Errno::INTR,
        Refusal::TooMany => Errno::NOLCK,
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
