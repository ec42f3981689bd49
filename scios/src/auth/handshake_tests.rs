use super::*;
use crate::NodeId;
use crate::auth::Secret;

fn node(id: u64, secret: Option<&str>) -> Arc<Local> {
    versioned(id, secret, 1)
}

fn versioned(id: u64, secret: Option<&str>, version: u16) -> Arc<Local> {
    let secret = secret.map(|s| Secret::from_bytes(s.as_bytes()));
    Arc::new(Local::new(NodeId::new(id).unwrap(), format!("node{id}:1"), version, secret.as_ref()))
}

/// Gives `bytes` to `to`, all in one piece; the last progress.
fn give(to: &mut Handshake, bytes: &[u8]) -> Result<Progress, HandshakeError> {
    to.receive(bytes).map(|(taken, progress)| {
        assert_eq!(taken, bytes.len());
        progress
    })
}

/// Runs a whole handshake; both ends' results.
fn run(
    a: &Arc<Local>,
    b: &Arc<Local>,
) -> (Result<Progress, HandshakeError>, Result<Progress, HandshakeError>) {
    let mut initiator = Handshake::initiator(a).unwrap();
    let mut responder = Handshake::responder(b);
    let there = give(&mut responder, &initiator.take_output());
    let answer = responder.take_output();
    if answer.is_empty() {
        return (Ok(Progress::Waiting), there);
    }
    let here = give(&mut initiator, &answer);
    if here != Ok(Progress::Identified) {
        return (here, there);
    }
    initiator.confirm(false).unwrap();
    let there = give(&mut responder, &initiator.take_output());
    assert_eq!(there, Ok(Progress::Confirmed { connected: false }));
    responder.verdict(true).unwrap();
    let here = give(&mut initiator, &responder.take_output());
    exchange_one_record(initiator.finish().unwrap(), responder.finish().unwrap());
    (here, there)
}

fn exchange_one_record(a: Established, b: Established) {
    assert_eq!(a.records.is_some(), b.records.is_some());
    if let (Some((mut sealer, _)), Some((_, mut opener))) = (a.records, b.records) {
        let mut sealed = Vec::new();
        sealer.seal(b"frames", &mut sealed).unwrap();
        assert_eq!(Opener::record_bytes(&sealed), Ok(Some(sealed.len())));
        let mut plain = [0; 64];
        assert_eq!(opener.open(&sealed, &mut plain), Ok(6));
        assert_eq!(&plain[..6], b"frames");
        assert!(opener.open(&sealed, &mut plain).is_err(), "a repeated record must not open");
    }
}

const SECRET: Option<&str> = Some("0123456789abcdef");
const OTHER: Option<&str> = Some("fedcba9876543210");

#[test]
fn nodes_that_share_a_secret_or_have_none_come_together() {
    assert_eq!(run(&node(1, SECRET), &node(2, SECRET)).0, Ok(Progress::Accepted));
    assert_eq!(run(&node(1, None), &node(2, None)).0, Ok(Progress::Accepted));
}

#[test]
fn each_mismatch_of_secrets_has_its_own_name_on_both_sides() {
    let wrong = Err(HandshakeError::WrongSecret);
    assert_eq!(run(&node(1, SECRET), &node(2, OTHER)), (wrong.clone(), wrong));
    let (here, there) = run(&node(1, None), &node(2, SECRET));
    assert_eq!(here, Err(HandshakeError::SecretRequired));
    assert_eq!(there, Err(HandshakeError::SecretUnexpected));
    let (here, there) = run(&node(1, SECRET), &node(2, None));
    assert_eq!(here, Err(HandshakeError::SecretUnexpected));
    assert_eq!(there, Err(HandshakeError::SecretRequired));
}

#[test]
fn both_sides_learn_both_versions() {
    for secret in [None, SECRET] {
        let (here, there) = run(&versioned(1, secret, 1), &versioned(2, secret, 7));
        assert_eq!(here, Err(HandshakeError::Version { ours: 1, theirs: 7 }));
        assert_eq!(there, Err(HandshakeError::Version { ours: 7, theirs: 1 }));
    }
}

#[test]
fn a_node_recognizes_itself() {
    assert_eq!(run(&node(1, SECRET), &node(1, SECRET)).0, Err(HandshakeError::Itself));
}

#[test]
fn an_echo_is_not_a_node() {
    for secret in [None, SECRET] {
        let mut initiator = Handshake::initiator(&node(1, secret)).unwrap();
        let hello = initiator.take_output();
        assert!(matches!(initiator.receive(&hello), Err(HandshakeError::NotSciFs(_))));
    }
}

#[test]
fn a_replayed_handshake_ends_before_anybody_is_up() {
    let (a, b) = (node(1, SECRET), node(2, SECRET));
    let mut initiator = Handshake::initiator(&a).unwrap();
    let mut responder = Handshake::responder(&b);
    let hello = initiator.take_output();
    give(&mut responder, &hello).unwrap();
    give(&mut initiator, &responder.take_output()).unwrap();
    initiator.confirm(false).unwrap();
    let confirm = initiator.take_output();
    // Everything that the initiator said, word for word, to the same node again.
    let mut again = Handshake::responder(&b);
    assert_eq!(give(&mut again, &hello), Ok(Progress::Answered));
    assert_eq!(give(&mut again, &confirm), Err(HandshakeError::Unconfirmed));
    assert!(again.finish().is_err());
}

#[test]
fn messages_out_of_turn_are_refused() {
    let (a, b) = (node(1, None), node(2, None));
    let hello = Handshake::initiator(&a).unwrap().take_output();
    let mut responder = Handshake::responder(&b);
    give(&mut responder, &hello).unwrap();
    assert_eq!(give(&mut responder, &hello), Err(HandshakeError::OutOfTurn("hello")));
    assert_eq!(give(&mut responder, &hello), Err(HandshakeError::OutOfTurn("hello")), "and stay refused");
    let mut fresh = Handshake::responder(&b);
    assert!(fresh.verdict(true).is_err());
    assert!(fresh.confirm(true).is_err());
}

#[test]
fn byte_by_byte_is_as_good_as_at_once_and_what_follows_is_left_alone() {
    let (a, b) = (node(1, SECRET), node(2, SECRET));
    let mut initiator = Handshake::initiator(&a).unwrap();
    let mut responder = Handshake::responder(&b);
    let mut progress = Progress::Waiting;
    for byte in initiator.take_output() {
        assert_eq!(progress, Progress::Waiting);
        progress = give(&mut responder, &[byte]).unwrap();
    }
    assert_eq!(progress, Progress::Answered);
    let mut answer = responder.take_output();
    let whole = answer.len();
    answer.extend_from_slice(b"frames");
    assert_eq!(initiator.receive(&answer[..10]), Ok((10, Progress::Waiting)));
    assert_eq!(initiator.receive(&answer[10..]), Ok((whole - 10, Progress::Identified)));
}

#[test]
fn a_changed_byte_anywhere_in_a_noise_message_is_noticed() {
    let (a, b) = (node(1, SECRET), node(2, SECRET));
    let hello = Handshake::initiator(&a).unwrap().take_output();
    for at in 0..hello.len() {
        let mut changed = hello.clone();
        changed[at] ^= 1;
        let outcome = Handshake::responder(&b).receive(&changed);
        assert!(!matches!(outcome, Ok((_, Progress::Answered))), "byte {at} changed: {outcome:?}");
    }
}

#[test]
fn the_plain_handshake_has_exactly_the_bytes_of_the_document() {
    let (a, b) = (node(1, None), node(2, None));
    let mut initiator = Handshake::initiator(&a).unwrap();
    let mut responder = Handshake::responder(&b);
    let hello = initiator.take_output();
    assert_eq!(hello, b"ScFS\x01\x01\x11\0\x01\0\x01\0\0\0\0\0\0\0node1:1");
    give(&mut responder, &hello).unwrap();
    let answer = responder.take_output();
    assert_eq!(answer, b"ScFS\x01\x02\x11\0\x01\0\x02\0\0\0\0\0\0\0node2:1");
    give(&mut initiator, &answer).unwrap();
    initiator.confirm(true).unwrap();
    let confirm = initiator.take_output();
    assert_eq!(confirm, b"ScFS\x01\x03\x01\0\x01");
    assert_eq!(give(&mut responder, &confirm), Ok(Progress::Confirmed { connected: true }));
    responder.verdict(false).unwrap();
    let verdict = responder.take_output();
    assert_eq!(verdict, b"ScFS\x01\x04\x01\0\0");
    assert_eq!(give(&mut initiator, &verdict), Ok(Progress::Duplicate));
}
