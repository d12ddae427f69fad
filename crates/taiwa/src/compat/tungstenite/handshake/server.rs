//! The server's end of the opening handshake.

use std::io::{Read, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, StatusCode, Version, response::Builder};

use super::{
    super::{
        config::{Role, WebSocketConfig},
        engine::Engine,
        error::{Error, ProtocolError, Result},
    },
    derive_accept_key,
    head::{self, Incoming, Outgoing},
};

pub use super::super::blocking::handshake::ServerHandshake;

/// The request that a server got.
pub type Request = http::Request<()>;

/// The response of a server that accepts.
pub type Response = http::Response<()>;

/// The response of a server that refuses.
pub type ErrorResponse = http::Response<Option<String>>;

/// Decides about a request, and may add headers to the response. Every closure of this shape is one.
pub trait Callback: Sized {
    /// Gets the request and the response that would accept it, and returns the response to send.
    ///
    /// # Errors
    /// A response that refuses; its status must not be one of success.
    #[expect(clippy::result_large_err, reason = "the signature is not ours")]
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse>;
}

impl<F> Callback for F
where
    F: FnOnce(&Request, Response) -> Result<Response, ErrorResponse>,
{
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        self(request, response)
    }
}

/// Accepts as it is.
#[derive(Clone, Copy, Debug)]
pub struct NoCallback;

impl Callback for NoCallback {
    fn on_request(self, _: &Request, response: Response) -> Result<Response, ErrorResponse> {
        Ok(response)
    }
}

/// Makes the response that accepts a request.
///
/// # Errors
/// [`Error::Protocol`] if the request is no opening handshake (RFC 6455 §4.2.1).
pub fn create_response(request: &Request) -> Result<Response> {
    create_response_with_body(request, || ())
}

/// Makes the response that accepts a request, with a body of a type that something else wants.
///
/// # Errors
/// As [`create_response`].
pub fn create_response_with_body<T1, T2>(
    request: &http::Request<T1>,
    generate_body: impl FnOnce() -> T2,
) -> Result<http::Response<T2>> {
    Ok(accepting(request)?.body(generate_body())?)
}

/// Writes the head of a response.
///
/// # Errors
/// [`Error::Io`] from `w`; [`Error::Utf8`] for a header that is not ASCII.
pub fn write_response<T>(mut w: impl Write, response: &http::Response<T>) -> Result<()> {
    write!(w, "{} {}\r\n", head::version(response.version())?, response.status())?;
    for (name, value) in response.headers() {
        write!(w, "{name}: {}\r\n", value.to_str()?)?;
    }
    w.write_all(b"\r\n")?;
    Ok(())
}

fn accepting<T>(request: &http::Request<T>) -> Result<Builder> {
    if request.method() != Method::GET {
        return Err(ProtocolError::WrongHttpMethod.into());
    }
    if request.version() < Version::HTTP_11 {
        return Err(ProtocolError::WrongHttpVersion.into());
    }
    let key = check(request.headers())?;
    Ok(http::Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .version(request.version())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Accept", derive_accept_key(key)))
}

/// Returns the key (RFC 6455 §4.2.1).
fn check(headers: &HeaderMap) -> Result<&[u8]> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !text("Connection").split([' ', ',']).any(|it| it.eq_ignore_ascii_case("upgrade")) {
        return Err(ProtocolError::MissingConnectionUpgradeHeader.into());
    }
    if !text("Upgrade").eq_ignore_ascii_case("websocket") {
        return Err(ProtocolError::MissingUpgradeWebSocketHeader.into());
    }
    if text("Sec-WebSocket-Version") != "13" {
        return Err(ProtocolError::MissingSecWebSocketVersionHeader.into());
    }
    let key = headers.get("Sec-WebSocket-Key").ok_or(ProtocolError::MissingSecWebSocketKey)?;
    // §4.1: "a randomly selected 16-byte value that has been base64-encoded"
    match STANDARD.decode(key) {
        Ok(nonce) if nonce.len() == 16 => Ok(key.as_bytes()),
        _ => Err(ProtocolError::InvalidSecWebSocketKey.into()),
    }
}

/// A handshake under way.
pub(in super::super) struct Exchange<C> {
    callback: Option<C>,
    config: Option<WebSocketConfig>,
    stage: Stage,
}

enum Stage {
    Request(Incoming),
    Response { head: Outgoing, refusal: Option<ErrorResponse> },
}

impl<C: Callback> Exchange<C> {
    pub(in super::super) fn new(callback: C, config: Option<WebSocketConfig>) -> Self {
        Self { callback: Some(callback), config, stage: Stage::Request(Incoming::new()) }
    }

    /// Goes on as far as the transport lets it.
    pub(in super::super) fn advance(&mut self, io: &mut (impl Read + Write)) -> Result<Engine> {
        if let Stage::Request(request) = &mut self.stage {
            let (head, tail) = request.read(io, |begin| {
                httparse::Request::new(&mut [httparse::EMPTY_HEADER; head::HEADERS_MAX])
                    .parse(begin)
            })?;
            // A client may say nothing before it has read the response.
            if !tail.is_empty() {
                return Err(ProtocolError::JunkAfterRequest.into());
            }
            self.stage = self.decide(&parse(&head)?)?;
        }
        let Stage::Response { head, refusal } = &mut self.stage else { unreachable!("set above") };
        head.write(io)?;
        match refusal.take() {
            Some(refusal) => {
                Err(Error::Http(Box::new(refusal.map(|it| it.map(String::into_bytes)))))
            }
            None => Ok(Engine::new(Role::Server, self.config, &[])),
        }
    }

    fn decide(&mut self, request: &Request) -> Result<Stage> {
        let response = create_response(request)?;
        let decided = match self.callback.take() {
            Some(callback) => callback.on_request(request, response),
            None => Ok(response),
        };
        let mut bytes = Vec::new();
        let refusal = match decided {
            Ok(response) => {
                write_response(&mut bytes, &response)?;
                None
            }
            Err(refusal) if refusal.status().is_success() => {
                return Err(ProtocolError::CustomResponseSuccessful.into());
            }
            Err(refusal) => {
                write_response(&mut bytes, &refusal)?;
                bytes.extend_from_slice(refusal.body().as_deref().unwrap_or_default().as_bytes());
                Some(refusal)
            }
        };
        Ok(Stage::Response { head: Outgoing::new(bytes), refusal })
    }
}

fn parse(head: &[u8]) -> Result<Request> {
    let mut lines = [httparse::EMPTY_HEADER; head::HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    head::whole(parsed.parse(head)?)?;
    from_parsed(&parsed)
}

pub(in super::super) fn from_parsed(parsed: &httparse::Request<'_, '_>) -> Result<Request> {
    if parsed.method != Some("GET") {
        return Err(ProtocolError::WrongHttpMethod.into());
    }
    if parsed.version != Some(1) {
        return Err(ProtocolError::WrongHttpVersion.into());
    }
    let mut request = Request::new(());
    *request.uri_mut() = parsed.path.unwrap_or_default().parse()?;
    *request.headers_mut() = head::headers(parsed.headers)?;
    Ok(request)
}
