//! Addresses, consistency, and extended attributes.

use super::*;
use crate::names::limits::*;

const AT: u64 = ADDRESS_FIRST + (1 << 40);

fn pin(log: &mut Log, inode: Inode) -> Result<u64, Refusal> {
    match log.run(&Command::Pin { inode })? {
        Answer::Address(address) => Ok(address),
        other => panic!("{other:?}"),
    }
}

fn make_at(log: &mut Log, name: &str, address: u64, size: u64) -> Result<Answer, Refusal> {
    let what = Make::File { consistency: Consistency::Lazy, address: Some(address), size };
    let (name, now) = (name.into(), log.now());
    log.run(&Command::Make { parent: ROOT, name, what, mode: 0o600, uid: 0, gid: 0, now })
}

#[test]
fn a_file_has_no_address_until_somebody_asks_and_then_one_for_ever() {
    let mut log = Log::new();
    let inode = log.file("f");
    assert_eq!(log.info(inode).address, None);
    let address = pin(&mut log, inode).unwrap();
    log.resize(inode, 1 << 40).unwrap();
    log.resize(inode, 0).unwrap();
    assert_eq!(pin(&mut log, inode), Ok(address));
    assert_eq!(log.info(inode).address, Some(address));
}

#[test]
fn a_file_is_made_where_it_is_asked_to_be_with_all_its_size() {
    let mut log = Log::new();
    make_at(&mut log, "f", AT, 1 << 30).unwrap();
    let end = AT + (1 << 30);
    let inode = 2;
    assert_eq!(make_at(&mut log, "g", end - ADDRESS_UNIT, 1), Err(Refusal::Overlaps { address: AT, inode }));
    make_at(&mut log, "g", end, 1).unwrap();
    let refused = log.resize(inode, (1 << 30) + 1);
    assert_eq!(refused, Err(Refusal::NoRoom { address: end, inode: 3 }));
    assert_eq!(refused.map_err(|why| why.errno()), Err(rustix::io::Errno::FBIG));
}

#[test]
fn a_file_that_nobody_asked_about_is_in_nobodys_way() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.resize(inode, FILE_BYTES_MAX).unwrap();
    make_at(&mut log, "g", 0x3000_0000_0000, FILE_BYTES_MAX).unwrap();
    assert_eq!(pin(&mut log, inode), Ok(ADDRESS_FIRST));
}

#[test]
fn a_deleted_files_addresses_are_free_again() {
    let mut log = Log::new();
    make_at(&mut log, "f", AT, 1 << 30).unwrap();
    log.unlink("f").unwrap();
    assert!(make_at(&mut log, "g", AT, 1).is_err(), "somebody may still have it mapped");
    log.names.set_members([].into());
    make_at(&mut log, "g", AT, 1).unwrap();
}

#[test]
fn properties_change_only_while_a_file_is_empty() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.set_xattr(inode, XATTR_CONSISTENCY, b"lazy").unwrap();
    assert_eq!(log.events, [Event::Consistency { inode, consistency: Consistency::Lazy }]);
    log.set_xattr(inode, XATTR_ADDRESS, address_text(AT).as_bytes()).unwrap();
    log.set_xattr(inode, XATTR_ADDRESS, (AT + ADDRESS_UNIT).to_string().as_bytes()).unwrap();
    assert_eq!(pin(&mut log, inode), Ok(AT + ADDRESS_UNIT));
    log.resize(inode, 1).unwrap();
    assert_eq!(log.set_xattr(inode, XATTR_CONSISTENCY, b"strict"), Err(Refusal::NotEmptyFile));
    assert_eq!(log.set_xattr(inode, XATTR_ADDRESS, address_text(AT).as_bytes()), Err(Refusal::NotEmptyFile));
    log.resize(inode, 0).unwrap();
    log.set_xattr(inode, XATTR_ADDRESS, address_text(AT).as_bytes()).unwrap();
}

#[test]
fn invalid_properties_are_refused() {
    let mut log = Log::new();
    let inode = log.file("f");
    for bad in
        [&b""[..], b"0x", b"-1", b"0x1", b"nonsense", b"0x200000001000", b"0xffffffffffffffffff", b"+0x1"]
    {
        assert_eq!(log.set_xattr(inode, XATTR_ADDRESS, bad), Err(Refusal::BadAddress), "{bad:?}");
    }
    assert_eq!(log.set_xattr(inode, XATTR_CONSISTENCY, b"loose"), Err(Refusal::BadConsistency));
    assert_eq!(log.set_xattr(inode, b"user.scifs.colour", b"red"), Err(Refusal::UnknownProperty));
    make_at(&mut log, "g", AT, 1).unwrap();
    let taken = log.set_xattr(inode, XATTR_ADDRESS, address_text(AT).as_bytes());
    assert_eq!(taken, Err(Refusal::Overlaps { address: AT, inode: 3 }));
    assert_eq!(log.info(inode).address, None);
}

#[test]
fn attributes_are_bounded_and_kept_by_namespace() {
    let mut log = Log::new();
    let inode = log.file("f");
    assert_eq!(log.set_xattr(inode, b"system.posix_acl_access", b"x"), Err(Refusal::XattrUnsupported));
    assert_eq!(log.set_xattr(inode, b"other.x", b"x"), Err(Refusal::XattrUnsupported));
    let long = vec![0; XATTR_VALUE_BYTES_MAX + 1];
    assert_eq!(log.set_xattr(inode, b"user.a", &long), Err(Refusal::XattrTooLong));
    for name in [b"user.a", b"user.b"] {
        log.set_xattr(inode, name, &long[1..]).unwrap();
    }
    assert_eq!(log.set_xattr(inode, b"user.c", &long[1..]), Err(Refusal::XattrsFull));
    log.set_xattr(inode, b"user.a", b"short").unwrap();
    log.set_xattr(inode, b"security.c", &long[1..]).unwrap();
    let names = log.names.query(&Query::ListXattr { inode });
    assert_eq!(names, Ok(Found::XattrNames(vec![b"security.c".into(), b"user.a".into(), b"user.b".into()])));
    let now = log.now();
    let remove = Command::RemoveXattr { inode, name: XATTR_ADDRESS.to_vec(), now };
    assert_eq!(log.run(&remove), Err(Refusal::XattrFixed));
}

#[test]
fn names_have_a_longest_length_and_some_are_none() {
    let mut log = Log::new();
    let long = vec![b'x'; NAME_BYTES_MAX + 1];
    for (name, why) in [
        (&long[..], Refusal::NameTooLong),
        (b"", Refusal::BadName),
        (b".", Refusal::BadName),
        (b"..", Refusal::BadName),
        (b"a/b", Refusal::BadName),
        (b"a\0", Refusal::BadName),
    ] {
        let (name, now) = (name.to_vec(), log.now());
        assert_eq!(log.run(&Command::Unlink { parent: ROOT, name, now }), Err(why));
    }
}
