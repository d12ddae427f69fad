//! [`Site`]: dialects, hub and app put together, running, and met over HTTP.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use taiwa::{LocalAddr, Origins, Server, Serving};
use taiwa_core::{App, Cluster, Dialect, Ears, NodeId};
use taiwa_hub::Settings;
use tokio::{runtime::Handle, time::Instant};
use tracing::{debug, warn};

use crate::{
    address,
    addresses::Addresses,
    admin::Readiness,
    api::{Api, Desk},
    body::{self, SiteBody, text},
    cluster::{Hearing, Membership},
    control::Control,
    cors,
    doors::Doors,
    drain::{self, Exiting},
    front::{Front, Present},
    host::{Host, HostLimits, Shared},
    page,
    shard::{self, ShardFailure, Shards},
};

/// What is to be served: dialects, what the hub allows, who decides.
pub struct Site {
    pub(crate) dialects: Vec<Arc<dyn Dialect>>,
    pub(crate) app: Arc<dyn App>,
    pub(crate) hub: Settings,
    pub(crate) limits: HostLimits,
    shards: shard::Settings,
    pub(crate) origins: Origins,
    scheme: &'static str,
    pub(crate) request_bytes_max: usize,
    pub(crate) address_conversations_max: usize,
    api: Option<Api>,
    cluster: Option<Cluster>,
}

impl Site {
    /// Begins with a hub and somebody who decides, and without dialects.
    pub fn new(hub: Settings, app: Arc<dyn App>) -> Self {
        Self {
            dialects: vec![],
            app,
            hub,
            limits: HostLimits::default(),
            shards: shard::Settings::default(),
            origins: Origins::default(),
            scheme: "ws",
            request_bytes_max: 1 << 20,
            address_conversations_max: 0,
            api: None,
            cluster: None,
        }
    }

    /// Adds a dialect. Of two doors that are alike the one of the dialect that was added first counts.
    #[must_use]
    pub fn dialect(mut self, dialect: impl Dialect + 'static) -> Self {
        self.dialects.push(Arc::new(dialect));
        self
    }

    /// Adds dialects, as [`Site::dialect`] does.
    #[must_use]
    pub fn dialects(mut self, dialects: impl IntoIterator<Item = Box<dyn Dialect>>) -> Self {
        self.dialects.extend(dialects.into_iter().map(Arc::from));
        self
    }

    /// Sets the bounds of conversations.
    #[must_use]
    pub fn limits(mut self, limits: HostLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many shards there are and how many letters may wait for each.
    #[must_use]
    pub fn shards(mut self, shards: shard::Settings) -> Self {
        self.shards = shards;
        self
    }

    /// Sets whose pages may use the transports over plain HTTP; others are answered with 403. For WebSockets
    /// [`Server::origins`] says so; give both the same.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets the scheme, `ws` or `wss`, that stands in the texts which say how to connect.
    #[must_use]
    pub fn scheme(mut self, scheme: &'static str) -> Self {
        self.scheme = scheme;
        self
    }

    /// Sets how many bytes the body of a request may have, 1 MiB by default; a larger one is refused with 413.
    #[must_use]
    pub fn request_bytes_max(mut self, bytes: usize) -> Self {
        self.request_bytes_max = bytes;
        self
    }

    /// Sets how many conversations one address may have at the same time; one more is refused with 429. A network of 64
    /// bits counts as one address of IPv6. 0, the default, is no limit: behind a proxy all clients have its address, unless
    /// it speaks the PROXY protocol.
    #[must_use]
    pub fn address_conversations_max(mut self, conversations: usize) -> Self {
        self.address_conversations_max = conversations;
        self
    }

    /// Opens the HTTP API. It comes before the doors of dialects on all listeners of [`Running::serve`]; to have it on
    /// others alone, open it with [`Running::control`].
    #[must_use]
    pub fn api(mut self, api: Api) -> Self {
        self.api = Some(api);
        self
    }

    /// Makes the server a node of a cluster. What nodes have in common is then what the cluster's parts say: history,
    /// presence, sessions that can move, who is alive. Limits and rates hold for each node.
    #[must_use]
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Starts the shards. Must be called in a tokio runtime, which also drives what the app answers later.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] if the system gives no threads or no descriptors.
    pub fn start(self) -> io::Result<Running> {
        let (mut secret, mut key) = ([0; 32], [0; 16]);
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let membership = self.cluster.map(|it| Arc::new(Membership::new(it, runtime.clone())));
        if let Some(membership) = &membership {
            secret = membership.cluster.registry.secret();
        }
        let shared = Arc::new(Shared {
            app: self.app,
            runtime: runtime.clone(),
            limits: self.limits,
            settings: Arc::new(self.hub),
            secret,
            membership: membership.clone(),
            names: self.dialects.iter().map(|it| it.name()).collect(),
        });
        let shards = Shards::start(&self.shards, {
            move |index, posts| Host::new(index, posts, shared.clone(), key)
        })?;
        let control = Control::new(shards.posts().clone());
        let api = self.api.map(|it| it.open(control.clone().into_orders()));
        let hearing = membership.clone().map(|it| Hearing::new(shards.posts().clone(), key, it));
        let running = Running(Arc::new(Inner {
            membership: membership.clone(),
            shards,
            control,
            front: Present::new(Front {
                doors: Doors::new(&self.dialects),
                origins: self.origins,
                request_bytes_max: self.request_bytes_max,
            }),
            addresses: Addresses::new(self.address_conversations_max),
            scheme: self.scheme,
            runtime,
            secret,
            api,
            readiness: Readiness::default(),
            exit: Exiting::new(),
        }));
        if let (Some(hearing), Some(membership)) = (hearing, membership) {
            let _ = hearing.site.set(Weakly(Arc::downgrade(&running.0)));
            // Those that are there already; of who comes and goes from now on it hears.
            for node in membership.cluster.registry.nodes() {
                hearing.node_come(node);
            }
            membership.cluster.registry.begin(hearing);
        }
        Ok(running)
    }
}

/// A site at work. Cheap to clone; when the last clone is dropped, its shards end.
#[derive(Clone)]
pub struct Running(pub(crate) Arc<Inner>);

/// A site that may have ended.
pub(crate) struct Weakly(Weak<Inner>);

impl Weakly {
    pub(crate) fn upgrade(&self) -> Option<Running> {
        self.0.upgrade().map(Running)
    }
}

pub(crate) struct Inner {
    pub(crate) membership: Option<Arc<Membership>>,
    pub(crate) addresses: Addresses,
    pub(crate) shards: Shards<Host>,
    pub(crate) control: Control,
    pub(crate) front: Present,
    scheme: &'static str,
    pub(crate) runtime: Handle,
    /// Names shards to each other and signs addresses.
    pub(crate) secret: [u8; 32],
    api: Option<Desk>,
    pub(crate) readiness: Readiness,
    pub(crate) exit: Exiting,
}

impl Running {
    /// Returns what gives orders to the hub.
    pub fn control(&self) -> &Control {
        &self.0.control
    }

    /// Returns the HTTP API, if it was [opened](Site::api) with the site.
    pub fn api(&self) -> Option<&Desk> {
        self.0.api.as_ref()
    }

    /// Returns what tells whether new clients may be sent here: until [`drain`](Self::drain)
    /// or [`shut_down`](Self::shut_down) is called.
    pub fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// Returns how many shards there are.
    pub fn shard_count(&self) -> usize {
        self.0.shards.posts().len()
    }

    /// Serves on the listeners of `server`. Requests that are for no dialect go to `otherwise`.
    ///
    /// When the signal of [`Serving::with_shutdown`] is ready, [`Running::shut_down`] has to be called at the same time:
    /// bodies that go on end with their conversations.
    pub fn serve<F, A>(&self, server: Server, otherwise: F) -> Serving
    where
        F: Fn(Request<Bytes>) -> A + Send + Sync + 'static,
        A: Future<Output = Option<Response<Bytes>>> + Send + 'static,
    {
        let (site, upgrades, sessions) = (self.clone(), self.clone(), self.clone());
        let at_once = self.clone();
        let otherwise = Arc::new(otherwise);
        server
            .http(move |request| {
                let (site, otherwise) = (site.clone(), otherwise.clone());
                async move {
                    let path = request.uri().path().to_owned();
                    if let Some(api) = site.api().filter(|it| it.claims(&path)) {
                        return api.answer(request).await.map(SiteBody::from);
                    }
                    let response = site.answer_or(request, &*otherwise).await;
                    debug!(path, status = response.status().as_u16(), "answered a request");
                    response
                }
            })
            .webtransport(move |asked| {
                let site = sessions.clone();
                async move {
                    let who = asked.peer_addr().clone();
                    if let Err(error) = site.meet_session(asked).await {
                        debug!(%who, "a session of WebTransport failed: {error}");
                    }
                    Ok::<(), Infallible>(())
                }
            })
            .upgrades_at_once(move |upgrade| at_once.meet_at_once(upgrade))
            .serve(move |upgrade| {
                let site = upgrades.clone();
                async move {
                    let who = upgrade.peer_addr().clone();
                    if let Err(error) = site.meet(upgrade).await {
                        debug!(%who, "opening handshake failed: {error}");
                    }
                    Ok::<(), Infallible>(())
                }
            })
            .on_error(|who, error| match who {
                Some(who) => warn!(%who, "{error}"),
                None => warn!("{error}"),
            })
    }

    /// Closes all connections in the words of their dialects and ends, at the latest after `within`.
    ///
    /// Cancel-safe: the shards end all the same.
    ///
    /// # Errors
    ///
    /// What failed on a shard, if something did.
    pub async fn shut_down(&self, within: Duration) -> Result<(), ShardFailure> {
        self.0.readiness.go_away();
        let until = Instant::now() + within;
        if let Some(membership) = &self.0.membership {
            membership.carried.part();
        }
        let ended = self.0.shards.shut_down(within).await;
        if let Some(membership) = &self.0.membership {
            membership.carried.end(until).await;
            membership.leave().await;
        }
        ended
    }

    /// Waits until a shard fails, or all have ended.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// What failed.
    pub async fn ended(&self) -> Result<(), ShardFailure> {
        self.0.shards.ended().await
    }

    async fn answer_or<B, F, A>(&self, request: Request<B>, otherwise: &F) -> Response<SiteBody>
    where
        B: http_body::Body<Data: Into<Bytes>> + Send,
        B::Error: std::fmt::Display,
        F: Fn(Request<Bytes>) -> A,
        A: Future<Output = Option<Response<Bytes>>>,
    {
        if self.0.front.get().doors.has_http(request.uri().path()) {
            return self.answer(request).await;
        }
        let (parts, body) = request.into_parts();
        let body = match body::read(body, self.request_bytes_max()).await {
            Ok(body) => body,
            Err(status) => return text(status, "the request's body is too long or broken\n"),
        };
        let request = Request::from_parts(parts, body);
        let page = page::answer(&request, self.0.scheme);
        match otherwise(request).await {
            Some(response) => response.map(SiteBody::from),
            None => page.map(SiteBody::whole),
        }
    }

    /// Answers a request that is for a dialect, or with 404.
    ///
    /// The peer's [`Addr`](taiwa::Addr), or [`SocketAddr`](std::net::SocketAddr), and our own [`LocalAddr`] are looked for among the request's extensions.
    /// Without the latter it is not noticed when a page had its own name resolve to this machine.
    ///
    /// Dropping the future tells the conversation that its client has gone.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<SiteBody>
    where
        B: http_body::Body<Data: Into<Bytes>> + Send,
        B::Error: std::fmt::Display,
    {
        let local = request.extensions().get::<LocalAddr>().map(|it| it.0.clone());
        let allowed = match cors::judge(&request, &self.0.front.get().origins, local.as_ref()) {
            cors::Verdict::Refused => return cors::refused(),
            cors::Verdict::Pass(headers) => headers,
            cors::Verdict::Preflight(headers) => {
                let mut response = Response::new(SiteBody::from(""));
                *response.status_mut() = StatusCode::NO_CONTENT;
                response.headers_mut().extend(headers);
                return response;
            }
        };
        let mut response = self.converse(request).await;
        response.headers_mut().extend(allowed);
        if self.0.exit.get().is_some() && !response.status().is_success() {
            drain::close_behind(&mut response);
        }
        response
    }

    pub(crate) fn request_bytes_max(&self) -> usize {
        self.0.front.get().request_bytes_max
    }

    pub(crate) fn known(&self, address: &str) -> Option<Place<'_>> {
        let (node, shard, talk) = address::read(&self.0.secret, address)?;
        match &self.0.membership {
            Some(membership) if membership.node() != node => {
                let is_alive = membership.cluster.registry.nodes().binary_search(&node).is_ok();
                is_alive.then_some(Place::On(node))
            }
            _ => Some(Place::Here(self.0.shards.posts().get(usize::from(shard))?, talk)),
        }
    }
}

/// Where a conversation is.
pub(crate) enum Place<'a> {
    Here(&'a shard::Post<Host>, crate::host::TalkKey),
    On(NodeId),
}
