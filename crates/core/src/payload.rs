//! What a publisher said: its own bytes, which the hub never opens.

use std::sync::Arc;

use bytes::Bytes;

/// The publisher's own bytes and what they are. ARCHITECTURE.md has the table of what each becomes in each dialect.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Payload {
    /// A JSON text (RFC 8259), known to be well formed UTF-8. It may have line ends between its tokens; a dialect that
    /// frames by lines takes raw CR and LF out, which inside of strings are always escaped.
    Json(Bytes),
    /// UTF-8 text, known to be well formed, that need not be JSON.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// JSON with binary attachments.
    Mixed(Arc<Mixed>),
}

/// A JSON text that refers to binary attachments, as Socket.IO's clients send it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mixed {
    /// The JSON text in pieces, one more than there are attachments: where two pieces meet, the attachment of that
    /// number stands as a value. So no placeholder of a dialect can be mistaken for what a user wrote.
    pub pieces: Box<[Bytes]>,
    /// The attachments, in order.
    pub attachments: Box<[Bytes]>,
}

impl Payload {
    /// Returns the JSON text `null`.
    pub const fn null() -> Self {
        Self::Json(Bytes::from_static(b"null"))
    }

    /// Tells whether it is a JSON array, or JSON with attachments that is one: what
    /// [`Publication::is_list`](crate::Publication::is_list) asks for. Of what is well formed the first character says so.
    pub fn is_list(&self) -> bool {
        let begins = |json: &[u8]| json.trim_ascii_start().first() == Some(&b'[');
        match self {
            Self::Json(json) => begins(json),
            Self::Mixed(mixed) => mixed.pieces.first().is_some_and(|it| begins(it)),
            Self::Text(_) | Self::Binary(_) => false,
        }
    }

    /// Returns how many bytes it takes.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(bytes) | Self::Text(bytes) | Self::Binary(bytes) => bytes.len(),
            Self::Mixed(mixed) => {
                mixed.pieces.iter().chain(&mixed.attachments).map(Bytes::len).sum()
            }
        }
    }

    /// Tells whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is said to clients alone, or what they are called with: one payload, or several arguments side by side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arguments {
    /// The one argument, or the list of them.
    pub payload: Payload,
    /// Whether it is a list of arguments; see [`Publication::is_list`](crate::Publication::is_list). It is left out of account where the payload
    /// [is none](Payload::is_list).
    pub is_list: bool,
}

impl From<Payload> for Arguments {
    /// Takes a payload as the one argument, also where it is a list.
    fn from(payload: Payload) -> Self {
        Self { payload, is_list: false }
    }
}
