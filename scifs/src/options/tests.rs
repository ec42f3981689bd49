//! Whole option lists, files and sources, as mount(8) and people give them.

use std::path::PathBuf;

use super::*;

const MACHINE: MachineMemory = MachineMemory { total_bytes: 16 << 30, cgroup_bytes: None };

fn parse_with(file: Option<&str>, list: &str, source: Option<&str>) -> Result<Options, OptionsError> {
    let mut list = list.to_owned();
    let file = match file {
        Some(text) => {
            list.push_str(",config=conf/scifs.toml");
            config::entries(text.parse().unwrap())?
        }
        None => Vec::new(),
    };
    let entries = list::split_all(&[list])?;
    Options::from_entries(file, entries, source, Path::new("/cwd"), MACHINE)
}

fn parse(list: &str) -> Result<Options, OptionsError> {
    parse_with(None, list, None)
}

fn texts(addresses: &[HostPort]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn without_options_a_node_is_a_cluster_of_one_with_half_of_the_machine() {
    let options = parse("").unwrap();
    assert_eq!(options.memory_bytes, 8 << 30);
    assert_eq!((options.join.len(), options.voters), (0, 3));
    assert_eq!((options.fabric, options.consistency), (FabricKind::Tcp, Consistency::Strict));
    assert_eq!(options.mount, MountOptions::default());
    assert_eq!((options.name, options.listen, options.secret, options.metrics), (None, None, None, None));
}

#[test]
fn every_option_of_a_node_is_read() {
    let options = parse(
        "name=n1,listen=0.0.0.0:7001,join=n2,join=[::1]:7003,fabric=verbs,memory=4G,secret=s/key,\
         consistency=lazy,spin_us=0,failure_timeout_ms=500,voters=5,metrics=127.0.0.1:9100",
    )
    .unwrap();
    assert_eq!(options.name.as_deref(), Some("n1"));
    assert_eq!(options.listen.unwrap().to_string(), "0.0.0.0:7001");
    assert_eq!(texts(&options.join), ["n2:7000", "[::1]:7003"]);
    assert_eq!((options.fabric, options.memory_bytes), (FabricKind::Verbs, 4 << 30));
    assert_eq!(options.secret, Some(PathBuf::from("/cwd/s/key")));
    assert_eq!((options.consistency, options.spin_us), (Consistency::Lazy, 0));
    assert_eq!((options.failure_timeout_ms, options.voters), (500, 5));
    assert_eq!(options.metrics.unwrap().to_string(), "127.0.0.1:9100");
}

/// The lists that mount of fuse3 3.14 was seen to pass, and a long fstab line.
#[test]
fn what_mount_passes_is_accepted() {
    assert_eq!(parse("rw,dev,suid").unwrap().mount, MountOptions::default());
    let options = parse_with(None, "rw,dev,suid", Some("n1:7001")).unwrap();
    assert_eq!(texts(&options.join), ["n1:7001"]);
    let mount = parse(
        "defaults,_netdev,nofail,user,noauto,x-systemd.automount,x-systemd.idle-timeout=1min,X-mount.mkdir,ro,noatime,\
         sync,dirsync,allow_other,auto_unmount,fsname=dsm,subtype=scifs,comment=a b,nonempty,relatime",
    )
    .unwrap()
    .mount;
    assert!(mount.read_only && mount.auto_unmount && !mount.atime);
    assert!(!mount.dev && !mount.suid && !mount.exec, "user means that nothing but data is trusted");
    assert_eq!((mount.access, mount.fsname.as_deref()), (Access::Everybody, Some("dsm")));
    assert!(mount.kept.contains(&"x-systemd.idle-timeout=1min".to_owned()), "{:?}", mount.kept);
    assert!(mount.kept.contains(&"_netdev".to_owned()) && mount.kept.contains(&"comment=a b".to_owned()));
}

#[test]
fn every_flag_of_mount_does_what_its_name_says() {
    type Check = fn(&MountOptions) -> bool;
    let cases: [(&str, Check); 18] = [
        ("ro", |m| m.read_only),
        ("ro,rw", |m| !m.read_only),
        ("nodev", |m| !m.dev),
        ("nodev,dev", |m| m.dev),
        ("nosuid", |m| !m.suid),
        ("nosuid,suid", |m| m.suid),
        ("noexec", |m| !m.exec),
        ("noexec,exec", |m| m.exec),
        ("noatime", |m| !m.atime),
        ("noatime,atime", |m| m.atime),
        ("allow_other", |m| m.access == Access::Everybody),
        ("default_permissions,sync,max_read=4096", |m| m.access == Access::Owner && m.kept.len() == 3),
        ("auto_unmount", |m| m.auto_unmount),
        ("user", |m| !m.dev && !m.suid && !m.exec),
        ("users,exec", |m| !m.dev && !m.suid && m.exec),
        ("owner", |m| !m.dev && !m.suid && m.exec),
        ("group,dev", |m| m.dev && !m.suid),
        ("ro,nodev,noexec,nosuid,defaults", |m| *m == MountOptions::default()),
    ];
    for (list, check) in cases {
        assert!(check(&parse(list).unwrap().mount), "{list}");
    }
}

#[test]
fn a_source_is_a_member_to_join_unless_it_says_scifs_or_none() {
    for (source, join) in [
        ("scifs", &[][..]),
        ("none", &[]),
        ("/home/me/scifs", &[]),
        ("", &[]),
        ("n1", &["n1:7000"]),
        ("n1:7001", &["n1:7001"]),
        ("[fd00::1]:7001", &["[fd00::1]:7001"]),
    ] {
        assert_eq!(texts(&parse_with(None, "", Some(source)).unwrap().join), join, "{source:?}");
    }
    let both = parse_with(None, "join=n2", Some("n1")).unwrap();
    assert_eq!(texts(&both.join), ["n1:7000", "n2:7000"]);
    let sentence = parse_with(None, "", Some("/dev/sda1")).unwrap_err().to_string();
    assert!(sentence.contains("/dev/sda1") && sentence.contains("join=n1:7000"), "{sentence}");
}

#[test]
fn the_last_of_several_values_wins_also_over_several_lists() {
    let entries = list::split_all(&["name=a,memory=1G", "memory=2G,name=b"]).unwrap();
    let options = Options::from_entries(Vec::new(), entries, None, Path::new("/"), MACHINE).unwrap();
    assert_eq!((options.name.as_deref(), options.memory_bytes), (Some("b"), 2 << 30));
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_default() {
    let file = r#"
        name = "from-file"
        memory = "1G"
        join = ["f1", "f2:7002"]
        voters = 5
        secret = "key"
        allow_other = true
        ro = false
    "#;
    let options = parse_with(Some(file), "name=from-line", None).unwrap();
    assert_eq!(options.name.as_deref(), Some("from-line"));
    assert_eq!((options.memory_bytes, options.voters, options.spin_us), (1 << 30, 5, 50));
    assert_eq!(texts(&options.join), ["f1:7000", "f2:7002"]);
    assert_eq!(options.secret, Some(PathBuf::from("/cwd/conf/key")), "relative to the file's folder");
    assert!(options.mount.access == Access::Everybody && !options.mount.read_only);

    let replaced = parse_with(Some(file), "join=c1,secret=key", None).unwrap();
    assert_eq!(texts(&replaced.join), ["c1:7000"]);
    assert_eq!(replaced.secret, Some(PathBuf::from("/cwd/key")));
    let by_source = parse_with(Some(file), "", Some("s1")).unwrap();
    assert_eq!(texts(&by_source.join), ["s1:7000"]);
    assert_eq!(parse_with(Some("memory = 1073741824"), "", None).unwrap().memory_bytes, 1 << 30);
    assert_eq!(texts(&parse_with(Some("join = 'one'"), "", None).unwrap().join), ["one:7000"]);
}

#[test]
fn a_mistake_in_the_file_names_the_file() {
    for (file, part) in [
        ("memroy = '1G'", "did you mean memory?"),
        ("memroy = false", "did you mean memory?"),
        ("memory = '0'", "is nothing"),
        ("name = ['a']", "of the type array"),
        ("join = [1.5]", "of the type float"),
        ("[name]\na = 1", "of the type table"),
        ("allow_other = 'yes'", "takes no value"),
        ("config = 'other.toml'", "cannot be set in a configuration file"),
        ("memory = true", "needs a value"),
    ] {
        let sentence = parse_with(Some(file), "", None).unwrap_err().to_string();
        assert!(sentence.contains(part), "{file}: {sentence}");
    }
    let error = parse_with(Some("voters = 4"), "", None).unwrap_err().to_string();
    assert!(error.starts_with("in /cwd/conf/scifs.toml: voters=4"), "{error}");
}

#[test]
fn what_is_wrong_is_said_in_a_sentence_and_ends_in_exit_code_1() {
    let long_name = format!("name={}", "n".repeat(65));
    let many_joins = "join=n1,".repeat(JOIN_ADDRESSES_MAX + 1);
    for (list, part) in [
        ("memroy=4G", "did you mean memory?"),
        ("Memory=4G", "did you mean memory?"),
        ("spin-us=4", "did you mean spin_us?"),
        ("failure_timeout=4", "did you mean failure_timeout_ms?"),
        ("alow_other", "did you mean allow_other?"),
        ("r0", "did you mean"),
        ("frobnicate", "scifs --help"),
        ("=x", "unknown option \"\""),
        ("name", "as in name=n1"),
        ("name=", "as in name=n1"),
        ("name=-x", "cannot name a node"),
        ("name=a b", "cannot name a node"),
        (&long_name, "cannot name a node"),
        ("allow_other=1", "write only allow_other"),
        ("fabric=rdma", "one of tcp, verbs"),
        ("fabric=verb", "did you mean verbs?"),
        ("consistency=srict", "did you mean strict?"),
        ("voters=4", "is not one of 3, 5"),
        ("spin_us=-1", "from 0 to 1000000"),
        ("spin_us=1000001", "from 0 to 1000000"),
        ("spin_us=+5", "from 0 to 1000000"),
        ("failure_timeout_ms=99", "from 100 to 600000"),
        ("failure_timeout_ms=99999999999999999999", "from 100 to 600000"),
        ("memory=0", "memory=0 is nothing"),
        ("memory=lots", "memory=\"lots\" is not a size"),
        ("memory=99999999P", "memory=99999999P is more bytes than"),
        ("memory=17G", "17179869184 bytes (16.0 GiB) that this machine has"),
        ("memory=1M", "at least 16777216"),
        ("memory=200%", "memory=200% is more than the whole machine"),
        ("join=", "as in join=n1:7000"),
        ("join=::1", "write [::1]:7000"),
        ("join=n1:0", "from 1 to 65535"),
        (&many_joins, "more than 64 join="),
        ("listen=n1:70000", "port \"70000\""),
        ("metrics=n1", "write n1:PORT"),
        ("remount,rw", "unmount, then mount"),
        ("allow_root", "use allow_other"),
        ("attr_timeout=1", "old names or bytes"),
        ("kernel_cache", "old names or bytes"),
        ("umask=022", "chmod"),
        ("fd=3", "itself"),
        ("secret=\"/a", "quote is not closed"),
    ] {
        let error = parse(list).unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains(part), "{list:?}: {sentence}");
        assert!(!sentence.contains('\n'), "{list:?}: {sentence}");
        assert_eq!(error.exit().code(), 1, "{list:?}");
    }
}

#[test]
fn a_configuration_file_that_cannot_be_used_is_named() {
    let folder = std::env::temp_dir().join(format!("scifs-options-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let load = |name: &str| {
        let list = format!("config={}", folder.join(name).display());
        Options::load(&[list], None)
    };
    std::fs::write(folder.join("good.toml"), "name = 'n1'\nmemory = '16M'\n").unwrap();
    std::fs::write(folder.join("bad.toml"), "memory = '1G'\nname = \nmemory = '16M'\n").unwrap();
    std::fs::write(folder.join("binary.toml"), [0xff, 0xfe]).unwrap();
    std::fs::write(folder.join("long.toml"), "#".repeat(1 << 21)).unwrap();
    let good = load("good.toml");
    let sentences = ["bad.toml", "binary.toml", "long.toml", "missing.toml", "."].map(|name| {
        let error = load(name).unwrap_err();
        (error.exit(), error.to_string())
    });
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(good.unwrap().memory_bytes, 16 << 20);
    let parts = [
        "is not TOML: line 2: string",
        "cannot read config=",
        "is longer than",
        "No such file",
        "cannot read config=",
    ];
    for ((exit, sentence), part) in sentences.iter().zip(parts) {
        assert!(sentence.contains(part) && sentence.contains("scifs-options-"), "{sentence}");
        assert_eq!(exit.code(), 1, "{sentence}");
    }
}

/// Seeded garbage: whatever arrives, the answer is settings or a sentence.
#[test]
fn no_text_makes_the_parser_panic() {
    const PARTS: [&str; 24] = [
        "name",
        "=",
        ",",
        "\"",
        "\\",
        "memory",
        "5",
        ".",
        "%",
        "G",
        "[",
        "]",
        ":",
        "::1",
        "join",
        "é",
        "\0",
        "x-",
        "ro",
        "-",
        "99999999999999999999999999999999999999999",
        "secret",
        "\n",
        " ",
    ];
    let mut state = 1u64;
    for _ in 0..100_000 {
        let mut list = String::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            list.push_str(PARTS[(state >> 33) as usize % PARTS.len()]);
        }
        if let Err(error) = parse_with(None, &list, Some(&list)) {
            assert!(!error.to_string().is_empty());
        }
    }
}
