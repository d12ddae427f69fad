//! The server's half of the opening handshake: over HTTP/1.1 (RFC 6455 §4.2) here, by extended CONNECT in `connect`.

mod connect;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};

use super::negotiation::{Offer, lines, only};
use super::origins::{Arrival, is_near, split_host};
use super::tokens::{each_element, is_tchar};
use super::{Agreed, Grammar, Origins, Rejection, accept_key};
use crate::deflate::Deflate;

/// What proxies add to the requests that they pass on.
const PROXY_HEADERS: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// Says whether a request asks for an upgrade to WebSocket; if not, it is ordinary HTTP.
///
/// `true` promises nothing more: [`Opening::read`] may still refuse the request. A request of HTTP/1.0
/// asks for no upgrade whatever its headers say (RFC 9110 §7.8).
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && names_websocket(request.headers()) == Some(true)
}

/// A request to open a WebSocket that follows the rules, not yet answered.
///
/// ```
/// use taiwa_proto::handshake::Opening;
/// let request = http::Request::get("/chat")
///     .header("Host", "chat.example")
///     .header("Upgrade", "websocket")
///     .header("Connection", "keep-alive, Upgrade")
///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .header("Sec-WebSocket-Version", "13")
///     .header("Sec-WebSocket-Protocol", "v2.json, v1.json")
///     .body(())
///     .unwrap();
/// let opening = Opening::read(&request).unwrap();
/// let chosen = opening.choose(&["v1.json"]);
/// let (response, agreed) = opening.accept(chosen, None);
/// assert_eq!(response.status(), 101);
/// assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// assert_eq!(agreed.subprotocol.as_deref(), Some("v1.json"));
/// ```
#[derive(Clone, Debug)]
pub struct Opening {
    /// Whether it is an extended CONNECT.
    is_connect: bool,
    /// Without it no `Sec-WebSocket-Accept` is sent.
    key: Option<String>,
    host: String,
    origin: Option<String>,
    is_forwarded: bool,
    offer: Offer,
}

impl Opening {
    /// Reads a request by the rules of RFC 6455 §4.2.1. Ask [`is_upgrade`] first where ordinary HTTP
    /// is served too.
    ///
    /// # Errors
    ///
    /// A [`Rejection`], whose response is to be sent before the connection is closed. `Origin` is not
    /// judged here: see [`Opening::permitted_by`].
    pub fn read<B>(request: &Request<B>) -> Result<Self, Rejection> {
        Self::read_by(request, Grammar::Strict)
    }

    /// Reads a request as [`Opening::read`] does, with subprotocols by `grammar`.
    ///
    /// # Errors
    ///
    /// As [`Opening::read`].
    pub fn read_by<B>(request: &Request<B>, grammar: Grammar) -> Result<Self, Rejection> {
        let headers = request.headers();
        // RFC 6455 §4.1: "The method of the request MUST be GET, and the HTTP version MUST be at least 1.1."
        if request.method() != Method::GET {
            return Err(Rejection::Method);
        }
        if request.version() != Version::HTTP_11 {
            return Err(Rejection::HttpVersion);
        }
        match names_websocket(headers) {
            Some(true) => {}
            Some(false) => return Err(Rejection::NotUpgrade),
            None => return Err(Rejection::Connection),
        }
        if !connection_upgrades(headers) {
            return Err(Rejection::Connection);
        }
        refuse_body(headers)?;
        let host = host(request)?;
        read_version(headers)?;
        Ok(Self {
            is_connect: false,
            key: Some(read_key(headers)?),
            host,
            origin: read_origin(headers)?,
            is_forwarded: is_forwarded(headers),
            offer: Offer::read(headers, grammar)?,
        })
    }

    /// Tells whether it is an extended CONNECT (RFC 8441 §4), and the WebSocket so a stream of HTTP/2 or HTTP/3.
    pub fn is_connect(&self) -> bool {
        self.is_connect
    }

    /// Returns the client's subprotocols in its order of preference.
    pub fn subprotocols(&self) -> &[String] {
        self.offer.subprotocols()
    }

    /// Returns what the client offers to negotiate.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Returns `Origin` as the client wrote it; only browsers send it.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Returns the host, with its port if one is named, that the client believes to talk to: from an
    /// absolute request target, else from `Host` (RFC 9112 §3.2.2); over HTTP/2 and HTTP/3 from `:authority`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Checks `Origin` against a policy.
    ///
    /// A page may have its own name resolve to 127.0.0.1, and is then of the same host as a server on
    /// the visitor's machine. So on [`Arrival::Loopback`] the same host counts only if it is called as
    /// on that machine (an address, `localhost`, a name without a dot), or if a proxy says in its
    /// headers that it stands in between; scripts can't set these.
    ///
    /// # Errors
    ///
    /// [`Rejection::Origin`] if the policy does not let the page in, [`Rejection::FarHost`] if it does
    /// only by a name that the page may have bound to this machine.
    pub fn permitted_by(&self, origins: &Origins, arrival: Arrival) -> Result<(), Rejection> {
        judge_origin(origins, arrival, self.origin(), &self.host, self.is_forwarded)
    }

    /// Returns the first of the client's subprotocols that is in `supported`.
    pub fn choose(&self, supported: &[impl AsRef<str>]) -> Option<&str> {
        self.offer.choose(supported)
    }

    /// Makes the response that opens the WebSocket, and returns what is agreed by it: status 101, or 200 to an extended
    /// CONNECT.
    ///
    /// A `subprotocol` that the client did not ask for is left out. `None` for `deflate` declines
    /// compression. The caller may add headers to the response.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub fn accept(
        &self,
        subprotocol: Option<&str>,
        deflate: Option<&Deflate>,
    ) -> (Response<()>, Agreed) {
        let mut response = Response::new(());
        if !self.is_connect {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        if let Some(key) = &self.key {
            let accept = HeaderValue::try_from(accept_key(key)).expect("base64 is ASCII");
            response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        let agreed = self.offer.answer(subprotocol, deflate, response.headers_mut());
        (response, agreed)
    }
}

/// Tells whether a proxy says that it stands in between.
fn is_forwarded(headers: &HeaderMap) -> bool {
    PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Checks the `Origin` of any request, as [`Opening::permitted_by`] does that of an opening handshake: for those that do the
/// work of a WebSocket without being one.
///
/// # Errors
///
/// As [`Opening::permitted_by`]; a request without a readable `Host` is [`Rejection::Origin`] if it names an origin.
pub fn permit_request<B>(
    request: &Request<B>,
    origins: &Origins,
    arrival: Arrival,
) -> Result<(), Rejection> {
    let headers = request.headers();
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().map_err(|_| Rejection::Origin)?;
    let named = request.uri().authority().map(|it| it.as_str());
    let host = named.or_else(|| headers.get(HOST)?.to_str().ok()).ok_or(Rejection::Origin)?;
    judge_origin(origins, arrival, Some(origin), host, is_forwarded(headers))
}

fn judge_origin(
    origins: &Origins,
    arrival: Arrival,
    origin: Option<&str>,
    host: &str,
    is_forwarded: bool,
) -> Result<(), Rejection> {
    if !origins.permit(origin, host) {
        return Err(Rejection::Origin);
    }
    let is_far = arrival == Arrival::Loopback
        && !is_forwarded
        && origin.is_some_and(|it| !origins.names(it))
        && !is_near(host);
    if is_far { Err(Rejection::FarHost) } else { Ok(()) }
}

/// Says whether `Upgrade` names WebSocket. `None`: the header is malformed.
fn names_websocket(headers: &HeaderMap) -> Option<bool> {
    // RFC 9110 §7.8 "protocol = protocol-name ["/" protocol-version]"
    list_has(headers, &UPGRADE, |byte| is_tchar(byte) || byte == b'/', "websocket")
}

/// Says whether `Connection` is well-formed and has the option `Upgrade`.
pub(crate) fn connection_upgrades(headers: &HeaderMap) -> bool {
    list_has(headers, &CONNECTION, is_tchar, "upgrade") == Some(true)
}

fn list_has(
    headers: &HeaderMap,
    name: &'static http::HeaderName,
    allowed: fn(u8) -> bool,
    wanted: &str,
) -> Option<bool> {
    let mut has = false;
    each_element(lines(headers, name), allowed, |element| {
        has |= element.eq_ignore_ascii_case(wanted);
        Ok(())
    })
    .ok()?;
    Some(has)
}

/// Refuses a request that announces a body. What we read as frames a proxy before us could read as the
/// body, or the other way round: request smuggling. `Content-Length: 0`, which some proxies add to each
/// GET, leaves no room for that.
fn refuse_body(headers: &HeaderMap) -> Result<(), Rejection> {
    let no_length = !headers.contains_key(CONTENT_LENGTH);
    if headers.contains_key(TRANSFER_ENCODING)
        || !(no_length || only(headers, &CONTENT_LENGTH) == Some(b"0"))
    {
        return Err(Rejection::Body);
    }
    Ok(())
}

fn host<B>(request: &Request<B>) -> Result<String, Rejection> {
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
    // message that lacks a Host header field and to any request message that contains more than one Host
    // header field line or a Host header field with an invalid field value."
    let header = only(request.headers(), &HOST).ok_or(Rejection::Host)?;
    let header = std::str::from_utf8(header).map_err(|_| Rejection::Host)?.trim();
    split_host(header).ok_or(Rejection::Host)?;
    // RFC 9112 §3.2.2: "When an origin server receives a request with an absolute-form of request-target,
    // the origin server MUST ignore the received Host header field (if any)".
    let Some(authority) = request.uri().authority() else { return Ok(header.to_owned()) };
    split_host(authority.as_str()).ok_or(Rejection::Host)?;
    Ok(authority.as_str().to_owned())
}

fn read_version(headers: &HeaderMap) -> Result<(), Rejection> {
    // RFC 6455 §11.3.5: the header "MUST NOT appear more than once in an HTTP request".
    match only(headers, &SEC_WEBSOCKET_VERSION) {
        Some(version) if version.trim_ascii() == b"13" => Ok(()),
        None if headers.contains_key(SEC_WEBSOCKET_VERSION) => Err(Rejection::VersionTwice),
        _ => Err(Rejection::Version),
    }
}

fn read_key(headers: &HeaderMap) -> Result<String, Rejection> {
    // RFC 6455 §4.2.1: "a base64-encoded [...] value that, when decoded, is 16 bytes in length". Bits that pad
    // the last letter may be anything: RFC 4648 §3.5 lets a decoder ignore them, and clients with a
    // random string for a key may set them.
    static DECODER: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(Rejection::Key)?.trim_ascii();
    let mut nonce = [0; 18];
    if DECODER.decode_slice(key, &mut nonce) != Ok(16) {
        return Err(Rejection::Key);
    }
    String::from_utf8(key.to_vec()).map_err(|_| Rejection::Key)
}

fn read_origin(headers: &HeaderMap) -> Result<Option<String>, Rejection> {
    if !headers.contains_key(ORIGIN) {
        return Ok(None);
    }
    let origin = only(headers, &ORIGIN).filter(|it| it.is_ascii());
    let origin = origin.and_then(|it| std::str::from_utf8(it).ok());
    Ok(Some(origin.ok_or(Rejection::OriginMalformed)?.to_owned()))
}

#[cfg(test)]
mod tests;
