//! Opcodes and close codes as enums.

use std::fmt;

/// What a frame is (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// A part of a message.
    Data(Fragment),
    /// Close, Ping or Pong.
    Control(Control),
}

/// Opcodes of data frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// 0: the next fragment.
    Continue,
    /// 1: text.
    Text,
    /// 2: bytes.
    Binary,
    /// 3 to 7: reserved.
    Reserved(u8),
}

/// Opcodes of control frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// 8: the closing handshake.
    Close,
    /// 9: asks for a Pong.
    Ping,
    /// 10: answers a Ping.
    Pong,
    /// 11 to 15: reserved.
    Reserved(u8),
}

impl From<OpCode> for u8 {
    fn from(code: OpCode) -> Self {
        match code {
            OpCode::Data(Fragment::Continue) => 0,
            OpCode::Data(Fragment::Text) => 1,
            OpCode::Data(Fragment::Binary) => 2,
            OpCode::Control(Control::Close) => 8,
            OpCode::Control(Control::Ping) => 9,
            OpCode::Control(Control::Pong) => 10,
            OpCode::Data(Fragment::Reserved(it)) | OpCode::Control(Control::Reserved(it)) => it,
        }
    }
}

impl From<u8> for OpCode {
    /// Reads the low four bits.
    fn from(byte: u8) -> Self {
        match byte & 15 {
            0 => Self::Data(Fragment::Continue),
            1 => Self::Data(Fragment::Text),
            2 => Self::Data(Fragment::Binary),
            it @ 3..=7 => Self::Data(Fragment::Reserved(it)),
            8 => Self::Control(Control::Close),
            9 => Self::Control(Control::Ping),
            10 => Self::Control(Control::Pong),
            it => Self::Control(Control::Reserved(it)),
        }
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(it) => it.fmt(f),
            Self::Control(it) => it.fmt(f),
        }
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("CONTINUE"),
            Self::Text => f.write_str("TEXT"),
            Self::Binary => f.write_str("BINARY"),
            Self::Reserved(it) => write!(f, "RESERVED_DATA_{it}"),
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close => f.write_str("CLOSE"),
            Self::Ping => f.write_str("PING"),
            Self::Pong => f.write_str("PONG"),
            Self::Reserved(it) => write!(f, "RESERVED_CONTROL_{it}"),
        }
    }
}

/// Why a connection is closed (RFC 6455 §7.4, the IANA registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// 1000: its purpose is fulfilled.
    Normal,
    /// 1001: a server goes down, or a page is left.
    Away,
    /// 1002: the peer broke the protocol.
    Protocol,
    /// 1003: a kind of message that can't be accepted.
    Unsupported,
    /// 1005: no code. Never on the wire.
    Status,
    /// 1006: no Close frame. Never on the wire.
    Abnormal,
    /// 1007: payload that does not fit its kind.
    Invalid,
    /// 1008: a policy is violated.
    Policy,
    /// 1009: a message is too big.
    Size,
    /// 1010: an extension is missing.
    Extension,
    /// 1011: failed inside.
    Error,
    /// 1012: restarts.
    Restart,
    /// 1013: try again later.
    Again,
    /// 1015: the TLS handshake failed. Never on the wire.
    Tls,
    /// 1016 to 2999: reserved.
    Reserved(u16),
    /// 3000 to 3999: registered with IANA.
    Iana(u16),
    /// 4000 to 4999: for applications.
    Library(u16),
    /// Any other number: never valid.
    Bad(u16),
}

impl CloseCode {
    /// Tells whether the code may stand in a Close frame.
    pub fn is_allowed(self) -> bool {
        !matches!(
            self,
            Self::Bad(_) | Self::Reserved(_) | Self::Status | Self::Abnormal | Self::Tls
        )
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        match code {
            1000 => Self::Normal,
            1001 => Self::Away,
            1002 => Self::Protocol,
            1003 => Self::Unsupported,
            1005 => Self::Status,
            1006 => Self::Abnormal,
            1007 => Self::Invalid,
            1008 => Self::Policy,
            1009 => Self::Size,
            1010 => Self::Extension,
            1011 => Self::Error,
            1012 => Self::Restart,
            1013 => Self::Again,
            1015 => Self::Tls,
            1016..=2999 => Self::Reserved(code),
            3000..=3999 => Self::Iana(code),
            4000..=4999 => Self::Library(code),
            _ => Self::Bad(code),
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        match code {
            CloseCode::Normal => 1000,
            CloseCode::Away => 1001,
            CloseCode::Protocol => 1002,
            CloseCode::Unsupported => 1003,
            CloseCode::Status => 1005,
            CloseCode::Abnormal => 1006,
            CloseCode::Invalid => 1007,
            CloseCode::Policy => 1008,
            CloseCode::Size => 1009,
            CloseCode::Extension => 1010,
            CloseCode::Error => 1011,
            CloseCode::Restart => 1012,
            CloseCode::Again => 1013,
            CloseCode::Tls => 1015,
            CloseCode::Reserved(it)
            | CloseCode::Iana(it)
            | CloseCode::Library(it)
            | CloseCode::Bad(it) => it,
        }
    }
}

impl From<&CloseCode> for u16 {
    fn from(code: &CloseCode) -> Self {
        (*code).into()
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        u16::from(self).fmt(f)
    }
}
