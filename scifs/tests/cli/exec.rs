//! `scifs exec`: programs that know nothing of SciFS.

use std::process::{Command, Output};

use crate::programs::{Kind, Pair, Told, compiled, libraries};
use crate::support::{Place, succeeded};

const MAP_SHARED: i32 = 1;
const MAP_PRIVATE: i32 = 2;
const O_RDONLY: i32 = 0;
const O_RDWR: i32 = 2;
const READ: i32 = 1;
const READ_WRITE: i32 = 3;

/// Adds one to the first byte of a file, by a mapping.
const PYTHON: &str = "
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, 0)
os.close(fd)
memory[0] += 1
print(memory[0])
";

/// What daemons do when they begin: everything is closed, and numbers are used again.
const CLOSES_EVERYTHING: &str = "
import mmap, os, sys
here, there = sys.argv[1:3]
first = mmap.mmap(os.open(here, os.O_RDWR), 0)
first[0] = 1
os.closerange(3, 5000)
file = os.open(there, os.O_RDWR)
os.pwrite(file, bytes([9]), 0)
assert first[0] == 9, first[0]
second = mmap.mmap(file, 0)
first[1] = 7
assert second[1] == 7 and os.pread(file, 2, 0) == bytes([9, 7])
third = mmap.mmap(os.open(here, os.O_RDWR), 0)
third[2] = 5
assert first[2] == second[2] == 5
child = os.fork()
if child == 0:
    first[3] = second[2] + 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0 and second[3] == 6
";

/// Maps, unmaps, forks and runs programs in several threads at once.
const THREADS: &str = "
import mmap, os, subprocess, sys, threading
failed = []
def work(path, me):
    try:
        for turn in range(40):
            file = os.open(path, os.O_RDWR)
            memory = mmap.mmap(file, 0)
            os.close(file)
            at = 4096 * me + turn
            memory[at] = turn
            if turn % 10 == me:
                subprocess.run(['true'], check=True)
            if turn % 10 == me + 1:
                child = os.fork()
                if child == 0:
                    memory[at] += 100
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
                memory[at] -= 100
            assert memory[at] == turn, (memory[at], turn)
            memory.close()
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=work, args=(sys.argv[1 + me % 2], me)) for me in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failed, failed
";

fn exec(place: &Place, arguments: &[&str]) -> Command {
    libraries();
    place.command(&[&["exec"], arguments].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mmap(path: &str, open: i32, protection: i32, flags: i32) -> String {
    format!("mmap {path} {open} {protection} {flags} 65536 0 0")
}

#[test]
fn a_c_program_shares_a_file_with_one_on_another_node_and_has_the_mappings_of_mmap() {
    let pair = Pair::new("exec-c");
    let program = compiled(&pair.place, Kind::Plain);
    let start = || Told::start(exec(&pair.place, &["--", program.to_str().unwrap()]));
    let (mut ant, mut bee) = (start(), start());
    let [here, there] = pair.files();
    let in_ant = ant.number(&mmap(&here, O_RDWR, READ_WRITE, MAP_SHARED));
    let in_bee = bee.number(&mmap(&there, O_RDWR, READ_WRITE, MAP_SHARED));
    for round in 1..20 {
        ant.ask(&format!("store {} {round}", in_ant + 4096));
        assert_eq!(bee.number(&format!("load {}", in_bee + 4096)), round);
        bee.ask(&format!("store {} {round}", in_bee + 8192));
        assert_eq!(ant.number(&format!("load {}", in_ant + 8192)), round);
    }
    // By read and write, and by who maps through the kernel.
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::OpenOptions::new().write(true).open(&there).unwrap(),
        &7u64.to_ne_bytes(),
        0,
    )
    .unwrap();
    assert_eq!(ant.number(&format!("load {in_ant}")), 7);
    let mut by_kernel = Told::start(Command::new(&program));
    let at = by_kernel.number(&mmap(&here, O_RDWR, READ_WRITE, MAP_SHARED));
    by_kernel.ask(&format!("store {at} 8"));
    assert_eq!(bee.number(&format!("load {in_bee}")), 8);

    assert_eq!(ant.ask(&format!("fork {in_ant} 2")), "0 10");
    assert_eq!(bee.number(&format!("load {in_bee}")), 10);
    assert_eq!(ant.ask(&format!("mprotect {in_ant} 4096 1")), "0");
    assert_eq!(ant.ask(&format!("munmap {} 4096", in_ant + 4096)), "0");
    assert_eq!(ant.number(&format!("load {}", in_ant + 8192)), 19);
    bee.ask(&format!("store {} 20", in_bee + 8192));
    assert_eq!(ant.number(&format!("load {}", in_ant + 8192)), 20);
    assert_eq!(ant.ask(&format!("munmap {in_ant} 65536")), "0");

    // A private one is a copy.
    let copy = bee.number(&mmap(&there, O_RDONLY, READ_WRITE, MAP_PRIVATE));
    bee.ask(&format!("store {copy} 99"));
    assert_eq!(bee.number(&format!("load {in_bee}")), 10);
}

#[test]
fn mmap_refuses_what_it_always_refuses() {
    let pair = Pair::new("exec-errors");
    let program = compiled(&pair.place, Kind::Plain);
    let mut bare = Told::start(Command::new(&program));
    let mut under = Told::start(exec(&pair.place, &[program.to_str().unwrap()]));
    let file = &pair.files()[0];
    for order in [
        mmap(file, O_RDONLY, READ_WRITE, MAP_SHARED),
        mmap(file, 1, READ, MAP_SHARED),
        format!("mmap {file} 2 3 1 0 0 0"),
        format!("mmap {file} 2 3 1 4096 100 0"),
        format!("mmap {file} 2 3 0 4096 0 0"),
        format!("mmap {file} 2 3 0x100001 4096 0 0x10000000"),
        format!("mmap {} 0 3 1 4096 0 0", pair.ant),
        "munmap 1 4096".into(),
    ] {
        assert_eq!(bare.ask(&order), under.ask(&order), "{order}");
    }
    // MAP_FIXED_NOREPLACE, twice.
    let twice = format!("mmap {file} 2 3 0x100001 8192 0 0x10000000");
    assert!(bare.ask(&twice).starts_with("error 17") && under.ask(&twice).starts_with("error 17"));
    // MAP_FIXED, over the same.
    assert_eq!(under.number(&format!("mmap {file} 2 3 0x11 8192 4096 0x10000000")), 0x1000_0000);
    under.ask("store 0x10000000 3");
    assert_eq!(bare.ask(&format!("mmap {file} 2 3 0x11 8192 4096 0x10000000")), "0x10000000");
    assert_eq!(bare.number("load 0x10000000"), 3);
}

#[test]
fn a_python_program_and_the_children_of_a_shell_get_it_too() {
    let pair = Pair::new("exec-python");
    let [here, there] = pair.files();
    let script = pair.place.path("add.py");
    std::fs::write(&script, PYTHON).unwrap();
    let one = exec(&pair.place, &["-v", "--", "python3", &script, &here]).output().unwrap();
    assert_eq!(succeeded(&one, "python3").trim(), "1");
    assert!(said(&one).contains(&format!("{here}: 65536 bytes ")), "{}", said(&one));
    let both = format!("python3 {script} {there} && python3 {script} {here} & wait $!");
    let children = exec(&pair.place, &["-v", "sh", "-c", &both]).output().unwrap();
    assert_eq!(succeeded(&children, "sh"), "2\n3\n");
    let lines = said(&children);
    assert!(
        lines.contains(&format!("{there}: 65536")) && lines.contains(&format!("{here}: 65536")),
        "{lines}"
    );
    let quiet = exec(&pair.place, &["python3", &script, &there]).output().unwrap();
    assert_eq!((succeeded(&quiet, "python3").trim(), said(&quiet).as_str()), ("4", ""));
}

#[test]
fn programs_that_close_what_they_do_not_know_and_fork_from_threads_go_on_sharing() {
    let pair = Pair::new("exec-closing");
    let [here, there] = pair.files();
    for (name, text) in [("closes", CLOSES_EVERYTHING), ("threads", THREADS)] {
        let script = pair.place.path(name);
        std::fs::write(&script, text).unwrap();
        let output = exec(&pair.place, &["python3", &script, &here, &there]).output().unwrap();
        succeeded(&output, name);
    }
}

#[test]
fn a_static_program_goes_on_through_the_mount_and_is_told_so_when_asked() {
    let pair = Pair::new("exec-static");
    let program = compiled(&pair.place, Kind::Static);
    let program = program.to_str().unwrap();
    let verbose = exec(&pair.place, &["-v", program]).output().unwrap();
    assert!(said(&verbose).contains("is statically linked"), "{}", said(&verbose));
    let [here, there] = pair.files();
    let mut told = Told::start(exec(&pair.place, &[program]));
    let mut other = Told::start(exec(&pair.place, &[compiled(&pair.place, Kind::Plain).to_str().unwrap()]));
    let at = told.number(&mmap(&here, O_RDWR, READ_WRITE, MAP_SHARED));
    let there = other.number(&mmap(&there, O_RDWR, READ_WRITE, MAP_SHARED));
    for round in 1..20 {
        told.ask(&format!("store {at} {round}"));
        assert_eq!(other.number(&format!("load {there}")), round);
        other.ask(&format!("store {there} {}", round + 100));
        assert_eq!(told.number(&format!("load {at}")), round + 100);
    }
}

#[test]
fn the_commands_exit_code_and_environment_are_its_own() {
    let place = Place::new("exec-code");
    assert_eq!(exec(&place, &["sh", "-c", "exit 7"]).output().unwrap().status.code(), Some(7));
    let killed = exec(&place, &["sh", "-c", "kill -KILL $$"]).output().unwrap();
    assert_eq!(killed.status.code(), None, "the signal, too");
    let zero = exec(&place, &["--", "sh", "-c", "echo $0 $1", "--verbose", "-v"]).output().unwrap();
    assert_eq!(succeeded(&zero, "sh"), "--verbose -v\n", "its options are not ours");
    let mut before = exec(&place, &["sh", "-c", "echo $LD_PRELOAD"]);
    let before = before.env("LD_PRELOAD", "libc.so.6").output().unwrap();
    assert!(succeeded(&before, "sh").trim().ends_with("libscifs_preload.so:libc.so.6"));
}

#[test]
fn what_cannot_be_run_is_said() {
    let place = Place::new("exec-refused");
    let folder = place.point("folder");
    let mut no_library = exec(&place, &["true"]);
    no_library.env("SCIFS_PRELOAD", place.path("nothing.so"));
    let blank = place.path("a b.so");
    std::fs::write(&blank, "").unwrap();
    let mut bad_path = exec(&place, &["true"]);
    bad_path.env("SCIFS_PRELOAD", &blank);
    for (mut command, code, words) in [
        (exec(&place, &["no-such-command"]), 1, "in PATH"),
        (exec(&place, &[&folder]), 2, "Permission denied"),
        (exec(&place, &[&place.path("none")]), 2, "No such file"),
        (exec(&place, &[]), 1, "COMMAND"),
        (exec(&place, &["--nonsense", "true"]), 1, "--nonsense"),
        (no_library, 2, "cargo build -p scifs-preload"),
        (bad_path, 2, "copy the library elsewhere"),
    ] {
        let output = command.output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
