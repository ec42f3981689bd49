//! What things cost in messages and memory, and that a peer's nonsense costs nothing but its connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use scifs::coherence::{
    Body, Config, Confirm, Data, Effect, Effects, Engine, Epoch, Fault, FirstTouch, Grant, Input, MapperId,
    Member, MemberNo, Message, Mode, Order, PageId, SegmentId, Strict, Task, Token, View,
};
use scios::Nanos;

const PROCESS: MapperId = MapperId(1);

/// Engines that hear each other at once; surfaces let go at once, of runs of pages together.
struct Net {
    engines: Vec<Engine>,
    messages: Vec<(MemberNo, MemberNo, Message)>,
    installed: Vec<(usize, PageId)>,
}

fn page(index: u32) -> PageId {
    PageId { segment: SegmentId(7), index }
}

impl Net {
    fn new(nodes: u32) -> Self {
        let members = (0..nodes).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
        let view = View { epoch: Epoch(1), members, handed_over: None };
        let config = Arc::new(Config {
            hold_min: Duration::ZERO,
            placement: Arc::new(FirstTouch),
            protocol: Arc::new(Strict),
            mutation: None,
        });
        let engine = |no| Engine::new(MemberNo(no), Arc::clone(&config), view.clone()).0;
        Self { engines: (0..nodes).map(engine).collect(), messages: Vec::new(), installed: Vec::new() }
    }

    fn fault(&mut self, node: usize, page: PageId, mode: Mode, run: u16) {
        let fault = Fault { page, mapper: PROCESS, mode, fresh: false, run, token: Token(0) };
        self.feed(node, Input::Fault(fault));
    }

    /// Until nothing is under way.
    fn feed(&mut self, node: usize, input: Input) {
        let mut todo = VecDeque::from([(node, input)]);
        while let Some((node, input)) = todo.pop_front() {
            let effects: Effects = self.engines[node].handle(Nanos::ZERO, input);
            let mut released: Vec<(PageId, u16, MapperId, Option<Mode>)> = Vec::new();
            let mut release = |page: PageId, mapper: MapperId, left: Option<Mode>| match released.last_mut() {
                Some((first, run, m, l))
                    if (*m, *l) == (mapper, left) && first.ahead(u32::from(*run)) == Some(page) =>
                {
                    *run += 1;
                }
                _ => released.push((page, 1, mapper, left)),
            };
            for effect in effects {
                match effect {
                    Effect::Send { to, message } => {
                        let from = MemberNo(node as u32);
                        self.messages.push((from, to, message.clone()));
                        todo.push_back((to.0 as usize, Input::Message { from, message }));
                    }
                    Effect::Revoke { page, mapper } => release(page, mapper, None),
                    Effect::Downgrade { page, mapper } => release(page, mapper, Some(Mode::Read)),
                    Effect::Install { page, .. } => self.installed.push((node, page)),
                    Effect::Distrust { why, .. } => panic!("{why}"),
                    _ => {}
                }
            }
            let released = released.into_iter();
            todo.extend(
                released.map(|(page, run, mapper, left)| (node, Input::Released { page, run, mapper, left })),
            );
        }
    }

    fn count(&mut self) -> usize {
        std::mem::take(&mut self.messages).len()
    }
}

#[test]
fn private_data_cost_no_messages_once_the_extent_is_known() {
    let mut net = Net::new(3);
    net.fault(1, page(0), Mode::Write, 1);
    net.count();
    for index in 0..512 {
        net.fault(1, page(index), Mode::Read, 1);
        net.fault(1, page(index), Mode::Write, 1);
    }
    assert_eq!(net.count(), 0);
}

#[test]
fn a_fault_waits_for_three_messages_at_most() {
    let mut net = Net::new(3);
    net.fault(0, page(0), Mode::Write, 1);
    for node in [1, 2] {
        net.fault(node, page(1), Mode::Read, 1);
    }
    net.fault(1, page(0), Mode::Write, 1);
    net.count();
    // Home 0, owner 1, asker 2: get, order, grant; then the confirmations.
    net.fault(2, page(0), Mode::Write, 1);
    let bodies: Vec<_> = std::mem::take(&mut net.messages).into_iter().map(|(.., m)| m.body).collect();
    assert!(
        matches!(
            bodies[..],
            [
                Body::Get { .. },
                Body::Order(Order { task: Task::Cede, .. }),
                Body::Grant(_),
                Body::Got,
                Body::Done
            ]
        ),
        "{bodies:?}"
    );
}

#[test]
fn a_run_of_pages_is_one_message_each_way() {
    let mut net = Net::new(2);
    for index in 0..64 {
        net.fault(0, page(index), Mode::Write, 1);
    }
    net.fault(1, page(100), Mode::Read, 1);
    net.count();
    net.installed.clear();
    net.fault(1, page(0), Mode::Read, 16);
    assert_eq!(net.count(), 2, "{:?}", net.messages);
    assert_eq!(net.installed.len(), 16);
}

#[test]
fn two_hundred_readers_are_remembered_and_invalidated() {
    let mut net = Net::new(200);
    net.fault(0, page(0), Mode::Write, 1);
    for node in 1..200 {
        net.fault(node, page(0), Mode::Read, 1);
    }
    net.count();
    net.fault(150, page(0), Mode::Write, 1);
    let acks = net.messages.iter().filter(|(_, to, m)| m.body == Body::Ack && *to == MemberNo(150)).count();
    assert_eq!(acks, 199);
    let holders = net.engines.iter().filter(|e| e.page(page(0)).is_some()).count();
    assert_eq!(holders, 1);
}

#[test]
fn nonsense_from_a_peer_changes_nothing_and_panics_nobody() {
    let mut net = Net::new(3);
    for node in 0..3 {
        net.fault(node, page(0), Mode::Write, 2);
        net.fault(node, page(600), Mode::Read, 2);
    }
    let mut number = 88_172_645_463_325_252_u64;
    let mut random = |below: u64| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number % below
    };
    let mut distrusted = 0;
    for _ in 0..200_000 {
        let mode = if random(2) == 0 { Mode::Read } else { Mode::Write };
        let task = [Task::Lend, Task::Cede, Task::Invalidate, Task::Expel][random(4) as usize];
        let data = [Data::Kept, Data::Zero, Data::Carried][random(3) as usize];
        let confirm = [Confirm::Nobody, Confirm::Giver, Confirm::Home][random(3) as usize];
        let to = MemberNo(random(70_000) as u32);
        let (acks, version) = (random(70_000) as u16, random(u64::MAX));
        let body = match random(14) {
            0 => Body::Where,
            1 => Body::Here { home: to },
            2 => Body::Note { home: to },
            3 => Body::Noted,
            4 => Body::Get { mode, fresh: random(2) == 0 },
            5 => Body::Order(Order { task, to, acks, version }),
            6 => Body::Grant(Grant { mode, data, acks, version, confirm }),
            7 => Body::Refuse,
            8 => Body::Ack,
            9 => Body::Got,
            10 => Body::Done,
            11 => Body::Put,
            12 => Body::Settle { keep: random(2) == 0 },
            _ => Body::Report(Default::default()),
        };
        let page =
            PageId { segment: SegmentId(7 + random(2)), index: [0, 1, 600, u32::MAX][random(4) as usize] };
        let message = Message { epoch: Epoch(random(3)), page, run: random(20) as u16, body };
        let from = MemberNo(random(4) as u32);
        let effects = net.engines[0].handle(Nanos::ZERO, Input::Message { from, message });
        distrusted += usize::from(effects.as_slice().iter().any(|e| matches!(e, Effect::Distrust { .. })));
    }
    assert!(distrusted > 50_000, "{distrusted}");
}
