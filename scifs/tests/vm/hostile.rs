//! Programs that don't keep to the rules harm nobody but themselves.

use crate::program::{Answer, Program, value};
use crate::support::Cluster;

const CLOSED: &str = "closed";
const EINVAL: &str = "1600000000000000";
const ESTALE: &str = "7400000000000000";

fn sharer(cluster: &Cluster) -> Program {
    let mut program = cluster.program(0);
    program.open("file");
    program.get("cut file 65536");
    program.get("share file 16");
    program
}

#[test]
fn packets_that_make_no_sense_are_refused_and_what_was_shared_goes_on() {
    let cluster = Cluster::new(1);
    let mut good = sharer(&cluster);
    for (number, (packet, answer)) in [
        ("9 1 2", CLOSED),
        // A greeting without a descriptor, a ticket that is too short, one that nobody gave out.
        ("1", CLOSED),
        ("2 1", CLOSED),
        ("2 0 0", ESTALE),
        // Ranges of nothing, of half a page, and beyond all addresses.
        ("3 1 0x500000000000 0 0", EINVAL),
        ("3 1 0x500000000000 2048 0", EINVAL),
        ("3 1 0xfffffffffffff000 8192 0", EINVAL),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bad = sharer(&cluster);
        assert_eq!(bad.ask(&format!("raw {packet}")), value(answer), "{packet}");
        bad.get(&format!("store file 0 {number}"));
        assert_eq!(good.ask("load file 0"), value(number));
    }
}

#[test]
fn nobody_can_cut_the_memory_off_under_others() {
    let cluster = Cluster::new(1);
    let (mut good, mut bad) = (sharer(&cluster), sharer(&cluster));
    good.get("store file 0 3");
    assert_eq!(bad.ask("shrink file"), Answer::Errno(1));
    assert_eq!(good.ask("load file 0"), value(3));
}

#[test]
fn a_file_that_may_only_be_read_is_not_given_out() {
    let cluster = Cluster::new(1);
    let mut good = sharer(&cluster);
    good.get("store file 0 3");
    let mut reader = cluster.program(0);
    reader.open_as("file", "r");
    // This program may do everything; what matters is that it is told.
    assert_eq!(reader.ask("attach file"), value(1));
}
