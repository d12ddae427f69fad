//! The client's half of the opening handshake: over HTTP/1.1 (RFC 6455 §4.1) here, by extended CONNECT in `connect`.

mod connect;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use super::negotiation::{only, read_answer};
use super::origins::split_host;
use super::server::connection_upgrades;
use super::{Agreed, Grammar, accept_key};
use crate::deflate::{Deflate, negotiate};

/// Reads a `ws:` or `wss:` URI (RFC 6455 §3).
///
/// # Errors
///
/// [`HandshakeMisuse::Uri`], [`HandshakeMisuse::Scheme`] or [`HandshakeMisuse::Fragment`].
///
/// ```
/// use taiwa_proto::handshake::{HandshakeMisuse, parse_uri};
/// assert_eq!(parse_uri("wss://chat.example/room?id=7").unwrap().path(), "/room");
/// assert_eq!(parse_uri("ws://chat.example/#top"), Err(HandshakeMisuse::Fragment));
/// ```
pub fn parse_uri(text: &str) -> Result<Uri, HandshakeMisuse> {
    // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT
    // be used on these URIs."
    if text.contains('#') {
        return Err(HandshakeMisuse::Fragment);
    }
    let uri = text.parse().map_err(|_| HandshakeMisuse::Uri)?;
    host_of(&uri)?;
    Ok(uri)
}

/// What a client asks for.
///
/// ```
/// use taiwa_proto::handshake::{Wish, parse_uri};
/// let uri = parse_uri("ws://chat.example:8000/room").unwrap();
/// let nonce = *b"sixteen random b"; // from the operating system, fresh each time
/// let subprotocols = ["v2.json".to_owned()];
/// let wish = Wish { subprotocols: &subprotocols, ..Wish::new(&uri, nonce) };
/// let (request, pending) = wish.request().unwrap();
/// assert_eq!(request.uri(), "/room");
/// assert_eq!(request.headers()["host"], "chat.example:8000");
/// # let _ = pending;
/// ```
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Where to. User information in it becomes `Authorization: Basic` unless `headers` has an
    /// `Authorization`.
    pub uri: &'a Uri,
    /// 16 random bytes, fresh for each handshake (RFC 6455 §4.1).
    pub nonce: [u8; 16],
    /// Subprotocols in order of preference.
    pub subprotocols: &'a [String],
    /// Grammar of subprotocols, in the request and in the response.
    pub grammar: Grammar,
    /// permessage-deflate, if it is to be offered.
    pub deflate: Option<&'a Deflate>,
    /// More headers, such as `Origin` or `Cookie`.
    pub headers: HeaderMap,
}

impl<'a> Wish<'a> {
    /// Asks for a WebSocket at `uri` without subprotocols, compression or more headers.
    pub fn new(uri: &'a Uri, nonce: [u8; 16]) -> Self {
        Self {
            uri,
            nonce,
            subprotocols: &[],
            grammar: Grammar::Strict,
            deflate: None,
            headers: HeaderMap::new(),
        }
    }

    /// Makes the request, whose target is in origin form, and what its response is checked against.
    ///
    /// # Errors
    ///
    /// [`HandshakeMisuse`] if the wish can't be written as a valid request.
    pub fn request(self) -> Result<(Request<()>, Pending), HandshakeMisuse> {
        let host = host_of(self.uri)?;
        self.check()?;
        let key = STANDARD.encode(self.nonce);
        let mut request = Request::new(());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = target(self.uri)?;
        let headers = request.headers_mut();
        headers.insert(HOST, value(&host)?);
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_KEY, value(&key)?);
        let pending = self.finish(headers, Some(accept_key(&key)))?;
        Ok((request, pending))
    }

    /// Tells whether subprotocols and headers can be asked for.
    fn check(&self) -> Result<(), HandshakeMisuse> {
        for (index, name) in self.subprotocols.iter().enumerate() {
            if !self.grammar.allows(name) || self.subprotocols[..index].contains(name) {
                return Err(HandshakeMisuse::Subprotocol(name.clone()));
            }
        }
        match self.headers.keys().find(|name| is_ours(name)) {
            Some(name) => Err(HandshakeMisuse::ReservedHeader(name.clone())),
            None => Ok(()),
        }
    }

    /// Adds the headers that every version of HTTP has. `accept` is what the response must say.
    fn finish(
        self,
        headers: &mut HeaderMap,
        accept: Option<String>,
    ) -> Result<Pending, HandshakeMisuse> {
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if !self.subprotocols.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value(&self.subprotocols.join(", "))?);
        }
        if let Some(deflate) = self.deflate {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value(&negotiate::offer(deflate))?);
        }
        if let Some(authorization) = basic_authorization(self.uri)
            && !self.headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, authorization);
        }
        headers.extend(self.headers);
        Ok(Pending {
            accept,
            subprotocols: self.subprotocols.to_vec(),
            grammar: self.grammar,
            deflate: self.deflate.cloned(),
        })
    }
}

/// A request that was sent and what its response must say.
#[derive(Clone, Debug)]
pub struct Pending {
    /// `None`: an extended CONNECT, to which there is none.
    accept: Option<String>,
    subprotocols: Vec<String>,
    grammar: Grammar,
    deflate: Option<Deflate>,
}

impl Pending {
    /// Checks the response by the rules of RFC 6455 §4.1, or those of RFC 8441 §5 for an extended CONNECT, and returns
    /// what is agreed.
    ///
    /// # Errors
    ///
    /// [`HandshakeFault::Refused`] if the status is not 101 (not 2xx, to an extended CONNECT), another
    /// [`HandshakeFault`] if it is and the response breaks a rule. In both cases no WebSocket is open.
    pub fn verify<B>(&self, response: &Response<B>) -> Result<Agreed, HandshakeFault> {
        let Some(accept) = &self.accept else { return self.verify_connect(response) };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HandshakeFault::Refused(response.status()));
        }
        if response.version() != Version::HTTP_11 {
            return Err(HandshakeFault::HttpVersion);
        }
        let headers = response.headers();
        // RFC 6455 §4.1: "If the response lacks an |Upgrade| header field or the |Upgrade| header field
        // contains a value that is not an ASCII case-insensitive match for the value "websocket" [...]"
        let upgrade = only(headers, &UPGRADE).map(<[u8]>::trim_ascii);
        if !upgrade.is_some_and(|it| it.eq_ignore_ascii_case(b"websocket")) {
            return Err(HandshakeFault::Upgrade);
        }
        if !connection_upgrades(headers) {
            return Err(HandshakeFault::Connection);
        }
        // RFC 6455 §4.1: "[...] ignoring any leading and trailing whitespace"
        if only(headers, &SEC_WEBSOCKET_ACCEPT).map(<[u8]>::trim_ascii) != Some(accept.as_bytes()) {
            return Err(HandshakeFault::Accept);
        }
        self.read_answer(headers)
    }

    fn read_answer(&self, headers: &HeaderMap) -> Result<Agreed, HandshakeFault> {
        read_answer(headers, &self.subprotocols, self.grammar, self.deflate.as_ref())
    }
}

/// Says whether a response is an interim one (100, 102, 103), behind which the real one follows on the
/// same connection: read the next head, a bounded number of times.
pub fn is_interim<B>(response: &Response<B>) -> bool {
    // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final
    // response, even if the client does not expect one."
    response.status().is_informational() && response.status() != StatusCode::SWITCHING_PROTOCOLS
}

/// Why a server's response opens no WebSocket (RFC 6455 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// The server answered with another status than 101 (2xx over HTTP/2 and HTTP/3): it refuses, redirects or wants
    /// credentials.
    Refused(StatusCode),
    /// The response is not of the version of HTTP that was asked by.
    HttpVersion,
    /// The server does not announce that it takes an extended CONNECT (RFC 8441 §3, RFC 9220 §3), and so no WebSocket
    /// over HTTP/2 or HTTP/3.
    NoExtendedConnect,
    /// `Upgrade` is missing, there twice, or not `websocket`.
    Upgrade,
    /// `Connection` lacks `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is missing, there twice, or not the answer to our key.
    Accept,
    /// `Sec-WebSocket-Protocol` is malformed or names several subprotocols.
    Subprotocol,
    /// The server chose a subprotocol that we did not ask for.
    SubprotocolNotOffered,
    /// `Sec-WebSocket-Extensions` is malformed or names an extension twice.
    Extensions,
    /// The server chose an extension that we did not offer.
    ExtensionNotOffered,
    /// The parameters of permessage-deflate are not an answer to our offer (RFC 7692 §7.1).
    DeflateParams,
    /// The server left an extension out that the client can't do without. The client sends a Close
    /// frame with 1010 (RFC 6455 §7.4.1).
    ExtensionMissing,
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(status) => return write!(f, "server answered {status}"),
            Self::HttpVersion => "response of another version of HTTP",
            Self::NoExtendedConnect => "server takes no WebSockets over this version of HTTP",
            Self::Upgrade => "response without `Upgrade: websocket`",
            Self::Connection => "response without `Connection: Upgrade`",
            Self::Accept => "missing, repeated or wrong Sec-WebSocket-Accept",
            Self::Subprotocol => "malformed Sec-WebSocket-Protocol in the response",
            Self::SubprotocolNotOffered => "server chose a subprotocol that was not asked for",
            Self::Extensions => "malformed Sec-WebSocket-Extensions in the response",
            Self::ExtensionNotOffered => "server chose an extension that was not offered",
            Self::DeflateParams => "server answered permessage-deflate with bad parameters",
            Self::ExtensionMissing => "server left out an extension that is required",
        })
    }
}

impl std::error::Error for HandshakeFault {}

/// Something a caller wished for that no valid request can say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeMisuse {
    /// Not an absolute URI with a host, or one with a bad port.
    Uri,
    /// A scheme that is neither `ws` nor `wss`.
    Scheme,
    /// A URI with a fragment (RFC 6455 §3).
    Fragment,
    /// A subprotocol that is no token, or there twice (RFC 6455 §4.1).
    Subprotocol(String),
    /// A header that the handshake sets itself.
    ReservedHeader(HeaderName),
    /// A version of HTTP that can't carry it: one without extended CONNECT, or HTTP/3 where there is no QUIC.
    HttpVersion,
}

impl fmt::Display for HandshakeMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri => f.write_str("not a URI with a host"),
            Self::Scheme => f.write_str("scheme is neither ws nor wss"),
            Self::Fragment => f.write_str("a WebSocket URI has no fragment"),
            Self::Subprotocol(name) => {
                write!(f, "subprotocol {name:?} is no token, or there twice")
            }
            Self::ReservedHeader(name) => write!(f, "header {name} belongs to the handshake"),
            Self::HttpVersion => f.write_str("not with this version of HTTP"),
        }
    }
}

impl std::error::Error for HandshakeMisuse {}

/// Returns the value of `Host`: the port is left out where it is the scheme's default (RFC 6455 §4.1).
fn host_of(uri: &Uri) -> Result<String, HandshakeMisuse> {
    let authority = uri.authority().ok_or(HandshakeMisuse::Uri)?.as_str();
    let scheme = uri.scheme_str().ok_or(HandshakeMisuse::Uri)?;
    // RFC 3986 §3.1: "schemes are case-insensitive".
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "ws" => 80,
        "wss" => 443,
        _ => return Err(HandshakeMisuse::Scheme),
    };
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match split_host(authority).ok_or(HandshakeMisuse::Uri)? {
        (host, Some(port)) if port != default_port => Ok(format!("{host}:{port}")),
        (host, _) => Ok(host.to_owned()),
    }
}

/// Returns the request target in origin form: path and query, where an empty path becomes `/`.
fn target(uri: &Uri) -> Result<Uri, HandshakeMisuse> {
    let path_and_query = uri.path_and_query().map_or("/", |it| it.as_str());
    let mut target = String::with_capacity(path_and_query.len() + 1);
    if !path_and_query.starts_with('/') {
        target.push('/');
    }
    for byte in path_and_query.bytes() {
        // RFC 3986 §2.1: only ASCII stands for itself.
        if byte.is_ascii() {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    Uri::try_from(target).map_err(|_| HandshakeMisuse::Uri)
}

/// Says whether a header is the handshake's own, or would announce a body.
fn is_ours(name: &HeaderName) -> bool {
    [HOST, UPGRADE, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TE, TRAILER].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

/// Makes `Authorization` from the user information of a URI (RFC 7617 §2).
fn basic_authorization(uri: &Uri) -> Option<HeaderValue> {
    let (user, _) = uri.authority()?.as_str().rsplit_once('@')?;
    let mut plain = percent_decoded(user);
    if !user.contains(':') {
        plain.push(b':');
    }
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let mut byte = *first;
        if let (b'%', [high, low, after @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            byte = (high * 16 + low) as u8;
            rest = after;
        }
        out.push(byte);
    }
    out
}

fn value(text: &str) -> Result<HeaderValue, HandshakeMisuse> {
    HeaderValue::from_str(text).map_err(|_| HandshakeMisuse::Uri)
}

#[cfg(test)]
mod tests;
