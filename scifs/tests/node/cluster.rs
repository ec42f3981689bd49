//! `scifs node` as its users know it: processes that find each other, agree, die and come back.

use crate::support::{Place, wait_for};
use rustix::process::Signal;

const FAST: &str = "listen=127.0.0.1:0,failure_timeout_ms=1500";

#[test]
fn three_nodes_agree_on_who_is_there_and_measure_each_other() {
    let place = Place::new("three");
    let ant = place.node("ant", FAST);
    let join = format!("{FAST},join={}", ant.address);
    let bee = place.node("bee", &join);
    let cat = place.node("cat", &join);
    for node in [&ant, &bee, &cat] {
        wait_for("three members", || (node.members() == ["ant", "bee", "cat"]).then_some(()));
        let status = node.status();
        let memory = &status["memory"];
        let used = status["used_bytes"].as_u64().unwrap();
        assert_eq!(used + memory["free_bytes"].as_u64().unwrap(), memory["budget_bytes"].as_u64().unwrap());
    }
    wait_for("three voters", || {
        let status = cat.status();
        let votes = status["members"].as_array().unwrap().iter().filter(|m| m["votes"] == true).count();
        (votes == 3).then_some(())
    });
    let output = place.scifs(&["ping", "cat", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let trips = answer["round_trips"].as_array().unwrap();
    assert_eq!(trips.len(), 2);
    for trip in trips {
        assert!(trip["error"].is_null(), "{trip}");
        assert!(trip["page_us"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_killed_node_is_declared_dead_and_its_name_can_be_used_again() {
    let place = Place::new("killed");
    let ant = place.node("ant", FAST);
    let join = format!("{FAST},join={}", ant.address);
    let bee = place.node("bee", &join);
    let mut cat = place.node("cat", &join);
    wait_for("three members", || (bee.members().len() == 3).then_some(()));
    let before = bee.status()["epoch"].as_u64().unwrap();
    cat.child.kill().unwrap();
    cat.child.wait().unwrap();
    for node in [&ant, &bee] {
        wait_for("the dead to be gone", || (node.members() == ["ant", "bee"]).then_some(()));
    }
    assert!(bee.status()["epoch"].as_u64().unwrap() > before);
    let again = place.node("cat", &join);
    wait_for("the new cat", || (bee.members() == ["ant", "bee", "cat"]).then_some(()));
    assert!(again.status()["number"].as_u64() > Some(3), "numbers are never given twice");
}

/// SIGSTOP longer than the failure timeout: the others go on without it; when it wakes up it finds itself expelled,
/// and joins as a new member without anybody's help.
#[test]
fn a_node_that_was_stopped_for_too_long_joins_again_by_itself() {
    let place = Place::new("stopped");
    let ant = place.node("ant", FAST);
    let join = format!("{FAST},join={}", ant.address);
    let bee = place.node("bee", &join);
    let cat = place.node("cat", &join);
    wait_for("three members", || (bee.members().len() == 3).then_some(()));
    cat.signal(Signal::STOP);
    wait_for("the silent one to be gone", || (bee.members() == ["ant", "bee"]).then_some(()));
    cat.signal(Signal::CONT);
    wait_for("its return", || (bee.members() == ["ant", "bee", "cat"]).then_some(()));
    // A machine that is busy enough expels it a second time; what counts is that it is somebody new and serves.
    wait_for("its own view of that", || {
        let status = cat.status();
        (status["standing"] == "serving" && status["number"].as_u64() > Some(3)).then_some(())
    });
}

#[test]
fn a_node_leaves_when_it_is_asked_or_signalled_and_says_goodbye() {
    let place = Place::new("leaves");
    let ant = place.node("ant", FAST);
    let join = format!("{FAST},join={}", ant.address);
    let mut bee = place.node("bee", &join);
    let mut cat = place.node("cat", &join);
    wait_for("three members", || (ant.members().len() == 3).then_some(()));
    bee.signal(Signal::TERM);
    assert_eq!(bee.ended(), Some(0));
    wait_for("bee to be gone", || (ant.members() == ["ant", "cat"]).then_some(()));
    assert!(place.scifs(&["leave", "cat"]).status.success());
    assert_eq!(cat.ended(), Some(0));
    wait_for("cat to be gone", || (ant.members() == ["ant"]).then_some(()));
    assert_eq!(place.scifs(&["status", "cat"]).status.code(), Some(32), "its socket is gone");
}

#[test]
fn nodes_with_one_secret_find_each_other_and_others_are_told_why_not() {
    let place = Place::new("secret");
    let secret = place.file("secret", &[7; 32], 0o600);
    let other = place.file("other", &[8; 32], 0o600);
    let ant = place.node("ant", &format!("{FAST},secret={secret}"));
    let bee = place.node("bee", &format!("{FAST},secret={secret},join={}", ant.address));
    wait_for("two members", || (bee.members() == ["ant", "bee"]).then_some(()));
    for (options, words) in [
        (format!("{FAST},name=cat,memory=64M,secret={other},join={}", ant.address), "another secret"),
        (format!("{FAST},name=cat,memory=64M,join={}", ant.address), "requires a secret"),
    ] {
        let output = place.scifs(&["node", "-o", &options]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(32), "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(ant.members(), ["ant", "bee"]);
}
