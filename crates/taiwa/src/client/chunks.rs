//! The chunked transfer coding (RFC 9112 §7.1), as far as the body of a refusal needs it.

use bytes::{Bytes, BytesMut};

/// Decodes the chunks that are in `bytes`, the last one perhaps in part. Says whether the end was there
/// (or nonsense, behind which nothing counts).
pub(super) fn decode_chunks(mut bytes: &[u8]) -> (Bytes, bool) {
    let mut body = BytesMut::new();
    loop {
        let Some(end) = bytes.windows(2).position(|it| it == b"\r\n") else {
            return (body.freeze(), false);
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
        let digits = line.split(|it| *it == b';').next().unwrap_or(line).trim_ascii();
        let len =
            std::str::from_utf8(digits).ok().and_then(|it| usize::from_str_radix(it, 16).ok());
        match len {
            None | Some(0) => return (body.freeze(), true),
            Some(len) => {
                body.extend_from_slice(&rest[..len.min(rest.len())]);
                match rest.get(len..).and_then(|it| it.strip_prefix(b"\r\n")) {
                    Some(next) => bytes = next,
                    None => return (body.freeze(), false),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, body: &str, ended: bool) {
        assert_eq!(
            decode_chunks(bytes.as_bytes()),
            (Bytes::copy_from_slice(body.as_bytes()), ended)
        );
    }

    #[test]
    fn chunks_are_decoded_as_far_as_they_came() {
        check("", "", false);
        check("3\r\nabc\r\n0\r\n\r\n", "abc", true);
        check("3;x=y\r\nabc\r\nA\r\n0123456789\r\n", "abc0123456789", false);
        check("5\r\nab", "ab", false);
        check("ffffffffffffffff\r\nab", "ab", false);
        check("nonsense\r\n", "", true);
    }
}
