//! [`ClientBuilder`]: the settings of a client.

mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use taiwa_proto::{
    Config, Deadlines, Keepalive, Limits,
    deflate::Deflate,
    handshake::{HandshakeMisuse, Wish},
};
use tokio::time::Instant;

use super::{
    Client, Shared,
    dial::{Dialing, Place, Resolver, parse_url},
    h3,
    pool::{Pool, Told},
    proxy::Proxy,
    sharing::Sharing,
    version::HttpVersion,
};
use crate::{error::Error, tls::ClientTls};

/// Settings of a [`Client`]. What is wrong with them is told by [`build`](Self::build).
///
/// ```
/// # fn main() -> Result<(), taiwa::Error> {
/// use std::time::Duration;
///
/// use taiwa::{Client, Deadlines, Error, Keepalive, Limits, Proxy};
///
/// let client = Client::builder()
///     .secret_header("x-api-key", "1234")
///     .limits(Limits { message_bytes_max: 16 << 20, ..Limits::default() })
///     .deadlines(Deadlines { handshake: Some(Duration::from_secs(3)), ..Deadlines::default() })
///     .keepalive(Keepalive { ping_after: Duration::from_secs(60), ..Keepalive::default() })
///     .proxy(Proxy::parse("socks5h://proxy.example")?)
///     .redirects(2)
///     .build()?;
///
/// let wrong = Client::builder().header("two words", "1234").build();
/// assert!(matches!(wrong, Err(Error::Header(_))));
/// # Ok(()) }
/// ```
#[must_use]
pub struct ClientBuilder {
    config: Config,
    deflate_required: bool,
    headers: HeaderMap,
    subprotocols: Vec<String>,
    redirects_max: u32,
    dialing: Dialing,
    http_version: HttpVersion,
    sharing: Sharing,
    told: Vec<Told>,
    tls: ClientTls,
    /// What is wrong with the settings: the first thing.
    fault: Option<Error>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            config: Config { keepalive: Some(Keepalive::default()), ..Config::default() },
            deflate_required: false,
            headers: HeaderMap::new(),
            subprotocols: Vec::new(),
            redirects_max: 0,
            dialing: Dialing { proxy: Proxy::from_environment(), ..Dialing::default() },
            http_version: HttpVersion::default(),
            sharing: Sharing::default(),
            told: Vec::new(),
            tls: ClientTls::default(),
            fault: None,
        }
    }
}

impl ClientBuilder {
    /// Adds a header to the request, for example `authorization`, `cookie`, `origin`; a second one of the
    /// same name is sent, too. Those of the handshake itself (`Host`, `Connection`, `Upgrade`,
    /// `Sec-WebSocket-…`) and those that announce a body are refused by [`build`](Self::build).
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => _ = self.headers.append(name, value),
            (Err(error), _) => self.blame(Error::Header(error.into())),
            (_, Err(error)) => self.blame(Error::Header(error.into())),
        }
        self
    }

    /// Offers subprotocols, the most preferred first (RFC 6455 §1.9). Default: none. A server may choose
    /// none of them: see [`WebSocket::subprotocol`](crate::WebSocket::subprotocol). One that chooses
    /// another fails the handshake:
    /// [`HandshakeFault::SubprotocolNotOffered`](crate::HandshakeFault::SubprotocolNotOffered).
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Offers permessage-deflate (RFC 7692); whether the server took it up tells
    /// [`WebSocket::deflate`](crate::WebSocket::deflate). Default: not.
    pub fn compression(mut self, deflate: Deflate) -> Self {
        self.config.deflate = Some(deflate);
        self
    }

    /// Offers permessage-deflate and does without the connection if the server does without it: it is
    /// closed with 1010, and opening it fails with [`HandshakeFault::ExtensionMissing`](crate::HandshakeFault).
    pub fn compression_required(mut self, deflate: Deflate) -> Self {
        self.config.deflate = Some(deflate);
        self.deflate_required = true;
        self
    }

    /// Sets the limits, in bytes and counts; each says what happens past it. Default:
    /// [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the deadlines; each says what happens past it. Default: [`Deadlines::default`].
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.config.deadlines = deadlines;
        self
    }

    /// Sets when silent peers are pinged; `None` never. Default: [`Keepalive::default`].
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.config.keepalive = keepalive.into();
        self
    }

    /// Sets limits, deadlines, keepalive and compression at once. Note that [`Config::default`] has
    /// keepalive off.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Adds a header whose value is a secret: it is left out after a redirect to another origin, as
    /// `authorization`, `cookie` and `proxy-authorization` always are.
    pub fn secret_header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.append(name, value);
            }
            (Err(error), _) => self.blame(Error::Header(error.into())),
            (_, Err(error)) => self.blame(Error::Header(error.into())),
        }
        self
    }

    /// Follows so many redirects (301, 302, 303, 307, 308) for one connection, all within
    /// [`Deadlines::handshake`]; one more is [`RedirectFault::TooMany`](crate::RedirectFault::TooMany).
    /// Default: 0, which makes a redirect an [`Error::Refused`] with its `Location`. RFC 6455 §4.1
    /// leaves it to the client, browsers follow none, and where a redirect leads is the server's choice.
    ///
    /// `http` and `https` in a `Location` count as `ws` and `wss`. From `wss` none leads to `ws`
    /// ([`RedirectFault::Downgrade`](crate::RedirectFault::Downgrade)). When scheme, host or port
    /// change, `Authorization`, `Cookie`, `Proxy-Authorization`, those of
    /// [`secret_header`](Self::secret_header), the user information of the URL and the client's
    /// certificate stay behind, and do not come back. Subprotocols and all other headers are sent on.
    /// [`FinalUrl`](crate::FinalUrl) tells where it ended.
    pub fn redirects(mut self, max: u32) -> Self {
        self.redirects_max = max;
        self
    }

    /// Connects through a proxy; `None` connects directly, whatever the environment says. Default:
    /// [`Proxy::from_environment`], read when the builder is made, as curl, reqwest and browsers do it
    /// where a network has no other way out. It never applies to `localhost` and loopback addresses,
    /// unlike a proxy that is set here. Unix sockets and [`Client::connect_over`] know no proxy.
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.dialing.proxy = proxy.into();
        self
    }

    /// Resolves host names by `resolve`, called with a host and a port; that of a proxy, too. The
    /// addresses are tried in the order in which it returns them, families by turns. Default:
    /// `getaddrinfo` of the system, on a thread of tokio's.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), taiwa::Error> {
    /// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
    /// # let port = server.local_addr()?.port();
    /// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
    /// #     let mut socket = it.accept().await?;
    /// #     while let Some(it) = socket.recv().await? { socket.send(it).await? }
    /// #     Ok::<_, taiwa::Error>(())
    /// # }).into_future());
    /// let client = taiwa::Client::builder()
    ///     .resolver(|host, port| async move {
    ///         assert_eq!(host, "feed.example");
    ///         Ok(vec![([127, 0, 0, 1], port).into()])
    ///     })
    ///     .build()?;
    /// let socket = client.connect(&format!("ws://feed.example:{port}/")).await?;
    /// # drop(socket);
    /// # Ok(()) }
    /// ```
    pub fn resolver<F, R>(mut self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.dialing.resolver = Resolver::own(resolve);
        self
    }

    /// Sets which version of HTTP carries the WebSockets. Default: [`HttpVersion::Auto`], the best that both ends speak.
    ///
    /// ```
    /// use taiwa::{Client, HttpVersion};
    /// let client = Client::builder().http_version(HttpVersion::Http1).build()?;
    /// # Ok::<(), taiwa::Error>(())
    /// ```
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.http_version = version;
        self
    }

    /// Sets the limits of connections that WebSockets share. Default: [`Sharing::default`].
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Tells where the server of a `wss` URL speaks HTTP/3, as it said in the header `Alt-Svc` of an earlier response (RFC 7838),
    /// `h3=":443"; ma=86400` say: so a program that starts anew can try HTTP/3 with its first WebSocket. Its time counts from now
    /// on, and what the server says by then replaces it. Default: what responses say to this client and its clones.
    ///
    /// A value that is none, or a URL that is not `wss`, fails [`build`](Self::build) with [`Error::Request`].
    ///
    /// ```
    /// let client = taiwa::Client::builder().alt_svc("wss://feed.example/", r#"h3=":443"; ma=3600"#).build()?;
    /// # Ok::<(), taiwa::Error>(())
    /// ```
    pub fn alt_svc(mut self, url: &str, value: &str) -> Self {
        let (uri, socket) = match parse_url(url) {
            Ok(parsed) => parsed,
            Err(misuse) => {
                self.blame(Error::Request(misuse));
                return self;
            }
        };
        let place = Place::of(&uri);
        match h3::read_value(value, place.host) {
            Some(offers) if place.is_tls && socket.is_none() => self.told.push(Told {
                host: place.host.to_ascii_lowercase(),
                port: place.port,
                offers,
                since: Instant::now(),
            }),
            _ => self.blame(Error::Request(HandshakeMisuse::HttpVersion)),
        }
        self
    }

    /// Connects from this address of the machine, that of one interface say. Addresses of the other
    /// family are then out of reach. Default: the system chooses.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.dialing.local_address = Some(address);
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`Error::Tls`] for a bad certificate, key or server name, or a key log that can't be opened;
    /// [`Error::Header`] for a header that is none, [`Error::Request`] for a header of the handshake's
    /// own or a subprotocol that is no token.
    pub fn build(self) -> Result<Client, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        // Asking once tells what every connection would tell.
        let uri = Uri::from_static("ws://localhost/");
        let (subprotocols, headers) = (&self.subprotocols[..], self.headers.clone());
        let wish = Wish { subprotocols, headers, ..Wish::new(&uri, [0; 16]) };
        wish.request().map_err(Error::Request)?;
        Ok(Client {
            shared: Arc::new(Shared {
                config: Arc::new(self.config),
                deflate_required: self.deflate_required,
                headers: self.headers,
                subprotocols: self.subprotocols,
                redirects_max: self.redirects_max,
                dialing: self.dialing,
                http_version: self.http_version,
                pool: Pool::new(self.sharing, self.told),
                tls: self.tls,
                connector: OnceLock::new(),
                connector_for_strangers: OnceLock::new(),
            }),
        })
    }

    fn blame(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }
}
