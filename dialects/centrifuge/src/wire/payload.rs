//! What payloads of every kind become in JSON and in Protocol Buffers.
//!
//! | kind | in JSON | in Protocol Buffers |
//! |---|---|---|
//! | JSON | itself | its bytes |
//! | text | a string | its bytes |
//! | binary | `{"base64":"…"}` | its bytes |
//! | mixed | itself, each attachment as if it were alone | the bytes of that JSON text |

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::de::IgnoredAny;

use taiwa_core::{Mixed, Payload};

/// Writes a payload as a JSON text, which may span lines.
pub(super) fn json_text(payload: &Payload) -> Cow<'_, [u8]> {
    match payload {
        Payload::Json(text) => Cow::Borrowed(text),
        Payload::Text(text) => Cow::Owned(quoted(text)),
        Payload::Binary(bytes) => Cow::Owned(envelope(bytes)),
        Payload::Mixed(mixed) => Cow::Owned(joined(mixed)),
        _ => Cow::Borrowed(b"null"),
    }
}

/// Writes a payload as bytes.
pub(super) fn bytes(payload: &Payload) -> Cow<'_, [u8]> {
    match payload {
        Payload::Json(bytes) | Payload::Text(bytes) | Payload::Binary(bytes) => {
            Cow::Borrowed(bytes)
        }
        Payload::Mixed(mixed) => Cow::Owned(joined(mixed)),
        _ => Cow::Borrowed(b""),
    }
}

/// Finds out what bytes are: Protocol Buffers does not say it. What reads as JSON is JSON, so that clients of either
/// encoding understand each other; to clients of Protocol Buffers the bytes arrive as they left in any case.
pub(super) fn kind(bytes: Bytes) -> Payload {
    // serde_json does not look into strings that it ignores.
    let text = std::str::from_utf8(&bytes).ok();
    match text.is_some_and(|it| serde_json::from_str::<IgnoredAny>(it).is_ok()) {
        true => Payload::Json(bytes),
        false => Payload::Binary(bytes),
    }
}

/// Writes UTF-8 as a JSON string. What is not UTF-8 can't be in a text and is replaced.
pub(super) fn quoted(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    serde_json::to_vec(&*text).expect("a string is written into memory")
}

fn envelope(bytes: &[u8]) -> Vec<u8> {
    format!("{{\"base64\":\"{}\"}}", STANDARD.encode(bytes)).into_bytes()
}

fn joined(mixed: &Mixed) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, piece) in mixed.pieces.iter().enumerate() {
        out.extend_from_slice(piece);
        if let Some(attachment) = mixed.attachments.get(i) {
            out.extend_from_slice(&envelope(attachment));
        }
    }
    out
}
