//! What a stream of WebTransport begins with: its kind, and the session it belongs to (draft 16 §4.2, §4.3).

use bytes::BufMut;

use crate::{
    error::{Code, Fault},
    varint::VarInt,
};

/// Whether both sides send on a stream, or its opener alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both sides send.
    Bidirectional,
    /// The side that opened it sends.
    Unidirectional,
}

impl Direction {
    /// Returns the number in front of such a stream: 0x41, the signal of a bidirectional one, or 0x54, the type of a
    /// unidirectional one.
    pub const fn kind(self) -> u64 {
        match self {
            Self::Bidirectional => 0x41,
            Self::Unidirectional => 0x54,
        }
    }
}

/// Names a session: the identifier of the stream of its CONNECT request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(VarInt);

impl SessionId {
    /// The most bytes that [`write_header`](Self::write_header) writes.
    pub const HEADER_BYTES_MAX: usize = 2 + VarInt::LEN_MAX;

    /// Takes the identifier of a stream.
    ///
    /// # Errors
    /// A fault that ends the connection, if no client opens such a stream, or none for requests.
    pub const fn new(stream: u64) -> Result<Self, Fault> {
        // Draft 16 §4: "If an endpoint receives a session ID […] that does not correspond to a client-initiated bidirectional
        // stream ID, the endpoint MUST close the connection with an H3_ID_ERROR error code."
        match VarInt::new(stream) {
            Some(id) if stream.is_multiple_of(4) => Ok(Self(id)),
            _ => Err(Fault::connection(
                Code::ID_ERROR,
                "a session is named that no request can begin",
            )),
        }
    }

    /// Returns the identifier of the session's CONNECT stream.
    pub const fn stream(self) -> u64 {
        self.0.get()
    }

    /// Reads what stands behind the kind of a stream; returns it with its length in bytes, or `None` if it is not all
    /// there yet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        let Some((id, len)) = VarInt::read(bytes) else { return Ok(None) };
        Ok(Some((Self::new(id.get())?, len)))
    }

    /// Writes the header of a stream of this session: kind and session.
    ///
    /// ```
    /// use taiwa_h3::webtransport::{Direction, SessionId};
    ///
    /// let mut header = vec![];
    /// SessionId::new(4)?.write_header(Direction::Bidirectional, &mut header);
    /// assert_eq!(header, [0x40, 0x41, 4]);
    /// assert_eq!(SessionId::read(&header[2..]), Ok(Some((SessionId::new(4)?, 1))));
    /// # Ok::<(), taiwa_h3::error::Fault>(())
    /// ```
    pub fn write_header(self, direction: Direction, out: &mut impl BufMut) {
        VarInt::from_u32(direction.kind() as u32).write(out);
        self.0.write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streams_that_a_client_opens_for_requests_are_sessions() {
        for stream in [0, 4, 400, (1 << 62) - 4] {
            assert_eq!(SessionId::new(stream).map(SessionId::stream), Ok(stream));
        }
        for stream in [1, 2, 3, 5, 1 << 62] {
            let fault = SessionId::new(stream).expect_err("not of a client");
            assert_eq!(fault.code, Code::ID_ERROR);
        }
    }

    #[test]
    fn a_header_in_pieces_is_waited_for() {
        let mut header = vec![];
        let id = SessionId::new(70_000 * 4).expect("of a client");
        id.write_header(Direction::Unidirectional, &mut header);
        assert_eq!(header[..2], [0x40, 0x54]);
        for cut in 2..header.len() {
            assert_eq!(SessionId::read(&header[2..cut]), Ok(None));
        }
        assert_eq!(SessionId::read(&header[2..]), Ok(Some((id, header.len() - 2))));
    }
}
