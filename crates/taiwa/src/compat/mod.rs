//! The names of other libraries over this one: a program moves here by changing one import.
//!
//! | module | stands in for | feature |
//! |---|---|---|
#![cfg_attr(
    feature = "compat-tungstenite",
    doc = "| [`tungstenite`] | `tokio_tungstenite` 0.30 | `compat-tungstenite` |"
)]
#![cfg_attr(
    feature = "compat-axum",
    doc = "| [`axum`](mod@axum) | `axum::extract::ws` 0.8 | `compat-axum` |"
)]
//!
//! They behave as what they stand in for, also where [`WebSocket`](crate::WebSocket) does otherwise.

#[cfg(feature = "compat-axum")]
pub mod axum;
#[cfg(feature = "compat-tungstenite")]
pub mod tungstenite;
