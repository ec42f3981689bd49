//! What must be true, judged from outside: from what programs were told, and from all tables of the cluster at once.

use std::collections::{BTreeMap, BTreeSet};

use scifs::coherence::Epoch;
use scifs::locks::{Kind, Owner, Range, Ranges, Space, Table, Waiter, WaiterId};

use super::violation::Violation;

/// What programs hold, as far as they can know.
#[derive(Debug, Default)]
pub struct Oracle {
    held: BTreeMap<(u64, Owner), Ranges>,
    /// Parts of it that their owner is giving up just now: nothing is promised of them.
    leaving: BTreeMap<(WaiterId, u64, Owner), (Range, Option<Kind>)>,
    /// The step at which a request was first seen waiting, and at which an owner came for what it holds.
    queued: BTreeMap<(Epoch, WaiterId), usize>,
    came: BTreeMap<(Epoch, u64, Owner), usize>,
    /// Whose last request for a file wasn't to wait.
    tries: BTreeSet<(u64, Owner)>,
    /// The steps at which a request was last seen waiting, and last seen in a circle.
    waited: BTreeMap<WaiterId, usize>,
    circled: BTreeMap<WaiterId, usize>,
}

/// All tables of an epoch, also those on their way.
pub type Tables<'a> = BTreeMap<Epoch, Vec<(u64, &'a Table)>>;

impl Oracle {
    pub fn asks(&mut self, inode: u64, owner: Owner, wait: bool) {
        if wait {
            self.tries.remove(&(inode, owner));
        } else {
            self.tries.insert((inode, owner));
        }
    }

    /// From now on the owner can't rely on more than `to` of the range.
    pub fn gives_up(&mut self, by: WaiterId, inode: u64, owner: Owner, range: Range, to: Option<Kind>) {
        self.leaving.insert((by, inode, owner), (range, to));
        if to.is_none() {
            self.lower(inode, owner, range, to);
        }
    }

    /// A request ended; `now` is what the owner holds of the range if it was granted.
    pub fn ended(&mut self, by: WaiterId, inode: u64, owner: Owner, range: Range, now: Option<Option<Kind>>) {
        self.leaving.remove(&(by, inode, owner));
        let Some(now) = now else { return };
        self.lower(inode, owner, range, now);
        if let Some(kind) = now {
            self.held.entry((inode, owner)).or_default().raise(range, kind);
        }
    }

    fn lower(&mut self, inode: u64, owner: Owner, range: Range, to: Option<Kind>) {
        if let Some(ranges) = self.held.get_mut(&(inode, owner)) {
            ranges.lower(range, to);
            if ranges.is_empty() {
                self.held.remove(&(inode, owner));
            }
        }
    }

    pub fn died(&mut self, node: scifs::coherence::MemberNo) {
        self.held.retain(|(_, owner), _| owner.node != node);
        self.leaving.retain(|(_, _, owner), _| owner.node != node);
        self.waited.retain(|id, _| id.node != node);
        self.circled.retain(|id, _| id.node != node);
    }

    fn surely(&self) -> BTreeMap<(u64, Owner), Ranges> {
        let mut held = self.held.clone();
        for ((_, inode, owner), (range, to)) in &self.leaving {
            if let Some(ranges) = held.get_mut(&(*inode, *owner)) {
                ranges.lower(*range, *to);
            }
        }
        held
    }

    pub fn check_exclusion(&self) -> Result<(), Violation> {
        let held = self.surely();
        for ((inode, owner), ranges) in &held {
            let later = held.range((*inode, *owner)..).skip(1).take_while(|((i, _), _)| i == inode);
            for ((_, other), others) in later.filter(|((_, o), _)| o.local.space == owner.local.space) {
                let both = ranges.iter().find(|(range, kind)| others.conflict(*range, *kind).is_some());
                if let Some((range, _)) = both {
                    return Err(Violation::Exclusion(*owner, *other, *inode, range));
                }
            }
        }
        Ok(())
    }

    /// Looks at all tables after a step.
    pub fn observe(&mut self, step: usize, tables: &Tables<'_>) -> Result<(), Violation> {
        for (epoch, tables) in tables {
            for (inode, table) in tables {
                self.observe_order(step, *epoch, *inode, table)?;
            }
            for id in circling(tables, None) {
                self.circled.insert(id, step);
            }
        }
        Ok(())
    }

    /// Of two requests of `flock` that can't both be granted, the one that waited first is granted first.
    fn observe_order(
        &mut self,
        step: usize,
        epoch: Epoch,
        inode: u64,
        table: &Table,
    ) -> Result<(), Violation> {
        let flock = |owner: &Owner| owner.local.space == Space::Flock;
        let holders: BTreeMap<Owner, Kind> = (table.held())
            .filter(|(owner, _)| flock(owner))
            .filter_map(|(owner, ranges)| Some((owner, ranges.iter().next()?.1)))
            .collect();
        let waiters: BTreeSet<Owner> = table.waiters().map(|w| w.owner()).collect();
        self.came.retain(|(e, i, owner), _| {
            (*e, *i) != (epoch, inode) || holders.contains_key(owner) || waiters.contains(owner)
        });
        for waiter in table.waiters() {
            self.waited.insert(waiter.id(), step);
            let queued = *self.queued.entry((epoch, waiter.id())).or_insert(step);
            self.came.insert((epoch, inode, waiter.owner()), queued);
        }
        for (owner, kind) in holders {
            // Who doesn't wait is refused only for a lock, not for somebody who waits for one.
            let came = if self.tries.contains(&(inode, owner)) { 0 } else { step };
            let came = *self.came.entry((epoch, inode, owner)).or_insert(came);
            let others = table.waiters().filter(|w| flock(&w.owner()) && w.owner() != owner);
            for waiter in others.filter(|w| w.acquire.kind.conflicts(kind)) {
                if self.queued.get(&(epoch, waiter.id())).is_some_and(|queued| *queued < came) {
                    return Err(Violation::Overtaken(waiter.owner(), owner, inode));
                }
            }
        }
        Ok(())
    }

    /// A request was refused for a deadlock. If it came and went within one step, nobody saw it waiting: then there has to be a
    /// circle with it put back.
    pub fn deadlock(
        &self,
        inode: u64,
        waiter: Waiter,
        strict: bool,
        tables: &Tables<'_>,
    ) -> Result<(), Violation> {
        let id = waiter.id();
        let circled = self.circled.get(&id);
        match self.waited.get(&id) {
            None => {
                let circles = |tables: &Vec<_>| circling(tables, Some((inode, waiter))).contains(&id);
                tables.values().any(circles).then_some(()).ok_or(Violation::NoDeadlock(id))
            }
            Some(_) if circled.is_none() => Err(Violation::NoDeadlock(id)),
            waited if strict && waited != circled => Err(Violation::BrokenDeadlock(id)),
            Some(_) => Ok(()),
        }
    }
}

/// Requests whose owner waits, over others, for itself.
fn circling(tables: &[(u64, &Table)], coming: Option<(u64, Waiter)>) -> Vec<WaiterId> {
    let mut edges: BTreeMap<Owner, BTreeSet<Owner>> = BTreeMap::new();
    let mut waiting = Vec::new();
    for (inode, table) in tables {
        let coming = coming.iter().filter(|(file, _)| file == inode).map(|(_, waiter)| waiter);
        let waiters = table.waiters().chain(coming);
        for waiter in waiters.filter(|w| w.acquire.owner.space == Space::Posix) {
            let blockers: BTreeSet<Owner> = (table.held())
                .filter(|(owner, _)| *owner != waiter.owner() && owner.local.space == Space::Posix)
                .filter(|(_, held)| held.conflict(waiter.acquire.range, waiter.acquire.kind).is_some())
                .map(|(owner, _)| owner)
                .collect();
            edges.entry(waiter.owner()).or_default().extend(&blockers);
            waiting.push((waiter.id(), waiter.owner(), blockers));
        }
    }
    let reaches = |from: BTreeSet<Owner>, goal: Owner| {
        let (mut seen, mut next) = (from.clone(), Vec::from_iter(from));
        while let Some(at) = next.pop() {
            next.extend(edges.get(&at).into_iter().flatten().filter(|to| seen.insert(**to)));
        }
        seen.contains(&goal)
    };
    waiting
        .into_iter()
        .filter(|(_, owner, blockers)| reaches(blockers.clone(), *owner))
        .map(|(id, ..)| id)
        .collect()
}
