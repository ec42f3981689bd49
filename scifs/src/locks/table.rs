//! The lock table of one file: who holds what, and who waits, first come first served. Only the file's manager has it.
//!
//! A request is granted when no other owner's lock stands in the way and, if it may wait, no earlier waiter does. A waiter
//! whom a lock of the same owner keeps waiting doesn't count: to queue behind it would be to wait for oneself.

use std::collections::BTreeMap;

use super::ids::{Kind, LocalOwner, Owner, Range, Space, WaiterId};
use super::input::{Conflict, Refusal};
use super::limits::{MOVING_ITEMS_MAX, WAITERS_MAX};
use super::message::{Acquire, Edge, HeldPart, TableParts, WaitingPart, Why};
use super::ranges::Ranges;
use crate::coherence::MemberNo;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Table {
    /// Counts what happened, so that two looks at the table can be told apart.
    clock: u64,
    held: BTreeMap<Owner, Held>,
    /// How many pieces all owners hold.
    pieces: usize,
    /// By place: the moment of the clock at which they came.
    waiting: BTreeMap<u64, Waiter>,
    places: BTreeMap<WaiterId, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    pid: u32,
    /// When the owner last gave something up or held nothing.
    since: u64,
    ranges: Ranges,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Waiter {
    pub node: MemberNo,
    pub acquire: Acquire,
    /// It needn't wait for earlier waiters.
    pub jumps: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Granted,
    Waits,
    Refused(Refusal),
}

impl Waiter {
    pub fn owner(&self) -> Owner {
        Owner { node: self.node, local: self.acquire.owner }
    }

    pub fn id(&self) -> WaiterId {
        WaiterId { node: self.node, token: self.acquire.token }
    }

    fn conflicts(&self, other: &Acquire, other_owner: Owner) -> bool {
        self.owner() != other_owner
            && self.acquire.owner.space == other.owner.space
            && self.acquire.range.overlaps(other.range)
            && self.acquire.kind.conflicts(other.kind)
    }
}

impl Table {
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty()
    }

    /// Whether it fits into a message that moves it.
    pub(super) fn may_move(&self) -> bool {
        self.pieces + self.waiting.len() <= MOVING_ITEMS_MAX
    }

    pub(super) fn holds(&self, node: MemberNo) -> bool {
        let from = Owner { node, local: LocalOwner { space: Space::Posix, id: 0 } };
        self.held.range(from..).next().is_some_and(|(owner, _)| owner.node == node)
    }

    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.waiting.values()
    }

    /// What everybody holds.
    pub fn held(&self) -> impl Iterator<Item = (Owner, &Ranges)> {
        self.held.iter().map(|(owner, held)| (*owner, &held.ranges))
    }

    pub(super) fn acquire(&mut self, node: MemberNo, acquire: Acquire, unfair: bool) -> Outcome {
        let waiter = Waiter { node, acquire, jumps: !acquire.wait || unfair };
        if self.is_free(&waiter, u64::MAX) {
            self.raise(waiter.owner(), acquire.pid, acquire.range, acquire.kind);
            Outcome::Granted
        } else if !acquire.wait {
            Outcome::Refused(Refusal::WouldBlock)
        } else if self.waiting.len() >= WAITERS_MAX || self.places.contains_key(&waiter.id()) {
            Outcome::Refused(Refusal::TooMany)
        } else {
            self.clock += 1;
            self.places.insert(waiter.id(), self.clock);
            self.waiting.insert(self.clock, waiter);
            Outcome::Waits
        }
    }

    pub(super) fn raise(&mut self, owner: Owner, pid: u32, range: Range, kind: Kind) {
        self.clock += 1;
        let since = self.clock;
        let held = self.held.entry(owner).or_insert_with(|| Held { pid, since, ranges: Ranges::default() });
        self.pieces -= held.ranges.len();
        held.ranges.raise(range, kind);
        self.pieces += held.ranges.len();
    }

    /// Lowers, and grants what that lets through.
    pub(super) fn lower(&mut self, owner: Owner, range: Range, to: Option<Kind>) -> Vec<WaiterId> {
        let Some(held) = self.held.get_mut(&owner) else { return Vec::new() };
        self.clock += 1;
        held.since = self.clock;
        self.pieces -= held.ranges.len();
        held.ranges.lower(range, to);
        self.pieces += held.ranges.len();
        if held.ranges.is_empty() {
            self.held.remove(&owner);
        }
        self.grant(range)
    }

    /// Takes a waiter out, and grants what waited behind it. `None` if it doesn't wait.
    pub(super) fn cancel(&mut self, id: WaiterId) -> Option<Vec<WaiterId>> {
        let waiter = self.remove(id)?;
        Some(self.grant(waiter.acquire.range))
    }

    fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        self.waiting.remove(&self.places.remove(&id)?)
    }

    /// Lets a waiter overtake those before it.
    pub(super) fn jump(&mut self, id: WaiterId) -> Vec<WaiterId> {
        let Some(waiter) = self.places.get(&id).and_then(|place| self.waiting.get_mut(place)) else {
            return Vec::new();
        };
        waiter.jumps = true;
        let range = waiter.acquire.range;
        self.grant(range)
    }

    /// Grants waiters, oldest first, after something in `range` was given up. Only those that overlap it can have become
    /// free; and one that is granted stands in nobody's way who wasn't in its way before.
    pub(super) fn grant(&mut self, range: Range) -> Vec<WaiterId> {
        let mut granted = Vec::new();
        // A write lock of all of the range: with many waiters this saves most of a hand-over's cost.
        let mut stopped_by: Option<Owner> = None;
        let mut next = 0;
        while let Some((place, waiter)) = self.waiting.range(next..).next() {
            let (place, waiter) = (*place, *waiter);
            next = place + 1;
            let stopped = stopped_by
                .is_some_and(|by| by != waiter.owner() && by.local.space == waiter.acquire.owner.space);
            if stopped || !waiter.acquire.range.overlaps(range) || !self.is_free(&waiter, place) {
                continue;
            }
            self.remove(waiter.id());
            let Acquire { pid, range: wanted, kind, .. } = waiter.acquire;
            self.raise(waiter.owner(), pid, wanted, kind);
            granted.push(waiter.id());
            if kind == Kind::Write && wanted.covers(range) {
                stopped_by = Some(waiter.owner());
            }
        }
        granted
    }

    fn is_free(&self, waiter: &Waiter, place: u64) -> bool {
        self.blockers(waiter).next().is_none()
            && (waiter.jumps || self.before(waiter, place).next().is_none())
    }

    /// Owners whose locks stand in the way.
    fn blockers(&self, waiter: &Waiter) -> impl Iterator<Item = (Owner, &Held)> {
        let (acquire, me) = (waiter.acquire, waiter.owner());
        self.held.iter().map(|(owner, held)| (*owner, held)).filter(move |(owner, held)| {
            *owner != me
                && owner.local.space == me.local.space
                && held.ranges.conflict(acquire.range, acquire.kind).is_some()
        })
    }

    /// Waiters at earlier places that stand in the way.
    fn before(&self, waiter: &Waiter, place: u64) -> impl Iterator<Item = (u64, &Waiter)> {
        let (acquire, me) = (waiter.acquire, waiter.owner());
        let mine = self.held.get(&me);
        self.waiting.range(..place).map(|(place, earlier)| (*place, earlier)).filter(move |(_, earlier)| {
            let Acquire { range, kind, .. } = earlier.acquire;
            earlier.conflicts(&acquire, me) && mine.is_none_or(|m| m.ranges.conflict(range, kind).is_none())
        })
    }

    /// Whom a waiter waits for.
    pub(super) fn edges(&self, inode: u64, id: WaiterId) -> Vec<Edge> {
        let Some((place, waiter)) = self.places.get(&id).and_then(|p| Some((*p, self.waiting.get(p)?)))
        else {
            return Vec::new();
        };
        let edge = |to, why| Edge { inode, waiter: id, from: waiter.owner(), to, why };
        let holders =
            self.blockers(waiter).map(|(owner, held)| edge(owner, Why::Holds { since: held.since }));
        let before = self.before(waiter, place).filter(|_| !waiter.jumps);
        holders.chain(before.map(|(place, w)| edge(w.owner(), Why::WaitsBefore { place }))).collect()
    }

    /// The first lock that stands in the way.
    pub(super) fn test(&self, owner: Owner, range: Range, kind: Kind) -> Option<Conflict> {
        let others = self.held.iter().filter(|(o, _)| **o != owner && o.local.space == owner.local.space);
        let conflicts = others.filter_map(|(other, held)| {
            let (range, kind) = held.ranges.conflict(range, kind)?;
            Some(Conflict { kind, range, pid: held.pid, node: other.node })
        });
        conflicts.min_by_key(|conflict| conflict.range.start)
    }

    pub(super) fn to_parts(&self) -> TableParts {
        let held = self.held.iter().flat_map(|(owner, held)| {
            let Held { pid, since, ranges } = held;
            ranges.iter().map(|(range, kind)| HeldPart {
                owner: *owner,
                pid: *pid,
                since: *since,
                range,
                kind,
            })
        });
        let waiting = self.waiting.iter().map(|(place, waiter)| {
            let Waiter { node, acquire, jumps } = *waiter;
            WaitingPart { node, place: *place, jumps, acquire }
        });
        TableParts { clock: self.clock, held: held.collect(), waiting: waiting.collect() }
    }

    pub fn from_parts(parts: &TableParts) -> Self {
        let mut table = Self::default();
        for HeldPart { owner, pid, since, range, kind } in &parts.held {
            table.raise(*owner, *pid, *range, *kind);
            if let Some(held) = table.held.get_mut(owner) {
                held.since = *since;
            }
        }
        for WaitingPart { node, place, jumps, acquire } in &parts.waiting {
            let waiter = Waiter { node: *node, acquire: *acquire, jumps: *jumps };
            table.places.insert(waiter.id(), *place);
            table.waiting.insert(*place, waiter);
        }
        table.clock = parts.clock;
        table
    }
}
