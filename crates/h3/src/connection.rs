//! What belongs to a connection as a whole (RFC 9114 §5, §6.2): which streams each side opened, the control stream, its
//! SETTINGS and GOAWAY.

use bytes::{Bytes, BytesMut};

use crate::{
    error::{Code, Fault},
    frame::{self, FrameType, Piece},
    settings::Settings,
    streams::StreamType,
    varint::VarInt,
};

/// Which end of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We open requests.
    Client,
    /// We answer requests.
    Server,
}

/// What a unidirectional stream of the peer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Its bytes are for [`Connection::receive`].
    Control,
    /// Its bytes are instructions of QPACK's encoder (RFC 9204 §4.3).
    QpackEncoder,
    /// Its bytes are instructions of QPACK's decoder (RFC 9204 §4.4).
    QpackDecoder,
    /// It belongs to a WebTransport session, whose number comes next.
    WebTransport,
    /// Nobody knows: stop reading, with H3_STREAM_CREATION_ERROR (RFC 9114 §6.2).
    Unknown,
}

/// What the peer's control stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its settings; once, and first.
    Settings(Settings),
    /// It goes away. From a server: requests on streams from this identifier on are not processed (RFC 9114 §5.2). From a client:
    /// it takes no pushes from this one on.
    GoAway(VarInt),
}

/// One side's view of a connection.
///
/// The order of things is: [`open`](Self::open) for each unidirectional stream whose type was read,
/// [`receive`](Self::receive) for the bytes of the control stream, [`ended`](Self::ended) for a stream that ended.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    /// The critical streams that the peer has opened.
    opened: Vec<Purpose>,
    has_settings: bool,
    control: frame::Reader,
    /// Of the frame that is being read on the control stream; `None` if it is ignored.
    current: Option<FrameType>,
    payload: BytesMut,
    go_away: Option<VarInt>,
    max_push: Option<VarInt>,
}

impl Connection {
    /// Begins.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            opened: Vec::new(),
            has_settings: false,
            control: frame::Reader::default(),
            current: None,
            payload: BytesMut::new(),
            go_away: None,
            max_push: None,
        }
    }

    /// Takes note of a unidirectional stream of the peer.
    ///
    /// # Errors
    /// H3_STREAM_CREATION_ERROR for a second control stream, a second stream of QPACK's encoder or decoder, and a push of a client;
    /// H3_ID_ERROR for a push of a server, since none was allowed.
    pub fn open(&mut self, kind: StreamType) -> Result<Purpose, Fault> {
        let purpose = match kind {
            StreamType::CONTROL => Purpose::Control,
            StreamType::QPACK_ENCODER => Purpose::QpackEncoder,
            StreamType::QPACK_DECODER => Purpose::QpackDecoder,
            StreamType::WEBTRANSPORT => return Ok(Purpose::WebTransport),
            // RFC 9114 §6.2.2: "Only servers can push; if a server receives a client-initiated push stream, this MUST be treated
            // as a connection error of type H3_STREAM_CREATION_ERROR."
            StreamType::PUSH if self.role == Role::Server => {
                return Err(Fault::connection(Code::STREAM_CREATION_ERROR, "push of a client"));
            }
            // RFC 9114 §4.6: "A client MUST treat receipt of a push stream as a connection error of type H3_ID_ERROR when no
            // MAX_PUSH_ID frame has been sent". We send none.
            StreamType::PUSH => {
                return Err(Fault::connection(Code::ID_ERROR, "push that was not allowed"));
            }
            _ => return Ok(Purpose::Unknown),
        };
        // RFC 9114 §6.2.1: "Only one control stream per peer is permitted; receipt of a second stream claiming to be a control
        // stream MUST be treated as a connection error of type H3_STREAM_CREATION_ERROR." RFC 9204 §4.2 says so of QPACK's.
        if self.opened.contains(&purpose) {
            return Err(Fault::connection(Code::STREAM_CREATION_ERROR, "second critical stream"));
        }
        self.opened.push(purpose);
        Ok(purpose)
    }

    /// Returns the fault of a peer whose stream ended or was reset, if that is one.
    ///
    /// # Errors
    /// H3_CLOSED_CRITICAL_STREAM for the control stream and QPACK's two.
    pub fn ended(&self, purpose: Purpose) -> Result<(), Fault> {
        match purpose {
            // RFC 9114 §6.2.1: "If either control stream is closed at any point, this MUST be treated as a connection error of type
            // H3_CLOSED_CRITICAL_STREAM." RFC 9204 §4.2: "Closure of either unidirectional stream type MUST be treated as a
            // connection error of type H3_CLOSED_CRITICAL_STREAM."
            Purpose::Control | Purpose::QpackEncoder | Purpose::QpackDecoder => {
                Err(Fault::connection(Code::CLOSED_CRITICAL_STREAM, "critical stream ended"))
            }
            Purpose::WebTransport | Purpose::Unknown => Ok(()),
        }
    }

    /// Takes bytes of the peer's control stream off the front of `input`, up to the next event; `None` when it needs
    /// more. What it keeps is less than [`Settings::PAYLOAD_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// What the peer did wrong; the connection ends.
    pub fn receive(&mut self, input: &mut Bytes) -> Result<Option<Event>, Fault> {
        while let Some(piece) = self.control.next(input) {
            match piece {
                Piece::Head { kind, payload_bytes } => {
                    self.current = self.begin(kind, payload_bytes)?.then_some(kind);
                }
                Piece::Payload { bytes, is_last } => {
                    let Some(kind) = self.current else { continue };
                    self.payload.extend_from_slice(&bytes);
                    if is_last {
                        let payload = self.payload.split();
                        if let Some(event) = self.end(kind, &payload)? {
                            return Ok(Some(event));
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Tells whether a frame of this type is read at all.
    fn begin(&self, kind: FrameType, payload_bytes: u64) -> Result<bool, Fault> {
        let unexpected = |rule| Err(Fault::connection(Code::FRAME_UNEXPECTED, rule));
        let bytes_max = match kind {
            // RFC 9114 §6.2.1: "If the first frame of the control stream is any other frame type, this MUST be treated as a
            // connection error of type H3_MISSING_SETTINGS."
            _ if kind != FrameType::SETTINGS && !self.has_settings => {
                let rule = "the first frame of the control stream is not SETTINGS";
                return Err(Fault::connection(Code::MISSING_SETTINGS, rule));
            }
            // RFC 9114 §7.2.4: "If an endpoint receives a second SETTINGS frame on the control stream, the endpoint MUST respond
            // with a connection error of type H3_FRAME_UNEXPECTED."
            FrameType::SETTINGS if self.has_settings => return unexpected("second SETTINGS"),
            FrameType::SETTINGS => Settings::PAYLOAD_BYTES_MAX,
            // RFC 9114 §7.2.1, §7.2.2, §7.2.5: "If a DATA frame is received on a control stream, the recipient MUST respond with a
            // connection error of type H3_FRAME_UNEXPECTED", and the same of HEADERS and PUSH_PROMISE.
            FrameType::DATA | FrameType::HEADERS | FrameType::PUSH_PROMISE => {
                return unexpected("frame of a request on the control stream");
            }
            // RFC 9114 §7.2.7: "A server MUST NOT send a MAX_PUSH_ID frame. A client MUST treat the receipt of a MAX_PUSH_ID frame
            // as a connection error of type H3_FRAME_UNEXPECTED."
            FrameType::MAX_PUSH_ID if self.role == Role::Client => {
                return unexpected("MAX_PUSH_ID of a server");
            }
            FrameType::GOAWAY | FrameType::MAX_PUSH_ID | FrameType::CANCEL_PUSH => VarInt::LEN_MAX,
            // RFC 9114 §7.2.8: "These frame types MUST NOT be sent, and their receipt MUST be treated as a connection error of type
            // H3_FRAME_UNEXPECTED."
            _ if kind.is_of_http2() => return unexpected("frame of HTTP/2"),
            // draft-ietf-webtrans-http3 §4.3: it stands at the beginning of a bidirectional stream and nowhere else.
            FrameType::WT_STREAM => {
                return Err(Fault::connection(Code::FRAME_ERROR, "WT_STREAM within a stream"));
            }
            // RFC 9114 §9: "Implementations MUST ignore unknown or unsupported values in all extensible protocol elements", and
            // "MUST discard data or abort reading on unidirectional streams that have unknown or unsupported types".
            _ => return Ok(false),
        };
        if payload_bytes > bytes_max as u64 {
            return Err(match kind {
                FrameType::SETTINGS => Fault::connection(Code::EXCESSIVE_LOAD, "SETTINGS too long"),
                _ => Fault::connection(Code::FRAME_ERROR, "payload is not one number"),
            });
        }
        Ok(true)
    }

    fn end(&mut self, kind: FrameType, payload: &[u8]) -> Result<Option<Event>, Fault> {
        match kind {
            FrameType::SETTINGS => {
                let settings = Settings::read(payload)?;
                self.has_settings = true;
                Ok(Some(Event::Settings(settings)))
            }
            FrameType::GOAWAY => self.going_away(frame::read_number(payload)?).map(Some),
            FrameType::MAX_PUSH_ID => {
                let id = frame::read_number(payload)?;
                // RFC 9114 §7.2.7: "A MAX_PUSH_ID frame cannot reduce the maximum push ID; receipt of a MAX_PUSH_ID frame that
                // contains a smaller value than previously received MUST be treated as a connection error of type H3_ID_ERROR."
                if self.max_push.is_some_and(|it| id < it) {
                    return Err(Fault::connection(Code::ID_ERROR, "MAX_PUSH_ID is reduced"));
                }
                self.max_push = Some(id);
                Ok(None)
            }
            // RFC 9114 §7.2.3: "If a CANCEL_PUSH frame is received that references a push ID greater than currently allowed on the
            // connection, this MUST be treated as a connection error of type H3_ID_ERROR", and "If the server receives a CANCEL_PUSH
            // frame for a push ID that has not yet been mentioned by a PUSH_PROMISE frame, this MUST be treated as a connection error
            // of type H3_ID_ERROR." A client of ours allows none, a server of ours mentions none.
            _ => {
                frame::read_number(payload)?;
                Err(Fault::connection(Code::ID_ERROR, "CANCEL_PUSH of a push that is not there"))
            }
        }
    }

    fn going_away(&mut self, id: VarInt) -> Result<Event, Fault> {
        // RFC 9114 §7.2.6: "A client that receives a GOAWAY frame containing a stream ID of any other type MUST treat this as a
        // connection error of type H3_ID_ERROR": other than of client-initiated bidirectional streams, which 4 divides.
        if self.role == Role::Client && !id.get().is_multiple_of(4) {
            return Err(Fault::connection(Code::ID_ERROR, "GOAWAY names no request"));
        }
        // RFC 9114 §5.2: "Receiving a GOAWAY containing a larger identifier than previously received MUST be treated as a connection
        // error of type H3_ID_ERROR."
        if self.go_away.is_some_and(|it| id > it) {
            return Err(Fault::connection(Code::ID_ERROR, "GOAWAY names a later request"));
        }
        self.go_away = Some(id);
        Ok(Event::GoAway(id))
    }
}

#[cfg(test)]
mod tests;
