//! Upgrades that are decided about without waiting, before a task is begun for them.

use std::{
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::BytesMut;
use http::request::Parts;
use taiwa_proto::{
    Connection, Role,
    h1::write_response_head,
    handshake::{Agreed, Opening},
};
use tokio::sync::oneshot;

use super::{
    Answered, RawConnection, RawSeat, RawSocket, RawTransport, Road, Upgrade, raw::unwrap,
};
use crate::{
    error::Error,
    io::BoxIo,
    server::{
        Terms,
        connection::{Ends, Waiting},
    },
    websocket::now,
};

/// A transport, and what was read behind the request.
pub(in crate::server) struct Bare {
    pub(in crate::server) io: BareIo,
    pub(in crate::server) leftover: BytesMut,
}

pub(in crate::server) enum BareIo {
    /// Of a task.
    Task(BoxIo),
    /// Accepted, and registered nowhere.
    Accepted(TcpStream),
}

/// What the response has room for from the beginning: a subprotocol and permessage-deflate with all their parameters fit.
pub(in crate::server) const RESPONSE_LEN: usize = 256;

fn unlocked(bare: Mutex<Bare>) -> Bare {
    bare.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Upgrade {
    pub(in crate::server) fn at_once(
        terms: &Arc<Terms>,
        ends: &Arc<Ends>,
        (parts, opening): (Parts, Opening),
        bare: Bare,
    ) -> Self {
        let road = Road::AtOnce(Box::new(Mutex::new(bare)));
        Self::by(Arc::clone(terms), Arc::clone(ends), parts, opening, road)
    }

    /// Lets it go the way of those that somebody waits for. `None` if it does already.
    pub(in crate::server) fn later(mut self) -> Option<(Self, Waiting, Bare)> {
        let (reply, reply_waiting) = oneshot::channel();
        let (home, home_waiting) = oneshot::channel();
        let road = Road::Awaited { reply, home };
        let Road::AtOnce(bare) = std::mem::replace(&mut self.asked.road, road) else { return None };
        Some((self, Waiting { reply: reply_waiting, home: home_waiting }, unlocked(*bare)))
    }

    /// Accepts an upgrade that came to [`Server::upgrades_at_once`](crate::Server::upgrades_at_once), and gives the
    /// connection in pieces. The response is one of them: it has to be written first.
    ///
    /// # Errors
    /// [`Error::ResponseExpected`] for any other upgrade, and [`Error::Io`] if the runtime does not let go of the socket.
    #[doc(hidden)]
    pub fn accept_raw_at_once(self) -> Result<RawConnection, Error> {
        let (response, Agreed { subprotocol, deflate }) = self.response();
        let Answered { config, terms, road, .. } = self.answered();
        let Road::AtOnce(bare) = road else { return Err(Error::ResponseExpected) };
        let Bare { io, mut leftover } = unlocked(*bare);
        let transport = match io {
            BareIo::Accepted(tcp) => RawTransport::Plain(RawSocket::Tcp(tcp)),
            BareIo::Task(io) => unwrap(io, &mut leftover).map_err(Error::Io)?,
        };
        let mut head = Vec::with_capacity(RESPONSE_LEN);
        write_response_head(&response, None, &mut head);
        let connection = Connection::new(Role::Server, config, deflate, now());
        let seat = RawSeat::take(&terms);
        Ok(RawConnection { connection, transport, leftover, subprotocol, seat, response: head })
    }
}
