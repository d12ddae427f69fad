//! WebSocket client and server on tokio, and the same client [in a browser](#in-a-browser).
//!
//! ```no_run
//! use taiwa::{Error, Server, Upgrade};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let echo = |upgrade: Upgrade| async move {
//!         let mut socket = upgrade.accept().await?;
//!         while let Some(message) = socket.recv().await? {
//!             socket.send(message).await?;
//!         }
//!         Ok::<(), Error>(())
//!     };
//!     Server::bind("127.0.0.1:8000").await?.serve(echo).await
//! }
//! ```
//!
//! ```no_run
//! #[tokio::main]
//! async fn main() -> Result<(), taiwa::Error> {
//!     let mut socket = taiwa::connect("ws://127.0.0.1:8000/").await?;
//!     socket.send("hello").await?;
//!     let answer = socket.recv().await?.expect("the server does not close first");
//!     println!("{}", answer.as_text().unwrap_or("(binary)"));
//!     let closed = socket.close(taiwa::CloseCode::NORMAL, "").await?;
//!     println!("closed with {}", closed.code);
//!     Ok(())
//! }
//! ```
//!
//! Both ends are a [`WebSocket`]: one type, `Send`, without type parameters. It speaks RFC 6455 and RFC 7692
//! over HTTP/1.1.
//!
//! # Which face
//!
//! All faces are of one connection; the way back from `split` is [`Receiver::reunite`].
//!
//! | you have | take |
//! |---|---|
//! | one task that asks and answers | [`WebSocket`]: `recv`, `send` |
//! | tasks that send while another one receives | [`WebSocket::split`]: a [`Sender`] to clone, a [`Receiver`] |
//! | many receivers of one message | [`Prepared`] and [`Sender::send_prepared`]: framed and compressed once |
//! | readers that may be slow | [`Sender::with_policy`]: wait, drop, keep the latest, close |
//! | a message to build only when there is room | [`WebSocket::reserve`], [`Sender::reserve`]: a [`Permit`] |
//! | messages too large to hold | [`WebSocket::recv_stream`], [`WebSocket::send_stream`]: `AsyncRead`, `AsyncWrite` |
//! | code for `Stream` and `Sink` of the futures crates | [`WebSocket`], which is both |
//! | two streams with backpressure, as browsers' `WebSocketStream` | [`WebSocketStream`] |
//! | events, as browsers' `WebSocket` | [`events`] |
//! | a connection that comes back by itself | [`Client::reconnecting`]: [`Reconnecting`], [`ReconnectingWebSocket`] |
//! | a poll function of your own | [`WebSocket::poll_recv`], [`poll_room`](WebSocket::poll_room), [`poll_written`](WebSocket::poll_written) |
//!
//! # What is where
//!
//! | client | |
//! |---|---|
//! | headers, subprotocols, compression (permessage-deflate), basic authorization from the URL | [`ClientBuilder`] |
//! | proxies: HTTP CONNECT and SOCKS 5, with user and password, also those of the environment | [`ClientBuilder::proxy`], [`Proxy`] |
//! | redirects | [`ClientBuilder::redirects`], [`FinalUrl`] |
//! | TLS: roots of the platform or your own, client certificates, server name, lowest version, key log | [`ClientBuilder`] |
//! | HTTP/1.1, HTTP/2 or HTTP/3, connections that WebSockets share | [`HttpVersion`], [`VersionReason`], [`VersionSteps`], [`Sharing`] |
//! | unix sockets (`ws+unix:`), several addresses of a host raced (RFC 8305) | [`Client::connect`] |
//! | any `AsyncRead + AsyncWrite`, with TLS or without; names resolved your way | [`Client::connect_over`], [`Client::connect_tls_over`], [`ClientBuilder::resolver`] |
//! | what a server or a proxy refuses with: status, headers, body | [`Error::Refused`], [`ProxyError`] |
//! | coming back: full jitter, a token per attempt, what is tried again | [`Client::reconnecting`], [`Backoff`] |
//!
//! | server | |
//! |---|---|
//! | ordinary HTTP on the same port | [`Server::http`] |
//! | HTTP/2 and HTTP/3 on the same port, with WebSockets as their streams (RFC 8441, RFC 9220), and a switch for each | [`Server::http2`], [`Server::http3`], [`Upgrade::version`] |
//! | graceful shutdown, which closes sockets with 1001 | [`Serving::with_shutdown`], [`Sockets::shut_down`] |
//! | TLS with certificates that are exchanged while it runs, several by name; certificates of clients | [`Server::tls_reloading`], [`Certificates`], [`Server::client_certificates`] |
//! | unix sockets, and who is at the other end | `Server::bind_unix`, [`Upgrade::peer_credentials`] |
//! | sockets that others opened; systemd's socket activation | [`Server::from_listener`], `Server::from_activation` |
//! | a next process that listens on the same port while this one ends | [`Serving::with_successor`], [`Listener::shared`] |
//! | behind a proxy: HAProxy's PROXY protocol, versions 1 and 2 | [`Server::proxy_protocol`], [`Network`] |
//! | which pages and which subprotocols come in | [`Server::origins`], [`Server::subprotocols`], [`SubprotocolPolicy`] |
//! | WebTransport over HTTP/3, for servers and clients: sessions with many streams, and datagrams | [`webtransport`], [`Server::webtransport`] |
//! | WebSockets of other HTTP servers: hyper, tower, axum 0.8 | [`Upgrade::from_request`], [`UpgradeLayer`], [`Upgrade`] as an extractor, [`Sockets`] |
//!
//! | feature of the crate | adds |
//! |---|---|
//! | (none) | all of the above, but for the extractor of axum |
//! | `axum` | [`Upgrade`] as an extractor of axum 0.8 |
//! | `compat-tungstenite` | `taiwa::compat::tungstenite`: the names of tokio-tungstenite 0.30 |
//! | `compat-axum` | `taiwa::compat::axum`: the names of `axum::extract::ws` of axum 0.8, and `axum` |
//!
//! # Security
//!
//! On without being asked for:
//!
//! * A page of another host than the one it addresses is refused with 403: see [`Origins`]. So is a page that
//!   bound its own name to a server on the visitor's machine (DNS rebinding).
//! * A server's certificate is checked against the roots of the platform; TLS is 1.2 or 1.3.
//! * Each rule of RFC 6455 and RFC 7692 that the peer could break is checked (text and reasons for UTF-8, masks,
//!   lengths, reserved bits), and its breach answered with the close code of its [`Fault`].
//! * A handshake that announces a body, or has a header of RFC 6455 twice, is refused (request smuggling).
//! * Mask keys come from the operating system, a fresh one for each frame (RFC 6455 §5.3, §10.3).
//! * Everything that can grow is bounded, and each wait has an end: the [limits](#limits). A compressed bomb
//!   stops at the limit of a message, and memory grows with bytes that came, not with lengths that were announced.
//! * Redirects are not followed; where they are allowed, none leads from `wss` to `ws`, and credentials stay
//!   behind when the origin changes. A PROXY header is believed from named networks alone.
//! * Passwords, tokens and keys stand in no `Debug` output and no error, and errors of ours are not told to peers.
//!
//! Compression is off. Where secrets and a stranger's words travel in one message, leave it off: lengths can tell.
//!
//! # Limits
//!
//! Each can be set by [`Limits`], [`Deadlines`] and [`Keepalive`], for a client, a server or one [`Upgrade`], or by
//! the method that is named; `None` for a time means for ever.
//!
//! | limit | default | past it | setting |
//! |---|---|---|---|
//! | bytes of a message, inflated | 1 MiB | closed with 1009, [`Fault::MessageTooBig`] | [`Limits::message_bytes_max`] |
//! | frames of a message, empty ones too | 4,096 | closed with 1008, [`Fault::TooManyFragments`] | [`Limits::fragments_max`] |
//! | bytes that wait for the peer to read them | 1 MiB | `send` waits, `try_send` gives the message back, or by [`SlowPolicy`] | [`Limits::outbox_bytes_max`] |
//! | bytes that the program has not received, in a browser | 16 MiB | closed with 4008, [`Error::InboxFull`] | [`Limits::inbox_bytes_max`] |
//! | Pongs that wait for the peer to read them | 16 | the newest replaces the last | [`Limits::pongs_max`] |
//! | bytes of the opening handshake's head | 16 KiB | status 431; a client gives up, [`H1Fault::HeadTooLong`] | [`Limits::handshake_bytes_max`] |
//! | header lines of it | 100 | status 431; a client gives up, [`H1Fault::TooManyHeaders`] | [`Limits::headers_max`] |
//! | time for the opening handshake | 10 s | status 408; [`Deadline::Handshake`] | [`Deadlines::handshake`] |
//! | time for the closing handshake | 5 s | the connection is dropped | [`Deadlines::close`] |
//! | time without a byte accepted while some wait | 30 s | the connection is dropped, [`Deadline::Write`] | [`Deadlines::write`] |
//! | time from the first byte of a message to its last | 60 s | closed with 1008, [`Deadline::Message`] | [`Deadlines::message`] |
//! | silence of the peer | 20 s | a Ping | [`Keepalive::ping_after`] |
//! | silence behind that Ping | 20 s | closed with 1011, [`Deadline::Pong`] | [`Keepalive::pong_within`] |
//! | connections of a server | 10,000 | status 503; over TLS the connection is dropped | [`Server::connections_max`] |
//! | sockets behind another HTTP server | 10,000 | status 503, [`Rejection::Full`] | [`SocketsBuilder::sockets_max`] |
//! | redirects | 0 | [`Error::Refused`], or [`RedirectFault::TooMany`] | [`ClientBuilder::redirects`] |
//! | WebSockets of a client on one connection of HTTP/2 or HTTP/3 | 100 | another connection | [`Sharing`] |
//! | connections that a client shares | 256 | one for each WebSocket | [`Sharing`] |
//! | time that such a connection carries nothing | 90 s | it is ended | [`Sharing`] |
//! | pause before reconnecting | 1 s, doubled up to 60 s | a random time below it | [`Backoff`] |
//! | [`Permit`]s of a split connection at once | 16 | `reserve` waits | |
//!
//! ```
//! use std::time::Duration;
//!
//! use taiwa::{Client, Deadlines, Keepalive, Limits};
//!
//! # let seconds = |it| Some(Duration::from_secs(it));
//! # let it = Limits::default();
//! # assert_eq!((it.message_bytes_max, it.fragments_max), (1 << 20, 4096));
//! # assert_eq!((it.outbox_bytes_max, it.inbox_bytes_max, it.pongs_max), (1 << 20, 16 << 20, 16));
//! # assert_eq!((it.handshake_bytes_max, it.headers_max), (16 << 10, 100));
//! # let it = Deadlines::default();
//! # assert_eq!((it.handshake, it.close), (seconds(10), seconds(5)));
//! # assert_eq!((it.write, it.message), (seconds(30), seconds(60)));
//! # let it = Keepalive::default();
//! # assert_eq!((Some(it.ping_after), Some(it.pong_within)), (seconds(20), seconds(20)));
//! # let it = taiwa::Backoff::default();
//! # assert_eq!((Some(it.initial), Some(it.max)), (seconds(1), seconds(60)));
//! let client = Client::builder()
//!     .limits(Limits { message_bytes_max: 16 << 20, ..Limits::default() })
//!     .deadlines(Deadlines { message: Some(Duration::from_secs(600)), ..Deadlines::default() })
//!     .keepalive(Keepalive { ping_after: Duration::from_secs(50), ..Keepalive::default() })
//!     .build()?;
//! # Ok::<(), taiwa::Error>(())
//! ```
//!
//! # From other libraries
//!
//! | from | stay with its names | or move to |
//! |---|---|---|
//! | `tokio_tungstenite`, `tungstenite` | `taiwa::compat::tungstenite` | [`connect`], [`Client`], [`Upgrade`]; [`WebSocket`] is a `Stream` and a `Sink`, and Ping, Pong and Close are no messages |
//! | `axum::extract::ws` | `taiwa::compat::axum` | [`Upgrade`] as an extractor, [`Upgrade::on_upgrade`], [`Sockets`] |
//! | `fastwebsockets`, `tokio_websockets` | | [`Upgrade::from_request`], [`Client::connect_over`] |
//! | JavaScript's `WebSocket` | [`events`] | [`WebSocket`] |
//! | JavaScript's `WebSocketStream` | [`WebSocketStream`] | |
//!
//! `docs/migration.md` in the repository has the names side by side, what changes in behaviour, and differences
//! with their measurements.
//!
//! # In a browser
//!
//! On `wasm32-unknown-unknown` the client is the browser's own: its `WebSocketStream` where it has one
//! (Chromium and its family), its `WebSocket` elsewhere. What a browser can do has the same name and meaning,
//! so that one program compiles for both; what it can't do is not there, which the compiler tells.
//!
//! | | native | in a browser |
//! |---|---|---|
//! | [`connect`], [`Client`], [`ClientBuilder`]: `subprotocols`, `limits`, `deadlines`, `build` | yes | yes |
//! | headers, compression, TLS, proxies, redirects, unix sockets, transports and resolvers of your own, reconnecting | yes | no: the browser decides |
//! | [`WebSocket`]: `recv`, `send`, `try_send`, `reserve`, `send_prepared`, `start_close`, `close`, `closed`, `split`, `events`, `subprotocol`, `extensions`, `deflate`, `poll_recv`, `poll_room`, `poll_written`, `Stream`, `Sink` | yes | yes |
//! | `ping`, `pong`, `recv_stream`, `send_stream`, `stats`, `peer_addr` | yes | no |
//! | [`Sender`], [`Receiver`], [`Permit`] | yes | yes, without policies for slow peers |
//! | [`WebSocketStream`], [`events`] | yes | yes |
//! | `buffered_amount` | of [`Sender`] and [`events::Handle`] | of [`WebSocket`], too; payload only |
//! | `BrowserInterface`, `ClientBuilder::interface`: which of the two carries it | no | yes |
//! | [`Server`], [`Upgrade`] | yes | no |
//! | types and futures are `Send` | yes | no: a browser's sockets stay on their thread |
//!
//! The repository's `conformance/browser` is a program for browsers, with a part that runs natively as well.
//! The same call does less there in this:
//!
//! * Of the [`CloseCode`]s a program may send 1000 and 3000 to 4999; others are [`Misuse::CloseCode`]. Where
//!   taiwa itself closes with 1008 or 1009, it sends 4008 or 4009. A dropped socket closes without a code.
//! * What counts of [`Limits`] is `message_bytes_max`, `outbox_bytes_max` and `inbox_bytes_max`; of [`Deadlines`]
//!   `handshake`, `close` and, while somebody waits for room, `write`. There is no keepalive.
//! * A `WebSocket` can't be told to wait: messages that are not received pile up to [`Limits::inbox_bytes_max`],
//!   then the connection is closed. Room to send is looked for a hundred times a second (in a hidden tab less
//!   often). `WebSocketStream` has backpressure in both directions.
//! * When a connection is lost, messages that a `WebSocketStream` had not handed over are lost with it.
//! * A browser tells no program why a connection could not be opened ([`Error::Io`]) or broke ([`Error::Lost`]).
//!
//! # What happens when
//!
//! Nothing runs in the background. While a method is awaited, Pings are answered, deadlines are kept, and what
//! waits is written. Every method says whether it is cancel-safe; those that wait for messages, room,
//! Pongs or the end all are.
//!
//! The minimum supported Rust version is 1.95.
// The docs of what both targets share also name what is native alone.
#![cfg_attr(target_family = "wasm", allow(rustdoc::broken_intra_doc_links))]

#[cfg(not(target_family = "wasm"))]
mod client;
#[cfg(all(
    any(feature = "compat-tungstenite", feature = "compat-axum"),
    not(target_family = "wasm")
))]
pub mod compat;
mod error;
pub mod events;
#[cfg(not(target_family = "wasm"))]
mod h2;
#[cfg(not(target_family = "wasm"))]
mod io;
#[cfg(not(target_family = "wasm"))]
mod reconnect;
#[cfg(not(target_family = "wasm"))]
mod rewind;
#[cfg(not(target_family = "wasm"))]
mod scratch;
#[cfg(not(target_family = "wasm"))]
mod server;
mod stream;
#[cfg(not(target_family = "wasm"))]
mod tls;
#[cfg(not(target_family = "wasm"))]
mod websocket;
#[cfg(not(target_family = "wasm"))]
pub mod webtransport;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use client::{
    Client, ClientBuilder, FinalUrl, HttpVersion, Proxy, Sharing, VersionReason, VersionStep,
    VersionSteps, connect,
};
pub use error::{Error, ProxyError, ProxyFault, RedirectFault, TrySendError};
#[cfg(not(target_family = "wasm"))]
pub use reconnect::{
    Attempt, Backoff, Disconnected, ReconnectEvent, Reconnecting, ReconnectingWebSocket, SendError,
};
#[cfg(unix)]
pub use server::Activated;
#[cfg(not(target_family = "wasm"))]
pub use server::{
    Addr, Credentials, Listener, LocalAddr, Network, PeerCertificates, SubprotocolPolicy,
};
#[cfg(not(target_family = "wasm"))]
pub use server::{
    Handover, Http2, Http3, Outcome, Rejection, RequestBody, Server, Serving, Sockets,
    SocketsBuilder, Tuner, Tuning, Upgrade, UpgradeBody, UpgradeFuture, UpgradeLayer,
    UpgradeService,
};
#[doc(hidden)]
#[cfg(not(target_family = "wasm"))]
pub use server::{RawConnection, RawIo, RawSeat, RawSocket, RawStream, RawTransport, fit_request};
pub use stream::{Opened, Readable, WebSocketStream, Writable};
pub use taiwa_proto::{
    CloseCode, Closed, Config, Deadline, Deadlines, Fault, Keepalive, Kind, Limits, Message,
    Misuse, Prepared, Side, Stats, Traffic, Utf8Bytes,
    deflate::{Deflate, Params as DeflateParams},
    h1::H1Fault,
    handshake::{
        HandshakeFault, HandshakeMisuse, Origin, Origins, Rejection as HandshakeRejection,
    },
};
#[cfg(not(target_family = "wasm"))]
pub use tls::TlsVersion;
#[cfg(not(target_family = "wasm"))]
pub use tls::{Certificates, ClientCertificates};
#[cfg(target_family = "wasm")]
pub use web::{
    BrowserInterface, Client, ClientBuilder, Permit, Receiver, Sender, WebSocket, connect,
};
#[cfg(not(target_family = "wasm"))]
pub use websocket::{
    MessageReader, MessageWriter, Permit, Receiver, Sender, SlowCounters, SlowPolicy, WebSocket,
};
