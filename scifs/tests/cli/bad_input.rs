//! What can be wrong with a mount: each ends in one sentence that says what and what to do, in the exit code of its kind,
//! and leaves nothing behind.

use std::process::{Command, Stdio};

use crate::support::{Place, SMALL, free_port, is_mounted, succeeded};

const USAGE: i32 = 1;
const FAILED: i32 = 32;
const SYSTEM: i32 = 2;

fn refused(place: &Place, arguments: &[&str], exit: i32, words: &[&str]) {
    let output = place.scifs(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked") && said.trim_end().lines().count() == 1, "{arguments:?}: {said}");
}

#[test]
fn what_is_wrong_with_a_command_line_is_said_before_anything_begins() {
    let place = Place::new("usage");
    let point = place.point("dsm");
    let file = place.path("file");
    std::fs::write(&file, "").unwrap();
    let missing = place.path("missing");
    refused(&place, &[&point, "-o", "memroy=1G"], USAGE, &["memroy", "did you mean memory?"]);
    refused(&place, &[&point, "-o", "allow_root"], USAGE, &["allow_root", "allow_other"]);
    refused(&place, &[&missing], USAGE, &[&missing, "mkdir -p"]);
    refused(&place, &[&file], USAGE, &[&file, "not a folder"]);
    refused(&place, &["/dev/sda1", &point], USAGE, &["/dev/sda1", "join=n1:7000"]);
    refused(&place, &["statsu", "ant"], USAGE, &["did you mean scifs status?"]);
    refused(&place, &[&point, "-o", "config=/nonexistent.toml"], USAGE, &["/nonexistent.toml"]);
    refused(&place, &["umount", &point], USAGE, &[&point, "not a SciFS mount"]);
    refused(&place, &["stat", &file], USAGE, &[&file, "not on a SciFS mount"]);
    refused(&place, &["create", &file, "--size", "1T"], USAGE, &["not on a SciFS mount"]);
    refused(&place, &["create", &file, "--size", "lots"], USAGE, &["lots", "--size 512M"]);
    refused(&place, &["create", &file, "--size", "1T", "--address", "x"], USAGE, &["--address"]);
    refused(&place, &["status", &point], USAGE, &[&point]);
    refused(&place, &["status"], USAGE, &["scifs MOUNTPOINT"]);
    refused(&place, &["dev", "down", &point], USAGE, &["scifs dev up"]);
    refused(&place, &["dev", "up", "--nodes", "0", &point], USAGE, &["from 1 to"]);
    refused(&place, &["dev", "up", &point, "-o", "ro,name=x"], USAGE, &["name="]);
    assert_eq!(place.scifs(&[&point, "-x"]).status.code(), Some(USAGE));
    assert!(!is_mounted(&point));
}

#[test]
fn a_mountpoint_that_is_taken_names_who_has_it() {
    let place = Place::new("taken");
    let point = place.mount("ant", "");
    refused(
        &place,
        &[&point, "-o", &format!("name=bee,{SMALL}")],
        FAILED,
        &[&point, "node ant", "scifs umount"],
    );
    assert_eq!(place.members(&point), 1);
}

#[test]
fn a_name_that_is_taken_is_refused_on_this_machine_and_in_the_cluster() {
    let place = Place::new("name");
    let point = place.mount("ant", "");
    let address = place.address(&point);
    let other = place.point("other");
    let options = format!("name=ant,{SMALL},join={address}");
    refused(&place, &[&other, "-o", &options], USAGE, &["ant", "name="]);
    // From another machine, it is the cluster that refuses.
    let elsewhere = Place::new("name-elsewhere");
    let output = elsewhere.scifs(&[&other, "-o", &options]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(USAGE | FAILED)), "{said}");
    assert!(said.contains("ant") && said.contains("name"), "{said}");
    assert!(!is_mounted(&other) && place.members(&point) == 1);
}

#[test]
fn a_cluster_that_cannot_be_joined_leaves_no_mount_and_no_process() {
    let place = Place::new("join");
    let point = place.point("dsm");
    let closed = free_port();
    let options = format!("name=ant,{SMALL},failure_timeout_ms=300,join={closed}");
    refused(&place, &[&point, "-o", &options], FAILED, &[&closed]);
    assert!(!is_mounted(&point) && place.pid("ant").is_none());
    let metrics = format!("name=ant,{SMALL},metrics=192.0.2.1:1");
    refused(&place, &[&point, "-o", &metrics], SYSTEM, &["192.0.2.1:1", "metrics="]);
    assert!(!is_mounted(&point) && place.pid("ant").is_none());
}

/// A container without the device: a mount namespace in which /dev is empty.
#[test]
fn without_dev_fuse_it_says_how_to_get_it() {
    let place = Place::new("no-device");
    let point = place.point("dsm");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = r#"mount -t tmpfs none /dev && exec "$PROGRAM" "$POINT" -o "$OPTIONS""#;
    let output = command
        .args(["--mount", "sh", "-c", script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_scifs"))
        .env("POINT", &point)
        .env("OPTIONS", format!("name=ant,{SMALL}"))
        .env("SCIFS_RUNTIME_DIR", place.runtime())
        .stdin(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(SYSTEM), "{said}");
    assert!(said.contains("/dev/fuse") && said.contains("modprobe fuse"), "{said}");
}

#[test]
fn a_folder_that_is_not_empty_can_be_mounted_on() {
    let place = Place::new("not-empty");
    let point = place.point("dsm");
    std::fs::write(place.folder.join("dsm/below"), "below").unwrap();
    place.mount("dsm", "nonempty");
    assert!(std::fs::metadata(place.folder.join("dsm/below")).is_err());
    place.ok(&["umount", &point]);
    assert_eq!(std::fs::read_to_string(place.folder.join("dsm/below")).unwrap(), "below");
}

#[test]
fn a_shell_that_asks_for_help_or_the_version_gets_it() {
    let place = Place::new("version");
    assert!(succeeded(&place.scifs(&["-V"]), "-V").starts_with("scifs "));
    assert!(place.ok(&["--help"]).contains("mount -t fuse scifs /dsm"));
    assert_eq!(place.scifs(&[]).status.code(), Some(USAGE));
}
