//! `Sec-WebSocket-Extensions` (RFC 6455 §9.1).

use super::tokens::{ListFault, Scanner, is_tchar};

/// Extensions that one head may list. Browsers send one; a list of alternatives has a handful.
pub const EXTENSIONS_MAX: usize = 32;

/// Parameters that one extension may have. permessage-deflate knows four.
pub const PARAMS_MAX: usize = 16;

/// One extension with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The token.
    pub name: String,
    /// Parameters in order; quoted values without their quotes.
    pub params: Vec<(String, Option<String>)>,
}

/// Reads the extensions of all `Sec-WebSocket-Extensions` lines of a head, in order.
///
/// No lines give an empty list. What an extension's parameters mean is not judged here.
///
/// # Errors
///
/// [`ListFault::Malformed`] if a line is not `1#extension` (RFC 6455 §9.1: such a handshake fails),
/// [`ListFault::TooMany`] past [`EXTENSIONS_MAX`] or [`PARAMS_MAX`].
///
/// ```
/// use taiwa_proto::handshake::extensions::parse_extensions;
/// let line = b"permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\"";
/// let list = parse_extensions([&line[..]]).unwrap();
/// assert_eq!(list[0].name, "permessage-deflate");
/// assert_eq!(list[0].params[0], ("client_max_window_bits".into(), None));
/// assert_eq!(list[0].params[1], ("server_max_window_bits".into(), Some("10".into())));
/// ```
pub fn parse_extensions<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Extension>, ListFault> {
    let mut list = Vec::new();
    let mut has_lines = false;
    for line in lines {
        has_lines = true;
        let mut scanner = Scanner::new(line);
        loop {
            while scanner.take(b',') {}
            scanner.skip_spaces();
            if scanner.is_empty() {
                break;
            }
            if list.len() == EXTENSIONS_MAX {
                return Err(ListFault::TooMany);
            }
            list.push(extension(&mut scanner)?);
            scanner.skip_spaces();
            if !scanner.is_empty() && !scanner.take(b',') {
                return Err(ListFault::Malformed);
            }
        }
    }
    // "extension-list = 1#extension": at least one.
    if has_lines && list.is_empty() { Err(ListFault::Malformed) } else { Ok(list) }
}

fn extension(scanner: &mut Scanner<'_>) -> Result<Extension, ListFault> {
    let name = scanner.run(is_tchar).ok_or(ListFault::Malformed)?.to_owned();
    let mut params = Vec::new();
    while scanner.take(b';') {
        if params.len() == PARAMS_MAX {
            return Err(ListFault::TooMany);
        }
        let name = scanner.run(is_tchar).ok_or(ListFault::Malformed)?.to_owned();
        let value = if !scanner.take(b'=') {
            None
        } else if scanner.take_quote() {
            Some(scanner.quoted_token().ok_or(ListFault::Malformed)?)
        } else {
            Some(scanner.run(is_tchar).ok_or(ListFault::Malformed)?.to_owned())
        };
        params.push((name, value));
    }
    Ok(Extension { name, params })
}

/// Writes extensions as a value of `Sec-WebSocket-Extensions`. Names and values must be tokens, as
/// [`parse_extensions`] makes them.
pub fn format_extensions(list: &[Extension]) -> String {
    let mut line = String::new();
    for extension in list {
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&extension.name);
        for (name, value) in &extension.params {
            line.push_str("; ");
            line.push_str(name);
            if let Some(value) = value {
                line.push('=');
                line.push_str(value);
            }
        }
    }
    line
}

#[cfg(test)]
mod tests;
