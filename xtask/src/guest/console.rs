//! What the guest's console tells after the fact.

use std::fs;
use std::path::Path;

use super::machine::Machine;

/// Lines that a failure prints: a kernel panic has about forty.
const TAIL_LINES: usize = 50;
/// What the kernel writes when something else than the command is wrong.
const COMPLAINTS: [&str; 6] = [
    "Out of memory: Killed process",
    "BUG: ",
    "Oops: ",
    "WARNING: CPU",
    "general protection fault",
    "blocked for more",
];

/// The last lines of the console, and what QEMU itself complained about.
pub(super) fn tail(machine: &Machine) -> String {
    let mut lines = Vec::new();
    for log in [&machine.console_log, &machine.qemu_log] {
        let text = text_of(log);
        let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let skipped = all.len().saturating_sub(TAIL_LINES);
        lines.extend(all.iter().skip(skipped).map(|line| format!("  | {}", line.trim_end())));
    }
    lines.join("\n")
}

/// The first line in which the kernel reports a fault of the machine, if there is one.
pub(super) fn complaint(log: &Path) -> Option<String> {
    let text = text_of(log);
    let complains = |line: &&str| COMPLAINTS.iter().any(|complaint| line.contains(complaint));
    text.lines().find(complains).map(|line| line.trim_end().to_owned())
}

fn text_of(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}
