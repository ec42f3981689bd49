//! A wire that loses packets: `tc netem` on the guest's own network interfaces, which its environment names.

use std::process::Command;

/// The interfaces that were made bad; their drop makes them good again.
#[derive(Debug)]
pub struct BadWire {
    interfaces: Vec<String>,
    /// The addresses at its ends.
    pub addresses: Vec<String>,
}

impl BadWire {
    /// Only in the guest, whose interfaces are nobody else's.
    pub fn new(loss_percent: u8) -> Result<Self, String> {
        let interfaces = words("SCIFS_GUEST_WIRES")?;
        let addresses = words("SCIFS_GUEST_IPS")?.into_iter().map(|ip| format!("{ip}:0")).collect();
        let wire = Self { interfaces, addresses };
        let loss = format!("{loss_percent}%");
        for interface in &wire.interfaces {
            tc(&["qdisc", "replace", "dev", interface, "root", "netem", "loss", &loss])?;
        }
        Ok(wire)
    }

    /// How many packets were lost, to show that there was something to survive.
    pub fn dropped(&self) -> Result<u64, String> {
        let mut dropped = 0;
        for interface in &self.interfaces {
            let shown = tc(&["-s", "qdisc", "show", "dev", interface])?;
            // "Sent 640 bytes 9 pkt (dropped 1, overlimits 0 requeues 0)"
            let count = shown.split_once("(dropped ").and_then(|(_, rest)| rest.split_once(','));
            dropped += count
                .and_then(|(count, _)| count.parse::<u64>().ok())
                .ok_or_else(|| format!("tc does not say how many packets {interface} dropped: {shown}"))?;
        }
        Ok(dropped)
    }
}

impl Drop for BadWire {
    fn drop(&mut self) {
        for interface in &self.interfaces {
            // The guest ends soon; there is nobody to tell.
            let _ = tc(&["qdisc", "del", "dev", interface, "root"]);
        }
    }
}

fn words(variable: &str) -> Result<Vec<String>, String> {
    let value = std::env::var(variable).map_err(|_| {
        format!("{variable} is not set; run this in the guest: cargo xtask guest --wire veth -- PROGRAM")
    })?;
    Ok(value.split_whitespace().map(str::to_string).collect())
}

fn tc(arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new("tc").args(arguments).output().map_err(|error| format!("cannot run tc: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("tc {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
}
