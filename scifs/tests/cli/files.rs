//! `scifs create` and `scifs stat`, on a mount of two nodes.

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
