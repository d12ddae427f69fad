//! Tests of the facades: beside what they stand in for, and by that one's own examples.

#[cfg(feature = "compat-tungstenite")]
mod alike;
#[cfg(feature = "compat-axum")]
mod axum_ws;
#[cfg(feature = "compat-tungstenite")]
mod examples;
#[cfg(any(feature = "compat-axum", feature = "compat-tungstenite"))]
mod imports;
#[cfg(feature = "compat-tungstenite")]
mod over_tls;
#[cfg(any(feature = "compat-axum", feature = "compat-tungstenite"))]
#[cfg_attr(not(feature = "compat-axum"), allow(dead_code))]
mod published;
#[cfg(feature = "compat-tungstenite")]
#[path = "../all/tools.rs"]
#[allow(dead_code)]
mod tools;
