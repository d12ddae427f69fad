//! Tokens, quoted strings and comma-separated lists (RFC 9110 §5.6), read in one pass.

use std::fmt;

/// Why a header that holds a list can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListFault {
    /// Not what the header's grammar allows, or a list without elements.
    Malformed,
    /// More elements than we are willing to hold.
    TooMany,
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed list",
            Self::TooMany => "too many elements in a list",
        })
    }
}

impl std::error::Error for ListFault {}

/// Says whether `text` is a token: one or more letters, digits or ``!#$%&'*+-.^_`|~`` (RFC 9110 §5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_tchar)
}

pub(crate) const fn is_tchar(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
        | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Reads a line from left to right. Each byte is looked at once.
pub(crate) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn skip_spaces(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Takes `byte` with the spaces on both sides of it, if it comes next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        let [first, rest @ ..] = self.rest else { return false };
        if *first != byte {
            return false;
        }
        self.rest = rest;
        self.skip_spaces();
        true
    }

    /// Takes an opening quote, after which spaces count.
    pub(crate) fn take_quote(&mut self) -> bool {
        let [b'"', rest @ ..] = self.rest else { return false };
        self.rest = rest;
        true
    }

    /// Takes the longest run of ASCII bytes that `allowed` lets through, at least one.
    pub(crate) fn run(&mut self, allowed: fn(u8) -> bool) -> Option<&'a str> {
        let len = self.rest.iter().position(|&byte| !allowed(byte)).unwrap_or(self.rest.len());
        if len == 0 {
            return None;
        }
        let (run, rest) = self.rest.split_at(len);
        self.rest = rest;
        std::str::from_utf8(run).ok()
    }

    /// Takes the rest of a quoted string whose opening quote is gone, closing quote included, and
    /// returns it without escapes. `None`: it is not closed, or holds something else than a token.
    pub(crate) fn quoted_token(&mut self) -> Option<String> {
        let mut value = String::new();
        loop {
            let (byte, rest) = match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return (!value.is_empty()).then_some(value);
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
                [] => return None,
            };
            // RFC 6455 §9.1: "When using the quoted-string syntax variant, the value after
            // quoted-string unescaping MUST conform to the 'token' ABNF."
            if !is_tchar(byte) {
                return None;
            }
            value.push(char::from(byte));
            self.rest = rest;
        }
    }
}

/// Reads the elements of a list that may be spread over several header lines, each made of bytes
/// that `allowed` lets through, and hands them to `element` in order.
///
/// Empty elements are skipped: RFC 9110 §5.6.1.2 has a recipient "parse and ignore a reasonable
/// number of empty list elements"; here the length of the head bounds them.
pub(crate) fn each_element<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    allowed: fn(u8) -> bool,
    mut element: impl FnMut(&'a str) -> Result<(), ListFault>,
) -> Result<(), ListFault> {
    for line in lines {
        let mut scanner = Scanner::new(line);
        loop {
            while scanner.take(b',') {}
            scanner.skip_spaces();
            if scanner.is_empty() {
                break;
            }
            element(scanner.run(allowed).ok_or(ListFault::Malformed)?)?;
            scanner.skip_spaces();
            if !scanner.is_empty() && !scanner.take(b',') {
                return Err(ListFault::Malformed);
            }
        }
    }
    Ok(())
}
