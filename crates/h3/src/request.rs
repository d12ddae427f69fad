//! The order of frames on a request stream (RFC 9114 §4.1): HEADERS, DATA, trailers; and tunnels (§4.4), DATA alone.

use bytes::{Bytes, BytesMut};

use crate::{
    connection::Role,
    error::{Code, Fault},
    frame::{self, FrameType, Piece},
    varint::VarInt,
};

/// What bounds one request stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a HEADERS frame, as they are sent.
    pub section_bytes_max: usize,
    /// Frames in a row that bring nothing: empty DATA, unknown ones. Past it H3_EXCESSIVE_LOAD ends the connection.
    pub idle_frames_max: u32,
}

/// What a request stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The encoded field section of a request or response. Tell what it turned out to be: [`Receiving::interim`],
    /// [`Receiving::content`] or [`Receiving::tunnel`].
    Head(Bytes),
    /// It is longer than [`Bounds::section_bytes_max`], and its bytes are not kept.
    HeadTooLong,
    /// Bytes of the content, or of the tunnel; never empty.
    Data(Bytes),
    /// The encoded field section behind the content.
    Trailers(Bytes),
    /// It is no request but a stream of this WebTransport session: take the rest of the bytes away from here.
    WebTransport(VarInt),
}

/// Reads one side of a request stream.
///
/// ```
/// use bytes::Bytes;
/// use taiwa_h3::{connection::Role, request::{Bounds, Event, Receiving}};
///
/// let bounds = Bounds { section_bytes_max: 100, idle_frames_max: 10 };
/// let mut receiving = Receiving::new(Role::Server, bounds);
/// let mut bytes = Bytes::from_static(b"\x01\x02hd\x00\x04body");
/// assert_eq!(receiving.next(&mut bytes)?, Some(Event::Head(Bytes::from_static(b"hd"))));
/// receiving.content(Some(4));
/// assert_eq!(receiving.next(&mut bytes)?, Some(Event::Data(Bytes::from_static(b"body"))));
/// receiving.end()?;
/// # Ok::<(), taiwa_h3::error::Fault>(())
/// ```
#[derive(Debug)]
pub struct Receiving {
    role: Role,
    bounds: Bounds,
    reader: frame::Reader,
    phase: Phase,
    /// What the frame that is being read is.
    current: Current,
    section: BytesMut,
    idle_frames: u32,
    /// Bytes of content that the head announced and that have not come.
    left: Option<u64>,
}

/// ```text
/// First ─HEADERS─► Answered ─interim─► Head ─HEADERS─► Answered
///                      ├─content─► Content ─HEADERS─► Over
///                      └─tunnel──► Tunnel
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come.
    First,
    /// A head has to come.
    Head,
    /// A head has come, and nobody has said what it is.
    Answered,
    Content,
    /// Behind the trailers.
    Over,
    Tunnel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    Ignored,
    Data,
    Head,
    Trailers,
}

impl Receiving {
    /// Begins.
    pub fn new(role: Role, bounds: Bounds) -> Self {
        Self {
            role,
            bounds,
            reader: frame::Reader::default(),
            phase: Phase::First,
            current: Current::Ignored,
            section: BytesMut::new(),
            idle_frames: 0,
            left: None,
        }
    }

    /// Says that the head was an interim response (RFC 9114 §4.1): another one comes.
    pub fn interim(&mut self) {
        self.phase = Phase::Head;
    }

    /// Says that content comes next, and of how many bytes, if the head tells (`content-length`).
    pub fn content(&mut self, bytes: Option<u64>) {
        self.phase = Phase::Content;
        self.left = bytes;
    }

    /// Says that a CONNECT has completed: only DATA comes from now on (RFC 9114 §4.4).
    pub fn tunnel(&mut self) {
        self.phase = Phase::Tunnel;
        self.left = None;
    }

    /// Takes bytes off the front of `input`, up to the next event; `None` when it needs more.
    ///
    /// # Errors
    /// What the peer did wrong; the connection or the stream ends, by [`Fault::scope`].
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Event>, Fault> {
        while let Some(piece) = self.reader.next(input) {
            match piece {
                Piece::Head { kind: FrameType::WT_STREAM, .. } => return self.webtransport(),
                Piece::Head { kind, payload_bytes } => {
                    self.current = self.begin(kind)?;
                    self.count(payload_bytes)?;
                    if let Current::Head | Current::Trailers = self.current
                        && payload_bytes > self.bounds.section_bytes_max as u64
                    {
                        return self.too_long();
                    }
                }
                Piece::Payload { bytes, is_last } => {
                    if let Some(event) = self.payload(bytes, is_last) {
                        return Ok(Some(event));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes note of the end of the stream.
    ///
    /// # Errors
    /// H3_FRAME_ERROR if it cuts a frame in two; H3_REQUEST_INCOMPLETE if no request has come, H3_MESSAGE_ERROR if no response
    /// has, or less content than was announced.
    pub fn end(&mut self) -> Result<(), Fault> {
        // RFC 9114 §7.1: "When a stream terminates cleanly, if the last frame on the stream was truncated, this MUST be treated as
        // a connection error of type H3_FRAME_ERROR."
        if self.reader.is_inside_frame() {
            return Err(Fault::connection(Code::FRAME_ERROR, "stream ends within a frame"));
        }
        match self.phase {
            // RFC 9114 §4.1: "If a client-initiated stream terminates without enough of the HTTP message to provide a complete
            // response, the server SHOULD abort its response stream with the error code H3_REQUEST_INCOMPLETE."
            Phase::First | Phase::Head if self.role == Role::Server => {
                Err(Fault::stream(Code::REQUEST_INCOMPLETE, "stream ends without a request"))
            }
            Phase::First | Phase::Head => {
                Err(Fault::stream(Code::MESSAGE_ERROR, "stream ends without a response"))
            }
            Phase::Content | Phase::Over if self.left.is_some_and(|it| it > 0) => {
                Err(Fault::stream(Code::MESSAGE_ERROR, "less content than content-length says"))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, kind: FrameType) -> Result<Current, Fault> {
        let unexpected = |rule| Err(Fault::connection(Code::FRAME_UNEXPECTED, rule));
        match (kind, self.phase) {
            (FrameType::HEADERS, Phase::First | Phase::Head) => Ok(Current::Head),
            (FrameType::HEADERS, Phase::Content) => {
                self.phase = Phase::Over;
                Ok(Current::Trailers)
            }
            (FrameType::DATA, Phase::Content | Phase::Tunnel) => Ok(Current::Data),
            // RFC 9114 §4.1: "Receipt of an invalid sequence of frames MUST be treated as a connection error of type
            // H3_FRAME_UNEXPECTED. In particular, a DATA frame before any HEADERS frame, or a HEADERS or DATA frame after the
            // trailing HEADERS frame, is considered invalid."
            //
            // RFC 9114 §4.4: "Once the CONNECT method has completed, only DATA frames are permitted to be sent on the stream.
            // [...] Receipt of any other known frame type MUST be treated as a connection error of type H3_FRAME_UNEXPECTED."
            (FrameType::HEADERS | FrameType::DATA, _) => unexpected("HEADERS or DATA out of order"),
            // RFC 9114 §4.6: "A client MUST treat receipt of a PUSH_PROMISE frame that contains a larger push ID than the client has
            // advertised as a connection error of H3_ID_ERROR." We advertise none.
            (FrameType::PUSH_PROMISE, _) if self.role == Role::Client => {
                Err(Fault::connection(Code::ID_ERROR, "push that was not allowed"))
            }
            // RFC 9114 §7.2.3, §7.2.4, §7.2.6, §7.2.7: these come on the control stream alone; §7.2.5: "A client MUST NOT send a
            // PUSH_PROMISE frame"; §7.2.8: those of HTTP/2 never.
            _ if kind.is_known() || kind.is_of_http2() => unexpected("frame of no request"),
            // RFC 9114 §9: "Implementations MUST ignore unknown or unsupported values".
            _ => Ok(Current::Ignored),
        }
    }

    /// draft-ietf-webtrans-http3 §4.3: such a stream begins with it. Elsewhere "it MUST be treated as a connection error of type
    /// H3_FRAME_ERROR".
    fn webtransport(&mut self) -> Result<Option<Event>, Fault> {
        if self.phase != Phase::First || self.idle_frames > 0 {
            return Err(Fault::connection(Code::FRAME_ERROR, "WT_STREAM within a stream"));
        }
        Ok(std::mem::take(&mut self.reader).into_session().map(Event::WebTransport))
    }

    /// Counts frames that bring nothing, and content against what was announced.
    fn count(&mut self, payload_bytes: u64) -> Result<(), Fault> {
        if self.current == Current::Ignored || payload_bytes == 0 {
            self.idle_frames += 1;
            if self.idle_frames > self.bounds.idle_frames_max {
                let rule = "too many frames that bring nothing";
                return Err(Fault::connection(Code::EXCESSIVE_LOAD, rule));
            }
            return Ok(());
        }
        self.idle_frames = 0;
        if self.current == Current::Data
            && let Some(left) = &mut self.left
        {
            // RFC 9114 §4.1.2: "A request or response that is defined as having content when it contains a Content-Length header
            // field is malformed if the value of the Content-Length header field does not equal the sum of the DATA frame lengths
            // received", and malformed messages are "a stream error of type H3_MESSAGE_ERROR".
            *left = left.checked_sub(payload_bytes).ok_or_else(|| {
                Fault::stream(Code::MESSAGE_ERROR, "more content than content-length says")
            })?;
        }
        Ok(())
    }

    fn too_long(&mut self) -> Result<Option<Event>, Fault> {
        match std::mem::replace(&mut self.current, Current::Ignored) {
            Current::Head => {
                self.phase = Phase::Answered;
                Ok(Some(Event::HeadTooLong))
            }
            _ => Err(Fault::stream(Code::EXCESSIVE_LOAD, "trailers too long")),
        }
    }

    fn payload(&mut self, bytes: Bytes, is_last: bool) -> Option<Event> {
        match self.current {
            Current::Data => (!bytes.is_empty()).then_some(Event::Data(bytes)),
            Current::Ignored => None,
            Current::Head | Current::Trailers => {
                // Nearly always a section lies in one piece.
                let whole = if is_last && self.section.is_empty() {
                    bytes
                } else {
                    self.section.extend_from_slice(&bytes);
                    if !is_last {
                        return None;
                    }
                    std::mem::take(&mut self.section).freeze()
                };
                if self.current == Current::Trailers {
                    return Some(Event::Trailers(whole));
                }
                self.phase = Phase::Answered;
                Some(Event::Head(whole))
            }
        }
    }
}

#[cfg(test)]
mod tests;
