//! Which version of HTTP a WebSocket is opened by, and over which connection.

use std::{net::SocketAddr, sync::Arc};

use http::{Response, StatusCode, Version};
use taiwa_proto::handshake::{HandshakeFault, HandshakeMisuse, Wish};

use super::{
    Client,
    dial::Place,
    h2::{self, Age, Unopened},
    h3::{self, Alternative, Choice, read_alt_svc},
    open::{self, Answer},
    pool::Known,
    redirect::Hop,
    steps::{Trace, VersionStep},
    version::{HttpVersion, VersionReason},
};
use crate::{
    error::Error,
    io::BoxIo,
    scratch::with_scratch,
    tls::{alpn, tls_error},
};

/// Connections that are tried for one WebSocket where a server has not looked at the request.
const TRIES: usize = 3;

/// The header by which a request says that it was made at an alternative (RFC 7838 §5).
const ALT_USED: &str = "alt-used";

/// A server's answer, and the transport that it came by: a connection, or a stream of one.
pub(super) struct Reply {
    pub(super) io: BoxIo,
    pub(super) peer_addr: Option<SocketAddr>,
    pub(super) answer: Answer,
}

/// A transport to a server that is ready for a request.
pub(super) struct Dialed {
    pub(super) io: BoxIo,
    pub(super) peer_addr: Option<SocketAddr>,
    pub(super) spoken: Spoken,
}

/// What a server said by ALPN that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// There was no TLS.
    Unsaid,
    Http1,
    Http2,
}

/// What there is to open a WebSocket on.
pub(super) enum Line {
    Http1(Dialed, VersionReason),
    Http2(h2::Lease, Age),
    Http3(h3::Lease, Age),
}

impl Client {
    /// Asks a server for a WebSocket.
    pub(super) async fn ask(&self, hop: &Hop) -> Result<Reply, Error> {
        let is_tls = hop.uri.scheme_str().is_some_and(|it| it.eq_ignore_ascii_case("wss"));
        match self.shared.http_version {
            HttpVersion::Http1 => self.ask_http1(hop, VersionReason::Asked).await,
            HttpVersion::Auto if !is_tls => self.ask_http1(hop, VersionReason::Cleartext).await,
            HttpVersion::Auto | HttpVersion::Http2 | HttpVersion::Http3 => {
                self.ask_shared(hop).await
            }
        }
    }

    /// Asks over a transport of the caller's.
    pub(super) async fn ask_over(&self, dialed: Dialed, hop: &Hop) -> Result<Reply, Error> {
        match self.shared.http_version {
            HttpVersion::Auto => self.reply_http1(dialed, hop, VersionReason::GivenTransport).await,
            HttpVersion::Http1 => self.reply_http1(dialed, hop, VersionReason::Asked).await,
            HttpVersion::Http2 => {
                let lease = self.begin_http2(dialed, None).await?;
                let opened = self.open_http2(lease, Age::Fresh, hop).await;
                opened.map_err(Unopened::into_error)
            }
            HttpVersion::Http3 => Err(Error::Request(HandshakeMisuse::HttpVersion)),
        }
    }

    /// Returns what is offered by ALPN over a transport of the caller's.
    pub(super) fn offer_over(&self) -> &'static [&'static [u8]] {
        match self.shared.http_version {
            HttpVersion::Http2 => &[alpn::HTTP2],
            HttpVersion::Auto | HttpVersion::Http1 | HttpVersion::Http3 => &[alpn::HTTP1],
        }
    }

    async fn ask_http1(&self, hop: &Hop, reason: VersionReason) -> Result<Reply, Error> {
        let dialed = self.dial(hop, &[alpn::HTTP1]).await?;
        self.reply_http1(dialed, hop, reason).await
    }

    async fn reply_http1(
        &self,
        dialed: Dialed,
        hop: &Hop,
        reason: VersionReason,
    ) -> Result<Reply, Error> {
        let Dialed { mut io, peer_addr, .. } = dialed;
        let limits = &self.shared.config.limits;
        let answer = open::shake_hands(&mut io, self.wish(hop), limits).await?;
        Ok(Reply { io, peer_addr, answer: answer.for_reason(reason) })
    }

    /// Asks over HTTP/2 or HTTP/3, on a connection that is there or a new one; or over HTTP/1.1 where the server wants that,
    /// and the caller does not mind.
    async fn ask_shared(&self, hop: &Hop) -> Result<Reply, Error> {
        let known = self.shared.pool.known(hop);
        let trace = Trace::begin();
        let mut tries = 1;
        loop {
            let line = self.line(hop, &known, &trace).await?;
            let alternative = line.alternative().cloned();
            let opened = self.open_line(line, hop).await;
            match opened {
                Err(Unopened::Unprocessed(error)) if tries < TRIES => {
                    tries += 1;
                    trace.note(VersionStep::Unprocessed { why: error.to_string() });
                }
                Err(Unopened::Http1Required(_)) if self.may_fall_back() => {
                    trace.note(VersionStep::Http1Required);
                    if let Some(at) = alternative {
                        self.miss(&known, &at);
                        known.retire_http3(&at);
                    }
                    self.remember_http1(&known, VersionReason::NoExtendedConnect);
                }
                Ok(reply) => {
                    // RFC 7838 §6: a client that gets a 421 there "MUST" look for another.
                    if let Some(at) = alternative
                        && reply.answer.head().status() == StatusCode::MISDIRECTED_REQUEST
                        && tries < TRIES
                    {
                        tries += 1;
                        trace.note(VersionStep::Http3Misdirected { at: at.to_string() });
                        self.miss(&known, &at);
                        known.retire_http3(&at);
                        continue;
                    }
                    self.learn(&known, hop, &reply);
                    return Ok(Reply { answer: reply.answer.by_steps(trace), ..reply });
                }
                Err(unopened) => return Err(unopened.into_error()),
            }
        }
    }

    /// Asks on what was found. A connection that does not look at the request takes no more.
    async fn open_line(&self, line: Line, hop: &Hop) -> Result<Reply, Unopened> {
        match line {
            Line::Http1(dialed, reason) => {
                self.reply_http1(dialed, hop, reason).await.map_err(Unopened::Failed)
            }
            Line::Http2(lease, age) => {
                let connection = lease.connection().clone();
                let opened = self.open_http2(lease, age, hop).await;
                if let Err(Unopened::Unprocessed(_)) = &opened {
                    connection.retire();
                }
                opened
            }
            Line::Http3(lease, age) => {
                let connection = lease.connection().clone();
                let opened = self.open_http3(lease, age, hop).await;
                if let Err(Unopened::Unprocessed(_)) = &opened {
                    connection.retire();
                }
                opened
            }
        }
    }

    /// Keeps what a response says of HTTP/3.
    fn learn(&self, known: &Known, hop: &Hop, reply: &Reply) {
        let place = Place::of(&hop.uri);
        // RFC 7838 §2.1: without TLS nobody would vouch for the alternative.
        if !place.is_tls {
            return;
        }
        if let Some(offers) = read_alt_svc(reply.answer.head().headers(), place.host) {
            known.learn(offers, self.shared.pool.sharing().alternatives_max);
        }
    }

    fn miss(&self, known: &Known, alternative: &Alternative) {
        known.miss(alternative, self.shared.pool.sharing().remembered_for);
    }

    fn may_fall_back(&self) -> bool {
        self.shared.http_version == HttpVersion::Auto
    }

    fn remember_http1(&self, known: &Known, reason: VersionReason) {
        known.remember_http1(self.shared.pool.sharing().remembered_for, reason);
    }

    /// Finds a place on a connection that is open, or opens one.
    async fn line(&self, hop: &Hop, known: &Arc<Known>, trace: &Trace) -> Result<Line, Error> {
        if let Some(line) = self.known_line(hop, known, trace).await? {
            return Ok(line);
        }
        let _turn = known.turn.lock().await;
        // Who had the turn before may have found out.
        if let Some(line) = self.known_line(hop, known, trace).await? {
            return Ok(line);
        }
        match (self.shared.http_version, known.http3()) {
            (HttpVersion::Http3, _) => {
                let Place { host, port, .. } = Place::of(&hop.uri);
                let lease = self.begin_http3(hop, known, host, port, None).await?;
                trace.note(VersionStep::Ready(Version::HTTP_3));
                Ok(Line::Http3(lease, Age::Fresh))
            }
            (HttpVersion::Auto, Some(Choice::Try(alternative))) => {
                self.race(hop, known, alternative, trace).await
            }
            _ => self.tcp_line(hop, known, trace).await,
        }
    }

    /// Returns what is to be done by what is known; `None` if that is not enough, or HTTP/3 is to be tried.
    async fn known_line(
        &self,
        hop: &Hop,
        known: &Known,
        trace: &Trace,
    ) -> Result<Option<Line>, Error> {
        let version = self.shared.http_version;
        if matches!(version, HttpVersion::Auto | HttpVersion::Http3)
            && let Some(lease) = known.lease_http3()
        {
            trace.note(VersionStep::Shared(Version::HTTP_3));
            return Ok(Some(Line::Http3(lease, Age::Used)));
        }
        if version == HttpVersion::Http3 {
            return Ok(None);
        }
        if version == HttpVersion::Auto {
            match known.http3() {
                None | Some(Choice::Try(_)) => return Ok(None),
                Some(Choice::Missed(at, within)) => trace.note_avoided(&at, within),
                Some(Choice::Nothing) => {}
            }
        }
        self.known_tcp_line(hop, known, trace).await
    }

    /// Returns what is known to do over TCP.
    async fn known_tcp_line(
        &self,
        hop: &Hop,
        known: &Known,
        trace: &Trace,
    ) -> Result<Option<Line>, Error> {
        if let Some(reason) = known.wants_http1().filter(|_| self.may_fall_back()) {
            trace.note(VersionStep::TcpBegan);
            let dialed = self.dial(hop, &[alpn::HTTP1]).await?;
            trace.note(VersionStep::Ready(Version::HTTP_11));
            return Ok(Some(Line::Http1(dialed, reason)));
        }
        let lease = known.lease_http2();
        if lease.is_some() {
            trace.note(VersionStep::Shared(Version::HTTP_2));
        }
        Ok(lease.map(|it| Line::Http2(it, Age::Used)))
    }

    /// Finds or opens a connection by TCP.
    pub(super) async fn tcp_line(
        &self,
        hop: &Hop,
        known: &Known,
        trace: &Trace,
    ) -> Result<Line, Error> {
        if let Some(line) = self.known_tcp_line(hop, known, trace).await? {
            return Ok(line);
        }
        let falls_back = self.may_fall_back();
        let offer: &[&[u8]] = if falls_back { &[alpn::HTTP2, alpn::HTTP1] } else { &[alpn::HTTP2] };
        trace.note(VersionStep::TcpBegan);
        let dialed = self.dial(hop, offer).await?;
        if falls_back && dialed.spoken != Spoken::Http2 {
            self.remember_http1(known, VersionReason::Negotiated);
            trace.note(VersionStep::Ready(Version::HTTP_11));
            return Ok(Line::Http1(dialed, VersionReason::Negotiated));
        }
        match self.begin_http2(dialed, Some(known)).await {
            Ok(lease) => {
                trace.note(VersionStep::Ready(Version::HTTP_2));
                Ok(Line::Http2(lease, Age::Fresh))
            }
            Err(error) if !falls_back => Err(error),
            Err(error) => {
                trace.note(VersionStep::TcpFailed { why: error.to_string() });
                self.remember_http1(known, VersionReason::NoExtendedConnect);
                trace.note(VersionStep::TcpBegan);
                let dialed = self.dial(hop, &[alpn::HTTP1]).await?;
                trace.note(VersionStep::Ready(Version::HTTP_11));
                Ok(Line::Http1(dialed, VersionReason::NoExtendedConnect))
            }
        }
    }

    /// Begins HTTP/2 on a transport and takes the first place there. For an origin that is known others find it.
    async fn begin_http2(&self, dialed: Dialed, known: Option<&Known>) -> Result<h2::Lease, Error> {
        let Dialed { io, peer_addr, spoken } = dialed;
        if spoken == Spoken::Http1 {
            return Err(tls_error("the server does not agree on HTTP/2"));
        }
        let (pool, limits) = (&self.shared.pool, &self.shared.config.limits);
        let idle_max = known.map(|_| pool.idle_max()).unwrap_or_default();
        let connection =
            h2::Connection::begin(io, peer_addr, pool.sharing(), limits, idle_max).await?;
        let no_extended_connect = Error::Handshake(HandshakeFault::NoExtendedConnect);
        let begun = RetireOnDrop(Some(|| connection.retire()));
        if !connection.takes_websockets().await? {
            return Err(no_extended_connect);
        }
        let lease = connection.lease().ok_or(no_extended_connect)?;
        begun.keep();
        if let Some(known) = known.filter(|_| !idle_max.is_zero()) {
            known.add_http2(connection);
        }
        Ok(lease)
    }

    /// Begins HTTP/3 on a new connection and takes the first place there. Others find it.
    pub(super) async fn begin_http3(
        &self,
        hop: &Hop,
        known: &Known,
        host: &str,
        port: u16,
        alternative: Option<&Alternative>,
    ) -> Result<h3::Lease, Error> {
        let (pool, limits) = (&self.shared.pool, &self.shared.config.limits);
        let quic = self.dial_quic(hop, host, port).await?;
        let idle_max = pool.idle_max();
        let alternative = alternative.cloned();
        let connection = h3::Connection::begin(quic, alternative, pool.sharing(), limits, idle_max);
        // Given up while it begins, it is of no use.
        let begun = RetireOnDrop(Some(|| connection.retire()));
        let no_extended_connect = Error::Handshake(HandshakeFault::NoExtendedConnect);
        if !connection.takes_websockets().await? {
            return Err(no_extended_connect);
        }
        let lease = connection.first_lease().ok_or(no_extended_connect)?;
        begun.keep();
        if !idle_max.is_zero() {
            known.add_http3(connection);
        }
        Ok(lease)
    }

    async fn open_http2(&self, lease: h2::Lease, age: Age, hop: &Hop) -> Result<Reply, Unopened> {
        let reason = self.reason(age, VersionReason::Negotiated);
        let peer_addr = lease.peer_addr();
        let (io, answer) = h2::open(lease, age, self.wish(hop)).await?;
        Ok(Reply { io, peer_addr, answer: answer.for_reason(reason) })
    }

    async fn open_http3(&self, lease: h3::Lease, age: Age, hop: &Hop) -> Result<Reply, Unopened> {
        let reason = self.reason(age, VersionReason::AltSvc);
        let peer_addr = Some(lease.peer_addr());
        let mut wish = self.wish(hop);
        if let Some(used) = lease.connection().alternative().and_then(Alternative::alt_used) {
            wish.headers.insert(ALT_USED, used);
        }
        let (io, answer) = h3::open(lease, age, wish).await?;
        Ok(Reply { io, peer_addr, answer: answer.for_reason(reason) })
    }

    fn reason(&self, age: Age, otherwise: VersionReason) -> VersionReason {
        match age {
            Age::Used => VersionReason::Shared,
            Age::Fresh if self.may_fall_back() => otherwise,
            Age::Fresh => VersionReason::Asked,
        }
    }

    fn wish<'a>(&'a self, hop: &'a Hop) -> Wish<'a> {
        let shared = &self.shared;
        Wish {
            subprotocols: &shared.subprotocols,
            deflate: shared.config.deflate.as_ref(),
            headers: hop.headers.clone(),
            ..Wish::new(&hop.uri, with_scratch(|scratch| scratch.pool.random()))
        }
    }
}

/// Lets go of a connection that was given up while it began.
struct RetireOnDrop<F: Fn()>(Option<F>);

impl<F: Fn()> RetireOnDrop<F> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl<F: Fn()> Drop for RetireOnDrop<F> {
    fn drop(&mut self) {
        if let Some(retire) = self.0.take() {
            retire();
        }
    }
}

impl Line {
    /// Returns where it leads, if that was offered by `Alt-Svc`.
    fn alternative(&self) -> Option<&Alternative> {
        match self {
            Self::Http3(lease, _) => lease.connection().alternative(),
            Self::Http1(..) | Self::Http2(..) => None,
        }
    }
}

impl Answer {
    fn head(&self) -> &Response<()> {
        match self {
            Self::Agreed(agreement) => &agreement.response,
            Self::Refused(response, _) => response,
        }
    }

    fn head_mut(&mut self) -> &mut Response<()> {
        match self {
            Self::Agreed(agreement) => &mut agreement.response,
            Self::Refused(response, _) => response,
        }
    }

    /// Tells in the response why it is of its version.
    fn for_reason(mut self, reason: VersionReason) -> Self {
        self.head_mut().extensions_mut().insert(reason);
        self
    }

    /// Tells in the response what was tried.
    fn by_steps(mut self, trace: Trace) -> Self {
        self.head_mut().extensions_mut().insert(trace.steps());
        self
    }
}
