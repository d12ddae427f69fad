//! One WebSocket: its messages, each checked byte by byte.

use bytes::{Buf, Bytes};

use super::{
    Carrier,
    half::{ReceiveHalf, SendHalf},
};
use crate::wire::{self, Expected, Found, Incoming};

pub(super) struct Socket<'a> {
    pub(super) sender: Sender<'a>,
    pub(super) receiver: Receiver<'a>,
}

impl<'a> Socket<'a> {
    /// `bytes` came behind the opening handshake.
    pub(super) fn new(
        carrier: &'a Carrier<'a>,
        send: SendHalf,
        receive: ReceiveHalf,
        bytes: Bytes,
    ) -> Self {
        Self {
            sender: Sender { carrier, half: send },
            receiver: Receiver { carrier, half: receive, bytes, incoming: Incoming::default() },
        }
    }

    /// Waits for this message; Pings are answered.
    pub(super) async fn receive(&mut self, due: &[u8]) -> Result<(), String> {
        loop {
            match self.receiver.next(Some(Expected::Bytes(due)))? {
                Some(Found::Message) => return Ok(()),
                Some(Found::Ping(payload)) => self.sender.send(wire::PONG, &payload).await?,
                Some(found) => return Err(format!("{found:?} where a message was due")),
                None => self.receiver.wait().await?,
            }
        }
    }
}

pub(super) struct Sender<'a> {
    carrier: &'a Carrier<'a>,
    half: SendHalf,
}

impl Sender<'_> {
    pub(super) async fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        let mut bytes = Vec::with_capacity(payload.len() + 14);
        wire::frame(&mut bytes, opcode, payload, self.carrier.noise.borrow_mut().key());
        self.half.send(bytes).await
    }
}

pub(super) struct Receiver<'a> {
    carrier: &'a Carrier<'a>,
    half: ReceiveHalf,
    bytes: Bytes,
    incoming: Incoming,
}

impl Receiver<'_> {
    /// Waits for more bytes, all of those before being taken.
    ///
    /// # Errors
    /// There are none any more, among others.
    pub(super) async fn wait(&mut self) -> Result<(), String> {
        self.bytes = self.half.receive().await?;
        self.carrier.hear();
        match self.bytes.is_empty() {
            true => Err("the server ended a WebSocket".into()),
            false => Ok(()),
        }
    }

    /// Waits for the end, after which nothing comes.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        let bytes = match self.bytes.is_empty() {
            true => self.half.receive().await,
            false => Ok(self.bytes.split_off(0)),
        };
        self.carrier.hear();
        match bytes {
            // Whether TLS is closed, too, is no matter behind a Close.
            Err(_) => Ok(()),
            Ok(bytes) if bytes.is_empty() => Ok(()),
            Ok(bytes) => Err(format!("{} bytes behind the Close", bytes.len())),
        }
    }

    /// Takes what came apart; `None` if there is not enough of it.
    pub(super) fn next(&mut self, due: Option<Expected<'_>>) -> Result<Option<Found>, String> {
        while !self.bytes.is_empty() {
            let (taken, found) = self.incoming.take(&self.bytes, due)?;
            self.bytes.advance(taken);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
