//! Opening handshakes: a WebSocket finds its dialect and goes to a shard.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use taiwa::{Error, Upgrade};
use taiwa_core::{Addressee, Knock, Transport};
use tracing::Span;

use crate::{
    doors, drain,
    host::{Guest, Host},
    random, shard,
    site::{FROM_ONE_ADDRESS, Place, Running},
    trace, watch,
};

impl Running {
    /// Answers an opening handshake; the connection then lives on a shard.
    ///
    /// Not cancel-safe: dropping its future closes the connection, if it is not on its shard yet.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    pub async fn meet(&self, upgrade: Upgrade) -> Result<(), Error> {
        if upgrade.uri().path() == watch::PATH {
            return match self.0.exit.get() {
                None => watch::meet(upgrade, &self.0.control).await,
                Some(exit) => upgrade.reject_with(drain::unavailable(exit.retry_after())).await,
            };
        }
        match self.open(&upgrade) {
            Err(shut) => upgrade.reject_with(shut.response()).await,
            Ok(Open { guest, agreed, post, span }) => {
                let upgrade = upgrade.subprotocol(agreed);
                let raw = upgrade.accept_raw().await?;
                trace::answered(&span, StatusCode::SWITCHING_PROTOCOLS, 500);
                drop(span);
                post.join(raw, Box::new(guest)).map_err(Error::Io)
            }
        }
    }

    /// Opens the door for a WebSocket, or says why it stays shut.
    pub(crate) fn open(&self, upgrade: &Upgrade) -> Result<Open<'_>, Shut> {
        let span = trace::handshake(Transport::WebSocket, "GET");
        self.door(upgrade, &span).inspect_err(|shut| trace::answered(&span, shut.status(), 500))
    }

    fn door(&self, upgrade: &Upgrade, span: &Span) -> Result<Open<'_>, Shut> {
        let path = upgrade.uri().path();
        let offered = upgrade.subprotocols().collect::<Vec<_>>();
        let front = self.0.front.get();
        let found = front.doors.find(Transport::WebSocket, path, offered.iter().copied());
        let Some((dialect, agreed)) = found else {
            return Err(Shut::For(404, "there is nothing here\n".into()));
        };
        span.record("taiwa.dialect", dialect.name());
        let request = doors::request("GET", upgrade.uri(), upgrade.headers(), Bytes::new());
        match dialect.addressee(&request) {
            Addressee::New => {}
            Addressee::Nobody(status, why) => return Err(Shut::For(status, why.into())),
            Addressee::Known(address) => {
                let none = || Shut::For(404, "there is no such conversation\n".into());
                // A WebSocket that joins a conversation of another node stays without it: its client goes on as before.
                let Some(Place::Here(post, talk)) = self.known(&address) else {
                    return Err(none());
                };
                let guest = Guest::Known(talk, dialect.name());
                return Ok(Open { guest, agreed, post, span: span.clone() });
            }
        }
        if let Some(exit) = self.0.exit.get() {
            return Err(Shut::GoesAway(exit.retry_after()));
        }
        let knock = Knock {
            transport: Transport::WebSocket,
            request: &request,
            subprotocol: agreed,
            address: "",
            random: random::bits(),
        };
        let conversation = dialect.open(&knock, Instant::now());
        let conversation =
            conversation.map_err(|it| Shut::For(doors::status(&it), format!("{}\n", it.text)))?;
        let place = self.0.addresses.enter(upgrade.peer_addr());
        let guest = Guest::New {
            conversation,
            dialect: dialect.name(),
            peer: upgrade.peer_addr().clone(),
            place: place.map_err(|_| Shut::For(429, FROM_ONE_ADDRESS.into()))?,
            path: path.into(),
            span: span.clone(),
        };
        Ok(Open { guest, agreed, post: self.0.shards.assign(), span: span.clone() })
    }
}

/// A door that stays shut for a WebSocket.
pub(crate) enum Shut {
    /// With this status, and a text.
    For(u16, String),
    /// The server goes away; another may be there after so many seconds.
    GoesAway(u64),
}

impl Shut {
    fn status(&self) -> StatusCode {
        match self {
            Self::GoesAway(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::For(status, _) => StatusCode::from_u16(*status).unwrap_or(StatusCode::NOT_FOUND),
        }
    }

    pub(crate) fn response(self) -> Response<Bytes> {
        let status = self.status();
        match self {
            Self::GoesAway(after) => drain::unavailable(after),
            Self::For(_, why) => {
                let mut response = Response::new(Bytes::from(why));
                *response.status_mut() = status;
                let kind = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
        }
    }
}

/// A door that is open for a WebSocket.
pub(crate) struct Open<'a> {
    pub(crate) guest: Guest,
    /// The subprotocol.
    pub(crate) agreed: Option<&'static str>,
    /// The shard where it will live.
    pub(crate) post: &'a shard::Post<Host>,
    /// The opening handshake.
    pub(crate) span: Span,
}
