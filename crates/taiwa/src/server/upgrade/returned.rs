//! An [`Upgrade`] whose answer is a response to return: for hyper, and all that stands on it.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use taiwa_proto::{
    Config, Role,
    handshake::{Agreed, Opening},
};
use tokio::sync::oneshot;

use super::{
    Asked, Rejection, Reply, Road, Upgrade,
    handed::hand_over,
    request::{as_over_http1, copy_of, ends, read},
};
use crate::{
    error::Error,
    io::BoxIo,
    server::{
        Sockets,
        attend::{Attended, attend},
        connection::Ends,
        sockets::Seat,
        terms::Terms,
    },
    websocket::{Ear, Inner, Opened, WebSocket},
};

/// Where hyper hands the transport over, and the socket's seat.
pub(super) struct Place {
    upgrading: OnUpgrade,
    seat: Seat,
}

impl Sockets {
    /// Reads a request to upgrade, by these settings: as [`Upgrade::from_request`].
    ///
    /// # Errors
    /// As [`Upgrade::from_request`].
    pub fn upgrade<B>(&self, request: &mut Request<B>) -> Result<Upgrade, Rejection> {
        let opening = read(request, self)?;
        let seat = self.reserve()?;
        let upgrading = request.extensions_mut().remove().ok_or(Rejection::NotUpgradable)?;
        let parts = as_over_http1(copy_of(request));
        let terms = Arc::clone(self.terms());
        let (ends, road) = (Arc::new(ends(&parts)), Road::Returned(Place { upgrading, seat }));
        Ok(Upgrade::by(terms, ends, parts, opening, road))
    }
}

/// What a closure makes of its socket: nothing, or a `Result` whose error is told to
/// [`on_error`](crate::SocketsBuilder::on_error).
#[diagnostic::on_unimplemented(
    message = "a closure makes `()` or a `Result<(), E>` of its socket, and `E` is `Display`"
)]
pub trait Outcome: sealed::Outcome {}

impl<T: sealed::Outcome> Outcome for T {}

mod sealed {
    use std::fmt::Display;

    pub trait Outcome {
        fn into_result(self) -> Result<(), String>;
    }

    impl Outcome for () {
        fn into_result(self) -> Result<(), String> {
            Ok(())
        }
    }

    impl<E: Display> Outcome for Result<(), E> {
        fn into_result(self) -> Result<(), String> {
            self.map_err(|error| error.to_string())
        }
    }
}

pub(super) use sealed::Outcome as IntoResult;

impl Upgrade {
    /// Reads a request to upgrade that hyper read before: what a service of hyper, or of anything that
    /// stands on it, was given. The HTTP server must allow upgrades (hyper: `with_upgrades`).
    ///
    /// Over HTTP/2 it is an extended CONNECT (RFC 8441), whose method a router has to let through, as axum's `any` does.
    /// The server must tell clients that they may send it: hyper's `http2::Builder::enable_connect_protocol`, which
    /// `axum::serve` calls itself where axum's feature `http2` is on. What closures see is the same as over HTTP/1.1, but for
    /// [`method`](Self::method) and [`version`](Self::version).
    ///
    /// A WebSocket that is not read keeps its peer waiting when the window of its stream is full, and takes that
    /// much from the window that all streams of the connection share. Hyper has 1 MiB for either, so that one such WebSocket keeps
    /// its siblings waiting, too. Where clients open several, let hyper have a larger window for the connection:
    /// `initial_stream_window_size(64 << 10)` and `initial_connection_window_size(16 << 20)`. And switch off Nagle's algorithm
    /// where you accept (`TcpStream::set_nodelay`, with axum `ListenerExt::tap_io`): over HTTP/1.1 it is done when the socket is
    /// ours, over HTTP/2 it never is, and each frame may wait for 40 ms. Our own [`Server`](crate::Server) does both by itself.
    ///
    /// Settings are those of the [`Sockets`](crate::Sockets) in the request's extensions, else the defaults.
    ///
    /// [`Origins`](crate::Origins) are judged here. Only whether a page bound its own name to the address of
    /// this machine is seen later, when the transport is ours and is a tokio `TcpStream`: then the
    /// WebSocket is closed with 1008 before anybody has it. Behind TLS, where names are proved, and behind a
    /// proxy it does not matter.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
    /// use hyper_util::rt::TokioIo;
    /// use taiwa::{Error, Sockets};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sockets = Sockets::default();
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// # let url = format!("ws://{}/", listener.local_addr()?);
    /// # let client = tokio::spawn(async move { taiwa::connect(&url).await?.recv().await });
    /// let (tcp, _) = listener.accept().await?;
    /// let service = service_fn(async |mut request: Request<Incoming>| {
    ///     let response: Response<Full<Bytes>> = match sockets.upgrade(&mut request) {
    ///         Ok(upgrade) => upgrade.on_upgrade(|mut socket| async move {
    ///             socket.send("welcome").await
    ///         }),
    ///         Err(rejection) => rejection.response_over(request.version()).map(Full::from),
    ///     };
    ///     Ok::<_, Infallible>(response)
    /// });
    /// http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades().await?;
    /// # assert_eq!(client.await??, Some("welcome".into()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Why it is no upgrade to WebSocket, or none that is let in; send back
    /// [`Rejection::response_over`]. An extended CONNECT for another protocol is refused with 501. The request is left as it was, except that its transport is taken out if it is
    /// upgraded.
    pub fn from_request<B>(request: &mut Request<B>) -> Result<Self, Rejection> {
        let sockets = request.extensions().get::<Sockets>().cloned();
        sockets.unwrap_or_else(Sockets::of_nobody).upgrade(request)
    }

    /// Accepts: makes the response to return, and runs a closure with the socket, in a task of its own, once
    /// hyper has sent that response.
    ///
    /// When the closure returns with the socket dropped but not closed, the socket is closed with 1000; after
    /// an `Err` or a panic with 1011. The body of the response is the empty one of whatever type.
    ///
    /// After [`Sockets::shut_down`](crate::Sockets::shut_down) the response is 503, and the closure is not
    /// run. Neither is it when the response is not sent, within
    /// [`Deadlines::write`](crate::Deadlines::write) of this call; then
    /// [`on_error`](crate::SocketsBuilder::on_error) hears of it.
    ///
    /// Where [`accept`](Self::accept) works, the answer is sent at once, and the response is a copy that
    /// nobody needs.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "return it"]
    pub fn on_upgrade<F, A, B>(self, run: F) -> Response<B>
    where
        F: FnOnce(WebSocket) -> A + Send + 'static,
        A: Future<Output: Outcome> + Send + 'static,
        B: Default,
    {
        self.on_upgrade_or(run, drop)
    }

    /// As [`on_upgrade`](Self::on_upgrade), and tells `failed` when the socket does not come to be.
    pub(crate) fn on_upgrade_or<F, A, B>(
        self,
        run: F,
        failed: impl FnOnce(Error) + Send + 'static,
    ) -> Response<B>
    where
        F: FnOnce(WebSocket) -> A + Send + 'static,
        A: Future<Output: Outcome> + Send + 'static,
        B: Default,
    {
        let (response, accepted) = match self.take_place() {
            Ok(it) => it,
            Err(rejection) => return rejection.response().map(|_| B::default()),
        };
        tokio::spawn(async move {
            let (terms, peer) = (Arc::clone(&accepted.terms), accepted.ends.peer.clone());
            match Box::pin(accepted.open()).await {
                Ok(Open { socket, coming_home, kept }) => {
                    // Called inside, so that a panic of the closure itself is caught, too.
                    let running = Box::pin(async move { run(socket).await.into_result() });
                    attend(Attended::new(&terms, &peer, running), coming_home).await;
                    drop(kept);
                }
                Err(error) => {
                    (terms.on_error)(Some(&peer), &error);
                    failed(error);
                }
            }
        });
        response.map(|()| B::default())
    }

    /// Accepts: makes the response to return, and the future of the socket, which is there once hyper has
    /// sent that response. Await it in another task: the response is sent after it was returned.
    ///
    /// The body of the response is the empty one of whatever type. A socket that is dropped open is closed
    /// with 1000.
    ///
    /// # Errors
    /// [`Rejection::GoingAway`] after [`Sockets::shut_down`](crate::Sockets::shut_down).
    pub fn respond<B: Default>(self) -> Result<(Response<B>, Handover), Rejection> {
        let (response, accepted) = self.take_place()?;
        let opening = async move {
            let terms = Arc::clone(&accepted.terms);
            let peer = accepted.ends.peer.clone();
            let Open { socket, coming_home, kept } = accepted.open().await?;
            let attended = Attended::new(&terms, &peer, Box::pin(async { Ok(()) }));
            tokio::spawn(async move {
                attend(attended, coming_home).await;
                drop(kept);
            });
            Ok(socket)
        };
        Ok((response.map(|()| B::default()), Handover { opening: Box::pin(opening) }))
    }

    pub(super) fn take_place(self) -> Result<(Response<()>, Accepted), Rejection> {
        let (response, agreed) = self.response();
        let Asked { opening, ends, config, terms, road, .. } = *self.asked;
        let way = match road {
            Road::Awaited { reply, home } => {
                let (transfer, transferred) = oneshot::channel();
                // A client that is gone needs no answer; the transfer fails then.
                let _ = reply.send(Reply::Accept(response.clone(), transfer));
                Way::Awaited { transferred, home }
            }
            Road::Returned(Place { upgrading, seat }) => {
                Way::Returned { upgrading, seat: seat.open()? }
            }
            // Its closure has neither a response to return nor the time to wait.
            Road::AtOnce(_) => return Err(Rejection::NotUpgradable),
        };
        Ok((response, Accepted { opening, ends, config, terms, agreed, way }))
    }
}

/// An upgrade that was accepted; hyper, or who waits for the answer, still has the transport.
pub(super) struct Accepted {
    opening: Opening,
    ends: Arc<Ends>,
    config: Arc<Config>,
    terms: Arc<Terms>,
    agreed: Agreed,
    way: Way,
}

/// Which way the transport comes.
enum Way {
    Awaited { transferred: oneshot::Receiver<(BoxIo, BytesMut)>, home: oneshot::Sender<Box<Inner>> },
    Returned { upgrading: OnUpgrade, seat: Seat },
}

/// An open connection, and what is held as long as it lasts.
struct Open {
    socket: WebSocket,
    coming_home: oneshot::Receiver<Box<Inner>>,
    kept: Kept,
}

/// Says, when dropped, that the socket is no more.
#[expect(dead_code, reason = "held to be dropped")]
pub(super) enum Kept {
    Home(oneshot::Sender<Box<Inner>>),
    Seat(Seat),
}

/// A transport that came, and what it is to carry.
pub(super) struct Arrived {
    pub(super) io: BoxIo,
    pub(super) leftover: BytesMut,
    pub(super) agreed: Agreed,
    pub(super) config: Arc<Config>,
    pub(super) terms: Arc<Terms>,
    pub(super) kept: Kept,
    peer_addr: Option<SocketAddr>,
}

impl Accepted {
    pub(super) async fn arrive(self) -> Result<Arrived, Error> {
        let Self { opening, ends, config, terms, agreed, way } = self;
        let (io, leftover, tcp, kept) = match way {
            Way::Awaited { transferred, home } => {
                let (io, leftover) = transferred.await.map_err(|_| Error::Lost)?;
                (io, leftover, None, Kept::Home(home))
            }
            Way::Returned { upgrading, seat } => {
                let handed = hand_over(upgrading, &terms, &config, &opening).await?;
                (handed.io, handed.leftover, handed.peer, Kept::Seat(seat))
            }
        };
        let peer_addr = ends.peer.tcp().or(tcp);
        Ok(Arrived { io, leftover, agreed, config, terms, peer_addr, kept })
    }

    async fn open(self) -> Result<Open, Error> {
        let Arrived { io, leftover, agreed, config, terms, peer_addr, kept } =
            self.arrive().await?;
        let opened = Opened { io, leftover, agreed, peer_addr };
        let inner = Inner::new(Role::Server, config, opened);
        let ear = Ear::new(Arc::clone(&terms.going_away));
        let (home, coming_home) = oneshot::channel();
        let socket = WebSocket::new(inner.of_server(ear, home));
        Ok(Open { socket, coming_home, kept })
    }
}

/// A socket that is there once the response before it is sent; see [`Upgrade::respond`].
///
/// Dropped, it drops the connection.
#[must_use = "the socket comes out of it"]
pub struct Handover {
    opening: Pin<Box<dyn Future<Output = Result<WebSocket, Error>> + Send>>,
}

impl Future for Handover {
    type Output = Result<WebSocket, Error>;

    /// # Errors
    /// [`Error::Lost`] if the response is not sent: it was not returned, or the client is gone;
    /// [`Error::Late`] if that takes longer than [`Deadlines::write`](crate::Deadlines::write);
    /// [`Error::Closed`] if the page turned out to be of another host (close code 1008); [`Error::Io`] if
    /// the HTTP server fails.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.opening.as_mut().poll(cx)
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}
