//! Requests, answers and WebSockets on their way from node to node, with the version of this format in front.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taiwa_proto::{
    Config, Deadlines, Keepalive, Limits,
    deflate::{Deflate, Params},
};

/// Of the format: what has another one is not read.
const VERSION: u8 = 1;

/// A part of a request or an answer. The number ties them; the node that asks chose it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Part<'a> {
    /// The head of a request.
    Ask {
        id: u64,
        method: &'a str,
        uri: &'a str,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
        peer: Option<SocketAddr>,
        /// So many bytes of a body follow.
        body: u64,
    },
    /// More of its body.
    AskBody(u64, &'a [u8]),
    /// The request is there; the answer may take its time.
    Taken(u64),
    /// The head of an answer.
    Answer {
        id: u64,
        status: u16,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
    },
    /// More of its body.
    Body(u64, &'a [u8]),
    /// The end of the answer.
    End(u64),
    /// Nobody waits for the answer any more.
    Cancel(u64),
}

impl Part<'_> {
    pub(super) fn write(&self) -> Option<Bytes> {
        postcard::to_extend(self, vec![super::FORWARD, VERSION]).ok().map(Bytes::from)
    }

    /// Reads one; `None` if it is not of this format.
    pub(super) fn read(letter: &[u8]) -> Option<Part<'_>> {
        match letter.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }
}

/// A part of a WebSocket whose socket is on one node, and whose conversation is on another. The node that has the socket
/// chose the number; `is_answer` tells the two directions apart.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Carry<'a> {
    /// Is this conversation, of this dialect, there?
    Knock { id: u64, address: &'a str, dialect: &'a str },
    /// What came of that.
    Answer(u64, Door),
    /// The socket is one more line of it.
    Open { id: u64, address: &'a str, dialect: &'a str, terms: Terms },
    /// What goes over the line; the parts of each direction are numbered.
    Bytes { is_answer: bool, id: u64, number: u64, bytes: &'a [u8] },
    /// Nothing more comes.
    Over { is_answer: bool, id: u64, number: u64 },
    /// So many bytes were taken.
    Room { is_answer: bool, id: u64, bytes: u64 },
    /// The line is lost.
    Cut { is_answer: bool, id: u64 },
    /// The node of the socket goes away: its client may come back, after so many milliseconds if there is a number.
    Leave { id: u64, after: Option<u64> },
}

/// Whether a WebSocket may come in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Door {
    Open,
    /// There is no such conversation.
    Absent,
    /// There are too many WebSockets of other nodes.
    Full,
}

/// The settings of the server that has the socket, and what it agreed on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Terms {
    message_bytes_max: usize,
    fragments_max: u32,
    outbox_bytes_max: usize,
    inbox_bytes_max: usize,
    pongs_max: u32,
    handshake_bytes_max: usize,
    headers_max: usize,
    /// For the handshake, the closing handshake, a write, a message.
    deadlines: [Option<Duration>; 4],
    /// When a Ping goes out, and within which time its Pong comes.
    keepalive: Option<(Duration, Duration)>,
    deflate: Option<Deflated>,
    /// Context takeover of server and client, their windows.
    agreed: Option<(bool, bool, u8, u8)>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Deflated {
    level: u8,
    window_bits: u8,
    memory_level: u8,
    message_bytes_min: usize,
    keep_our_context: bool,
    keep_peer_context: bool,
    peer_window_bits: u8,
}

impl Terms {
    pub(super) fn of(config: &Config, agreed: Option<Params>) -> Self {
        let Config { limits, deadlines, keepalive, deflate } = config;
        let deflated = |it: &Deflate| Deflated {
            level: it.level,
            window_bits: it.window_bits,
            memory_level: it.memory_level,
            message_bytes_min: it.message_bytes_min,
            keep_our_context: it.keep_our_context,
            keep_peer_context: it.keep_peer_context,
            peer_window_bits: it.peer_window_bits,
        };
        Self {
            message_bytes_max: limits.message_bytes_max,
            fragments_max: limits.fragments_max,
            outbox_bytes_max: limits.outbox_bytes_max,
            inbox_bytes_max: limits.inbox_bytes_max,
            pongs_max: limits.pongs_max,
            handshake_bytes_max: limits.handshake_bytes_max,
            headers_max: limits.headers_max,
            deadlines: [deadlines.handshake, deadlines.close, deadlines.write, deadlines.message],
            keepalive: keepalive.as_ref().map(|it| (it.ping_after, it.pong_within)),
            deflate: deflate.as_ref().map(deflated),
            agreed: agreed.map(|it| {
                let windows = (it.server_max_window_bits, it.client_max_window_bits);
                let (server, client) =
                    (it.server_no_context_takeover, it.client_no_context_takeover);
                (server, client, windows.0, windows.1)
            }),
        }
    }

    pub(super) fn config(&self) -> Config {
        let [handshake, close, write, message] = self.deadlines;
        Config {
            limits: Limits {
                message_bytes_max: self.message_bytes_max,
                fragments_max: self.fragments_max,
                outbox_bytes_max: self.outbox_bytes_max,
                inbox_bytes_max: self.inbox_bytes_max,
                pongs_max: self.pongs_max,
                handshake_bytes_max: self.handshake_bytes_max,
                headers_max: self.headers_max,
            },
            deadlines: Deadlines { handshake, close, write, message },
            keepalive: self
                .keepalive
                .map(|(ping_after, pong_within)| Keepalive { ping_after, pong_within }),
            deflate: self.deflate.as_ref().map(|it| Deflate {
                level: it.level,
                window_bits: it.window_bits,
                memory_level: it.memory_level,
                message_bytes_min: it.message_bytes_min,
                keep_our_context: it.keep_our_context,
                keep_peer_context: it.keep_peer_context,
                peer_window_bits: it.peer_window_bits,
            }),
        }
    }

    pub(super) fn agreed(&self) -> Option<Params> {
        self.agreed.map(|(server, client, ours, theirs)| Params {
            server_no_context_takeover: server,
            client_no_context_takeover: client,
            server_max_window_bits: ours,
            client_max_window_bits: theirs,
        })
    }
}

impl Carry<'_> {
    pub(super) fn write(&self) -> Option<Bytes> {
        postcard::to_extend(self, vec![super::CARRY, VERSION]).ok().map(Bytes::from)
    }

    /// Reads one; `None` if it is not of this format.
    pub(super) fn read(letter: &[u8]) -> Option<Carry<'_>> {
        match letter.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_of_another_version_is_not_read() {
        let whole = Part::Body(7, b"piece").write().unwrap();
        assert!(matches!(Part::read(&whole[1..]), Some(Part::Body(7, b"piece"))));
        let mut other = whole[1..].to_vec();
        other[0] = VERSION + 1;
        assert!(Part::read(&other).is_none());
        assert!(Part::read(&[VERSION, 0xff]).is_none() && Part::read(&[]).is_none());
        assert!(Carry::read(&other).is_none() && Carry::read(&[VERSION, 0xff]).is_none());
    }

    #[test]
    fn the_settings_of_a_websocket_arrive_as_they_were() {
        let agreed = Params {
            server_no_context_takeover: true,
            client_no_context_takeover: false,
            server_max_window_bits: 12,
            client_max_window_bits: 15,
        };
        let mut config = Config { deflate: Some(Deflate::default()), ..Config::default() };
        config.limits.message_bytes_max = 77;
        config.keepalive = Some(Keepalive::default());
        for (config, agreed) in [(Config::default(), None), (config, Some(agreed))] {
            let terms = Terms::of(&config, agreed);
            let open = Carry::Open { id: 1, address: "a", dialect: "d", terms };
            let letter = open.write().unwrap();
            let Some(Carry::Open { terms, .. }) = Carry::read(&letter[1..]) else { panic!() };
            let there = terms.config();
            assert_eq!((there.limits, there.deadlines), (config.limits, config.deadlines));
            assert_eq!((there.keepalive, there.deflate), (config.keepalive, config.deflate));
            assert_eq!(terms.agreed(), agreed);
        }
    }
}
