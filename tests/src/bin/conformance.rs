//! The conformance suite as a program, for fabrics that need the guest: `conformance FABRIC [FILTER] [--loss PERCENT]`.
//! One line a case, the sum at the end, exit code 1 if any failed. With `--loss`, the cases that a bad wire could break, on
//! the guest's wire with that loss.

use std::process::ExitCode;

use scifs_tests::conformance::cases;
use scifs_tests::conformance::runner::{Tally, run};
use scifs_tests::conformance::wire::BadWire;
use scifs_tests::conformance::world::World;
use scifs_tests::conformance::worlds::{HostWorld, Kind, SimWorld, kind};
use scios::verbs::sim::SimConfig;

const USAGE: &str = "usage: conformance FABRIC [FILTER] [--loss PERCENT]";

struct Wanted {
    fabric: String,
    filter: String,
    loss_percent: Option<u8>,
}

fn main() -> ExitCode {
    let result = parse(std::env::args().skip(1)).and_then(|wanted| conformance(&wanted));
    match result {
        Ok(tally) if tally.failed.is_empty() && tally.passed > 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("conformance: {what}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let (mut names, mut loss_percent) = (Vec::new(), None);
    while let Some(argument) = arguments.next() {
        if argument == "--loss" {
            let percent = arguments.next().and_then(|percent| percent.parse().ok());
            loss_percent = Some(percent.ok_or(USAGE)?);
        } else {
            names.push(argument);
        }
    }
    let mut names = names.into_iter();
    let (fabric, filter) = (names.next().ok_or(USAGE)?, names.next().unwrap_or_default());
    Ok(Wanted { fabric, filter, loss_percent })
}

fn conformance(wanted: &Wanted) -> Result<Tally, String> {
    if wanted.fabric == "sim" {
        let world = || Box::new(SimWorld::new(1, SimConfig::default())) as Box<dyn World>;
        return Ok(run(&cases::all(), &wanted.filter, &world));
    }
    let kind =
        kind(&wanted.fabric).ok_or_else(|| format!("no fabric is called {}; {USAGE}", wanted.fabric))?;
    match wanted.loss_percent {
        Some(percent) => on_a_bad_wire(kind, &wanted.filter, percent),
        None => Ok(run(&cases::all(), &wanted.filter, &|| Box::new(HostWorld::loopback(kind, None)))),
    }
}

fn on_a_bad_wire(kind: Kind, filter: &str, loss_percent: u8) -> Result<Tally, String> {
    let wire = BadWire::new(loss_percent)?;
    let world = || Box::new(HostWorld::on_a_bad_wire(kind, &wire.addresses)) as Box<dyn World>;
    let tally = run(&cases::for_a_bad_wire(), filter, &world);
    let dropped = wire.dropped()?;
    println!("{dropped} packets were dropped");
    if dropped == 0 && loss_percent > 0 {
        return Err("the wire lost nothing, so nothing was shown".into());
    }
    Ok(tally)
}
