//! Bodies and packets, byte by byte.

use super::*;

fn text(text: &str) -> Frame {
    Frame::Message(Message::Text(text.to_owned().into()))
}

fn bytes(bytes: &[u8]) -> Frame {
    Frame::Message(Message::Binary(Bytes::copy_from_slice(bytes)))
}

#[track_caller]
fn check(revision: Revision, is_binary: bool, body: &[u8], expected: Option<&[Frame]>) {
    let read = revision.payload(&Bytes::copy_from_slice(body), is_binary, 4);
    assert_eq!(read.ok().as_deref(), expected, "{:?}", String::from_utf8_lossy(body));
}

#[test]
fn a_body_of_revision_4_has_packets_between_separators() {
    let v4 = |body: &str, expected: Option<&[Frame]>| {
        check(Revision::V4, false, body.as_bytes(), expected)
    };
    v4("4hello", Some(&[text("hello")]));
    v4("4hello\u{1e}2\u{1e}4€", Some(&[text("hello"), Frame::Ping("".into()), text("€")]));
    v4("4hello\u{1e}bAQIDBA==", Some(&[text("hello"), bytes(&[1, 2, 3, 4])]));
    // Without padding, and empty.
    v4("bAQIDBA\u{1e}b\u{1e}4", Some(&[bytes(&[1, 2, 3, 4]), bytes(&[]), text("")]));
    v4("1\u{1e}3\u{1e}5\u{1e}6", Some(&[Frame::Close, Frame::Pong, Frame::Upgrade, Frame::Noop]));
    for wrong in
        ["", "abc", "4a\u{1e}", "\u{1e}4a", "4\u{1e}b!", "7", "3\u{1e}3\u{1e}3\u{1e}3\u{1e}3"]
    {
        v4(wrong, None);
    }
    check(Revision::V4, false, b"4\xff", None);
    check(Revision::V4, true, b"4a", None);
}

#[test]
fn a_body_of_revision_3_counts_as_javascript_does() {
    let v3 = |body: &str, expected: Option<&[Frame]>| {
        check(Revision::V3, false, body.as_bytes(), expected)
    };
    v3("6:4hello2:4€", Some(&[text("hello"), text("€")]));
    v3("3:4🦀1:2", Some(&[text("🦀"), Frame::Ping("".into())]));
    v3("2:4€10:b4AQIDBA==", Some(&[text("€"), bytes(&[1, 2, 3, 4])]));
    v3("0:1:3", Some(&[Frame::Pong]));
    for wrong in [
        "",
        "abc",
        "4hello",
        ":4",
        "x:4",
        "-1:4",
        "+1:4",
        "2:4",
        "2:4🦀",
        "1:4x",
        "1:a",
        "9999999999:4",
        "5:b5AAA",
        "1:31:31:31:31:3",
    ] {
        v3(wrong, None);
    }
}

#[test]
fn a_binary_body_of_revision_3_has_headers_of_bytes() {
    let v3 = |body: &[u8], expected: Option<&[Frame]>| check(Revision::V3, true, body, expected);
    let both = [0, 4, 0xff, b'4', 0xe2, 0x82, 0xac, 1, 5, 0xff, 4, 1, 2, 3, 4];
    v3(&both, Some(&[text("€"), bytes(&[1, 2, 3, 4])]));
    v3(&[1, 0, 0, 1, 0xff, 4], Some(&[bytes(&[])]));
    v3(&[], Some(&[]));
    for wrong in [
        &[0][..],
        &[0, 0xff],
        &[0, 1],
        &[0, 2, 0xff, b'4'],
        &[2, 1, 0xff, b'4'],
        &[0, 10, 0xff, b'4'],
        &[1, 1, 0xff, 2],
        &[0, 2, 0xff, b'4', 0xff],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0xff, b'4'],
    ] {
        v3(wrong, None);
    }
}

#[test]
fn a_message_of_a_websocket_is_one_packet() {
    let read = |revision: Revision, message| revision.frame(message).ok();
    let binary = |bytes: &'static [u8]| Message::Binary(Bytes::from_static(bytes));
    assert_eq!(read(Revision::V4, binary(&[1, 2])), Some(bytes(&[1, 2])));
    assert_eq!(read(Revision::V3, binary(&[4, 1, 2])), Some(bytes(&[1, 2])));
    assert_eq!(read(Revision::V3, binary(&[1, 2])), None);
    assert_eq!(read(Revision::V3, binary(&[])), None);
    let probe = Message::Text("2probe".into());
    assert_eq!(read(Revision::V4, probe), Some(Frame::Ping("probe".into())));
    assert_eq!(read(Revision::V4, Message::Text("".into())), None);
    assert_eq!(read(Revision::V4, Message::Text("bAQID".into())), None);
}

#[test]
fn what_is_said_on_a_poll_is_written_as_its_client_reads_it() {
    let said = |revision: Revision| {
        let hello = Message::Text("4🦀".into());
        [hello, revision.wrapped(Bytes::from_static(&[1, 2, 3, 4])), Message::Text("2".into())]
    };
    let written = |revision: Revision, takes_binary: bool| {
        let Polled { content_type, body } = revision.poll(takes_binary)(&said(revision));
        (content_type, body)
    };
    assert_eq!(written(Revision::V4, true), (TEXT, "4🦀\u{1e}bAQIDBA==\u{1e}2".into()));
    assert_eq!(written(Revision::V3, false), (TEXT, "3:4🦀10:b4AQIDBA==1:2".into()));
    let mut octets = vec![0, 5, 0xff, b'4'];
    octets.extend("🦀".bytes());
    octets.extend([1, 5, 0xff, 4, 1, 2, 3, 4, 0, 1, 0xff, b'2']);
    assert_eq!(written(Revision::V3, true), ("application/octet-stream", octets.into()));
    // Without anything binary both are alike.
    let text = Revision::V3.poll(true)(&[Message::Text("4a".into())]);
    assert_eq!(text, Polled { content_type: TEXT, body: "2:4a".into() });
    let many = vec![Message::Binary(vec![4; 12].into())];
    assert_eq!(Revision::V3.poll(true)(&many).body[..4], [1, 1, 2, 0xff]);
}
