//! HTTP datagrams in QUIC DATAGRAM frames (RFC 9297 §2.1): the request stream they belong to, by a quarter of its identifier.

use bytes::{Buf, BufMut, Bytes};

use crate::{
    error::{Code, Fault, Misuse},
    varint::VarInt,
};

/// The most bytes in front of a payload.
pub const HEADER_BYTES_MAX: usize = VarInt::LEN_MAX;

const NO_REQUEST_STREAM: Misuse = Misuse("no request stream has this identifier");

/// Reads which request stream a datagram belongs to; returns its identifier and the payload, not copied.
///
/// # Errors
/// A connection error H3_DATAGRAM_ERROR if no such stream can be.
///
/// ```
/// use bytes::Bytes;
/// use taiwa_h3::datagram;
///
/// let mut sent = vec![];
/// datagram::write(8, b"hello", &mut sent)?;
/// assert_eq!(sent, b"\x02hello");
/// assert_eq!(datagram::read(sent.into())?, (8, Bytes::from_static(b"hello")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(mut datagram: Bytes) -> Result<(u64, Bytes), Fault> {
    let fault = |rule| Fault::connection(Code::DATAGRAM_ERROR, rule);
    // RFC 9297 §2.1: "Receipt of a QUIC DATAGRAM frame whose payload is too short to allow parsing the Quarter Stream ID field MUST be
    // treated as an HTTP/3 connection error of type H3_DATAGRAM_ERROR."
    let Some((quarter, len)) = VarInt::read(&datagram) else {
        return Err(fault("datagram without a quarter stream ID"));
    };
    // RFC 9297 §2.1: "The largest legal value of the Quarter Stream ID field is 2^60-1. Receipt of an HTTP/3 Datagram that includes a
    // larger value MUST be treated as an HTTP/3 connection error of type H3_DATAGRAM_ERROR."
    let Some(stream) = quarter.get().checked_mul(4).filter(|it| *it <= VarInt::MAX.get()) else {
        return Err(fault("quarter stream ID over 2^60 - 1"));
    };
    datagram.advance(len);
    Ok((stream, datagram))
}

/// Writes a datagram of the request stream `stream`, the identifier of a bidirectional stream of a client.
///
/// # Errors
/// [`Misuse`] if no such stream has this identifier; nothing is written then.
pub fn write(stream: u64, payload: &[u8], out: &mut impl BufMut) -> Result<(), Misuse> {
    write_header(stream, out)?;
    out.put_slice(payload);
    Ok(())
}

/// Writes what stands in front of a payload.
///
/// # Errors
/// As [`write()`].
pub fn write_header(stream: u64, out: &mut impl BufMut) -> Result<(), Misuse> {
    let is_request = stream.is_multiple_of(4) && stream <= VarInt::MAX.get();
    let quarter = VarInt::new(stream / 4).filter(|_| is_request).ok_or(NO_REQUEST_STREAM)?;
    quarter.write(out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stream_has_the_largest_quarter() {
        let last = VarInt::MAX.get() - 3;
        let mut sent = vec![];
        write(last, b"x", &mut sent).expect("a request stream");
        assert_eq!(read(sent.into()), Ok((last, Bytes::from_static(b"x"))));
        let mut sent = vec![];
        VarInt::new(1 << 60).expect("small").write(&mut sent);
        let fault = Fault::connection(Code::DATAGRAM_ERROR, "quarter stream ID over 2^60 - 1");
        assert_eq!(read(sent.into()), Err(fault));
    }

    #[test]
    fn datagrams_that_are_cut_end_the_connection() {
        for sent in [&b""[..], b"\x40", b"\xc0\0\0\0\0\0\0"] {
            let fault = read(Bytes::copy_from_slice(sent)).expect_err("too short");
            assert_eq!(
                (fault.code, fault.rule),
                (Code::DATAGRAM_ERROR, "datagram without a quarter stream ID")
            );
        }
        assert_eq!(read(Bytes::from_static(b"\0")), Ok((0, Bytes::new())));
    }

    #[test]
    fn streams_that_carry_no_request_have_no_datagrams() {
        for stream in [1, 2, 3, 1 << 62, u64::MAX - 3] {
            let mut sent = vec![];
            assert_eq!(write(stream, b"x", &mut sent), Err(NO_REQUEST_STREAM), "{stream}");
            assert!(sent.is_empty());
        }
    }
}
