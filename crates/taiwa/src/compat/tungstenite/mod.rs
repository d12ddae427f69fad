//! The names of tokio-tungstenite 0.30, and in [`tungstenite`] those of tungstenite 0.30.
//!
//! A program moves here by changing one import: `use tokio_tungstenite::…` becomes
//! `use taiwa::compat::tungstenite::…`, or, for all its files,
//! `use taiwa::compat::tungstenite as tokio_tungstenite;`.
//!
//! ```no_run
//! use futures_util::{SinkExt, StreamExt};
//! use taiwa::compat::tungstenite as tokio_tungstenite;
//! use tokio_tungstenite::{connect_async, tungstenite::Message};
//!
//! # async fn run() -> Result<(), tokio_tungstenite::tungstenite::Error> {
//! let (mut socket, _) = connect_async("ws://127.0.0.1:8000/").await?;
//! socket.send(Message::text("hello")).await?;
//! while let Some(message) = socket.next().await {
//!     println!("{}", message?);
//! }
//! # Ok(()) }
//! ```
//!
//! It behaves as what it stands in for: Pings, Pongs and the peer's Close frame come out of the stream;
//! limits are those of [`WebSocketConfig`](tungstenite::protocol::WebSocketConfig); there are no deadlines,
//! no keepalive, no compression and no check of `Origin`. Who wants these takes
//! [`Client`](crate::Client), [`Server`](crate::Server) and [`WebSocket`](crate::WebSocket).
//!
//! Otherwise than there: an idle connection has no read buffer of its own; `wss` needs no feature and
//! trusts the roots of the platform; a line of a head must end in CR LF. Missing are native-tls,
//! `FrameSocket`, `WebSocketContext`, `buffer`, `util`, `Utf8Bytes::from_bytes_unchecked` and
//! `AsRef<Bytes>` of `Utf8Bytes`.

mod blocking;
mod client;
mod coding;
mod config;
mod connect;
mod engine;
mod error;
mod frame;
mod handshake;
mod maybe_tls;
mod message;
mod reader;
mod stream;
mod utf8_bytes;

pub use connect::{
    accept_async, accept_async_with_config, accept_hdr_async, accept_hdr_async_with_config,
    client_async, client_async_tls, client_async_tls_with_config, client_async_with_config,
    connect_async, connect_async_tls_with_config, connect_async_with_config,
};
pub use maybe_tls::{Connector, MaybeTlsStream};
pub use stream::WebSocketStream;

/// The names of tungstenite 0.30.
#[expect(clippy::module_inception, reason = "a crate of this name inside one of that name")]
pub mod tungstenite {
    pub use super::{
        blocking::{
            HandshakeError, WebSocket, accept, accept_hdr, accept_hdr_with_config,
            accept_with_config, client_tls, client_tls_with_config,
        },
        client::{ClientRequestBuilder, client, connect},
        error::{Error, Result},
        handshake::{client::ClientHandshake, server::ServerHandshake},
        maybe_tls::Connector,
        message::Message,
        utf8_bytes::Utf8Bytes,
    };
    pub use bytes::Bytes;
    pub use http;

    /// What a client asks for, and blocking clients.
    pub mod client {
        pub use super::super::client::{
            ClientRequestBuilder, IntoClientRequest, client, client_with_config, connect,
            connect_with_config, uri_mode,
        };
    }

    /// Why something failed.
    pub mod error {
        pub use super::super::error::{
            CapacityError, Error, ProtocolError, Result, SubProtocolError, TlsError, UrlError,
        };
    }

    /// The opening handshake.
    pub mod handshake {
        pub use super::super::handshake::{
            HandshakeError, HandshakeRole, MidHandshake, client, derive_accept_key, server,
        };
    }

    /// Messages, frames, limits.
    pub mod protocol {
        pub use super::super::{
            blocking::WebSocket,
            config::{Role, WebSocketConfig},
            frame::CloseFrame,
            message::Message,
        };

        /// Frames as values.
        pub mod frame {
            pub use super::super::super::{
                frame::{CloseFrame, Frame, FrameHeader},
                utf8_bytes::Utf8Bytes,
            };

            /// Opcodes and close codes.
            pub mod coding {
                pub use super::super::super::super::coding::{
                    CloseCode, Control, Fragment as Data, OpCode,
                };
            }
        }
    }

    /// Blocking transports.
    pub mod stream {
        pub use super::super::{
            blocking::{MaybeTlsStream, NoDelay},
            maybe_tls::Mode,
        };
    }
}
