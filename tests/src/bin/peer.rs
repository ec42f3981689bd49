//! A node in a process of its own, for tests that kill or stop it: `peer FABRIC ID LISTEN LIVENESS_MS [SECRET]`. Prints its
//! address and serves until its input ends.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use scifs_tests::conformance::peer::Peer;
use scifs_tests::conformance::worlds::kind;
use scios::NodeId;
use scios::auth::Secret;
use scios::verbs::FabricConfig;

const USAGE: &str = "usage: peer FABRIC ID LISTEN LIVENESS_MS [SECRET]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("peer: {what}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<(), String> {
    let [fabric, id, listen, liveness_ms, secret @ ..] = arguments else { return Err(USAGE.into()) };
    let kind = kind(fabric).ok_or_else(|| format!("no fabric is called {fabric}; {USAGE}"))?;
    let id = id.parse().ok().and_then(NodeId::new).ok_or(USAGE)?;
    let mut config = FabricConfig::new(id);
    config.listen.clone_from(listen);
    config.liveness_timeout_ms = liveness_ms.parse().map_err(|_| USAGE)?;
    config.secret = secret.first().map(|secret| Secret::from_bytes(secret.as_bytes()));
    let fabric = (kind.make)(config).map_err(|error| error.to_string())?;
    fabric.start(Arc::new(Peer::new(Arc::clone(&fabric)))).map_err(|error| error.to_string())?;
    println!("{}", fabric.address());
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).map_err(|error| error.to_string())?;
    fabric.stop();
    Ok(())
}
