//! Both sides of the handshake on anything, with a secret and without. Nothing may come up from bytes that no peer
//! with the secret has made.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use scios::NodeId;
use scios::auth::{Handshake, Local, Progress, Secret};

static PLAIN: LazyLock<Arc<Local>> = LazyLock::new(|| local(None));
static SECRET: LazyLock<Arc<Local>> = LazyLock::new(|| local(Some(b"only the fuzzer knows")));

fn local(secret: Option<&[u8]>) -> Arc<Local> {
    let id = NodeId::new(1).expect("not zero");
    Arc::new(Local::new(id, "127.0.0.1:1".into(), 1, secret.map(Secret::from_bytes).as_ref()))
}

fuzz_target!(|input: &[u8]| {
    let Some((&mode, stream)) = input.split_first() else { return };
    let secret = mode & 1 != 0;
    let local = if secret { &*SECRET } else { &*PLAIN };
    let mut handshake = if mode & 2 != 0 {
        Handshake::responder(local)
    } else {
        Handshake::initiator(local).expect("an initiator can always begin")
    };
    for piece in stream.chunks(usize::from(mode >> 2).max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            let Ok((taken, progress)) = handshake.receive(rest) else { return };
            assert!(taken <= rest.len());
            rest = &rest[taken..];
            match progress {
                Progress::Waiting => assert!(rest.is_empty(), "stopped in the middle"),
                Progress::Answered => {}
                Progress::Identified => {
                    assert!(!secret, "an answer was forged");
                    handshake.confirm(false).expect("it is its turn");
                }
                Progress::Confirmed { .. } => {
                    assert!(!secret, "a confirm was forged");
                    handshake.verdict(true).expect("it is its turn");
                    return;
                }
                Progress::Accepted | Progress::Duplicate => {
                    assert!(!secret, "a verdict was forged");
                    return;
                }
            }
            assert!(handshake.take_output().len() < 4096);
        }
    }
});
