//! What others see of a running node: systemd and Prometheus.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{PATIENCE, Place, Running, SMALL, free_port, is_mounted, signal};

fn message(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    let length = socket.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn systemd_is_told_when_a_node_serves_and_when_it_stops() {
    let place = Place::new("notify");
    let socket = UnixDatagram::bind(place.folder.join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let point = place.point("dsm");
    let options = format!("name=ant,{SMALL}");
    for arguments in [&[point.as_str(), "-f", "-o", options.as_str()][..], &["node", "-o", &options]] {
        let child = place
            .command(arguments)
            .env("NOTIFY_SOCKET", place.path("notify"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut node = Running(child);
        let ready = message(&socket);
        assert!(ready.starts_with("READY=1\nSTATUS=ant is member 1 of 1"), "{ready}");
        assert_eq!(is_mounted(&point), arguments.contains(&"-f"));
        signal(node.0.id(), Signal::TERM);
        assert_eq!(message(&socket), "STOPPING=1\n");
        assert_eq!(node.ended(), Some(0));
    }
}

#[test]
fn prometheus_finds_the_metrics_where_the_option_says() {
    let place = Place::new("metrics");
    let address = free_port();
    let point = place.mount("ant", &format!("metrics={address}"));
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("# TYPE scifs_memory_budget_bytes gauge\n"), "{text}");
    assert!(text.contains("\nscifs_members_count 1\n"), "{text}");
    place.ok(&["umount", &point]);
    assert!(TcpStream::connect(&address).is_err());
}
