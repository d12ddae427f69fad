//! [`SessionRequest`]: a client asks for a session.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, ORIGIN},
};
use taiwa_h3::net;
use taiwa_proto::Config;

use super::Session;
use crate::{
    error::Error,
    server::{Addr, Ends, RawSeat},
};

/// A request for a session of WebTransport that waits for an answer: [`accept`](Self::accept) or [`reject`](Self::reject).
///
/// Whether the page's origin may connect has been decided already, by [`Server::origins`](crate::Server::origins). Dropped without an
/// answer, the request is given up, which the client sees as a failure.
#[must_use = "accept or reject it"]
pub struct SessionRequest {
    request: net::SessionRequest,
    ends: Arc<Ends>,
    response_headers: HeaderMap,
    seat: RawSeat,
}

impl SessionRequest {
    pub(crate) fn new(request: net::SessionRequest, ends: Arc<Ends>, seat: RawSeat) -> Self {
        Self { request, ends, response_headers: HeaderMap::new(), seat }
    }

    /// Returns scheme, host, path and query as the client asked for them.
    pub fn uri(&self) -> &Uri {
        self.request.request().uri()
    }

    /// Returns the path, without the query.
    pub fn path(&self) -> &str {
        self.uri().path()
    }

    /// Returns the headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        self.request.request().headers()
    }

    /// Returns the origin of the page that connects, if a browser does.
    pub fn origin(&self) -> Option<&str> {
        self.headers().get(ORIGIN)?.to_str().ok()
    }

    /// Returns the address of the peer.
    pub fn peer_addr(&self) -> &Addr {
        &self.ends.peer
    }

    /// Returns the address on which we were reached.
    pub fn local_addr(&self) -> &Addr {
        &self.ends.local
    }

    /// Returns the certificates that the client has shown, each in DER (RFC 5280), its own first: see
    /// [`Server::client_certificates`](crate::Server::client_certificates).
    pub fn peer_certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.ends.certificates.iter().map(|it| it.as_ref())
    }

    /// Returns the protocols that the client offers to speak, the most preferred first (draft-ietf-webtrans-http3 §3.3); at most
    /// [`OFFERED_MAX`](taiwa_h3::webtransport::protocols::OFFERED_MAX) are looked at.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.request.protocols().iter().map(String::as_str)
    }

    /// Names the protocols that we speak. The first one of the client's list that is among them is chosen, and told by
    /// [`Session::protocol`] on both sides; without one the session has none.
    pub fn protocol<S: AsRef<str>>(mut self, ours: impl IntoIterator<Item = S>) -> Self {
        let ours: Vec<S> = ours.into_iter().collect();
        self.request.choose(&ours);
        self
    }

    /// Borrows the headers that go out with the response, to add to.
    pub fn response_headers(&mut self) -> &mut HeaderMap {
        &mut self.response_headers
    }

    /// Accepts: answers with status 200. The session is closed when the last clone of it is dropped.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    ///
    /// # Errors
    /// [`Error::Io`] if the client is gone.
    pub async fn accept(self) -> Result<Session, Error> {
        let session = self.request.accept(self.response_headers).await;
        let session = session.map_err(|error| Error::Io(error.into()))?;
        let (seat, ended) = (self.seat, session.end());
        // It counts among the server's connections until it has ended.
        tokio::spawn(async move {
            ended.await;
            drop(seat);
        });
        Ok(session)
    }

    /// Accepts as [`accept`](Self::accept) does, and gives the place among the server's connections and its settings along. Drop
    /// the place when the session has ended.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    #[doc(hidden)]
    pub async fn accept_raw(self) -> Result<(Session, RawSeat, Arc<Config>), Error> {
        let config = self.seat.config();
        let session = self.request.accept(self.response_headers).await;
        Ok((session.map_err(|error| Error::Io(error.into()))?, self.seat, config))
    }

    /// Refuses with a status and a text. A status below 300 or above 599 is sent as 500.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    ///
    /// # Errors
    /// [`Error::Io`] if the client is gone.
    pub async fn reject(self, status: u16, body: impl Into<Bytes>) -> Result<(), Error> {
        let mut response = Response::new(());
        let status = StatusCode::from_u16(status).ok();
        let status = status.filter(|it| (300..=599).contains(&it.as_u16()));
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = self.response_headers;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        let refused = self.request.reject(&response, body.into()).await;
        refused.map_err(|error| Error::Io(error.into()))
    }
}

impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the headers and not the query: they hold secrets.
        f.debug_struct("SessionRequest")
            .field("peer", &self.ends.peer)
            .field("path", &self.path())
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}
