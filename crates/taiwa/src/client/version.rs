//! Which version of HTTP carries a WebSocket, and why.

use std::{fmt, time::Duration};

/// How long a server may take to its SETTINGS, which RFC 9113 §3.4 and RFC 9114 §3.2 have it send first of all.
pub(super) const SETTINGS_WITHIN: Duration = Duration::from_secs(3);

/// Which version of HTTP carries a client's WebSockets, set by
/// [`ClientBuilder::http_version`](crate::ClientBuilder::http_version).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpVersion {
    /// The best that both ends speak: for `wss` HTTP/2 if the server chooses it by ALPN and announces that it takes
    /// WebSockets over it (RFC 8441 §3), otherwise HTTP/1.1, on a new connection where need be. For `ws`, whose servers can't
    /// tell, HTTP/1.1.
    ///
    /// Once a response of the origin offered HTTP/3 by `Alt-Svc` (RFC 7838), also on another port or host, it takes part in a race as
    /// long as that is fresh, unless a proxy leads there: it is tried first, the others
    /// [250 ms](crate::Sharing::http3_head_start) later or when it failed, and whichever is ready for a WebSocket first carries it.
    /// HTTP/3 that comes later carries those that follow; where it can't be reached that is
    /// [remembered](crate::Sharing::remembered_for). [`VersionSteps`](crate::VersionSteps) tells the course of it.
    #[default]
    Auto,
    /// HTTP/1.1 (RFC 6455 §4), a connection of its own for each WebSocket.
    Http1,
    /// HTTP/2 (RFC 8441) or none: for `wss` by ALPN, for `ws`, unix sockets and transports of the caller with prior
    /// knowledge (RFC 9113 §3.3). A server that does not speak it is [`Error::Tls`](crate::Error::Tls) or
    /// [`Error::Io`](crate::Error::Io), one that speaks it and takes no WebSockets over it
    /// [`HandshakeFault::NoExtendedConnect`](crate::HandshakeFault::NoExtendedConnect).
    Http2,
    /// HTTP/3 (RFC 9220) or none: for `wss`, on the port of the URL, which is one of UDP then. What can't be carried over it
    /// (`ws`, unix sockets, proxies, transports of the caller) is [`Error::Request`](crate::Error::Request) with
    /// [`HandshakeMisuse::HttpVersion`](crate::HandshakeMisuse::HttpVersion), a server that takes no WebSockets over it
    /// [`HandshakeFault::NoExtendedConnect`](crate::HandshakeFault::NoExtendedConnect).
    Http3,
}

/// Why a WebSocket is carried by the version of HTTP that carries it: an extension of the response that
/// [`Client::open`](crate::Client::open) returns, whose [`version`](http::Response::version) says by which. Its `Display` is
/// a half-sentence for people.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
/// #     it.accept().await?.recv().await.map(drop)
/// # }).into_future());
/// use taiwa::{Client, VersionReason};
///
/// let (socket, response) = Client::builder().build()?.open(&url).await?;
/// assert_eq!(response.version(), http::Version::HTTP_11);
/// assert_eq!(response.extensions().get(), Some(&VersionReason::Cleartext));
/// # drop(socket);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VersionReason {
    /// The caller wants this version alone.
    Asked,
    /// Without TLS nobody says which versions a server speaks.
    Cleartext,
    /// The transport was the caller's, and there is no second one to fall back to.
    GivenTransport,
    /// The server chose it by ALPN (RFC 7301).
    Negotiated,
    /// The server offered it by `Alt-Svc` (RFC 7838), with an earlier response.
    AltSvc,
    /// A connection to the server was open already.
    Shared,
    /// The server speaks HTTP/2 and does not take WebSockets over it, which was found now or not long ago.
    NoExtendedConnect,
}

impl fmt::Display for VersionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked for",
            Self::Cleartext => "no TLS, so no other version was offered",
            Self::GivenTransport => "the transport was given",
            Self::Negotiated => "chosen by the server",
            Self::AltSvc => "offered by the server before (Alt-Svc)",
            Self::Shared => "shares a connection that was open",
            Self::NoExtendedConnect => "the server takes no WebSockets over HTTP/2",
        })
    }
}
