use super::*;

const TARGET: Target = Target { key: 0x1122_3344_5566_7788, at: 0x0a0b };

fn every_header() -> Vec<(Header, &'static [u8])> {
    // The golden bytes of WIRE.md. A change here is a new PROTOCOL_VERSION.
    vec![
        (Header::Message { bytes: 0x0102 }, &[1, 0, 0, 0, 2, 1, 0, 0]),
        (Header::Ping, &[2, 0, 0, 0, 0, 0, 0, 0]),
        (Header::Bye(Bye::Closed), &[3, 0, 0, 0, 0, 0, 0, 0]),
        (Header::Bye(Bye::Denied), &[3, 1, 0, 0, 0, 0, 0, 0]),
        (Header::Bye(Bye::Protocol), &[3, 2, 0, 0, 0, 0, 0, 0]),
        (
            Header::Read { tag: 7, target: TARGET, bytes: 4096 },
            b"\x04\0\0\0\0\x10\0\0\x07\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x0b\x0a\0\0\0\0\0\0",
        ),
        (
            Header::Write { tag: 7, target: TARGET, bytes: 1 },
            b"\x05\0\0\0\x01\0\0\0\x07\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x0b\x0a\0\0\0\0\0\0",
        ),
        (
            Header::WriteImm { tag: 7, target: TARGET, bytes: 1, imm: 9 },
            b"\x06\0\0\0\x01\0\0\0\x07\0\0\0\x09\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x0b\x0a\0\0\0\0\0\0",
        ),
        (
            Header::Place { head_bytes: 5, target: TARGET, bytes: 4096 },
            b"\x07\0\0\0\0\x10\0\0\x05\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x0b\x0a\0\0\0\0\0\0",
        ),
        (
            Header::CompareAndSwap { tag: 7, target: TARGET, expected: 1, new: 2 },
            b"\x08\0\0\0\x08\0\0\0\x07\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x0b\x0a\0\0\0\0\0\0\
              \x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0",
        ),
        (
            Header::FetchAdd { tag: 7, target: TARGET, add: 3 },
            b"\x09\0\0\0\x08\0\0\0\x07\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x0b\x0a\0\0\0\0\0\0\
              \x03\0\0\0\0\0\0\0",
        ),
        (Header::Data { tag: 7, bytes: 4096 }, b"\x0a\0\0\0\0\x10\0\0\x07\0\0\0\0\0\0\0"),
        (
            Header::Done { tag: 7, denied: true, value: 5 },
            b"\x0b\x01\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0",
        ),
    ]
}

#[test]
fn every_frame_has_exactly_the_bytes_of_the_document() {
    for (header, golden) in every_header() {
        assert_eq!(header.encode().bytes(), golden, "{header:?}");
        assert_eq!(Header::decode(golden), Ok(Some((header, golden.len()))));
    }
}

#[test]
fn a_header_cut_short_asks_for_more_and_never_errs() {
    for (header, golden) in every_header() {
        for cut in 0..golden.len() {
            assert_eq!(Header::decode(&golden[..cut]), Ok(None), "{header:?} cut at {cut}");
        }
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    for kind in [0u8, 12, 77, 255] {
        assert_eq!(Header::decode(&[kind, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::Kind(kind)));
    }
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_its_bytes_are_waited_for() {
    let message = (MESSAGE_BYTES_MAX as u32 + 1).to_le_bytes();
    let placed = (PLACED_BYTES_MAX as u32 + 1).to_le_bytes();
    for (kind, length) in [(1u8, message), (4, placed), (5, placed), (6, placed), (7, placed), (10, placed)] {
        let [a, b, c, d] = length;
        let refused = Header::decode(&[kind, 0, 0, 0, a, b, c, d]);
        assert!(matches!(refused, Err(FrameError::Oversized { .. })), "{kind}: {refused:?}");
    }
    let mut place = [0u8; 32];
    place[0] = 7;
    place[8..12].copy_from_slice(&message);
    assert!(matches!(Header::decode(&place), Err(FrameError::Oversized { .. })));
}

#[test]
fn bits_that_mean_nothing_are_refused() {
    for (header, golden) in every_header() {
        let mut bytes = golden.to_vec();
        bytes[2] = 1;
        assert_eq!(Header::decode(&bytes), Err(FrameError::Reserved(golden[0])), "{header:?}");
    }
    assert_eq!(Header::decode(&[3, 3, 0, 0, 0, 0, 0, 0]), Err(FrameError::Reserved(3)));
    assert_eq!(Header::decode(&[8, 0, 0, 0, 7, 0, 0, 0]), Err(FrameError::Reserved(8)));
}
