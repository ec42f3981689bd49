//! The frame decoder on anything: the input's first byte says in what pieces the rest arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scios::limits::{MESSAGE_BYTES_MAX, PLACED_BYTES_MAX};
use scios::verbs::tcp::frame::Header;
use scios::verbs::tcp::inbox::{Frame, Inbox};

fuzz_target!(|input: &[u8]| {
    let Some((&piece, stream)) = input.split_first() else { return };
    let mut inbox = Inbox::default();
    for piece in stream.chunks(usize::from(piece).max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = inbox.put(rest);
            assert!(taken > 0, "no room, and no frame either");
            rest = &rest[taken..];
            loop {
                match inbox.next_frame() {
                    Ok(Some(frame)) => check(&frame),
                    Ok(None) => break,
                    // The connection ends here.
                    Err(_) => return,
                }
            }
        }
    }
});

fn check(frame: &Frame<'_>) {
    match frame {
        Frame::Message(bytes) => assert!(bytes.len() <= MESSAGE_BYTES_MAX),
        Frame::Begin { header, head, payload_bytes } => {
            assert!(head.len() <= MESSAGE_BYTES_MAX && *payload_bytes <= PLACED_BYTES_MAX);
            same_again(header);
        }
        Frame::Control(header) => same_again(header),
        Frame::Payload(bytes) => assert!(!bytes.is_empty() && bytes.len() <= PLACED_BYTES_MAX),
    }
}

/// What was decoded has one encoding, and it is what arrived.
fn same_again(header: &Header) {
    let encoded = header.encode();
    assert_eq!(Header::decode(encoded.bytes()), Ok(Some((*header, encoded.bytes().len()))));
}
