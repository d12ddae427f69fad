//! [`Error`]: why something did not go on.

use std::{fmt, io};

use crate::error::{Code, Fault, Misuse};

/// Why a request, a stream or a connection did not go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke a rule, or a limit of ours. By [`Fault::scope`] the stream or the connection has ended.
    Fault(Fault),
    /// The peer gave the stream up, in either direction, and says why.
    Reset(Code),
    /// The connection has ended.
    Closed(quinn::ConnectionError),
    /// The peer goes away and takes no new requests (RFC 9114 §5.2). On another connection they may be made.
    GoingAway,
    /// The peer has not announced SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220 §3), so nothing was sent.
    NoConnectProtocol,
    /// The head is larger than the peer takes (SETTINGS_MAX_FIELD_SECTION_SIZE, RFC 9114 §4.2.2), so nothing was sent.
    HeadTooLarge,
    /// A message that HTTP/3 has no form for, or bytes on a stream that was ended before: a mistake of the caller.
    Misuse(&'static str),
}

impl Error {
    /// Tells whether the connection is over, not only a stream of it.
    pub fn is_of_connection(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.scope == crate::error::Scope::Connection,
            Self::Closed(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Reset(code) => write!(f, "the peer gave the stream up ({code})"),
            Self::Closed(quinn::ConnectionError::ApplicationClosed(close)) => {
                let code = super::code(close.error_code);
                write!(f, "the peer closed the connection ({code})")
            }
            Self::Closed(error) => error.fmt(f),
            Self::GoingAway => f.write_str("the peer goes away"),
            Self::NoConnectProtocol => f.write_str("the peer takes no extended CONNECT"),
            Self::HeadTooLarge => f.write_str("the head is larger than the peer takes"),
            Self::Misuse(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse.0)
    }
}

impl From<quinn::ConnectionError> for Error {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Closed(error)
    }
}

impl From<quinn::ReadError> for Error {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::Reset(code) => Self::Reset(super::code(code)),
            quinn::ReadError::ConnectionLost(error) => Self::Closed(error),
            quinn::ReadError::ClosedStream
            | quinn::ReadError::IllegalOrderedRead
            | quinn::ReadError::ZeroRttRejected => Self::Misuse("the stream is read to its end"),
        }
    }
}

impl From<quinn::WriteError> for Error {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => Self::Reset(super::code(code)),
            quinn::WriteError::ConnectionLost(error) => Self::Closed(error),
            quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => ENDED,
        }
    }
}

pub(super) const ENDED: Error = Error::Misuse("the stream is ended on this side");

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Fault(_) => io::ErrorKind::InvalidData,
            // RFC 9220 §3: "RST exceptions are represented with a stream error of type H3_REQUEST_CANCELLED".
            Error::Reset(_) => io::ErrorKind::ConnectionReset,
            Error::Closed(quinn::ConnectionError::TimedOut) => io::ErrorKind::TimedOut,
            Error::Closed(_) => io::ErrorKind::ConnectionAborted,
            Error::GoingAway => io::ErrorKind::ConnectionRefused,
            Error::NoConnectProtocol => io::ErrorKind::Unsupported,
            Error::HeadTooLarge | Error::Misuse(_) => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
