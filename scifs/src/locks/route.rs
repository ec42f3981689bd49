//! How a request finds its table: node → registrar → manager, in order. A node that has the table asks itself, unless one of
//! its requests for that file may still be under way and would be overtaken.

use super::engine::{LockEngine, Turn, mutant};
use super::ids::Token;
use super::input::Violation;
use super::message::{Ask, Body};
use crate::coherence::MemberNo;

impl LockEngine {
    pub(super) fn ask(&mut self, turn: &mut Turn, inode: u64, ask: Ask) {
        if self.tables.contains_key(&inode) && self.may_ask_itself(inode) {
            self.execute(turn, self.me, inode, ask);
        } else {
            self.send(turn, self.registrar(inode), Body::Ask { inode, ask });
        }
    }

    fn may_ask_itself(&self, inode: u64) -> bool {
        !self.routed.contains_key(&inode) || mutant!(self, OvertakeMyself)
    }

    /// For what is answered: remembers that it is under way.
    pub(super) fn ask_counted(&mut self, turn: &mut Turn, token: Token, ask: Ask) {
        let Some(pending) = self.pending.get_mut(&token) else { return };
        let inode = pending.inode;
        if !(self.tables.contains_key(&inode) && self.may_ask_itself(inode)) {
            if let Some(pending) = self.pending.get_mut(&token) {
                pending.routed = true;
            }
            *self.routed.entry(inode).or_default() += 1;
        }
        self.ask(turn, inode, ask);
    }

    /// A request isn't under way any more: it was answered, or a table here has seen it.
    pub(super) fn arrived(&mut self, token: Token) {
        let Some(pending) = self.pending.get_mut(&token) else { return };
        if std::mem::replace(&mut pending.routed, false)
            && let Some(count) = self.routed.get_mut(&pending.inode)
        {
            *count -= 1;
            if *count == 0 {
                self.routed.remove(&pending.inode);
            }
        }
    }

    pub(super) fn on_ask(&mut self, turn: &mut Turn, from: MemberNo, inode: u64, ask: Ask) {
        if self.registrar(inode) != self.me {
            return turn.distrust(from, Violation::NotRegistrar);
        }
        if let Some(recovery) = &mut self.recovery {
            return recovery.asks.push((from, inode, ask));
        }
        let manager = self.managers.get(&inode).copied().unwrap_or(self.me);
        self.send(turn, manager, Body::Forward { inode, by: from, ask });
    }

    pub(super) fn on_moved(&mut self, turn: &mut Turn, from: MemberNo, inode: u64, to: MemberNo) {
        if self.registrar(inode) != self.me || self.managers.get(&inode).copied().unwrap_or(self.me) != from {
            return turn.distrust(from, Violation::NotMoving);
        }
        if to == self.me {
            self.managers.remove(&inode);
        } else {
            self.managers.insert(inode, to);
        }
        self.send(turn, from, Body::Confirm { inode });
    }
}
