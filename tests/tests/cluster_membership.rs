//! Membership by example, in virtual time: founding, joining, refusals, death, leaving, and life without a quorum.

use std::time::Duration;

use scifs_tests::cluster::{Setup, World};
use scios::NodeId;
use scios::cluster::{Ended, JoinError, ProposeError, Quorum, Refusal, Standing};
use scios::verbs::Fabric;
use scios::verbs::sim::SimConfig;

const LONG: Duration = Duration::from_secs(30);

fn world(setup: Setup) -> World {
    World::new(7, SimConfig { tick_ms: 10, ..SimConfig::default() }, setup)
}

/// A world with so many members, all voters in place.
fn cluster_of(nodes: usize) -> World {
    let mut world = world(Setup::default());
    (0..nodes).for_each(|_| {
        world.add();
    });
    let formed = world.run(LONG, |w| w.is_converged() && w.has_all_voters()).unwrap();
    assert!(formed, "{world:?}");
    world
}

fn standing(world: &World, id: NodeId) -> Standing {
    world.node(id).cluster.status().standing
}

#[test]
fn one_node_is_a_cluster_of_one_and_serves_at_once() {
    let mut world = world(Setup::default());
    let id = world.add();
    let started = world.net.now();
    assert!(world.run(LONG, |w| standing(w, id) == Standing::Serving).unwrap());
    let took = world.net.now().since(started);
    assert!(took < Duration::from_millis(50), "took {took:?}");
    assert_eq!(world.node(id).cluster.view().member(id).unwrap().number, 1);
}

#[test]
fn the_first_three_vote_and_five_when_configured() {
    for (voters_max, nodes, expected) in [(3, 2, 1), (3, 6, 3), (5, 4, 3), (5, 7, 5)] {
        let mut world = world(Setup { voters_max, ..Setup::default() });
        let ids: Vec<_> = (0..nodes).map(|_| world.add()).collect();
        let voters = |w: &World| w.node(ids[0]).cluster.status().voters;
        let settled = |w: &World| w.is_converged() && voters(w).len() == expected;
        assert!(world.run(LONG, settled).unwrap(), "{voters_max} {nodes}: {world:?}");
        assert!(voters(&world).contains(&ids[0]));
    }
}

/// While the voters change, those of before have to agree too. A founder that was killed as soon as all others served, which is
/// a little earlier than that, took the cluster with it.
#[test]
fn the_founder_may_die_as_soon_as_all_say_that_the_voters_are_settled() {
    for seed in 0..50 {
        let mut world = World::new(seed, SimConfig { tick_ms: 10, ..SimConfig::default() }, Setup::default());
        let founder = world.add();
        (0..2).for_each(|_| {
            world.add();
        });
        let settled = |w: &World| {
            w.nodes.iter().map(|n| n.cluster.status()).all(|s| s.voters_settled && s.view.len() == 3)
        };
        assert!(world.run(LONG, settled).unwrap(), "{world:?}");
        world.crash(founder);
        let went_on = world.run(LONG, |w| w.is_converged() && !w.nodes[1].cluster.view().contains(founder));
        assert!(went_on.unwrap(), "seed {seed}: {world:?}");
    }
}

#[test]
fn a_second_node_of_one_name_is_refused_with_a_sentence_that_says_so() {
    let mut world = cluster_of(2);
    let join = vec![world.nodes[1].fabric.address()];
    let twin = world.add_named("node-1", join);
    assert!(world.run(LONG, |w| w.node(twin).end().is_some()).unwrap());
    let Some(Ended::JoinFailed(why)) = world.node(twin).end() else { panic!("{world:?}") };
    assert!(matches!(&why, JoinError::Refused(Refusal::NameTaken { .. })), "{why:?}");
    assert!(why.to_string().contains("two nodes of one name"), "{why}");
}

#[test]
fn a_node_that_runs_anew_at_its_address_is_taken_in_once_its_old_lease_has_ended() {
    let mut world = cluster_of(3);
    world.crash(world.nodes[2].id);
    world.restart(2);
    let started = world.net.now();
    assert!(world.run(LONG, World::is_converged).unwrap(), "{world:?}");
    let took = world.net.now().since(started);
    assert!(took > world.setup.timing.lease / 2 && took < world.setup.timing.failure * 2, "took {took:?}");
    assert_eq!(world.nodes[2].cluster.view().member(world.nodes[2].id).unwrap().number, 4);
}

#[test]
fn joining_what_is_no_member_ends_in_a_sentence_that_says_what_it_is() {
    let mut world = world(Setup { patience: Duration::from_secs(5), ..Setup::default() });
    let stranger = world.net.add_stranger();
    let misled = world.add_named("misled", vec![stranger]);
    let lost = world.add_named("lost", vec!["sim-99:7000".into()]);
    let gone = world.add_named("gone", Vec::new());
    let join = vec![world.node(gone).fabric.address()];
    world.crash(gone);
    let early = world.add_named("early", join);
    let join = vec![world.node(early).fabric.address()];
    let follower = world.add_named("follower", join);
    let ended = |w: &World| w.nodes.iter().all(|n| n.crashed || n.end().is_some());
    assert!(world.run(LONG, ended).unwrap(), "{world:?}");
    for (id, words) in [
        (misled, "does not answer as a SciFS node"),
        (lost, "sim-99:7000"),
        (early, "is a node listening there?"),
        (follower, "not a member of a cluster itself; start one node without join= first"),
    ] {
        let Some(Ended::JoinFailed(why)) = world.node(id).end() else { panic!("{world:?}") };
        assert!(why.to_string().contains(words), "{why}");
    }
}

#[test]
fn a_dead_member_is_removed_within_the_failure_timeout_and_a_little() {
    let mut world = cluster_of(5);
    for victim in [4, 1, 0] {
        let id = world.nodes[victim].id;
        world.crash(id);
        let crashed = world.net.now();
        assert!(world.run(LONG, World::is_converged).unwrap(), "{world:?}");
        let took = world.net.now().since(crashed);
        // Once for the silence, and at most once more where the leader died and its successor has to wait.
        assert!(took <= world.setup.timing.failure * 5 / 2, "member {victim} took {took:?}");
    }
}

#[test]
fn nobody_loses_its_lease_when_the_leader_dies() {
    let mut world = cluster_of(5);
    world.run(Duration::from_secs(1), |_| false).unwrap();
    let leader = world.leader().unwrap();
    world.crash(leader);
    let others: Vec<_> = world.nodes.iter().map(|n| n.id).filter(|id| *id != leader).collect();
    let anybody_isolated = |w: &World| others.iter().any(|id| !w.node(*id).cluster.may_act());
    assert!(!world.run(Duration::from_secs(10), anybody_isolated).unwrap(), "{world:?}");
    assert!(world.is_converged(), "{world:?}");
}

#[test]
fn without_a_majority_the_rest_stops_acting_says_why_and_leaves_nobody_waiting() {
    let mut world = cluster_of(3);
    let last = world.nodes[2].id;
    world.crash(world.nodes[0].id);
    world.crash(world.nodes[1].id);
    world.node(last).propose(1, Duration::from_secs(4));
    assert!(world.run(LONG, |w| !w.node(last).cluster.may_act()).unwrap());
    assert!(world.run(LONG, |w| w.calls()[0].ended.is_some()).unwrap(), "a command waits for ever");
    let why = world.calls()[0].ended.clone().unwrap().1.unwrap_err();
    assert!(matches!(&why, ProposeError::NoQuorum { .. }), "{why:?}");
    assert!(why.to_string().contains("1 of 3 voters are connected"), "{why}");
    let status = world.node(last).cluster.status();
    assert_eq!(status.standing, Standing::Isolated);
    assert!(matches!(status.quorum, Quorum::Lost { .. }), "{}", status.quorum);
    assert_eq!(status.view.len(), 3, "it still tells whom it knew");
}

#[test]
fn a_node_that_stood_still_for_long_acts_no_more_and_learns_that_it_was_removed() {
    let mut world = cluster_of(3);
    let id = world.nodes[1].id;
    world.net.pause(id);
    assert!(world.run(LONG, |w| !w.nodes[0].cluster.view().contains(id)).unwrap());
    world.net.resume(id);
    assert!(!world.node(id).cluster.may_act(), "its lease has ended while it stood still");
    assert!(world.run(LONG, |w| matches!(w.node(id).end(), Some(Ended::Expelled { .. }))).unwrap());
    world.restart(1);
    assert!(world.run(LONG, World::is_converged).unwrap(), "{world:?}");
}

#[test]
fn members_leave_in_order_the_leader_too_down_to_the_last() {
    let mut world = cluster_of(4);
    for left in (1..=4).rev() {
        assert!(world.run(LONG, |w| w.leader().is_some()).unwrap());
        let leader = world.leader().unwrap();
        let began = world.net.now();
        world.node(leader).cluster.leave(None);
        assert!(!world.node(leader).cluster.may_act(), "who leaves acts no more");
        assert!(world.run(LONG, |w| w.node(leader).end().is_some()).unwrap(), "{left}: {world:?}");
        assert_eq!(world.node(leader).end(), Some(Ended::Left { orderly: true }));
        let took = world.net.now().since(began);
        assert!(took < world.setup.timing.failure, "with {left} members it took {took:?}");
        world.crash(leader);
    }
}

#[test]
fn what_members_announce_is_known_to_all() {
    let mut world = cluster_of(5);
    for (at, node) in world.nodes.iter().enumerate() {
        node.cluster.announce(1000 + at as u64, at as u32);
    }
    let known = |w: &World| {
        w.nodes.iter().all(|n| {
            let said = n.cluster.status().announcements;
            w.nodes.iter().enumerate().all(|(at, m)| {
                said.iter().any(|a| a.member == m.id && a.free == 1000 + at as u64 && a.load == at as u32)
            })
        })
    };
    assert!(world.run(LONG, known).unwrap(), "{world:?}");
}

#[test]
fn one_seed_is_one_run() {
    let digest = || {
        let mut world = cluster_of(3);
        world.crash(world.nodes[1].id);
        world.restart(1);
        world.run(Duration::from_secs(5), |_| false).unwrap();
        (world.net.trace_digest(), world.net.events())
    };
    assert_eq!(digest(), digest());
}

#[test]
fn a_state_of_megabytes_reaches_a_new_member_in_parts() {
    let words = 3 << 17;
    let mut world = world(Setup { ballast: words, ..Setup::default() });
    let first = world.add();
    assert!(world.run(LONG, World::is_converged).unwrap());
    world.node(first).propose(1, Duration::from_secs(1));
    world.add();
    world.add();
    assert!(world.run(LONG, |w| w.is_converged() && w.has_all_voters()).unwrap(), "{world:?}");
    for node in &world.nodes {
        assert_eq!(node.cluster.with(|c| c.machine().commands().to_vec()), [1]);
    }
}

#[test]
fn a_member_that_gets_twenty_megabytes_over_a_slow_network_joins_however_long_it_takes_and_acts_only_then() {
    // A state of 20 MB at 10 MB/s, and no more than one second of patience for joining.
    let patience = Duration::from_secs(1);
    let slow = SimConfig { tick_ms: 10, bytes_per_us: 10, ..SimConfig::default() };
    let setup = Setup { ballast: 20_000_000 / 8, patience, ..Setup::default() };
    let mut world = World::new(7, slow, setup);
    let first = world.add();
    assert!(world.run(LONG, World::is_converged).unwrap());
    let (began, term) = (world.net.now(), world.node(first).cluster.with(|c| c.leading()));
    let late = world.add();
    let knows = |w: &World| !w.node(late).cluster.with(|c| c.machine().commands().is_empty());
    // More commands meanwhile than the log keeps otherwise: they must not make the snapshot worthless.
    for burst in 0..150 {
        (1..=40).for_each(|n| world.node(first).propose(burst * 40 + n, Duration::from_secs(1)));
        world.run(Duration::from_millis(10), |_| false).unwrap();
    }
    assert!(!knows(&world), "it takes longer");
    let serves_blindly = |w: &World| w.node(late).cluster.may_act() && !knows(w);
    let mut blind = false;
    let joined = |w: &World| {
        blind |= serves_blindly(w);
        w.is_converged()
    };
    assert!(world.run(LONG, joined).unwrap(), "{world:?}");
    assert!(!blind, "it acted without the state");
    let took = world.net.now().since(began);
    assert!(knows(&world) && took > 2 * patience && took < 3 * patience, "once is enough: {took:?}");
    world.run(Duration::from_secs(1), |_| false).unwrap();
    assert_eq!(world.node(late).cluster.with(|c| c.machine().commands().len()), 6000);
    assert_eq!(world.node(late).cluster.view().departures, 0, "nobody was given up meanwhile");
    assert_eq!(world.node(first).cluster.with(|c| c.leading()), term, "no election");
}

#[test]
fn members_that_do_not_vote_are_connected_once_one_reaches_for_the_other_and_again_after_a_cut() {
    let mut world = cluster_of(5);
    let voters = world.nodes[0].cluster.status().voters;
    let others: Vec<_> = world.nodes.iter().map(|n| n.id).filter(|id| !voters.contains(id)).collect();
    let [one, other] = others[..] else { panic!("two of five don't vote: {others:?}") };
    let connected = |w: &World| w.node(one).cluster.with(|c| c.is_connected(other));
    // They joined through each other; after that nothing needs the connection.
    world.node(one).fabric.disconnect(other);
    world.run(Duration::from_secs(5), |_| false).unwrap();
    assert!(!connected(&world), "nobody needs it");
    assert!(!world.node(one).cluster.reach(other));
    assert!(world.run(Duration::from_millis(100), connected).unwrap());
    assert!(world.node(one).cluster.reach(other));
    world.node(one).fabric.disconnect(other);
    assert!(world.run(LONG, |w| !connected(w)).unwrap());
    assert!(world.run(Duration::from_secs(1), connected).unwrap(), "it is kept up");
}
