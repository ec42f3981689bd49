//! `strict`: a page has one writer or many readers, and a writer waits for every acknowledgement. So all accesses of all
//! nodes to all pages have one order, the order in which they happen, and a read returns the write before it.
//!
//! ```text
//!                  Read by C           Write by C (all others of the set acknowledge to C)
//!  Untouched       Shared{C}, zeros    Exclusive(C), zeros
//!  Shared(set)     Shared(set+C), one  Exclusive(C): kept if C is in the set, else
//!                  of the set lends    one of the set cedes
//!  Exclusive(A)    Shared{A,C}, A      Exclusive(C), A cedes
//!                  lends
//!  Lost            refused             refused, unless all of it will be overwritten
//! ```

use super::copyset::CopySet;
use super::ids::{MapperId, MemberNo, Mode};
use super::message::Task;
use super::protocol::{Ask, Holders, Loses, Plan, Protocol, Source};

#[derive(Clone, Copy, Debug)]
pub struct Strict;

impl Protocol for Strict {
    fn plan(&self, holders: &Holders, home: MemberNo, ask: Ask) -> Plan {
        match ask.mode {
            Mode::Read => read(holders, home, ask.by),
            Mode::Write => write(holders, home, ask),
        }
    }

    fn order_takes(&self, held: Mode, task: Task) -> Loses {
        match (task, held) {
            (Task::Lend, Mode::Read) => Loses::Nothing,
            (Task::Lend, Mode::Write) => Loses::Writing,
            (Task::Cede | Task::Invalidate | Task::Expel, _) => Loses::All,
        }
    }

    /// Mappers of the frame itself are kept coherent by the machine. The kernel's page cache has bytes of its own: it
    /// reads beside readers, and writes alone.
    fn neighbour_takes(&self, holder: (MapperId, Mode), wanted: (MapperId, Mode)) -> Loses {
        if holder.0.copies() == wanted.0.copies() {
            return Loses::Nothing;
        }
        match (holder.1, wanted.1) {
            (Mode::Read, Mode::Read) => Loses::Nothing,
            (Mode::Write, Mode::Read) => Loses::Writing,
            (_, Mode::Write) => Loses::All,
        }
    }
}

fn read(holders: &Holders, home: MemberNo, by: MemberNo) -> Plan {
    let (source, after) = match holders {
        Holders::Lost => (Source::Nowhere, Holders::Lost),
        Holders::Untouched => (Source::Zero, Holders::Shared(CopySet::one(by))),
        held if held.contains(by) => (Source::Kept, held.clone()),
        Holders::Exclusive(owner) => {
            (Source::From(*owner), Holders::Shared([*owner, by].into_iter().collect()))
        }
        Holders::Shared(set) => {
            let mut after = set.clone();
            after.insert(by);
            (giver(set, home), Holders::Shared(after))
        }
    };
    Plan { source, invalidate: CopySet::default(), after }
}

fn write(holders: &Holders, home: MemberNo, ask: Ask) -> Plan {
    let source = match holders {
        Holders::Lost if !ask.fresh => {
            return Plan { source: Source::Nowhere, invalidate: CopySet::default(), after: Holders::Lost };
        }
        held if held.contains(ask.by) => Source::Kept,
        Holders::Lost | Holders::Untouched => Source::Zero,
        Holders::Exclusive(owner) => Source::From(*owner),
        Holders::Shared(set) => giver(set, home),
    };
    let mut invalidate = match holders {
        Holders::Shared(set) => set.clone(),
        Holders::Exclusive(owner) => CopySet::one(*owner),
        Holders::Untouched | Holders::Lost => CopySet::default(),
    };
    invalidate.remove(ask.by);
    if let Source::From(giver) = source {
        invalidate.remove(giver);
    }
    Plan { source, invalidate, after: Holders::Exclusive(ask.by) }
}

/// The home's own copy saves a hop; otherwise any will do.
fn giver(set: &CopySet, home: MemberNo) -> Source {
    let giver = if set.contains(home) { Some(home) } else { set.first() };
    giver.map_or(Source::Zero, Source::From)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: MemberNo = MemberNo(0);

    fn shared(members: &[u32]) -> Holders {
        Holders::Shared(members.iter().map(|m| MemberNo(*m)).collect())
    }

    fn ask(by: u32, mode: Mode) -> Ask {
        Ask { by: MemberNo(by), mode, fresh: false }
    }

    #[test]
    fn a_writer_makes_everybody_else_drop_its_copy() {
        let plan = Strict.plan(&shared(&[0, 1, 2, 3]), HOME, ask(2, Mode::Write));
        assert_eq!(plan.source, Source::Kept);
        assert_eq!(plan.invalidate, [0, 1, 3].map(MemberNo).into_iter().collect());
        assert_eq!(plan.after, Holders::Exclusive(MemberNo(2)));
        let plan = Strict.plan(&shared(&[1, 3]), HOME, ask(2, Mode::Write));
        assert_eq!(plan.source, Source::From(MemberNo(1)));
        assert_eq!(plan.invalidate, CopySet::one(MemberNo(3)));
    }

    #[test]
    fn a_reader_takes_nothing_from_readers_and_writing_from_the_writer() {
        let plan = Strict.plan(&Holders::Exclusive(MemberNo(1)), HOME, ask(2, Mode::Read));
        assert_eq!((plan.source, plan.after), (Source::From(MemberNo(1)), shared(&[1, 2])));
        assert_eq!(Strict.order_takes(Mode::Write, Task::Lend), Loses::Writing);
        assert_eq!(Strict.order_takes(Mode::Read, Task::Lend), Loses::Nothing);
    }

    #[test]
    fn a_lost_page_comes_back_only_by_being_overwritten() {
        for mode in [Mode::Read, Mode::Write] {
            assert_eq!(Strict.plan(&Holders::Lost, HOME, ask(1, mode)).source, Source::Nowhere);
        }
        let plan = Strict.plan(&Holders::Lost, HOME, Ask { fresh: true, ..ask(1, Mode::Write) });
        assert_eq!((plan.source, plan.after), (Source::Zero, Holders::Exclusive(MemberNo(1))));
    }

    #[test]
    fn the_page_cache_shares_reading_only() {
        let (file, process) = (MapperId::FILE, MapperId(7));
        let takes = |a, b| Strict.neighbour_takes(a, b);
        assert_eq!(takes((process, Mode::Write), (MapperId(8), Mode::Write)), Loses::Nothing);
        assert_eq!(takes((file, Mode::Read), (process, Mode::Read)), Loses::Nothing);
        assert_eq!(takes((file, Mode::Read), (process, Mode::Write)), Loses::All);
        assert_eq!(takes((process, Mode::Write), (file, Mode::Read)), Loses::Writing);
        assert_eq!(takes((file, Mode::Write), (MapperId::DIRECT, Mode::Read)), Loses::Writing);
    }
}
