//! `Sec-WebSocket-Protocol` (RFC 6455 §11.3.4) and the choice among subprotocols.

use super::tokens::{ListFault, each_element, is_tchar};

/// Subprotocols that one head may list.
pub const SUBPROTOCOLS_MAX: usize = 64;

/// Which grammar subprotocols must follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grammar {
    /// Tokens (RFC 6455 §4.1).
    #[default]
    Strict,
    /// Tokens that may hold `/` too. For libzmq and its bindings alone, which ask for
    /// `ZWS2.0/NULL,ZWS2.0` although `/` is no token character, and retry for ever when refused.
    LenientSubprotocols,
}

impl Grammar {
    const fn allowed(self) -> fn(u8) -> bool {
        match self {
            Self::Strict => is_tchar,
            Self::LenientSubprotocols => |byte| is_tchar(byte) || byte == b'/',
        }
    }

    /// Says whether `name` can be a subprotocol.
    pub fn allows(self, name: &str) -> bool {
        !name.is_empty() && name.bytes().all(self.allowed())
    }
}

/// Reads the subprotocols of all `Sec-WebSocket-Protocol` lines of a head, in order.
///
/// No lines give an empty list.
///
/// # Errors
///
/// [`ListFault::Malformed`] if a line is not a list of at least one subprotocol, or names one twice;
/// [`ListFault::TooMany`] past [`SUBPROTOCOLS_MAX`].
///
/// ```
/// use taiwa_proto::handshake::{Grammar, parse_subprotocols};
/// let list = parse_subprotocols([&b"v2.json, v1.json"[..]], Grammar::Strict);
/// assert_eq!(list, Ok(vec!["v2.json".to_owned(), "v1.json".to_owned()]));
/// let zmq = b"ZWS2.0/NULL,ZWS2.0";
/// assert!(parse_subprotocols([&zmq[..]], Grammar::Strict).is_err());
/// assert!(parse_subprotocols([&zmq[..]], Grammar::LenientSubprotocols).is_ok());
/// ```
pub fn parse_subprotocols<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    grammar: Grammar,
) -> Result<Vec<String>, ListFault> {
    let mut list: Vec<String> = Vec::new();
    let mut has_lines = false;
    let lines = lines.into_iter().inspect(|_| has_lines = true);
    each_element(lines, grammar.allowed(), |name| {
        if list.len() == SUBPROTOCOLS_MAX {
            return Err(ListFault::TooMany);
        }
        // RFC 6455 §4.1: "The elements that comprise this value [...] MUST all be unique strings."
        if list.iter().any(|known| known == name) {
            return Err(ListFault::Malformed);
        }
        list.push(name.to_owned());
        Ok(())
    })?;
    // RFC 6455 §11.3.4 "1#token": at least one.
    if has_lines && list.is_empty() { Err(ListFault::Malformed) } else { Ok(list) }
}

/// Returns the first of the client's subprotocols that the server supports: the client lists them
/// in its order of preference (RFC 6455 §4.1). Upper and lower case differ.
///
/// ```
/// use taiwa_proto::handshake::choose_subprotocol;
/// let asked = ["v3".to_owned(), "v2".to_owned(), "v1".to_owned()];
/// assert_eq!(choose_subprotocol(&asked, &["v1", "v2"]), Some("v2"));
/// assert_eq!(choose_subprotocol(&asked, &["V3"]), None);
/// ```
pub fn choose_subprotocol<'a>(
    asked: &'a [String],
    supported: &[impl AsRef<str>],
) -> Option<&'a str> {
    asked
        .iter()
        .find(|name| supported.iter().any(|it| it.as_ref() == name.as_str()))
        .map(String::as_str)
}
