//! Messages as the framework and its clients write them, and nonsense.

use super::*;

#[test]
fn versions_are_those_of_the_framework() {
    for (vsn, expected) in [
        (None, Some(Serializer::V1)),
        (Some("1.0.0"), Some(Serializer::V1)),
        (Some("2.0.0"), Some(Serializer::V2)),
        (Some("2.0.12"), Some(Serializer::V2)),
        (Some("2.1.0"), None),
        (Some("123.1.1"), None),
        (Some(""), None),
        (Some("2.0."), None),
        (Some("2.0.x"), None),
    ] {
        assert_eq!(Serializer::of(vsn), expected, "{vsn:?}");
    }
}

#[track_caller]
fn text(serializer: Serializer, text: &str) -> Result<Incoming, Fault> {
    read(serializer, &Message::Text(text.to_owned().into()))
}

#[test]
fn lists_are_read_and_what_is_behind_the_fifth_is_not_looked_at() {
    let it = text(Serializer::V2, r#"["1", 2 ,"a\u0062","e",{"x" : [1.0]}, 9, {}]"#).unwrap();
    assert_eq!((it.join_ref.json(), it.reference.json()), ("\"1\"", "2"));
    assert_eq!((&*it.topic, &*it.event), ("ab", "e"));
    assert_eq!(it.payload, Payload::Json(r#"{"x" : [1.0]}"#.into()));
    for nonsense in [
        "",
        "{}",
        "[]",
        r#"[null,null,"a","b"]"#,
        r#"[null,null,1,"b",{}]"#,
        r#"[{},null,"a","b",{}]"#,
        r#"[null,[1],"a","b",{}]"#,
        r#"[null,null,"a","b",{}"#,
        r#"[null,null,"a","b",{}]]"#,
        &format!(r#"["{}",null,"a","b",{{}}]"#, "x".repeat(254)),
    ] {
        assert_eq!(text(Serializer::V2, nonsense), Err(Fault::Malformed), "{nonsense}");
    }
}

#[test]
fn objects_are_read_by_their_names() {
    let it = text(Serializer::V1, r#"{"ref":"1","topic":"t","event":"e","payload":null,"x":1}"#);
    let it = it.unwrap();
    assert_eq!((it.join_ref.is_none(), it.reference.json()), (true, "\"1\""));
    assert_eq!(it.payload, Payload::null());
    for nonsense in ["[]", r#"{"topic":"t"}"#, r#"[null,null,"t","e",{}]"#, "\u{feff}{}"] {
        assert_eq!(text(Serializer::V1, nonsense), Err(Fault::Malformed), "{nonsense}");
    }
}

#[test]
fn binary_frames_are_read_and_written_as_the_framework_does() {
    let frame = b"\x00\x02\x01\x04\x05\x31\x32\x33room\x68ello\x01\x02".as_slice();
    let it = read(Serializer::V2, &Message::Binary(frame.into())).unwrap();
    assert_eq!((it.join_ref.json(), it.reference.json()), ("\"12\"", "\"3\""));
    assert_eq!((&*it.topic, &*it.event), ("room", "hello"));
    assert_eq!(it.payload, Payload::Binary(Bytes::from_static(b"\x01\x02")));
    for cut in 0..frame.len() - 2 {
        let frame = Bytes::copy_from_slice(&frame[..cut]);
        assert_eq!(read(Serializer::V2, &Message::Binary(frame)), Err(Fault::Malformed), "{cut}");
    }
    let outlet = Outlet { serializer: Serializer::V2, is_binary: true, has_positions: false };
    let payload = Payload::Binary(Bytes::from_static(b"\xff"));
    let (join_ref, reference) = (Ref::of_text("12"), Ref::of_text("3"));
    let head = Head { join_ref: &join_ref, reference: "null", topic: "room", event: "hi" };
    for (written, expected) in [
        (outlet.broadcast("null", "room", "hi", &payload), b"\x02\x04\x02roomhi\xff".as_slice()),
        (outlet.push(head, &payload), b"\x00\x02\x04\x0212roomhi\xff"),
        (
            outlet.reply(&join_ref, &reference, "room", Status::Ok, &payload),
            b"\x01\x02\x01\x04\x02123roomok\xff",
        ),
    ] {
        assert_eq!(written, Message::Binary(Bytes::from_static(expected)));
    }
    // What a byte can't count is text.
    let long = "x".repeat(256);
    let written = outlet.broadcast("null", &long, "e", &payload);
    let expected = format!(r#"[null,null,"{long}","e",{{"base64":"/w=="}}]"#);
    assert_eq!(written, Message::Text(expected.into()));
}

#[test]
fn places_are_read_back_and_others_stand_where_no_history_is() {
    for at in [(1, 0), (u64::MAX, (1 << 53) - 1)] {
        let at = Position { epoch: at.0, offset: at.1 };
        assert_eq!(position(&place(at)), at);
    }
    for nonsense in ["", "-", "1-", "-1", "g-1", "1-+1", "1-9007199254740992", "1-1-1", "対-1"] {
        let at = position(nonsense);
        assert!(at.epoch == 0 || nonsense == "1-", "{nonsense}: {at:?}");
    }
}

#[test]
fn tokens_among_subprotocols_are_in_base64_of_either_alphabet_without_padding() {
    for (offered, expected) in [
        ("phoenix, base64url.bearer.phx.MTIzNA", Some("1234")),
        ("phoenix,base64url.bearer.phx.MTIzNA==", Some("1234")),
        ("base64url.bearer.phx.fj9-", Some("~?~")),
        ("base64url.bearer.phx.fj9+", Some("~?~")),
        ("phoenix", None),
        ("base64url.bearer.phx.*", None),
        ("base64url.bearer.phx._w", None),
    ] {
        assert_eq!(bearer(offered).as_deref(), expected, "{offered}");
    }
}

#[test]
fn a_wish_is_read_out_of_the_payload_and_nothing_else_is_mistaken_for_it() {
    for (payload, token, since) in [
        (r#"{"token":"t","since":"1-2","x":{}}"#, Some("t"), Some("1-2")),
        (r#"{"token":7,"since":{"a":1}}"#, None, None),
        ("[1]", None, None),
        ("{}", None, None),
    ] {
        let wish = wish(&Payload::Json(payload.into()));
        assert_eq!((wish.token.as_deref(), wish.since.as_deref()), (token, since), "{payload}");
    }
}
