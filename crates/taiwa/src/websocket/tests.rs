//! Tests of [`WebSocket`](super::WebSocket) over transports made for the purpose.
