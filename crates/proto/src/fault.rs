//! Errors by blame: what the peer did ([`Fault`], [`Deadline`]) and what our caller did ([`Misuse`]).

use std::fmt;

use crate::close::CloseCode;

/// A rule of RFC 6455 or RFC 7692, or a limit of ours, that the peer broke.
///
/// The connection answers with a Close frame of [`Fault::close_code`] and then ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A reserved bit without an extension that gives it meaning (RFC 6455 §5.2).
    ReservedBit,
    /// An opcode of 3 to 7 or 11 to 15 (RFC 6455 §5.2).
    ReservedOpcode,
    /// A frame from a client without a mask (RFC 6455 §5.1).
    Unmasked,
    /// A frame from a server with a mask (RFC 6455 §5.1).
    Masked,
    /// A length in more bytes than it needs (RFC 6455 §5.2).
    LengthNotMinimal,
    /// A 64-bit length with its top bit set (RFC 6455 §5.2).
    LengthTopBit,
    /// A Close, Ping or Pong of more than 125 bytes (RFC 6455 §5.5).
    ControlTooLong,
    /// A Close, Ping or Pong without FIN (RFC 6455 §5.5).
    ControlFragmented,
    /// A continuation frame outside a message (RFC 6455 §5.4).
    UnexpectedContinuation,
    /// A new message inside an unfinished one (RFC 6455 §5.4).
    ExpectedContinuation,
    /// A Close frame with a payload of one byte (RFC 6455 §5.5.1).
    CloseTooShort,
    /// A Close frame with a code that may not be sent (RFC 6455 §7.4).
    CloseCode(CloseCode),
    /// A Close frame whose reason is not UTF-8 (RFC 6455 §5.5.1).
    CloseReasonNotUtf8,
    /// Text that is not UTF-8 (RFC 6455 §8.1).
    TextNotUtf8,
    /// Compressed data that does not inflate, or goes on behind its end (RFC 7692 §7.2.2).
    BadDeflate,
    /// A message over [`Limits::message_bytes_max`](crate::Limits::message_bytes_max).
    MessageTooBig,
    /// A message over [`Limits::fragments_max`](crate::Limits::fragments_max).
    TooManyFragments,
}

impl Fault {
    /// Returns the code of the Close frame that answers the fault (RFC 6455 §7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBit
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::Masked
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseTooShort
            | Self::CloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 | Self::BadDeflate => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::MessageTooBig => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments => CloseCode::POLICY_VIOLATION,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self {
            Self::ReservedBit => "reserved bit set",
            Self::ReservedOpcode => "reserved opcode",
            Self::Unmasked => "frame from a client is not masked",
            Self::Masked => "frame from a server is masked",
            Self::LengthNotMinimal => "length not in its shortest form",
            Self::LengthTopBit => "top bit of a 64-bit length set",
            Self::ControlTooLong => "control frame over 125 bytes",
            Self::ControlFragmented => "control frame is fragmented",
            Self::UnexpectedContinuation => "continuation frame outside a message",
            Self::ExpectedContinuation => "new message inside an unfinished one",
            Self::CloseTooShort => "close payload of one byte",
            Self::CloseCode(code) => return write!(f, "close code {code} is not valid"),
            Self::CloseReasonNotUtf8 => "close reason is not UTF-8",
            Self::TextNotUtf8 => "text is not UTF-8",
            Self::BadDeflate => "compressed message does not inflate",
            Self::MessageTooBig => "message too big",
            Self::TooManyFragments => "message in too many fragments",
        };
        f.write_str(rule)
    }
}

impl std::error::Error for Fault {}

/// A time that the peer let pass; see [`Deadlines`](crate::Deadlines).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deadline {
    /// The opening handshake took too long.
    Handshake,
    /// The closing handshake took too long.
    Close,
    /// The peer does not read.
    Write,
    /// A message was begun and not finished.
    Message,
    /// No answer to a keepalive ping.
    Pong,
}

impl Deadline {
    /// Returns the code of the Close frame that is sent before the connection ends, if one is.
    pub const fn close_code(self) -> Option<CloseCode> {
        match self {
            Self::Message => Some(CloseCode::POLICY_VIOLATION),
            Self::Pong => Some(CloseCode::INTERNAL_ERROR),
            Self::Handshake | Self::Close | Self::Write => None,
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "opening handshake timed out",
            Self::Close => "closing handshake timed out",
            Self::Write => "peer does not read",
            Self::Message => "unfinished message timed out",
            Self::Pong => "keepalive ping timed out",
        })
    }
}

impl std::error::Error for Deadline {}

/// Something our caller asked for that can't be done. The connection is unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// Sending after the connection began to close.
    Closing,
    /// Sending a message while another one is begun and not finished (RFC 6455 §5.4: "The fragments of
    /// one message MUST NOT be interleaved between the fragments of another message").
    Unfinished,
    /// Sending before the connection is open.
    Connecting,
    /// Taking what can be taken once a second time.
    Taken,
    /// A part that makes a text message end, or go on, with what is no UTF-8.
    TextNotUtf8,
    /// A Ping or Pong payload of more than 125 bytes.
    ControlTooLong,
    /// A close reason of more than 123 bytes.
    ReasonTooLong,
    /// A close code that may not be sent; see [`CloseCode::is_sendable`].
    CloseCode(CloseCode),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closing => f.write_str("the connection is closing"),
            Self::Connecting => f.write_str("the connection is not open yet"),
            Self::Taken => f.write_str("it was taken before"),
            Self::Unfinished => f.write_str("another message is begun and not finished"),
            Self::TextNotUtf8 => f.write_str("the parts of a text are not UTF-8"),
            Self::ControlTooLong => f.write_str("control payload over 125 bytes"),
            Self::ReasonTooLong => f.write_str("close reason over 123 bytes"),
            Self::CloseCode(code) => write!(f, "close code {code} may not be sent"),
        }
    }
}

impl std::error::Error for Misuse {}
