use scios::limits::{COMMAND_BYTES_MAX, RESULT_BYTES_MAX, RPC_MESSAGE_BYTES_MAX};
use scios::rpc::codec::{Message, Reader, Writer, decode};

use super::query::{Ask, Asked, Settle, Settled};
use super::refusal::PLAIN;
use super::{decode_outcome, encode_outcome};
use crate::names::limits::*;
use crate::names::*;

const NOW: Time = Time { seconds: 0x0102_0304, nanos: 5 };

fn attr() -> Attr {
    Attr {
        inode: 9,
        kind: Kind::File,
        mode: 0o4755,
        links: 2,
        uid: 3,
        gid: 4,
        size: 5,
        device: 6,
        atime: NOW,
        mtime: Time { seconds: -1, nanos: 999_999_999 },
        ctime: NOW,
        birth: NOW,
    }
}

fn commands() -> Vec<Command> {
    let (name, now) = (b"name".to_vec(), NOW);
    let changes = Changes {
        mode: Some(0o644),
        uid: Some(7),
        size: Some(8),
        mtime: Some(NOW),
        drop_privileges: true,
        ..Changes::default()
    };
    let file = Make::File { consistency: Consistency::Lazy, address: Some(ADDRESS_FIRST), size: 1 << 40 };
    let device = Make::Special { kind: Special::BlockDevice, device: 0x0803 };
    let makes = [file, Make::Directory, Make::SymLink { target: b"to".to_vec() }, device];
    let make = |what| Command::Make { parent: 1, name: name.clone(), what, mode: 0o644, uid: 1, gid: 2, now };
    let mut all: Vec<Command> = makes.into_iter().map(make).collect();
    for how in [Renaming::Replace, Renaming::NoReplace, Renaming::Exchange] {
        let (name, new_name) = (name.clone(), b"other".to_vec());
        all.push(Command::Rename { parent: 1, name, new_parent: 2, new_name, how, now });
    }
    all.extend([
        Command::Link { inode: 3, parent: 1, name: name.clone(), now },
        Command::Unlink { parent: 1, name: name.clone(), now },
        Command::RmDir { parent: 1, name: name.clone(), now },
        Command::SetAttr { inode: 3, changes, now },
        Command::Grow { inode: 3, size: 4097, now },
        Command::Append { inode: 3, at: 5, bytes: 10, now },
        Command::Punch { inode: 3, first_page: 4, pages: 600, now },
        Command::Touch { inode: 3, written: now },
        Command::SetXattr {
            inode: 3,
            name: b"user.a".to_vec(),
            value: vec![1; XATTR_VALUE_BYTES_MAX],
            setting: Setting::Create,
            now,
        },
        Command::RemoveXattr { inode: 3, name: b"user.a".to_vec(), now },
        Command::Pin { inode: 3 },
        Command::LetGo { member: 2, inodes: (1..=LET_GO_MAX as u64).collect() },
    ]);
    all
}

fn founds() -> Vec<Found> {
    let entry = Entry { cookie: 3, inode: 4, kind: Kind::Fifo, name: vec![b'n'; NAME_BYTES_MAX] };
    let piece = |at: u32| Piece { first_page: at, generation: at };
    let layout = Layout { pieces: (0..PIECES_MAX as u32).map(piece).collect() };
    let info = FileInfo { attr: attr(), layout, consistency: Consistency::Lazy, address: Some(1 << 45) };
    vec![
        Found::Attr(attr()),
        Found::Entries(vec![entry; ENTRIES_MAX]),
        Found::Target(vec![b't'; TARGET_BYTES_MAX]),
        Found::Value(vec![7; XATTR_VALUE_BYTES_MAX]),
        Found::XattrNames(vec![b"user.a".to_vec(), b"user.b".to_vec()]),
        Found::Totals(Totals { inodes: 5, inodes_max: 6 }),
        Found::File(info),
    ]
}

fn queries() -> Vec<Query> {
    vec![
        Query::Lookup { parent: 1, name: b"n".to_vec() },
        Query::GetAttr { inode: 1 },
        Query::ReadDir { inode: 1, after: 7, max: 100 },
        Query::ReadLink { inode: 2 },
        Query::GetXattr { inode: 2, name: b"user.a".to_vec() },
        Query::ListXattr { inode: 2 },
        Query::StatFs,
        Query::File { inode: 2 },
    ]
}

fn bytes_of(message: &impl Message) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer);
    writer.finish().unwrap().to_vec()
}

/// Every cut and a change of every byte (of the first ones, where it is long) must be refused or read as something else.
fn mangle(bytes: &[u8], read: impl Fn(&[u8])) {
    let some = |at: &usize| *at < 400 || at.is_multiple_of(211);
    for end in (0..bytes.len()).filter(some) {
        read(&bytes[..end]);
    }
    for at in (0..bytes.len()).filter(some) {
        for change in [1, 0x80, 0xff] {
            let mut other = bytes.to_vec();
            other[at] ^= change;
            read(&other);
        }
    }
}

#[test]
fn every_command_comes_back_and_fits_into_the_log() {
    for command in commands() {
        command.check().unwrap();
        let bytes = command.encode().unwrap();
        assert!(bytes.len() <= COMMAND_BYTES_MAX, "{command:?}");
        assert_eq!(Command::decode(&bytes).unwrap(), command);
    }
}

#[test]
fn every_outcome_comes_back_and_fits_into_a_result() {
    let mut outcomes: Vec<Result<Answer, Refusal>> = vec![
        Ok(Answer::Done),
        Ok(Answer::Attr(attr())),
        Ok(Answer::Address(ADDRESS_FIRST)),
        Err(Refusal::Overlaps { address: 1, inode: 2 }),
        Err(Refusal::NoRoom { address: 1, inode: 2 }),
    ];
    outcomes.extend(PLAIN.into_iter().map(|(_, refusal)| Err(refusal)));
    for outcome in outcomes {
        let bytes = encode_outcome(77, &outcome).unwrap();
        assert!(bytes.len() <= RESULT_BYTES_MAX);
        assert_eq!(decode_outcome(&bytes).unwrap(), (77, outcome));
    }
}

#[test]
fn no_two_refusals_share_a_code() {
    let mut codes: Vec<u8> = PLAIN.iter().map(|(code, _)| *code).collect();
    codes.extend([0, 32, 33]);
    codes.sort_unstable();
    assert!(codes.is_sorted_by(|a, b| a < b));
}

#[test]
fn queries_and_what_they_find_come_back_and_fit_into_a_message() {
    for query in queries() {
        assert_eq!(decode::<Ask>(&bytes_of(&Ask(query.clone()))).unwrap(), Ask(query));
    }
    for found in founds() {
        let asked = Asked::Found { index: 3, found };
        let bytes = bytes_of(&asked);
        assert!(bytes.len() <= RPC_MESSAGE_BYTES_MAX);
        assert_eq!(decode::<Asked>(&bytes).unwrap(), asked);
    }
    assert_eq!(decode::<Asked>(&bytes_of(&Asked::NotLeader)).unwrap(), Asked::NotLeader);
    let refused = Asked::Refused(Refusal::NotFound);
    assert_eq!(decode::<Asked>(&bytes_of(&refused)).unwrap(), refused);
}

#[test]
fn mangled_bytes_never_panic_a_decoder() {
    for command in commands() {
        mangle(&command.encode().unwrap(), |bytes| drop(Command::decode(bytes)));
    }
    let outcome = encode_outcome(1, &Ok(Answer::Attr(attr()))).unwrap();
    mangle(&outcome, |bytes| drop(decode_outcome(bytes)));
    for query in queries() {
        mangle(&bytes_of(&Ask(query)), |bytes| drop(Ask::decode(&mut Reader::new(bytes))));
    }
    for found in founds() {
        mangle(&bytes_of(&Asked::Found { index: 1, found }), |bytes| {
            drop(Asked::decode(&mut Reader::new(bytes)));
        });
    }
}

#[test]
fn layouts_are_what_wire_md_says() {
    let make = Command::Make {
        parent: 2,
        name: b"ab".to_vec(),
        what: Make::File { consistency: Consistency::Strict, address: None, size: 3 },
        mode: 0o644,
        uid: 4,
        gid: 5,
        now: Time { seconds: 6, nanos: 7 },
    };
    let golden = [
        &[1][..],
        &[2, 0, 0, 0, 0, 0, 0, 0],
        &[6, 0, 0, 0, 0, 0, 0, 0],
        &[7, 0, 0, 0],
        &[2, 0, 0, 0, b'a', b'b'],
        &[0xa4, 1, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0],
        &[0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(make.encode().unwrap(), golden);
    assert_eq!(encode_outcome(258, &Ok(Answer::Done)).unwrap(), [2, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encode_outcome(1, &Err(Refusal::Exists)).unwrap(), [1, 0, 0, 0, 0, 0, 0, 0, 3, 3]);
    let read = Query::ReadDir { inode: 1, after: 2, max: 3 };
    let golden = [&[3, 1, 0, 0, 0, 0, 0, 0, 0][..], &[2, 0, 0, 0, 0, 0, 0, 0], &[3, 0, 0, 0]].concat();
    assert_eq!(bytes_of(&Ask(read)), golden);
    assert_eq!(bytes_of(&Settle { index: 4 }), [4, 0, 0, 0, 0, 0, 0, 0]);
    assert!(bytes_of(&Settled).is_empty());
    assert_eq!([Ask::KIND, Asked::KIND, Settle::KIND, Settled::KIND], [272, 273, 274, 275]);
}
