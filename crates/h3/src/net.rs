//! HTTP/3 over quinn: the one place of this crate that does I/O.

mod error;
mod limits;
mod connection;
mod driver;
mod stream;
mod halves;
mod tunnel;
mod sessions;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Reserved};
pub use error::Error;
pub use halves::{RecvHalf, SendHalf};
pub use limits::Limits;
pub use sessions::{
    BidirectionalStream, DatagramError, Datagrams, ReceiveStream, Seat, SendStream, Session,
    SessionError, SessionRequest, Sessions, StreamError,
};
pub use stream::RequestStream;
pub use tunnel::Tunnel;

use crate::error::Code;

/// Makes quinn's number of a code.
pub(crate) fn quic_code(code: Code) -> quinn::VarInt {
    quinn::VarInt::from_u64(code.get()).expect("both bound it by 2^62 - 1")
}

/// Makes a code of quinn's number.
pub(crate) fn code(quic: quinn::VarInt) -> Code {
    Code::new(quic.into_inner()).expect("both bound it by 2^62 - 1")
}
