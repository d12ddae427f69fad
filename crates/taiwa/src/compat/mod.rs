//! The names of other libraries over this one: a program moves here by changing one import.
//!
//! | module | stands in for | feature |
//! |---|---|---|
#![cfg_attr(
    feature = "compat-tungstenite",
    doc = "| [`tungstenite`] | `tokio_tungstenite` 0.30 | `compat-tungstenite` |"
)]
//!
//! They behave as what they stand in for, also where [`WebSocket`](crate::WebSocket) does otherwise.

#[cfg(feature = "compat-tungstenite")]
pub mod tungstenite;
