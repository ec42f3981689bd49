//! What moving a page costs at least: one round trip over a raw TCP connection on loopback, a small request one way and
//! a page the other. No file system, no protocol, no other copy.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use crate::error::{Doing, Error};

const REQUEST_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;

/// The median, in microseconds.
pub(super) fn page_over_tcp_us(rounds: u32) -> Result<f64, Error> {
    let doing = || "measure a raw TCP connection".to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").doing(doing)?;
    let address = listener.local_addr().doing(doing)?;
    let server = std::thread::spawn(move || answer(&listener));
    let mut stream = TcpStream::connect(address).doing(doing)?;
    stream.set_nodelay(true).doing(doing)?;
    let (request, mut page) = ([0; REQUEST_BYTES], [0; PAGE_BYTES]);
    let mut times_us = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        stream.write_all(&request).and_then(|()| stream.read_exact(&mut page)).doing(doing)?;
        times_us.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    drop(stream);
    // It ends with the connection.
    let _ = server.join();
    times_us.sort_by(f64::total_cmp);
    Ok(times_us.get(times_us.len() / 2).copied().unwrap_or_default())
}

fn answer(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let (mut request, page) = ([0; REQUEST_BYTES], [0; PAGE_BYTES]);
    loop {
        stream.read_exact(&mut request)?;
        stream.write_all(&page)?;
    }
}
