//! Requests that are not what they should be.

use super::*;

/// Bytes of a request as the kernel sends them: header, then `fields`.
fn request(opcode: u32, fields: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&((40 + fields.len()) as u32).to_ne_bytes());
    bytes.extend_from_slice(&opcode.to_ne_bytes());
    for word in [7_u64, 2, 0, 0] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(fields);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// One well-formed request of every kind.
fn corpus() -> Vec<Vec<u8>> {
    let two_names = b"one\0two\0";
    let with_names = |head: &[u32]| [words(head), two_names.to_vec()].concat();
    let mut all = vec![
        request(1, b"name\0"),
        request(6, two_names),
        request(8, &with_names(&[0o100_644, 0, 0o22, 0])),
        request(9, &with_names(&[0o755, 0o22])),
        request(10, b"name\0"),
        request(12, &with_names(&[1, 0])),
        request(45, &with_names(&[1, 0, 1, 0])),
        request(13, &with_names(&[5, 0])),
        request(35, &with_names(&[2, 0o644, 0o22, 0])),
        request(16, &[words(&[1, 0, 0, 0, 8, 0, 0, 0, 0, 0]), b"contents".to_vec()].concat()),
        request(21, &[words(&[5, 0]), b"user.a\0value".to_vec()].concat()),
        request(22, &[words(&[64, 0]), b"user.a\0".to_vec()].concat()),
        request(39, &[words(&[1, 0, 0, 0x4008_F503, 0, 0, 8, 0]), b"contents".to_vec()].concat()),
        request(42, &words(&[2, 0, 5, 0, 1, 0, 6, 0, 1, 0])),
    ];
    all.extend((0..60).map(|opcode| request(opcode, &words(&[0; 24]))));
    all
}

fn parse(bytes: &[u8]) -> Option<String> {
    let (_, opcode, mut fields) = header(bytes).ok()?;
    operation(opcode, &mut fields).ok().map(|operation| format!("{operation:?}"))
}

#[test]
fn a_read_of_the_page_cache_and_one_of_a_process_are_told_apart() {
    for (read_flags, expected) in [(0, true), (READ_LOCKOWNER, false)] {
        let bytes = request(15, &words(&[1, 0, 0, 0, 4096, read_flags, 9, 9, 0, 0]));
        let (_, opcode, mut fields) = header(&bytes).unwrap();
        let Operation::Read { from_cache, .. } = operation(opcode, &mut fields).unwrap() else {
            panic!("not a read")
        };
        assert_eq!(from_cache, expected);
    }
}

#[test]
fn an_ioctl_brings_its_data_and_no_more_than_its_number_can_say() {
    let bytes = request(
        39,
        &[words(&[7, 0, IOCTL_ON_DIRECTORY, 0x4008_F503, 9, 0, 4, 16]), b"data".to_vec()].concat(),
    );
    let (_, opcode, mut fields) = header(&bytes).unwrap();
    let wanted =
        Ioctl { handle: 7, command: 0x4008_F503, data: b"data", answer_bytes_max: 16, on_directory: true };
    assert_eq!(operation(opcode, &mut fields), Ok(Operation::Ioctl(wanted)));
    let too_much = [words(&[7, 0, 0, 0, 0, 0, 1 << 14, 0]), vec![0; 1 << 14]].concat();
    assert_eq!(parse(&request(39, &too_much)), None);
}

const IOCTL_ON_DIRECTORY: u32 = 1 << 4;

#[test]
fn requests_cut_off_anywhere_are_refused_or_read_and_never_harm() {
    for whole in corpus() {
        assert!(parse(&whole).is_some(), "{whole:?}");
        for length in 0..whole.len() {
            parse(&whole[..length]);
        }
    }
}

#[test]
fn requests_with_any_byte_changed_are_refused_or_read_and_never_harm() {
    for whole in corpus() {
        for at in 4..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                parse(&changed);
            }
        }
    }
}

#[test]
fn a_list_of_forgotten_inodes_cannot_announce_more_than_it_holds() {
    let bytes = request(42, &words(&[u32::MAX, 0, 5, 0, 1, 0]));
    assert_eq!(parse(&bytes), None);
}
