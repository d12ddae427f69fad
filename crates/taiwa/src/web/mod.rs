//! The client's face over a browser's own WebSocket: the names of the native one, for wasm32.

mod client;
mod websocket;
mod stream;
mod permit;
mod sender;
mod receiver;
mod line;
mod events;
mod streams;
mod state;
mod waiting;
mod timer;

pub use client::{BrowserInterface, Client, ClientBuilder, connect};
pub use permit::Permit;
pub use receiver::Receiver;
pub use sender::Sender;
pub use websocket::WebSocket;
