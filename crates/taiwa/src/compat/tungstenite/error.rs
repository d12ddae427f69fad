//! Why something failed, in the variants of tungstenite.

use std::{fmt, io, str, string};

use http::{HeaderName, Response};

use super::{coding::Fragment, message::Message};

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug)]
pub enum Error {
    /// The closing handshake is done: the normal end. `Stream` shows it as `None`.
    ConnectionClosed,
    /// The connection was used after its end.
    AlreadyClosed,
    /// The transport failed, or would have to wait.
    Io(io::Error),
    /// The TLS handshake failed.
    Tls(TlsError),
    /// A limit was passed.
    Capacity(CapacityError),
    /// A rule of the protocol was broken.
    Protocol(ProtocolError),
    /// The message does not fit below
    /// [`max_write_buffer_size`](super::config::WebSocketConfig::max_write_buffer_size); here it is, as a frame.
    WriteBufferFull(Box<Message>),
    /// Text is no UTF-8.
    Utf8(String),
    /// The head of the opening handshake has more than 64 KiB.
    AttackAttempt,
    /// The URL can't be connected to.
    Url(UrlError),
    /// The server answered with another status than 101; with what came behind the head.
    Http(Box<Response<Option<Vec<u8>>>>),
    /// A part of the request or response is no HTTP.
    HttpFormat(http::Error),
}

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapacityError {
    /// More than 124 header lines.
    TooManyHeaders,
    /// A message or a frame is too long.
    MessageTooLong {
        /// Its length so far, in bytes.
        size: usize,
        /// The limit, in bytes.
        max_size: usize,
    },
}

/// What is wrong with the answer to the subprotocols that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubProtocolError {
    /// The server chose one, and none was asked for.
    ServerSentSubProtocolNoneRequested,
    /// The server chose one that was not asked for.
    InvalidSubProtocol,
    /// The server chose none of those that were asked for.
    NoSubProtocol,
}

/// Which rule of the protocol was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The request's method is not GET.
    WrongHttpMethod,
    /// The version of HTTP is below 1.1.
    WrongHttpVersion,
    /// `Connection` lacks `upgrade`.
    MissingConnectionUpgradeHeader,
    /// `Upgrade` is not `websocket`.
    MissingUpgradeWebSocketHeader,
    /// `Sec-WebSocket-Version` is not 13.
    MissingSecWebSocketVersionHeader,
    /// `Sec-WebSocket-Key` is missing.
    MissingSecWebSocketKey,
    /// `Sec-WebSocket-Key` is not 16 bytes in base64.
    InvalidSecWebSocketKey,
    /// `Sec-WebSocket-Accept` does not answer the key.
    SecWebSocketAcceptKeyMismatch,
    /// The subprotocol is wrong.
    SecWebSocketSubProtocolError(SubProtocolError),
    /// Bytes came behind the request before it was answered.
    JunkAfterRequest,
    /// A callback refused with a status of success.
    CustomResponseSuccessful,
    /// A header of the handshake is missing or stands twice.
    InvalidHeader(Box<HeaderName>),
    /// The transport ended in the opening handshake.
    HandshakeIncomplete,
    /// The head can't be parsed.
    HttparseError(httparse::Error),
    /// Something was sent after a Close frame.
    SendAfterClosing,
    /// The peer sent a frame after its Close frame.
    ReceivedAfterClosing,
    /// A reserved bit is set.
    NonZeroReservedBits,
    /// A frame from a client is not masked.
    UnmaskedFrameFromClient,
    /// A frame from a server is masked.
    MaskedFrameFromServer,
    /// A control frame is fragmented.
    FragmentedControlFrame,
    /// A control frame has more than 125 bytes.
    ControlFrameTooBig,
    /// A control frame of a kind that is not known.
    UnknownControlFrameType(u8),
    /// A data frame of a kind that is not known.
    UnknownDataFrameType(u8),
    /// A continuation frame outside a message.
    UnexpectedContinueFrame,
    /// A new message inside an unfinished one.
    ExpectedFragment(Fragment),
    /// The transport ended without the closing handshake.
    ResetWithoutClosingHandshake,
    /// An opcode that is not known.
    InvalidOpcode(u8),
    /// A Close frame has a payload of one byte.
    InvalidCloseSequence,
}

/// What is wrong with a URL.
#[derive(Debug, PartialEq, Eq)]
pub enum UrlError {
    /// `wss` without TLS, or with [`Connector::Plain`](super::Connector::Plain).
    TlsFeatureNotEnabled,
    /// No host.
    NoHostName,
    /// No address of this URL answers.
    UnableToConnect(String),
    /// Neither `ws` nor `wss`.
    UnsupportedUrlScheme,
    /// The host is empty.
    EmptyHostName,
    /// No path.
    NoPathOrQuery,
}

/// Why TLS failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// rustls says so.
    Rustls(Box<rustls::Error>),
    /// The host can't stand in a certificate.
    InvalidDnsName,
}

impl Error {
    /// Says that the transport would have to wait.
    pub(super) fn would_block() -> Self {
        Self::Io(io::ErrorKind::WouldBlock.into())
    }

    /// Tells whether the transport would have to wait.
    pub(super) fn is_would_block(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionClosed => f.write_str("the connection is closed, as agreed"),
            Self::AlreadyClosed => f.write_str("the connection was used after its end"),
            Self::Io(it) => write!(f, "transport: {it}"),
            Self::Tls(it) => write!(f, "TLS: {it}"),
            Self::Capacity(it) => write!(f, "limit passed: {it}"),
            Self::Protocol(it) => write!(f, "WebSocket protocol: {it}"),
            Self::WriteBufferFull(_) => f.write_str("the write buffer is full"),
            Self::Utf8(it) => write!(f, "text is not UTF-8: {it}"),
            Self::AttackAttempt => f.write_str("the opening handshake is too long"),
            Self::Url(it) => write!(f, "URL: {it}"),
            Self::Http(it) => write!(f, "answered with status {}", it.status()),
            Self::HttpFormat(it) => write!(f, "HTTP: {it}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(it) => Some(it),
            Self::Tls(it) => Some(it),
            Self::Capacity(it) => Some(it),
            Self::Protocol(it) => Some(it),
            Self::Url(it) => Some(it),
            Self::HttpFormat(it) => Some(it),
            Self::ConnectionClosed | Self::AlreadyClosed | Self::WriteBufferFull(_) => None,
            Self::Utf8(_) | Self::AttackAttempt | Self::Http(_) => None,
        }
    }
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyHeaders => f.write_str("too many headers"),
            Self::MessageTooLong { size, max_size } => {
                write!(f, "{size} bytes where {max_size} are allowed")
            }
        }
    }
}

impl std::error::Error for CapacityError {}

impl fmt::Display for SubProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerSentSubProtocolNoneRequested => "the server chose one unasked",
            Self::InvalidSubProtocol => "the server chose one that was not asked for",
            Self::NoSubProtocol => "the server chose none",
        })
    }
}

impl std::error::Error for SubProtocolError {}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongHttpMethod => "the method is not GET",
            Self::WrongHttpVersion => "the version of HTTP is below 1.1",
            Self::MissingConnectionUpgradeHeader => "no \"Connection: upgrade\"",
            Self::MissingUpgradeWebSocketHeader => "no \"Upgrade: websocket\"",
            Self::MissingSecWebSocketVersionHeader => "no \"Sec-WebSocket-Version: 13\"",
            Self::MissingSecWebSocketKey => "no \"Sec-WebSocket-Key\"",
            Self::InvalidSecWebSocketKey => "\"Sec-WebSocket-Key\" is not 16 bytes in base64",
            Self::SecWebSocketAcceptKeyMismatch => "\"Sec-WebSocket-Accept\" does not fit the key",
            Self::SecWebSocketSubProtocolError(it) => return write!(f, "subprotocol: {it}"),
            Self::JunkAfterRequest => "bytes behind the request",
            Self::CustomResponseSuccessful => "a refusal with a status of success",
            Self::InvalidHeader(name) => return write!(f, "header missing or doubled: {name}"),
            Self::HandshakeIncomplete => "the transport ended in the opening handshake",
            Self::HttparseError(it) => return write!(f, "malformed head: {it}"),
            Self::SendAfterClosing => "sent after a Close frame",
            Self::ReceivedAfterClosing => "received after a Close frame",
            Self::NonZeroReservedBits => "reserved bit set",
            Self::UnmaskedFrameFromClient => "frame from a client is not masked",
            Self::MaskedFrameFromServer => "frame from a server is masked",
            Self::FragmentedControlFrame => "control frame is fragmented",
            Self::ControlFrameTooBig => "control frame over 125 bytes",
            Self::UnknownControlFrameType(it) => return write!(f, "unknown control frame {it}"),
            Self::UnknownDataFrameType(it) => return write!(f, "unknown data frame {it}"),
            Self::UnexpectedContinueFrame => "continuation frame outside a message",
            Self::ExpectedFragment(it) => return write!(f, "{it} inside an unfinished message"),
            Self::ResetWithoutClosingHandshake => "ended without the closing handshake",
            Self::InvalidOpcode(it) => return write!(f, "unknown opcode {it}"),
            Self::InvalidCloseSequence => "close payload of one byte",
        })
    }
}

impl std::error::Error for ProtocolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SecWebSocketSubProtocolError(it) => Some(it),
            Self::HttparseError(it) => Some(it),
            _ => None,
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsFeatureNotEnabled => "wss, and no TLS to do it with",
            Self::NoHostName => "no host",
            Self::UnableToConnect(url) => return write!(f, "can't connect to {url}"),
            Self::UnsupportedUrlScheme => "neither ws nor wss",
            Self::EmptyHostName => "the host is empty",
            Self::NoPathOrQuery => "no path",
        })
    }
}

impl std::error::Error for UrlError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustls(it) => it.fmt(f),
            Self::InvalidDnsName => f.write_str("the host can't stand in a certificate"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rustls(it) => Some(&**it),
            Self::InvalidDnsName => None,
        }
    }
}

macro_rules! into_error {
    ($($source:ty => |$it:ident| $made:expr;)*) => {$(
        impl From<$source> for Error {
            fn from($it: $source) -> Self {
                $made
            }
        }
    )*};
}
into_error! {
    io::Error => |it| Self::Io(it);
    TlsError => |it| Self::Tls(it);
    CapacityError => |it| Self::Capacity(it);
    ProtocolError => |it| Self::Protocol(it);
    UrlError => |it| Self::Url(it);
    http::Error => |it| Self::HttpFormat(it);
    str::Utf8Error => |it| Self::Utf8(it.to_string());
    string::FromUtf8Error => |it| Self::Utf8(it.to_string());
    http::header::ToStrError => |it| Self::Utf8(it.to_string());
    http::header::InvalidHeaderValue => |it| Self::HttpFormat(it.into());
    http::header::InvalidHeaderName => |it| Self::HttpFormat(it.into());
    http::uri::InvalidUri => |it| Self::HttpFormat(it.into());
    http::status::InvalidStatusCode => |it| Self::HttpFormat(it.into());
    httparse::Error => |it| match it {
        httparse::Error::TooManyHeaders => Self::Capacity(CapacityError::TooManyHeaders),
        it => Self::Protocol(ProtocolError::HttparseError(it)),
    };
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Rustls(error.into())
    }
}

impl From<httparse::Error> for ProtocolError {
    fn from(error: httparse::Error) -> Self {
        Self::HttparseError(error)
    }
}
