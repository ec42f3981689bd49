//! Golden bytes of every field type, and what a reader says to bytes that are wrong.

use super::*;
use crate::verbs::RemoteKey;

fn written(put: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    put(&mut writer);
    writer.finish().unwrap().to_vec()
}

#[test]
fn numbers_are_little_endian() {
    let bytes = written(|w| {
        w.u8(0x01);
        w.u16(0x0203);
        w.u32(0x0405_0607);
        w.u64(0x0809_0a0b_0c0d_0e0f);
        w.i64(-2);
    });
    assert_eq!(bytes[..7], [0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04]);
    assert_eq!(bytes[7..15], [0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08]);
    assert_eq!(bytes[15..], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.u8(), Ok(0x01));
    assert_eq!(reader.u16(), Ok(0x0203));
    assert_eq!(reader.u32(), Ok(0x0405_0607));
    assert_eq!(reader.u64(), Ok(0x0809_0a0b_0c0d_0e0f));
    assert_eq!(reader.i64(), Ok(-2));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn texts_lists_and_options_carry_their_length_first() {
    let bytes = written(|w| {
        w.text("name", "ab", 2);
        w.list("numbers", &[5u16, 6], 2, |w, n| w.u16(*n));
        w.option(Some(&9u8), |w, n| w.u8(*n));
        w.option(None::<&u8>, |w, n| w.u8(*n));
    });
    assert_eq!(bytes, [2, 0, 0, 0, b'a', b'b', 2, 0, 0, 0, 5, 0, 6, 0, 1, 9, 0]);
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.text("name", 2), Ok("ab"));
    assert_eq!(reader.list("numbers", 2, Reader::u16), Ok(vec![5, 6]));
    assert_eq!(reader.option(Reader::u8), Ok(Some(9)));
    assert_eq!(reader.option(Reader::u8), Ok(None));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn a_remote_key_takes_24_bytes_and_a_remote_slice_36() {
    let key = RemoteKey { key: 1, base: 2, bytes: 3 };
    let slice = key.slice(4, 5);
    let bytes = written(|w| w.remote_slice(&slice));
    let mut golden = [0; 36];
    for (at, value) in [(0, 1), (8, 2), (16, 3), (24, 4), (32, 5)] {
        golden[at] = value;
    }
    assert_eq!(bytes, golden);
    assert_eq!(written(|w| w.remote_key(&key)), golden[..24]);
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.remote_slice(), Ok(slice));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn a_writer_refuses_what_is_longer_than_its_limit_until_it_is_cleared() {
    let mut writer = Writer::new();
    writer.text("name", "abc", 2);
    writer.u8(1);
    assert_eq!(writer.finish(), Err(EncodeError { what: "name", length: 3, max: 2 }));
    writer.clear();
    writer.u8(1);
    assert_eq!(writer.finish(), Ok(&[1u8][..]));
}

#[test]
fn a_reader_names_what_is_wrong() {
    assert_eq!(Reader::new(&[1, 2]).u32(), Err(DecodeError::Truncated { at: 0, needed: 4, left: 2 }));
    assert_eq!(Reader::new(&[2]).bool(), Err(DecodeError::Invalid { what: "truth value", value: 2 }));
    assert_eq!(Reader::new(&[0; 8]).node(), Err(DecodeError::Invalid { what: "node id", value: 0 }));
    let too_long = Err(DecodeError::TooLong { what: "name", length: 3, max: 2 });
    assert_eq!(Reader::new(&[3, 0, 0, 0, 0, 0, 0]).bytes("name", 2), too_long);
    assert_eq!(Reader::new(&[1, 0, 0, 0, 0xff]).text("name", 2), Err(DecodeError::Text { what: "name" }));
    assert_eq!(Reader::new(&[0]).end(), Err(DecodeError::Trailing { bytes: 1, max: 0 }));
}

#[test]
fn a_list_that_claims_more_items_than_there_are_bytes_takes_no_memory() {
    let claims = [0, 0, 0, 1, 7];
    let list = Reader::new(&claims).list("numbers", usize::MAX, Reader::u8);
    assert_eq!(list, Err(DecodeError::Truncated { at: 4, needed: 1 << 24, left: 1 }));
}

struct Page;

impl Message for Page {
    const KIND: u16 = 300;
    const FENCED: bool = true;
    const BODY_BYTES_MAX: usize = 2;
    fn encode(&self, to: &mut Writer) {
        to.u8(7);
    }
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.u8().map(|_| Self)
    }
}

#[test]
fn a_body_is_given_as_it_lies_and_no_longer_than_its_kind_allows() {
    let (_, body) = decode_with_body::<Page>(&[7, 1, 2]).unwrap();
    assert_eq!(body, [1, 2]);
    let trailing = decode_with_body::<Page>(&[7, 1, 2, 3]).err();
    assert_eq!(trailing, Some(DecodeError::Trailing { bytes: 3, max: 2 }));
    assert_eq!(decode::<Page>(&[7, 1]).err(), Some(DecodeError::Trailing { bytes: 1, max: 0 }));
}
