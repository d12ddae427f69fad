//! [`Utf8Bytes`]: text that clones without copying.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    str::{self, Utf8Error},
};

use bytes::{Bytes, BytesMut};

/// Bytes that are known to be UTF-8.
///
/// ```
/// use taiwa::compat::tungstenite::tungstenite::Utf8Bytes;
/// let text = Utf8Bytes::from_static("対話");
/// assert_eq!(text, "対話");
/// assert_eq!(text.chars().count(), 2);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Utf8Bytes(crate::Utf8Bytes);

impl Utf8Bytes {
    /// Wraps a string that lives as long as the program.
    pub const fn from_static(text: &'static str) -> Self {
        Self(crate::Utf8Bytes::from_static(text))
    }

    /// Borrows the text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for Utf8Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

impl Borrow<str> for Utf8Bytes {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Hash for Utf8Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Ord for Utf8Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Utf8Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq<T> for Utf8Bytes
where
    for<'a> &'a str: PartialEq<T>,
{
    fn eq(&self, other: &T) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Utf8Bytes").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Utf8Error> {
        match crate::Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Ok(Self(text)),
            // Only the standard library's error tells where it is.
            Err(_) => str::from_utf8(&bytes).map(Self::from),
        }
    }
}

impl TryFrom<BytesMut> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: BytesMut) -> Result<Self, Utf8Error> {
        bytes.freeze().try_into()
    }
}

impl TryFrom<Vec<u8>> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Utf8Error> {
        Bytes::from(bytes).try_into()
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
        text.as_str().into()
    }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0.into_bytes()
    }
}

impl From<crate::Utf8Bytes> for Utf8Bytes {
    fn from(text: crate::Utf8Bytes) -> Self {
        Self(text)
    }
}

impl From<Utf8Bytes> for crate::Utf8Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0
    }
}
