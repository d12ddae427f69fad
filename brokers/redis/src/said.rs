//! Our messages, as they stand in what is published. No I/O.

use bytes::Bytes;
use taiwa_core::Position;

/// What came is not ours, or not what was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Broken;

fn integer(digits: &[u8]) -> Result<i64, Broken> {
    std::str::from_utf8(digits).ok().and_then(|it| it.parse().ok()).ok_or(Broken)
}

/// Writes an epoch: 16 hexadecimal digits.
pub(crate) fn epoch(it: u64) -> String {
    format!("{it:016x}")
}

/// Reads a position as scripts write it: the epoch and the offset; nothing is none.
pub(crate) fn position(place: &[u8]) -> Result<Option<Position>, Broken> {
    if place.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(place).map_err(|_| Broken)?;
    let (epoch, offset) = text.split_at_checked(16).ok_or(Broken)?;
    let epoch = u64::from_str_radix(epoch, 16).map_err(|_| Broken)?;
    let offset = offset.parse().map_err(|_| Broken)?;
    Ok(Some(Position { epoch, offset }))
}

/// Where something lies that was heard, and when it was said, in milliseconds of the server's clock; 0 if nobody told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Known {
    pub(crate) position: Position,
    pub(crate) said: u64,
}

/// Reads a message of a channel: `n` and the body, or `p`, the position, `-`, the time, `:` and the body.
pub(crate) fn message(bytes: &Bytes) -> Result<(Option<Known>, Bytes), Broken> {
    match bytes.first() {
        Some(b'n') => Ok((None, bytes.slice(1..))),
        Some(b'p') => {
            let end = bytes.iter().position(|it| *it == b':').ok_or(Broken)?;
            let dash = bytes[..end].iter().position(|it| *it == b'-').ok_or(Broken)?;
            let position = position(&bytes[1..dash])?.ok_or(Broken)?;
            let said = u64::try_from(integer(&bytes[dash + 1..end])?).map_err(|_| Broken)?;
            Ok((Some(Known { position, said }), bytes.slice(end + 1..)))
        }
        _ => Err(Broken),
    }
}

/// Writes what has a length of its own before something else.
pub(crate) fn counted(it: &str) -> String {
    format!("{}:{it}", it.len())
}

/// Reads what [`counted`] wrote, and returns what stands behind it.
pub(crate) fn uncounted(bytes: &Bytes) -> Result<(&str, Bytes), Broken> {
    let colon = bytes.iter().position(|it| *it == b':').ok_or(Broken)?;
    let length = usize::try_from(integer(&bytes[..colon])?).map_err(|_| Broken)?;
    let end = colon.saturating_add(length).saturating_add(1);
    let text = bytes.get(colon + 1..end).ok_or(Broken)?;
    let text = std::str::from_utf8(text).map_err(|_| Broken)?;
    Ok((text, bytes.slice(end..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_a_position_or_none() {
        let position = Position { epoch: 0xabc, offset: 12 };
        let body = |it: &str| message(&Bytes::copy_from_slice(it.as_bytes()));
        assert_eq!(body("nx:y"), Ok((None, "x:y".into())));
        let known = Known { position, said: 99 };
        assert_eq!(body("p0000000000000abc12-99::y"), Ok((Some(known), ":y".into())));
        for nonsense in [
            "",
            "x",
            "p",
            "p-:",
            "p-1:x",
            "p12-1:x",
            "p000000000000000g1-1:",
            "p0000000000000abc-1:",
            "p0000000000000abc12:",
            "p0000000000000abc12--1:",
        ] {
            assert_eq!(body(nonsense), Err(Broken), "{nonsense}");
        }
    }

    #[test]
    fn names_are_counted_in_bytes() {
        let written = Bytes::from(counted("対:話") + "rest");
        assert_eq!(uncounted(&written), Ok(("対:話", "rest".into())));
        for nonsense in ["", "x:", "9:a", "-1:a", "2:対", "9223372036854775807:"] {
            assert_eq!(uncounted(&Bytes::from(nonsense)), Err(Broken), "{nonsense}");
        }
    }
}
