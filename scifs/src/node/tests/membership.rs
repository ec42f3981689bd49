use super::super::PageFault;
use super::cluster::{Cluster, Setting, eventually};

#[test]
fn what_a_dead_node_had_alone_is_lost_and_everything_else_goes_on() {
    let mut cluster = Cluster::new(&Setting { nodes: 3, ..Setting::default() });
    cluster.nodes[0].write(7, 0, b"kept").unwrap();
    cluster.nodes[2].write(7, 4096, b"lost").unwrap();
    assert_eq!(cluster.nodes[1].read(7, 0, 4).unwrap(), b"kept");
    cluster.kill(2);
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    assert_eq!(b.read(7, 0, 4).unwrap(), b"kept");
    assert_eq!(a.read(7, 4096, 4), Err(PageFault::Lost));
    a.write(7, 4096, &[7; 4096]).unwrap();
    assert_eq!(b.read(7, 4096, 4).unwrap(), [7; 4]);
}

#[test]
fn a_connection_that_breaks_costs_an_epoch_and_no_page() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.open(7);
    b.open(7);
    for round in 0..5 {
        let before = cluster.departures();
        assert_eq!(a.increment(7, 0), 2 * round);
        a.rpc.fabric().disconnect(b.id);
        assert_eq!(b.increment(7, 0), 2 * round + 1);
        eventually("a break is reported", || cluster.departures() > before);
    }
    assert_eq!(a.load(7, 0), 10);
}
