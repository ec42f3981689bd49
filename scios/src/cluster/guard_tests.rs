//! Consensus messages that no correct member sends: random changes to those of a running cluster. None may break the
//! library.

use std::collections::{BTreeMap, VecDeque};

use raft::eraftpb::{ConfState, Message, MessageType, Snapshot};

use super::check_conf;
use crate::NodeId;
use crate::cluster::changes::Change;
use crate::cluster::consensus::{Consensus, mix};

const NODES: u64 = 3;

fn id(raw: u64) -> NodeId {
    NodeId::new(raw).unwrap()
}

/// Three nodes of the consensus alone, on a wire that forges.
struct Trio {
    nodes: BTreeMap<u64, Consensus>,
    wire: VecDeque<Message>,
    chance: u64,
}

impl Trio {
    fn new(seed: u64) -> Self {
        let mut nodes = BTreeMap::from([(1, Consensus::found(id(1), seed, vec![1]).unwrap())]);
        nodes.insert(2, Consensus::join(id(2), seed).unwrap());
        nodes.insert(3, Consensus::join(id(3), seed).unwrap());
        let mut trio = Self { nodes, wire: VecDeque::new(), chance: seed };
        trio.pump();
        for change in [Change::Vote(id(2)), Change::Learn(id(3))] {
            trio.nodes.get_mut(&1).unwrap().propose_change(&[change]).unwrap();
            trio.settle();
            trio.nodes.get_mut(&1).unwrap().propose_change(&[]).unwrap();
            trio.settle();
        }
        trio
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance = mix(self.chance);
        self.chance % below
    }

    fn pump(&mut self) {
        for (raw, node) in &mut self.nodes {
            let wire = &mut self.wire;
            let send = |to: NodeId, mut m: Message| {
                (m.from, m.to) = (*raw, to.get());
                wire.push_back(m);
            };
            node.pump(|_| {}, send).unwrap();
            if node.snapshot_wanted().is_some() {
                node.keep_snapshot(vec![1], &Default::default()).unwrap();
            }
        }
    }

    fn deliver(&mut self, m: Message) {
        let Some(to) = self.nodes.get_mut(&m.to) else { return };
        let what = format!("{m:?}");
        if let Err(broken) = to.step(m).map(|_| ()) {
            panic!("{broken}: {what}");
        }
        self.pump();
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            while let Some(m) = self.wire.pop_front() {
                self.deliver(m);
            }
            self.nodes.get_mut(&1).unwrap().tick(false).unwrap();
            self.pump();
        }
    }

    /// Changes one thing about a message.
    fn forge(&mut self, m: &Message) -> Message {
        let mut m = m.clone();
        let number = match self.draw(5) {
            0 => 0,
            1 => u64::MAX - self.draw(3),
            2 => self.draw(20),
            3 => m.index.wrapping_add(self.draw(5)).wrapping_sub(2),
            _ => 1 << self.draw(63),
        };
        match self.draw(14) {
            0 => m.term = number,
            1 => m.log_term = number,
            2 => m.index = number,
            3 => m.commit = number,
            4 => m.commit_term = number,
            5 => m.reject_hint = number,
            6 => m.reject = !m.reject,
            7 => (m.from, m.to) = (m.to, m.from),
            8 => m.from = 1 + self.draw(NODES + 1),
            9 => m.to = 1 + self.draw(NODES),
            10 => m.context = b"CampaignTransfer".to_vec().into(),
            11 => {
                for entry in m.entries.iter_mut() {
                    entry.index = number;
                }
            }
            12 => {
                for entry in m.entries.iter_mut() {
                    entry.term = number;
                }
            }
            _ => {
                let kinds = [
                    MessageType::MsgAppend,
                    MessageType::MsgAppendResponse,
                    MessageType::MsgSnapshot,
                    MessageType::MsgHeartbeat,
                    MessageType::MsgHeartbeatResponse,
                    MessageType::MsgRequestVote,
                    MessageType::MsgRequestPreVoteResponse,
                    MessageType::MsgTimeoutNow,
                    MessageType::MsgReadIndex,
                    MessageType::MsgPropose,
                ];
                m.set_msg_type(kinds[self.draw(kinds.len() as u64) as usize]);
            }
        }
        m
    }
}

#[test]
fn forged_messages_never_break_the_consensus() {
    for seed in 1..=60 {
        let mut trio = Trio::new(seed);
        for round in 0..120 {
            if round % 10 == 0 {
                trio.nodes.get_mut(&1).unwrap().propose(vec![round as u8]).unwrap();
            }
            for node in trio.nodes.values_mut() {
                node.tick(false).unwrap();
            }
            trio.pump();
            let Some(m) = trio.wire.pop_front() else { continue };
            // A forgery that is believed may mislead the nodes; what they do then is contained. Here one message at a
            // time is forged, to the receiver as it is, and the true one follows.
            let forged = trio.forge(&m);
            if forged.term == m.term && trio.draw(2) == 0 {
                trio.deliver(forged);
            } else {
                trio.deliver(forged);
                trio = Trio { chance: trio.chance, ..Trio::new(seed + round) };
                continue;
            }
            trio.deliver(m);
        }
    }
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let conf = |voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64]| ConfState {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        voters_outgoing: outgoing.to_vec(),
        learners_next: next.to_vec(),
        ..ConfState::default()
    };
    assert!(check_conf(1, &conf(&[1, 2], &[3], &[], &[])).is_ok());
    assert!(check_conf(4, &conf(&[1, 2], &[3], &[1, 4], &[4])).is_ok());
    for wrong in [
        conf(&[], &[1], &[], &[]),
        conf(&[1, 1], &[], &[], &[]),
        conf(&[1, 0], &[], &[], &[]),
        conf(&[1, 2], &[2], &[], &[]),
        conf(&[1, 2], &[3], &[3], &[]),
        conf(&[1, 2], &[], &[], &[3]),
        conf(&[1, 2], &[], &[1], &[1]),
        conf(&[2, 3], &[], &[], &[]),
        ConfState { auto_leave: true, ..conf(&[1, 2], &[], &[], &[]) },
    ] {
        assert!(check_conf(1, &wrong).is_err(), "{wrong:?}");
    }
    assert!(Snapshot::default().is_empty());
}
