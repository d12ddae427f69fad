//! Opening handshakes: a WebSocket finds its dialect and goes to a shard.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use taiwa::{Addr, Error, Upgrade, webtransport::SessionRequest};
use taiwa_core::{
    Addressee, Certificate, Conversation, Dialect, Framing, Knock, Message, Refusal,
    RefusalKind::{Limit, NotFound, Unavailable},
    Request, Transport,
};
use tokio::sync::oneshot;
use tracing::{Span, debug};

use crate::{
    addresses, body, certificate,
    cluster::Far,
    doors, drain,
    host::{Crossing, Guest, Host, NO_CONVERSATION, Note, Opener, Unanswered},
    random,
    reach::FROM_ONE_ADDRESS,
    shard,
    site::{Place, Running},
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
        match self.open(&upgrade).await {
            Err(shut) => upgrade.reject_with(*shut).await,
            Ok(open) => {
                let (upgrade, way, span) = open.answer(upgrade);
                match way {
                    Way::Here(post, guest) => {
                        let raw = upgrade.accept_raw().await?;
                        trace::answered(&span, StatusCode::SWITCHING_PROTOCOLS, 500);
                        drop(span);
                        post.join(raw, guest).map_err(Error::Io)
                    }
                    Way::Far(far) => {
                        let stream = upgrade.accept_stream().await?;
                        trace::answered(&span, StatusCode::SWITCHING_PROTOCOLS, 500);
                        // From here on it is no connection of the HTTP server any more.
                        tokio::spawn(far.carry(stream));
                        Ok(())
                    }
                }
            }
        }
    }

    /// Answers, without waiting, an opening handshake with which a conversation begins: its shard does the rest. Others, and
    /// those that are to be refused, are given back.
    pub(crate) fn meet_at_once(&self, mut upgrade: Upgrade) -> Result<(), Upgrade> {
        let Some((mut knocking, begun)) = self.newcomer(&upgrade) else { return Err(upgrade) };
        let dialect = Arc::clone(&knocking.dialect);
        let span = trace::handshake(Transport::WebSocket, upgrade.method().as_str());
        span.record("taiwa.dialect", dialect.name());
        knocking.span = span.clone();
        let (post, agreed, who) =
            (self.0.shards.assign(), knocking.agreed, upgrade.peer_addr().clone());
        let (guest, headers) = knocking.guest(begun);
        body::add_headers(upgrade.response_headers(), headers);
        let joined = upgrade.subprotocol(agreed).accept_raw_at_once().and_then(|raw| {
            if dialect.opens_later() {
                let unanswered = Unanswered::new(shard::carried(raw).map_err(Error::Io)?, span);
                post.send(Note::Expect(guest, Opener::Here(Box::new(unanswered))));
                return Ok(());
            }
            trace::answered(&span, StatusCode::SWITCHING_PROTOCOLS, 500);
            post.join(raw, guest).map_err(Error::Io)
        });
        if let Err(error) = joined {
            debug!(%who, "opening handshake failed: {error}");
        }
        Ok(())
    }

    /// Finds the door for a WebSocket with which a conversation begins, and opens it.
    fn newcomer(&self, upgrade: &Upgrade) -> Option<(Knocking, Begun)> {
        if upgrade.uri().path() == watch::PATH || self.0.exit.get().is_some() {
            return None;
        }
        let knocking = self.knocking(upgrade, Span::none()).ok()?;
        let Addressee::New = knocking.dialect.addressee(&knocking.request) else { return None };
        let begun = knocking.begin().ok()?;
        Some((knocking, begun))
    }

    /// Opens the door for a WebSocket, or says why it stays shut.
    pub(crate) fn open(
        &self,
        upgrade: &Upgrade,
    ) -> impl Future<Output = Result<Open, Shut>> + Send {
        let span = trace::handshake(Transport::WebSocket, upgrade.method().as_str());
        let knocking = self.knocking(upgrade, span.clone());
        async move {
            let opened = match knocking {
                Ok(knocking) => knocking.open().await,
                Err(shut) => Err(shut),
            };
            opened.inspect_err(|shut| trace::answered(&span, shut.status(), 500))
        }
    }

    fn knocking(&self, upgrade: &Upgrade, span: Span) -> Result<Knocking, Shut> {
        let path = upgrade.uri().path();
        let offered = upgrade.subprotocols().collect::<Vec<_>>();
        let (dialect, agreed) = self.door(Transport::WebSocket, path, &offered, &span)?;
        Ok(Knocking {
            site: self.clone(),
            transport: Transport::WebSocket,
            dialect,
            agreed,
            request: doors::request("GET", upgrade.uri(), upgrade.headers(), Bytes::new()),
            version: upgrade.version(),
            peer: upgrade.peer_addr().clone(),
            certificate: upgrade.peer_certificates().next().map(certificate::read),
            span,
        })
    }

    /// Opens the door for a session of WebTransport, or says why it stays shut.
    pub(crate) async fn open_session(
        &self,
        asked: &SessionRequest,
    ) -> Result<(Entry, Box<dyn Framing>), Shut> {
        let span = trace::handshake(Transport::WebTransport, "CONNECT");
        let opened = match self.knocking_by_session(asked, span.clone()) {
            Ok((knocking, framing)) => knocking.enter().await.map(|entry| (entry, framing)),
            Err(shut) => Err(shut),
        };
        opened.inspect_err(|shut| trace::answered(&span, shut.status(), 500))
    }

    fn knocking_by_session(
        &self,
        asked: &SessionRequest,
        span: Span,
    ) -> Result<(Knocking, Box<dyn Framing>), Shut> {
        let transport = Transport::WebTransport;
        let (dialect, agreed) = self.door(transport, asked.path(), &[], &span)?;
        let request = doors::request("GET", asked.uri(), asked.headers(), Bytes::new());
        let framing = dialect.framing(&request).ok_or_else(nothing_here)?;
        let knocking = Knocking {
            site: self.clone(),
            transport,
            dialect,
            agreed,
            request,
            version: Version::HTTP_3,
            peer: asked.peer_addr().clone(),
            certificate: asked.peer_certificates().next().map(certificate::read),
            span,
        };
        Ok((knocking, framing))
    }

    fn door(
        &self,
        transport: Transport,
        path: &str,
        offered: &[&str],
        span: &Span,
    ) -> Result<(Arc<dyn Dialect>, Option<&'static str>), Shut> {
        let front = self.0.front.get();
        let found = front.doors.find(transport, path, offered.iter().copied());
        let Some((dialect, agreed)) = found else {
            return Err(nothing_here());
        };
        span.record("taiwa.dialect", dialect.name());
        Ok((Arc::clone(dialect), agreed))
    }
}

/// The response to a WebSocket for which the door stays shut.
pub(crate) type Shut = Box<Response<Bytes>>;

fn nothing_here() -> Shut {
    Box::new(body::text(StatusCode::NOT_FOUND, "there is nothing here\n"))
}

/// An opening handshake at a door.
struct Knocking {
    site: Running,
    transport: Transport,
    dialect: Arc<dyn Dialect>,
    agreed: Option<&'static str>,
    request: Request,
    version: Version,
    peer: Addr,
    certificate: Option<Arc<Certificate>>,
    span: Span,
}

impl Knocking {
    async fn enter(self) -> Result<Entry, Shut> {
        match self.dialect.introduction(&self.request) {
            Some(addressee) => Ok(Entry::Stranger(Stranger { knocking: self, addressee })),
            None => self.open().await.map(Entry::Open),
        }
    }

    async fn open(self) -> Result<Open, Shut> {
        let addressee = self.dialect.addressee(&self.request);
        self.open_for(addressee).await
    }

    async fn open_for(self, addressee: Addressee) -> Result<Open, Shut> {
        let (address, otherwise_new) = match addressee {
            Addressee::New => return self.open_new().await,
            Addressee::Known(address) => (address, false),
            Addressee::KnownOrNew(address) => (address, true),
            Addressee::Nobody(status, why) => {
                let why = doors::nobody(status, why);
                let response = doors::turned_away_with(status, &*self.dialect, &self.request, &why);
                return Err(Box::new(response));
            }
        };
        let dialect = self.dialect.name();
        let found = match self.site.known(&address) {
            Some(Place::Here(post, talk)) => {
                let (answer, answered) = oneshot::channel();
                let is_asked = post.try_send(Note::IsThere(talk, dialect, answer)).is_ok();
                match answered.await {
                    Ok(true) => Ok(Way::Here(post.clone(), Guest::Known(talk, dialect).into())),
                    Ok(false) => Err(Refusal::new(NotFound, NO_CONVERSATION)),
                    Err(_) if is_asked => Err(Refusal::new(Unavailable, drain::GOES_AWAY)),
                    Err(_) => Err(Refusal::new(Unavailable, "the server is busy")),
                }
            }
            Some(Place::On(node)) => match &self.site.0.membership {
                Some(it) => it.knock(node, address, dialect).await.map(Way::Far),
                None => unreachable!("only a node knows of others"),
            },
            None => Err(Refusal::new(NotFound, NO_CONVERSATION)),
        };
        match found {
            Ok(way) => Ok(Open { way, agreed: self.agreed, headers: vec![], span: self.span }),
            Err(why) if otherwise_new && why.kind == NotFound => self.open_new().await,
            Err(why) => Err(self.refuse(&why)),
        }
    }

    async fn open_new(self) -> Result<Open, Shut> {
        if let Some(exit) = self.site.0.exit.get() {
            return Err(Box::new(drain::unavailable(exit.retry_after())));
        }
        let (mut guest, headers) = self.guest(self.begin()?);
        let post = self.site.0.shards.assign().clone();
        if self.dialect.opens_later() {
            let (answer, answered) = oneshot::channel();
            post.send(Note::Expect(guest, Opener::There(answer)));
            guest = Box::new(match answered.await {
                Ok(Crossing::Open(place)) => Guest::Awaited(place),
                Ok(Crossing::Away(away)) => Guest::Away(away),
                Err(_) => return Err(self.refuse(&Refusal::new(Unavailable, drain::GOES_AWAY))),
            });
        }
        Ok(Open { way: Way::Here(post, guest), agreed: self.agreed, headers, span: self.span })
    }

    /// Begins a conversation, which has its place among those of its address.
    fn begin(&self) -> Result<Begun, Shut> {
        let knock = Knock {
            transport: self.transport,
            request: &self.request,
            subprotocol: self.agreed,
            address: "",
            random: random::bits(),
        };
        let conversation = self.dialect.open(&knock, Instant::now());
        let conversation =
            conversation.map_err(|why| doors::turned_away(&*self.dialect, &self.request, &why))?;
        let headers = self.dialect.welcome(&knock);
        let Ok(place) = self.site.0.addresses.enter(&self.peer) else {
            return Err(self.refuse(&Refusal::new(Limit, FROM_ONE_ADDRESS)));
        };
        Ok(Begun { conversation, place, headers })
    }

    /// Returns what its shard is told, and headers of the response.
    fn guest(&self, begun: Begun) -> (Box<Guest>, Vec<(&'static str, String)>) {
        let Begun { conversation, place, headers } = begun;
        let guest = Guest::New {
            conversation,
            dialect: self.dialect.name(),
            version: self.version,
            peer: self.peer.clone(),
            place,
            certificate: self.certificate.clone(),
            path: self.request.path.clone(),
            span: self.span.clone(),
        };
        (Box::new(guest), headers)
    }

    fn refuse(&self, why: &Refusal) -> Shut {
        Box::new(doors::turned_away(&*self.dialect, &self.request, why))
    }
}

/// A conversation that is not on its shard yet.
struct Begun {
    conversation: Box<dyn Conversation>,
    /// Counts it among those of its address.
    place: Option<Box<addresses::Place>>,
    /// Of the response.
    headers: Vec<(&'static str, String)>,
}

/// A session of WebTransport that may come in.
pub(crate) enum Entry {
    /// Its request says for which conversation it is.
    Open(Open),
    /// Its first message is to say so.
    Stranger(Stranger),
}

/// A session that has not said yet for which conversation it is.
pub(crate) struct Stranger {
    knocking: Knocking,
    addressee: fn(&Message) -> Addressee,
}

impl Stranger {
    /// Opens the door as the first message wants it, or says why it stays shut.
    pub(crate) async fn introduce(self, first: &Message) -> Result<Open, Shut> {
        let span = self.knocking.span.clone();
        let opened = self.knocking.open_for((self.addressee)(first)).await;
        opened.inspect_err(|shut| trace::answered(&span, shut.status(), 500))
    }
}

/// Where a WebSocket will live.
pub(crate) enum Way {
    /// On a shard of this node.
    Here(shard::Post<Host>, Box<Guest>),
    /// On another node.
    Far(Far),
}

/// A door that is open for a WebSocket.
pub(crate) struct Open {
    way: Way,
    /// The subprotocol.
    agreed: Option<&'static str>,
    /// More headers of the response.
    headers: Vec<(&'static str, String)>,
    /// The opening handshake.
    span: Span,
}

impl Open {
    /// Returns where the conversation of a session will live, and its handshake.
    pub(crate) fn into_way(self) -> (Way, Span) {
        (self.way, self.span)
    }

    /// Gives the handshake what its response says.
    pub(crate) fn answer(self, upgrade: Upgrade) -> (Upgrade, Way, Span) {
        let mut upgrade = upgrade.subprotocol(self.agreed);
        body::add_headers(upgrade.response_headers(), self.headers);
        (upgrade, self.way, self.span)
    }
}
