//! Protocols that are nearly `strict`.

use scifs::coherence::{Ask, Holders, Loses, MapperId, MemberNo, Mode, Plan, Protocol, Strict, Task};

/// The kernel's page cache and processes of one node write side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideBySide;

/// A page is lent while processes go on writing to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LendWithoutAsking;

impl Protocol for SideBySide {
    fn plan(&self, holders: &Holders, home: MemberNo, ask: Ask) -> Plan {
        Strict.plan(holders, home, ask)
    }

    fn order_takes(&self, held: Mode, task: Task) -> Loses {
        Strict.order_takes(held, task)
    }

    fn neighbour_takes(&self, _: (MapperId, Mode), _: (MapperId, Mode)) -> Loses {
        Loses::Nothing
    }
}

impl Protocol for LendWithoutAsking {
    fn plan(&self, holders: &Holders, home: MemberNo, ask: Ask) -> Plan {
        Strict.plan(holders, home, ask)
    }

    fn order_takes(&self, held: Mode, task: Task) -> Loses {
        if task == Task::Lend { Loses::Nothing } else { Strict.order_takes(held, task) }
    }

    fn neighbour_takes(&self, holder: (MapperId, Mode), wanted: (MapperId, Mode)) -> Loses {
        Strict.neighbour_takes(holder, wanted)
    }
}
