//! The conformance suite on TCP over loopback, in the clear and encrypted.

use scifs_tests::conformance::cases;
use scifs_tests::conformance::runner::run;
use scifs_tests::conformance::worlds::{HostWorld, kind};

fn assert_conforms(fabric: &str, secret: Option<&str>) {
    let tcp = kind(fabric).expect("a known fabric");
    let tally = run(&cases::all(), "", &|| Box::new(HostWorld::loopback(tcp, secret)));
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    assert!(tally.passed > 50, "only {} cases ran", tally.passed);
}

#[test]
fn tcp_keeps_every_promise() {
    assert_conforms("tcp", None);
}

#[test]
fn tcp_keeps_every_promise_when_it_is_encrypted() {
    assert_conforms("tcp", Some("what only the nodes of this test know"));
}

#[test]
fn tcp_keeps_every_promise_when_its_receivers_block() {
    assert_conforms("tcp-blocking", None);
}
