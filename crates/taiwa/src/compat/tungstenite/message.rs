//! [`Message`]: what is sent and received, control frames included.

use std::{fmt, str};

use bytes::Bytes;

use super::{
    error::Result,
    frame::{CloseFrame, Frame},
    utf8_bytes::Utf8Bytes,
};

/// A message or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
    /// A Ping, at most 125 bytes. One that is received is answered already.
    Ping(Bytes),
    /// A Pong, at most 125 bytes.
    Pong(Bytes),
    /// A Close frame. One that is received is answered already.
    Close(Option<CloseFrame>),
    /// A frame to send as it is. Never received.
    Frame(Frame),
}

impl Message {
    /// Makes a text message.
    pub fn text<S: Into<Utf8Bytes>>(string: S) -> Self {
        Self::Text(string.into())
    }

    /// Makes a binary message.
    pub fn binary<B: Into<Bytes>>(bin: B) -> Self {
        Self::Binary(bin.into())
    }

    /// Tells whether it is a text message.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Tells whether it is a binary message.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// Tells whether it is a Ping.
    pub fn is_ping(&self) -> bool {
        matches!(self, Self::Ping(_))
    }

    /// Tells whether it is a Pong.
    pub fn is_pong(&self) -> bool {
        matches!(self, Self::Pong(_))
    }

    /// Tells whether it is a Close frame.
    pub fn is_close(&self) -> bool {
        matches!(self, Self::Close(_))
    }

    /// Returns how many bytes of payload it has: of a Close frame the reason's, of a
    /// [`Frame`](Self::Frame) those of the whole frame.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(it) => it.len(),
            Self::Binary(it) | Self::Ping(it) | Self::Pong(it) => it.len(),
            Self::Close(it) => it.as_ref().map_or(0, |it| it.reason.len()),
            Self::Frame(it) => it.len(),
        }
    }

    /// Tells whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the payload as bytes; of a Close frame the reason.
    pub fn into_data(self) -> Bytes {
        match self {
            Self::Text(it) => it.into(),
            Self::Binary(it) | Self::Ping(it) | Self::Pong(it) => it,
            Self::Close(it) => it.map(|it| it.reason.into()).unwrap_or_default(),
            Self::Frame(it) => it.into_payload(),
        }
    }

    /// Takes the payload as text; of a Close frame the reason.
    ///
    /// # Errors
    /// [`Error::Utf8`](super::error::Error::Utf8) if it is none.
    pub fn into_text(self) -> Result<Utf8Bytes> {
        Ok(match self {
            Self::Text(it) => it,
            Self::Binary(it) | Self::Ping(it) | Self::Pong(it) => it.try_into()?,
            Self::Close(it) => it.map(|it| it.reason).unwrap_or_default(),
            Self::Frame(it) => it.into_text()?,
        })
    }

    /// Borrows the payload as text; of a Close frame the reason.
    ///
    /// # Errors
    /// [`Error::Utf8`](super::error::Error::Utf8) if it is none.
    pub fn to_text(&self) -> Result<&str> {
        Ok(match self {
            Self::Text(it) => it.as_str(),
            Self::Binary(it) | Self::Ping(it) | Self::Pong(it) => str::from_utf8(it)?,
            Self::Close(it) => it.as_ref().map_or("", |it| it.reason.as_str()),
            Self::Frame(it) => it.to_text()?,
        })
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::binary(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl From<Message> for Bytes {
    fn from(message: Message) -> Self {
        message.into_data()
    }
}

impl From<crate::Message> for Message {
    fn from(message: crate::Message) -> Self {
        match message {
            crate::Message::Text(it) => Self::Text(it.into()),
            crate::Message::Binary(it) => Self::Binary(it),
        }
    }
}

impl fmt::Display for Message {
    /// Writes the payload if it is text, otherwise its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_text() {
            Ok(text) => f.write_str(text),
            Err(_) => write!(f, "Binary Data<length={}>", self.len()),
        }
    }
}
