//! The answer to an opening handshake, whatever the request asks for (RFC 6455 §4.2.2).

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY: &[u8] = b"sec-websocket-key:";

/// Returns the answer, and how many bytes the request has; `None` if its end is not there yet.
pub fn answer(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let line = bytes[..end].split(|it| *it == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(KEY.len())?;
        name.eq_ignore_ascii_case(KEY).then_some(value)
    });
    let mut hash = Sha1::new();
    hash.update(line.unwrap_or_default().trim_ascii());
    hash.update(GUID);
    let accept = STANDARD.encode(hash.finalize());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Some((answer, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_1_3_is_answered() {
        let request = b"GET / HTTP/1.1\r\nsec-WebSocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nrest";
        let (answer, end) = answer(request).unwrap();
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(&request[end..], b"rest");
        assert!(super::answer(&request[..20]).is_none());
    }
}
