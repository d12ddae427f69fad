//! Bytes in, messages and control frames out, by the rules and limits of tungstenite.

use bytes::{Bytes, BytesMut};
use taiwa_proto::{mask, utf8::Utf8};

use super::{
    coding::{Control, Fragment, OpCode},
    config::{Role, WebSocketConfig},
    error::{CapacityError, Error, ProtocolError, Result},
    frame::{CloseFrame, FrameHeader},
    message::Message,
};

/// What a frame has to keep to.
pub(super) struct Rules<'a> {
    pub(super) role: Role,
    pub(super) config: &'a WebSocketConfig,
    /// The peer's Close frame was not here yet.
    pub(super) is_open: bool,
}

/// Reads frames and puts messages together. It takes in every byte it is given, and holds what has
/// arrived of an unfinished message.
pub(super) struct Reader {
    state: State,
    /// The message that is not finished yet; control frames come between its fragments.
    message: Option<Unfinished>,
}

enum State {
    Between { begun: [u8; FrameHeader::LEN_MAX], begun_len: usize },
    Data { left: u64, key: [u8; 4], is_final: bool },
    Control { opcode: Control, left: usize, key: [u8; 4], payload: Vec<u8> },
}

const BETWEEN: State = State::Between { begun: [0; FrameHeader::LEN_MAX], begun_len: 0 };

/// A message of which something has arrived.
struct Unfinished {
    payload: BytesMut,
    /// Bytes announced by the frames so far.
    announced: usize,
    /// `None`: binary.
    text: Option<Utf8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { state: BETWEEN, message: None }
    }
}

impl Reader {
    /// Takes the next message or control frame out of `input`; `None` when all of it is taken.
    pub(super) fn read(
        &mut self,
        input: &mut &mut [u8],
        rules: &Rules<'_>,
    ) -> Result<Option<Message>> {
        loop {
            match &mut self.state {
                State::Between { begun, begun_len } => {
                    let Some((header, payload_len)) = header(begun, begun_len, input)? else {
                        return Ok(None);
                    };
                    self.begin(&header, payload_len, input.len(), rules)?;
                }
                State::Data { left, key, is_final } => {
                    if input.is_empty() && *left != 0 {
                        return Ok(None);
                    }
                    let piece = take(input, (*left).min(input.len() as u64) as usize);
                    mask::apply(piece, *key);
                    *key = mask::rotate(*key, piece.len());
                    *left -= piece.len() as u64;
                    let message = self.message.as_mut().expect("a data frame belongs to one");
                    message.append(piece)?;
                    if *left != 0 {
                        continue;
                    }
                    let is_final = *is_final;
                    self.state = BETWEEN;
                    if is_final {
                        return self.message.take().map(Unfinished::finish).transpose();
                    }
                }
                State::Control { opcode, left, key, payload } => {
                    if input.is_empty() && *left != 0 {
                        return Ok(None);
                    }
                    let piece = take(input, (*left).min(input.len()));
                    *left -= piece.len();
                    payload.extend_from_slice(piece);
                    if *left == 0 {
                        mask::apply(payload, *key);
                        let (opcode, payload) = (*opcode, std::mem::take(payload));
                        self.state = BETWEEN;
                        return control(opcode, payload).map(Some);
                    }
                }
            }
        }
    }

    /// Begins a frame, of which up to `here` bytes of payload have arrived.
    fn begin(
        &mut self,
        header: &FrameHeader,
        payload_len: u64,
        here: usize,
        rules: &Rules<'_>,
    ) -> Result<()> {
        check(header, payload_len, rules)?;
        let key = header.mask.unwrap_or_default();
        let data = match header.opcode {
            OpCode::Data(data) => data,
            OpCode::Control(opcode) => {
                // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and
                // MUST NOT be fragmented."
                if !header.is_final {
                    return Err(ProtocolError::FragmentedControlFrame.into());
                }
                if 125 < payload_len {
                    return Err(ProtocolError::ControlFrameTooBig.into());
                }
                let left = payload_len as usize;
                let payload = Vec::with_capacity(left);
                self.state = State::Control { opcode, left, key, payload };
                return Ok(());
            }
        };
        let message = match (data, &mut self.message) {
            (Fragment::Continue, None) => return Err(ProtocolError::UnexpectedContinueFrame.into()),
            (Fragment::Continue, Some(message)) => message,
            (_, Some(_)) => return Err(ProtocolError::ExpectedFragment(data).into()),
            (_, unfinished) => unfinished.insert(Unfinished {
                payload: BytesMut::new(),
                announced: 0,
                text: (data == Fragment::Text).then(Utf8::default),
            }),
        };
        let frame_len = usize::try_from(payload_len).unwrap_or(usize::MAX);
        message.announced = message.announced.saturating_add(frame_len);
        check_len(message.announced, rules.config.max_message_size)?;
        message.payload.reserve(frame_len.min(here));
        self.state = State::Data { left: payload_len, key, is_final: header.is_final };
        Ok(())
    }
}

impl Unfinished {
    fn append(&mut self, piece: &[u8]) -> Result<()> {
        if self.text.as_mut().is_some_and(|it| !it.push(piece)) {
            return Err(Error::Utf8("a byte that begins or continues no character".into()));
        }
        self.payload.extend_from_slice(piece);
        Ok(())
    }

    fn finish(self) -> Result<Message> {
        let payload = self.payload.freeze();
        Ok(match self.text {
            Some(_) => Message::Text(payload.try_into()?),
            None => Message::Binary(payload),
        })
    }
}

/// Checks what does not depend on the frames before.
fn check(header: &FrameHeader, payload_len: u64, rules: &Rules<'_>) -> Result<()> {
    let payload_len = usize::try_from(payload_len).unwrap_or(usize::MAX);
    check_len(payload_len, rules.config.max_frame_size)?;
    // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is not masked."
    let needs_mask = rules.role == Role::Server && !rules.config.accept_unmasked_frames;
    if needs_mask && header.mask.is_none() {
        return Err(ProtocolError::UnmaskedFrameFromClient.into());
    }
    if !rules.is_open {
        return Err(ProtocolError::ReceivedAfterClosing.into());
    }
    // §5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(ProtocolError::NonZeroReservedBits.into());
    }
    // §5.1: "A client MUST close a connection if it detects a masked frame."
    if rules.role == Role::Client && header.mask.is_some() {
        return Err(ProtocolError::MaskedFrameFromServer.into());
    }
    Ok(())
}

fn check_len(size: usize, max_size: Option<usize>) -> Result<()> {
    match max_size {
        Some(max_size) if max_size < size => {
            Err(CapacityError::MessageTooLong { size, max_size }.into())
        }
        _ => Ok(()),
    }
}

fn control(opcode: Control, payload: Vec<u8>) -> Result<Message> {
    Ok(match opcode {
        Control::Close => Message::Close(CloseFrame::parse(&payload)?),
        Control::Ping => Message::Ping(Bytes::from(payload)),
        Control::Pong => Message::Pong(Bytes::from(payload)),
        Control::Reserved(it) => return Err(ProtocolError::UnknownControlFrameType(it).into()),
    })
}

/// Puts the next header together; `None` when `input` ended before it did.
fn header(
    begun: &mut [u8; FrameHeader::LEN_MAX],
    begun_len: &mut usize,
    input: &mut &mut [u8],
) -> Result<Option<(FrameHeader, u64)>> {
    let before = *begun_len;
    let end = FrameHeader::LEN_MAX.min(before + input.len());
    begun[before..end].copy_from_slice(&input[..end - before]);
    match FrameHeader::parse_slice(&begun[..end])? {
        Some((header, payload_len, len)) => {
            take(input, len - before);
            Ok(Some((header, payload_len)))
        }
        None => {
            take(input, end - before);
            *begun_len = end;
            Ok(None)
        }
    }
}

fn take<'b>(input: &mut &'b mut [u8], n: usize) -> &'b mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(n);
    *input = rest;
    front
}
