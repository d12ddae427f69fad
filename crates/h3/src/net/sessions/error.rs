//! Why a stream or a datagram of a session did not go through.

use std::{fmt, io};

use crate::webtransport::{Ending, code};

/// Why a stream of a session ended before its end. It is inside of the [`io::Error`] that reading and writing return
/// ([`io::Error::get_ref`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer reset the stream, with the application's code; `None` if it was none of an application.
    Reset(Option<u32>),
    /// The peer stopped reading, likewise.
    Stopped(Option<u32>),
    /// The session has ended.
    Ended(Ending),
    /// We have finished, reset or stopped the stream ourselves.
    Done,
}

impl StreamError {
    /// Reads the code with which the peer reset a stream.
    pub(super) fn reset(quic: quinn::VarInt) -> Self {
        Self::Reset(application(quic))
    }

    /// Reads the code with which the peer stopped a stream.
    pub(super) fn stopped(quic: quinn::VarInt) -> Self {
        Self::Stopped(application(quic))
    }
}

pub(super) fn application(quic: quinn::VarInt) -> Option<u32> {
    crate::error::Code::new(quic.into_inner()).and_then(code::from_http)
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, code) = match self {
            Self::Reset(code) => ("the peer reset the stream", code),
            Self::Stopped(code) => ("the peer stopped reading the stream", code),
            Self::Ended(ending) => return write!(f, "the session has ended: {ending}"),
            Self::Done => return f.write_str("the stream has been ended on this side"),
        };
        match code {
            Some(code) => write!(f, "{what} with code {code}"),
            None => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Reset(_) | StreamError::Ended(_) => io::ErrorKind::ConnectionReset,
            StreamError::Stopped(_) | StreamError::Done => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

/// Why a datagram could not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramError {
    /// It is longer than so many bytes, which is what the path takes at the moment.
    TooLarge(usize),
    /// The peer takes none.
    Unsupported,
    /// The session has ended.
    Ended(Ending),
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(max) => {
                write!(f, "a datagram may have at most {max} bytes on this path")
            }
            Self::Unsupported => f.write_str("the peer takes no datagrams"),
            Self::Ended(ending) => write!(f, "the session has ended: {ending}"),
        }
    }
}

impl std::error::Error for DatagramError {}
