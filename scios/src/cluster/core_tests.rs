//! A single node as a state machine, without network or simulator.

use std::time::{Duration, Instant};

use super::*;
use crate::cluster::command::Refusal;
use crate::cluster::state::NoMachine;
use crate::cluster::wire::JoinAnswer;

fn id(raw: u64) -> NodeId {
    NodeId::new(raw).unwrap()
}

/// A cluster of one, some time after it began.
fn leader() -> (Cluster<NoMachine>, Nanos) {
    let mut cluster = Cluster::new(Config::new(id(1), "first", "h:1"), NoMachine);
    let mut now = Nanos(1);
    cluster.handle(now, Input::Start { cluster: 77 });
    for _ in 0..10 {
        now = now + Duration::from_millis(30);
        cluster.handle(now, Input::Tick);
    }
    assert_eq!(cluster.standing(now), Standing::Serving);
    (cluster, now)
}

fn join(cluster: &mut Cluster<NoMachine>, now: Nanos, from: u64, theirs: u64) -> Vec<Effect> {
    cluster.handle(now, Input::Up { peer: id(from) });
    let body = Talk::Join { name: format!("node-{from}"), address: format!("h:{from}"), memory: 1 };
    cluster.handle(now, Input::Message { from: id(from), message: ClusterMessage { cluster: theirs, body } })
}

fn answers(effects: Vec<Effect>) -> Vec<Talk> {
    let body = |e| match e {
        Effect::Send { message, .. } => Some(message.body),
        _ => None,
    };
    effects.into_iter().filter_map(body).collect()
}

#[test]
fn a_member_of_another_cluster_is_refused() {
    let (mut cluster, now) = leader();
    let said = answers(join(&mut cluster, now, 2, 78));
    assert_eq!(said, [Talk::Joined(JoinAnswer::OtherCluster)]);
    assert_eq!(cluster.view().len(), 1);
}

#[test]
fn joining_twice_is_joining_once() {
    let (mut cluster, now) = leader();
    for _ in 0..3 {
        let said = answers(join(&mut cluster, now, 2, 0));
        let welcome = |t: &Talk| matches!(t, Talk::Joined(JoinAnswer::Welcome { number: 2, .. }));
        assert!(said.iter().any(welcome), "{said:?}");
    }
    assert_eq!(cluster.view().len(), 2);
}

#[test]
fn messages_of_other_clusters_and_commands_in_others_names_change_nothing() {
    let (mut cluster, now) = leader();
    join(&mut cluster, now, 2, 0);
    let forged = Entry { proposer: id(1), sequence: 1, floor: 1, body: Body::Leave }.encode().unwrap();
    let body = Talk::Propose { entry: forged };
    for name in [77, 78] {
        let message = ClusterMessage { cluster: name, body: body.clone() };
        cluster.handle(now, Input::Message { from: id(2), message });
    }
    assert!(cluster.view().members().all(|m| !m.leaving));
}

#[test]
fn the_cluster_takes_a_thousand_members_and_no_more_and_a_renewal_costs_microseconds() {
    let (mut cluster, mut now) = leader();
    let members = crate::limits::MEMBERS_MAX as u64;
    for n in 2..=members {
        join(&mut cluster, now, n, 0);
    }
    assert_eq!(cluster.view().len(), crate::limits::MEMBERS_MAX);
    let said = answers(join(&mut cluster, now, members + 1, 0));
    let full = Talk::Joined(JoinAnswer::Refused(Refusal::ClusterFull { max: members }));
    assert!(said.contains(&full), "{said:?}");

    now = now + Duration::from_millis(30);
    cluster.handle(now, Input::Tick);
    let started = Instant::now();
    let mut granted = 0;
    for n in 2..=members {
        let body = Talk::Renew { asked: Nanos(5), free: n, load: 0, seen: Seen::default() };
        let message = ClusterMessage { cluster: 77, body };
        let said = answers(cluster.handle(now, Input::Message { from: id(n), message }));
        granted += said.iter().filter(|t| matches!(t, Talk::Granted { .. })).count() as u64;
    }
    let each = started.elapsed() / members as u32;
    println!("{granted} renewals, {each:?} each");
    assert_eq!(granted, members - 1);
    assert!(each < Duration::from_millis(1), "a renewal of one of 1,000 members takes {each:?}");
}
