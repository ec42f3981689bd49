//! Sockets that aren't nodes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::conformance::world::Place;

/// Answers each connection with what a web server says to bytes that it doesn't understand.
pub(super) fn stranger() -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            // What comes first is read, so that closing doesn't reset the answer away.
            let mut first = [0; 1024];
            match stream.read(&mut first) {
                Ok(n) if first.starts_with(END) && n == END.len() => return,
                _ => {}
            }
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    Place { address: address.to_string(), kept: Box::new(Stranger { address, thread: Some(thread) }) }
}

const END: &[u8] = b"the test is over";

struct Stranger {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let told = TcpStream::connect(self.address).and_then(|mut stream| stream.write_all(END));
        if let (Ok(()), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// The kernel takes connections; nobody looks at them.
pub(super) fn mute() -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address").to_string();
    Place { address, kept: Box::new(listener) }
}

/// A port that is taken, so that nobody else gets it, and on which nobody listens.
pub(super) fn nobody() -> Place {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    bind(&socket, &any).expect("bind");
    let address = getsockname(&socket).expect("an address");
    let address = SocketAddr::try_from(address).expect("an IP address").to_string();
    Place { address, kept: Box::new(socket) }
}
