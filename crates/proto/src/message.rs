//! Messages and the text they carry.

use std::{fmt, ops::Deref, str};

use bytes::Bytes;

/// What a message carries (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

/// A whole message. Cloning it copies no payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    /// Borrows the payload.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes()
    }

    /// Takes the payload, whatever the kind.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.0,
            Self::Binary(bytes) => bytes,
        }
    }

    /// Borrows the text; `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Self::Text(text) => &text.0,
            Self::Binary(bytes) => bytes,
        }
    }
}

macro_rules! from {
    ($($source:ty => $kind:ident),* $(,)?) => {$(
        impl From<$source> for Message {
            fn from(payload: $source) -> Self {
                Self::$kind(payload.into())
            }
        }
    )*};
}
from!(&str => Text, String => Text, Utf8Bytes => Text, Bytes => Binary, Vec<u8> => Binary);

impl From<&[u8]> for Message {
    fn from(payload: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(payload))
    }
}

/// Bytes that are known to be UTF-8; a `str` that clones without copying.
///
/// ```
/// use taiwa_proto::Utf8Bytes;
/// let text = Utf8Bytes::from("対話");
/// assert_eq!(text.chars().count(), 2);
/// assert!(Utf8Bytes::try_from(bytes::Bytes::from_static(&[0xff])).is_err());
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Utf8Bytes(Bytes);

impl Utf8Bytes {
    /// Wraps a string that lives as long as the program.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Borrows the text.
    pub fn as_str(&self) -> &str {
        self
    }

    /// Takes the bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Wraps bytes that [`Utf8`](crate::utf8::Utf8) has passed as complete text.
    pub(crate) fn from_checked(bytes: Bytes) -> Self {
        debug_assert!(str::from_utf8(&bytes).is_ok());
        Self(bytes)
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        // SAFETY: the field is private and every way in checks: `from_static` and the `From`s start
        // from a `str`, `TryFrom` validates, `from_checked` is called by the reader after its
        // incremental validation passed the last byte. `Bytes` is immutable. Without this, each use
        // of a text would validate it again.
        #[allow(unsafe_code)]
        unsafe {
            str::from_utf8_unchecked(&self.0)
        }
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = simdutf8::basic::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        simdutf8::basic::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::tests::{frame, messages};

    /// Reads the text by every way out of it.
    #[track_caller]
    fn check(text: Utf8Bytes, expected: &str) {
        assert_eq!((&*text, text.as_str(), text.as_ref()), (expected, expected, expected));
        assert_eq!(text.chars().rev().count(), expected.chars().count());
        assert_eq!(Message::from(text).as_text(), Some(expected));
    }

    #[test]
    fn every_way_in_gives_the_text_back() {
        for expected in ["", "対話 🦀", "plain"] {
            check(Utf8Bytes::from_static(expected), expected);
            check(expected.into(), expected);
            check(expected.to_owned().into(), expected);
            check(Utf8Bytes::try_from(Bytes::from_static(expected.as_bytes())).unwrap(), expected);
        }
        assert!(Utf8Bytes::try_from(Bytes::from_static(b"\xe5\xaf")).is_err());
    }

    #[test]
    fn what_the_reader_passes_as_text_is_text() {
        let text = "対話 🦀";
        let (front, back) = text.as_bytes().split_at(4);
        let wire = [frame(0x81, text.as_bytes()), frame(0x01, front), frame(0x80, back)].concat();
        for piece_len in [1, 5, 100] {
            for message in messages(&wire, piece_len) {
                let Message::Text(read) = message else { panic!("{message:?}") };
                check(read, text);
            }
        }
    }
}
