//! Packets of the text parser: the rules of Socket.IO's protocol, one a row.

use taiwa_core::{Message, Messages};

use super::super::{Assembly, Bounds, Packet, Reply};
use super::*;

const BOUNDS: Bounds = Bounds { attachments_max: 2, bytes_max: 8 };

/// Reads a packet with its attachments, each one byte, and shows it.
fn shown(text: &str, attachments: usize) -> Option<String> {
    let mut assembly = Assembly::default();
    let mut packet = assembly.take(Message::Text(text.to_owned().into()), BOUNDS).ok()?;
    for number in 0..attachments {
        assert!(packet.is_none(), "{text}");
        packet = assembly.take(Message::Binary(vec![number as u8].into()), BOUNDS).ok()?;
    }
    let Packet { namespace, said } = packet?;
    let said = match said {
        Said::Connect(auth) => format!("connect {auth:?}"),
        Said::Disconnect => "disconnect".into(),
        Said::Event { id, name, count, args } => {
            format!("event {id:?} {name:?} {count:?} {:?}", args.pieces)
        }
        Said::Ack { id, count, args } => format!("ack {id} {count:?} {:?}", args.pieces),
    };
    Some(format!("{namespace} {said}"))
}

#[test]
fn packets_are_read_as_the_protocol_writes_them() {
    for (text, expected) in [
        ("0", "/ connect None"),
        ("0{}", "/ connect Some(b\"{}\")"),
        ("0/admin,{\"token\":1}", "/admin connect Some(b\"{\\\"token\\\":1}\")"),
        ("0/admin", "/admin connect None"),
        ("1", "/ disconnect"),
        ("1/admin,", "/admin disconnect"),
        ("2[\"foo\"]", "/ event None b\"\\\"foo\\\"\" None [b\"\"]"),
        ("2/admin,[\"bar\", 1 ]", "/admin event None b\"\\\"bar\\\"\" One [b\"1\"]"),
        ("212[\"foo\",1 , [2]]", "/ event Some(12) b\"\\\"foo\\\"\" Several [b\"1 , [2]\"]"),
        ("2[7,\"x\"]", "/ event None b\"7\" One [b\"\\\"x\\\"\"]"),
        ("2/a,0[\"\"]", "/a event Some(0) b\"\\\"\\\"\" None [b\"\"]"),
        ("3/admin,13[]", "/admin ack 13 None [b\"\"]"),
        ("3999999999999999[null]", "/ ack 999999999999999 One [b\"null\"]"),
        ("50-[\"a\"]", "/ event None b\"\\\"a\\\"\" None [b\"\"]"),
    ] {
        assert_eq!(shown(text, 0).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn attachments_are_put_where_their_places_are() {
    let place = |number: usize| format!("{{\"_placeholder\":true,\"num\":{number}}}");
    let (zero, one) = (place(0), place(1));
    let expected = "/ event None b\"\\\"baz\\\"\" One [b\"\", b\"\"]";
    assert_eq!(shown(&format!("51-[\"baz\",{zero}]"), 1).as_deref(), Some(expected));
    let expected = "/admin ack 15 Several [b\"\\\"bar\\\",[\", b\"],\", b\"\"]";
    assert_eq!(
        shown(&format!("62-/admin,15[\"bar\",[{one}],{zero}]"), 2).as_deref(),
        Some(expected)
    );
}

#[test]
fn what_is_no_packet_is_a_fault() {
    for text in [
        "",
        "abc",
        "7",
        "4\"x\"",
        "8[]",
        "0[]",
        "0\"x\"",
        "0{",
        "0{}x",
        "1[]",
        "1x",
        "2",
        "2{}",
        "2[]",
        "2[null]",
        "2[{}]",
        "2[[]]",
        "2[\"a\"",
        "2[\"a\"]x",
        "2abc[\"a\"]",
        "2-1[\"a\"]",
        "21000000000000000[\"a\"]",
        "2/a[\"b\"]",
        "3[]",
        "312",
        "312{}",
        "5[\"a\"]",
        "5x-[\"a\"]",
        "5-[\"a\"]",
        "5-1-[\"a\"]",
        "53-[\"a\"]",
        "51",
        "2[\"\\ud800\"]",
        "2[\"connect\"]",
        "2[\"connect_error\"]",
        "2[\"disconnect\"]",
        "2[\"disconnecting\"]",
        "2[\"newListener\"]",
        "2[\"removeListener\"]",
        "2[\"\\u0063onnect\"]",
    ] {
        assert_eq!(shown(text, 0), None, "{text}");
    }
    for (text, attachments) in [
        ("51-[\"a\"]", 1),
        ("51-[\"a\",{\"_placeholder\":true,\"num\":1}]", 1),
        ("52-[\"a\",{\"_placeholder\":true,\"num\":0}]", 2),
        ("51-[{\"_placeholder\":true,\"num\":0}]", 0),
    ] {
        assert_eq!(shown(text, attachments), None, "{text}");
    }
}

#[test]
fn attachments_have_an_order_and_bounds() {
    let text = |text: &str| Message::Text(text.to_owned().into());
    let one = text("51-[\"a\",{\"_placeholder\":true,\"num\":0}]");
    let bytes = |len: usize| Message::Binary(vec![0; len].into());
    assert!(Assembly::default().take(bytes(1), BOUNDS).is_err(), "of no packet");
    let mut assembly = Assembly::default();
    assert_eq!(assembly.take(one.clone(), BOUNDS), Ok(None));
    assert!(assembly.is_waiting());
    assert!(assembly.take(text("2[\"a\"]"), BOUNDS).is_err(), "text in between");
    assert!(assembly.take(bytes(9), BOUNDS).is_err(), "too large");
    let mut assembly = Assembly::default();
    assert_eq!(assembly.take(one, BOUNDS), Ok(None));
    assert!(assembly.take(bytes(8), BOUNDS).is_ok_and(|it| it.is_some()));
    assert!(!assembly.is_waiting());
}

#[track_caller]
fn check(reply: &Reply<'_>, namespace: &str, expected: &[&str]) {
    for (revision, prefix) in [(Revision::V4, &[][..]), (Revision::V3, &[4])] {
        let messages: Messages = reply.text(revision, namespace);
        let shown: Vec<String> = messages
            .as_slice()
            .iter()
            .map(|it| match it {
                Message::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                Message::Binary(bytes) => format!("{:?}", bytes.strip_prefix(prefix).unwrap()),
            })
            .collect();
        assert_eq!(shown, expected);
    }
}

#[test]
fn packets_are_written_as_the_protocol_reads_them() {
    let args = |texts: &str| Args::json(texts.to_owned().into());
    let attached = Args {
        pieces: vec!["\"bar\",".into(), ",[".into(), "]".into()],
        attachments: vec![vec![1, 2].into(), vec![3].into()],
    };
    fn event<'a>(id: Option<u64>, args: &'a Args, offset: Option<&'a str>) -> Reply<'a> {
        Reply::Event { id, name: "\"foo\"", args, offset }
    }
    check(&Reply::Disconnect, "/", &["41"]);
    check(&Reply::Disconnect, "/admin", &["41/admin,"]);
    check(&event(None, &args(""), None), "/", &["42[\"foo\"]"]);
    check(&event(Some(12), &args("1, 2"), None), "/admin", &["42/admin,12[\"foo\",1, 2]"]);
    check(&event(None, &args(""), Some("AA")), "/", &["42[\"foo\",\"AA\"]"]);
    check(&event(None, &args("{}"), Some("AA")), "/", &["42[\"foo\",{},\"AA\"]"]);
    check(&Reply::Ack { id: 13, args: &args("") }, "/admin", &["43/admin,13[]"]);
    check(&Reply::Ack { id: 0, args: &args("\"bar\"") }, "/", &["430[\"bar\"]"]);
    let places = "\"bar\",{\"_placeholder\":true,\"num\":0},[{\"_placeholder\":true,\"num\":1}]";
    let first = format!("452-/admin,7[\"foo\",{places},\"AA\"]");
    check(&event(Some(7), &attached, Some("AA")), "/admin", &[&first, "[1, 2]", "[3]"]);
    let first = format!("462-15[{places}]");
    check(&Reply::Ack { id: 15, args: &attached }, "/", &[&first, "[1, 2]", "[3]"]);
}
