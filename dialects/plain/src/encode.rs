//! What is said in a channel, as a plain client hears it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use taiwa_core::{Encoding, Message, Messages, Mixed, Payload, Publication, Recovered, Said};

use crate::framing::mark;

/// The payload and nothing else.
pub(crate) static ENCODING: Encoding = Encoding {
    name: "plain",
    encode: |said| match said {
        Said::Publication(it) => message(&it.payload).into(),
        _ => Messages::None,
    },
};

/// The same with the marks that a session of WebTransport takes: it tells volatile ones from others.
pub(crate) static MARKED: Encoding = Encoding {
    name: "plain-marked",
    encode: |said| match said {
        Said::Publication(it) => mark(message(&it.payload), it.volatile).into(),
        _ => Messages::None,
    },
};

/// Writes a payload: binary as it is, everything else as text.
pub(crate) fn message(payload: &Payload) -> Message {
    match payload {
        Payload::Json(bytes) | Payload::Text(bytes) => Message::Text(bytes.clone()),
        Payload::Binary(bytes) => Message::Binary(bytes.clone()),
        Payload::Mixed(mixed) => Message::Text(in_line(mixed)),
        // What is not known yet arrives empty.
        _ => Message::Text(Bytes::new()),
    }
}

/// Returns what came along with a subscription.
pub(crate) fn missed(recovered: &Recovered) -> &[Arc<Publication>] {
    match recovered {
        Recovered::Whole(all) | Recovered::Gap(all) => all,
        Recovered::NotAsked => &[],
    }
}

/// Writes JSON with its attachments in it, as strings in base64 (RFC 4648 §4).
fn in_line(mixed: &Mixed) -> Bytes {
    let mut text = Vec::new();
    for (i, piece) in mixed.pieces.iter().enumerate() {
        text.extend_from_slice(piece);
        if let Some(bytes) = mixed.attachments.get(i) {
            text.push(b'"');
            text.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            text.push(b'"');
        }
    }
    text.into()
}
