//! The state of a connection, and what reading, writing and closing do to it, as in tungstenite.
//!
//! The transport is lent to each call as `Read + Write`; one that would have to wait says
//! [`WouldBlock`](io::ErrorKind::WouldBlock), and the call goes on there next time.

use std::{
    fmt,
    io::{self, Read, Write},
};

use bytes::{Buf, BytesMut};

use super::{
    coding::{CloseCode, Control, Fragment, OpCode},
    config::{Role, WebSocketConfig},
    error::{Error, ProtocolError, Result},
    frame::{CloseFrame, Frame},
    message::Message,
    reader::{Reader, Rules},
    utf8_bytes::Utf8Bytes,
};
use crate::scratch::with_scratch;

/// A connection without its transport.
pub(super) struct Engine {
    role: Role,
    config: WebSocketConfig,
    state: State,
    reader: Reader,
    /// Read and not parsed: what followed a message in one read. Empty, it holds no memory.
    rest: BytesMut,
    /// To be written; the first `written` bytes are. Empty, it holds no memory.
    out: Vec<u8>,
    written: usize,
    /// The answer to a Ping or a Close, to go out with the next call.
    answer: Option<Frame>,
    /// An answer is on its way and not flushed.
    answering: bool,
}

/// ```text
///         our Close            peer's Close
/// Active ───────────► ClosedByUs ─────────► CloseAcknowledged ─┐ the server at once, the client
///    │ peer's Close                                            │ when the transport ends
///    └──────────────► ClosedByPeer ────────────────────────────┴──────────► Terminated
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Active,
    ClosedByUs,
    ClosedByPeer,
    CloseAcknowledged,
    Terminated,
}

impl Engine {
    /// Starts an open connection; `part` was read behind the opening handshake.
    ///
    /// # Panics
    /// If the limits contradict each other.
    pub(super) fn new(role: Role, config: Option<WebSocketConfig>, part: &[u8]) -> Self {
        let config = config.unwrap_or_default();
        config.assert_valid();
        Self {
            role,
            config,
            state: State::Active,
            reader: Reader::default(),
            rest: BytesMut::from(part),
            out: Vec::new(),
            written: 0,
            answer: None,
            answering: false,
        }
    }

    pub(super) fn config(&self) -> &WebSocketConfig {
        &self.config
    }

    pub(super) fn set_config(&mut self, change: impl FnOnce(&mut WebSocketConfig)) {
        change(&mut self.config);
        self.config.assert_valid();
    }

    /// Tells whether the peer's Close frame was not here yet.
    pub(super) fn can_read(&self) -> bool {
        matches!(self.state, State::Active | State::ClosedByUs)
    }

    /// Tells whether neither end has sent a Close frame.
    pub(super) fn can_write(&self) -> bool {
        self.state == State::Active
    }

    /// Reads the next message or control frame. What there is to answer goes out first.
    pub(super) fn read(&mut self, io: &mut (impl Read + Write)) -> Result<Message> {
        self.check_not_terminated()?;
        loop {
            if self.answer.is_some() || self.answering {
                match self.flush(io) {
                    Ok(()) => {}
                    // Reading goes on meanwhile.
                    Err(error) if error.is_would_block() => self.answering = true,
                    Err(error) => return Err(error),
                }
            }
            let Some(message) = self.read_some(io)? else { continue };
            match message {
                Message::Close(close) => return Ok(Message::Close(self.peer_closed(close))),
                Message::Ping(payload) => {
                    // RFC 6455 §5.5.2: "an endpoint MUST send a Pong frame in response, unless it already
                    // received a Close frame"; after our own Close nothing follows.
                    if self.can_write() {
                        self.set_answer(Frame::pong(payload.clone()));
                    }
                    return Ok(Message::Ping(payload));
                }
                message => return Ok(message),
            }
        }
    }

    /// Queues a message, and writes if enough waits.
    pub(super) fn write(&mut self, io: &mut (impl Read + Write), message: Message) -> Result<()> {
        self.check_not_terminated()?;
        if !self.can_write() {
            return Err(ProtocolError::SendAfterClosing.into());
        }
        let frame = match message {
            Message::Text(it) => Frame::message(it, OpCode::Data(Fragment::Text), true),
            Message::Binary(it) => Frame::message(it, OpCode::Data(Fragment::Binary), true),
            Message::Ping(it) => Frame::ping(it),
            Message::Pong(it) => {
                self.set_answer(Frame::pong(it));
                return self.queue(io, None).map(drop);
            }
            Message::Close(it) => return self.close(io, it),
            Message::Frame(it) => it,
        };
        if self.queue(io, Some(frame))? { self.flush(io) } else { Ok(()) }
    }

    /// Writes everything.
    pub(super) fn flush(&mut self, io: &mut (impl Read + Write)) -> Result<()> {
        self.queue(io, None)?;
        self.write_out(io)?;
        io.flush()?;
        self.answering = false;
        Ok(())
    }

    /// Sends a Close frame, if none was sent or received before, and writes everything.
    pub(super) fn close(
        &mut self,
        io: &mut (impl Read + Write),
        frame: Option<CloseFrame>,
    ) -> Result<()> {
        if self.can_write() {
            self.state = State::ClosedByUs;
            self.queue(io, Some(Frame::close(frame)))?;
        }
        self.flush(io)
    }

    /// Queues a frame and what there is to answer; tells whether that calls for a flush.
    fn queue(&mut self, io: &mut (impl Read + Write), frame: Option<Frame>) -> Result<bool> {
        if let Some(frame) = frame {
            self.push(io, frame)?;
        }
        if let Some(answer) = self.answer.take() {
            match self.push(io, answer) {
                Ok(()) => self.answering = true,
                // It is no message of the caller's: it waits for room.
                Err(Error::WriteBufferFull(message)) => {
                    if let Message::Frame(answer) = *message {
                        self.set_answer(answer);
                    }
                }
                Err(error) => {
                    self.answering = true;
                    return Err(error);
                }
            }
        }
        if self.role == Role::Server && !self.can_read() {
            // RFC 6455 §7.1.1: "the underlying TCP connection, in most normal cases, SHOULD be closed first
            // by the server".
            self.write_out(io)?;
            if self.state != State::Terminated {
                io.flush()?;
                self.state = State::Terminated;
            }
            return Err(Error::ConnectionClosed);
        }
        Ok(self.answering)
    }

    fn push(&mut self, io: &mut (impl Read + Write), mut frame: Frame) -> Result<()> {
        if self.role == Role::Client {
            // RFC 6455 §5.1: "a client MUST mask all frames that it sends"
            frame.header_mut().mask = Some(with_scratch(|scratch| scratch.pool.mask_key()));
        }
        let waiting = self.out.len() - self.written;
        if self.config.max_write_buffer_size < waiting.saturating_add(frame.len()) {
            return Err(Error::WriteBufferFull(Box::new(Message::Frame(frame))));
        }
        frame.push(&mut self.out);
        let waiting = self.out.len() - self.written;
        if self.config.write_buffer_size < waiting { self.write_out(io) } else { Ok(()) }
    }

    fn write_out(&mut self, io: &mut impl Write) -> Result<()> {
        while self.written < self.out.len() {
            match io.write(&self.out[self.written..]) {
                Ok(0) => {
                    return Err(self.closed_by(io::ErrorKind::ConnectionReset.into()));
                }
                Ok(n) => self.written += n,
                Err(error) => {
                    self.out.drain(..std::mem::take(&mut self.written));
                    return Err(self.closed_by(error));
                }
            }
        }
        self.out = Vec::new();
        self.written = 0;
        Ok(())
    }

    /// Reads once, unless there is something left to parse.
    fn read_some(&mut self, io: &mut (impl Read + Write)) -> Result<Option<Message>> {
        if self.role == Role::Server && !self.can_read() && self.answer.is_none() && !self.answering
        {
            self.state = State::Terminated;
            return Err(Error::ConnectionClosed);
        }
        let rules = Rules { role: self.role, config: &self.config, is_open: self.can_read() };
        if !self.rest.is_empty() {
            let mut input = &mut self.rest[..];
            let found = self.reader.read(&mut input, &rules);
            match input.len() {
                0 => self.rest = BytesMut::new(),
                left => self.rest.advance(self.rest.len() - left),
            }
            return found;
        }
        let (reader, rest) = (&mut self.reader, &mut self.rest);
        let found = with_scratch(|scratch| {
            let len = io.read(&mut scratch.buffer)?;
            let mut input = &mut scratch.buffer[..len];
            if input.is_empty() {
                return Ok(None);
            }
            let found = reader.read(&mut input, &rules)?;
            rest.extend_from_slice(input);
            Ok(Some(found))
        });
        match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(self.input_ended()),
            Err(Error::Io(error)) => Err(self.closed_by(error)),
            Err(error) => Err(error),
        }
    }

    fn input_ended(&mut self) -> Error {
        match std::mem::replace(&mut self.state, State::Terminated) {
            State::ClosedByPeer | State::CloseAcknowledged => Error::ConnectionClosed,
            _ => ProtocolError::ResetWithoutClosingHandshake.into(),
        }
    }

    /// A reset behind the peer's Close frame is an end like any other.
    fn closed_by(&self, error: io::Error) -> Error {
        if !self.can_read() && error.kind() == io::ErrorKind::ConnectionReset {
            Error::ConnectionClosed
        } else {
            Error::Io(error)
        }
    }

    fn peer_closed(&mut self, close: Option<CloseFrame>) -> Option<CloseFrame> {
        if self.state == State::ClosedByUs {
            self.state = State::CloseAcknowledged;
            return close;
        }
        self.state = State::ClosedByPeer;
        let close = close.map(|frame| match frame.code.is_allowed() {
            true => frame,
            false => CloseFrame {
                code: CloseCode::Protocol,
                reason: Utf8Bytes::from_static("Protocol violation"),
            },
        });
        self.set_answer(Frame::close(close.clone()));
        close
    }

    /// The newest Pong replaces one that waits (RFC 6455 §5.5.3); nothing replaces a Close.
    fn set_answer(&mut self, answer: Frame) {
        let waits = self.answer.as_ref().map(|it| it.header().opcode);
        if matches!(waits, None | Some(OpCode::Control(Control::Pong))) {
            self.answer = Some(answer);
        }
    }

    fn check_not_terminated(&self) -> Result<()> {
        match self.state {
            State::Terminated => Err(Error::AlreadyClosed),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Engine {
    /// Leaves payloads out: there are secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("config", &self.config)
            .field("waiting_bytes", &(self.out.len() - self.written))
            .finish_non_exhaustive()
    }
}
