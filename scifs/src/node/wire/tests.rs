use scios::rpc::codec::{decode, decode_with_body};

use super::*;

const PAGE: PageId = PageId { segment: SegmentId(0x0102), index: 0x0a0b };

fn message(body: Body) -> Message {
    Message { epoch: Epoch(3), page: PAGE, run: 2, body }
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer);
    writer.finish().unwrap().to_vec()
}

/// What every message begins with.
const HEAD: [u8; 22] = [3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0x0b, 0x0a, 0, 0, 2, 0];

fn all() -> Vec<(Body, Vec<u8>)> {
    let order = Order { task: Task::Cede, to: MemberNo(5), acks: 6, version: 7 };
    let grant =
        Grant { mode: Mode::Write, data: Data::Carried, acks: 1, version: 2, confirm: Confirm::Giver };
    let extent = ExtentId { segment: SegmentId(8), index: 9 };
    let report = Report {
        extents: vec![ExtentReport { extent, home: MemberNo(4), lost: true }],
        pages: vec![PageReport { page: PAGE, held: HeldAs::Ceded { taker_lives: true }, version: 1 }],
        last: true,
    };
    let farewell = Report { pages: Vec::new(), ..report.clone() };
    let farewell_bytes =
        vec![15, 1, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0];
    let mut report_bytes = vec![12, 1, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1];
    report_bytes.extend([1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0x0b, 0x0a, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0]);
    vec![
        (Body::Where, vec![0]),
        (Body::Here { home: MemberNo(258) }, vec![1, 2, 1, 0, 0]),
        (Body::Note { home: MemberNo(1) }, vec![2, 1, 0, 0, 0]),
        (Body::Noted, vec![3]),
        (Body::Get { mode: Mode::Write, fresh: true }, vec![4, 1, 1]),
        (Body::Order(order), vec![5, 1, 5, 0, 0, 0, 6, 0, 7, 0, 0, 0, 0, 0, 0, 0]),
        (Body::Grant(grant), vec![6, 1, 2, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]),
        (Body::Refuse, vec![7]),
        (Body::Ack, vec![8]),
        (Body::Got, vec![9]),
        (Body::Done, vec![10]),
        (Body::Put, vec![11]),
        (Body::Report(report), report_bytes),
        (Body::Settle { keep: true }, vec![13, 1]),
        (Body::Take, vec![14]),
        (Body::Farewell(farewell), farewell_bytes),
        (Body::Heard, vec![16]),
    ]
}

#[test]
fn every_message_has_the_bytes_that_are_written_down_and_comes_back() {
    for (body, expected) in all() {
        let message = message(body);
        let bytes = bytes(&message);
        assert_eq!(bytes, [&HEAD[..], &expected].concat(), "{message:?}");
        assert_eq!(decode::<Message>(&bytes), Ok(message));
    }
}

#[test]
fn exactly_the_bytes_of_the_pages_follow_a_message_that_carries_them() {
    for (body, _) in all() {
        let message = message(body);
        let carries = matches!(message.body, Body::Grant(_));
        let fits: Vec<usize> = (0..=3)
            .flat_map(|pages| [pages * PAGE_BYTES, pages * PAGE_BYTES + 1])
            .filter(|bytes| check_body(&message, &vec![0; *bytes]).is_ok())
            .collect();
        assert_eq!(fits, [if carries { 2 * PAGE_BYTES } else { 0 }], "{message:?}");
    }
}

#[test]
fn a_report_as_long_as_may_be_fits_into_one_message_and_a_longer_one_is_refused() {
    let item = PageReport { page: PAGE, held: HeldAs::Shared, version: 1 };
    let report = |items| Report { pages: vec![item; items], ..Report::default() };
    let longest = message(Body::Report(report(REPORT_ITEMS_MAX)));
    assert!(bytes(&longest).len() < scios::limits::MESSAGE_BYTES_MAX);
    assert_eq!(decode::<Message>(&bytes(&longest)), Ok(longest));
    let mut writer = Writer::new();
    message(Body::Report(report(REPORT_ITEMS_MAX + 1))).encode(&mut writer);
    assert!(writer.finish().is_err());
}

#[test]
fn runs_that_are_empty_or_too_long_are_refused() {
    for run in [0, RUN_PAGES_MAX + 1, u16::MAX] {
        let bytes = bytes(&Message { run, ..message(Body::Ack) });
        assert!(matches!(decode::<Message>(&bytes), Err(DecodeError::Invalid { what: "run of pages", .. })));
    }
}

#[test]
fn mutated_and_cut_bytes_never_panic_and_decode_to_something_that_encodes_again() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    for (body, _) in all() {
        let original = bytes(&message(body));
        for _ in 0..2_000 {
            let mut mutated = original.clone();
            for _ in 0..=random(3) {
                let at = random(mutated.len());
                mutated[at] = random(256) as u8;
            }
            mutated.truncate(mutated.len() - random(2) * random(original.len()));
            if let Ok((decoded, body)) = decode_with_body::<Message>(&mutated) {
                let again = [&bytes(&decoded)[..], body].concat();
                assert_eq!(again, mutated);
            }
        }
    }
}
