//! What a node's programs want: their requests, until each has ended. `pending.rs` shows the steps.

use super::engine::{LockEngine, Turn, mutant};
use super::ids::{Kind, LocalOwner, Range, Space, Token, WaiterId};
use super::input::{Conflict, Effect, Refusal, Request, Violation};
use super::message::{Acquire, Ask, Body, Seek, Verdict};
use super::pending::{Pending, Step};
use crate::coherence::MemberNo;

impl LockEngine {
    pub(super) fn set(&mut self, turn: &mut Turn, inode: u64, request: Request, token: Token) {
        let Request { kind, wait, .. } = request;
        let pending = self.insert(inode, request, token, Step::Paused);
        let Pending { owner, range, .. } = pending;
        let covers = |kind| self.holdings.covers(inode, owner, range, kind);
        match kind {
            None => self.lower(turn, token, None, false),
            Some(Kind::Read) if covers(Kind::Read) => self.lower(turn, token, Some(Kind::Read), false),
            Some(Kind::Write) if covers(Kind::Write) => self.finish(turn, token, Ok(())),
            // As Linux does it: the old lock goes first, and may be gone if the new one isn't to be had.
            Some(_) if owner.space == Space::Flock => self.lower(turn, token, None, true),
            Some(_) => self.acquire(turn, token),
        }
        debug_assert!(wait || !self.pending.get(&token).is_some_and(|p| p.step == Step::Paused));
    }

    pub(super) fn release_owner(&mut self, turn: &mut Turn, inode: u64, owner: LocalOwner, token: Token) {
        let LocalOwner { space, id } = owner;
        let request = Request { space, owner: id, pid: 0, range: Range::ALL, kind: None, wait: false };
        self.set(turn, inode, request, token);
    }

    pub(super) fn test(&mut self, turn: &mut Turn, inode: u64, request: Request, token: Token) {
        let kind = request.kind.unwrap_or(Kind::Read);
        let Pending { owner, range, .. } = self.insert(inode, request, token, Step::Testing { kind });
        self.ask_counted(turn, token, Ask::Test { owner, range, kind, token });
    }

    fn insert(&mut self, inode: u64, request: Request, token: Token, step: Step) -> Pending {
        let Request { space, owner, pid, range, kind, wait } = request;
        let owner = LocalOwner { space, id: owner };
        let range = if space == Space::Flock { Range::ALL } else { range };
        let pending = Pending {
            inode,
            owner,
            pid,
            range,
            kind,
            wait,
            since: self.epoch(),
            step,
            routed: false,
            cancelled: false,
            interrupted: false,
            doomed: None,
        };
        self.pending.insert(token, pending);
        self.by_owner.insert((owner, inode, token));
        pending
    }

    fn acquire(&mut self, turn: &mut Turn, token: Token) {
        let epoch = self.epoch();
        let Some(pending) = self.pending.get_mut(&token) else { return };
        (pending.step, pending.since, pending.cancelled) = (Step::Acquiring, epoch, false);
        self.ask_to_acquire(turn, token);
    }

    pub(super) fn ask_to_acquire(&mut self, turn: &mut Turn, token: Token) {
        let Some(&Pending { owner, pid, range, kind: Some(kind), wait, since, .. }) =
            self.pending.get(&token)
        else {
            return;
        };
        let seek = owner.space == Space::Posix && wait && self.may_be_waited_for(owner, token);
        let acquire = Acquire { owner, pid, range, kind, wait, seek, since, token };
        self.ask_counted(turn, token, Ask::Acquire(acquire));
    }

    fn may_be_waited_for(&self, owner: LocalOwner, but: Token) -> bool {
        self.holdings.holds(owner) || self.tokens_of(owner).any(|(token, p)| token != but && p.waits())
    }

    /// An owner's requests for all files.
    pub(super) fn tokens_of(&self, owner: LocalOwner) -> impl Iterator<Item = (Token, &Pending)> {
        let all = self.by_owner.range((owner, 0, Token(0))..).take_while(move |(o, ..)| *o == owner);
        all.filter_map(|(_, _, token)| Some((*token, self.pending.get(token)?)))
    }

    /// An owner's other requests for what `token` is about.
    fn beside(&self, token: Token) -> Vec<(Token, Step)> {
        let Some(Pending { inode, owner, range, .. }) = self.pending.get(&token) else { return Vec::new() };
        let all = self.by_owner.range((*owner, *inode, Token(0))..=(*owner, *inode, Token(u64::MAX)));
        let others = all.map(|(_, _, other)| *other).filter(|other| *other != token);
        let overlapping =
            others.filter_map(|t| Some((t, self.pending.get(&t)?)).filter(|(_, p)| p.range.overlaps(*range)));
        overlapping.map(|(other, pending)| (other, pending.step)).collect()
    }

    /// Gives up what the owner holds beyond `to`. From here on this node doesn't hold it, whatever happens.
    pub(super) fn lower(&mut self, turn: &mut Turn, token: Token, to: Option<Kind>, then_acquire: bool) {
        let Some(&Pending { inode, owner, range, .. }) = self.pending.get(&token) else { return };
        if !self.holdings.exceeds(inode, owner, range, to) {
            return self.lowered(turn, token, then_acquire);
        }
        let under_way: Vec<_> =
            self.beside(token).into_iter().filter(|(_, s)| *s == Step::Acquiring).collect();
        if !under_way.is_empty() && !mutant!(self, CrossUnlock) {
            self.set_step(token, Step::HeldUp { to, then_acquire });
            return under_way.iter().for_each(|(other, _)| self.call_back(turn, *other));
        }
        if !mutant!(self, HoldUntilAnswered) {
            self.holdings.lower(inode, owner, range, to);
        }
        self.set_step(token, Step::Lowering { then_acquire });
        self.ask_counted(turn, token, Ask::Lower { owner, range, to, token });
    }

    fn lowered(&mut self, turn: &mut Turn, token: Token, then_acquire: bool) {
        let interrupted = self.pending.get(&token).is_some_and(|p| p.interrupted);
        match then_acquire {
            true if interrupted => self.finish(turn, token, Err(Refusal::Interrupted)),
            true => self.acquire(turn, token),
            false => self.finish(turn, token, Ok(())),
        }
    }

    fn set_step(&mut self, token: Token, step: Step) {
        if let Some(pending) = self.pending.get_mut(&token) {
            pending.step = step;
        }
    }

    /// Takes a request back that is under way. Its answer will say whether it was granted first.
    fn call_back(&mut self, turn: &mut Turn, token: Token) {
        if let Some(pending) = self.pending.get_mut(&token)
            && !std::mem::replace(&mut pending.cancelled, true)
        {
            let inode = pending.inode;
            self.ask(turn, inode, Ask::Cancel { token });
        }
    }

    pub(super) fn interrupt(&mut self, turn: &mut Turn, token: Token) {
        let Some(pending) = self.pending.get_mut(&token).filter(|p| p.wait) else { return };
        pending.interrupted = true;
        match pending.step {
            Step::Acquiring => self.call_back(turn, token),
            Step::Paused => self.finish(turn, token, Err(Refusal::Interrupted)),
            _ => {}
        }
    }

    pub(super) fn on_doomed(&mut self, turn: &mut Turn, search: u64, token: Token) {
        let step = self.pending.get(&token).map(|p| p.step);
        match (step, self.pending.get_mut(&token)) {
            (Some(Step::Acquiring | Step::Paused), Some(pending)) => pending.doomed = Some(search),
            _ => return self.send(turn, self.detector_no(), Body::Over { search }),
        }
        match step {
            Some(Step::Paused) => self.finish(turn, token, Err(Refusal::Deadlock)),
            _ => self.call_back(turn, token),
        }
    }

    pub(super) fn on_answer(&mut self, turn: &mut Turn, from: MemberNo, token: Token, verdict: Verdict) {
        self.arrived(token);
        let Some(&pending) = self.pending.get(&token) else { return turn.distrust(from, Violation::Unasked) };
        match (pending.step, verdict) {
            (Step::Acquiring, Verdict::Granted) => self.granted(turn, token, pending),
            (Step::Acquiring, Verdict::Refused(why)) => self.finish(turn, token, Err(why)),
            (Step::Acquiring, Verdict::Cancelled) if pending.cancelled => {
                self.taken_back(turn, token, pending)
            }
            (Step::Lowering { then_acquire }, Verdict::Done) => {
                if mutant!(self, HoldUntilAnswered) {
                    let to = pending.kind.filter(|_| !then_acquire);
                    self.holdings.lower(pending.inode, pending.owner, pending.range, to);
                }
                return self.lowered(turn, token, then_acquire);
            }
            (Step::Testing { .. }, Verdict::Tested(conflict)) => return self.tested(turn, token, conflict),
            _ => return turn.distrust(from, Violation::Unasked),
        }
        self.go_on(turn, token, pending);
    }

    fn granted(&mut self, turn: &mut Turn, token: Token, pending: Pending) {
        let Pending { inode, owner, pid, range, kind: Some(kind), .. } = pending else { return };
        self.holdings.raise(inode, owner, pid, range, kind);
        let waiting: Vec<_> =
            self.tokens_of(owner).filter(|(t, p)| *t != token && p.waits()).map(|(t, _)| t).collect();
        for token in waiting.into_iter().filter(|_| owner.space == Space::Posix) {
            let waiter = WaiterId { node: self.me, token };
            self.send(turn, self.detector_no(), Body::Seek(Seek { waiter, owner }));
        }
        if kind == Kind::Read && self.holdings.exceeds(inode, owner, range, Some(kind)) {
            self.lower(turn, token, Some(kind), false);
        } else {
            self.finish(turn, token, Ok(()));
        }
    }

    fn taken_back(&mut self, turn: &mut Turn, token: Token, pending: Pending) {
        if pending.interrupted {
            self.finish(turn, token, Err(Refusal::Interrupted));
        } else if pending.doomed.is_some() {
            self.finish(turn, token, Err(Refusal::Deadlock));
        } else {
            self.set_step(token, Step::Paused);
        }
    }

    /// After a request is no longer under way: unlocks that it held up leave, and those that were called back for them follow.
    pub(super) fn go_on(&mut self, turn: &mut Turn, token: Token, ended: Pending) {
        let Pending { inode, owner, .. } = ended;
        let all = self.by_owner.range((owner, inode, Token(0))..=(owner, inode, Token(u64::MAX)));
        let tokens: Vec<_> = all.map(|(_, _, token)| *token).collect();
        debug_assert!(!tokens.is_empty() || !self.pending.contains_key(&token));
        for token in &tokens {
            if let Some(&Pending { step: Step::HeldUp { to, then_acquire }, .. }) = self.pending.get(token) {
                self.lower(turn, *token, to, then_acquire);
            }
        }
        for token in tokens {
            let paused = self.pending.get(&token).is_some_and(|p| p.step == Step::Paused);
            if paused && !self.beside(token).iter().any(|(_, s)| matches!(s, Step::HeldUp { .. })) {
                self.acquire(turn, token);
            }
        }
    }

    fn tested(&mut self, turn: &mut Turn, token: Token, conflict: Option<Conflict>) {
        self.forget(turn, token);
        turn.effects.push(Effect::Tested { token, conflict });
    }

    pub(super) fn finish(&mut self, turn: &mut Turn, token: Token, result: Result<(), Refusal>) {
        self.forget(turn, token);
        turn.effects.push(match result {
            Ok(()) => Effect::Granted { token },
            Err(why) => Effect::Refused { token, why },
        });
    }

    fn forget(&mut self, turn: &mut Turn, token: Token) {
        let Some(Pending { owner, inode, doomed, .. }) = self.pending.remove(&token) else { return };
        self.by_owner.remove(&(owner, inode, token));
        if let Some(search) = doomed {
            self.send(turn, self.detector_no(), Body::Over { search });
        }
    }

    pub(super) fn on_what_waits(
        &mut self,
        turn: &mut Turn,
        search: u64,
        owner: LocalOwner,
        only: Option<Token>,
    ) {
        let wanted = |token| only.is_none_or(|only| only == token);
        let waiting = self.tokens_of(owner).filter(|(token, p)| p.waits() && wanted(*token));
        let waiting: Vec<_> = waiting.map(|(token, p)| (token, p.inode)).collect();
        let requests = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        self.send(turn, self.detector_no(), Body::Waits { search, requests });
        for (token, inode) in waiting {
            self.ask(turn, inode, Ask::Edges { search, token });
        }
    }
}
