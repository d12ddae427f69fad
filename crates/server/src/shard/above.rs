//! [`Above`]: what stands on a shard's lines and gives them a meaning.

use std::{fmt, time::Instant};

use taiwa::{Addr, CloseCode, Closed, Side, Stats, Upgrade, Utf8Bytes};
use taiwa_proto::{End, Payload};

use super::{Key, Lines};

/// What stands on the lines of one shard: conversations, sessions, channels. It lives on the shard's thread, is called by
/// nobody else and never waits: what takes time is done elsewhere and comes back as a letter.
///
/// A turn calls, in this order: [`letter`](Self::letter) and [`joined`](Self::joined) as they came,
/// [`received`](Self::received), [`timeout`](Self::timeout), [`turn_ended`](Self::turn_ended). Then all lines that were
/// touched are written, each once, and whoever ended is told by [`left`](Self::left).
///
/// A panic in here ends all shards; see [`Shards`](super::Shards).
pub trait Above: Sized + 'static {
    /// What is known of a line when it joins.
    type Opening: Send + 'static;
    /// What other threads tell this shard, its own thread included.
    type Letter: Send + 'static;

    /// Takes a new line. To turn it away, [close](Lines::close) it.
    fn joined(&mut self, key: Key, opening: Self::Opening, lines: &mut Lines);

    /// Takes a whole message of a line. It lies in the thread's read buffer, where it was unmasked, if it came in one
    /// frame.
    ///
    /// Not called while the line is paused, nor behind a Close frame of the peer; behind one of ours it is.
    fn received(&mut self, key: Key, message: Payload<'_>, lines: &mut Lines);

    /// Takes the end of a line, once; its key means nothing any more.
    fn left(&mut self, key: Key, left: Left, lines: &mut Lines);

    /// Takes a letter. All letters from one thread come in the order in which they were sent.
    fn letter(&mut self, letter: Self::Letter, lines: &mut Lines);

    /// Hears that a line that was [full](super::Unsent::Full) is not half full any more.
    fn room(&mut self, _key: Key, _lines: &mut Lines) {}

    /// Returns when [`timeout`](Self::timeout) must be called; asked once a turn.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Acts on the time, [`Lines::now`]; called in a turn whose time is at or after [`deadline`](Self::deadline).
    fn timeout(&mut self, _lines: &mut Lines) {}

    /// Delivers what the turn has gathered. What is sent here goes out with what was sent before, in one write a line.
    fn turn_ended(&mut self, _lines: &mut Lines) {}

    /// Says goodbye to one line when the server goes away; called for each, some in each turn. By default it is closed
    /// with 1001.
    fn farewell(&mut self, key: Key, lines: &mut Lines) {
        // A line that closes already needs no second goodbye.
        let _ = lines.close(key, CloseCode::GOING_AWAY, "");
    }

    /// Says goodbye to some of what has no line when the server goes away; called once a turn until it returns true,
    /// which says that nothing is left. The shard does not end before.
    fn parting(&mut self, _lines: &mut Lines) -> bool {
        true
    }
}

/// What is known of a client when its line joins: for an [`Above`] that wants nothing else.
#[derive(Clone)]
pub struct Opening {
    /// The path of the request, percent-encoded as it came.
    pub path: Box<str>,
    /// What stands behind the question mark, as it came.
    pub query: Box<str>,
    /// Where the client is.
    pub peer: Addr,
}

impl Opening {
    /// Takes it from a request.
    pub fn of(upgrade: &Upgrade) -> Self {
        let uri = upgrade.uri();
        Self {
            path: uri.path().into(),
            query: uri.query().unwrap_or_default().into(),
            peer: upgrade.peer_addr().clone(),
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the query: it may hold a token.
        f.debug_struct("Opening")
            .field("path", &self.path)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// How a line ended, and what went through it.
#[derive(Clone, Debug)]
pub struct Left {
    /// The end: by the closing handshake, by a fault or a delay of the peer, or lost.
    pub end: End,
    /// What went through.
    pub stats: Stats,
}

impl Left {
    /// Returns code, reason and side as [`taiwa::WebSocket::closed`] does: what a fault was answered with, 1006 if the
    /// line was lost.
    pub fn closed(&self) -> Closed {
        let without_handshake =
            |code, by| Closed { code, reason: Utf8Bytes::default(), by, clean: false };
        match &self.end {
            End::Closed(closed) => closed.clone(),
            End::Fault(fault) => without_handshake(fault.close_code(), Side::Us),
            End::Late(deadline) => {
                without_handshake(deadline.close_code().unwrap_or(CloseCode::ABNORMAL), Side::Us)
            }
            End::Lost => without_handshake(CloseCode::ABNORMAL, Side::Peer),
        }
    }
}
