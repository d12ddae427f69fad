//! Packets in MessagePack, there and back.

use super::*;

const BOUNDS: Bounds = Bounds { attachments_max: 2, bytes_max: 8 };

fn read(bytes: &[u8]) -> Result<Packet, Fault> {
    Packet::msgpack(&Message::Binary(Bytes::copy_from_slice(bytes)), BOUNDS)
}

/// Writes an event with such arguments, reads it again, and returns them.
fn there_and_back(args: &Args) -> Args {
    let event = Reply::Event { id: Some(7), name: "\"say\"", args, offset: None };
    match read(&event.msgpack("/chat")) {
        Ok(Packet { namespace, said: Said::Event { id: Some(7), name, args, .. } })
            if *namespace == *"/chat" && name == "\"say\"" =>
        {
            args
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(json: &str, expected: &str) {
    let args = Args::json(json.to_owned().into());
    let back = there_and_back(&args);
    assert_eq!(String::from_utf8_lossy(&back.pieces[0]), expected);
}

#[test]
fn values_of_json_survive_the_way_there_and_back() {
    for same in [
        "",
        "1",
        "null,true,false",
        "[]",
        "{}",
        "[[],{},[{}]]",
        "\"\"",
        "\"é🦀\\n\\\"\"",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]}}",
        "0,127,128,255,256,65535,65536,4294967295,4294967296",
        "-1,-32,-33,-128,-129,-32769,-2147483649,-9223372036854775808",
        "1.5,-0.25,1e300",
    ] {
        check(same, &same.replace("1e300", "1e+300"));
    }
    check(" 1 , [ 2 , { \"a\" : 3 } ] ", "1,[2,{\"a\":3}]");
    // Larger numbers than there are of this kind are read as JavaScript reads them.
    check("18446744073709551616", "1.8446744073709552e+19");
    // Half of a surrogate is no text.
    check("\"\\ud800\"", "\"\\\\ud800\"");
}

#[test]
fn lengths_of_all_sizes_survive() {
    for len in [15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        let text = format!("\"{}\"", "x".repeat(len));
        check(&text, &text);
        let array = format!("[{}]", vec!["1"; len].join(","));
        check(&array, &array);
        let object: Vec<String> = (0..len).map(|it| format!("\"{it}\":{it}")).collect();
        let object = format!("{{{}}}", object.join(","));
        check(&object, &object);
    }
}

#[test]
fn attachments_stand_where_they_stood() {
    let args = Args {
        pieces: vec!["{\"a\":".into(), ",\"b\":[1,".into(), "]},2".into()],
        attachments: vec![vec![1, 2].into(), vec![].into()],
    };
    assert_eq!(there_and_back(&args), args);
    let large = Args { attachments: vec![vec![0; 9].into(), vec![].into()], ..args.clone() };
    let event = Reply::Event { id: None, name: "\"say\"", args: &large, offset: None };
    assert_eq!(read(&event.msgpack("/")), Err(Fault("too large attachments")));
    let pieces = vec!["".into(), ",".into(), ",".into(), "".into()];
    let many = Args { pieces, attachments: vec![vec![].into(); 3] };
    let event = Reply::Event { id: None, name: "\"say\"", args: &many, offset: None };
    assert_eq!(read(&event.msgpack("/")), Err(Fault("too many attachments")));
}

#[test]
fn what_is_nested_too_deep_is_written_as_nothing_and_read_as_a_fault() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check(&deep(128), &deep(128));
    let args = Args::json(deep(130).into());
    let event = Reply::Event { id: None, name: "\"say\"", args: &args, offset: None };
    assert_eq!(read(&event.msgpack("/")), Err(Fault("MessagePack nested too deep")));
    check(&deep(300), "null");
}

#[test]
fn what_ends_too_early_is_no_packet_wherever_it_ends() {
    let args = Args {
        pieces: vec!["{\"a\":[1.5,-700,\"é\",".into(), "]},70000".into()],
        attachments: vec![vec![1, 2].into()],
    };
    let whole = Reply::Event { id: Some(300), name: "\"say\"", args: &args, offset: None };
    let whole = whole.msgpack("/chat");
    assert!(read(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(read(&whole[..end]).is_err(), "{end}");
    }
}

#[test]
fn lengths_that_nobody_has_sent_take_no_memory() {
    // An array, a map, a text and binary data of four billion, where the data of an event belongs.
    for head in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
        let mut bytes = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e".to_vec();
        bytes.extend([head, 0xff, 0xff, 0xff, 0xff]);
        assert!(read(&bytes).is_err(), "{head:x}");
    }
}

#[test]
fn buffers_of_any_length_are_attachments_and_what_is_undefined_is_nothing() {
    // As npm's notepack.io writes [1, <ArrayBuffer of one byte>, <of eight>, undefined, a time].
    let mut bytes = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x96\xa1e\x01".to_vec();
    bytes.extend([0xc7, 1, 0, 3]);
    bytes.extend([0xc7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    bytes.extend([0xd4, 0, 0, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let bounds = Bounds { attachments_max: 2, bytes_max: 16 };
    let packet = Packet::msgpack(&Message::Binary(bytes.into()), bounds);
    let Ok(Packet { said: Said::Event { args, .. }, .. }) = packet else { panic!("{packet:?}") };
    assert_eq!(args.pieces, ["1,", ",", ",null,\"1970-01-01T00:00:00.001Z\""].map(Bytes::from));
    assert_eq!(args.attachments, [&[3][..], &[1, 2, 3, 4, 5, 6, 7, 8]].map(Bytes::copy_from_slice));
}
