//! Tests of the facades: beside what they stand in for, and by that one's own examples.

#[cfg(feature = "compat-tungstenite")]
mod alike;
#[cfg(feature = "compat-axum")]
mod axum;
#[cfg(any(feature = "compat-axum", feature = "compat-tungstenite"))]
mod imports;
#[cfg(any(feature = "compat-axum", feature = "compat-tungstenite"))]
mod published;
