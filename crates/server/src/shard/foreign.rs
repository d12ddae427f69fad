//! Transports that are no sockets: a task carries their bytes to and from a pair of sockets.

use std::io;

use taiwa::{RawConnection, RawTransport};

/// Gives a connection a socket, if its transport is none.
pub(super) fn carry(raw: RawConnection) -> io::Result<RawConnection> {
    match raw.transport {
        RawTransport::Plain(_) | RawTransport::Tls(..) => Ok(raw),
        RawTransport::Other(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
