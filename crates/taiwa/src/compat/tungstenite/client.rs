//! What a client asks for: [`IntoClientRequest`], [`ClientRequestBuilder`].

use http::{HeaderName, Uri};

pub use super::blocking::{client, client_with_config, connect, connect_with_config};
use super::{
    error::{Result, UrlError},
    handshake::{
        client::{Request, generate_key},
        server::from_parsed,
    },
    maybe_tls::Mode,
};

/// Something that a client can ask for: a URL as text or [`Uri`], to which the headers of the handshake
/// are added; or a whole request, which is sent as it is.
pub trait IntoClientRequest {
    /// Makes the request.
    ///
    /// # Errors
    /// If it is no URL, or one without a host.
    fn into_client_request(self) -> Result<Request>;
}

impl IntoClientRequest for &str {
    fn into_client_request(self) -> Result<Request> {
        self.parse::<Uri>()?.into_client_request()
    }
}

impl IntoClientRequest for &String {
    fn into_client_request(self) -> Result<Request> {
        self.as_str().into_client_request()
    }
}

impl IntoClientRequest for String {
    fn into_client_request(self) -> Result<Request> {
        self.as_str().into_client_request()
    }
}

impl IntoClientRequest for &Uri {
    fn into_client_request(self) -> Result<Request> {
        self.clone().into_client_request()
    }
}

impl IntoClientRequest for Uri {
    fn into_client_request(self) -> Result<Request> {
        let authority = self.authority().ok_or(UrlError::NoHostName)?.as_str();
        // RFC 9110 §7.2: `Host` has no user information.
        let host = authority.split_once('@').map_or(authority, |(_, host)| host);
        if host.is_empty() {
            return Err(UrlError::EmptyHostName.into());
        }
        let request = Request::builder()
            .header("Host", host)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key());
        Ok(request.uri(self).body(())?)
    }
}

impl IntoClientRequest for Request {
    fn into_client_request(self) -> Result<Request> {
        Ok(self)
    }
}

impl IntoClientRequest for httparse::Request<'_, '_> {
    fn into_client_request(self) -> Result<Request> {
        from_parsed(&self)
    }
}

/// Adds headers and subprotocols to a URL.
///
/// ```
/// use taiwa::compat::tungstenite::tungstenite::{ClientRequestBuilder, client::IntoClientRequest};
/// let request = ClientRequestBuilder::new("ws://localhost/feed".parse().unwrap())
///     .with_header("Authorization", "Bearer 1234")
///     .with_sub_protocol("v2.json")
///     .into_client_request()
///     .unwrap();
/// assert_eq!(request.headers()["sec-websocket-protocol"], "v2.json");
/// ```
#[derive(Clone, Debug)]
pub struct ClientRequestBuilder {
    uri: Uri,
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
}

impl ClientRequestBuilder {
    /// Starts with a URL.
    #[must_use]
    pub const fn new(uri: Uri) -> Self {
        Self { uri, headers: Vec::new(), subprotocols: Vec::new() }
    }

    /// Adds a header.
    pub fn with_header<K: Into<String>, V: Into<String>>(mut self, key: K, value: V) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }

    /// Adds a subprotocol, after those before it.
    pub fn with_sub_protocol<P: Into<String>>(mut self, protocol: P) -> Self {
        self.subprotocols.push(protocol.into());
        self
    }
}

impl IntoClientRequest for ClientRequestBuilder {
    fn into_client_request(self) -> Result<Request> {
        let mut request = self.uri.into_client_request()?;
        let headers = request.headers_mut();
        for (name, value) in self.headers {
            headers.append(HeaderName::try_from(name)?, value.parse()?);
        }
        if !self.subprotocols.is_empty() {
            headers.append("Sec-WebSocket-Protocol", self.subprotocols.join(", ").parse()?);
        }
        Ok(request)
    }
}

/// Tells whether a URL asks for TLS.
///
/// # Errors
/// [`UrlError::UnsupportedUrlScheme`] if it is neither `ws` nor `wss`.
pub fn uri_mode(uri: &Uri) -> Result<Mode> {
    match uri.scheme_str() {
        Some("ws") => Ok(Mode::Plain),
        Some("wss") => Ok(Mode::Tls),
        _ => Err(UrlError::UnsupportedUrlScheme.into()),
    }
}

/// Returns where a request goes: host, without the brackets of IPv6, and port.
pub(super) fn host_and_port(request: &Request) -> Result<(String, u16)> {
    let uri = request.uri();
    let host = uri.host().ok_or(UrlError::NoHostName)?;
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    let port = match uri.port_u16() {
        Some(port) => port,
        None => match uri_mode(uri)? {
            Mode::Plain => 80,
            Mode::Tls => 443,
        },
    };
    Ok((host.to_owned(), port))
}
