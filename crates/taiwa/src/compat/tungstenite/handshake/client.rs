//! The client's end of the opening handshake.

use std::io::{Read, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};

use super::{
    super::{
        client::uri_mode,
        config::{Role, WebSocketConfig},
        engine::Engine,
        error::{Error, ProtocolError, Result, SubProtocolError, UrlError},
    },
    derive_accept_key,
    head::{self, Incoming, Outgoing},
};
use crate::scratch::with_scratch;

pub use super::super::blocking::handshake::ClientHandshake;

/// The request of a client.
pub type Request = http::Request<()>;

/// The response to a client; with what came behind its head if it is a refusal.
pub type Response = http::Response<Option<Vec<u8>>>;

/// Returns a new random `Sec-WebSocket-Key` (RFC 6455 §4.1).
pub fn generate_key() -> String {
    STANDARD.encode(with_scratch(|scratch| scratch.pool.random::<16>()))
}

/// Writes the head of a request, the headers of the handshake first and in the spelling of the RFC;
/// returns it with its `Sec-WebSocket-Key`.
///
/// # Errors
/// [`UrlError::NoPathOrQuery`], [`ProtocolError::InvalidHeader`] for a header of the handshake that is
/// missing or stands twice.
pub fn generate_request(mut request: Request) -> Result<(Vec<u8>, String)> {
    let target = request.uri().path_and_query().ok_or(UrlError::NoPathOrQuery)?;
    let mut bytes = format!("GET {target} {}\r\n", head::version(request.version())?).into_bytes();
    let key = request.headers().get(KEY).ok_or_else(|| missing(KEY))?.to_str()?.to_owned();
    for name in REQUIRED {
        let value = request.headers_mut().remove(name).ok_or_else(|| missing(name))?;
        push_line(name, value.to_str()?.as_bytes(), &mut bytes);
    }
    for (name, value) in request.headers() {
        if REQUIRED.iter().any(|it| name.as_str().eq_ignore_ascii_case(it)) {
            return Err(missing(name.as_str()));
        }
        let spelled = match name.as_str() {
            "sec-websocket-protocol" => "Sec-WebSocket-Protocol",
            "origin" => "Origin",
            name => name,
        };
        push_line(spelled, value.as_bytes(), &mut bytes);
    }
    bytes.extend_from_slice(b"\r\n");
    Ok((bytes, key))
}

const KEY: &str = "Sec-WebSocket-Key";
const REQUIRED: [&str; 5] = ["Host", "Connection", "Upgrade", "Sec-WebSocket-Version", KEY];

fn missing(name: &str) -> Error {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a name of the handshake's");
    ProtocolError::InvalidHeader(Box::new(name)).into()
}

fn push_line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A handshake under way.
pub(in super::super) struct Exchange {
    request: Outgoing,
    response: Incoming,
    expected: Expected,
    config: Option<WebSocketConfig>,
}

struct Expected {
    accept: String,
    subprotocols: Option<Vec<String>>,
}

impl Exchange {
    pub(in super::super) fn new(request: Request, config: Option<WebSocketConfig>) -> Result<Self> {
        if request.method() != Method::GET {
            return Err(ProtocolError::WrongHttpMethod.into());
        }
        if request.version() < Version::HTTP_11 {
            return Err(ProtocolError::WrongHttpVersion.into());
        }
        uri_mode(request.uri())?;
        let subprotocols = match request.headers().get(SUBPROTOCOL) {
            Some(it) => Some(it.to_str()?.split(',').map(|it| it.trim().to_owned()).collect()),
            None => None,
        };
        let (bytes, key) = generate_request(request)?;
        let expected = Expected { accept: derive_accept_key(key.as_bytes()), subprotocols };
        Ok(Self { request: Outgoing::new(bytes), response: Incoming::new(), expected, config })
    }

    /// Goes on as far as the transport lets it.
    pub(in super::super) fn advance(
        &mut self,
        io: &mut (impl Read + Write),
    ) -> Result<(Engine, Response)> {
        self.request.write(io)?;
        let (head, tail) = self.response.read(io, |begin| {
            httparse::Response::new(&mut [httparse::EMPTY_HEADER; head::HEADERS_MAX]).parse(begin)
        })?;
        let mut response = parse(&head)?;
        // RFC 6455 §4.1: "If the status code received from the server is not 101, the client handles the
        // response per HTTP procedures."
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            *response.body_mut() = Some(tail);
            return Err(Error::Http(Box::new(response)));
        }
        self.expected.check(response.headers())?;
        Ok((Engine::new(Role::Client, self.config, &tail), response))
    }
}

const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol";

impl Expected {
    /// RFC 6455 §4.1, the numbered list behind "the client MUST validate the server's response".
    fn check(&self, headers: &HeaderMap) -> Result<()> {
        let is = |name: &str, value: &str| {
            headers.get(name).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
        };
        if !is("Upgrade", "websocket") {
            return Err(ProtocolError::MissingUpgradeWebSocketHeader.into());
        }
        if !is("Connection", "Upgrade") {
            return Err(ProtocolError::MissingConnectionUpgradeHeader.into());
        }
        if headers.get("Sec-WebSocket-Accept").is_none_or(|it| it != &self.accept) {
            return Err(ProtocolError::SecWebSocketAcceptKeyMismatch.into());
        }
        let fault = match (headers.get(SUBPROTOCOL), &self.subprotocols) {
            (None, None) => return Ok(()),
            (None, Some(_)) => SubProtocolError::NoSubProtocol,
            (Some(_), None) => SubProtocolError::ServerSentSubProtocolNoneRequested,
            (Some(chosen), Some(wished)) => {
                let chosen = chosen.to_str()?;
                if wished.iter().any(|it| it == chosen) {
                    return Ok(());
                }
                SubProtocolError::InvalidSubProtocol
            }
        };
        Err(ProtocolError::SecWebSocketSubProtocolError(fault).into())
    }
}

fn parse(head: &[u8]) -> Result<Response> {
    let mut lines = [httparse::EMPTY_HEADER; head::HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut lines);
    head::whole(parsed.parse(head)?)?;
    if parsed.version != Some(1) {
        return Err(ProtocolError::WrongHttpVersion.into());
    }
    let mut response = Response::new(None);
    *response.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default())?;
    *response.headers_mut() = head::headers(parsed.headers)?;
    Ok(response)
}
