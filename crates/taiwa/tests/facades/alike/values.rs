//! Messages, texts and codes without a connection.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    io::Cursor,
};

use super::{
    lib::tungstenite::{
        Bytes, Message, Utf8Bytes,
        protocol::{
            CloseFrame,
            frame::{
                Frame, FrameHeader,
                coding::{CloseCode, Control, Data, OpCode},
            },
        },
    },
    told,
};

pub(crate) fn all() -> Vec<String> {
    let mut told = messages();
    told.extend((0..=u16::MAX).map(|number| {
        let code = CloseCode::from(number);
        format!("{code:?} {code} {} {}", u16::from(code), code.is_allowed())
    }));
    told.extend((0..16).map(|bits| {
        let code = OpCode::from(bits);
        format!("{code:?} {code} {}", u8::from(code))
    }));
    told.extend(texts());
    told.extend(frames());
    told
}

fn messages() -> Vec<String> {
    let close = CloseFrame { code: CloseCode::Away, reason: "gone".into() };
    let messages = [
        Message::text("text"),
        Message::from("text"),
        Message::from("text".to_owned()),
        Message::binary(vec![1, 255]),
        Message::from(&b"bytes"[..]),
        Message::from(Bytes::from_static(b"")),
        Message::from(vec![0xe5, 0xaf, 0xbe]),
        Message::Ping(Bytes::from_static(b"ping")),
        Message::Pong(Bytes::from_static(&[0xff])),
        Message::Close(None),
        Message::Close(Some(close.clone())),
        Message::Frame(Frame::message("frame", OpCode::Data(Data::Text), true)),
    ];
    let mut told = vec![close.to_string()];
    for message in messages {
        let is = [
            message.is_text(),
            message.is_binary(),
            message.is_ping(),
            message.is_pong(),
            message.is_close(),
            message.is_empty(),
        ];
        told.push(format!("{} {is:?} {}", message.len(), told::message(&message)));
        told.push(format!("{message} {:?}", message.to_text().ok()));
        told.push(message.clone().into_text().map_or("none".into(), |it| it.to_string()));
        told.push(format!("{:?}", message.clone().into_data()));
        told.push(format!("{:?}", Bytes::from(message)));
    }
    told
}

fn texts() -> Vec<String> {
    let text = Utf8Bytes::from_static("b");
    let other = Utf8Bytes::from(&"b".to_owned());
    let hash = |it: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        it(&mut hasher);
        hasher.finish()
    };
    assert_eq!(hash(&|it| text.hash(it)), hash(&|it| "b".hash(it)));
    assert!(text == other && text == "b" && text < "c".into());
    let bytes: &[u8] = text.as_ref();
    let borrowed: &str = std::borrow::Borrow::borrow(&text);
    vec![
        format!("{bytes:?} {borrowed} {text} {}", text.to_uppercase()),
        format!("{:?}", Utf8Bytes::try_from(vec![b'a', 0xff]).err()),
        format!("{:?}", Utf8Bytes::try_from(Bytes::from_static("対".as_bytes())).is_ok()),
        format!("{:?}", Bytes::from(Utf8Bytes::default())),
    ]
}

fn frames() -> Vec<String> {
    let mut told = vec![format!("{:?}", FrameHeader::default())];
    let masked = FrameHeader {
        is_final: false,
        rsv2: true,
        opcode: OpCode::Control(Control::Ping),
        mask: Some([1, 2, 3, 4]),
        ..FrameHeader::default()
    };
    for len in [0, 125, 126, 65_535, 65_536] {
        let mut written = Vec::new();
        masked.format(len, &mut written).expect("memory can be written");
        told.push(format!("{} {written:?}", masked.len(len)));
        let mut cursor = Cursor::new(&written[..written.len() - 1]);
        told.push(format!("{:?} {}", FrameHeader::parse(&mut cursor).ok(), cursor.position()));
        let mut cursor = Cursor::new(&written);
        told.push(format!("{:?} {}", FrameHeader::parse(&mut cursor).ok(), cursor.position()));
    }
    for frame in [
        Frame::ping("ping"),
        Frame::pong(Bytes::new()),
        Frame::close(None),
        Frame::close(Some(CloseFrame { code: CloseCode::Library(4000), reason: "x".into() })),
        Frame::message(vec![9; 200], OpCode::Data(Data::Binary), false),
        Frame::from_payload(masked, Bytes::from_static(b"payload")),
    ] {
        let mut written = Vec::new();
        frame.clone().format(&mut written).expect("memory can be written");
        told.push(format!("{} {} {written:?}", frame.len(), frame.is_empty()));
        told.push(format!("{:?} {:?}", frame.header(), frame.to_text()));
        told.push(format!("{:?}", frame.into_text().map(|it| it.to_string())));
    }
    told
}
