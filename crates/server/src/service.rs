//! [`SiteService`]: a site inside of an HTTP server that is not ours.

use std::{
    convert::Infallible,
    fmt::{self, Display},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use taiwa::{Sockets, Upgrade, fit_request};
use tower_service::Service;
use tracing::debug;

use crate::{
    body::SiteBody,
    meet::{Open, Way},
    site::Running,
    trace,
};

/// A tower service that answers what is for a dialect, WebSockets included, and all else with 404: the fallback of an
/// axum `Router`, for example. The HTTP server must allow upgrades (hyper: `with_upgrades`). Where it speaks HTTP/2, as
/// `axum::serve` does with axum's feature `http2`, WebSockets come by extended CONNECT, too; see
/// [`Upgrade::from_request`].
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

    async fn upgrade<B>(self, mut request: Request<B>) -> Response<SiteBody> {
        let upgrade = match self.sockets.upgrade(&mut request) {
            Ok(upgrade) => upgrade,
            Err(rejection) => {
                return rejection.response_over(request.version()).map(SiteBody::from);
            }
        };
        match self.site.open(&upgrade).await {
            Ok(open) => accept(upgrade, open),
            Err(shut) => (*shut).map(SiteBody::from),
        }
    }
}

/// Answers with 101 or 200; what the HTTP server hands over then goes to its shard.
fn accept(upgrade: Upgrade, open: Open) -> Response<SiteBody> {
    let version = upgrade.version();
    let (upgrade, way, span) = open.answer(upgrade);
    let who = upgrade.peer_addr().clone();
    let failed = move |error: &dyn Display| debug!(%who, "opening handshake failed: {error}");
    let answered = match way {
        Way::Here(post, guest) => upgrade.respond_raw().map(|(response, arriving)| {
            tokio::spawn(async move {
                match arriving.await {
                    Ok(raw) => drop(post.join(raw, guest).inspect_err(|it| failed(it))),
                    Err(error) => failed(&error),
                }
            });
            response
        }),
        Way::Far(far) => upgrade.respond_stream().map(|(response, arriving)| {
            tokio::spawn(async move {
                match arriving.await {
                    Ok(stream) => far.carry(stream).await,
                    Err(error) => failed(&error),
                }
            });
            response
        }),
    };
    match answered {
        Err(rejection) => rejection.response_over(version).map(SiteBody::from),
        Ok(response) => {
            trace::answered(&span, response.status(), 500);
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
        if Upgrade::is_requested_by(&request) {
            let service = self.clone();
            return Box::pin(async move { Ok(service.upgrade(request).await) });
        }
        if request.version() >= Version::HTTP_2 {
            fit_request(&mut request);
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
