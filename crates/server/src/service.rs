//! [`SiteService`]: a site inside of an HTTP server that is not ours.

use std::{
    convert::Infallible,
    fmt::{self, Display},
    future::ready,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use taiwa::{Sockets, Upgrade};
use taiwa_proto::handshake::is_upgrade;
use tower_service::Service;
use tracing::debug;

use crate::{body::SiteBody, meet::Open, site::Running, trace};

/// A tower service that answers what is for a dialect, WebSockets included, and all else with 404: the fallback of an
/// axum `Router`, for example. The HTTP server must speak HTTP/1.1 and allow upgrades (hyper: `with_upgrades`).
///
/// Where a client is the HTTP server does not tell: middleware may leave a [`SocketAddr`](std::net::SocketAddr) or a
/// [`taiwa::Addr`] in the request's extensions, and a [`taiwa::LocalAddr`] for our own end.
///
/// To end, call [`Running::shut_down`] before that server's own graceful shutdown begins, or beside it.
///
/// ```
/// use std::{sync::Arc, time::Duration};
///
/// use taiwa_server::{Anyone, Site, hub::Settings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let site = Site::new(Settings::open(), Arc::new(Anyone)).start()?;
/// let app: axum::Router = axum::Router::new()
///     .route("/", axum::routing::get(|| async { "a page of mine" }))
///     .fallback_service(site.service());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let stop = std::future::ready(());
/// axum::serve(listener, app)
///     .with_graceful_shutdown(async move {
///         stop.await;
///         let _ = site.shut_down(Duration::from_secs(5)).await;
///     })
///     .await
/// # }
/// ```
#[derive(Clone)]
pub struct SiteService {
    site: Running,
    sockets: Sockets,
}

impl Running {
    /// Returns a service for an HTTP server that is not ours. Its WebSockets have the settings of
    /// [`Sockets::default`] and the origins of the site.
    pub fn service(&self) -> SiteService {
        let sockets = Sockets::builder().origins(self.0.front.get().origins.clone()).build();
        SiteService { site: self.clone(), sockets }
    }
}

impl SiteService {
    /// Sets limits, deadlines, keepalive, compression and origins of its WebSockets. Origins should be those of
    /// [`Site::origins`](crate::Site::origins).
    #[must_use]
    pub fn sockets(mut self, sockets: Sockets) -> Self {
        self.sockets = sockets;
        self
    }

    fn upgrade<B>(&self, request: &mut Request<B>) -> Response<SiteBody> {
        let upgrade = match self.sockets.upgrade(request) {
            Ok(upgrade) => upgrade,
            Err(rejection) => return rejection.response().map(SiteBody::from),
        };
        match self.site.open(&upgrade) {
            Ok(open) => accept(upgrade, open),
            Err(shut) => shut.response().map(SiteBody::from),
        }
    }
}

/// Answers with 101; what the HTTP server hands over then goes to its shard.
fn accept(upgrade: Upgrade, open: Open<'_>) -> Response<SiteBody> {
    let Open { guest, agreed, post, span } = open;
    let (who, post) = (upgrade.peer_addr().clone(), post.clone());
    match upgrade.subprotocol(agreed).respond_raw() {
        Err(rejection) => rejection.response().map(SiteBody::from),
        Ok((response, arriving)) => {
            trace::answered(&span, response.status(), 500);
            tokio::spawn(async move {
                let arrived = arriving.await.map_err(|it| it.to_string());
                let joined = arrived
                    .and_then(|it| post.join(it, Box::new(guest)).map_err(|it| it.to_string()));
                if let Err(error) = joined {
                    debug!(%who, "opening handshake failed: {error}");
                }
            });
            response
        }
    }
}

impl<B> Service<Request<B>> for SiteService
where
    B: Body<Data: Into<Bytes>> + Send + 'static,
    B::Error: Display,
{
    type Response = Response<SiteBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if is_upgrade(&request) {
            return Box::pin(ready(Ok(self.upgrade(&mut request))));
        }
        let site = self.site.clone();
        Box::pin(async move { Ok(site.answer(request).await) })
    }
}

impl fmt::Debug for SiteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteService").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}
