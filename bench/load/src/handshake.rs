//! The client's opening handshake (RFC 6455 §4).

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use crate::noise::Noise;

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEAD_BYTES_MAX: usize = 4096;

/// What is offered where messages are to be compressed: a message that stands for itself can be checked without
/// those before it (RFC 7692 §7.1.1).
const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Whether the server is to compress what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Deflate,
}

/// Waits for the server's half.
#[derive(Debug)]
pub(crate) struct Handshake {
    compression: Compression,
    accept: String,
    head: Vec<u8>,
}

impl Handshake {
    /// Appends the request to `out`.
    pub(crate) fn start(
        out: &mut Vec<u8>,
        path: &str,
        port: u16,
        compression: Compression,
        noise: &mut Noise,
    ) -> Self {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&noise.next().to_ne_bytes());
        nonce[8..].copy_from_slice(&noise.next().to_ne_bytes());
        let key = STANDARD.encode(nonce);
        let offer = match compression {
            Compression::None => String::new(),
            Compression::Deflate => format!("Sec-WebSocket-Extensions: {OFFER}\r\n"),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
             {offer}\r\n"
        );
        out.extend_from_slice(request.as_bytes());
        Self { compression, accept: accept(&key), head: vec![] }
    }

    /// Takes bytes; returns how many belong to the head once it is whole and right.
    ///
    /// # Errors
    /// The answer is not the 101 of RFC 6455 §4.2.2, names an extension that was not offered, or not the one that
    /// was.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|it| it == b"\r\n\r\n") else {
            return match self.head.len() > HEAD_BYTES_MAX {
                true => Err("the answer to the handshake has no end".into()),
                false => Ok(None),
            };
        };
        let head = str::from_utf8(&self.head[..end]).map_err(|_| "a head that is not text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            return Err(format!("the handshake is answered by {status:?}"));
        }
        let (mut upgrade, mut connection, mut accepted) = (false, false, false);
        let mut agreed = Compression::None;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return Err(format!("{line:?} is no header"));
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "upgrade" => upgrade = value.eq_ignore_ascii_case("websocket"),
                "connection" => connection = value.eq_ignore_ascii_case("upgrade"),
                "sec-websocket-accept" => accepted = value == self.accept,
                "sec-websocket-extensions"
                    if self.compression == Compression::Deflate
                        && value.starts_with("permessage-deflate")
                        && value.contains("server_no_context_takeover") =>
                {
                    agreed = Compression::Deflate;
                }
                "sec-websocket-extensions" | "sec-websocket-protocol" => {
                    return Err(format!("{line:?} was not offered"));
                }
                _ => {}
            }
        }
        match upgrade && connection && accepted && agreed == self.compression {
            true => Ok(Some(end + 4 - before)),
            false => Err(format!("the handshake is answered by {head:?}")),
        }
    }
}

/// The value of Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2, item 5.4).
pub(crate) fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_1_3_is_accepted() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_the_right_answer_opens() {
        let answer = |accept: &str, more: &str| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                 sec-websocket-accept: {accept}\r\n{more}\r\n\x02"
            )
        };
        let take_with = |compression, accept: &str, more: &str| {
            let mut handshake =
                Handshake::start(&mut vec![], "/", 1, compression, &mut Noise::new(1));
            let accept = if accept.is_empty() { handshake.accept.clone() } else { accept.into() };
            let bytes = answer(&accept, more).into_bytes();
            assert_eq!(handshake.take(&bytes[..30]), Ok(None));
            handshake.take(&bytes[30..]).map(|it| it.map(|it| bytes.len() - 30 - it))
        };
        let take = |accept: &str, more: &str| take_with(Compression::None, accept, more);
        let deflated = |more: &str| take_with(Compression::Deflate, "", more);
        assert_eq!(take("", ""), Ok(Some(1)));
        assert!(take("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "").is_err());
        assert!(take("", "Sec-WebSocket-Extensions: permessage-deflate\r\n").is_err());
        let agreed = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
        assert_eq!(deflated(agreed), Ok(Some(1)));
        assert!(deflated("").is_err() && take("", agreed).is_err());
        assert!(deflated("Sec-WebSocket-Extensions: permessage-deflate\r\n").is_err());
        let mut handshake =
            Handshake::start(&mut vec![], "/", 1, Compression::None, &mut Noise::new(1));
        assert!(handshake.take(b"HTTP/1.1 403 Forbidden\r\n\r\n").is_err());
    }
}
