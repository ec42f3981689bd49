//! Bytes from anybody cost the connection that they came on, and nothing else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use scios::limits::HANDSHAKES_MAX;

use crate::conformance::lab::{Lab, Node, pattern};

fn call(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(node.fabric.address()).expect("a node that listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set a timeout");
    stream
}

/// Reads until the node hangs up.
fn hangs_up(mut stream: TcpStream) -> bool {
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

pub(super) fn garbage_costs_its_own_connection_and_nothing_else(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let garbage: [Vec<u8>; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        pattern(1, 70_000),
        pattern(2, 3),
        Vec::new(),
    ];
    for bytes in &garbage {
        let mut stream = call(&a);
        // It may hang up in the middle of it.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        assert!(hangs_up(stream), "{} bytes of garbage were not answered by a close", bytes.len());
        lab.round_trip(&a, &b);
    }
    assert_eq!((a.downs(b.id), b.downs(a.id)), (0, 0));
}

/// More callers than may be in a handshake at once: the oldest is closed for a new one.
pub(super) fn connections_that_say_nothing_do_not_keep_others_out(lab: &Lab<'_>) {
    let a = lab.node();
    let silent: Vec<_> = (0..HANDSHAKES_MAX + 10).map(|_| call(&a)).collect();
    let b = lab.node();
    lab.join(&b, &a);
    lab.round_trip(&a, &b);
    drop(silent);
}
