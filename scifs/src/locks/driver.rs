//! The locks of one membership of this node: the engine behind a mutex, its messages sent while that is held (so that they keep
//! their order), what ends told after it is released.

use std::collections::HashMap;
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

/// What the locks need from the node.
pub trait Post: Send + Sync {
    /// Queues a message: never waits, never calls the locks, keeps the order of messages to a member. `to` may be a
    /// newcomer of whom only its messages are known yet. A message that can't be delivered to a member that lives has to raise
    /// the epoch (a `Break`).
    fn send(&self, to: MemberNo, message: &Message);
    /// The peer broke the protocol.
    fn distrust(&self, peer: MemberNo, why: Violation);
    /// This node missed a view: it has to join again as a new member.
    fn rejoin(&self);
}

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
    post: Arc<dyn Post>,
    state: Mutex<State>,
}

struct State {
    engine: LockEngine,
    tokens: u64,
    waiting: HashMap<Token, (Done, Option<u64>)>,
    /// The kernel's numbers of requests that can be interrupted.
    uniques: HashMap<u64, Token>,
    handles: Handles,
    ended: bool,
}

/// What is done when the mutex is free again.
enum After {
    Set(SetDone, Result<(), Errno>),
    Test(TestDone, Result<Option<Conflict>, Errno>),
    Distrust(MemberNo, Violation),
    Rejoin,
}

impl Locks {
    pub fn new(me: MemberNo, view: View, post: Arc<dyn Post>) -> Arc<Self> {
        let (engine, effects) = LockEngine::new(me, view);
        let (waiting, uniques) = (HashMap::new(), HashMap::new());
        let state = State { engine, tokens: 0, waiting, uniques, handles: Handles::default(), ended: false };
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
        let Some(token) = state.uniques.get(&unique).copied() else { return false };
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
        let mut state = self.state.lock();
        state.ended = true;
        state.uniques.clear();
        let after = state.waiting.drain().map(|(_, (done, _))| done.failed(Errno::IO)).collect();
        drop(state);
        self.finish(after);
    }

    fn start(&self, done: Done, unique: Option<u64>, input: impl FnOnce(&mut State, Token) -> Input) {
        let mut state = self.state.lock();
        if state.ended {
            drop(state);
            return self.finish(vec![done.failed(Errno::IO)]);
        }
        state.tokens += 1;
        let token = Token(state.tokens);
        state.waiting.insert(token, (done, unique));
        if let Some(unique) = unique {
            state.uniques.insert(unique, token);
        }
        let input = input(&mut state, token);
        let effects = state.engine.handle(input);
        let after = state.perform(effects, &*self.post);
        drop(state);
        self.finish(after);
    }

    fn feed(&self, input: Input) {
        let mut state = self.state.lock();
        if state.ended {
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
                After::Distrust(peer, why) => self.post.distrust(peer, why),
                After::Rejoin => self.post.rejoin(),
            }
        }
    }
}

impl State {
    fn perform(&mut self, effects: Vec<Effect>, post: &dyn Post) -> Vec<After> {
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
        let (done, unique) = self.waiting.remove(&token)?;
        if let Some(unique) = unique {
            self.uniques.remove(&unique);
        }
        Some(match done {
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
