//! What a node's programs want: their requests, until each has ended. `pending.rs` shows the steps.

use super::engine::{SyncEngine, Turn, mutant};
use super::ids::{BarrierName, Key, Rank, Round, Token};
use super::input::{Effect, Ended, Looked, Refusal, Violation};
use super::limits::PARTIES_MAX;
use super::message::{Ask, Body, How};
use super::pending::{Pending, Step};
use super::rounds::Opened;
use crate::coherence::MemberNo;

impl SyncEngine {
    pub(super) fn arrive(&mut self, turn: &mut Turn, name: BarrierName, parties: u32, token: Token) {
        if parties == 0 || parties > PARTIES_MAX {
            return turn.ended(token, Err(Refusal::Disagree));
        }
        self.join(turn, Key::Barrier(name), parties, token);
    }

    pub(super) fn join(&mut self, turn: &mut Turn, key: Key, parties: u32, token: Token) {
        self.pending.insert(token, Pending { parties, ..Pending::new(key, Step::Joining) });
        self.ask(turn, key, Ask::Join { token, parties });
    }

    pub(super) fn notify(&mut self, turn: &mut Turn, key: Key, count: u32, token: Token) {
        self.pending.insert(token, Pending { count, ..Pending::new(key, Step::Notifying) });
        self.ask(turn, key, Ask::Notify { token, count, again: false });
    }

    pub(super) fn withdraw(&mut self, turn: &mut Turn, token: Token, why: Refusal) {
        let Some(pending) = self.pending.get_mut(&token) else { return };
        match pending.step {
            // These end by themselves.
            Step::Notifying | Step::Settling | Step::Leaving { .. } => {}
            // Whoever is late still learns first whether the word has another value.
            Step::Joining | Step::Looking { .. } if why == Refusal::TimedOut && pending.is_word() => {
                pending.late = true;
            }
            _ => self.leave(turn, token, why),
        }
    }

    fn leave(&mut self, turn: &mut Turn, token: Token, why: Refusal) {
        let Some(pending) = self.pending.get_mut(&token) else { return };
        pending.step = Step::Leaving { why };
        let key = pending.key;
        if mutant!(self, LeaveWithoutAsking) {
            return self.finish(turn, token, Err(why));
        }
        self.ask(turn, key, Ask::Leave { token });
    }

    fn finish(&mut self, turn: &mut Turn, token: Token, how: Ended) {
        if self.pending.remove(&token).is_some() {
            turn.ended(token, how);
        }
    }

    /// Ends what can't be in a queue of the new epoch: nobody will answer that it left.
    pub(super) fn finish_left(&mut self, turn: &mut Turn) {
        let left = |(token, pending): (&Token, &Pending)| match pending.step {
            Step::Leaving { why } if pending.is_word() => Some((*token, why)),
            _ => None,
        };
        for (token, why) in self.pending.iter().filter_map(left).collect::<Vec<_>>() {
            self.finish(turn, token, Err(why));
        }
    }

    pub(super) fn on_joined(&mut self, turn: &mut Turn, from: MemberNo, token: Token, rank: Rank) {
        let look = self.looks + 1;
        let Some(pending) = self.pending.get_mut(&token) else {
            return turn.distrust(from, Violation::Unasked);
        };
        pending.rank = Some(rank);
        match pending.step {
            Step::Joining | Step::Waiting if pending.is_word() => {
                pending.step = Step::Looking { look };
                self.looks = look;
                turn.effects.push(Effect::Look { token, look });
            }
            Step::Joining => pending.step = Step::Waiting,
            _ => {}
        }
    }

    pub(super) fn looked(&mut self, turn: &mut Turn, token: Token, look: u64, found: Looked) {
        let Some(pending) = self.pending.get_mut(&token) else { return };
        if pending.step != (Step::Looking { look }) && !mutant!(self, TrustOldLook) {
            return;
        }
        match found {
            Looked::AsExpected if pending.late => self.leave(turn, token, Refusal::TimedOut),
            Looked::AsExpected => {
                pending.step = Step::Waiting;
                let key = pending.key;
                self.ask(turn, key, Ask::Stay { token });
            }
            Looked::Other => self.leave(turn, token, Refusal::Changed),
            Looked::Failed => self.leave(turn, token, Refusal::Unreadable),
        }
    }

    pub(super) fn on_asleep(&mut self, turn: &mut Turn, from: MemberNo, token: Token) {
        match self.pending.get_mut(&token) {
            Some(pending) => pending.asleep = true,
            None => turn.distrust(from, Violation::Unasked),
        }
    }

    pub(super) fn on_out(&mut self, turn: &mut Turn, from: MemberNo, token: Token, why: Option<Refusal>) {
        let step = self.pending.get(&token).map(|pending| pending.step);
        match (step, why) {
            (Some(Step::Leaving { why }), _) => self.finish(turn, token, Err(why)),
            (Some(_), Some(why)) => self.finish(turn, token, Err(why)),
            _ => turn.distrust(from, Violation::Unasked),
        }
    }

    pub(super) fn on_wake(
        &mut self,
        turn: &mut Turn,
        from: MemberNo,
        tokens: &[Token],
        how: How,
        confirm: Option<u64>,
    ) {
        if tokens.iter().any(|token| !self.pending.get(token).is_some_and(Pending::waits)) {
            return turn.distrust(from, Violation::Unasked);
        }
        for token in tokens {
            let how = if how == How::Notified { Ok(0) } else { Err(Refusal::Changed) };
            self.finish(turn, *token, how);
        }
        self.confirm(turn, from, confirm);
    }

    /// Also of a round of which some parties here have been let out before: they aren't let out twice.
    pub(super) fn on_open(
        &mut self,
        turn: &mut Turn,
        from: MemberNo,
        (key, round): (Key, Round),
        leader: super::WaiterId,
        confirm: Option<u64>,
    ) {
        let parties = self.opening.remove(&(key, round)).unwrap_or_default();
        let me = self.me;
        for party in parties.iter().filter(|party| party.node == me) {
            self.finish(turn, party.token, Ok(u32::from(*party == leader)));
        }
        if parties.iter().any(|party| party.node != me) {
            self.opened.insert((key, round), Opened { leader, parties });
        }
        self.confirm(turn, from, confirm);
    }

    fn confirm(&self, turn: &mut Turn, keeper: MemberNo, confirm: Option<u64>) {
        if let Some(decision) = confirm {
            self.send(turn, keeper, Body::Heard { decision });
        }
    }

    pub(super) fn on_notified(
        &mut self,
        turn: &mut Turn,
        from: MemberNo,
        token: Token,
        woken: u32,
        settled: bool,
    ) {
        let Some(pending) = self.pending.get_mut(&token).filter(|pending| !pending.waits()) else {
            return turn.distrust(from, Violation::Unasked);
        };
        let first = pending.step == Step::Notifying;
        pending.step = Step::Settling;
        if settled || mutant!(self, DontSettle) {
            self.pending.remove(&token);
        }
        if first {
            turn.ended(token, Ok(woken));
        }
    }

    pub(super) fn on_notify_settled(&mut self, token: Token) {
        if self.pending.get(&token).is_some_and(|pending| pending.step == Step::Settling) {
            self.pending.remove(&token);
        }
    }
}
