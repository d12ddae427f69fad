//! Error codes of HTTP/3 and QPACK, what a peer did wrong ([`Fault`]), and what our caller did ([`Misuse`]).

use std::fmt;

use crate::varint::VarInt;

/// An application error code of a QUIC connection or stream (RFC 9114 §8.1, RFC 9204 §6, RFC 9297 §5.2). Unknown
/// ones survive.
///
/// ```
/// use taiwa_h3::error::Code;
///
/// assert_eq!(Code::FRAME_UNEXPECTED.to_string(), "H3_FRAME_UNEXPECTED");
/// assert_eq!(Code::new(7).expect("below 2^62").to_string(), "0x7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(VarInt);

/// Declares each code with its name in the RFC.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $rfc:literal;)+) => {
        impl Code {
            $($(#[doc = $doc])+ pub const $name: Self = Self(VarInt::from_u32($code));)+

            /// Returns the name that an RFC gives the code, if one does.
            pub const fn name(self) -> Option<&'static str> {
                Some(match self.0.get() {
                    $($code => $rfc,)+
                    _ => return None,
                })
            }
        }
    };
}

codes! {
    /// H3_DATAGRAM_ERROR: a datagram or capsule is malformed (RFC 9297 §5.2).
    DATAGRAM_ERROR = 0x33, "H3_DATAGRAM_ERROR";
    /// H3_NO_ERROR: the end, and nothing went wrong.
    NO_ERROR = 0x100, "H3_NO_ERROR";
    /// H3_GENERAL_PROTOCOL_ERROR: a rule was broken that has no code of its own.
    GENERAL_PROTOCOL_ERROR = 0x101, "H3_GENERAL_PROTOCOL_ERROR";
    /// H3_INTERNAL_ERROR: something failed on this side.
    INTERNAL_ERROR = 0x102, "H3_INTERNAL_ERROR";
    /// H3_STREAM_CREATION_ERROR: the peer opened a stream that it may not open.
    STREAM_CREATION_ERROR = 0x103, "H3_STREAM_CREATION_ERROR";
    /// H3_CLOSED_CRITICAL_STREAM: a stream ended that the connection cannot do without.
    CLOSED_CRITICAL_STREAM = 0x104, "H3_CLOSED_CRITICAL_STREAM";
    /// H3_FRAME_UNEXPECTED: a frame came where it may not stand.
    FRAME_UNEXPECTED = 0x105, "H3_FRAME_UNEXPECTED";
    /// H3_FRAME_ERROR: a frame's layout or size is wrong.
    FRAME_ERROR = 0x106, "H3_FRAME_ERROR";
    /// H3_EXCESSIVE_LOAD: the peer may be making work on purpose.
    EXCESSIVE_LOAD = 0x107, "H3_EXCESSIVE_LOAD";
    /// H3_ID_ERROR: an identifier was used wrongly: beyond a limit, reduced, used twice.
    ID_ERROR = 0x108, "H3_ID_ERROR";
    /// H3_SETTINGS_ERROR: the payload of a SETTINGS frame is wrong.
    SETTINGS_ERROR = 0x109, "H3_SETTINGS_ERROR";
    /// H3_MISSING_SETTINGS: the control stream does not begin with SETTINGS.
    MISSING_SETTINGS = 0x10a, "H3_MISSING_SETTINGS";
    /// H3_REQUEST_REJECTED: the server did nothing with the request; it may be sent again.
    REQUEST_REJECTED = 0x10b, "H3_REQUEST_REJECTED";
    /// H3_REQUEST_CANCELLED: request or answer is no longer wanted.
    REQUEST_CANCELLED = 0x10c, "H3_REQUEST_CANCELLED";
    /// H3_REQUEST_INCOMPLETE: the client's stream ended before its request did.
    REQUEST_INCOMPLETE = 0x10d, "H3_REQUEST_INCOMPLETE";
    /// H3_MESSAGE_ERROR: a message is malformed.
    MESSAGE_ERROR = 0x10e, "H3_MESSAGE_ERROR";
    /// H3_CONNECT_ERROR: the connection behind a CONNECT was reset or ended abnormally.
    CONNECT_ERROR = 0x10f, "H3_CONNECT_ERROR";
    /// H3_VERSION_FALLBACK: the request must be made over HTTP/1.1.
    VERSION_FALLBACK = 0x110, "H3_VERSION_FALLBACK";
    /// QPACK_DECOMPRESSION_FAILED: a field section cannot be decoded (RFC 9204 §6).
    QPACK_DECOMPRESSION_FAILED = 0x200, "QPACK_DECOMPRESSION_FAILED";
    /// QPACK_ENCODER_STREAM_ERROR: an instruction of the encoder stream is wrong (RFC 9204 §6).
    QPACK_ENCODER_STREAM_ERROR = 0x201, "QPACK_ENCODER_STREAM_ERROR";
    /// QPACK_DECODER_STREAM_ERROR: an instruction of the decoder stream is wrong (RFC 9204 §6).
    QPACK_DECODER_STREAM_ERROR = 0x202, "QPACK_DECODER_STREAM_ERROR";
}

impl Code {
    /// Takes any code; `None` if it is over 2^62 - 1, which QUIC cannot carry.
    pub const fn new(code: u64) -> Option<Self> {
        match VarInt::new(code) {
            Some(code) => Some(Self(code)),
            None => None,
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl From<VarInt> for Code {
    fn from(code: VarInt) -> Self {
        Self(code)
    }
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        code.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.get()),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a fault ends (RFC 9114 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A stream error: the stream alone is reset, its siblings go on.
    Stream,
    /// A connection error: everything on the connection ends.
    Connection,
}

/// A rule of HTTP/3, or a limit of ours, that the peer broke.
///
/// The stream or the connection, by [`scope`](Fault::scope), is ended with [`code`](Fault::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What ends because of it.
    pub scope: Scope,
    /// What the peer is told.
    pub code: Code,
    /// The rule in words, for logs and for the reason of a QUIC CONNECTION_CLOSE.
    pub rule: &'static str,
}

impl Fault {
    /// Makes a fault that ends the connection.
    pub const fn connection(code: Code, rule: &'static str) -> Self {
        Self { scope: Scope::Connection, code, rule }
    }

    /// Makes a fault that ends its stream alone.
    pub const fn stream(code: Code, rule: &'static str) -> Self {
        Self { scope: Scope::Stream, code, rule }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.code)
    }
}

impl std::error::Error for Fault {}

/// What our caller asked for and cannot have, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Misuse(pub &'static str);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Misuse {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_three_rfcs_have_their_names() {
        for code in (0x100..=0x110).chain(0x200..=0x202).chain([0x33]) {
            assert!(Code::new(code).and_then(Code::name).is_some(), "{code:#x}");
        }
        for code in [0, 0x32, 0xff, 0x111, 0x1ff, 0x203] {
            assert_eq!(Code::new(code).and_then(Code::name), None, "{code:#x}");
        }
        assert_eq!(Code::new(1 << 62), None);
    }

    #[test]
    fn a_fault_tells_rule_and_code() {
        let fault = Fault::connection(Code::MISSING_SETTINGS, "SETTINGS is not the first frame");
        assert_eq!(fault.to_string(), "SETTINGS is not the first frame (H3_MISSING_SETTINGS)");
    }
}
