//! The waiting of one membership of this node: the engine behind a mutex, its messages sent while that is held (so that they keep
//! their order); what ends is told, and words are looked at, after it is released.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use scios::metrics::Registry;

use super::deadlines::Deadlines;
use super::engine::SyncEngine;
use super::ids::{BarrierName, Token, Word};
use super::input::{Effect, Ended, Input, Looked, Refusal, Violation};
use super::message::Message;
use super::metrics::Metrics;
use crate::coherence::{MemberNo, View};
use crate::members::{Post, Waiting};

/// Reads the word, coherently, and tells on any thread what it found. Must not wait.
pub type Looking = dyn Fn(Box<dyn FnOnce(Looked) + Send>) + Send + Sync;

type Done = Box<dyn FnOnce(Result<u32, Errno>) + Send>;

/// A program's request.
struct Request {
    done: Done,
    kind: Kind,
    deadline: Option<Instant>,
}

enum Kind {
    Wait(Arc<Looking>),
    Notify,
    Arrive,
}

/// Dropped, it ends.
pub struct Waits(Arc<Shared>);

struct Shared {
    post: Arc<dyn Post<Message>>,
    metrics: Metrics,
    state: Mutex<State>,
    /// The next deadline is another one.
    changed: Condvar,
}

struct State {
    engine: SyncEngine,
    waiting: Waiting<Request>,
    deadlines: Deadlines,
}

/// What is done when the mutex is free again.
enum After {
    Ended(Request, Result<u32, Errno>),
    Look(Arc<Looking>, Token, u64),
    Distrust(MemberNo, Violation),
    Rejoin,
}

impl Waits {
    pub fn new(me: MemberNo, view: View, post: Arc<dyn Post<Message>>, registry: &Registry) -> Arc<Self> {
        let (engine, effects) = SyncEngine::new(me, view);
        let state = State { engine, waiting: Waiting::default(), deadlines: Deadlines::default() };
        let metrics = Metrics::of(registry);
        let shared = Arc::new(Shared { post, metrics, state: Mutex::new(state), changed: Condvar::new() });
        let after = shared.state.lock().perform(effects, &*shared.post);
        shared.finish(after);
        let clock = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("sync-timers".into()).spawn(move || clock.keep_time());
        if let Err(error) = thread {
            tracing::error!(%error, "cannot start the timers' thread; nobody's wait will time out");
        }
        Arc::new(Self(shared))
    }

    /// Waits until somebody notifies, if `look` finds the word as it should be. `done` is called exactly once, maybe before this
    /// returns, on any thread; as for all of these.
    pub fn wait(
        &self,
        word: Word,
        look: Arc<Looking>,
        timeout: Option<Duration>,
        unique: u64,
        done: impl FnOnce(Result<u32, Errno>) + Send + 'static,
    ) {
        self.0.metrics.waits.increment();
        let request = Request::new(Kind::Wait(look), timeout, done);
        self.0.start(request, Some(unique), |token| Input::Wait { word, token });
    }

    /// Wakes `count` of those who wait, at most; gives how many.
    pub fn notify(&self, word: Word, count: u32, done: impl FnOnce(Result<u32, Errno>) + Send + 'static) {
        self.0.metrics.notified.increment();
        let request = Request::new(Kind::Notify, None, done);
        self.0.start(request, None, |token| Input::Notify { word, count, token });
    }

    /// Waits until `parties` do so; gives 1 to one of them.
    pub fn arrive(
        &self,
        name: BarrierName,
        parties: u32,
        timeout: Option<Duration>,
        unique: u64,
        done: impl FnOnce(Result<u32, Errno>) + Send + 'static,
    ) {
        self.0.metrics.arrivals.increment();
        let request = Request::new(Kind::Arrive, timeout, done);
        self.0.start(request, Some(unique), |token| Input::Arrive { name, parties, token });
    }

    /// Ends a waiting request in `EINTR`, unless it is woken just then. False if there is none of that number.
    pub fn interrupt(&self, unique: u64) -> bool {
        let Some(token) = self.0.state.lock().waiting.by_unique(unique) else { return false };
        self.0.feed(Input::Withdraw { token, why: Refusal::Interrupted });
        true
    }

    /// Requests that wait for others.
    pub fn waiting(&self) -> u64 {
        u64::try_from(self.0.metrics.waiting.get()).unwrap_or_default()
    }

    pub fn view(&self, view: View) {
        self.0.feed(Input::View(view));
    }

    pub fn message(&self, from: MemberNo, message: Message) {
        self.0.feed(Input::Message { from, message });
    }

    /// The membership is over: whatever waits, and whatever is asked from now on, ends in `EIO`.
    pub fn end(&self) {
        let waiting = self.0.state.lock().waiting.end_all();
        self.0.changed.notify_all();
        self.0.finish(waiting.into_iter().map(|request| After::Ended(request, Err(Errno::IO))).collect());
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.end();
    }
}

impl Request {
    fn new(
        kind: Kind,
        timeout: Option<Duration>,
        done: impl FnOnce(Result<u32, Errno>) + Send + 'static,
    ) -> Self {
        // A time that no clock reaches is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { done: Box::new(done), kind, deadline }
    }

    fn waits(&self) -> bool {
        !matches!(self.kind, Kind::Notify)
    }
}

impl Shared {
    fn start(self: &Arc<Self>, request: Request, unique: Option<u64>, input: impl FnOnce(Token) -> Input) {
        let (waits, deadline) = (request.waits(), request.deadline);
        if waits {
            self.metrics.waiting.add(1);
        }
        let mut state = self.state.lock();
        let token = match state.waiting.begin(request, unique) {
            Ok(token) => token,
            Err(request) => {
                drop(state);
                return self.finish(vec![After::Ended(request, Err(Errno::IO))]);
            }
        };
        if deadline.is_some_and(|at| state.deadlines.set(at, token)) {
            self.changed.notify_one();
        }
        let effects = state.engine.handle(input(token));
        let after = state.perform(effects, &*self.post);
        drop(state);
        self.finish(after);
    }

    fn feed(self: &Arc<Self>, input: Input) {
        let mut state = self.state.lock();
        if state.waiting.has_ended() {
            return;
        }
        let effects = state.engine.handle(input);
        let after = state.perform(effects, &*self.post);
        drop(state);
        self.finish(after);
    }

    fn finish(self: &Arc<Self>, after: Vec<After>) {
        for after in after {
            match after {
                After::Ended(request, result) => {
                    if request.waits() {
                        self.metrics.waiting.add(-1);
                    }
                    if matches!(request.kind, Kind::Wait(_)) && result.is_ok() {
                        self.metrics.woken.increment();
                    }
                    (request.done)(result);
                }
                After::Look(looking, token, look) => {
                    let shared = Arc::clone(self);
                    looking(Box::new(move |found| shared.feed(Input::Looked { token, look, found })));
                }
                After::Distrust(peer, why) => self.post.distrust(peer, &why),
                After::Rejoin => self.post.rejoin(),
            }
        }
    }

    /// Until the membership ends.
    fn keep_time(self: &Arc<Self>) {
        let mut state = self.state.lock();
        while !state.waiting.has_ended() {
            match state.deadlines.next(Instant::now()) {
                Ok(token) => {
                    let why = Refusal::TimedOut;
                    parking_lot::MutexGuard::unlocked(&mut state, || {
                        self.feed(Input::Withdraw { token, why })
                    });
                }
                Err(Some(left)) => {
                    self.changed.wait_for(&mut state, left);
                }
                Err(None) => self.changed.wait(&mut state),
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
                Effect::Look { token, look } => {
                    if let Some(Request { kind: Kind::Wait(looking), .. }) = self.waiting.get(token) {
                        after.push(After::Look(Arc::clone(looking), token, look));
                    }
                }
                Effect::Ended { token, how } => after.extend(self.ended(token, how)),
                Effect::Distrust { peer, why } => after.push(After::Distrust(peer, why)),
                Effect::Rejoin => after.push(After::Rejoin),
            }
        }
        after
    }

    fn ended(&mut self, token: Token, how: Ended) -> Option<After> {
        let request = self.waiting.end(token)?;
        if let Some(at) = request.deadline {
            self.deadlines.forget(at, token);
        }
        Some(After::Ended(request, how.map_err(errno)))
    }
}

fn errno(why: Refusal) -> Errno {
    match why {
        Refusal::Changed => Errno::AGAIN,
        Refusal::TimedOut => Errno::TIMEDOUT,
        Refusal::Interrupted => Errno::INTR,
        Refusal::Unreadable => Errno::IO,
        Refusal::Disagree => Errno::INVAL,
        Refusal::TooMany => Errno::NOMEM,
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
