//! Files without a name.

use super::*;

#[test]
fn an_unlinked_file_lives_until_every_member_has_let_it_go() {
    let mut log = Log::new();
    let inode = log.file("f");
    let attr = log.unlink("f").unwrap();
    assert!(matches!(attr, Answer::Attr(attr) if attr.links == 0));
    assert_eq!(log.events, [Event::Orphaned { inode }]);
    log.resize(inode, 5000).unwrap();
    let let_go = |member| Command::LetGo { member, inodes: vec![inode] };
    log.run(&let_go(2)).unwrap();
    log.run(&let_go(2)).unwrap();
    assert!(log.events.is_empty());
    assert_eq!(log.names.held_by(1).collect::<Vec<_>>(), [inode]);
    log.run(&let_go(1)).unwrap();
    assert_eq!(log.events, [Event::Deleted { inode }]);
    assert_eq!(log.get_attr(inode), Err(Refusal::Gone));
    log.run(&let_go(1)).unwrap();
}

#[test]
fn members_that_leave_hold_nothing_and_those_that_come_neither() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.unlink("f").unwrap();
    assert!(log.names.set_members([1, 2, 3].into()).is_empty());
    log.run(&Command::LetGo { member: 1, inodes: vec![inode] }).unwrap();
    assert_eq!(log.names.set_members([1, 3].into()), [Event::Deleted { inode }]);
}

#[test]
fn letting_go_of_what_has_a_name_does_nothing() {
    let mut log = Log::new();
    let inode = log.file("f");
    for member in [1, 2] {
        log.run(&Command::LetGo { member, inodes: vec![inode, 99] }).unwrap();
    }
    assert_eq!(log.get_attr(inode).map(|attr| attr.links), Ok(1));
}

#[test]
fn an_orphan_gets_no_name_again() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.unlink("f").unwrap();
    let now = log.now();
    let link = Command::Link { inode, parent: ROOT, name: b"g".to_vec(), now };
    assert_eq!(log.run(&link), Err(Refusal::NotFound));
}

#[test]
fn what_a_rename_replaces_is_an_orphan_too() {
    let mut log = Log::new();
    let (new, old) = (log.file("new"), log.file("old"));
    let now = log.now();
    let (name, new_name) = (b"new".to_vec(), b"old".to_vec());
    let how = Renaming::Replace;
    let rename = Command::Rename { parent: ROOT, name, new_parent: ROOT, new_name, how, now };
    assert_eq!(log.attr(&rename).inode, new);
    assert_eq!(log.events, [Event::Orphaned { inode: old }]);
}

#[test]
fn a_removed_directory_can_be_read_but_nothing_is_made_in_it() {
    let mut log = Log::new();
    let directory = log.make_in(ROOT, "d", Make::Directory);
    let now = log.now();
    log.attr(&Command::RmDir { parent: ROOT, name: b"d".to_vec(), now });
    let list = log.names.query(&Query::ReadDir { inode: directory, after: 0, max: 9 });
    assert_eq!(list, Ok(Found::Entries(Vec::new())));
    let (name, what) = (b"x".to_vec(), empty_file());
    let make = Command::Make { parent: directory, name, what, mode: 0, uid: 0, gid: 0, now };
    assert_eq!(log.run(&make), Err(Refusal::NotFound));
}

#[test]
fn numbers_of_deleted_inodes_are_never_given_again() {
    let mut log = Log::new();
    let first = log.file("f");
    log.unlink("f").unwrap();
    log.names.set_members([].into());
    assert!(log.file("f") > first);
}
