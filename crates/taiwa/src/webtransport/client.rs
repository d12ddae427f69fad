//! [`Client`]: opens sessions.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use rustls::{ClientConfig, crypto::aws_lc_rs, version::TLS13};
use taiwa_h3::{
    error::Code,
    net::{self, Connection, SessionError},
    webtransport::protocols,
};
use taiwa_proto::{
    Deadline,
    handshake::{HandshakeFault, HandshakeMisuse},
};
use tokio::time::timeout;

use super::{
    Limits, Session,
    pinned::PinnedCertificates,
    pool::{self, Place, Pool},
};
use crate::{
    Sharing,
    client::{Resolver, connect_quic},
    error::Error,
    tls::{ClientTls, Connector, Judged, alpn},
};

/// Opens a session at an `https` URL, with the platform's roots.
///
/// Cancel-safe: dropping the future ends what it began.
///
/// # Errors
/// As [`Client::connect`].
pub async fn connect(url: &str) -> Result<Session, Error> {
    Client::builder().build()?.connect(url).await
}

/// How long a server of a connection that was used before may give no sign that it is there.
const SIGN_WITHIN: Duration = Duration::from_secs(3);

/// Opens sessions of WebTransport.
///
/// Those of one origin, of this client and its clones, share a connection if the server announced that there may be several on it, as
/// many as it allows and [`Limits::sessions_max`] says; otherwise each has its own. With
/// [hashes of certificates](ClientBuilder::certificate_hash) none is ever shared, as browsers have it. A task on the runtime that opened a
/// connection drives it, until it had no session for [`Sharing::idle_max`] or the client is dropped.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// use taiwa::webtransport::Client;
///
/// let hash = [7; 32];
/// let client = Client::builder().certificate_hash(hash).header("origin", "https://app.example").build()?;
/// let session = client.connect("https://127.0.0.1:4433/chat").await?;
/// session.send_datagram(b"hello")?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Settings>);

struct Settings {
    headers: HeaderMap,
    limits: net::Limits,
    within: Option<Duration>,
    quic: quinn::ClientConfig,
    connector: Connector,
    pool: Pool,
    /// W3C WebTransport: with hashes of certificates "allowPooling" is an error.
    shares: bool,
}

/// Settings of a [`Client`].
#[must_use]
#[derive(Default)]
pub struct ClientBuilder {
    headers: HeaderMap,
    limits: net::Limits,
    within: Within,
    tls: ClientTls,
    hashes: Vec<[u8; 32]>,
    sharing: Sharing,
    /// What is wrong with the settings: the first thing.
    fault: Option<Error>,
}

struct Within(Option<Duration>);

impl Default for Within {
    fn default() -> Self {
        Self(Some(Duration::from_secs(10)))
    }
}

impl ClientBuilder {
    /// Adds a header to the request, for example `authorization`, `origin`. What is wrong with it is told by [`build`](Self::build).
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => _ = self.headers.append(name, value),
            (Err(error), _) => _ = self.fault.get_or_insert(Error::Header(error.into())),
            (_, Err(error)) => _ = self.fault.get_or_insert(Error::Header(error.into())),
        }
        self
    }

    /// Offers protocols to speak in the session, the most preferred first (draft-ietf-webtrans-http3 §3.3). Default: none. A server may
    /// choose none of them: see [`Session::protocol`]. One that chooses another fails the opening:
    /// [`HandshakeFault::SubprotocolNotOffered`]. A name of other characters than printable ASCII, or one that is there twice, is told by
    /// [`build`](Self::build).
    ///
    /// ```
    /// let client = taiwa::webtransport::Client::builder().protocols(["chat.v2", "chat.v1"]).build()?;
    /// # Ok::<(), taiwa::Error>(())
    /// ```
    pub fn protocols<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<S> = names.into_iter().collect();
        match protocols::write_list(&names) {
            Some(_) if names.is_empty() => _ = self.headers.remove(protocols::AVAILABLE),
            Some(list) => _ = self.headers.insert(protocols::AVAILABLE, list),
            None => {
                let names: Vec<_> = names.iter().map(S::as_ref).collect();
                let misuse = HandshakeMisuse::Subprotocol(names.join(", "));
                self.fault.get_or_insert(Error::Request(misuse));
            }
        }
        self
    }

    /// Sets the limits of connections that sessions share: [`Sharing::idle_max`] and [`Sharing::connections_max`] count here; how many
    /// sessions a connection has at most says [`Limits::sessions_max`], 1 for one of its own for each. Default: [`Sharing::default`].
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Believes certificates that these roots in PEM vouch for, instead of those of the platform. Called again, it adds to them.
    ///
    /// # Errors
    /// [`Error::Tls`] if there is no root in the PEM text, or one can't be read.
    pub fn roots(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.tls.add_roots(pem)?;
        Ok(self)
    }

    /// Believes the certificate with this SHA-256 of its DER, whoever vouches for it and whatever name stands in it; called again,
    /// that one, too. No other certificate is believed then, by roots neither, and no session shares its connection.
    ///
    /// The rules are those of browsers' `serverCertificateHashes`: it must be valid now, for at most 14 days in all, and its key be one of
    /// P-256. `taiwa serve --tls dev` makes such certificates.
    pub fn certificate_hash(mut self, sha256: [u8; 32]) -> Self {
        self.hashes.push(sha256);
        self
    }

    /// Sets what sessions may use of this side; each says what happens past it. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits.webtransport = limits;
        self
    }

    /// Sets how long opening a session may take; `None` for ever. Default 10 s. Past it: [`Error::Late`].
    pub fn within(mut self, within: Option<Duration>) -> Self {
        self.within.0 = within;
        self
    }

    /// Sets the silence after which the connection is lost. Default 30 s; the peer is asked for a sign every 10 s.
    pub fn silence_max(mut self, silence: Duration) -> Self {
        self.limits.silence_max = silence;
        self
    }

    /// Makes the client. With the platform's roots it reads files.
    ///
    /// # Errors
    /// [`Error::Header`], [`Error::Tls`]: the first setting that is wrong.
    pub fn build(mut self) -> Result<Client, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        // A session needs one, whatever was said.
        let sessions_max = &mut self.limits.webtransport.sessions_max;
        *sessions_max = (*sessions_max).max(1);
        let connector = self.tls.connector()?;
        let shares = self.hashes.is_empty();
        let mut quic = if shares { connector.quic()? } else { pinned(self.hashes)? };
        quic.transport_config(Arc::new(self.limits.transport()));
        let (headers, limits, within) = (self.headers, self.limits, self.within.0);
        let pool = Pool::new(self.sharing);
        Ok(Client(Arc::new(Settings { headers, limits, within, quic, connector, pool, shares })))
    }
}

/// Makes the TLS that believes certificates by their hash.
fn pinned(hashes: Vec<[u8; 32]>) -> Result<quinn::ClientConfig, Error> {
    let wrong = |error| Error::Tls(io::Error::other(error));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = PinnedCertificates { hashes };
    let verifier = Judged { judge, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn::HTTP3.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config)
        .map_err(|error| Error::Tls(io::Error::other(error)))?;
    Ok(quinn::ClientConfig::new(Arc::new(crypto)))
}

impl Client {
    /// Starts with the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Opens a session: on a connection that is open and has room, or else resolves the host, connects by QUIC to the address that
    /// answers first (RFC 8305), and asks for the session there, all within [`ClientBuilder::within`].
    ///
    /// Cancel-safe: dropping the future ends what it began; a connection that stands by then stays for others.
    ///
    /// # Errors
    /// [`Error::Request`] for another URL than an `https` one without fragment and user; [`Error::Tls`], [`Error::Io`],
    /// [`Error::Late`]; [`Error::Refused`] when the server answers with another status than 2xx (redirects are not followed), with its
    /// head. A server that does not speak WebTransport is an [`Error::Io`] of the kind [`io::ErrorKind::Unsupported`].
    pub async fn connect(&self, url: &str) -> Result<Session, Error> {
        Ok(self.open(url).await?.0)
    }

    /// Opens a session like [`connect`](Self::connect) and returns the head of the server's response. Cancel-safe like it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<(Session, Response<()>), Error> {
        let uri = parse(url).map_err(Error::Request)?;
        let opening = self.begin(uri);
        match self.0.within {
            None => opening.await,
            Some(within) => match timeout(within, opening).await {
                Ok(opened) => opened,
                Err(_) => Err(Error::Late(Deadline::Handshake)),
            },
        }
    }

    async fn begin(&self, uri: Uri) -> Result<(Session, Response<()>), Error> {
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(443);
        let mut request = Request::connect(uri.clone()).body(()).map_err(Error::Header)?;
        *request.headers_mut() = self.0.headers.clone();
        if !self.0.shares {
            let connection = self.connect_to(host, port, &Arc::default(), Duration::ZERO).await?;
            return connection.ask(request).await.map_err(refusal);
        }
        let place = self.0.pool.place(host, port);
        if let Some(opened) = shared(&place, &request).await? {
            return Ok(opened);
        }
        let mut turn = None;
        if place.takes_turns() {
            turn = Some(place.turn.lock().await);
            // Who had the turn before may have opened one.
            if let Some(opened) = shared(&place, &request).await? {
                return Ok(opened);
            }
        }
        let connection = self.connect_to(host, port, &place, self.0.pool.idle_max()).await?;
        // The others need not wait for the server's answer.
        drop(turn);
        connection.ask(request).await.map_err(refusal)
    }

    /// Connects, and waits for what the server announces: others share the connection if it takes several sessions.
    async fn connect_to(
        &self,
        host: &str,
        port: u16,
        place: &Arc<Place>,
        idle_max: Duration,
    ) -> Result<Begun, Error> {
        let name = self.0.connector.name_of(host)?.to_str().into_owned();
        let addresses = Resolver::default().resolve(host, port).await?;
        let quic = connect_quic(&addresses, None, &name, &self.0.quic).await?;
        let limits = self.0.limits.clone();
        let sessions_max = limits.webtransport.sessions_max;
        let (connection, driver) = Connection::client(quic, limits.settings(), limits);
        let (kept, at) = (connection.clone(), Arc::clone(place));
        let alive = self.0.pool.alive();
        tokio::spawn(pool::keep(kept, driver, at, idle_max, alive));
        let mut begun = Begun { connection, is_needed: false };
        let terms = begun.connection.webtransport().await;
        if let Some(terms) = terms.map_err(|it| Error::Io(it.into()))?
            && !idle_max.is_zero()
        {
            let sessions_max = terms.sessions_max.min(sessions_max as u64);
            begun.is_needed = place.add(&begun.connection, terms.dialect, sessions_max);
        }
        Ok(begun)
    }
}

/// Asks for a session on one of the connections that are open; `None` if there is no room on any.
async fn shared(
    place: &Place,
    request: &Request<()>,
) -> Result<Option<(Session, Response<()>)>, Error> {
    for connection in place.connections() {
        let asked = tokio::select! {
            biased;
            asked = connection.session(request.clone()) => asked,
            () = connection.silent(SIGN_WITHIN) => {
                place.remove(&connection);
                continue;
            }
        };
        match asked {
            Ok(opened) => return Ok(Some(opened)),
            Err(SessionError::TooMany) => {}
            // RFC 9114 §4.1.1: "the server has not performed any application processing"; a connection that has ended may have been dead
            // before.
            Err(SessionError::Failed(
                net::Error::GoingAway
                | net::Error::Closed(_)
                | net::Error::Reset(Code::REQUEST_REJECTED),
            )) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Ok(None)
}

/// A new connection. Given up before it has a session, or is shared, it is closed.
struct Begun {
    connection: Connection,
    is_needed: bool,
}

impl Begun {
    /// Asks for the first session.
    async fn ask(mut self, request: Request<()>) -> Result<(Session, Response<()>), SessionError> {
        let opened = self.connection.session(request).await?;
        self.is_needed = true;
        Ok(opened)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_needed {
            self.connection.close(Code::NO_ERROR, "");
        }
    }
}

fn parse(url: &str) -> Result<Uri, HandshakeMisuse> {
    let uri: Uri = url.parse().map_err(|_| HandshakeMisuse::Uri)?;
    let is_right = uri.scheme_str() == Some("https")
        && uri.host().is_some_and(|it| !it.is_empty())
        && !url.contains('#')
        && !uri.authority().is_some_and(|it| it.as_str().contains('@'));
    if is_right { Ok(uri) } else { Err(HandshakeMisuse::Uri) }
}

fn refusal(error: SessionError) -> Error {
    match error {
        SessionError::Refused(response) => {
            Error::Refused(Box::new(response.map(|()| Bytes::new())))
        }
        SessionError::Failed(error) => Error::Io(error.into()),
        SessionError::ProtocolNotOffered => Error::Handshake(HandshakeFault::SubprotocolNotOffered),
        SessionError::Unsupported => Error::Io(io::Error::new(io::ErrorKind::Unsupported, error)),
        other => Error::Io(io::Error::other(other)),
    }
}
