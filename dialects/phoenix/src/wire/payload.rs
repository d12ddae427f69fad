//! What payloads of every kind become as JSON.
//!
//! | kind | |
//! |---|---|
//! | JSON | itself |
//! | text | a string |
//! | binary | `{"base64":"…"}`, where no binary frame can go |
//! | mixed | itself, each attachment as if it were alone |

use std::borrow::Cow;

use taiwa_core::{Mixed, Payload};

use super::envelope;

/// Writes a payload as a JSON text, which may span lines.
pub(crate) fn json_text(payload: &Payload) -> Cow<'_, [u8]> {
    match payload {
        Payload::Json(text) => Cow::Borrowed(text),
        Payload::Text(text) => Cow::Owned(quoted(&String::from_utf8_lossy(text)).into_bytes()),
        Payload::Binary(bytes) => Cow::Owned(envelope(bytes)),
        Payload::Mixed(mixed) => Cow::Owned(joined(mixed)),
        // What is not known yet arrives as nothing.
        _ => Cow::Borrowed(b"null"),
    }
}

/// Writes a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every text is a JSON string")
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
