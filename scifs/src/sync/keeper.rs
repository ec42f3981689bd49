//! The keeper of a queue: takes in who wants to wait, and decides who is woken.

use super::engine::{SyncEngine, Turn, mutant};
use super::ids::{Key, Rank, Round, Token, WaiterId};
use super::input::{Refusal, Violation};
use super::limits::WAITERS_MAX;
use super::message::{Ask, Body, How};
use super::queue::{State, Stayed};
use crate::coherence::MemberNo;

impl SyncEngine {
    pub(super) fn on_ask(&mut self, turn: &mut Turn, from: MemberNo, key: Key, ask: Ask) {
        if self.keeper(&key) != self.me {
            return turn.distrust(from, Violation::NotKeeper);
        }
        if let Some(recovery) = &mut self.recovery {
            return recovery.asks.push((from, key, ask));
        }
        match ask {
            Ask::Join { token, parties } => {
                self.take_in(turn, key, WaiterId { node: from, token }, parties, None, false);
            }
            Ask::Stay { token } => self.stay(turn, key, WaiterId { node: from, token }),
            Ask::Leave { token } => self.take_out(turn, key, WaiterId { node: from, token }),
            Ask::Notify { token, count, again } => {
                self.on_notify(turn, key, WaiterId { node: from, token }, count, again);
            }
        }
        self.forget_if_empty(key);
    }

    fn forget_if_empty(&mut self, key: Key) {
        if self.queues.get(&key).is_some_and(super::Queue::is_empty) {
            self.queues.remove(&key);
        }
    }

    /// `rank` and `asleep`: from an earlier keeper.
    pub(super) fn take_in(
        &mut self,
        turn: &mut Turn,
        key: Key,
        id: WaiterId,
        parties: u32,
        rank: Option<Rank>,
        asleep: bool,
    ) {
        let barrier = matches!(key, Key::Barrier(_));
        if barrier != (parties > 0) || self.queues.get(&key).is_some_and(|queue| queue.has(id)) {
            return turn.distrust(id.node, Violation::Twice);
        }
        let rank = rank.unwrap_or_else(|| Rank { epoch: self.epoch(), number: self.next() });
        let queue = self.queues.entry(key).or_default();
        let refusal = match () {
            () if queue.len() >= WAITERS_MAX => Some(Refusal::TooMany),
            () if !queue.is_empty() && queue.parties != parties => Some(Refusal::Disagree),
            () => None,
        };
        if let Some(why) = refusal {
            return self.send(turn, id.node, Body::Out { token: id.token, why: Some(why) });
        }
        queue.parties = parties;
        let unsure = State::Unsure { looks: 1, notified: false };
        queue.insert(rank, id, if barrier || asleep { State::Asleep } else { unsure });
        let full = barrier && queue.len() == parties as usize;
        self.send(turn, id.node, Body::Joined { token: id.token, rank });
        if full {
            self.open(turn, key, id);
        }
    }

    fn stay(&mut self, turn: &mut Turn, key: Key, id: WaiterId) {
        let deaf = mutant!(self, SleepThroughNotify);
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let token = id.token;
        match queue.stay(id, deaf) {
            Stayed::LookAgain(rank) => self.send(turn, id.node, Body::Joined { token, rank }),
            Stayed::Out => self.send(turn, id.node, Body::Out { token, why: Some(Refusal::Changed) }),
            Stayed::Asleep => self.send(turn, id.node, Body::Asleep { token }),
            Stayed::Unknown => {}
        }
    }

    fn take_out(&mut self, turn: &mut Turn, key: Key, id: WaiterId) {
        // Who isn't there was woken, and knows it soon.
        if self.queues.get_mut(&key).is_some_and(|queue| queue.remove(id)) {
            self.send(turn, id.node, Body::Out { token: id.token, why: None });
        }
    }

    fn on_notify(&mut self, turn: &mut Turn, key: Key, by: WaiterId, count: u32, again: bool) {
        let eager = mutant!(self, WakeUnsure);
        let again = again && !mutant!(self, TrustRepeatedNotify);
        let (woken, how) = match self.queues.get_mut(&key) {
            None => (Vec::new(), How::Notified),
            Some(queue) if again => (queue.take_all(), How::Unsure),
            Some(queue) => (queue.wake(count, eager), How::Notified),
        };
        let number = u32::try_from(woken.len()).unwrap_or(u32::MAX).min(count);
        let settled = self.wake(turn, &woken, how, by);
        self.send(turn, by.node, Body::Notified { token: by.token, woken: number, settled });
    }

    /// Lets all parties of a barrier out that wait now. `leader`: the last.
    fn open(&mut self, turn: &mut Turn, key: Key, leader: WaiterId) {
        let Some(mut queue) = self.queues.remove(&key) else { return };
        let parties = queue.take_all();
        let round = Round { epoch: self.epoch(), number: self.next() };
        let nodes = super::ids::nodes(&parties);
        self.open_for(turn, (key, round), leader, &parties, &nodes, &nodes);
    }

    /// Tokens by node, in the order of their ranks.
    pub(super) fn by_node(woken: &[WaiterId]) -> std::collections::BTreeMap<MemberNo, Vec<Token>> {
        let mut nodes: std::collections::BTreeMap<MemberNo, Vec<Token>> = Default::default();
        for id in woken {
            nodes.entry(id.node).or_default().push(id.token);
        }
        nodes
    }
}
