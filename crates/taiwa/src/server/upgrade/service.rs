//! [`UpgradeService`]: a closure for upgrades in front of a tower service.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use taiwa_proto::handshake::Opening;
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Outcome, Rejection, Reply, Upgrade,
    handed::hand_over,
    request::{as_over_http1, ends, read},
    returned::IntoResult,
};
use crate::server::{
    Sockets,
    attend::{Attended, Running, attend},
    sockets::Seat,
};

/// A service that hands each opening handshake to a closure, and all other requests to an inner service.
///
/// The closure is that of [`Server::serve`](crate::Server::serve): it runs in a task of its own, may wait
/// before it decides, and [`Upgrade::accept`] gives it the socket. The HTTP server must allow upgrades
/// (hyper: `with_upgrades`). Over HTTP/2 a handshake is an extended CONNECT, see
/// [`Upgrade::from_request`]; one for another protocol than WebSocket is refused with 501.
///
/// Unlike [`Server`](crate::Server), HTTP servers don't tell where a request came from: middleware may leave a
/// [`SocketAddr`](std::net::SocketAddr) in the request's extensions for [`Upgrade::peer_addr`].
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Router, routing::get};
/// use taiwa::{Error, Sockets, Upgrade, UpgradeLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let sockets = Sockets::default();
/// let app: Router = Router::new()
///     .route("/", get("a page"))
///     .layer(UpgradeLayer::new(&sockets, |upgrade: Upgrade| async move {
///         if upgrade.uri().path() != "/echo" {
///             return upgrade.reject(404, "There is an /echo only.").await;
///         }
///         let mut socket = upgrade.accept().await?;
///         while let Some(message) = socket.recv().await? {
///             socket.send(message).await?;
///         }
///         Ok::<(), Error>(())
///     }));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let url = format!("ws://{}/echo", listener.local_addr()?);
/// tokio::spawn(axum::serve(listener, app).into_future());
///
/// let mut socket = taiwa::connect(&url).await?;
/// socket.send("hello").await?;
/// assert_eq!(socket.recv().await?, Some("hello".into()));
/// let (still_open, received) = tokio::join!(sockets.shut_down(), socket.recv());
/// assert_eq!((still_open, received?), (0, None)); // closed with 1001
/// # Ok(()) }
/// ```
pub struct UpgradeService<S, F> {
    inner: S,
    layer: UpgradeLayer<F>,
}

impl<S, F> UpgradeService<S, F> {
    /// Puts a closure in front of a service; its sockets are among those of `sockets`.
    pub fn new(sockets: &Sockets, inner: S, answer: F) -> Self {
        UpgradeLayer::new(sockets, answer).layer(inner)
    }
}

impl<S: Clone, F> Clone for UpgradeService<S, F> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for UpgradeService<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, layer } = self;
        f.debug_struct("UpgradeService").field("inner", inner).field("layer", layer).finish()
    }
}

/// Makes [`UpgradeService`]s, as a layer of tower; there is an example of it.
pub struct UpgradeLayer<F> {
    sockets: Sockets,
    answer: Arc<F>,
}

impl<F> UpgradeLayer<F> {
    /// Takes the closure that answers upgrades; its sockets are among those of `sockets`.
    pub fn new(sockets: &Sockets, answer: F) -> Self {
        Self { sockets: sockets.clone(), answer: Arc::new(answer) }
    }
}

impl<F> Clone for UpgradeLayer<F> {
    fn clone(&self) -> Self {
        Self { sockets: self.sockets.clone(), answer: Arc::clone(&self.answer) }
    }
}

impl<F> fmt::Debug for UpgradeLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeLayer").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl<S, F> Layer<S> for UpgradeLayer<F> {
    type Service = UpgradeService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        UpgradeService { inner, layer: self.clone() }
    }
}

impl<S, F, A, B, R> Service<Request<B>> for UpgradeService<S, F>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Fn(Upgrade) -> A + Send + Sync + 'static,
    A: Future<Output: Outcome> + Send + 'static,
{
    type Response = Response<UpgradeBody<R>>;
    type Error = S::Error;
    type Future = UpgradeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !Upgrade::is_requested_by(&request) {
            return UpgradeFuture::Inner { future: self.inner.call(request) };
        }
        match self.layer.begin(&mut request) {
            Ok(begun) => {
                let answer = Arc::clone(&self.layer.answer);
                let parts = as_over_http1(request);
                let running = |upgrade| -> Running {
                    // Called inside, so that a panic of the closure itself is caught, too.
                    Box::pin(async move { answer(upgrade).await.into_result() })
                };
                UpgradeFuture::Ours { answer: begun.run(parts, running) }
            }
            Err(rejection) => {
                let response = rejection.response_over(request.version());
                UpgradeFuture::Rejected { response: Some(response.map(Bytes::from)) }
            }
        }
    }
}

/// A request that may be upgraded.
struct Begun {
    sockets: Sockets,
    opening: Opening,
    upgrading: OnUpgrade,
    seat: Seat,
}

impl<F> UpgradeLayer<F> {
    fn begin<B>(&self, request: &mut Request<B>) -> Result<Begun, Rejection> {
        let opening = read(request, &self.sockets)?;
        let seat = self.sockets.reserve()?;
        let upgrading = request.extensions_mut().remove().ok_or(Rejection::NotUpgradable)?;
        Ok(Begun { sockets: self.sockets.clone(), opening, upgrading, seat })
    }
}

impl Begun {
    /// Runs the closure in a task of its own, which outlives the request. What it answers comes out of the
    /// channel.
    fn run(
        self,
        parts: Parts,
        run: impl FnOnce(Upgrade) -> Running,
    ) -> oneshot::Receiver<Response<Bytes>> {
        let Self { sockets, opening, upgrading, seat } = self;
        let terms = Arc::clone(sockets.terms());
        let ends = Arc::new(ends(&parts));
        let (upgrade, mut waiting) = Upgrade::new(&terms, &ends, parts, opening.clone());
        let running = run(upgrade);
        let (respond, response) = oneshot::channel();
        tokio::spawn(async move {
            let mut attended = Attended::new(&terms, &ends.peer, running);
            match attended.answer(&mut waiting.reply).await {
                Reply::Reject(response) => {
                    let _ = respond.send(response);
                    attended.run_out().await;
                    drop(seat);
                }
                Reply::Accept(response, transfer) => {
                    let Ok(seat) = seat.open() else {
                        let _ = respond.send(Rejection::GoingAway.response().map(Bytes::from));
                        drop(transfer);
                        return attended.run_out().await;
                    };
                    let _ = respond.send(response.map(|()| Bytes::new()));
                    let handed = Box::pin(hand_over(upgrading, &terms, &terms.config, &opening));
                    if let Ok(handed) = handed.await {
                        let _ = transfer.send((handed.io, handed.leftover));
                    } else {
                        drop(transfer);
                    }
                    attend(attended, waiting.home).await;
                    drop(seat);
                }
            }
        });
        response
    }
}

pin_project! {
    /// The future of an [`UpgradeService`].
    #[project = Stage]
    pub enum UpgradeFuture<F> {
        #[doc(hidden)]
        Inner { #[pin] future: F },
        #[doc(hidden)]
        Ours { answer: oneshot::Receiver<Response<Bytes>> },
        #[doc(hidden)]
        Rejected { response: Option<Response<Bytes>> },
    }
}

impl<F, R, E> Future for UpgradeFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<UpgradeBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ours = match self.project() {
            Stage::Inner { future } => {
                let response = ready!(future.poll(cx))?;
                return Poll::Ready(Ok(response.map(|it| UpgradeBody { body: Either::Right(it) })));
            }
            Stage::Rejected { response } => response.take().expect("polled once after it is ready"),
            Stage::Ours { answer } => ready!(Pin::new(answer).poll(cx)).unwrap_or_else(|_| {
                // The task is gone: the runtime shuts down.
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
            }),
        };
        Poll::Ready(Ok(ours.map(|it| UpgradeBody { body: Either::Left(Full::new(it)) })))
    }
}

impl<F> fmt::Debug for UpgradeFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response of an [`UpgradeService`]: of the inner service, or ours.
    #[derive(Debug)]
    pub struct UpgradeBody<R> {
        #[pin]
        body: Either<Full<Bytes>, R>,
    }
}

impl<R> Body for UpgradeBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
