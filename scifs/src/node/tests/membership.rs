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

#[test]
fn an_isolated_node_answers_nothing_and_keeps_no_page_in_its_kernel_until_it_serves_again() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.open(7);
    a.increment(7, 0);
    a.pages.isolate();
    eventually("the kernel has no page", || a.kernel.cached() == 0);
    let (tell, told) = std::sync::mpsc::channel();
    a.pages.read(&a.file(7), 0, 8, move |result| tell.send(result).unwrap());
    assert_eq!(b.read(7, 0, 8).unwrap(), 1u64.to_le_bytes(), "peers are still answered");
    b.write(7, 0, &9u64.to_le_bytes()).unwrap();
    assert!(told.try_recv().is_err());
    a.pages.serve();
    assert_eq!(told.recv_timeout(super::kernel::LONG).unwrap().unwrap(), 9u64.to_le_bytes());
}

#[test]
fn when_the_membership_ends_every_request_fails_and_all_frames_come_back() {
    let mut cluster = Cluster::new(&Setting { nodes: 3, ..Setting::default() });
    cluster.nodes[2].write(7, 0, b"alone").unwrap();
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.open(8);
    a.increment(8, 0);
    // Nobody will answer this one: its page is with a node that has stopped and isn't known to be dead.
    cluster.nodes[2].rpc.stop();
    let (tell, told) = std::sync::mpsc::channel();
    b.pages.read(&b.file(7), 0, 5, move |result| tell.send(result).unwrap());
    b.pages.end();
    assert_eq!(told.recv_timeout(super::kernel::LONG).unwrap(), Err(PageFault::Ended));
    b.pages.read(&b.file(7), 0, 5, |result| assert_eq!(result, Err(PageFault::Ended)));
    a.pages.end();
    a.pages.wipe();
    assert_eq!((a.kernel.cached(), a.pages.memory().status().segments_bytes), (0, 0));
    cluster.nodes.clear();
}
