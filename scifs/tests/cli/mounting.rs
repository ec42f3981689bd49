//! Mounting and unmounting, by every way that leads there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::support::{Place, Running, SMALL, is_mounted, runs, signal, succeeded, wait_for};

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_command_returns_when_the_mount_serves_and_umount_ends_the_node() {
    let place = Place::new("returns");
    let point = place.mount("ant", "");
    assert!(is_mounted(&point));
    assert_eq!(std::fs::read_dir(&point).unwrap().count(), 0);
    let status = place.status(&point);
    assert_eq!(
        (status["name"].as_str(), status["mount"]["mountpoint"].as_str()),
        (Some("ant"), Some(&*point))
    );
    let pid = place.pid("ant").unwrap();
    assert_eq!(status["pid"], pid);
    place.ok(&["umount", &point]);
    assert!(!is_mounted(&point) && !place.socket("ant").exists(), "it has ended when the command returns");
    assert!(!runs(pid));
}

#[test]
fn umount_and_fusermount3_end_a_node_in_an_orderly_way() {
    let place = Place::new("outside");
    let first = place.mount("ant", "");
    let join = format!("join={}", place.address("ant"));
    for (program, arguments) in [("umount", &[][..]), ("fusermount3", &["-u"])] {
        let point = place.mount("bee", &join);
        assert_eq!(place.members(&first), 2);
        let mut arguments = arguments.to_vec();
        arguments.push(&point);
        succeeded(&run(program, &arguments), program);
        wait_for("the node to end", || (!place.socket("bee").exists()).then_some(()));
        // Expelling it would take the failure timeout; it has said good-bye before its socket went.
        assert_eq!(place.members(&first), 1);
    }
}

/// What mount(8) makes of a command line is not in our hands, so the real one is run: in a mount namespace of its own, in
/// which /usr/local/bin has nothing but the program under test.
#[test]
fn mount_runs_it_from_a_standard_folder_with_every_kind_of_source() {
    let place = Place::new("literal");
    let first = place.mount("ant", "");
    let address = place.address(&first);
    let point = place.point("dsm");
    place.point("scifs");
    let fstab = place.path("fstab");
    std::fs::write(
        &fstab,
        format!(
            "scifs {point} fuse.scifs join={address},name=bee,{SMALL},noauto,x-test.option,_netdev 0 0\n"
        ),
    )
    .unwrap();
    let own = format!("name=bee,{SMALL}");
    let script = r#"
        set -e
        mount -t tmpfs none /usr/local/bin
        touch /usr/local/bin/scifs
        mount --bind "$PROGRAM" /usr/local/bin/scifs
        "$@"
        test "$(stat -f -c %T "$POINT")" = fuseblk -o "$(findmnt -no FSTYPE "$POINT")" = fuse.scifs
        scifs status "$POINT" --json
        scifs umount "$POINT"
    "#;
    for line in [
        format!("mount -t fuse scifs {point} -o join={address},{own}"),
        format!("mount -t fuse scifs#{address} {point} -o {own}"),
        format!("mount -t fuse.scifs {address} {point} -o {own}"),
        format!("mount --fstab {fstab} {point}"),
        format!("mount.fuse3 scifs {point} -o join={address},{own}"),
    ] {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let output = command
            .args(["--mount", "sh", "-c", script, "sh"])
            .args(line.split(' '))
            .env("PROGRAM", env!("CARGO_BIN_EXE_scifs"))
            .env("POINT", &point)
            .env("SCIFS_RUNTIME_DIR", place.runtime())
            // Something of that name in the current folder must not matter.
            .current_dir(&place.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_str(&succeeded(&output, &line)).unwrap();
        assert_eq!(status["members"].as_array().unwrap().len(), 2, "{line}");
    }
    assert_eq!(place.members(&first), 1);
}

/// mount.fuse3 takes the path of a program for a type, so `mount` can be used without installing anything.
#[test]
fn mount_runs_it_from_anywhere_when_its_path_is_the_type() {
    if !rustix::process::geteuid().is_root() {
        // mount(8) itself asks for root; the others have fusermount3, which is tested below.
        return assert!(!run("mount", &["-t", "fuse", "x", "/nonexistent"]).status.success());
    }
    let place = Place::new("path-type");
    let point = place.point("dsm");
    let output = Command::new("mount")
        .args(["-t", "fuse", env!("CARGO_BIN_EXE_scifs"), &point, "-o", &format!("name=ant,{SMALL}")])
        .env("SCIFS_RUNTIME_DIR", place.runtime())
        .output()
        .unwrap();
    succeeded(&output, "mount");
    assert_eq!(place.members(&point), 1);
    place.ok(&["umount", &point]);
}

#[test]
fn in_the_foreground_it_serves_until_a_signal_unmounts_it() {
    let place = Place::new("foreground");
    for sent in [Signal::TERM, Signal::INT] {
        let point = place.point("dsm");
        let options = format!("name=ant,{SMALL}");
        let child = place
            .command(&[&point, "-f", "-o", &options])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut node = Running(child);
        wait_for("the mount", || is_mounted(&point).then_some(()));
        wait_for("the node", || place.scifs(&["status", "ant"]).status.success().then_some(()));
        signal(node.0.id(), sent);
        assert_eq!(node.ended(), Some(0));
        assert!(!is_mounted(&point) && !place.socket("ant").exists());
        assert!(node.said().contains("view"), "it logs to stderr");
    }
}

#[test]
fn a_background_node_has_no_terminal_no_folder_and_a_session_of_its_own() {
    let place = Place::new("background");
    let point = place.mount("ant", "");
    let pid = place.pid("ant").unwrap();
    let link = |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("cwd"), Path::new("/"));
    assert_eq!((link("fd/0"), link("fd/1")), ("/dev/null".into(), "/dev/null".into()));
    let log = link("fd/2");
    assert!(log == Path::new("/dev/null") || log == place.runtime().join("ant.log"), "{}", log.display());
    let session = rustix::process::getsid(rustix::process::Pid::from_raw(pid as i32)).unwrap();
    assert_eq!(session.as_raw_nonzero().get() as u32, pid);
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim(), "scifs");
    place.ok(&["leave", &point]);
    wait_for("the end of the mount", || (!is_mounted(&point)).then_some(()));
}

#[test]
fn a_mount_in_use_is_only_unmounted_when_that_is_asked_for() {
    let place = Place::new("in-use");
    let point = place.mount("ant", "");
    let mut user = Running(Command::new("sleep").arg("600").current_dir(&point).spawn().unwrap());
    let output = place.scifs(&["umount", &point]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(32), "{said}");
    assert!(said.contains("in use") && said.contains("--lazy"), "{said}");
    assert!(is_mounted(&point) && place.members(&point) == 1, "it goes on");
    let pid = place.pid("ant").unwrap();
    let lazy = Running(place.command(&["umount", "--lazy", &point]).spawn().unwrap());
    wait_for("the mount to be out of sight", || (!is_mounted(&point)).then_some(()));
    // Its last user keeps the node; a signal ends it all the same.
    signal(pid, Signal::TERM);
    assert_eq!({ lazy }.ended(), Some(0));
    assert!(user.0.try_wait().unwrap().is_none());
}

#[test]
fn with_auto_unmount_the_mount_of_a_killed_node_goes_away() {
    let place = Place::new("auto");
    let point = place.mount("ant", "auto_unmount");
    signal(place.pid("ant").unwrap(), Signal::KILL);
    wait_for("the mount to go", || (!is_mounted(&point)).then_some(()));
    assert_eq!(place.mount("ant", ""), point, "the name and the folder are free again");
    place.ok(&["umount", &point]);
}

#[test]
fn a_killed_node_leaves_a_mount_that_is_named_and_can_be_removed() {
    let place = Place::new("killed");
    let point = place.mount("ant", "");
    signal(place.pid("ant").unwrap(), Signal::KILL);
    wait_for("its death", || std::fs::metadata(&point).is_err().then_some(()));
    let again = place.scifs(&[&point, "-o", &format!("name=ant,{SMALL}")]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(32) && said.contains("has died"), "{said}");
    let status = place.scifs(&["status", &point]);
    assert_eq!(status.status.code(), Some(32));
    place.ok(&["umount", &point]);
    assert_eq!(place.mount("ant", ""), point);
}

/// On a machine with udev everybody may open /dev/fuse; in a mount namespace of its own, that is so everywhere.
#[test]
fn a_user_without_rights_mounts_through_fusermount3() {
    let place = Place::new("user");
    let point = place.point("dsm");
    if !rustix::process::geteuid().is_root() {
        place.mount("dsm", "");
        return drop(place.ok(&["umount", &point]));
    }
    let program = place.path("scifs");
    std::fs::copy(env!("CARGO_BIN_EXE_scifs"), &program).unwrap();
    std::fs::set_permissions(&place.folder, PermissionsExt::from_mode(0o755)).unwrap();
    for path in [&point, &place.path("run")] {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let script = r#"
        set -e
        mknod -m 666 "$FOLDER/fuse" c 10 229
        mount --bind "$FOLDER/fuse" /dev/fuse
        as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
        cd /
        as_user "$FOLDER/scifs" "$POINT" -o "$OPTIONS"
        findmnt --noheadings --output FSTYPE,OPTIONS "$POINT"
        as_user "$FOLDER/scifs" status "$POINT" --json | grep '"standing": "serving"'
        as_user "$FOLDER/scifs" umount "$POINT"
        findmnt "$POINT" && exit 1
        exit 0
    "#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .env("FOLDER", &place.folder)
        .env("POINT", &point)
        .env("OPTIONS", format!("name=ant,{SMALL}"))
        .env("SCIFS_RUNTIME_DIR", place.runtime())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = succeeded(&output, "as nobody");
    assert!(printed.contains("fuse.scifs") && printed.contains("user_id=65534"), "{printed}");
}

const NOBODY: u32 = 65534;
