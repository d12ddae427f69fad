//! The names of `axum::extract::ws` of axum 0.8 over this library: change the import, nothing else.
//!
//! ```
//! use axum::{Router, response::Response, routing::any};
//! use taiwa::compat::axum::{WebSocket, WebSocketUpgrade};
//!
//! async fn handler(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_upgrade(echo)
//! }
//!
//! async fn echo(mut socket: WebSocket) {
//!     while let Some(Ok(message)) = socket.recv().await {
//!         if socket.send(message).await.is_err() {
//!             return;
//!         }
//!     }
//! }
//!
//! let app: Router = Router::new().route("/echo", any(handler));
//! ```
//!
//! Without a [`Sockets`](crate::Sockets) among the request's extensions everything is as axum has it: messages of 64 MiB
//! at most, pages of all origins, no keepalive, no deadlines, as many sockets as there is room for. With one
//! (`.layer(axum::Extension(sockets))`) it is by its settings, and [`Sockets::shut_down`](crate::Sockets::shut_down)
//! closes the sockets, which axum's graceful shutdown leaves open.
//!
//! What differs:
//!
//! | | axum | here |
//! |---|---|---|
//! | a socket that is dropped open | the transport is dropped, the peer sees 1006 | the closing handshake is done, with 1000, after a panic 1011 |
//! | a request that breaks RFC 6455 §4.2.1, RFC 8441 §4 or RFC 9112 §3.2 in a way that axum does not look for | upgraded | [`WebSocketUpgradeRejection::Handshake`](rejection::WebSocketUpgradeRejection::Handshake) |
//! | a subprotocol that the client did not offer | sent, and the client fails (§4.1) | not sent |
//! | [`max_frame_size`](WebSocketUpgrade::max_frame_size), 16 MiB | bounds frames | no bound but that of messages: a frame takes room as it arrives |
//! | [`max_write_buffer_size`](WebSocketUpgrade::max_write_buffer_size) | past it sending fails; unlimited | past it sending waits; 1 MiB |
//! | frames of one message | unlimited | 65,536 |
//! | a close code that may not be sent, control frames over 125 bytes | sent | an error, and the connection is unharmed |
//! | the peer's Close frame has a code that may not be sent | received as `Close` with 1002 | an error; the peer hears 1002 as well |
//! | compression (RFC 7692) | none | if the [`Sockets`](crate::Sockets) say so |

pub mod close_code;
mod message;
pub mod rejection;
mod socket;
mod upgrade;

pub use message::{CloseCode, CloseFrame, Message, Utf8Bytes};
pub use socket::WebSocket;
pub use upgrade::{DefaultOnFailedUpgrade, OnFailedUpgrade, WebSocketUpgrade};
