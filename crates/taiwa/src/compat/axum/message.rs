//! What goes over a [`WebSocket`](super::WebSocket), with control frames.

use std::{fmt, ops::Deref, str};

use axum_core::Error;
use bytes::Bytes;
use taiwa_proto as proto;

/// Bytes that are known to be UTF-8; a `str` that clones without copying.
///
/// ```
/// use taiwa::compat::axum::Utf8Bytes;
/// let text = Utf8Bytes::from_static("foo123");
/// assert_eq!(text, "foo123");
/// assert_eq!(text, String::from("foo123"));
/// assert_eq!(text.len(), 6);
/// assert!(Utf8Bytes::try_from(vec![0xff]).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utf8Bytes(pub(super) proto::Utf8Bytes);

impl Utf8Bytes {
    /// Wraps a string that lives as long as the program.
    pub const fn from_static(str: &'static str) -> Self {
        Self(proto::Utf8Bytes::from_static(str))
    }

    /// Borrows the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        match proto::Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Ok(Self(text)),
            // The fast way does not tell where; the slow one does.
            Err(_) => str::from_utf8(&bytes).map(|text| Self(text.into())),
        }
    }
}

impl TryFrom<Vec<u8>> for Utf8Bytes {
    type Error = str::Utf8Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Self::try_from(Bytes::from(bytes))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Utf8Bytes {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0.into_bytes()
    }
}

/// To whatever a `&str` compares with.
impl<T> PartialEq<T> for Utf8Bytes
where
    for<'a> &'a str: PartialEq<T>,
{
    fn eq(&self, other: &T) -> bool {
        self.as_str() == *other
    }
}

/// The code of a Close frame; see [`close_code`](super::close_code).
pub type CloseCode = u16;

/// Why a connection is closed (RFC 6455 §5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code.
    pub code: CloseCode,
    /// The reason, at most 123 bytes.
    pub reason: Utf8Bytes,
}

/// A message or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A message of text.
    Text(Utf8Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// A Ping, at most 125 bytes. One that is received has been answered already.
    Ping(Bytes),
    /// A Pong, at most 125 bytes. One that is sent answers no Ping (RFC 6455 §5.5.3).
    Pong(Bytes),
    /// A Close frame. One that is received has been answered already, and is the last thing that comes. After
    /// one that is sent nothing more can be sent.
    Close(Option<CloseFrame>),
}

impl Message {
    /// Makes a message of text.
    pub fn text<S: Into<Utf8Bytes>>(string: S) -> Self {
        Self::Text(string.into())
    }

    /// Makes a message of bytes.
    pub fn binary<B: Into<Bytes>>(bin: B) -> Self {
        Self::Binary(bin.into())
    }

    /// Takes the payload; of a Close frame its reason.
    pub fn into_data(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes,
            Self::Close(frame) => frame.map(|it| it.reason.into()).unwrap_or_default(),
        }
    }

    /// Takes the payload as text; of a Close frame its reason.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn into_text(self) -> Result<Utf8Bytes, Error> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => {
                Utf8Bytes::try_from(bytes).map_err(Error::new)
            }
            Self::Close(frame) => Ok(frame.map(|it| it.reason).unwrap_or_default()),
        }
    }

    /// Borrows the payload as text; of a Close frame its reason.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn to_text(&self) -> Result<&str, Error> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => {
                str::from_utf8(bytes).map_err(Error::new)
            }
            Self::Close(frame) => Ok(frame.as_ref().map_or("", |it| &it.reason)),
        }
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
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl From<Message> for Vec<u8> {
    fn from(message: Message) -> Self {
        message.into_data().into()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn payloads_come_out_as_bytes_and_as_text() {
        let close = CloseFrame { code: 1000, reason: "bye".into() };
        for (message, text) in [
            (Message::from("対話"), Some("対話")),
            (Message::from(String::from("a")), Some("a")),
            (Message::from(&b"b"[..]), Some("b")),
            (Message::from(vec![0xff]), None),
            (Message::Ping(Bytes::from_static(b"p")), Some("p")),
            (Message::Pong(Bytes::from_static(b"\xff")), None),
            (Message::Close(Some(close)), Some("bye")),
            (Message::Close(None), Some("")),
        ] {
            assert_eq!(message.to_text().ok(), text);
            assert_eq!(message.clone().into_text().ok().as_deref(), text);
            if let Some(text) = text {
                assert_eq!(message.clone().into_data(), text);
                assert_eq!(Vec::from(message), text.as_bytes());
            }
        }
    }

    #[test]
    fn text_compares_with_all_that_a_str_compares_with() {
        let text = Utf8Bytes::from(&String::from("foo123"));
        assert_eq!(text, "foo123");
        assert_eq!(text, "foo123".to_owned());
        assert_eq!(text, Cow::from("foo123"));
        assert_eq!((text.to_string().as_str(), &Bytes::from(text)[..]), ("foo123", &b"foo123"[..]));
        let error = Utf8Bytes::try_from(Bytes::from_static(b"ab\xff")).unwrap_err();
        assert_eq!(error.valid_up_to(), 2);
    }
}
