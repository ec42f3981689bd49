//! Programs that don't keep to the rules harm nobody but themselves.

use crate::program::value;
use crate::support::Cluster;

#[test]
fn packets_that_make_no_sense_end_the_conversation_or_are_refused() {
    let cluster = Cluster::new(1);
    let mut good = cluster.program(0);
    good.open("file");
    good.get("cut file 65536");
    good.get("share file 16");
    let einval = value("1600000000000000");
    let ebadf = value("0900000000000000");
    for (packet, answer) in [
        ("raw 9 1 2", value("closed")),
        ("raw 1 1", value("closed")),
        ("raw 2 1", value("closed")),
        // A range that isn't whole pages, one of nothing, one of a file that it never got.
        ("raw 3 0 1 4096 4095 0", value("closed")),
    ] {
        let mut bad = cluster.program(0);
        bad.open("file");
        bad.get("share file 16");
        assert_eq!(bad.ask(packet), answer, "{packet}");
        // What it had goes on.
        bad.get("store file 0 3");
        assert_eq!(good.ask("load file 0"), value(3));
    }
    let _ = (einval, ebadf);
    good.get("store file 1 4");
}
