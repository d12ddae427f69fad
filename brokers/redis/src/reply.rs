//! Reads what a server answers. No I/O.

use bytes::Bytes;
use redis::Value;

/// What a value is, if it is that.
pub(crate) trait Reply {
    /// A string of any kind.
    fn text(&self) -> Option<&[u8]>;
    /// A number, or a string that is one.
    fn number(&self) -> Option<i64>;
    fn list(&self) -> Option<&[Value]>;
    /// A string as bytes that may be kept.
    fn body(&self) -> Option<Bytes>;
}

impl Reply for Value {
    fn text(&self) -> Option<&[u8]> {
        match self {
            Self::BulkString(it) => Some(it),
            Self::SimpleString(it) | Self::VerbatimString { text: it, .. } => Some(it.as_bytes()),
            Self::Okay => Some(b"OK"),
            _ => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Int(it) => Some(*it),
            _ => std::str::from_utf8(self.text()?).ok()?.parse().ok(),
        }
    }

    fn list(&self) -> Option<&[Value]> {
        match self {
            Self::Array(it) | Self::Set(it) => Some(it),
            _ => None,
        }
    }

    fn body(&self) -> Option<Bytes> {
        self.text().map(Bytes::copy_from_slice)
    }
}

/// Writes a command.
pub(crate) fn command(parts: &[&[u8]]) -> redis::Cmd {
    let bytes = parts.iter().map(|it| it.len()).sum();
    let mut command = redis::Cmd::with_capacity(parts.len(), bytes);
    for part in parts {
        command.arg(*part);
    }
    command
}

/// Returns how long the parts of a command are together.
pub(crate) fn bytes_of(command: &redis::Cmd) -> usize {
    let parts = command.args_iter().map(|it| match it {
        redis::Arg::Simple(it) => it.len(),
        _ => 0,
    });
    parts.map(|it| it + 16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_are_and_nothing_else() {
        let text = |it: &str| Value::BulkString(it.into());
        assert_eq!((text("12").number(), text("x").number()), (Some(12), None));
        assert_eq!((Value::Int(-3).number(), Value::Nil.number()), (Some(-3), None));
        assert_eq!((Value::Okay.text(), Value::Int(1).text()), (Some(&b"OK"[..]), None));
        assert_eq!(Value::Array(vec![Value::Nil]).list().map(<[_]>::len), Some(1));
        assert_eq!((text("a").body(), Value::Nil.body()), (Some("a".into()), None));
        assert_eq!(bytes_of(&command(&[b"SET", b"a", b""])), 4 + 3 * 16);
    }
}
