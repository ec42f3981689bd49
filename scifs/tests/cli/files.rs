//! `scifs create` and `scifs stat`, on a mount of two nodes.

use std::os::unix::fs::FileExt;

use crate::support::Place;

#[test]
fn a_created_file_has_its_size_and_its_address_on_every_node() {
    let place = Place::new("create");
    let ant = place.mount("ant", "");
    let bee = place.mount("bee", &format!("join={}", place.address("ant")));
    let stat = |path: &str| -> serde_json::Value {
        serde_json::from_str(&place.ok(&["stat", path, "--json"])).unwrap()
    };
    let printed = place.ok(&["create", &format!("{ant}/heap"), "--size", "1T"]);
    let here = stat(&format!("{ant}/heap"));
    let there = stat(&format!("{bee}/heap"));
    assert_eq!(here["address"], there["address"]);
    assert!(printed.contains(here["address"].as_str().unwrap()), "{printed}");
    assert_eq!((here["size_bytes"].as_u64(), there["size_bytes"].as_u64()), (Some(1 << 40), Some(1 << 40)));
    assert_eq!(here["consistency"], "strict");
    for node in ["ant", "bee"] {
        assert!(place.status(node)["used_bytes"].as_u64() < Some(1 << 20), "untouched, it costs nothing");
    }
    assert!(place.ok(&["stat", &format!("{bee}/heap")]).contains("1.0 TiB"));

    let address = "0x210000000000";
    place.ok(&[
        "create",
        &format!("{bee}/given"),
        "--size",
        "4M",
        "--address",
        address,
        "--consistency",
        "strict",
    ]);
    let given = stat(&format!("{ant}/given"));
    assert_eq!((given["address"].as_str(), given["consistency"].as_str()), (Some(address), Some("strict")));
}

#[test]
fn a_file_that_cannot_be_created_as_asked_is_not_created_at_all() {
    let place = Place::new("create-refused");
    let ant = place.mount("ant", "");
    let file = |name: &str| format!("{ant}/{name}");
    place.ok(&["create", &file("first"), "--size", "4M", "--address", "0x300000000000"]);
    for (arguments, words) in [
        (&["--size", "4M", "--address", "0x300000200000"][..], "leave --address out"),
        (&["--size", "4M", "--address", "0x300000000001"], "multiple of 2 MiB"),
        (&["--size", "4M", "--address", "0x1000"], "multiple of 2 MiB"),
        (&["--size", "4M", "--consistency", "sloppy"], "use strict"),
        (&["--size", "4M", "--consistency", "lazy"], "use strict"),
        (&["--size", "8000000T"], "8000000T"),
    ] {
        let second = file("second");
        let mut all = vec!["create", &second];
        all.extend_from_slice(arguments);
        let output = place.scifs(&all);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
    let output = place.scifs(&["create", &file("first"), "--size", "4M"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("exists already"));
    let names: Vec<_> = std::fs::read_dir(&ant).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["first"], "no draft is left");
}

#[test]
fn a_files_pages_and_homes_are_the_same_whichever_node_is_asked() {
    let place = Place::new("stat-everywhere");
    let ant = place.mount("ant", "");
    let join = format!("join={}", place.address("ant"));
    let nodes = [ant, place.mount("bee", &join), place.mount("cat", &join)];
    let open = |node: usize| {
        std::fs::OpenOptions::new().read(true).write(true).open(format!("{}/file", nodes[node])).unwrap()
    };
    place.ok(&["create", &format!("{}/file", nodes[0]), "--size", "64M"]);
    let stats = || {
        nodes.each_ref().map(|node| {
            let text = place.ok(&["stat", &format!("{node}/file"), "--json"]);
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        })
    };
    for stat in stats() {
        assert_eq!(
            (stat["home"].to_string(), &stat["stats"]["pages_home"]),
            ("[]".into(), &0.into()),
            "{stat}"
        );
    }
    // One extent is first touched by ant, another by bee, who also takes a page of ant's for reading.
    open(0).write_all_at(&[1; 3 * 4096], 0).unwrap();
    open(1).write_all_at(&[2; 4096], 32 << 20).unwrap();
    open(1).read_exact_at(&mut [0; 100], 4096).unwrap();
    for stat in stats() {
        let (stats, on) = (&stat["stats"], &stat["stats"]["nodes"]);
        assert_eq!(stat["home"], serde_json::json!(["ant", "bee"]), "{stat}");
        assert_eq!((&stats["pages_home"], &stats["pages_exclusive"]), (&4.into(), &3.into()), "{stat}");
        assert_eq!((&stats["pages_shared"], &on["ant"]["home"]), (&2.into(), &3.into()), "{stat}");
        assert_eq!((&on["bee"]["exclusive"], &on["bee"]["shared"]), (&1.into(), &1.into()), "{stat}");
        assert_eq!((&on["cat"], &stats["silent"]), (&serde_json::Value::Null, &serde_json::json!([])));
    }
    let text = place.ok(&["stat", &format!("{}/file", nodes[2])]);
    assert!(text.contains("on ant") && text.contains("ant, bee"), "{text}");
}

#[test]
fn requests_and_faults_are_counted_and_shown() {
    let place = Place::new("counted");
    let ant = place.mount("ant", "");
    let file = std::fs::File::create(format!("{ant}/file")).unwrap();
    for at in 0..10 {
        file.write_all_at(&[1; 100], at * 100).unwrap();
    }
    let series = || place.status("ant")["metrics"]["families"].as_array().unwrap().clone();
    let count = |kind: &str| {
        let family = series().into_iter().find(|family| family["name"] == "scifs_fuse_request_ns").unwrap();
        let all = family["series"].as_array().unwrap().clone();
        let one = all.into_iter().find(|series| series["labels"]["kind"] == kind);
        one.unwrap_or_else(|| panic!("no {kind}: {family}"))["value"]["count"].as_u64()
    };
    assert_eq!((count("write"), count("create")), (Some(10), Some(1)));
    assert!(place.ok(&["status", "ant"]).contains("\nrequests "));
    assert!(series().iter().any(|family| family["name"] == "scifs_fault_ns"));
}

#[test]
fn a_file_may_have_sixteen_tebibytes_and_not_a_byte_more() {
    const LAST: u64 = (16 << 40) - 1;
    let place = Place::new("largest");
    let ant = place.mount("ant", "");
    let bee = place.mount("bee", &format!("join={}", place.address("ant")));
    let file = std::fs::File::create(format!("{ant}/file")).unwrap();
    file.write_all_at(b"x", LAST).unwrap();
    let error = file.write_all_at(b"x", LAST + 1).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge, "{error}");
    assert!(file.set_len(LAST + 2).is_err());
    let there = std::fs::File::open(format!("{bee}/file")).unwrap();
    let mut byte = [0];
    there.read_exact_at(&mut byte, LAST).unwrap();
    assert_eq!((byte, there.metadata().unwrap().len()), (*b"x", LAST + 1));
}
