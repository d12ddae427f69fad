//! HTTP/2 as both roles need it: a stream that carries a WebSocket's bytes (RFC 8441 §5), and errors.

mod stream;

use std::io;

pub(crate) use stream::{Pump, pair, poll_capacity};

/// Makes an error of the transport of one of HTTP/2.
pub(crate) fn broken(error: ::h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().expect("asked the line before");
    }
    // A stream's reset and a connection's end are to a WebSocket what a reset is to TCP.
    let is_over = error.reason().is_some();
    let kind = if is_over { io::ErrorKind::ConnectionReset } else { io::ErrorKind::BrokenPipe };
    io::Error::new(kind, error)
}
