//! Opening handshakes that are answered at once: without a task of their own, or a second thread that wakes it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::BytesMut;
use http::Request;
use taiwa_proto::{
    h1::{HeadReader, parse_request},
    handshake::is_upgrade,
};

use super::{
    AtOnce, Shared,
    attend::panic_text,
    connection::Ends,
    listener::Stream,
    upgrade::{Bare, BareIo, Upgrade},
};

/// Bytes that are read of a connection when it is accepted: the opening handshakes of browsers fit, with cookies.
const FIRST_LEN: usize = 2048;

/// What needs a task.
pub(super) enum Arrived {
    Stream(Stream),
    /// Its request is read, and whoever decides at once gave it back.
    Upgrade(Upgrade),
}

impl Shared {
    /// Answers a connection that came with its whole opening handshake, if that can be decided about at once. Otherwise
    /// returns it: it takes its time, or is to be told why it is wrong.
    pub(super) fn meet(&self, mut stream: Stream) -> Option<Arrived> {
        let Some(at_once) = self.at_once.as_ref().filter(|_| self.reads_first()) else {
            return Some(Arrived::Stream(stream));
        };
        let Some(ends) = stream.tcp_ends() else { return Some(Arrived::Stream(stream)) };
        let mut buffer = [0; FIRST_LEN];
        let read = match stream.read_now(&mut buffer) {
            Ok(0) => return Some(Arrived::Stream(stream)),
            Ok(n) => &buffer[..n],
            Err(_) => return None,
        };
        let Some((request, leftover)) = self.read_upgrade(read) else {
            return Some(Arrived::Stream(stream.put_back(read)));
        };
        let Ok(opening) = ends.open(&request, &self.terms) else {
            return Some(Arrived::Stream(stream.put_back(read)));
        };
        let (parts, ends) = (request.into_parts().0, Arc::new(ends));
        let io = BareIo::Accepted(stream.into_tcp()?);
        let upgrade = Upgrade::at_once(&self.terms, &ends, (parts, opening), Bare { io, leftover });
        self.ask(at_once, &ends, upgrade).map(Arrived::Upgrade)
    }

    /// Tells whether connections begin with a request that may be answered at once.
    pub(super) fn reads_first(&self) -> bool {
        self.at_once.is_some() && self.tls.is_none() && self.proxies.is_none() && self.http1
    }

    fn read_upgrade(&self, read: &[u8]) -> Option<(Request<()>, BytesMut)> {
        let mut reader = HeadReader::new();
        let head = reader.feed(read, &self.terms.config.limits).ok()??;
        let request = parse_request(&head).ok()?;
        is_upgrade(&request).then(|| (request, BytesMut::from(head.leftover)))
    }

    /// Has it decided about an upgrade at once; returns it if that can't be.
    pub(super) fn ask(&self, at_once: &AtOnce, ends: &Ends, upgrade: Upgrade) -> Option<Upgrade> {
        match catch_unwind(AssertUnwindSafe(|| at_once(upgrade))) {
            Ok(decided) => decided.err(),
            Err(panic) => {
                (self.terms.on_error)(Some(&ends.peer), &panic_text(&*panic));
                None
            }
        }
    }
}
