//! WebSocket client and server on tokio, and the same client [in a browser](#in-a-browser).
//!
//! ```no_run
//! # async fn run() -> Result<(), taiwa::Error> {
//! let mut socket = taiwa::connect("wss://example.org/feed").await?;
//! socket.send("hello").await?;
//! while let Some(message) = socket.recv().await? {
//!     println!("{message:?}");
//! }
//! println!("closed with {}", socket.closed().expect("recv returned None").code);
//! # Ok(()) }
//! ```
//!
//! ```no_run
//! use taiwa::{Error, Server, Upgrade};
//!
//! # async fn run() -> std::io::Result<()> {
//! let server = Server::bind("127.0.0.1:8000").await?;
//! server
//!     .serve(|upgrade: Upgrade| async move {
//!         let mut socket = upgrade.accept().await?;
//!         while let Some(message) = socket.recv().await? {
//!             socket.send(message).await?;
//!         }
//!         Ok::<(), Error>(())
//!     })
//!     .await
//! # }
//! ```
//!
//! Both ends are a [`WebSocket`]: one type, `Send`, without type parameters. Limits, deadlines, keepalive
//! and the check of `Origin` are on by default; see [`Limits`], [`Deadlines`], [`Keepalive`], [`Origins`].
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
//! | `Stream` and `Sink` with backpressure, as browsers' `WebSocketStream` | [`WebSocketStream`] |
//! | events, as browsers' `WebSocket` | [`events`] |
//! | a connection that comes back by itself | [`Client::reconnecting`] |
//! | a poll function of your own | [`WebSocket::poll_recv`], [`poll_room`](WebSocket::poll_room), [`poll_written`](WebSocket::poll_written) |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | (none) | client and server over HTTP/1.1, TLS, compression, proxies, all of the above |
//! | `axum` | [`Upgrade`] as an extractor of axum 0.8 |
//! | `compat-tungstenite` | `taiwa::compat::tungstenite`: the names of tokio-tungstenite 0.30 |
//! | `compat-axum` | `taiwa::compat::axum`: the names of `axum::extract::ws` |
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
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use client::{Client, ClientBuilder, FinalUrl, Proxy, connect};
pub use error::{Error, ProxyError, ProxyFault, RedirectFault, TrySendError};
#[cfg(not(target_family = "wasm"))]
pub use reconnect::{
    Attempt, Backoff, Disconnected, ReconnectEvent, Reconnecting, ReconnectingWebSocket, SendError,
};
#[cfg(not(target_family = "wasm"))]
pub use server::{Addr, Credentials, Listener, Network, SubprotocolPolicy};
#[cfg(not(target_family = "wasm"))]
pub use server::{
    Handover, Outcome, Rejection, RequestBody, Server, Serving, Sockets, SocketsBuilder, Upgrade,
    UpgradeBody, UpgradeFuture, UpgradeLayer, UpgradeService,
};
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
