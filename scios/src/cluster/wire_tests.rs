//! Golden bytes of `rpc/WIRE.md`, and bytes that nobody should have sent.

use super::*;
use crate::rpc::codec::decode;

fn id(raw: u64) -> NodeId {
    NodeId::new(raw).unwrap()
}

fn bytes(body: Talk) -> Vec<u8> {
    let mut to = Writer::new();
    ClusterMessage { cluster: 9, body }.encode(&mut to);
    to.finish().unwrap().to_vec()
}

fn raft_message() -> RaftMessage {
    let mut m = RaftMessage::default();
    m.set_msg_type(raft::eraftpb::MessageType::MsgAppend);
    (m.term, m.log_term, m.index, m.commit) = (3, 2, 7, 6);
    let mut entry = raft::eraftpb::Entry::default();
    (entry.term, entry.index) = (3, 8);
    entry.data = vec![0xaa, 0xbb].into();
    m.entries = vec![entry].into();
    m
}

/// One of each, with the bytes after the cluster's name.
fn examples() -> Vec<(Talk, Vec<u8>)> {
    let seen = Seen { term: 1, version: 2 };
    let announcement = Announcement { member: id(5), free: 6, load: 7 };
    let contact = Contact { id: id(5), address: "h:1".into() };
    vec![
        (
            Talk::Join { name: "a".into(), address: "h:1".into(), memory: 4 },
            [&[0, 1, 0, 0, 0, b'a', 3, 0, 0, 0], &b"h:1"[..], &4u64.to_le_bytes()].concat(),
        ),
        (Talk::Joined(JoinAnswer::Later(NotNow::Busy)), vec![1, 1, 2]),
        (Talk::Joined(JoinAnswer::OtherCluster), vec![1, 3]),
        (Talk::Propose { entry: vec![1, 2] }, vec![2, 2, 0, 0, 0, 1, 2]),
        (
            Talk::Renew { asked: Nanos(5), free: 6, load: 7, seen },
            [&[3][..], &words(&[5, 6]), &[7, 0, 0, 0], &words(&[1, 2])].concat(),
        ),
        (
            Talk::Granted { asked: Nanos(5), seen, announcements: vec![announcement] },
            [&[4][..], &words(&[5, 1, 2]), &[1, 0, 0, 0], &words(&[5, 6]), &[7, 0, 0, 0]].concat(),
        ),
        (
            Talk::NotLeader { leader: Some(contact) },
            [&[5, 1][..], &words(&[5]), &[3, 0, 0, 0], b"h:1"].concat(),
        ),
        (Talk::Expelled { epoch: Epoch(4) }, [&[6][..], &words(&[4])].concat()),
        (
            Talk::Raft(Box::new(raft_message())),
            [
                &[7, 0][..],
                &words(&[3, 2, 7, 6, 0]),
                &[0],
                &words(&[0]),
                &[0, 0, 0, 0, 1, 0, 0, 0, 0],
                &words(&[3, 8]),
                &[2, 0, 0, 0, 0xaa, 0xbb, 0, 0, 0, 0, 0],
            ]
            .concat(),
        ),
        (Talk::Confirm { term: 3, asked: Nanos(5) }, [&[8][..], &words(&[3, 5])].concat()),
        (Talk::Confirmed { term: 3, asked: Nanos(5) }, [&[9][..], &words(&[3, 5])].concat()),
        (Talk::Part { at: 3, bytes: vec![1] }, [&[10][..], &words(&[3]), &[1, 0, 0, 0, 1]].concat()),
        (Talk::Taken { bytes: 4 }, [&[11][..], &words(&[4])].concat()),
    ]
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

#[test]
fn every_message_has_the_bytes_that_are_written_down_and_comes_back_from_them() {
    for (body, golden) in examples() {
        let written = bytes(body.clone());
        assert_eq!(written[..8], 9u64.to_le_bytes());
        assert_eq!(written[8..], golden, "{body:?}");
        assert_eq!(decode::<ClusterMessage>(&written).unwrap().body, body);
    }
}

#[test]
fn a_message_that_was_cut_or_changed_is_refused_or_understood_and_never_a_panic() {
    for (body, _) in examples() {
        let good = bytes(body);
        for cut in 0..good.len() {
            assert!(decode::<ClusterMessage>(&good[..cut]).is_err());
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = decode::<ClusterMessage>(&bad);
            }
        }
    }
}
