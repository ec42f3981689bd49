//! What programs that share memory see of each other.

use crate::program::value;
use crate::support::Cluster;

#[test]
fn stores_of_programs_on_two_nodes_see_each_other() {
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (cluster.program(0), cluster.program(1));
    a.open("file");
    a.get("cut file 65536");
    b.open("file");
    a.get("share file 16");
    b.get("share file 16");
    for round in 0..50 {
        a.get(&format!("store file 3 {round}"));
        assert_eq!(b.ask("load file 3"), value(round));
        b.get(&format!("store file 3 {}", round + 1000));
        assert_eq!(a.ask("load file 3"), value(round + 1000));
    }
}
