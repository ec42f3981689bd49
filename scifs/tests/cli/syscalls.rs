//! System calls on memory that other nodes have, as docs/programs.md lists them: served by userfaultfd, and by the kernel.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::programs::libraries;
use crate::support::{Place, succeeded};

/// What doesn't just work: by userfaultfd, by the kernel.
const EXCEPTIONS: [(&str, &str, &str); 4] = [
    // A futex is a matter of one node's kernel; scifs_wait is one of the cluster.
    ("futex across nodes", "not woken", "not woken"),
    // Registering pins a page, and what is pinned can't be taken away: it becomes nobody's.
    ("io_uring registered", "ok", "EFAULT"),
    ("io_uring registered, page revoked", "wrong bytes", "EFAULT"),
    ("MADV_REMOVE", "EOPNOTSUPP", "ok"),
];

fn compiled(place: &Place) -> PathBuf {
    let (program, source) =
        (place.folder.join("syscalls"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/syscalls.c"));
    let mut compile = Command::new("gcc");
    compile.args(["-Wall", "-Wextra", "-Werror", "-O1", "-std=gnu11", source, "-lpthread", "-o"]);
    succeeded(&compile.arg(&program).output().unwrap(), "gcc");
    program
}

fn outcomes(output: &str) -> BTreeMap<&str, &str> {
    output.lines().filter_map(|line| line.split_once(": ")).collect()
}

#[test]
fn system_calls_work_on_shared_memory_or_fail_as_documented_and_never_hang() {
    libraries();
    let place = Place::new("syscalls");
    let ant = place.mount("ant", "");
    let bee = place.mount("bee", &format!("join={}", place.address("ant")));
    let program = compiled(&place);
    for (file, by_kernel) in [("fast", false), ("slow", true)] {
        place.ok(&["create", &format!("{ant}/{file}"), "--size", "1M"]);
        let mut command = match by_kernel {
            true => Command::new(&program),
            false => place.command(&["exec", program.to_str().unwrap()]),
        };
        command.args([format!("{ant}/{file}"), format!("{bee}/{file}"), place.path("plain")]);
        let output = succeeded(&command.output().unwrap(), file);
        let outcomes = outcomes(&output);
        assert!(outcomes.len() > 30, "{output}");
        for (call, outcome) in outcomes {
            let exception = EXCEPTIONS.iter().find(|(name, ..)| *name == call);
            let expected = match exception {
                None => "ok",
                Some((_, _, kernel)) if by_kernel => kernel,
                Some((_, userfaultfd, _)) => userfaultfd,
            };
            // Where io_uring is forbidden, as in many containers, it is forbidden on all memory.
            let forbidden = call.starts_with("io_uring") && matches!(outcome, "ENOSYS" | "EPERM");
            assert!(outcome == expected || forbidden, "{file}: {call}: {outcome}, not {expected}");
        }
    }
}
