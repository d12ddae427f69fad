//! The capsules of a session's CONNECT stream (draft 16 §4.7, §5.6, §6).

use bytes::{BufMut, Bytes};

use super::{code, header::Direction, limits::Limits};
use crate::{
    error::{Code, Fault},
    varint::VarInt,
};

/// The most bytes of the reason with which a session is closed (draft 16 §6).
pub const REASON_BYTES_MAX: usize = 1024;

/// What peers of a session tell each other on its CONNECT stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capsule {
    /// WT_CLOSE_SESSION: the session ends, with the application's code and reason of at most [`REASON_BYTES_MAX`] bytes.
    Close(u32, String),
    /// WT_DRAIN_SESSION: please end the session soon.
    Drain,
    /// WT_MAX_DATA: so many bytes may be sent from the session's beginning on.
    MaxData(u64),
    /// WT_MAX_STREAMS: so many streams may be opened from the session's beginning on.
    MaxStreams(Direction, u64),
    /// WT_DATA_BLOCKED: the peer has more to send than this.
    DataBlocked(u64),
    /// WT_STREAMS_BLOCKED: the peer would open more than these.
    StreamsBlocked(Direction, u64),
}

mod kind {
    pub(super) const CLOSE: u64 = 0x2843;
    pub(super) const DRAIN: u64 = 0x78ae;
    pub(super) const MAX_DATA: u64 = 0x190b_4d3d;
    /// Of WebTransport over HTTP/2 alone, as STREAM_DATA_BLOCKED.
    pub(super) const MAX_STREAM_DATA: u64 = 0x190b_4d3e;
    pub(super) const MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
    pub(super) const MAX_STREAMS_UNI: u64 = 0x190b_4d40;
    pub(super) const DATA_BLOCKED: u64 = 0x190b_4d41;
    pub(super) const STREAM_DATA_BLOCKED: u64 = 0x190b_4d42;
    pub(super) const STREAMS_BLOCKED_BIDI: u64 = 0x190b_4d43;
    pub(super) const STREAMS_BLOCKED_UNI: u64 = 0x190b_4d44;
}

impl Capsule {
    /// The most bytes of a capsule's value that this crate understands; a longer one is of another kind, or a fault.
    pub const VALUE_BYTES_MAX: usize = 4 + REASON_BYTES_MAX;

    /// Reads the value of a capsule of type `kind`; `None` if that type is not known here, which is passed over (RFC 9297
    /// §3.2).
    ///
    /// # Errors
    /// A fault that ends the session's stream.
    pub fn read(kind: u64, value: &[u8]) -> Result<Option<Self>, Fault> {
        use Direction::{Bidirectional, Unidirectional};
        Ok(Some(match kind {
            kind::CLOSE => read_close(value)?,
            kind::DRAIN if value.is_empty() => Self::Drain,
            kind::DRAIN => return Err(malformed()),
            kind::MAX_DATA => Self::MaxData(read_number(value)?),
            kind::MAX_STREAMS_BIDI => Self::MaxStreams(Bidirectional, read_count(value)?),
            kind::MAX_STREAMS_UNI => Self::MaxStreams(Unidirectional, read_count(value)?),
            kind::DATA_BLOCKED => Self::DataBlocked(read_number(value)?),
            kind::STREAMS_BLOCKED_BIDI => Self::StreamsBlocked(Bidirectional, read_count(value)?),
            kind::STREAMS_BLOCKED_UNI => Self::StreamsBlocked(Unidirectional, read_count(value)?),
            // Draft 16 §5.4: "Endpoints MUST treat receipt of a WT_MAX_STREAM_DATA or a WT_STREAM_DATA_BLOCKED capsule as a session
            // error."
            kind::MAX_STREAM_DATA | kind::STREAM_DATA_BLOCKED => {
                return Err(Fault::stream(
                    code::FLOW_CONTROL_ERROR,
                    "a capsule bounds a single stream, which QUIC does",
                ));
            }
            _ => return Ok(None),
        }))
    }

    /// Tells whether the value of a capsule of this type is wanted; all others need not be kept to be passed over.
    pub const fn is_known(kind: u64) -> bool {
        matches!(kind, kind::CLOSE | kind::DRAIN | kind::MAX_DATA..=kind::STREAMS_BLOCKED_UNI)
    }

    /// Makes a closing capsule, with as much of the reason as may be said. Draft 16 §6: "Senders that truncate an
    /// application-supplied message MUST do so at a UTF-8 character boundary."
    pub fn close(code: u32, reason: &str) -> Self {
        Self::Close(code, reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned())
    }

    /// Writes type, length and value.
    pub fn write(&self, out: &mut impl BufMut) {
        use Direction::{Bidirectional, Unidirectional};
        let (kind, number) = match self {
            Self::Close(code, reason) => {
                put_head(kind::CLOSE, 4 + reason.len(), out);
                out.put_u32(*code);
                out.put_slice(reason.as_bytes());
                return;
            }
            Self::Drain => return put_head(kind::DRAIN, 0, out),
            Self::MaxData(number) => (kind::MAX_DATA, number),
            Self::MaxStreams(Bidirectional, number) => (kind::MAX_STREAMS_BIDI, number),
            Self::MaxStreams(Unidirectional, number) => (kind::MAX_STREAMS_UNI, number),
            Self::DataBlocked(number) => (kind::DATA_BLOCKED, number),
            Self::StreamsBlocked(Bidirectional, number) => (kind::STREAMS_BLOCKED_BIDI, number),
            Self::StreamsBlocked(Unidirectional, number) => (kind::STREAMS_BLOCKED_UNI, number),
        };
        let number = VarInt::new(*number).unwrap_or(VarInt::MAX);
        put_head(kind, number.encoded_len(), out);
        number.write(out);
    }

    /// Returns type, length and value.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }
}

fn put_head(kind: u64, len: usize, out: &mut impl BufMut) {
    VarInt::new(kind).expect("ours are below 2^62").write(out);
    VarInt::try_from(len).expect("at most 1028").write(out);
}

fn read_close(value: &[u8]) -> Result<Capsule, Fault> {
    let (code, reason) = value.split_first_chunk().ok_or_else(malformed)?;
    // Draft 16 §6: "If the Application Error Message exceeds 1024 bytes or is not valid UTF-8, the receiver MUST reset the stream with
    // code H3_MESSAGE_ERROR."
    let reason = str::from_utf8(reason).ok().filter(|it| it.len() <= REASON_BYTES_MAX);
    let reason = reason.ok_or(Fault::stream(
        Code::MESSAGE_ERROR,
        "the reason of a close is no UTF-8, or over 1024 bytes",
    ))?;
    Ok(Capsule::Close(u32::from_be_bytes(*code), reason.to_owned()))
}

fn read_number(value: &[u8]) -> Result<u64, Fault> {
    match VarInt::read(value) {
        Some((number, len)) if len == value.len() => Ok(number.get()),
        _ => Err(malformed()),
    }
}

fn read_count(value: &[u8]) -> Result<u64, Fault> {
    let count = read_number(value)?;
    // Draft 16 §5.6.2: "Recipients of a capsule with a Maximum Streams value larger than this limit MUST close the WebTransport
    // session with a WT_FLOW_CONTROL_ERROR error code."
    if count > Limits::STREAMS_MAX {
        return Err(Fault::stream(code::FLOW_CONTROL_ERROR, "a count of streams is over 2^60"));
    }
    Ok(count)
}

fn malformed() -> Fault {
    Fault::stream(Code::DATAGRAM_ERROR, "the value of a capsule has another layout")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes and reads again, and returns the bytes.
    #[track_caller]
    fn check(capsule: &Capsule) -> Vec<u8> {
        let bytes = capsule.to_bytes().to_vec();
        let (kind, kind_len) = VarInt::read(&bytes).expect("a type");
        let (len, len_len) = VarInt::read(&bytes[kind_len..]).expect("a length");
        let value = &bytes[kind_len + len_len..];
        assert_eq!(len.get(), value.len() as u64);
        assert!(Capsule::is_known(kind.get()));
        assert_eq!(Capsule::read(kind.get(), value), Ok(Some(capsule.clone())));
        bytes
    }

    #[test]
    fn every_capsule_is_read_as_it_was_written() {
        let close = check(&Capsule::close(0x1234, "bye"));
        assert_eq!(close, [0x68, 0x43, 7, 0, 0, 0x12, 0x34, b'b', b'y', b'e']);
        assert_eq!(check(&Capsule::Drain), [0x80, 0, 0x78, 0xae, 0]);
        assert_eq!(check(&Capsule::MaxData(70))[..4], [0x99, 0x0b, 0x4d, 0x3d]);
        for direction in [Direction::Bidirectional, Direction::Unidirectional] {
            check(&Capsule::MaxStreams(direction, 1 << 60));
            check(&Capsule::StreamsBlocked(direction, 3));
        }
        check(&Capsule::DataBlocked((1 << 62) - 1));
    }

    #[test]
    fn a_reason_too_long_is_cut_between_characters() {
        let Capsule::Close(_, reason) = Capsule::close(0, &"話".repeat(400)) else { panic!() };
        assert_eq!((reason.len(), reason.chars().count()), (1023, 341));
    }

    #[test]
    fn wrong_values_are_faults_of_the_stream() {
        let refused = |kind, value: &[u8]| Capsule::read(kind, value).expect_err("wrong").code;
        assert_eq!(refused(kind::CLOSE, &[0, 0, 0]), Code::DATAGRAM_ERROR);
        assert_eq!(refused(kind::CLOSE, &[0; 4 + 1025]), Code::MESSAGE_ERROR);
        assert_eq!(refused(kind::CLOSE, &[0, 0, 0, 0, 0xff]), Code::MESSAGE_ERROR);
        assert_eq!(refused(kind::DRAIN, &[0]), Code::DATAGRAM_ERROR);
        assert_eq!(refused(kind::MAX_DATA, &[]), Code::DATAGRAM_ERROR);
        assert_eq!(refused(kind::MAX_DATA, &[1, 1]), Code::DATAGRAM_ERROR);
        let many = ((0xc0 << 56) | (1_u64 << 60) | 1).to_be_bytes();
        assert_eq!(refused(kind::MAX_STREAMS_UNI, &many), code::FLOW_CONTROL_ERROR);
        assert_eq!(refused(kind::STREAMS_BLOCKED_BIDI, &many), code::FLOW_CONTROL_ERROR);
        assert_eq!(refused(kind::MAX_STREAM_DATA, &[0, 1]), code::FLOW_CONTROL_ERROR);
        assert_eq!(refused(kind::STREAM_DATA_BLOCKED, &[0, 1]), code::FLOW_CONTROL_ERROR);
    }

    #[test]
    fn unknown_capsules_are_passed_over() {
        for kind in [0, 0x17, 0x190b_4d3c, 0x190b_4d45] {
            assert!(!Capsule::is_known(kind));
            assert_eq!(Capsule::read(kind, b"whatever"), Ok(None));
        }
    }
}
