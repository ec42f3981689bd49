//! What a user can get wrong when starting a node: each ends in one sentence that says what and what to do, and in
//! the exit code of its kind.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use crate::support::Place;
use scios::NodeId;
use scios::verbs::tcp::TcpFabric;
use scios::verbs::{Event, Fabric, FabricConfig, Handler, PROTOCOL_VERSION};

const USAGE: i32 = 1;
const SYSTEM: i32 = 2;
const FAILED: i32 = 32;

/// Runs `scifs node` with these options and checks how it ends.
fn refused(place: &Place, options: &str, exit: i32, words: &[&str]) {
    let output = place.scifs(&["node", "-o", options]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{options}: {said}");
    for word in words {
        assert!(said.contains(word), "{options}: {word:?} is not in: {said}");
    }
    assert_eq!(said.trim_end().lines().filter(|line| line.starts_with("scifs: ")).count(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_begins() {
    let place = Place::new("options");
    refused(&place, "fabrik=tcp", USAGE, &["fabrik", "fabric"]);
    refused(&place, "fabric=carrier-pigeon", USAGE, &["carrier-pigeon", "tcp", "verbs"]);
    refused(&place, "memory=0", USAGE, &["memory"]);
    refused(&place, "memory=9999T", USAGE, &["9999T", "machine"]);
    refused(&place, "memory=lots", USAGE, &["lots", "512M"]);
    refused(&place, "listen=127.0.0.1:99999", USAGE, &["99999"]);
    refused(&place, "memory=64M,listen=0.0.0.0:0", USAGE, &["secret"]);
    refused(&place, &format!("memory=64M,name={}", "n".repeat(65)), USAGE, &["64"]);
}

#[test]
fn a_secret_that_is_missing_exposed_or_short_is_refused() {
    let place = Place::new("secrets");
    let exposed = place.file("exposed", &[7; 32], 0o644);
    let short = place.file("short", &[7; 8], 0o600);
    refused(&place, "memory=64M,secret=/nonexistent/secret", USAGE, &["/nonexistent/secret", "head -c 32"]);
    refused(&place, &format!("memory=64M,secret={exposed}"), USAGE, &["644", "chmod 600"]);
    refused(&place, &format!("memory=64M,secret={short}"), USAGE, &["8 bytes", "16"]);
}

#[test]
fn an_address_in_use_is_named() {
    let place = Place::new("in-use");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&place, &format!("memory=64M,listen={address}"), SYSTEM, &[&address, "listen="]);
}

#[test]
fn a_member_that_cannot_be_reached_or_resolved_is_named() {
    let place = Place::new("unreachable");
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let fast = "memory=64M,listen=127.0.0.1:0,failure_timeout_ms=500";
    refused(&place, &format!("{fast},join={closed}"), FAILED, &[&closed]);
    refused(&place, &format!("{fast},join=no-such-host.invalid:7000"), FAILED, &["no-such-host.invalid"]);
}

#[test]
fn joining_something_else_than_a_node_says_so() {
    let place = Place::new("not-scifs");
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        // As many connections as the node tries before it gives up; the listener goes with the test's end.
        for stream in web.incoming().take(1) {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let options = format!("memory=64M,listen=127.0.0.1:0,failure_timeout_ms=500,join={address}");
    refused(&place, &options, FAILED, &[&address, "SciFS"]);
    server.join().unwrap();
}

struct Deaf;

impl Handler for Deaf {
    fn on_event(&self, _event: Event<'_>) {}
}

#[test]
fn a_member_of_another_version_is_refused_with_both_versions() {
    let place = Place::new("version");
    let config = FabricConfig { version: PROTOCOL_VERSION + 1, ..FabricConfig::new(NodeId::new(1).unwrap()) };
    let newer = TcpFabric::new(config).unwrap();
    newer.start(Arc::new(Deaf)).unwrap();
    let options = format!("memory=64M,listen=127.0.0.1:0,failure_timeout_ms=500,join={}", newer.address());
    let (ours, theirs) = (PROTOCOL_VERSION.to_string(), (PROTOCOL_VERSION + 1).to_string());
    refused(&place, &options, FAILED, &["version", &ours, &theirs]);
    newer.stop();
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    let place = Place::new("names");
    let ant = place.node("ant", "listen=127.0.0.1:0");
    let options = format!("name=ant,memory=64M,listen=127.0.0.1:0,join={}", ant.address);
    let output = place.scifs(&["node", "-o", &options]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(USAGE | FAILED)), "{said}");
    assert!(said.contains("ant") && said.contains("name"), "{said}");
    assert_eq!(ant.members(), ["ant"]);
}

/// The same binary runs with and without RDMA: where there is no device it says what is missing, where there is one it
/// uses it.
#[test]
fn verbs_without_a_device_says_what_is_missing() {
    let place = Place::new("verbs");
    let options = "fabric=verbs,listen=127.0.0.1:0";
    if std::fs::read_dir("/sys/class/infiniband").is_ok_and(|mut list| list.next().is_some()) {
        assert_eq!(place.node("ant", options).members(), ["ant"]);
    } else {
        refused(&place, &format!("memory=64M,{options}"), SYSTEM, &["fabric=verbs", "rxe-setup"]);
    }
}

#[test]
fn asking_a_node_that_is_not_there_names_it() {
    let place = Place::new("nobody");
    for command in ["status", "ping", "leave"] {
        let output = place.scifs(&[command, "nobody"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(FAILED), "{said}");
        assert!(said.contains("nobody"), "{said}");
    }
}
