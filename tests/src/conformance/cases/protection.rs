//! A peer reaches what it was granted and nothing else; an attempt costs the offender its connection, and nobody else
//! anything.

use std::sync::Arc;

use scios::limits::{GRANTS_MAX, PAGE_BYTES};
use scios::memory::Region;
use scios::verbs::{DownReason, FabricError, OpError, Operation, RemoteKey, RemoteSlice, Rights};

use crate::conformance::lab::{Lab, Node, filled, pattern, region};

const PAGE: u64 = PAGE_BYTES as u64;

/// An owner whose middle page of three is granted to an offender, and a bystander that may use all of it.
struct Scene<'l, 'w> {
    lab: &'l Lab<'w>,
    owner: Arc<Node>,
    offender: Arc<Node>,
    bystander: Arc<Node>,
    memory: Arc<Region>,
    key: RemoteKey,
    bystanders_key: RemoteKey,
}

impl<'l, 'w> Scene<'l, 'w> {
    fn new(lab: &'l Lab<'w>, rights: Rights) -> Self {
        let (owner, offender, bystander) = (lab.node(), lab.node(), lab.node());
        lab.join(&offender, &owner);
        lab.join(&bystander, &owner);
        let memory = region(3 * PAGE);
        memory.whole().write_from(&[0xaa; 3 * PAGE_BYTES]).expect("in range");
        let middle = memory.slice(PAGE, PAGE_BYTES).expect("in range");
        let key = owner.fabric.grant(offender.id, &middle, rights, owner.later()).expect("grant");
        let bystanders_key =
            owner.fabric.grant(bystander.id, &memory.whole(), Rights::ALL, owner.later()).expect("grant");
        Self { lab, owner, offender, bystander, memory, key, bystanders_key }
    }

    /// The operation is denied, the offender is cut off, and nothing else has changed.
    fn denied(&self, operation: &Operation<'_>) {
        self.lab.post(&self.offender, self.owner.id, 1, operation);
        let result = self.lab.result(&self.offender, self.owner.id, 1);
        // Of a placed page, `Done` says no more than that the local memory is free.
        if !(matches!(operation, Operation::Place { .. }) && result.is_ok()) {
            assert_eq!(result, Err(OpError::Denied));
        }
        let reason = self.lab.wait_down(&self.offender, self.owner.id);
        assert_eq!(reason, DownReason::Denied);
        self.lab.wait_down(&self.owner, self.offender.id);
        assert_eq!(self.owner.message_count(self.offender.id), 0);
        let untouched = self.memory.whole().to_vec().iter().all(|byte| *byte == 0xaa);
        assert!(untouched, "memory was changed by an operation that was denied");
        self.bystander_is_well();
    }

    fn bystander_is_well(&self) {
        let add = Operation::FetchAdd { at: self.bystanders_key.slice(0, 8), add: 0 };
        let op = self.bystander.done_count(self.owner.id) as u64;
        let found = self.lab.run(&self.bystander, self.owner.id, op, &add);
        assert_eq!(found, Ok(u64::from_le_bytes([0xaa; 8])));
        self.lab.round_trip(&self.bystander, &self.owner);
        assert_eq!((self.bystander.downs(self.owner.id), self.owner.downs(self.bystander.id)), (0, 0));
    }

    fn read(&self, from: RemoteSlice) {
        self.denied(&Operation::Read {
            from,
            into: region(2 * PAGE).slice(0, from.bytes).expect("in range"),
        });
    }

    fn write(&self, into: RemoteSlice) {
        self.denied(&Operation::Write { from: &[filled(&vec![0x55; into.bytes])], into });
    }
}

const ATOMIC: Rights = Rights { read: false, write: false, atomic: true };

pub(super) fn a_read_without_the_right_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::WRITE);
    scene.read(scene.key.slice(0, 64));
}

pub(super) fn a_write_without_the_right_is_denied(lab: &Lab<'_>) {
    for rights in [Rights::READ, ATOMIC] {
        let scene = Scene::new(lab, rights);
        scene.write(scene.key.slice(0, 64));
    }
}

pub(super) fn a_placed_page_without_the_right_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::READ);
    let from = [filled(&[0x55; PAGE_BYTES])];
    scene.denied(&Operation::Place {
        head: b"never told",
        from: &from,
        into: scene.key.slice(0, PAGE_BYTES),
    });
}

pub(super) fn an_atomic_without_the_right_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights { read: true, write: true, atomic: false });
    scene.denied(&Operation::FetchAdd { at: scene.key.slice(0, 8), add: 1 });
    let scene = Scene::new(lab, Rights { read: true, write: true, atomic: false });
    let expected = u64::from_le_bytes([0xaa; 8]);
    scene.denied(&Operation::CompareAndSwap { at: scene.key.slice(0, 8), expected, new: 0 });
}

pub(super) fn a_read_beyond_the_end_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    scene.read(scene.key.slice(PAGE, 1));
}

pub(super) fn a_write_across_the_end_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    scene.write(scene.key.slice(PAGE - 1, 2));
}

/// An offset that wraps around to just before the grant.
pub(super) fn a_write_before_the_beginning_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    scene.write(scene.key.slice(1u64.wrapping_neg(), 1));
}

pub(super) fn a_forged_key_reaches_no_more_than_the_grant(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    let moved = RemoteKey { base: scene.key.base.wrapping_sub(PAGE), bytes: 3 * PAGE, ..scene.key };
    scene.read(moved.slice(0, PAGE_BYTES));
    let scene = Scene::new(lab, Rights::ALL);
    let longer = RemoteKey { bytes: 2 * PAGE, ..scene.key };
    scene.write(longer.slice(0, 2 * PAGE_BYTES));
}

pub(super) fn an_unknown_key_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    let unknown = RemoteKey { key: scene.key.key ^ 0x5a5a, ..scene.key };
    scene.read(unknown.slice(0, 8));
}

pub(super) fn an_expired_grant_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::READ);
    let until = scene.owner.fabric.now() + std::time::Duration::from_millis(50);
    let page = scene.memory.slice(PAGE, PAGE_BYTES).expect("in range");
    let key = scene.owner.fabric.grant(scene.offender.id, &page, Rights::ALL, until).expect("grant");
    lab.wait("the grant to expire", || scene.owner.fabric.now() > until);
    // A backend may find out with its next tick.
    let ticks = scene.owner.seen.ticks() + 2;
    lab.wait("two ticks", || scene.owner.seen.ticks() >= ticks);
    scene.write(key.slice(0, 8));
}

pub(super) fn a_revoked_grant_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    let add = Operation::FetchAdd { at: scene.key.slice(0, 8), add: 0 };
    assert!(lab.run(&scene.offender, scene.owner.id, 9, &add).is_ok());
    scene.owner.fabric.revoke(scene.offender.id, &scene.key);
    scene.write(scene.key.slice(0, 8));
}

pub(super) fn a_forgotten_region_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    let other = region(PAGE);
    other.whole().write_from(&[0xaa; PAGE_BYTES]).expect("in range");
    let key = scene
        .owner
        .fabric
        .grant(scene.offender.id, &other.whole(), Rights::ALL, scene.owner.later())
        .expect("grant");
    scene.owner.fabric.forget(other.id());
    scene.write(key.slice(0, PAGE_BYTES));
    assert_eq!(other.whole().to_vec(), [0xaa; PAGE_BYTES]);
}

pub(super) fn the_key_of_another_peer_is_denied(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    scene.write(scene.bystanders_key.slice(0, 8));
}

pub(super) fn a_grant_ends_with_the_connection(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::ALL);
    scene.offender.fabric.disconnect(scene.owner.id);
    lab.wait_down(&scene.owner, scene.offender.id);
    lab.wait_down(&scene.offender, scene.owner.id);
    lab.join(&scene.offender, &scene.owner);
    lab.post(&scene.offender, scene.owner.id, 1, &Operation::FetchAdd { at: scene.key.slice(0, 8), add: 1 });
    assert_eq!(lab.result(&scene.offender, scene.owner.id, 1), Err(OpError::Denied));
    assert!(scene.memory.whole().to_vec().iter().all(|byte| *byte == 0xaa));
    scene.bystander_is_well();
}

pub(super) fn nothing_is_granted_to_a_peer_that_is_not_up(lab: &Lab<'_>) {
    let (a, b) = (lab.node(), lab.node());
    let refused = a.fabric.grant(b.id, &region(PAGE).whole(), Rights::ALL, a.later());
    assert!(matches!(refused, Err(FabricError::NotConnected(peer)) if peer == b.id), "{refused:?}");
}

pub(super) fn the_offender_may_come_back(lab: &Lab<'_>) {
    let scene = Scene::new(lab, Rights::READ);
    scene.write(scene.key.slice(0, 64));
    lab.join(&scene.offender, &scene.owner);
    let (_, key) = scene.owner.lend(scene.offender.id, 8, Rights::ALL);
    let add = Operation::FetchAdd { at: key.slice(0, 8), add: 1 };
    assert_eq!(lab.run(&scene.offender, scene.owner.id, 2, &add), Ok(0));
    scene.bystander_is_well();
}

pub(super) fn grants_are_bounded_and_a_revoked_one_makes_room(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let word = region(8).whole();
    let grant = || a.fabric.grant(b.id, &word, Rights::READ, a.later());
    let first = grant().expect("grant");
    for _ in 1..GRANTS_MAX {
        grant().expect("grant");
    }
    let refused = grant();
    assert!(matches!(refused, Err(FabricError::Grants { max: GRANTS_MAX })), "{refused:?}");
    a.fabric.revoke(b.id, &first);
    let last = grant().expect("room for one");
    let read = Operation::Read { from: last.slice(0, 8), into: region(8).whole() };
    assert_eq!(lab.run(&b, a.id, 1, &read), Ok(0));
}

pub(super) fn memory_is_registered_and_forgotten_any_number_of_times(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (lent, local) = (region(PAGE), region(PAGE));
    for op in 0..20 {
        b.fabric.register(&lent).expect("register");
        a.fabric.register(&local).expect("register");
        a.fabric.register(&local).expect("register again");
        let key = b.fabric.grant(a.id, &lent.whole(), Rights::ALL, b.later()).expect("grant");
        let bytes = pattern(op, PAGE_BYTES);
        local.whole().write_from(&bytes).expect("in range");
        let write = Operation::Write { from: &[local.whole()], into: key.slice(0, PAGE_BYTES) };
        assert_eq!(lab.run(&a, b.id, op, &write), Ok(0));
        assert!(lent.whole().to_vec() == bytes);
        a.fabric.forget(local.id());
        b.fabric.forget(lent.id());
        lent.punch(0, PAGE).expect("punch");
        assert!(lent.whole().to_vec() == [0; PAGE_BYTES]);
    }
    assert_eq!((a.downs(b.id), b.downs(a.id)), (0, 0));
}
