//! Entry point for fuzzers: takes any bytes, calls what reads and writes messages, and asserts what must hold. Public for `fuzz/` and the
//! replay of its corpus, and for nobody else.

use bytes::Bytes;
use taiwa_core::{Message, Payload};

use crate::wire::{self, Head, Outlet, Serializer, Status, poll};

/// The first byte says how the rest comes: as a text of either serializer, a binary frame, or the body of a request.
pub fn messages(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let rest = Bytes::copy_from_slice(rest);
    let (serializer, messages) = match how % 4 {
        0 => (Serializer::V2, vec![Message::Text(rest.clone())]),
        1 => (Serializer::V1, vec![Message::Text(rest.clone())]),
        2 => (Serializer::V2, vec![Message::Binary(rest.clone())]),
        _ => match poll::messages("application/x-ndjson", &rest) {
            Ok(messages) => (Serializer::V2, messages),
            Err(_) => return,
        },
    };
    for message in &messages {
        one(serializer, message);
    }
    if let Ok(text) = std::str::from_utf8(&rest) {
        let at = wire::position(text);
        assert_eq!(wire::position(&wire::place(at)), at);
        wire::bearer(text);
        Serializer::of(Some(text));
    }
}

/// What is read is read again as it was once it is written.
fn one(serializer: Serializer, message: &Message) {
    let Ok(read) = wire::read(serializer, message) else { return };
    wire::wish(&read.payload);
    for (is_binary, has_positions) in [(true, true), (false, false)] {
        let outlet = Outlet { serializer, is_binary, has_positions };
        let head = Head {
            join_ref: &read.join_ref,
            reference: read.reference.json(),
            topic: &read.topic,
            event: &read.event,
        };
        let refs = (&read.join_ref, &read.reference);
        let written = [
            outlet.push(head, &read.payload),
            outlet.broadcast("null", &read.topic, &read.event, &read.payload),
            outlet.reply(refs.0, refs.1, &read.topic, Status::Ok, &read.payload),
        ];
        for message in &written {
            if let Message::Text(text) = message {
                let text = std::str::from_utf8(text).expect("a text is UTF-8");
                serde_json::from_str::<serde::de::IgnoredAny>(text).expect("a text is JSON");
            }
        }
        let body = poll::polled(&written).body;
        let body = [poll::head("lp-x").as_bytes(), &body].concat();
        serde_json::from_slice::<serde::de::IgnoredAny>(&body).expect("a body is JSON");
        if let Payload::Json(_) = read.payload {
            let mut again = wire::read(serializer, &written[0]).expect("what we write we read");
            if serializer == Serializer::V1 {
                again.join_ref = read.join_ref.clone();
            }
            assert_eq!(again, read);
        }
    }
}
