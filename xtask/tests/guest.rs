//! The guest as its users see it. Every test boots virtual machines, so they run when asked for,
//! by `cargo xtask test guest`. A machine that can't boot the guest fails them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
/// For what takes seconds when all is well.
const PATIENCE: Duration = Duration::from_secs(180);

fn guest(options: &[&str], script: &str) -> Command {
    let mut command = Command::new(XTASK);
    command.arg("guest").args(options).args(["--", "sh", "-c", script]);
    command.stdin(Stdio::null());
    command
}

fn run(options: &[&str], script: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = guest(options, script).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

/// A folder of this test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}, {}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
#[ignore = "boots a virtual machine"]
fn output_files_and_exit_code_are_the_commands() {
    let scratch = Scratch::new("it's a folder");
    let script = r#"echo "to out: $SCIFS_WORD in $PWD"; echo to err >&2; printf 'no newline' >/dev/stdout
        echo kept >"$SCIFS_GUEST_OUT/kept"; echo lost >/etc/scifs-guest-test; exit 7"#;
    let out = scratch.0.to_str().unwrap();
    let output =
        guest(&["--out", out], script).env("SCIFS_WORD", "it's").current_dir(&scratch.0).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("to out: it's in {out}\nno newline"));
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("to err\n"));
    assert_eq!(fs::read_to_string(scratch.0.join("kept")).unwrap(), "kept\n");
    assert!(!Path::new("/etc/scifs-guest-test").exists(), "a write went past the overlay to the host");
}

#[test]
#[ignore = "boots a virtual machine"]
fn everything_that_a_command_prints_arrives() {
    let (code, out, err) = run(&[], "seq 1 200000; seq 1 50000 >&2");
    assert_eq!(code, Some(0));
    assert_eq!((out.lines().count(), out.lines().last()), (200_000, Some("200000")));
    assert_eq!(err.lines().last(), Some("50000"));
}

#[test]
#[ignore = "boots a virtual machine"]
fn a_command_that_is_not_there_fails_as_in_a_shell() {
    let output = Command::new(XTASK).args(["guest", "--", "scifs-no-such-command"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("scifs-no-such-command"));
}

#[test]
#[ignore = "boots a virtual machine"]
fn a_run_past_its_limit_ends_and_says_so() {
    let (code, _, err) = run(&["--timeout", "20"], "sleep 1000");
    assert_eq!(code, Some(124), "{err}");
    // A slow machine may still be booting by then.
    assert!(err.contains("stopped after 20 s (--timeout) while guest 0 was"), "{err}");
}

#[test]
#[ignore = "boots a virtual machine"]
fn a_guest_that_dies_is_reported_with_its_console() {
    let (code, _, err) = run(&[], "echo c >/proc/sysrq-trigger");
    assert_eq!(code, Some(125), "{err}");
    assert!(err.contains("the machine stopped") && err.contains("Kernel panic"), "{err}");
}

#[test]
#[ignore = "boots a virtual machine"]
fn a_command_killed_for_want_of_memory_is_explained() {
    let script = "echo 1 >/proc/sys/vm/overcommit_memory; exec dd if=/dev/zero of=/dev/null bs=400M count=1";
    let (code, _, err) = run(&["--memory", "256"], script);
    assert_eq!(code, Some(137), "{err}");
    assert!(err.contains("Out of memory: Killed process"), "{err}");
}

#[test]
#[ignore = "boots a virtual machine"]
fn qemu_dies_with_xtask() {
    let scratch = Scratch::new("killed");
    let started = scratch.0.join("started");
    let out = scratch.0.to_str().unwrap();
    let mut xtask = guest(&["--out", out], "touch \"$SCIFS_GUEST_OUT/started\"; sleep 1000").spawn().unwrap();
    let running = eventually(|| started.exists());
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", xtask.id())).unwrap_or_default();
    xtask.kill().unwrap();
    xtask.wait().unwrap();
    assert!(running, "the guest never ran the command");
    let qemu = children.trim();
    assert!(qemu.parse::<u32>().is_ok(), "xtask should have one child, has '{qemu}'");
    assert!(eventually(|| !is_running(qemu)), "QEMU {qemu} outlived xtask");
}

#[test]
#[ignore = "boots two virtual machines"]
fn two_guests_talk_verbs_to_each_other() {
    let script = r#"
        if [ $SCIFS_GUEST_NODE = 0 ]; then exec timeout 120 ibv_rc_pingpong -e -g 1 -n 100; fi
        for try in $(seq 100); do
            timeout 120 ibv_rc_pingpong -e -g 1 -n 100 "$SCIFS_GUEST_PEER_IP" 2>/dev/null && exit
            sleep 0.2
        done
        exit 1"#;
    let (code, out, err) = run(&["--nodes", "2"], script);
    assert_eq!(code, Some(0), "{out}{err}");
    for prefix in ["0| ", "1| "] {
        let spoke = |line: &&str| line.starts_with(prefix) && line.contains("100 iters");
        assert!(out.lines().any(|line| spoke(&line)), "{out}{err}");
    }
}

#[test]
#[ignore = "boots two virtual machines"]
fn the_first_code_that_is_not_zero_is_the_result_of_two_guests() {
    let (code, out, _) = run(&["--nodes", "2"], "echo $SCIFS_GUEST_IP; exit $((SCIFS_GUEST_NODE * 5))");
    assert_eq!(code, Some(5));
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0| 10.5.0.1", "1| 10.5.0.2"]);
}

#[test]
#[ignore = "boots a virtual machine"]
fn verbs_survive_packets_lost_on_the_cable() {
    let script = r#"
        for wire in $SCIFS_GUEST_WIRES; do tc qdisc add dev $wire root netem loss 5% || exit 2; done
        timeout 120 ibv_rc_pingpong -e -d rxe0 -g 1 -n 200 &
        while ! ss -ltn | grep -q :18515; do sleep 0.1; done
        timeout 120 ibv_rc_pingpong -e -d rxe1 -g 1 -n 200 "$SCIFS_GUEST_IP" && wait $! || exit 1
        tc -s qdisc show"#;
    let (code, out, err) = run(&["--wire", "veth"], script);
    assert_eq!(code, Some(0), "{out}{err}");
    let dropped = |line: &str| line.contains("dropped") && !line.contains("dropped 0,");
    assert!(out.lines().any(dropped), "no packet was lost, so this shows nothing: {out}");
}

#[test]
fn an_option_that_makes_no_sense_is_refused_before_anything_starts() {
    let (code, _, err) = run(&["--nodes", "2", "--wire", "veth"], "true");
    assert_eq!(code, Some(125));
    assert!(err.contains("leave out --wire"), "{err}");
}

fn eventually(holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
    true
}

/// Zombies don't run: in a container nobody may collect them.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
