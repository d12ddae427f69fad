//! What a request says that an HTTP server read which is not ours: over HTTP/1.1, or by extended CONNECT.

use http::{Method, Request, Uri, Version, request::Parts};
use hyper::ext::Protocol;
use taiwa_proto::handshake::{Arrival, Opening, Rejection as Broken, is_upgrade};

use super::{Rejection, Upgrade};
use crate::server::{Addr, Sockets, connection::Ends, h2::fit_request};

impl Upgrade {
    /// Tells whether a request asks for a WebSocket, and is no ordinary HTTP: by `Upgrade` over HTTP/1.1, by an extended
    /// CONNECT (RFC 8441 §4) from HTTP/2 on, for whatever protocol.
    ///
    /// `true` promises nothing more: [`from_request`](Self::from_request) may still refuse it.
    ///
    /// ```
    /// use http::{Request, Version};
    /// use taiwa::Upgrade;
    /// let request = Request::get("/chat").header("upgrade", "websocket").body(()).unwrap();
    /// assert!(Upgrade::is_requested_by(&request));
    /// let request = Request::get("https://a.example/").version(Version::HTTP_2).body(()).unwrap();
    /// assert!(!Upgrade::is_requested_by(&request));
    /// ```
    pub fn is_requested_by<B>(request: &Request<B>) -> bool {
        match is_on_stream(request) {
            true => protocol(request).is_some(),
            false => is_upgrade(request),
        }
    }
}

/// From HTTP/2 on, a WebSocket is one of the streams of a connection.
fn is_on_stream<B>(request: &Request<B>) -> bool {
    request.version() >= Version::HTTP_2
}

/// Returns `:protocol` of an extended CONNECT, as hyper tells it.
fn protocol<B>(request: &Request<B>) -> Option<&str> {
    let protocol = request.extensions().get().map(Protocol::as_str);
    protocol.filter(|_| request.method() == Method::CONNECT)
}

/// Reads an opening handshake, and checks its `Origin`.
pub(super) fn read<B>(request: &Request<B>, sockets: &Sockets) -> Result<Opening, Rejection> {
    let opening = match request.version() {
        _ if is_on_stream(request) => {
            Opening::read_connect(request, protocol(request).ok_or(Broken::NotUpgrade)?)?
        }
        Version::HTTP_11 => Opening::read(request)?,
        _ => return Err(Broken::HttpVersion.into()),
    };
    // By which way it came is seen once the transport is ours.
    opening.permitted_by(&sockets.terms().origins, Arrival::Network)?;
    sockets.terms().subprotocols.check(&opening)?;
    Ok(opening)
}

/// What hyper tells of who talks to whom: nothing, so what middleware left.
pub(super) fn ends(parts: &Parts) -> Ends {
    let tcp = parts.extensions.get().map(|it: &std::net::SocketAddr| Addr::from(*it));
    let peer = parts.extensions.get().cloned().or(tcp);
    Ends::new(peer.unwrap_or(Addr::Unknown), Addr::Unknown)
}

/// Copies a request's head, since the request stays with its owner.
pub(super) fn copy_of<B>(request: &Request<B>) -> Request<()> {
    let mut copy = Request::new(());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    copy
}

/// Gives a head the form of one over HTTP/1.1 in what closures look for there.
pub(super) fn as_over_http1<B>(mut request: Request<B>) -> Parts {
    let is_on_stream = is_on_stream(&request);
    if is_on_stream {
        fit_request(&mut request);
    }
    let mut parts = request.into_parts().0;
    if is_on_stream && let Some(path) = parts.uri.path_and_query() {
        parts.uri = Uri::from(path.clone());
    }
    parts
}
