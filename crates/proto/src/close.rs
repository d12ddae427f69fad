//! Close codes and the way a connection ended (RFC 6455 §7).

use std::fmt;

use bytes::Bytes;

use crate::{
    fault::{Fault, Misuse},
    message::Utf8Bytes,
};

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

/// The payload of a Close frame: nothing, or a code and a reason (RFC 6455 §5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosePayload {
    bytes: [u8; 125],
    len: u8,
}

impl ClosePayload {
    /// Writes `code` and `reason`; [`CloseCode::NO_STATUS`] writes nothing.
    ///
    /// # Errors
    /// [`Misuse::CloseCode`] for a code that may not be sent, or a reason with
    /// [`CloseCode::NO_STATUS`]; [`Misuse::ReasonTooLong`] past 123 bytes, which with the code fill a
    /// control frame (RFC 6455 §5.5).
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, Misuse> {
        let mut bytes = [0; 125];
        if code == CloseCode::NO_STATUS && reason.is_empty() {
            return Ok(Self { bytes, len: 0 });
        }
        if !code.is_sendable() {
            return Err(Misuse::CloseCode(code));
        }
        if 123 < reason.len() {
            return Err(Misuse::ReasonTooLong);
        }
        bytes[..2].copy_from_slice(&code.get().to_be_bytes());
        bytes[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
        Ok(Self { bytes, len: 2 + reason.len() as u8 })
    }

    /// Borrows the bytes, at most 125.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Reads what a peer sent: the code ([`CloseCode::NO_STATUS`] if there is none) and the reason.
    ///
    /// # Errors
    /// [`Fault::CloseTooShort`], [`Fault::CloseCode`], [`Fault::CloseReasonNotUtf8`].
    pub fn parse(payload: &[u8]) -> Result<(CloseCode, Utf8Bytes), Fault> {
        let (code, reason) = match payload {
            [] => return Ok((CloseCode::NO_STATUS, Utf8Bytes::default())),
            // "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer"
            [_] => return Err(Fault::CloseTooShort),
            [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
        };
        if !code.is_sendable() {
            return Err(Fault::CloseCode(code));
        }
        let reason = Utf8Bytes::try_from(Bytes::copy_from_slice(reason))
            .map_err(|_| Fault::CloseReasonNotUtf8)?;
        Ok((code, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_the_registry_and_no_others_may_be_sent() {
        let sendable: Vec<u16> = (0..=u16::MAX).filter(|it| CloseCode(*it).is_sendable()).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(sendable, expected);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (code, reason) in
            [(CloseCode::NORMAL, ""), (CloseCode(4999), "再見"), (CloseCode::NO_STATUS, "")]
        {
            let payload = ClosePayload::new(code, reason).unwrap();
            assert_eq!(ClosePayload::parse(payload.as_slice()), Ok((code, reason.into())));
        }
    }

    #[test]
    fn bad_payloads_are_refused_on_either_side() {
        let long = "x".repeat(124);
        assert_eq!(ClosePayload::new(CloseCode::NORMAL, &long), Err(Misuse::ReasonTooLong));
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            let code = CloseCode(code);
            assert_eq!(ClosePayload::new(code, "x"), Err(Misuse::CloseCode(code)));
            let sent = ClosePayload::parse(&code.get().to_be_bytes());
            assert_eq!(sent, Err(Fault::CloseCode(code)));
        }
        assert_eq!(ClosePayload::parse(&[3]), Err(Fault::CloseTooShort));
        assert_eq!(ClosePayload::parse(&[3, 232, 0xff]), Err(Fault::CloseReasonNotUtf8));
    }
}
