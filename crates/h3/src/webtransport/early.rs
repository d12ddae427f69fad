//! Streams and datagrams that arrive before their session does (draft 16 §4.6), and datagrams that wait to be received.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{header::SessionId, limits::Limits};

/// What waits for requests that may arrive behind it, on one connection. `S` is a stream.
#[derive(Debug)]
pub struct Early<S> {
    streams: VecDeque<(SessionId, S)>,
    datagrams: VecDeque<(SessionId, Bytes)>,
    streams_max: usize,
    datagrams_max: usize,
}

impl<S> Early<S> {
    /// Begins with nothing.
    pub const fn new(limits: &Limits) -> Self {
        Self {
            streams: VecDeque::new(),
            datagrams: VecDeque::new(),
            streams_max: limits.early_streams_max,
            datagrams_max: limits.early_datagrams_max,
        }
    }

    /// Keeps a stream. Returns the one for which there is no room: the oldest, whose session is the least likely to come. It is
    /// to be refused with [`BUFFERED_STREAM_REJECTED`](super::code::BUFFERED_STREAM_REJECTED).
    #[must_use]
    pub fn stream(&mut self, session: SessionId, stream: S) -> Option<S> {
        self.streams.push_back((session, stream));
        let is_over = self.streams.len() > self.streams_max;
        is_over.then(|| self.streams.pop_front()).flatten().map(|it| it.1)
    }

    /// Keeps a datagram; the oldest is dropped if there is no room.
    pub fn datagram(&mut self, session: SessionId, payload: Bytes) {
        self.datagrams.push_back((session, payload));
        if self.datagrams.len() > self.datagrams_max {
            self.datagrams.pop_front();
        }
    }

    /// Gives out what waited for a session, in the order in which it came.
    pub fn take(&mut self, session: SessionId) -> (Vec<S>, Vec<Bytes>) {
        (drain(&mut self.streams, session), drain(&mut self.datagrams, session))
    }
}

fn drain<T>(queue: &mut VecDeque<(SessionId, T)>, session: SessionId) -> Vec<T> {
    let mut mine = Vec::new();
    for (id, entry) in std::mem::take(queue) {
        match id == session {
            true => mine.push(entry),
            false => queue.push_back((id, entry)),
        }
    }
    mine
}

/// Datagrams of one session that wait to be received: the newest count most.
#[derive(Debug)]
pub struct Datagrams {
    queue: VecDeque<Bytes>,
    max: usize,
    dropped: u64,
}

impl Datagrams {
    /// Begins with nothing; at most `max` wait, and at least one may.
    pub const fn new(max: usize) -> Self {
        Self { queue: VecDeque::new(), max, dropped: 0 }
    }

    /// Adds one; the oldest is dropped if there is no room.
    pub fn push(&mut self, payload: Bytes) {
        if self.queue.len() >= self.max.max(1) {
            self.queue.pop_front();
            self.dropped += 1;
        }
        self.queue.push_back(payload);
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.queue.pop_front()
    }

    /// Tells how many were dropped because nobody received them in time.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(stream: u64) -> SessionId {
        SessionId::new(stream).expect("of a client")
    }

    #[test]
    fn a_session_finds_what_came_before_it_in_order_and_nothing_else() {
        let mut early = Early::new(&Limits::default());
        for (session, stream) in [(0, 'a'), (4, 'b'), (0, 'c')] {
            assert_eq!(early.stream(id(session), stream), None);
            early.datagram(id(session), Bytes::from(stream.to_string()));
        }
        assert_eq!(early.take(id(0)), (vec!['a', 'c'], vec!["a".into(), "c".into()]));
        assert_eq!(early.take(id(0)), (vec![], vec![]));
        assert_eq!(early.take(id(4)), (vec!['b'], vec!["b".into()]));
    }

    #[test]
    fn past_the_limit_the_oldest_goes() {
        let limits = Limits { early_streams_max: 2, early_datagrams_max: 2, ..Limits::default() };
        let mut early = Early::new(&limits);
        assert_eq!([1, 2, 3].map(|it| early.stream(id(0), it)), [None, None, Some(1)]);
        ["1", "2", "3"].iter().for_each(|it| early.datagram(id(0), (*it).into()));
        assert_eq!(early.take(id(0)), (vec![2, 3], vec!["2".into(), "3".into()]));
        let none = Limits { early_streams_max: 0, ..Limits::default() };
        assert_eq!(Early::new(&none).stream(id(0), 1), Some(1));
    }

    #[test]
    fn datagrams_that_nobody_receives_are_dropped_from_the_oldest_on_and_counted() {
        let mut datagrams = Datagrams::new(2);
        ["1", "2", "3"].iter().for_each(|it| datagrams.push((*it).into()));
        assert_eq!(datagrams.dropped(), 1);
        assert_eq!([0; 3].map(|_| datagrams.pop()), [Some("2".into()), Some("3".into()), None]);
    }
}
