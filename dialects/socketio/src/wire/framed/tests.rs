//! Frames, byte by byte, as npm `engine.io-parser` writes and reads them.

use bytes::Bytes;

use super::*;

const MAX: usize = 100_000;

fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn bytes(bytes: &[u8]) -> Message {
    Message::Binary(Bytes::copy_from_slice(bytes))
}

fn framed(payload_bytes_max: usize) -> Framed {
    Framed { payload_bytes_max }
}

/// Reads all messages, and tells how many bytes are left.
fn all(arrived: &[u8], max: usize) -> Result<(Vec<Message>, usize), Unframed> {
    let mut arrived = BytesMut::from(arrived);
    let mut messages = vec![];
    while let Some(message) = framed(max).read(&mut arrived, 0, usize::MAX)? {
        messages.push(message);
    }
    Ok((messages, arrived.len()))
}

#[track_caller]
fn check(header: &[u8], message: &Message) {
    let mut written = BytesMut::from("before");
    framed(MAX).write(message, &mut written);
    let whole = [header, message.as_bytes()].concat();
    assert!(written == *[b"before", &whole[..]].concat(), "{header:?}");
    assert_eq!(all(&whole, MAX).unwrap(), (vec![message.clone()], 0));
}

#[test]
fn a_header_has_as_many_bytes_as_the_length_needs() {
    check(&[1], &text("0"));
    check(&[0x80 | 3], &bytes(&[1, 2, 3]));
    check(&[125], &text(&"x".repeat(125)));
    check(&[126, 0, 126], &text(&"x".repeat(126)));
    check(&[0x80 | 126, 0, 126], &bytes(&[7; 126]));
    check(&[126, 0xff, 0xff], &text(&"x".repeat(65_535)));
    check(&[127, 0, 0, 0, 0, 0, 1, 0, 0], &text(&"x".repeat(65_536)));
    check(&[0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 1], &bytes(&[7; 65_537]));
}

#[test]
fn a_length_may_be_written_longer_than_it_needs() {
    let written = [&[126, 0, 2][..], b"4a", &[0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 1, 9]].concat();
    assert_eq!(all(&written, MAX).unwrap(), (vec![text("4a"), bytes(&[9])], 0));
}

#[test]
fn what_arrives_in_pieces_is_read_when_it_is_whole() {
    let long = "対話".repeat(30_000);
    let messages = [text("0"), bytes(&[0; 200]), text(&long[..99_999]), bytes(&[1])];
    let mut whole = BytesMut::new();
    for message in &messages {
        framed(MAX).write(message, &mut whole);
    }
    for step in [1, 2, 3, 7, 1000] {
        let (mut arrived, mut read_so_far) = (BytesMut::new(), vec![]);
        for piece in whole.chunks(step) {
            arrived.extend_from_slice(piece);
            let next = || framed(MAX).read(&mut arrived, 0, MAX).unwrap();
            read_so_far.extend(std::iter::from_fn(next));
        }
        assert_eq!(read_so_far, messages, "{step} at a time");
        assert!(arrived.is_empty());
    }
}

#[test]
fn what_is_unfinished_waits() {
    for unfinished in [
        &[][..],
        &[5],
        &[5, b'4', b'a'],
        &[126],
        &[126, 0],
        &[126, 1, 0, b'4'],
        &[127, 0, 0, 0, 0, 0, 0, 0],
        &[0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 2, 1],
    ] {
        assert_eq!(all(unfinished, MAX).unwrap(), (vec![], unfinished.len()), "{unfinished:?}");
    }
}

#[test]
fn a_length_past_the_limit_fails_by_its_header() {
    let too_large = Err(Unframed::TOO_LONG);
    assert_eq!(all(&[11], 10), too_large);
    assert_eq!(all(&[126, 0, 126], 125), too_large);
    assert_eq!(all(&[0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_535), too_large);
    // Lengths that JavaScript has no number for, and that no address space has.
    assert_eq!(all(&[127, 0, 0x20, 0, 0, 0, 0, 0, 0], MAX), too_large);
    assert_eq!(all(&[127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], MAX), too_large);
    assert_eq!(all(&[10, b'4', b'a'], 10), Ok((vec![], 3)));
    // That of the server counts besides.
    let read = |max| framed(MAX).read(&mut BytesMut::from(&[11][..]), 0, max);
    assert_eq!((read(10), read(11)), (Err(Unframed::TOO_LONG), Ok(None)));
}

#[test]
fn a_text_is_utf8() {
    assert_eq!(all(&[2, b'4', 0xff], MAX), Err(Unframed::NO_TEXT));
    assert_eq!(all(&[0x82, b'4', 0xff], MAX), Ok((vec![bytes(&[b'4', 0xff])], 0)));
}

#[test]
fn nothing_at_all_is_read_as_such_and_written_so_that_published_parsers_read_it() {
    assert_eq!(all(&[0, 0x80], MAX), Ok((vec![text(""), bytes(&[])], 0)));
    let mut written = BytesMut::new();
    framed(MAX).write(&bytes(&[]), &mut written);
    assert_eq!(&written[..], [1, b'b']);
}

#[test]
fn the_first_packet_says_for_whom_a_session_is() {
    let known = |name: &str| Addressee::Known(name.into());
    assert_eq!(addressee(&text("0")), Addressee::New);
    assert_eq!(addressee(&text(r#"0{"sid":"abc"}"#)), known("abc"));
    assert_eq!(addressee(&text(r#"0{"other":[1],"sid":"a\"b"}"#)), known("a\"b"));
    for wrong in ["0{}", "0null", "0\"abc\"", "0{\"sid\":1}", "0{\"sid\":\"a\""] {
        let nobody = Addressee::Nobody(400, "Session ID unknown");
        assert_eq!(addressee(&text(wrong)), nobody, "{wrong}");
    }
    for wrong in [text(""), text("2probe"), text("40"), text("1"), bytes(b"0"), bytes(b"")] {
        assert_eq!(addressee(&wrong), Addressee::Nobody(400, "Bad request"), "{wrong:?}");
    }
}
