//! [`Connection`]: requests that come in, requests that go out.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::Request;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    Error, Limits, RequestStream, Sessions,
    driver::{self, Accepted},
    quic_code,
};
use crate::{
    connection::{self, Role},
    error::{Code, Fault},
    head::{self, Protocol},
    settings::Settings,
};

/// A connection of HTTP/3. Clones are the same connection.
///
/// It lives as long as its driver runs: spawn that one. When the driver ends or is dropped, the connection is closed.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    accepted: Arc<tokio::sync::Mutex<mpsc::Receiver<Accepted>>>,
}

/// A stream that the peer allows, for a request.
#[derive(Debug)]
pub struct Reserved(Box<RequestStream>);

/// What a connection, its driver and its streams share.
pub(super) struct Shared {
    pub(super) quic: quinn::Connection,
    pub(super) role: Role,
    pub(super) limits: Limits,
    pub(super) ours: Settings,
    pub(super) sessions: Sessions,
    pub(super) rules: Mutex<connection::Connection>,
    pub(super) peer_settings: watch::Sender<Option<Settings>>,
    /// From which stream on the peer takes no requests.
    pub(super) peer_goes_away: watch::Sender<Option<u64>>,
    /// Whether we are to tell the peer that we go away.
    pub(super) goes_away: watch::Sender<bool>,
    /// Requests under way.
    pub(super) open: watch::Sender<usize>,
    resets: Mutex<Resets>,
    fault: OnceLock<Fault>,
}

/// Streams that were given up in the second that began last.
struct Resets {
    since: Instant,
    count: u32,
}

/// Stands before the reason for which a connection ends when nothing is under way any more.
///
/// Google's QUIC has its own code there, in decimal digits, and takes H3_NO_ERROR without it for an error: the page of a session that was
/// closed with code and reason just before would hear of a lost connection (quiche, `MaybeExtractQuicErrorCode`).
const ORDERLY: &[u8] = b"0:";

impl Connection {
    /// Begins as the server of a connection that accepts requests. `settings` are announced: those of
    /// [`Limits::settings`] with whatever is added.
    pub fn server(
        quic: quinn::Connection,
        settings: Settings,
        limits: Limits,
    ) -> (Self, impl Future<Output = Error> + Send + 'static) {
        Self::new(quic, Role::Server, settings, limits)
    }

    /// Begins as the client of a connection that makes requests; see [`server`](Self::server).
    pub fn client(
        quic: quinn::Connection,
        settings: Settings,
        limits: Limits,
    ) -> (Self, impl Future<Output = Error> + Send + 'static) {
        Self::new(quic, Role::Client, settings, limits)
    }

    fn new(
        quic: quinn::Connection,
        role: Role,
        settings: Settings,
        limits: Limits,
    ) -> (Self, impl Future<Output = Error> + Send + 'static) {
        // As many as can be open: a head that was read never waits for room.
        let (accepting, accepted) = mpsc::channel(limits.streams_max.max(1) as usize);
        let shared = Arc::new(Shared {
            sessions: Sessions::new(quic.clone(), limits.webtransport.clone()),
            quic,
            role,
            limits,
            ours: settings,
            rules: Mutex::new(connection::Connection::new(role)),
            peer_settings: watch::Sender::default(),
            peer_goes_away: watch::Sender::default(),
            goes_away: watch::Sender::default(),
            open: watch::Sender::default(),
            resets: Mutex::new(Resets { since: Instant::now(), count: 0 }),
            fault: OnceLock::new(),
        });
        let driver = driver::drive(Arc::clone(&shared), accepting);
        (Self { shared, accepted: Arc::new(tokio::sync::Mutex::new(accepted)) }, driver)
    }

    /// Waits for the next request. `None`: the connection has ended, or goes away and all that came before has been
    /// returned. Malformed requests and those whose heads are too large are answered before anybody sees them.
    ///
    /// An extended CONNECT (RFC 9220) has its [`Protocol`] among its extensions.
    ///
    /// Cancel-safe: a request that nobody took is returned to the next who asks.
    pub async fn accept(&self) -> Option<(Request<()>, RequestStream)> {
        self.accepted.lock().await.recv().await
    }

    /// Sends the head of a request, when the peer allows one more stream. An extended CONNECT, which has a [`Protocol`] among its
    /// extensions, waits for the peer's settings first.
    ///
    /// Cancel-safe: dropped, the request is given up.
    ///
    /// # Errors
    /// [`Error::GoingAway`], [`Error::NoConnectProtocol`], [`Error::HeadTooLarge`] and [`Error::Misuse`] if nothing was sent;
    /// otherwise the end of the connection.
    pub async fn open(&self, request: Request<()>) -> Result<RequestStream, Error> {
        let section = self.section(&request).await?;
        let opened = self.shared.quic.open_bi().await;
        let (send, recv) = opened.map_err(|error| self.shared.told(error.into()))?;
        let mut stream = RequestStream::new(&self.shared, send, recv);
        stream.begin(&request, section).await?;
        Ok(stream)
    }

    /// Takes a stream for a request, if the peer allows one more at the moment. Given back unused it is given up.
    pub fn reserve(&self) -> Option<Reserved> {
        let opening = pin!(self.shared.quic.open_bi());
        match opening.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok((send, recv))) => {
                Some(Reserved(Box::new(RequestStream::new(&self.shared, send, recv))))
            }
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    /// Waits until the peer allows one more stream, and takes that for a request.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The end of the connection.
    pub async fn room(&self) -> Result<Reserved, Error> {
        let opened = self.shared.quic.open_bi().await;
        let (send, recv) = opened.map_err(|error| self.shared.told(error.into()))?;
        Ok(Reserved(Box::new(RequestStream::new(&self.shared, send, recv))))
    }

    /// Sends the head of a request on a stream that was taken before, as [`open`](Self::open) does.
    ///
    /// Cancel-safe, as that is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_on(
        &self,
        reserved: Reserved,
        request: Request<()>,
    ) -> Result<RequestStream, Error> {
        let section = self.section(&request).await?;
        let Reserved(stream) = reserved;
        let mut stream = *stream;
        stream.begin(&request, section).await?;
        Ok(stream)
    }

    /// Writes the head of a request that may go out now.
    async fn section(&self, request: &Request<()>) -> Result<Vec<u8>, Error> {
        let settings = match request.extensions().get::<Protocol>() {
            // RFC 8441 §3, by RFC 9220 §3: "a sender MUST NOT send" it before SETTINGS_ENABLE_CONNECT_PROTOCOL was received as 1.
            Some(_) => {
                let settings = self.peer_settings().await?;
                if !settings.enables_connect_protocol() {
                    return Err(Error::NoConnectProtocol);
                }
                Some(settings)
            }
            None => self.shared.peer_settings.borrow().clone(),
        };
        let mut section = Vec::new();
        let section_bytes = head::write_request(request, &mut section)?;
        if settings.is_some_and(|it| section_bytes as u64 > it.field_section_bytes_max()) {
            return Err(Error::HeadTooLarge);
        }
        if self.shared.peer_goes_away.borrow().is_some() {
            return Err(Error::GoingAway);
        }
        Ok(section)
    }

    /// Waits for the peer's settings.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The end of the connection, if they have not come before it.
    pub async fn peer_settings(&self) -> Result<Settings, Error> {
        let mut settings = self.shared.peer_settings.subscribe();
        tokio::select! {
            biased;
            Ok(settings) = settings.wait_for(Option::is_some) => {
                Ok(settings.clone().unwrap_or_default())
            }
            error = self.closed() => Err(error),
        }
    }

    /// Tells the peer that no new requests are taken (RFC 9114 §5.2). Those that have begun go on; later ones are given up with
    /// H3_REQUEST_REJECTED, so that the peer may make them elsewhere. Who has answered all calls [`close`](Self::close).
    pub fn go_away(&self) {
        self.shared.goes_away.send_replace(true);
    }

    /// Tells whether the peer has said that it goes away.
    pub fn peer_goes_away(&self) -> bool {
        self.shared.peer_goes_away.borrow().is_some()
    }

    /// Waits until the peer says that it goes away; for ever, if it ends without.
    ///
    /// Cancel-safe.
    pub async fn peer_going_away(&self) {
        let mut goes_away = self.shared.peer_goes_away.subscribe();
        if goes_away.wait_for(Option::is_some).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until no request is under way, and what was sent has arrived; or until the connection has ended.
    ///
    /// Cancel-safe.
    pub async fn settled(&self) {
        let mut open = self.shared.open.subscribe();
        tokio::select! {
            () = driver::reaches(&mut open, |it| *it == 0) => {}
            _ = self.shared.quic.closed() => {}
        }
    }

    /// Waits until a request is under way; for ever, if there is none until the end.
    ///
    /// Cancel-safe.
    pub async fn busy(&self) {
        driver::reaches(&mut self.shared.open.subscribe(), |it| *it > 0).await;
    }

    /// Waits for so long, and on and on if something came from the peer meanwhile, an acknowledgement at least. When it returns to
    /// somebody who has sent something just before, the connection is dead.
    ///
    /// Cancel-safe.
    pub async fn silent(&self, within: Duration) {
        let came = || self.shared.quic.stats().udp_rx.datagrams;
        let before = came();
        tokio::time::sleep(within).await;
        if came() != before {
            std::future::pending().await
        }
    }

    /// Ends the connection at once, with all its streams; H3_NO_ERROR says that nothing went wrong.
    pub fn close(&self, code: Code, reason: &str) {
        self.shared.close(code, reason.as_bytes());
    }

    /// Waits for the end of the connection and says why.
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> Error {
        let error = self.shared.quic.closed().await;
        self.shared.told(error.into())
    }

    /// Returns the connection below.
    pub fn quic(&self) -> &quinn::Connection {
        &self.shared.quic
    }

    /// Returns the sessions of WebTransport.
    pub fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    /// Returns the role that we have.
    pub fn role(&self) -> Role {
        self.shared.role
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.shared.role)
            .field("peer", &self.shared.quic.remote_address())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn rules(&self) -> MutexGuard<'_, connection::Connection> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection because of what the peer did.
    pub(super) fn fail(&self, fault: Fault) {
        // What was first is what is told.
        let first = self.fault.get_or_init(|| fault);
        self.close(first.code, first.rule.as_bytes());
    }

    /// Ends the connection, if it has not ended: quinn would forget why it has.
    pub(super) fn close(&self, code: Code, reason: &[u8]) {
        if self.quic.close_reason().is_some() {
            return;
        }
        let is_orderly = code == Code::NO_ERROR && *self.open.borrow() == 0;
        let mark = if is_orderly { ORDERLY } else { b"" };
        self.quic.close(quic_code(code), &[mark, reason].concat());
    }

    /// Returns an error as it is to be told: if we ended the connection, then why.
    pub(super) fn told(&self, error: Error) -> Error {
        match (&error, self.fault.get()) {
            (Error::Closed(_), Some(fault)) => Error::Fault(*fault),
            _ => error,
        }
    }

    /// Counts a stream that the peer gave up.
    pub(super) fn count_reset(&self) {
        let mut resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now - resets.since >= Duration::from_secs(1) {
            *resets = Resets { since: now, count: 0 };
        }
        resets.count += 1;
        if resets.count > self.limits.resets_per_second_max {
            // RFC 9114 §10.5: "An endpoint MAY treat activity that is suspicious as a connection error of type H3_EXCESSIVE_LOAD".
            self.fail(Fault::connection(Code::EXCESSIVE_LOAD, "too many streams were given up"));
        }
    }
}
