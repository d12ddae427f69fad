//! What goes over the wire: RESP3 (the Redis serialization protocol, version 3), and our messages in it. No I/O.

use std::io::Write as _;

use bytes::{Bytes, BytesMut};
use taiwa_core::Position;

/// How deep replies may be nested; our scripts answer with three levels.
const DEPTH_MAX: usize = 8;
/// Bodies up to this are copied out of the buffer that they came in, so that a small one does not keep a large one alive.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// Writes a command.
pub(crate) fn command(parts: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = parts.iter().map(|it| it.len() + 16).sum();
    let mut out = Vec::with_capacity(bytes + 16);
    let line = |out: &mut Vec<u8>, kind: char, number: usize| {
        write!(out, "{kind}{number}\r\n").expect("a Vec takes everything");
    };
    line(&mut out, '*', parts.len());
    for part in parts {
        line(&mut out, '$', part.len());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// One thing that the server says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    Null,
    Number(i64),
    /// A string of any kind.
    Text(Bytes),
    /// An error. It begins with a word in capitals.
    Fault(Bytes),
    /// Also a set; a map is a list of keys and values by turns.
    List(Vec<Value>),
    /// Not an answer: what a subscription brings.
    Push(Vec<Value>),
}

/// Why what came can't be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    Syntax,
    TooLong,
}

impl Value {
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(it) => Some(it),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(it) => Some(*it),
            _ => std::str::from_utf8(self.text()?).ok()?.parse().ok(),
        }
    }

    pub(crate) fn list(&self) -> Option<&[Value]> {
        match self {
            Self::List(it) => Some(it),
            _ => None,
        }
    }

    /// Returns a string as bytes that may be kept.
    pub(crate) fn body(&self) -> Option<Bytes> {
        match self {
            Self::Text(it) => Some(kept(it)),
            _ => None,
        }
    }
}

/// Returns bytes that keep no large buffer alive.
pub(crate) fn kept(bytes: &Bytes) -> Bytes {
    if bytes.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(bytes) } else { bytes.clone() }
}

/// Takes the next value out of what came, if all of it came.
pub(crate) fn read(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Value>, Broken> {
    let Some(length) = measure(buffer, bytes_max)? else {
        return if buffer.len() > bytes_max { Err(Broken::TooLong) } else { Ok(None) };
    };
    let whole = buffer.split_to(length).freeze();
    let mut at = 0;
    build(&whole, &mut at, DEPTH_MAX).map(Some)
}

/// Returns the line that begins at a place, and where the next one does.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = bytes.get(at..)?.iter().position(|it| *it == b'\r')?;
    (bytes.len() > at + length + 1).then(|| (&bytes[at..at + length], at + length + 2))
}

fn integer(digits: &[u8]) -> Result<i64, Broken> {
    std::str::from_utf8(digits).ok().and_then(|it| it.parse().ok()).ok_or(Broken::Syntax)
}

/// Returns how many bytes the first value has, without a copy.
fn measure(bytes: &[u8], bytes_max: usize) -> Result<Option<usize>, Broken> {
    let (mut at, mut values) = (0, 1_usize);
    while values > 0 {
        let Some((head, next)) = line(bytes, at) else { return Ok(None) };
        let Some((kind, rest)) = head.split_first() else { return Err(Broken::Syntax) };
        values -= 1;
        at = next;
        match kind {
            b'$' | b'!' | b'=' => {
                let length = integer(rest)?;
                if length >= 0 {
                    at = at
                        .saturating_add(usize::try_from(length).map_err(|_| Broken::TooLong)? + 2);
                }
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let count = usize::try_from(integer(rest)?.max(0)).map_err(|_| Broken::TooLong)?;
                // Each value takes three bytes at least.
                if count > bytes_max / 3 {
                    return Err(Broken::TooLong);
                }
                values += count * each + usize::from(*kind == b'|');
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            _ => return Err(Broken::Syntax),
        }
        if at > bytes_max {
            return Err(Broken::TooLong);
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

fn build(whole: &Bytes, at: &mut usize, depth: usize) -> Result<Value, Broken> {
    let depth = depth.checked_sub(1).ok_or(Broken::Syntax)?;
    let (head, next) = line(whole, *at).ok_or(Broken::Syntax)?;
    let (kind, rest) = head.split_first().ok_or(Broken::Syntax)?;
    let (begin, end) = (*at + 1, next - 2);
    *at = next;
    let mut many = |each: i64| -> Result<Vec<Value>, Broken> {
        (0..integer(rest)?.max(0) * each).map(|_| build(whole, at, depth)).collect()
    };
    Ok(match kind {
        b'$' | b'!' | b'=' => {
            let Ok(length) = usize::try_from(integer(rest)?) else { return Ok(Value::Null) };
            if whole.get(next + length..next + length + 2) != Some(b"\r\n") {
                return Err(Broken::Syntax);
            }
            *at = next + length + 2;
            let text = whole.slice(next..next + length);
            match kind {
                b'$' => Value::Text(text),
                b'!' => Value::Fault(text),
                _ => Value::Text(text.slice(4.min(length)..)),
            }
        }
        b'*' if rest.starts_with(b"-") => Value::Null,
        b'*' | b'~' => Value::List(many(1)?),
        b'>' => Value::Push(many(1)?),
        b'%' => Value::List(many(2)?),
        b'|' => {
            many(2)?;
            build(whole, at, depth)?
        }
        b':' => Value::Number(integer(rest)?),
        b'#' => Value::Number(i64::from(rest == b"t")),
        b'_' => Value::Null,
        b'-' => Value::Fault(whole.slice(begin..end)),
        _ => Value::Text(whole.slice(begin..end)),
    })
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
    let text = std::str::from_utf8(place).map_err(|_| Broken::Syntax)?;
    let (epoch, offset) = text.split_at_checked(16).ok_or(Broken::Syntax)?;
    let epoch = u64::from_str_radix(epoch, 16).map_err(|_| Broken::Syntax)?;
    let offset = offset.parse().map_err(|_| Broken::Syntax)?;
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
        Some(b'n') => Ok((None, kept(&bytes.slice(1..)))),
        Some(b'p') => {
            let end = bytes.iter().position(|it| *it == b':').ok_or(Broken::Syntax)?;
            let dash = bytes[..end].iter().position(|it| *it == b'-').ok_or(Broken::Syntax)?;
            let position = position(&bytes[1..dash])?.ok_or(Broken::Syntax)?;
            let said =
                u64::try_from(integer(&bytes[dash + 1..end])?).map_err(|_| Broken::Syntax)?;
            Ok((Some(Known { position, said }), kept(&bytes.slice(end + 1..))))
        }
        _ => Err(Broken::Syntax),
    }
}

/// Writes what has a length of its own before something else.
pub(crate) fn counted(it: &str) -> String {
    format!("{}:{it}", it.len())
}

/// Reads what [`counted`] wrote, and returns what stands behind it.
pub(crate) fn uncounted(bytes: &Bytes) -> Result<(&str, Bytes), Broken> {
    let colon = bytes.iter().position(|it| *it == b':').ok_or(Broken::Syntax)?;
    let length = usize::try_from(integer(&bytes[..colon])?).map_err(|_| Broken::Syntax)?;
    let end = colon.saturating_add(length).saturating_add(1);
    let text = bytes.get(colon + 1..end).ok_or(Broken::Syntax)?;
    let text = std::str::from_utf8(text).map_err(|_| Broken::Syntax)?;
    Ok((text, bytes.slice(end..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(it: &'static str) -> Value {
        Value::Text(Bytes::from_static(it.as_bytes()))
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        assert_eq!(
            command(&[b"SET", b"a\r\n", b""]),
            b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n"
        );
    }

    #[track_caller]
    fn check(bytes: &str, wanted: Result<Value, Broken>) {
        for behind in ["", "+next\r\n"] {
            let mut buffer = BytesMut::from(format!("{bytes}{behind}").as_bytes());
            assert_eq!(
                read(&mut buffer, 1000).map(|it| it.expect("all is there")),
                wanted,
                "{bytes}"
            );
            if wanted.is_ok() {
                assert_eq!(buffer, behind);
            }
        }
        for end in 0..bytes.len() {
            let mut buffer = BytesMut::from(&bytes.as_bytes()[..end]);
            assert!(!matches!(read(&mut buffer, 1000), Ok(Some(_))), "{:?}", &bytes[..end]);
        }
    }

    #[test]
    fn every_kind_of_value_is_read_whole_or_not_at_all() {
        check("+OK\r\n", Ok(text("OK")));
        check("-ERR no\r\n", Ok(Value::Fault("ERR no".into())));
        check("!5\r\nE\r\nno\r\n", Ok(Value::Fault("E\r\nno".into())));
        check(":-7\r\n", Ok(Value::Number(-7)));
        check("$4\r\na\r\nb\r\n", Ok(text("a\r\nb")));
        check("=7\r\ntxt:abc\r\n", Ok(text("abc")));
        check(",1.5\r\n", Ok(text("1.5")));
        check("(123\r\n", Ok(text("123")));
        check("#t\r\n", Ok(Value::Number(1)));
        for null in ["_\r\n", "$-1\r\n", "*-1\r\n"] {
            check(null, Ok(Value::Null));
        }
        check("*0\r\n", Ok(Value::List(vec![])));
        let nested = Value::List(vec![text("a"), Value::List(vec![Value::Number(1)])]);
        check("*2\r\n$1\r\na\r\n*1\r\n:1\r\n", Ok(nested));
        check("%1\r\n+a\r\n:1\r\n", Ok(Value::List(vec![text("a"), Value::Number(1)])));
        check(">2\r\n+message\r\n+x\r\n", Ok(Value::Push(vec![text("message"), text("x")])));
        check("|1\r\n+ttl\r\n:1\r\n+x\r\n", Ok(text("x")));
    }

    #[test]
    fn nonsense_and_too_much_are_told() {
        for nonsense in ["?\r\n", "\r\n", ":x\r\n", "$x\r\n", "$1\r\nabc\r\n", "*x\r\n"] {
            let mut buffer = BytesMut::from(nonsense);
            assert_eq!(read(&mut buffer, 1000), Err(Broken::Syntax), "{nonsense}");
        }
        let deep = "*1\r\n".repeat(20) + ":1\r\n";
        assert_eq!(read(&mut BytesMut::from(&*deep), 1000), Err(Broken::Syntax));
        for long in ["$999\r\n", "*334\r\n", "*9223372036854775807\r\n", "$9223372036854775807\r\n"]
        {
            assert_eq!(read(&mut BytesMut::from(long), 1000), Err(Broken::TooLong), "{long}");
        }
        let endless = "+".repeat(1001);
        assert_eq!(read(&mut BytesMut::from(&*endless), 1000), Err(Broken::TooLong));
    }

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
            assert_eq!(body(nonsense), Err(Broken::Syntax), "{nonsense}");
        }
    }

    #[test]
    fn names_are_counted_in_bytes() {
        let written = Bytes::from(counted("対:話") + "rest");
        assert_eq!(uncounted(&written), Ok(("対:話", "rest".into())));
        for nonsense in ["", "x:", "9:a", "-1:a", "2:対", "9223372036854775807:"] {
            assert_eq!(uncounted(&Bytes::from(nonsense)), Err(Broken::Syntax), "{nonsense}");
        }
    }
}
