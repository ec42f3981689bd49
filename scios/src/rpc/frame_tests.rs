//! The bytes of `WIRE.md`, and frames that must not be understood.

use super::*;

const REQUEST: Header = Header {
    frame_type: FrameType::Request,
    flags: Flags(Flags::FENCED),
    kind: 0x0102,
    deadline_us: 0x0304_0506,
    id: 0x0708_090a_0b0c_0d0e,
    epoch: Epoch(0x0f10_1112_1314_1516),
};

#[test]
fn a_header_has_the_bytes_of_wire_md() {
    let golden = [
        1, 4, 0x02, 0x01, 0x06, 0x05, 0x04, 0x03, // type, flags, kind, deadline
        0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x07, // id
        0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x10, 0x0f, // epoch
    ];
    assert_eq!(REQUEST.to_bytes(), golden);
    assert_eq!(Header::split(&golden), Ok((REQUEST, &[][..])));
}

#[test]
fn every_type_has_the_number_of_wire_md() {
    use FrameType::*;
    assert_eq!([Request, OneWay, Reply, Error, Cancel].map(|t| t as u8), [1, 2, 3, 4, 5]);
    for (value, ok) in [(0, false), (1, true), (5, true), (6, false), (255, false)] {
        assert_eq!(FrameType::from_wire(value).is_some(), ok);
    }
}

#[test]
fn an_error_has_the_bytes_of_wire_md() {
    let payload = ErrorCode::Failed.to_payload("no");
    assert_eq!(payload, [6, 2, 0, 0, 0, b'n', b'o']);
    assert_eq!(ErrorCode::from_payload(&payload), Ok((ErrorCode::Failed, "no")));
    for value in 1..=7 {
        let code = ErrorCode::from_wire(value).unwrap();
        assert_eq!(code as u8, value);
    }
    assert!(ErrorCode::from_payload(&[0, 0, 0, 0, 0]).is_err());
    assert!(ErrorCode::from_payload(&[8, 0, 0, 0, 0]).is_err());
    assert!(ErrorCode::from_payload(&[6, 0, 0, 0, 0, 1]).is_err());
}

#[test]
fn a_long_error_text_is_cut_between_characters() {
    let payload = ErrorCode::Failed.to_payload(&"ü".repeat(RPC_ERROR_TEXT_BYTES_MAX));
    let (_, text) = ErrorCode::from_payload(&payload).unwrap();
    assert_eq!(text.len(), RPC_ERROR_TEXT_BYTES_MAX);
    let payload = ErrorCode::Failed.to_payload(&format!("x{}", "ü".repeat(RPC_ERROR_TEXT_BYTES_MAX)));
    let (_, text) = ErrorCode::from_payload(&payload).unwrap();
    assert_eq!(text.len(), RPC_ERROR_TEXT_BYTES_MAX - 1);
}

#[test]
fn flags_and_deadlines_that_dont_go_with_the_type_are_refused() {
    let refused = |header: Header| Header::split(&header.to_bytes()).unwrap_err();
    let no_deadline = Header { deadline_us: 0, ..REQUEST };
    assert!(matches!(refused(no_deadline), Violation::Deadline { .. }));
    let too_late = Header { deadline_us: u32::MAX, ..REQUEST };
    assert!(matches!(refused(too_late), Violation::Deadline { .. }));
    let one_way = Header { frame_type: FrameType::OneWay, ..REQUEST };
    assert!(matches!(refused(one_way), Violation::Deadline { .. }));
    let error = Header { frame_type: FrameType::Error, deadline_us: 0, ..REQUEST };
    assert!(matches!(refused(error), Violation::Flags { .. }));
    let unknown = Header { flags: Flags(0x10), ..REQUEST };
    assert!(matches!(refused(unknown), Violation::Flags { .. }));
}

#[test]
fn a_short_frame_is_refused() {
    for length in 0..HEADER_BYTES {
        assert!(Header::split(&REQUEST.to_bytes()[..length]).is_err());
    }
}
