//! [`Upgrade`]: an opening handshake that waits for an answer.

mod at_once;
#[cfg(feature = "axum")]
mod axum;
mod handed;
mod raw;
mod rejection;
mod request;
mod returned;
mod service;
mod settings;
mod stream;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
};
use taiwa_proto::{
    Config, Role,
    handshake::{Agreed, Opening},
};
use tokio::sync::oneshot;

use super::{
    Addr, Credentials, Terms,
    connection::{Ends, Waiting},
};
use crate::{
    error::Error,
    io::BoxIo,
    websocket::{Ear, Inner, Opened, WebSocket},
};
pub(super) use at_once::{Bare, BareIo, RESPONSE_LEN};
pub use raw::{RawConnection, RawIo, RawSeat, RawSocket, RawStream, RawTransport};
pub use rejection::Rejection;
pub use returned::{Handover, Outcome};
pub use service::{UpgradeBody, UpgradeFuture, UpgradeLayer, UpgradeService};

/// An opening handshake that waits for an answer. Take your time to decide.
///
/// | from | say yes | say no |
/// |---|---|---|
/// | [`Server`](crate::Server), [`UpgradeService`] | [`accept`](Self::accept) | [`reject`](Self::reject), [`reject_with`](Self::reject_with) |
/// | [`from_request`](Self::from_request), [`Sockets::upgrade`](crate::Sockets::upgrade), axum | return the response of [`on_upgrade`](Self::on_upgrade) or [`respond`](Self::respond) | return another response |
///
/// Dropped without an answer, the upper kind is refused with status 500.
///
/// ```
/// use taiwa::{Client, Error, Server, Upgrade};
///
/// async fn answer(upgrade: Upgrade) -> Result<(), Error> {
///     if upgrade.headers().get("authorization").is_none() {
///         return upgrade.reject(401, "token please").await;
///     }
///     let mut socket = upgrade.subprotocol(["v2.json", "v1.json"]).accept().await?;
///     socket.send("welcome").await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let server = Server::bind("127.0.0.1:0").await?;
/// let url = format!("ws://{}/", server.local_addr()?);
/// tokio::spawn(server.serve(answer).into_future());
///
/// let refused = taiwa::connect(&url).await;
/// assert!(matches!(refused, Err(Error::Refused(response)) if response.status() == 401));
/// let client = Client::builder().header("authorization", "Bearer 1234").build()?;
/// assert_eq!(client.connect(&url).await?.recv().await?, Some("welcome".into()));
/// # Ok(()) }
/// ```
#[must_use = "accept or reject it; dropping it answers with status 500"]
pub struct Upgrade {
    /// Boxed: a closure's future holds it, in each of the futures that it is moved through, as long as the WebSocket lives.
    asked: Box<Asked>,
}

struct Asked {
    parts: Parts,
    opening: Opening,
    ends: Arc<Ends>,
    subprotocol: Option<String>,
    response_headers: HeaderMap,
    config: Arc<Config>,
    terms: Arc<Terms>,
    road: Road,
}

/// What is left of it once it is answered.
struct Answered {
    ends: Arc<Ends>,
    config: Arc<Config>,
    terms: Arc<Terms>,
    road: Road,
}

/// Which way the answer goes.
enum Road {
    /// Somebody waits for it, writes it, and takes the socket back.
    Awaited { reply: oneshot::Sender<Reply>, home: oneshot::Sender<Box<Inner>> },
    /// Our caller returns it to hyper.
    Returned(returned::Place),
    /// Who decides about it gets the transport, or gives it back. Nobody locks it: with the lock it may be shared.
    AtOnce(Box<Mutex<Bare>>),
}

/// An answer to an opening handshake.
pub(super) enum Reply {
    /// Write the head, then hand over the transport with the bytes read behind the request.
    Accept(Response<()>, oneshot::Sender<(BoxIo, BytesMut)>),
    Reject(Response<Bytes>),
}

impl Upgrade {
    pub(super) fn new(
        terms: &Arc<Terms>,
        ends: &Arc<Ends>,
        parts: Parts,
        opening: Opening,
    ) -> (Self, Waiting) {
        let (reply, reply_waiting) = oneshot::channel();
        let (home, home_waiting) = oneshot::channel();
        let road = Road::Awaited { reply, home };
        let upgrade = Self::by(Arc::clone(terms), Arc::clone(ends), parts, opening, road);
        (upgrade, Waiting { reply: reply_waiting, home: home_waiting })
    }

    fn by(terms: Arc<Terms>, ends: Arc<Ends>, parts: Parts, opening: Opening, road: Road) -> Self {
        let subprotocol = terms.subprotocols.choose(&opening);
        let (response_headers, config) = (HeaderMap::new(), Arc::clone(&terms.config));
        let asked =
            Asked { parts, opening, ends, subprotocol, response_headers, config, terms, road };
        Self { asked: Box::new(asked) }
    }

    /// Drops what the request has said.
    fn answered(self) -> Answered {
        let Asked { ends, config, terms, road, .. } = *self.asked;
        Answered { ends, config, terms, road }
    }

    /// Returns the version of HTTP over which the WebSocket is to be opened: `HTTP_11`, or `HTTP_2` and `HTTP_3` on a
    /// stream (RFC 8441, RFC 9220).
    pub fn version(&self) -> Version {
        self.asked.parts.version
    }

    /// Returns the method of the request: `GET`, over HTTP/2 and HTTP/3 `CONNECT`.
    pub fn method(&self) -> &Method {
        &self.asked.parts.method
    }

    /// Returns path and query of the request.
    pub fn uri(&self) -> &Uri {
        &self.asked.parts.uri
    }

    /// Returns the headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        &self.asked.parts.headers
    }

    /// Returns the extensions of the request: what middleware left there.
    pub fn extensions(&self) -> &Extensions {
        &self.asked.parts.extensions
    }

    /// Returns the address of the peer. Behind an HTTP server that is not ours it is what stands as [`Addr`]
    /// or [`SocketAddr`](std::net::SocketAddr) in the request's extensions, or [`Addr::Unknown`];
    /// [`WebSocket::peer_addr`] knows better where the transport is a tokio `TcpStream`.
    pub fn peer_addr(&self) -> &Addr {
        &self.asked.ends.peer
    }

    /// Returns the address on which we were reached; [`Addr::Unknown`] behind an HTTP server that is not
    /// ours.
    pub fn local_addr(&self) -> &Addr {
        &self.asked.ends.local
    }

    /// Returns which user and process connected, over a unix socket; `None` over TCP.
    pub fn peer_credentials(&self) -> Option<Credentials> {
        self.asked.ends.credentials
    }

    /// Returns the certificates that the client has shown, each in DER (RFC 5280), its own first: verified, as
    /// [`Server::client_certificates`](crate::Server::client_certificates) asks for. Empty if it has shown none.
    pub fn peer_certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.asked.ends.certificates.iter().map(|it| it.as_ref())
    }

    /// Returns host and port as the client named them: in an absolute request target, else in `Host`
    /// (RFC 9112 §3.2.2); over HTTP/2 and HTTP/3 in `:authority`.
    pub fn host(&self) -> &str {
        self.asked.opening.host()
    }

    /// Returns the origin of the page that connects, if a browser does (RFC 6455 §10.2). Whether it may
    /// has been decided already, by [`Origins`](crate::Origins).
    pub fn origin(&self) -> Option<&str> {
        self.asked.opening.origin()
    }

    /// Returns the subprotocols that the client offers, the most preferred first (RFC 6455 §4.1); at most
    /// 64, more are refused before the closure is asked.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.asked.opening.subprotocols().iter().map(String::as_str)
    }

    /// Tells whether the connection is encrypted. `false` behind an HTTP server that is not ours: we can't
    /// know.
    pub fn is_tls(&self) -> bool {
        self.asked.ends.is_tls
    }

    /// Names the subprotocols that we speak. The first one of the client's list that is among them is
    /// agreed on (RFC 6455 §4.2.2); none, if none is. It counts instead of
    /// [`Server::subprotocols`](crate::Server::subprotocols).
    pub fn subprotocol<S: AsRef<str>>(mut self, ours: impl IntoIterator<Item = S>) -> Self {
        let ours: Vec<S> = ours.into_iter().collect();
        self.asked.subprotocol = self.asked.opening.choose(&ours).map(str::to_owned);
        self
    }

    /// Borrows the headers that go out with the response, to add to, for example `set-cookie`. Those of
    /// the handshake itself are left out.
    pub fn response_headers(&mut self) -> &mut HeaderMap {
        &mut self.asked.response_headers
    }

    /// Accepts: answers with status 101, over HTTP/2 and HTTP/3 with 200.
    ///
    /// Not cancel-safe: dropping its future closes the connection.
    ///
    /// # Errors
    /// [`Error::Lost`] if the client is gone; [`Error::ResponseExpected`] where the answer is a response to
    /// return, see [`on_upgrade`](Self::on_upgrade).
    pub async fn accept(self) -> Result<WebSocket, Error> {
        let (response, agreed) = self.response();
        let Answered { ends, config, terms, road } = self.answered();
        let Road::Awaited { reply, home } = road else { return Err(Error::ResponseExpected) };
        let (transfer, transferred) = oneshot::channel();
        reply.send(Reply::Accept(response, transfer)).map_err(|_| Error::Lost)?;
        let (io, leftover) = transferred.await.map_err(|_| Error::Lost)?;
        let opened = Opened { io, leftover, agreed, peer_addr: ends.peer.tcp() };
        let inner = Inner::new(Role::Server, config, opened);
        let ear = Ear::new(Arc::clone(&terms.going_away));
        Ok(WebSocket::new(inner.of_server(ear, home)))
    }

    /// Makes the response 101 or 200, and says what is agreed by it.
    fn response(&self) -> (Response<()>, Agreed) {
        let subprotocol = self.asked.subprotocol.as_deref();
        let (mut response, agreed) =
            self.asked.opening.accept(subprotocol, self.asked.config.deflate.as_ref());
        for (name, value) in &self.asked.response_headers {
            let is_ours = [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
                || name.as_str().starts_with("sec-websocket-");
            if !is_ours {
                response.headers_mut().append(name, value.clone());
            }
        }
        if self.version() < Version::HTTP_3 {
            self.asked.terms.alternative.tell(&self.asked.ends, response.headers_mut());
        }
        (response, agreed)
    }

    /// Refuses with a status and a text. A status below 200 or above 599 is sent as 500. The connection
    /// closes, or serves further requests, once the closure has returned.
    ///
    /// Cancel-safe: it does not wait. A future that is never polled refuses with status 500.
    ///
    /// # Errors
    /// [`Error::ResponseExpected`] where the answer is a response to return. None otherwise; it returns a
    /// `Result` to stand at the end of a closure.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub async fn reject(self, status: u16, body: impl Into<Bytes>) -> Result<(), Error> {
        let mut response = Response::new(body.into());
        *response.status_mut() = match status {
            200..=599 => StatusCode::from_u16(status).expect("in range"),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        self.reject_with(response).await
    }

    /// Refuses with a response. A status of 1xx is sent as 500.
    ///
    /// Cancel-safe, as [`reject`](Self::reject).
    ///
    /// # Errors
    /// As [`reject`](Self::reject).
    pub async fn reject_with(self, mut response: Response<Bytes>) -> Result<(), Error> {
        if response.status().is_informational() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let Road::Awaited { reply, .. } = self.answered().road else {
            return Err(Error::ResponseExpected);
        };
        // A client that has gone meanwhile needs no answer.
        let _ = reply.send(Reply::Reject(response));
        Ok(())
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the headers and not the query: they hold secrets.
        f.debug_struct("Upgrade")
            .field("peer", &self.asked.ends.peer)
            .field("host", &self.host())
            .field("path", &self.uri().path())
            .field("origin", &self.origin())
            .field("subprotocols", &self.asked.opening.subprotocols())
            .finish_non_exhaustive()
    }
}
