//! A single node as a state machine, without network or simulator.

use std::time::{Duration, Instant};

use super::*;
use crate::cluster::command::{Entry, Refusal};
use crate::cluster::proposals::ProposeError;
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
    let forged = Entry { proposer: id(1), sequence: 1, floor: 1, body: Body::Leave { handed_over_at: None } }
        .encode()
        .unwrap();
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

#[test]
fn the_log_stays_bounded_however_many_commands_there_are() {
    let (mut cluster, now) = leader();
    for token in 0..3 * crate::limits::LOG_ENTRIES_MAX as u64 {
        let propose = Input::Propose { token, command: vec![1], timeout: Duration::from_secs(1) };
        let effects = cluster.handle(now, propose);
        let done = |e: &Effect| matches!(e, Effect::Decided { token: t, outcome: Ok(_) } if *t == token);
        assert!(effects.iter().any(done), "{effects:?}");
        assert!(cluster.consensus.as_ref().is_some_and(|c| !c.is_long(&cluster.up)));
    }
}

#[test]
fn a_break_counts_once_however_many_report_it_and_a_late_report_changes_nothing() {
    let (mut cluster, now) = leader();
    join(&mut cluster, now, 2, 0);
    let epoch = cluster.view().epoch;
    for _ in 0..3 {
        cluster.handle(now, Input::Break { departures_seen: 0 });
    }
    assert_eq!((cluster.view().departures, cluster.view().epoch.0), (1, epoch.0 + 1));
    join(&mut cluster, now, 3, 0);
    let joined: Vec<u64> = cluster.view().members().map(|m| m.joined).collect();
    assert_eq!(joined, [0, 0, 1]);
    let effects = cluster.handle(now, Input::Break { departures_seen: 1 });
    let told = |e: &Effect| matches!(e, Effect::View(view) if view.departures == 2 && view.len() == 3);
    assert!(effects.iter().any(told), "{effects:?}");
}

#[test]
fn a_node_answers_from_its_own_replica_only_while_it_leads_with_authority() {
    let fresh = Cluster::new(Config::new(id(1), "first", "h:1"), NoMachine);
    assert_eq!(fresh.reads_until(), Nanos::ZERO, "nobody's replica yet");
    let (mut cluster, now) = leader();
    assert!(cluster.reads_until() > now && cluster.applied() > 1 && cluster.leader() == Some(id(1)));
    assert!(cluster.reads_until() <= now + cluster.config.timing.authority);
    cluster.handle(now, Input::Leave { handed_over_at: None });
    assert_eq!((cluster.reads_until(), cluster.leader()), (Nanos::ZERO, None), "it has left");
}

#[test]
fn a_member_that_gives_up_is_expelled_at_once_and_takes_part_in_nothing_more() {
    let (mut cluster, now) = leader();
    join(&mut cluster, now, 2, 0);
    let effects = cluster.handle(now, Input::GiveUp { why: "a view was skipped".into() });
    let told = |e: &Effect| matches!(e, Effect::Expelled { why } if why.contains("a view was skipped"));
    assert_eq!(effects.iter().filter(|e| told(e)).count(), 1, "{effects:?}");
    assert!(effects.iter().any(|e| matches!(e, Effect::Lease { until: Nanos::ZERO })));
    assert_eq!((cluster.standing(now), cluster.leader()), (Standing::Expelled, None));
    let effects = cluster.handle(now, Input::GiveUp { why: "again".into() });
    assert!(effects.is_empty(), "{effects:?}");
    let late = Input::Propose { token: 6, command: vec![1], timeout: Duration::from_secs(9) };
    let effects = cluster.handle(now, late);
    assert!(
        matches!(&effects[..], [Effect::Decided { token: 6, outcome: Err(ProposeError::NotMember) }]),
        "{effects:?}"
    );
}
