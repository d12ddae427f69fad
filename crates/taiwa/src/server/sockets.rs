//! [`Sockets`]: settings and end of the WebSockets of a server that is not ours.

use std::{
    fmt::{self, Display},
    sync::{Arc, LazyLock, atomic::Ordering},
};

use taiwa_proto::{Config, Deadlines, Keepalive, Limits, deflate::Deflate, handshake::Origins};
use tokio::{sync::watch, time::timeout};

use super::{
    Addr,
    subprotocols::Subprotocols,
    terms::{OnError, Terms},
    upgrade::Rejection,
};

/// The WebSockets of a program whose HTTP server is not our [`Server`](crate::Server): their settings, their
/// number, and their end.
///
/// It is cheap to clone, and all clones are one. [`Upgrade`](crate::Upgrade) finds it among the extensions of
/// the request, so that one place sets up all routes; or ask it by [`upgrade`](Self::upgrade). Without one,
/// an upgrade is by the defaults, and nobody closes its socket when the server stops.
///
/// HTTP servers forget a connection once it is upgraded, and their graceful shutdown does not wait for it.
/// [`shut_down`](Self::shut_down) does:
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Extension, Router, response::Response, routing::any};
/// use taiwa::{Sockets, Upgrade};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// async fn echo(upgrade: Upgrade) -> Response {
///     upgrade.on_upgrade(|mut socket| async move {
///         while let Some(message) = socket.recv().await? {
///             socket.send(message).await?;
///         }
///         Ok::<(), taiwa::Error>(())
///     })
/// }
///
/// let sockets = Sockets::builder().on_error(|_, error| eprintln!("{error}")).build();
/// let app = Router::new().route("/echo", any(echo)).layer(Extension(sockets.clone()));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let stop = async { /* tokio::signal::ctrl_c().await */ };
/// axum::serve(listener, app)
///     .with_graceful_shutdown(async move {
///         stop.await;
///         sockets.shut_down().await;
///     })
///     .await
/// # }
/// ```
#[derive(Clone)]
pub struct Sockets {
    registry: Arc<Registry>,
}

struct Registry {
    terms: Arc<Terms>,
    sockets_max: usize,
    seats: watch::Sender<Seats>,
}

#[derive(Default)]
struct Seats {
    /// Upgrades that are not answered yet, and open sockets.
    taken: usize,
    /// Of these, open sockets.
    open: usize,
}

impl Sockets {
    /// Begins with the defaults: [`Limits`], [`Deadlines`] and [`Keepalive`] as they are by default, no
    /// compression, pages of the same host, 10,000 sockets.
    pub fn builder() -> SocketsBuilder {
        let config = Config { keepalive: Some(Keepalive::default()), ..Config::default() };
        SocketsBuilder {
            config,
            origins: Origins::default(),
            subprotocols: Subprotocols::default(),
            sockets_max: 10_000,
            on_error: Arc::new(|_, _| ()),
        }
    }

    /// Returns how many sockets are open. One that its closure has dropped counts until the closing
    /// handshake is over.
    pub fn open(&self) -> usize {
        self.registry.seats.borrow().open + self.apart()
    }

    fn apart(&self) -> usize {
        self.registry.terms.apart.load(Ordering::Relaxed)
    }

    /// Closes each socket with 1001, and waits until all are closed; upgrades get status 503 from now on.
    /// Returns how many are still open when it has waited for twice
    /// [`Deadlines::close`]; with `None` there it waits for ever.
    ///
    /// A closure that waits in a method of its socket closes it at once. One that waits elsewhere has
    /// [`Deadlines::close`] to come back or return; then it is dropped and its socket closed with 1001
    /// within the same time again.
    ///
    /// Cancel-safe: the sockets close all the same, and it can be called again to wait for them.
    pub async fn shut_down(&self) -> usize {
        let Terms { config, going_away, .. } = &*self.registry.terms;
        going_away.say();
        let mut seats = self.registry.seats.subscribe();
        let emptied = seats.wait_for(|it| it.open == 0);
        match config.deadlines.close {
            Some(within) => drop(timeout(within * 2, emptied).await),
            None => drop(emptied.await),
        }
        self.open()
    }

    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.registry.terms
    }

    /// Takes a seat for an upgrade, if there is one.
    pub(super) fn reserve(&self) -> Result<Seat, Rejection> {
        let Registry { terms, sockets_max, seats } = &*self.registry;
        if terms.going_away.is_said() {
            return Err(Rejection::GoingAway);
        }
        let is_taken = seats.send_if_modified(|it| {
            let is_free = it.taken + self.apart() < *sockets_max;
            it.taken += usize::from(is_free);
            is_free
        });
        if !is_taken {
            return Err(Rejection::Full);
        }
        Ok(Seat { sockets: self.clone(), is_open: false })
    }

    /// What upgrades are by that found none in their request.
    pub(super) fn of_nobody() -> Self {
        static SOCKETS: LazyLock<Sockets> = LazyLock::new(Sockets::default);
        SOCKETS.clone()
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("open", &self.open()).finish_non_exhaustive()
    }
}

/// A place among the sockets of a [`Sockets`], given back when dropped.
pub(super) struct Seat {
    sockets: Sockets,
    is_open: bool,
}

impl Seat {
    /// Counts as an open socket from now on.
    ///
    /// # Errors
    /// [`Rejection::GoingAway`]. Who shuts down says so before it looks who is there, and here it is the
    /// other way round: one of both sees the other.
    pub(super) fn open(mut self) -> Result<Self, Rejection> {
        self.is_open = true;
        self.sockets.registry.seats.send_modify(|it| it.open += 1);
        if self.sockets.terms().going_away.is_said() { Err(Rejection::GoingAway) } else { Ok(self) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sockets.registry.seats.send_modify(|it| {
            it.taken -= 1;
            it.open -= usize::from(self.is_open);
        });
    }
}

/// Settings for [`Sockets`].
#[must_use = "build it"]
pub struct SocketsBuilder {
    config: Config,
    origins: Origins,
    pub(super) subprotocols: Subprotocols,
    sockets_max: usize,
    on_error: OnError,
}

impl SocketsBuilder {
    /// Sets limits, deadlines, keepalive and compression at once. Note that [`Config::default`] has
    /// keepalive off.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the limits of each socket.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the deadlines. [`Deadlines::handshake`] is the HTTP server's own affair.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.config.deadlines = deadlines;
        self
    }

    /// Sets when silent peers are pinged; `None` never. Default: [`Keepalive::default`].
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.config.keepalive = keepalive.into();
        self
    }

    /// Accepts permessage-deflate (RFC 7692). Default: not.
    pub fn compression(mut self, deflate: Deflate) -> Self {
        self.config.deflate = Some(deflate);
        self
    }

    /// Sets which pages may connect. Default: [`Origins::SameHost`]. Others get status 403.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets how many sockets may be open at once, with upgrades that are not answered yet. Default 10,000.
    /// Past it an upgrade gets status 503.
    pub fn sockets_max(mut self, sockets: usize) -> Self {
        self.sockets_max = sockets;
        self
    }

    /// Hears of closures that returned an error or panicked, and of sockets that did not come to be after
    /// their upgrade was accepted. Default: nobody does.
    pub fn on_error(
        mut self,
        listen: impl Fn(Option<&Addr>, &dyn Display) + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Arc::new(listen);
        self
    }

    /// Makes the [`Sockets`].
    #[must_use]
    pub fn build(self) -> Sockets {
        let terms = Terms {
            on_error: self.on_error,
            ..Terms::new(self.config, self.origins, self.subprotocols)
        };
        let seats = watch::Sender::default();
        let registry = Registry { terms: Arc::new(terms), sockets_max: self.sockets_max, seats };
        Sockets { registry: Arc::new(registry) }
    }
}

impl fmt::Debug for SocketsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketsBuilder")
            .field("config", &self.config)
            .field("origins", &self.origins)
            .field("sockets_max", &self.sockets_max)
            .finish_non_exhaustive()
    }
}
