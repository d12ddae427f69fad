//! Close codes and the way a connection ended (RFC 6455 §7).

use std::fmt;

use crate::message::Utf8Bytes;

/// A status code of a Close frame (RFC 6455 §7.4, the IANA registry).
///
/// Unknown values survive; whether one may stand on the wire is [`CloseCode::is_sendable`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that the endpoint can't accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the Close frame carried no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: no Close frame came. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: payload that does not fit its kind (text that is not UTF-8, data that does not inflate).
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the endpoint's policy is violated.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: a client misses an extension in the server's answer.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the endpoint failed inside.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: try again later (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Never on the wire.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// Takes any number; it need not be one that may be sent.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Tells whether the code may stand in a Close frame: 1000 to 1003, 1007 to 1014, 3000 to 4999
    /// (RFC 6455 §7.4.1, §7.4.2, the IANA registry).
    ///
    /// ```
    /// use taiwa_proto::CloseCode;
    /// assert!(CloseCode::new(4000).is_sendable());
    /// assert!(!CloseCode::ABNORMAL.is_sendable());
    /// ```
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the two ends, as seen from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Us,
    /// The peer's.
    Peer,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code of the peer's Close frame: [`CloseCode::NO_STATUS`] if the frame carried none,
    /// [`CloseCode::ABNORMAL`] if no frame came. After a fault of the peer: the code that we sent.
    pub code: CloseCode,
    /// The reason in the same frame; often empty.
    pub reason: Utf8Bytes,
    /// Whose Close frame came first.
    pub by: Side,
    /// Whether both Close frames were exchanged (RFC 6455 §7.1.4).
    pub clean: bool,
}
