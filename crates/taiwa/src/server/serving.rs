//! [`Serving`]: a server at work.

use std::{
    fmt::Display,
    future::{Future, IntoFuture, pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{
    Addr, Listener, Shared, connection, h3,
    listener::Stream,
    tuner::{self, Tuner},
};
use crate::{io::BoxIo, tls::Certificates};

/// A server at work. Await it; dropping it drops all its connections.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// use taiwa::{CloseCode, Server, Upgrade};
///
/// let server = Server::bind("127.0.0.1:0").await?;
/// let url = format!("ws://{}/", server.local_addr()?);
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let serving = server
///     .serve(|upgrade: Upgrade| async move { upgrade.accept().await?.recv().await.map(drop) })
///     .on_error(|peer, error| eprintln!("{peer:?}: {error}"))
///     .with_shutdown(async { _ = stopped.await });
/// let serving = tokio::spawn(serving.into_future());
///
/// let mut socket = taiwa::connect(&url).await?;
/// stop.send(()).expect("it serves");
/// assert_eq!(socket.recv().await?, None);
/// assert_eq!(socket.closed().expect("recv returned None").code, CloseCode::GOING_AWAY);
/// serving.await.expect("no panic")?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Awaited, it fails with [`io::ErrorKind::InvalidInput`] if
/// [`Server::client_certificates`](crate::Server::client_certificates) was asked for without TLS, or if no version of HTTP
/// is switched on. Nothing
/// else ends it: what fails later is told to [`on_error`](Self::on_error).
#[must_use = "await it"]
pub struct Serving {
    pub(super) listeners: Vec<Listener>,
    pub(super) udp: h3::Ports,
    pub(super) shared: Shared,
    pub(super) signal: Option<Signal>,
    /// When to leave shared listeners.
    pub(super) successor: Option<Signal>,
    /// Clients were to show certificates, and there is no TLS in which they could.
    pub(super) is_open: bool,
}

impl Serving {
    /// Shuts down gracefully when `signal` is ready: listeners are dropped, each open connection is closed
    /// with 1001, and when all have ended the server returns.
    ///
    /// A closure that waits in a method of its socket closes it at once. One that waits elsewhere has
    /// [`Deadlines::close`](crate::Deadlines::close) to come back or return; then it is dropped and its
    /// socket closed with 1001 within the same time again.
    pub fn with_shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.signal = Some(Box::pin(signal));
        self
    }

    /// Leaves the listeners that are [shared](Listener::shared) to another process when `signal` is ready: it gets all
    /// newcomers from then on. Connections go on, and other listeners, too.
    ///
    /// Connections that wait to be accepted on a socket with `SO_REUSEPORT` are accepted here first, since they are bound to
    /// this very socket. One whose handshake of TCP is under way in that instant is reset by the kernel, unless
    /// `net.ipv4.tcp_migrate_req` is set (Linux 5.14). Where processes have the same socket, nothing is lost.
    pub fn with_successor(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.successor = Some(Box::pin(signal));
        self
    }

    /// Hears of closures that returned an error or panicked, of TLS handshakes that failed, of wrong PROXY
    /// headers, of certificates in files that are no good, and of listeners that fail to accept. Default:
    /// nobody does.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub fn on_error(
        mut self,
        listen: impl Fn(Option<&Addr>, &dyn Display) + Send + Sync + 'static,
    ) -> Self {
        let terms = Arc::get_mut(&mut self.shared.terms).expect("nothing shares them yet");
        terms.on_error = Arc::new(listen);
        self
    }

    async fn run(self) -> io::Result<()> {
        let Self { mut listeners, udp, shared, signal, successor, is_open } = self;
        shared.check(is_open)?;
        if shared.reads_first() {
            listeners.iter().for_each(Listener::await_first_bytes);
        }
        let mut shared = Arc::new(shared);
        let mut quic = h3::Endpoints::bind(&shared, &listeners, udp)?;
        let mut signal = signal.unwrap_or_else(|| Box::pin(pending()));
        let mut successor = successor.unwrap_or_else(|| Box::pin(pending()));
        let looked_after = Arc::clone(&shared);
        let mut looked_after = pin!(looked_after.look_after_certificates());
        let mut doorway = Doorway::default();
        let mut tuned = shared.tuner.as_ref().map(Tuner::subscribe);
        let mut turn = 0;
        loop {
            shared.terms.served.store(doorway.connections.len(), Ordering::Relaxed);
            tokio::select! {
                () = &mut signal => break,
                () = &mut successor => {
                    successor = Box::pin(pending());
                    let left = listeners.extract_if(.., |it| it.is_shared());
                    for stream in left.flat_map(Listener::leave) {
                        doorway.serve(&shared, stream);
                    }
                    quic.leave_shared(&shared.terms.alternative);
                }
                () = &mut looked_after => {}
                tuning = tuner::changed(&mut tuned) => shared = Arc::new(shared.tuned(tuning)),
                Some(ended) = doorway.connections.join_next() => shared.hear_panic(ended),
                Some(arriving) = quic.accept(&shared) => {
                    if doorway.has_room(&shared) {
                        doorway.connections.spawn(h3::serve(Arc::clone(&shared), arriving));
                    } else {
                        arriving.refuse();
                    }
                }
                Some(_) = doorway.turned_away.join_next() => {}
                accepted = accept(&listeners, &mut turn) => match accepted {
                    Ok(stream) => {
                        doorway.take(&shared, stream);
                        // All the rest of this loop is for many of them.
                        for stream in (1..ACCEPTED_IN_A_ROW).map_while(|_| listeners[turn].accept_now()) {
                            doorway.take(&shared, stream);
                        }
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        (shared.terms.on_error)(None, &error);
                        tokio::select! {
                            () = &mut signal => break,
                            () = sleep(ACCEPT_AGAIN_AFTER) => {}
                        }
                    }
                },
            }
        }
        drop(listeners);
        quic.leave();
        shared.terms.going_away.say();
        while let Some(ended) = doorway.connections.join_next().await {
            shared.hear_panic(ended);
        }
        quic.end().await;
        Ok(())
    }
}

/// The tasks of connections.
#[derive(Default)]
struct Doorway {
    connections: JoinSet<()>,
    turned_away: JoinSet<()>,
}

impl Doorway {
    fn has_room(&self, shared: &Shared) -> bool {
        self.connections.len() + shared.apart() < shared.connections_max
    }

    fn take(&mut self, shared: &Arc<Shared>, stream: Stream) {
        if self.has_room(shared) {
            self.serve(shared, stream);
        } else if shared.tls.is_none()
            // Over TLS, a refusal would cost a handshake.
            && shared.lets_in(&stream.peer)
            && self.turned_away.len() < TURNED_AWAY_MAX
        {
            self.turned_away.spawn(turn_away(stream));
        }
    }

    fn serve(&mut self, shared: &Arc<Shared>, stream: Stream) {
        if let Some(arrived) = shared.meet(stream) {
            self.connections.spawn(connection::serve(Arc::clone(shared), arrived));
        }
    }
}

impl Shared {
    /// Finds settings that exclude each other.
    fn check(&self, is_open: bool) -> io::Result<()> {
        let why = match () {
            () if is_open => "client certificates are asked for without TLS",
            () if !self.http1 && self.http2.is_none() && self.http3.is_none() => {
                "no version of HTTP is switched on"
            }
            () if self.http3.is_some() && self.quic.is_none() => "HTTP/3 needs TLS",
            () if self.http3.is_some() && self.proxies.is_some() => {
                "HTTP/3 comes by UDP, which has no PROXY header"
            }
            () => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }

    fn apart(&self) -> usize {
        self.terms.apart.load(Ordering::Relaxed)
    }

    /// Tells whether more are open than may be.
    pub(super) fn is_overfull(&self) -> bool {
        self.terms.served.load(Ordering::Relaxed) + self.apart() > self.connections_max
    }

    /// Reads the files of certificates again and again; it has no end.
    async fn look_after_certificates(&self) {
        let certificates = self.certificates.as_ref();
        let every = certificates.and_then(Certificates::checked_every);
        let (Some(certificates), Some(every)) = (certificates, every) else {
            return pending().await;
        };
        loop {
            sleep(every).await;
            let certificates = certificates.clone();
            // Files may lie far away.
            let checked = tokio::task::spawn_blocking(move || certificates.check()).await;
            for error in checked.unwrap_or_default() {
                (self.terms.on_error)(None, &error);
            }
        }
    }

    /// Reports a panic that was not caught where closures are run: of the one for ordinary requests.
    pub(super) fn hear_panic(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            (self.terms.on_error)(None, &error);
        }
    }
}

impl IntoFuture for Serving {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Wait after a failed `accept`: there are no descriptors left, and without a wait there would be no
/// processor left either.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Connections that are accepted before anything else is looked at.
const ACCEPTED_IN_A_ROW: usize = 64;
/// Connections that are being told that there is no place for them.
const TURNED_AWAY_MAX: usize = 64;
/// How long to wait for a peer to read its refusal.
const REFUSAL_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of a refused peer that are read and thrown away.
const REFUSED_BYTES_MAX: u64 = 256 << 10;

/// Something that comes once.
type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Accepts from all listeners in turn.
async fn accept(listeners: &[Listener], turn: &mut usize) -> io::Result<Stream> {
    poll_fn(|cx| {
        for _ in 0..listeners.len() {
            *turn = (*turn + 1) % listeners.len();
            if let Poll::Ready(accepted) = listeners[*turn].poll_accept(cx) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// Tells an error of one connection, gone before we looked, from one of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn turn_away(stream: Stream) {
    const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\
        Connection: close\r\nRetry-After: 5\r\n\r\n";
    if let Ok(io) = stream.into_io() {
        part(io, RESPONSE).await;
    }
}

/// Writes the last bytes to a peer, and reads what it still sends for a moment: closing a socket with
/// unread bytes resets the connection, and the reset may overtake what we wrote.
pub(super) async fn part(mut io: BoxIo, last: &[u8]) {
    let parting = async {
        io.write_all(last).await?;
        io.shutdown().await?;
        let mut rest = (&mut io).take(REFUSED_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    let _ = timeout(REFUSAL_WITHIN, parting).await;
}
