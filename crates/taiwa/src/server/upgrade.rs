//! [`Upgrade`]: an opening handshake that waits for an answer.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use crate::{error::Error, websocket::WebSocket};

/// An opening handshake that waits for an answer: [`accept`](Self::accept) or [`reject`](Self::reject).
/// Take your time to decide. Dropped without an answer, it is refused with status 500.
#[must_use = "accept or reject it; dropping it answers with status 500"]
pub struct Upgrade {}

impl Upgrade {
    /// Returns the method of the request, `GET`.
    pub fn method(&self) -> &Method {
        todo!()
    }

    /// Returns path and query of the request.
    pub fn uri(&self) -> &Uri {
        todo!()
    }

    /// Returns the headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        todo!()
    }

    /// Returns the address of the peer.
    pub fn peer_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Returns the address on which we were reached.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Returns host and port as the client named them.
    pub fn host(&self) -> &str {
        todo!()
    }

    /// Returns the page that connects, if a browser does.
    pub fn origin(&self) -> Option<&str> {
        todo!()
    }

    /// Returns the subprotocols that the client offers, the most preferred first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        [].into_iter()
    }

    /// Tells whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        todo!()
    }

    /// Names the subprotocols that we speak. The first one of the client's list that is among them is
    /// agreed on; none, if none is.
    pub fn subprotocol<S: AsRef<str>>(self, ours: impl IntoIterator<Item = S>) -> Self {
        let _ = ours;
        self
    }

    /// Borrows the headers that go out with the response, to add to, for example `set-cookie`. Those of
    /// the handshake itself are overwritten.
    pub fn response_headers(&mut self) -> &mut HeaderMap {
        todo!()
    }

    /// Accepts: answers with status 101.
    ///
    /// # Errors
    /// [`Error::Lost`] or [`Error::Io`] if the client is gone.
    pub async fn accept(self) -> Result<WebSocket, Error> {
        todo!()
    }

    /// Refuses with a status and a text. A status below 200 or above 599 is sent as 500.
    ///
    /// # Errors
    /// None; it returns a `Result` to stand at the end of a closure.
    pub async fn reject(self, status: u16, body: impl Into<Bytes>) -> Result<(), Error> {
        let _ = (status, body.into());
        todo!()
    }

    /// Refuses with a response. A status of 1xx is sent as 500.
    ///
    /// # Errors
    /// As [`reject`](Self::reject).
    pub async fn reject_with(self, response: http::Response<Bytes>) -> Result<(), Error> {
        let _ = response;
        todo!()
    }
}
