//! Names of channels and users as one token of a NATS subject, and back.

use std::fmt::Write as _;

/// Appends a name such that it is one token: what NATS reserves, blanks and `=` become `=` and two hexadecimal digits.
///
/// All else stays as it is, also beyond ASCII, so that people can read the subjects. A name of 1,024 bytes becomes 3,072 at
/// most, and a line of NATS may have 4,096.
pub(crate) fn escape(name: &str, into: &mut String) {
    for it in name.chars() {
        if matches!(it, '.' | '*' | '>' | '=' | '$' | ' ')
            || it.is_control()
            || (it.is_whitespace() && it.is_ascii())
        {
            let _ = write!(into, "={:02X}", it as u32);
        } else {
            into.push(it);
        }
    }
}

/// Returns the name that a token stands for, or `None` if [`escape`] never writes such a one.
pub(crate) fn unescape(token: &str) -> Option<String> {
    let mut name = String::with_capacity(token.len());
    let mut rest = token;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        let code = u8::from_str_radix(after.get(..2)?, 16).ok()?;
        name.push(char::from(code));
        rest = &after[2..];
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_token_and_comes_back() {
        for (name, token) in [
            ("news:sport", "news:sport"),
            ("a.b *>", "a=2Eb=20=2A=3E"),
            ("a=2E", "a=3D2E"),
            ("$SYS", "=24SYS"),
            ("対話/é", "対話/é"),
        ] {
            let mut written = String::new();
            escape(name, &mut written);
            assert_eq!(written, token);
            assert_eq!(unescape(token).as_deref(), Some(name));
        }
        for nonsense in ["=", "a=2", "=zz", "=é"] {
            assert_eq!(unescape(nonsense), None, "{nonsense:?}");
        }
    }
}
