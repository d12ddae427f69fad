//! `:protocol` of an extended CONNECT (RFC 8441 §4, RFC 9220 §3).

use std::{borrow::Cow, fmt};

/// What an extended CONNECT asks to speak: the value of `:protocol`, as an extension of an [`http::Request`].
///
/// ```
/// use taiwa_h3::Protocol;
///
/// assert_eq!(Protocol::new("websocket"), Some(Protocol::WEBSOCKET));
/// assert_eq!(Protocol::new("two words"), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Protocol(Cow<'static, str>);

impl Protocol {
    /// `websocket` (RFC 9220 §3).
    pub const WEBSOCKET: Self = Self(Cow::Borrowed("websocket"));
    /// `webtransport` (draft-ietf-webtrans-http3, before its version 15).
    pub const WEBTRANSPORT: Self = Self(Cow::Borrowed("webtransport"));
    /// `webtransport-h3` (draft-ietf-webtrans-http3, from its version 15 on).
    pub const WEBTRANSPORT_H3: Self = Self(Cow::Borrowed("webtransport-h3"));

    /// Takes any name; `None` if it is not a token (RFC 9110 §5.6.2, as §7.8 has names of protocols).
    pub fn new(name: &str) -> Option<Self> {
        let is_token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
        let is_right = !name.is_empty() && name.bytes().all(is_token);
        is_right.then(|| Self(Cow::Owned(name.to_owned())))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
