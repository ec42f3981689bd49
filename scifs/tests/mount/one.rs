//! One node: a cluster of its own.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use crate::support::{Cluster, Map, PAGE};

#[test]
fn a_file_that_is_made_can_be_written_and_read() {
    let cluster = Cluster::new(1);
    let path = cluster.path(0, "file");
    fs::write(&path, b"one line\n").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one line\n");
    assert_eq!(fs::metadata(&path).unwrap().len(), 9);
    let names: Vec<_> =
        fs::read_dir(cluster.path(0, "")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    fs::remove_file(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn stores_through_a_mapping_and_reads_see_each_other() {
    let cluster = Cluster::new(1);
    let file = cluster.open(0, "file");
    file.set_len(16 * PAGE as u64).unwrap();
    let memory = Map::new(&file, 16 * PAGE);
    memory.store(5000, b"stored");
    let mut bytes = [0; 6];
    file.read_exact_at(&mut bytes, 5000).unwrap();
    assert_eq!(&bytes, b"stored");
    file.write_all_at(b"written", 5000).unwrap();
    assert_eq!(memory.load(5000, 7), b"written");
    assert_eq!(memory.load(0, 3), [0; 3]);
}

#[test]
fn a_long_file_is_what_was_written() {
    let cluster = Cluster::new(1);
    let mut file = cluster.open(0, "file");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 + n / 4096) as u8).collect();
    file.write_all(&bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    assert!(read == bytes);
}

#[test]
fn what_is_behind_the_end_reads_as_zeros_when_a_file_grows_again() {
    let cluster = Cluster::new(1);
    let file = cluster.open(0, "file");
    file.write_all_at(&[7; 3 * PAGE], 0).unwrap();
    let memory = Map::new(&file, 3 * PAGE);
    memory.store(100, &[8; 100]);
    memory.store(2 * PAGE, &[8; 100]);
    file.set_len(150).unwrap();
    file.set_len(3 * PAGE as u64).unwrap();
    let mut bytes = vec![0; 3 * PAGE];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes[..100], [7; 100]);
    assert_eq!(bytes[100..150], [8; 50]);
    assert!(bytes[150..].iter().all(|byte| *byte == 0));
    assert_eq!(memory.load(0, 3 * PAGE), bytes);
}

#[test]
fn an_unlinked_open_file_lives_until_its_last_close() {
    let cluster = Cluster::new(1);
    let file = cluster.open(0, "file");
    file.write_all_at(b"still here", 0).unwrap();
    fs::remove_file(cluster.path(0, "file")).unwrap();
    let mut bytes = [0; 10];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"still here");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

#[test]
fn directories_links_and_attributes_are_kept() {
    let cluster = Cluster::new(1);
    let at = |name: &str| cluster.path(0, name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/file"), b"x").unwrap();
    fs::hard_link(at("a/b/file"), at("a/other")).unwrap();
    assert_eq!(fs::metadata(at("a/other")).unwrap().nlink(), 2);
    std::os::unix::fs::symlink("b/file", at("a/link")).unwrap();
    assert_eq!(fs::read(at("a/link")).unwrap(), b"x");
    fs::rename(at("a/other"), at("moved")).unwrap();
    assert_eq!(fs::read(at("moved")).unwrap(), b"x");
    fs::set_permissions(at("moved"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::metadata(at("moved")).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::remove_dir(at("a")).unwrap_err().raw_os_error(), Some(39));
    fs::remove_dir_all(at("a")).unwrap();
    assert!(!at("a").exists());
}

#[test]
fn appending_writes_at_the_end() {
    let cluster = Cluster::new(1);
    let path = cluster.path(0, "log");
    let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
    for line in 0..20 {
        writeln!(file, "{line}").unwrap();
    }
    let expected: String = (0..20).map(|line| format!("{line}\n")).collect();
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}
