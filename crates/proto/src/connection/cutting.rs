//! Messages that are cut out of the buffer of a read instead of being copied.

#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::{Connection, Event, Payload};
use crate::{message::Kind, pool::Pool, reader::Input};

impl Connection {
    /// Takes the next event out of `bytes`, as [`Connection::receive`] does; what is consumed is gone from
    /// their front. A message of at least `cut_len_min` bytes that lies whole and uncompressed there is
    /// split off and becomes a part of that buffer; everything else is copied.
    ///
    /// All of the buffer stays in memory as long as such a message does: with a quarter of its capacity as
    /// `cut_len_min`, messages hold at most four times their length.
    ///
    /// ```
    /// use std::{sync::Arc, time::Instant};
    /// use bytes::BytesMut;
    /// use taiwa_proto::{Config, Connection, Event, Pool, Role};
    ///
    /// let mut pool = Pool::new(|_| ());
    /// let mut server = Connection::new(Role::Server, Arc::new(Config::default()), None, Instant::now());
    /// let mut bytes = BytesMut::from(&[0x82, 0x82, 0, 0, 0, 0, b'h', b'i', 0x89][..]);
    /// let Some(Event::Message(payload)) = server.receive_from(&mut bytes, 2, Instant::now(), &mut pool) else {
    ///     unreachable!()
    /// };
    /// assert_eq!(bytes, [0x89][..]);
    /// bytes.clear(); // somebody else's turn to use the buffer
    /// assert_eq!(payload.as_slice(), b"hi");
    /// ```
    pub fn receive_from(
        &mut self,
        bytes: &mut BytesMut,
        cut_len_min: usize,
        now: Instant,
        pool: &mut Pool,
    ) -> Option<Event<'static>> {
        let len = bytes.len();
        let mut input = Input::new(bytes);
        let event = self.receive(&mut input, now, pool);
        let consumed = len - input.len();
        let taken = match event {
            Some(Event::Message(payload)) => match payload.len_in_place() {
                Some(len) if cut_len_min <= len => Taken::Cut(payload.kind(), len),
                _ => Taken::Own(Some(Event::Message(payload.into_owned()))),
            },
            Some(Event::Part(part)) => Taken::Own(Some(Event::Part(part.into_owned()))),
            Some(Event::Ping(payload)) => Taken::Own(Some(Event::Ping(payload))),
            Some(Event::Pong(payload)) => Taken::Own(Some(Event::Pong(payload))),
            None => Taken::Own(None),
        };
        match taken {
            Taken::Cut(kind, len) => {
                // A payload lies at the end of what was consumed with it.
                let mut frame = bytes.split_to(consumed);
                frame.advance(consumed - len);
                Some(Event::Message(Payload::cut(kind, frame)))
            }
            Taken::Own(event) => {
                bytes.advance(consumed);
                event
            }
        }
    }
}

/// What no longer borrows from the buffer.
enum Taken {
    /// The kind and the length of a message that lies where consumption ended.
    Cut(Kind, usize),
    Own(Option<Event<'static>>),
}
