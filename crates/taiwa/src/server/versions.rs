//! Which versions of HTTP a [`Server`] speaks.

use std::{fmt, future::Future, io, net::UdpSocket, sync::Arc};

use super::{Server, h2::Http2, h3::Http3};
use crate::{tls::alpn, webtransport::SessionRequest};

impl Server {
    /// Sets whether HTTP/1.1 is spoken. Default `true`. Without it a request of that version gets status 505; over TLS its
    /// clients find no protocol in common.
    #[must_use]
    pub fn http1(mut self, is_on: bool) -> Self {
        self.http1 = is_on;
        self
    }

    /// Sets the limits of HTTP/2 (RFC 9113), or switches it off with `None`. Default: on, with [`Http2::default`].
    ///
    /// Over TLS it is agreed on by ALPN; without TLS clients have to know that they may begin with it (RFC 9113 §3.3). Each
    /// WebSocket is a stream there (RFC 8441): the closure that answers upgrades has the same [`Upgrade`](crate::Upgrade),
    /// whose [`version`](crate::Upgrade::version) says so. Ordinary requests go to [`http`](Self::http); `:authority` is in
    /// their URI and, unless they have one, in `Host`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use taiwa::{Http2, Server};
    ///
    /// let limits = Http2 { streams_max: 100, ..Http2::default() };
    /// let server = Server::bind("127.0.0.1:0").await?.http2(limits);
    /// let of_http1_alone = server.http2(None);
    /// # drop(of_http1_alone); Ok(()) }
    /// ```
    #[must_use]
    pub fn http2(mut self, limits: impl Into<Option<Http2>>) -> Self {
        self.http2 = limits.into();
        self
    }

    /// Sets the limits of HTTP/3 (RFC 9114), or switches it off with `None`. Default: off, since it needs UDP.
    ///
    /// It is served on the UDP ports of the same numbers as those of the listeners of TCP, with their certificates, so it needs
    /// [`tls`](Self::tls): without it, and where connections come with PROXY headers, [`Serving`](crate::Serving) ends with an
    /// error at once, as it does when such a port is taken. Clients hear of it by `Alt-Svc` (RFC 7838) in responses over
    /// TCP. Each WebSocket is a stream there (RFC 9220), ordinary requests go to [`http`](Self::http), as over
    /// [HTTP/2](Self::http2).
    ///
    /// A listener that is [shared](crate::Listener::shared) with another process has its UDP port as soon as that one has let
    /// it go; until then its clients come by TCP.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), taiwa::Error> {
    /// # let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (certificates, key) = (key.cert.pem(), key.signing_key.serialize_pem());
    /// use taiwa::{Http3, Server};
    ///
    /// let server = Server::bind("127.0.0.1:0").await?.tls(certificates.as_bytes(), key.as_bytes())?;
    /// let server = server.http3(Http3 { streams_max: 100, ..Http3::default() });
    /// # drop(server); Ok(()) }
    /// ```
    #[must_use]
    pub fn http3(mut self, limits: impl Into<Option<Http3>>) -> Self {
        self.http3 = limits.into();
        self
    }

    /// Serves HTTP/3 on this socket instead of on one for each listener of TCP; several calls give several. It needs
    /// [`http3`](Self::http3).
    #[must_use]
    pub fn udp(mut self, socket: UdpSocket) -> Self {
        self.udp.given.push(socket);
        self
    }

    /// Serves HTTP/3 on a socket that another process has as well, or will have: one of the
    /// service manager (`Server::from_activation`). It is in the place of that of each listener of TCP with the same port. When such listeners are
    /// [left](crate::Serving::with_successor), connections on it go on and no new ones begin. It needs [`http3`](Self::http3).
    ///
    /// The packets of one connection reach whichever process reads first: let one of them read at a time.
    #[must_use]
    pub fn shared_udp(mut self, socket: UdpSocket) -> Self {
        self.udp.handed_over.push(socket);
        self
    }

    /// Binds the UDP ports of [HTTP/3](Self::http3) now, and not when serving begins: so a server that tells others that it is there
    /// knows before whether it has them. Call it behind [`http3`](Self::http3); without that it does nothing. Those of listeners
    /// that are [shared](crate::Listener::shared) are bound later all the same.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), taiwa::Error> {
    /// use taiwa::{Http3, Server};
    /// // A port that is free for TCP and, by chance, not for UDP, is an error here.
    /// let server = Server::bind("127.0.0.1:0").await?.http3(Http3::default());
    /// # let port = server.local_addr()?;
    /// # let there = std::net::UdpSocket::bind(port);
    /// let bound = server.bind_udp();
    /// # assert_eq!(bound.map(drop).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    /// # drop(there); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if another program has a port, and other errors of the system.
    pub fn bind_udp(mut self) -> io::Result<Self> {
        if self.http3.is_some() {
            self.udp.bind(&self.listeners)?;
        }
        Ok(self)
    }

    /// Answers requests for sessions of WebTransport over HTTP/3 with a closure, which runs once for each, in a task of its own; see
    /// [`webtransport`](crate::webtransport). It needs [`http3`](Self::http3), whose [`Http3::webtransport`] has the limits. Default: there
    /// are none, and WebTransport is not announced.
    ///
    /// Which pages may connect says [`origins`](Self::origins); others get status 403. What the closure's error says is told to
    /// [`on_error`](crate::Serving::on_error). A session counts as one of [`connections_max`](Self::connections_max); past it a request gets
    /// status 503. When the server shuts down, sessions are asked to end ([`Session::draining`](crate::webtransport::Session::draining)), and
    /// closures that have not returned after [`Deadlines::close`](crate::Deadlines::close) are dropped.
    #[must_use]
    pub fn webtransport<F, A, E>(mut self, answer: F) -> Self
    where
        F: Fn(SessionRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        self.sessions = Some(Arc::new(move |request| {
            let answering = answer(request);
            Box::pin(async move { answering.await.map_err(|error| error.to_string()) })
        }));
        self
    }

    /// What is offered by ALPN over TCP, the most preferred first.
    pub(super) fn protocols(&self) -> Vec<&'static [u8]> {
        let http2 = self.http2.is_some().then_some(alpn::HTTP2);
        let http1 = self.http1.then_some(alpn::HTTP1);
        http2.into_iter().chain(http1).collect()
    }
}
