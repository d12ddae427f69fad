//! One connection after the opening handshake: reader, writer, outbox, closing handshake, deadlines.

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};

use crate::{
    close::{CloseCode, Closed},
    deflate,
    fault::{Deadline, Fault, Misuse},
    limits::{Config, Role},
    message::{Kind, Message},
    outbox::Outbox,
    pool::Pool,
    reader::{Input, Payload},
};

/// What [`Connection::receive`] found.
#[derive(Debug)]
pub enum Event<'b> {
    /// A whole message.
    Message(Kind, Payload<'b>),
    /// A Ping; it is answered already.
    Ping(Bytes),
    /// A Pong, asked for or not.
    Pong(Bytes),
}

/// How a connection ended. It is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By the closing handshake.
    Closed(Closed),
    /// The peer broke a rule; it was sent a Close frame with the rule's code.
    Fault(Fault),
    /// The peer let a deadline pass.
    Late(Deadline),
    /// The transport ended without a Close frame (1006).
    Lost,
}

/// What the owner of the transport has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write [`Connection::outbox`] if it is not empty, and read.
    Transfer,
    /// All is written and nothing more will be: shut down the write side, then call
    /// [`Connection::shut_down`].
    ShutDown,
    /// Read until the end of the input and throw it away, so that the peer gets our Close frame
    /// before a reset. (`receive` throws away what it is given.)
    Discard,
    /// Drop the transport.
    End(End),
}

/// A WebSocket connection without I/O.
pub struct Connection {
    outbox: Outbox,
}

impl Connection {
    /// Starts a connection in the state Open, after a successful opening handshake.
    pub fn new(
        role: Role,
        config: Arc<Config>,
        deflate: Option<deflate::Params>,
        now: Instant,
    ) -> Self {
        let _ = (role, config, deflate, now);
        todo!()
    }

    /// Takes the next event out of `input`; `None` when all of it is consumed. Call it in a loop
    /// until `None`, then look at [`Connection::step`].
    pub fn receive<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: Instant,
        pool: &mut Pool,
    ) -> Option<Event<'b>> {
        let _ = (input, now, pool);
        todo!()
    }

    /// Lends the buffer of an unfinished large message, so that the transport is read straight into
    /// it: at most `spare_len` bytes may be appended, then [`Connection::filled`] be called.
    /// `None` when the next bytes are (or might be) a frame header: read into a buffer of your own and `receive` it.
    pub fn spare(&mut self) -> Option<Spare<'_>> {
        todo!()
    }

    /// Says that the peer will send no more bytes.
    pub fn end_of_input(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// Queues a message. The caller asks [`Connection::has_room`] first.
    pub fn send(&mut self, message: &Message, now: Instant, pool: &mut Pool) -> Result<(), Misuse> {
        let _ = (message, now, pool);
        todo!()
    }

    /// Tells whether the outbox is below its limit.
    pub fn has_room(&self) -> bool {
        todo!()
    }

    /// Queues a Ping.
    pub fn ping(&mut self, payload: &[u8], now: Instant, pool: &mut Pool) -> Result<(), Misuse> {
        let _ = (payload, now, pool);
        todo!()
    }

    /// Queues an unasked Pong.
    pub fn pong(&mut self, payload: &[u8], now: Instant, pool: &mut Pool) -> Result<(), Misuse> {
        let _ = (payload, now, pool);
        todo!()
    }

    /// Begins the closing handshake with a Close frame. [`CloseCode::NO_STATUS`] sends an empty one.
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        let _ = (code, reason, now, pool);
        todo!()
    }

    /// Borrows the bytes that wait to be written.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Says that the transport took the first `n` bytes of the outbox.
    pub fn wrote(&mut self, n: usize, now: Instant, pool: &mut Pool) {
        let _ = (n, now, pool);
        todo!()
    }

    /// Says that the write side of the transport is shut down, as [`Step::ShutDown`] asked.
    pub fn shut_down(&mut self) {
        todo!()
    }

    /// Returns what the owner of the transport has to do next.
    pub fn step(&self) -> Step {
        todo!()
    }

    /// Returns the time at which [`Connection::timeout`] must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Acts on the time: keepalive pings, deadlines. Early and repeated calls are harmless.
    pub fn timeout(&mut self, now: Instant, pool: &mut Pool) {
        let _ = (now, pool);
        todo!()
    }
}

/// Room at the end of an unfinished message.
#[derive(Debug)]
pub struct Spare<'a> {
    /// Append here, at most [`Spare::len`] bytes.
    pub buffer: &'a mut BytesMut,
    /// How many bytes may be appended.
    pub len: usize,
}

impl Connection {
    /// Takes in `n` bytes that were appended to [`Connection::spare`]'s buffer.
    pub fn filled(&mut self, n: usize, now: Instant, pool: &mut Pool) -> Option<Event<'static>> {
        let _ = (n, now, pool);
        todo!()
    }
}
