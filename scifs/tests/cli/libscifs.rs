//! The C library on two nodes: what `scifs.h` promises.

use std::process::Command;
use std::time::Duration;

use crate::programs::{
    Kind, LOCK_READ, LOCK_WRITE, NOWAIT, PROT_READ, PROT_READ_WRITE, Pair, Told, compiled, libraries,
};
use crate::support::{Place, SMALL, succeeded};

/// What `scifs_how` says of the fast path.
const FAST: &str = "userfaultfd";

/// Maps the pair's file in both, for writing; gives the address.
fn mapped(pair: &Pair, programs: &mut [Told; 2]) -> u64 {
    let [here, there] = pair.files();
    let [ant, bee] = programs;
    let address = ant.number(&format!("map {here} {PROT_READ_WRITE}"));
    assert_eq!(address, bee.number(&format!("map {there} {PROT_READ_WRITE}")), "one address in the cluster");
    address
}

#[test]
fn a_file_has_one_address_on_every_node_so_pointers_into_it_may_be_shared() {
    let pair = Pair::new("lib-address");
    let mut programs = pair.programs();
    let at = mapped(&pair, &mut programs);
    let [ant, bee] = &mut programs;
    assert_eq!(ant.number(&format!("size {at}")), 64 << 10);
    if rustix::process::geteuid().is_root() {
        assert_eq!(
            (ant.ask(&format!("how {at}")), bee.ask(&format!("how {at}"))),
            (FAST.into(), FAST.into())
        );
    }
    ant.ask(&format!("store {} 77", at + 8192));
    ant.ask(&format!("store {at} {}", at + 8192));
    let pointer = bee.number(&format!("load {at}"));
    assert_eq!(bee.number(&format!("load {pointer}")), 77);
    bee.ask(&format!("store {pointer} 78"));
    assert_eq!(ant.number(&format!("load {pointer}")), 78);

    // Elsewhere, a part, and for reading.
    let file = &pair.files()[1];
    let part = bee.ask(&format!("map_at {file} {PROT_READ} 0 8192 4096"));
    let (part, length) = part.split_once(' ').unwrap();
    assert_eq!((bee.number(&format!("load {part}")), length), (78, "4096"));
    for order in [format!("unmap {part}"), format!("unmap {at}")] {
        assert_eq!(bee.ask(&order), "0");
    }
    assert_eq!(bee.number(&format!("map {file} {PROT_READ}")), at, "again");
}

#[test]
fn a_program_linked_with_the_archive_does_the_same_also_in_cxx() {
    let pair = Pair::new("lib-archive");
    let mut program = Told::start(Command::new(compiled(&pair.place, Kind::Archive)));
    let at = program.number(&format!("map {} {PROT_READ_WRITE}", pair.files()[0]));
    assert_eq!(program.ask(&format!("add {at} 10 2")), "0");
    assert_eq!(program.number(&format!("load {at}")), 20);
    assert_eq!(program.ask("fences"), "0");
}

#[test]
fn what_goes_wrong_is_told_by_errno_and_in_a_sentence_that_says_what_to_do() {
    let pair = Pair::new("lib-errors");
    let [mut ant, _] = pair.programs();
    let (file, folder) = (&pair.files()[0], &pair.ant);
    std::fs::write(format!("{folder}/empty"), "").unwrap();
    let at = ant.number(&format!("map {file} {PROT_READ}"));
    for (order, errno, words) in [
        (format!("map {folder}/none 3"), 2, "scifs create"),
        (format!("map {folder} 3"), 21, "the path of a file"),
        (format!("map {folder}/empty 3"), 22, "give it a size first"),
        (format!("map {file} 3"), 17, "unmap it first"),
        (format!("map {file} 4"), 22, "PROT_READ | PROT_WRITE"),
        ("map /etc/passwd 1".into(), 19, "findmnt -t fuse.scifs"),
        (format!("map_at {file} 1 0 100 0"), 22, "multiple of the page size"),
        (format!("map_at {file} 1 0 65536 0"), 6, "make the file longer"),
        (format!("map_at {file} 1 {at} 0 4096"), 17, "map at another address"),
        ("unmap 4096".into(), 22, "0x1000 is not where a mapping begins"),
        (format!("unmap {}", at + 4096), 22, "is not where a mapping begins"),
        ("size 4096".into(), 22, "is not where a mapping begins"),
        (format!("lock {at} 8 {LOCK_WRITE}"), 13, "map with PROT_READ | PROT_WRITE"),
        (format!("lock {at} 0 {LOCK_READ}"), 22, "at least one byte"),
        (format!("lock {at} 65537 {LOCK_READ}"), 14, "does not lie in one mapping"),
        (format!("lock {at} 8 9"), 22, "SCIFS_READ or SCIFS_WRITE"),
        (format!("unlock {at} 8 {LOCK_READ}"), 1, "no such lock"),
        (format!("wait {at} 0 3 0"), 22, "4 or 8 bytes"),
        (format!("prefetch {} 8 0", at - 4096), 14, "does not lie in one mapping"),
        ("barrier x 0".into(), 22, "at least one party"),
    ] {
        let answer = ant.ask(&order);
        assert!(answer.starts_with(&format!("error {errno} ")), "{order}: {answer}");
        assert!(answer.contains(words), "{order}: {answer}");
    }
    assert!(ant.ask("strerror 12").contains("vm.max_map_count"));
    assert!(ant.ask("strerror -5").contains("-5"));
}

#[test]
fn a_lock_excludes_threads_processes_and_nodes_and_ends_with_its_holder() {
    let pair = Pair::new("lib-locks");
    let mut programs = pair.programs();
    let at = mapped(&pair, &mut programs);
    let [mut ant, mut bee] = programs;
    assert_eq!(ant.ask(&format!("lock {at} 8 {LOCK_WRITE}")), "0");
    assert_eq!(ant.number(&format!("thread_lock {at} 8")), 11, "EAGAIN");
    assert_eq!(ant.number(&format!("thread_lock {} 8", at + 8)), 0, "other bytes");
    let refused = bee.ask(&format!("lock {at} 8 {NOWAIT}"));
    assert!(refused.starts_with("error 11 ") && refused.contains("leave SCIFS_NOWAIT out"), "{refused}");
    assert_eq!(ant.number(&format!("fork_unlock {at} 8 {LOCK_WRITE}")), 1, "EPERM: it is the parent's");
    bee.tell(&format!("lock {at} 8 {LOCK_WRITE}"));
    assert!(bee.is_silent(Duration::from_millis(100)));
    assert_eq!(ant.ask(&format!("unlock {at} 8 {LOCK_WRITE}")), "0");
    assert_eq!(bee.answer(), "0", "the waiter has it now");

    assert!(ant.ask(&format!("lock {at} 1 {NOWAIT}")).starts_with("error 11 "));
    bee.kill();
    assert_eq!(ant.ask(&format!("lock {at} 1 {LOCK_READ}")), "0", "the dead hold nothing");
    assert_eq!(ant.number(&format!("thread_lock {at} 8")), 11, "a reader keeps writers out");
    assert_eq!(ant.ask(&format!("lock {at} 1 {LOCK_READ}")), "0", "and readers not");
}

#[test]
fn under_a_lock_threads_of_two_nodes_count_without_atomics() {
    const ROUNDS: u64 = 50;
    let pair = Pair::new("lib-count");
    let mut programs = pair.programs();
    let at = mapped(&pair, &mut programs);
    for program in &mut programs {
        program.tell(&format!("add {at} {ROUNDS} 2"));
    }
    for program in &mut programs {
        assert_eq!(program.answer(), "0");
    }
    assert_eq!(programs[0].number(&format!("load {at}")), 4 * ROUNDS);
}

#[test]
fn a_forked_child_goes_on_sharing_and_may_map_files_of_its_own() {
    let pair = Pair::new("lib-fork");
    let mut programs = pair.programs();
    let at = mapped(&pair, &mut programs);
    pair.place.ok(&["create", &format!("{}/other", pair.ant), "--size", "4K"]);
    let [ant, bee] = &mut programs;
    ant.ask(&format!("store {at} 5"));
    assert_eq!(ant.ask(&format!("fork {at} 6")), "0 11");
    assert_eq!(bee.number(&format!("load {at}")), 11);
    assert_eq!(ant.ask(&format!("fork_map {}/other 9", pair.ant)), "0");
    let other = bee.number(&format!("map {}/other {PROT_READ}", pair.bee));
    assert_eq!(bee.number(&format!("load {other}")), 9);
    assert_eq!(ant.ask(&format!("fork {at} 1")), "0 12", "and again");
}

#[test]
fn a_program_learns_which_node_it_is_on_and_which_mount_is_meant() {
    let pair = Pair::new("lib-node");
    let [mut ant, mut bee] = pair.programs();
    let program = compiled(&pair.place, Kind::Shared);
    let mut named = Command::new(&program);
    named.env("SCIFS_MOUNT", &pair.bee);
    let mut named = Told::start(named);
    // By the mount that is named, else by the file that is mapped. With neither it is the machine's affair, so that isn't looked at here.
    for (program, file) in [(&mut ant, &pair.files()[0]), (&mut bee, &pair.files()[1])] {
        program.number(&format!("map {file} {PROT_READ}"));
        assert_eq!(program.number("nodes"), 2);
    }
    assert_ne!(ant.number("node"), bee.number("node"));
    assert_eq!(named.number("node"), bee.number("node"));
    assert!(ant.ask("stats").ends_with(" 2 67108864"), "memory=64M");
    let mut nowhere = Command::new(&program);
    nowhere.env("SCIFS_MOUNT", "/nowhere");
    let said = Told::start(nowhere).ask("node");
    assert!(said.starts_with("error 2 cannot open /nowhere"), "{said}");
}

/// Strict compilers take the header, alone and twice.
#[test]
fn the_header_is_clean_c_and_cxx() {
    let place = Place::new("lib-header");
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/include");
    for (compiler, standard, suffix) in [("gcc", "c99", "c"), ("gcc", "c17", "c"), ("g++", "c++17", "cc")] {
        let source = place.path(&format!("header.{suffix}"));
        std::fs::write(&source, "#include <scifs.h>\n#include <scifs.h>\nint main(void) { return 0; }\n")
            .unwrap();
        let mut compile = Command::new(compiler);
        compile.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I", include]);
        succeeded(&compile.arg(format!("-std={standard}")).arg(&source).output().unwrap(), compiler);
    }
    // A program that links it keeps its own mmap.
    let symbols =
        Command::new("nm").args(["-D", "--defined-only"]).arg(libraries().join("libscifs.so")).output();
    let symbols = succeeded(&symbols.unwrap(), "nm");
    let names: Vec<_> = symbols.lines().filter_map(|line| line.split(' ').next_back()).collect();
    assert!(names.contains(&"scifs_map") && names.iter().all(|name| name.starts_with("scifs_")), "{names:?}");
}

#[test]
fn programs_wait_for_a_word_and_at_barriers_across_nodes() {
    let pair = Pair::new("lib-wait");
    let mut programs = pair.programs();
    let at = mapped(&pair, &mut programs);
    let [ant, bee] = &mut programs;
    assert!(ant.ask(&format!("wait {at} 5 8 -1")).starts_with("error 11 "), "EAGAIN: it is 0");
    assert!(ant.ask(&format!("wait {at} 0 8 1000000")).starts_with("error 110 "), "ETIMEDOUT");
    assert_eq!(bee.ask(&format!("notify {at} 1")), "0", "nobody waits");
    for width in [4, 8] {
        ant.tell(&format!("wait {at} 0 {width} -1"));
        assert!(ant.is_silent(Duration::from_millis(50)));
        // It may not have begun to wait yet.
        while bee.number(&format!("notify {at} 1")) == 0 {}
        assert_eq!(ant.answer(), "0");
    }
    // Over both: by who changes the word first, so that no waiting is for ever.
    bee.ask(&format!("store {} 1", at + 8));
    bee.ask(&format!("notify {} 1", at + 8));
    assert!(ant.ask(&format!("wait {} 0 8 -1", at + 8)).starts_with("error 11 "));

    for _ in 0..3 {
        ant.tell("barrier phase 2");
        assert!(ant.is_silent(Duration::from_millis(50)));
        let (one, other) = (bee.number("barrier phase 2"), ant.answer());
        assert_eq!(one + other.parse::<u64>().unwrap(), 1, "one of them is told 1");
    }
    ant.tell("barrier disagreed 2");
    assert!(ant.is_silent(Duration::from_millis(50)));
    assert!(bee.ask("barrier disagreed 3").starts_with("error 22 "));
    assert_eq!(bee.number("barrier disagreed 2") + ant.answer().parse::<u64>().unwrap(), 1);
}

/// Whoever has no right to userfaultfd is told so, and has the memory all the same.
#[test]
fn users_without_userfaultfd_are_told_what_to_do_and_share_through_the_kernel() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let pair = Pair::new("lib-user");
    let [here, there] = pair.files();
    std::fs::set_permissions(&here, std::fs::Permissions::from_mode(0o666)).unwrap();
    // Linked statically, since another user may not get to where the library was built.
    let program = compiled(&pair.place, Kind::Archive);
    let mut user = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        user.uid(NOBODY).gid(NOBODY);
    }
    let (mut user, mut other) = (Told::start(user), Told::start(Command::new(&program)));
    let at = user.number(&format!("map {here} {PROT_READ_WRITE}"));
    other.number(&format!("map {there} {PROT_READ_WRITE}"));
    let device =
        std::fs::metadata("/dev/userfaultfd").is_ok_and(|about| about.permissions().mode() & 0o6 == 0o6);
    let everybody =
        std::fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd").is_ok_and(|text| text.trim() == "1");
    let how = user.ask(&format!("how {at}"));
    let expected = if device || everybody { "userfaultfd" } else { "chmod 666 /dev/userfaultfd" };
    assert!(how.contains(expected), "{how}");
    for round in 1..10 {
        user.ask(&format!("store {at} {round}"));
        assert_eq!(other.number(&format!("load {at}")), round);
        assert_eq!(user.ask(&format!("fork {at} 100")), format!("0 {}", round + 100));
    }
    std::fs::set_permissions(&here, std::fs::Permissions::from_mode(0o644)).unwrap();
    if rustix::process::geteuid().is_root() {
        user.ask(&format!("unmap {at}"));
        assert!(user.ask(&format!("map {here} {PROT_READ_WRITE}")).starts_with("error 13 "));
        assert_eq!(user.number(&format!("map {here} {PROT_READ}")), at);
        assert!(user.ask(&format!("how {at}")).contains("may not write"));
        other.ask(&format!("store {at} 5"));
        assert_eq!(user.number(&format!("load {at}")), 5);
    }
}

/// Following forks takes CAP_SYS_PTRACE, which the node of a user other than root doesn't have.
#[test]
fn where_the_node_cannot_follow_forks_children_share_all_the_same() {
    let place = Place::new("lib-no-ptrace");
    let point = place.point("ant");
    let mut mount = Command::new("setpriv");
    mount.args([
        "--bounding-set",
        "-sys_ptrace",
        "--inh-caps",
        "-sys_ptrace",
        env!("CARGO_BIN_EXE_scifs"),
        &point,
    ]);
    mount.args(["-o", &format!("name=ant,{SMALL}")]).env("SCIFS_RUNTIME_DIR", place.runtime());
    succeeded(&mount.output().unwrap(), "mount without CAP_SYS_PTRACE");
    let file = format!("{point}/file");
    place.ok(&["create", &file, "--size", "64K"]);
    let program = compiled(&place, Kind::Shared);
    let (mut one, mut other) = (Told::start(Command::new(&program)), Told::start(Command::new(&program)));
    let at = one.number(&format!("map {file} {PROT_READ_WRITE}"));
    assert_eq!(one.ask(&format!("how {at}")), FAST);
    other.number(&format!("map {file} {PROT_READ_WRITE}"));
    other.ask(&format!("store {at} 5"));
    assert_eq!(one.ask(&format!("fork {at} 6")), "0 11");
    assert_eq!(other.number(&format!("load {at}")), 11);

    // A program that can't do that for itself goes through the kernel.
    let plain = compiled(&place, Kind::Plain);
    let mut exec = place.command(&["exec", "-v", plain.to_str().unwrap()]);
    let log = place.path("log");
    let mut told = Told::start({
        exec.stderr(std::fs::File::create(&log).unwrap());
        exec
    });
    let there = told.number(&format!("mmap {file} 2 3 1 65536 0 0"));
    assert_eq!(told.ask(&format!("fork {there} 1")), "0 12");
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("by the kernel, since its node runs without the right to follow forks"), "{said}");
}
