//! The manager of a file's lock table: grants, and gives the table to whom it grants when it holds nothing itself. So the table
//! is with the holder, who locks again without a message and hands over with one.

use super::engine::{LockEngine, Turn, mutant};
use super::ids::{Token, WaiterId};
use super::input::Violation;
use super::limits::{IDLE_TABLES_MAX, LIST_ITEMS_MAX};
use super::message::{Ask, Body, Seek, TableParts, Verdict};
use super::table::{Outcome, Table};
use crate::coherence::MemberNo;
use crate::members::EARLY_MESSAGES_MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Managed {
    pub(super) table: Table,
    /// Who gave it, until the registrar has confirmed. Requests that the registrar sends here wait until those have come
    /// that it sent to the giver; and the table doesn't move on.
    pub(super) unconfirmed: Option<MemberNo>,
    pub(super) deferred: Vec<Early>,
    /// Its place among the idle ones.
    idle: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Early {
    pub(super) by: MemberNo,
    pub(super) ask: Ask,
}

impl LockEngine {
    pub(super) fn on_forward(&mut self, turn: &mut Turn, from: MemberNo, inode: u64, by: MemberNo, ask: Ask) {
        if let Some(managed) = self.tables.get_mut(&inode) {
            let behind = managed.unconfirmed.is_some_and(|giver| giver != from) && !mutant!(self, DontDefer);
            if behind {
                managed.deferred.push(Early { by, ask });
            } else {
                self.execute(turn, by, inode, ask);
            }
        } else if let Some(to) = self.gone.get(&inode) {
            if !mutant!(self, LoseStragglers) {
                self.send(turn, *to, Body::Forward { inode, by, ask });
            }
        } else if self.registrar(inode) == self.me && !self.managers.contains_key(&inode) {
            self.tables.insert(inode, Managed::default());
            self.execute(turn, by, inode, ask);
        } else if self.early_asks.len() >= EARLY_MESSAGES_MAX {
            turn.distrust(from, Violation::NotMoving);
        } else {
            self.early_asks.entry(inode).or_default().push(Early { by, ask });
        }
    }

    /// Does what a node asks of a table that is here.
    pub(super) fn execute(&mut self, turn: &mut Turn, by: MemberNo, inode: u64, ask: Ask) {
        let (me, detector) = (self.me, self.detector_no());
        if by == me
            && let Some(token) = ask.answered()
        {
            self.arrived(token);
        }
        let unfair = mutant!(self, Overtake);
        let deaf = mutant!(self, IgnoreCancel);
        let Some(Managed { table, .. }) = self.tables.get_mut(&inode) else { return };
        let answer = |token, verdict| (by, Body::Answer { token, verdict });
        let (says, grants) = match ask {
            Ask::Acquire(acquire) => {
                let id = WaiterId { node: by, token: acquire.token };
                match table.acquire(by, acquire, unfair) {
                    Outcome::Granted => (None, vec![id]),
                    Outcome::Refused(why) => (Some(answer(acquire.token, Verdict::Refused(why))), Vec::new()),
                    Outcome::Waits => {
                        let seek = Body::Seek(Seek { waiter: id, owner: acquire.owner });
                        (acquire.seek.then_some((detector, seek)), Vec::new())
                    }
                }
            }
            Ask::Lower { owner, range, to, token } => {
                let grants = table.lower(super::Owner { node: by, local: owner }, range, to);
                (Some(answer(token, Verdict::Done)), grants)
            }
            Ask::Cancel { .. } if deaf => (None, Vec::new()),
            Ask::Cancel { token } => match table.cancel(WaiterId { node: by, token }) {
                Some(grants) => (Some(answer(token, Verdict::Cancelled)), grants),
                None => (None, Vec::new()),
            },
            Ask::Test { owner, range, kind, token } => {
                let conflict = table.test(super::Owner { node: by, local: owner }, range, kind);
                (Some(answer(token, Verdict::Tested(conflict))), Vec::new())
            }
            Ask::Sync { token } => (Some(answer(token, Verdict::Done)), Vec::new()),
            Ask::Jump { search, waiter } => (Some((detector, Body::Over { search })), table.jump(waiter)),
            Ask::Edges { search, token } => {
                return self.send_edges(turn, inode, search, WaiterId { node: by, token });
            }
        };
        if let Some((to, body)) = says {
            let silent = matches!(body, Body::Seek(_)) && mutant!(self, DontSeek);
            if !silent {
                self.send(turn, to, body);
            }
        }
        self.settle(turn, inode, &grants);
    }

    fn send_edges(&mut self, turn: &mut Turn, inode: u64, search: u64, waiter: WaiterId) {
        let Some(Managed { table, .. }) = self.tables.get(&inode) else { return };
        let mut edges = table.edges(inode, waiter);
        loop {
            let rest = edges.split_off(edges.len().min(LIST_ITEMS_MAX));
            let last = rest.is_empty();
            self.send(turn, self.detector_no(), Body::Edges { search, edges, last });
            if last {
                return self.settle(turn, inode, &[]);
            }
            edges = rest;
        }
    }

    /// Tells who was granted something, and moves or forgets the table if that is due.
    fn settle(&mut self, turn: &mut Turn, inode: u64, grants: &[WaiterId]) {
        let eager = mutant!(self, MoveUnconfirmed);
        let Some(managed) = self.tables.get(&inode) else { return };
        let movable = !managed.table.holds(self.me)
            && (managed.unconfirmed.is_none() || eager)
            && managed.table.may_move();
        if let (Some(first), true) = (grants.first(), movable) {
            return self.move_table(turn, inode, first.node, grants);
        }
        for WaiterId { node, token } in grants {
            self.send(turn, *node, Body::Answer { token: *token, verdict: Verdict::Granted });
        }
        self.keep_or_forget(turn, inode);
    }

    fn move_table(&mut self, turn: &mut Turn, inode: u64, to: MemberNo, grants: &[WaiterId]) {
        let Some(managed) = self.tables.remove(&inode) else { return };
        self.idle.remove(&managed.idle.unwrap_or(0));
        let mut parts = managed.table.to_parts();
        self.spoil(&mut parts, to);
        self.gone.insert(inode, to);
        let (theirs, others): (Vec<&WaiterId>, Vec<&WaiterId>) =
            grants.iter().partition(|granted| granted.node == to);
        let granted: Vec<Token> = theirs.iter().map(|granted| granted.token).collect();
        self.send(turn, to, Body::Table { inode, parts, granted });
        for WaiterId { node, token } in others {
            self.send(turn, *node, Body::Answer { token: *token, verdict: Verdict::Granted });
        }
        self.send(turn, self.registrar(inode), Body::Moved { inode, to });
        for Early { by, ask } in managed.deferred {
            self.send(turn, to, Body::Forward { inode, by, ask });
        }
    }

    fn spoil(&self, parts: &mut TableParts, to: MemberNo) {
        if mutant!(self, MoveWithoutWaiters) {
            parts.waiting.clear();
        }
        if mutant!(self, MoveWithoutHolders) {
            parts.held.retain(|held| held.owner.node == to);
        }
    }

    /// An empty table is forgotten by its registrar, and kept by others so that locking again is local.
    fn keep_or_forget(&mut self, turn: &mut Turn, inode: u64) {
        let registrar = self.registrar(inode) == self.me;
        let Some(managed) = self.tables.get_mut(&inode) else { return };
        let empty = managed.table.is_empty();
        if empty && registrar && managed.unconfirmed.is_none() {
            self.tables.remove(&inode);
        } else if empty && !registrar && managed.idle.is_none() {
            self.idle_clock += 1;
            managed.idle = Some(self.idle_clock);
            self.idle.insert(self.idle_clock, inode);
            self.bound_idle(turn);
        } else if !empty && let Some(place) = managed.idle.take() {
            self.idle.remove(&place);
        }
    }

    fn bound_idle(&mut self, turn: &mut Turn) {
        if self.idle.len() > IDLE_TABLES_MAX
            && let Some((_, inode)) = self.idle.pop_first()
        {
            if let Some(managed) = self.tables.get_mut(&inode) {
                managed.idle = None;
            }
            self.recall(turn, inode);
        }
    }

    /// Gives an empty table back. One that is still being confirmed stays until it is used again.
    pub(super) fn recall(&mut self, turn: &mut Turn, inode: u64) {
        let registrar = self.registrar(inode);
        let idle = |managed: &Managed| managed.table.is_empty() && managed.unconfirmed.is_none();
        if registrar != self.me && self.tables.get(&inode).is_some_and(idle) {
            self.move_table(turn, inode, registrar, &[]);
        }
    }

    pub(super) fn on_table(
        &mut self,
        turn: &mut Turn,
        from: MemberNo,
        inode: u64,
        parts: &TableParts,
        granted: Vec<Token>,
    ) {
        if self.tables.contains_key(&inode) || self.gone.contains_key(&inode) || from == self.me {
            return turn.distrust(from, Violation::NotMoving);
        }
        let table = Table::from_parts(parts);
        let mine = table.waiters().filter(|w| w.node == self.me).map(|w| w.acquire.token);
        for token in mine.collect::<Vec<_>>() {
            self.arrived(token);
        }
        let deferred = self.early_asks.remove(&inode).unwrap_or_default();
        self.tables.insert(inode, Managed { table, unconfirmed: Some(from), deferred, idle: None });
        for token in granted {
            self.on_answer(turn, from, token, Verdict::Granted);
        }
        self.settle(turn, inode, &[]);
    }

    pub(super) fn on_confirm(&mut self, turn: &mut Turn, from: MemberNo, inode: u64) {
        if let Some(to) = self.gone.remove(&inode) {
            return self.send(turn, to, Body::Confirm { inode });
        }
        match self.tables.get_mut(&inode) {
            Some(managed) if managed.unconfirmed == Some(from) => managed.unconfirmed = None,
            _ => return turn.distrust(from, Violation::NotMoving),
        }
        let deferred =
            self.tables.get_mut(&inode).map(|m| std::mem::take(&mut m.deferred)).unwrap_or_default();
        for Early { by, ask } in deferred {
            // The table may move on while these are done: then they go after it.
            self.on_forward(turn, self.me, inode, by, ask);
        }
        self.settle(turn, inode, &[]);
    }
}

impl Ask {
    /// The token of a request that has exactly one answer.
    fn answered(&self) -> Option<Token> {
        match self {
            Self::Acquire(acquire) => Some(acquire.token),
            Self::Lower { token, .. } | Self::Test { token, .. } | Self::Sync { token } => Some(*token),
            Self::Cancel { .. } | Self::Edges { .. } | Self::Jump { .. } => None,
        }
    }
}
