//! WebSocket client and server on tokio.
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

#[cfg(not(target_family = "wasm"))]
mod client;
#[cfg(all(
    any(feature = "compat-tungstenite", feature = "compat-axum"),
    not(target_family = "wasm")
))]
pub mod compat;
mod error;
#[cfg(not(target_family = "wasm"))]
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
#[cfg(not(target_family = "wasm"))]
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
#[cfg(not(target_family = "wasm"))]
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
pub use web::{BrowserInterface, Client, ClientBuilder, WebSocket, connect};
#[cfg(not(target_family = "wasm"))]
pub use websocket::{
    MessageReader, MessageWriter, Permit, Receiver, Sender, SlowCounters, SlowPolicy, WebSocket,
};
