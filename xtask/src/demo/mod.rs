//! `cargo xtask demo`: three nodes on this machine, programs in three languages that share one structure by pointers, what
//! it costs to move a page, and nothing left behind.

mod cluster;
mod floor;
mod programs;

use crate::cargo::build_release;
use crate::error::Error;
use crate::setup::{self, Capability};
use cluster::Cluster;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave the cluster mounted, and say what to try next
    #[arg(long)]
    keep: bool,
}

const NOTES: u32 = 12;
const ROUNDS: u32 = 2_000;

pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    setup::ensure(&[Capability::Fuse, Capability::Languages])?;
    println!("Building scifs and the example programs (the first time, this takes some minutes) ...");
    build_release(&["scifs", "scifs-c", "scifs-preload"])?;
    let programs = programs::build()?;

    println!("\nThree nodes of one cluster on this machine, each with a mount of its own:");
    let cluster = Cluster::up(3)?;
    print!("{}", cluster.scifs(&["status", &cluster.point(1)])?);

    println!("\nA file of 1 MiB, made on n1. Its address is the same for every program on every node:");
    print!("{}", cluster.scifs(&["create", &format!("{}/ring", cluster.point(1)), "--size", "1M"])?);

    println!(
        "\nPrograms on three nodes map it there and append to one list, linked by plain pointers, in turns:"
    );
    programs.ring(&cluster, NOTES)?;
    println!("\nWhat the cluster knows of that file now, asked on n3:");
    print!("{}", cluster.scifs(&["stat", &format!("{}/ring", cluster.point(3))])?);

    println!("\nWith libscifs, programs lock memory and wait for each other across nodes:");
    cluster.scifs(&["create", &format!("{}/board", cluster.point(1)), "--size", "64K"])?;
    programs.board(&cluster)?;
    println!("\nA program that knows nothing of it, under scifs exec:");
    programs.ring_by_exec(&cluster)?;

    println!("\nTwo programs write one page in turns, {ROUNDS} rounds; each turn moves the page (medians):");
    let floor_us = floor::page_over_tcp_us(ROUNDS)?;
    let moved_us = programs.pingpong(&cluster, ROUNDS)?;
    println!("  {moved_us:>7.1} µs  a dirty page moves from n1 to n2, from store to store");
    println!("  {floor_us:>7.1} µs  the floor: a page is fetched over a raw TCP connection on loopback");

    if options.keep {
        return Ok(cluster.keep());
    }
    cluster.down()?;
    println!("\nThat was it; everything is cleaned up. With --keep it stays, to try things yourself.");
    Ok(0)
}
