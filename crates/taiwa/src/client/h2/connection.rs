//! [`Connection`]: one connection of HTTP/2 and the task that drives it.

use std::{
    future::{Future, pending, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use ::h2::{Ping, PingPong, client::SendRequest};
use bytes::Bytes;
use taiwa_proto::Limits;
use tokio::{
    sync::{self, Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::super::{sharing::Sharing, version::SETTINGS_WITHIN};
use crate::{error::Error, h2::broken, io::BoxIo};

/// Bytes of one stream that wait for the connection's task; past them its WebSocket waits.
const SEND_BUFFER: usize = 64 << 10;
/// How long the server of a connection that was used before may be silent about a PING.
const PONG_WITHIN: Duration = Duration::from_secs(2);

/// One connection, which WebSockets share. Clones are the same connection.
#[derive(Clone)]
pub(in crate::client) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Whether the server's SETTINGS came; `Err` at the connection's end.
    settings: watch::Sender<Settings>,
    /// No stream is left.
    vacated: Notify,
    pings: sync::Mutex<PingPong>,
    streams_max: usize,
    peer_addr: Option<SocketAddr>,
}

struct State {
    /// `None`: it takes no more requests. Without it the task ends the connection behind its last stream.
    requests: Option<SendRequest<Bytes>>,
    leases: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Settings {
    Awaited,
    Came,
    Never,
}

/// A place for one stream, given back when dropped.
pub(in crate::client) struct Lease {
    connection: Connection,
}

impl Connection {
    /// Begins HTTP/2 on a transport. The connection ends when it had no stream for `idle_max`.
    pub(in crate::client) async fn begin(
        io: BoxIo,
        peer_addr: Option<SocketAddr>,
        sharing: &Sharing,
        limits: &Limits,
        idle_max: Duration,
    ) -> Result<Self, Error> {
        let mut builder = ::h2::client::Builder::new();
        builder
            .enable_push(false)
            // Until SETTINGS come: so it is seen that they came.
            .initial_max_send_streams(0)
            .initial_window_size(sharing.stream_window())
            .initial_connection_window_size(sharing.connection_window())
            // Frames are taken at once, so this is what may wait for a runtime that is late; past it the connection ends.
            .data_frame_budget(sharing.connection_window() as usize)
            .max_header_list_size(u32::try_from(limits.handshake_bytes_max).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER);
        let (requests, mut driven) =
            builder.handshake(io).await.map_err(|it| Error::Io(broken(it)))?;
        let pings = driven.ping_pong().expect("nobody took it before");
        let shared = Arc::new(Shared {
            state: Mutex::new(State { requests: Some(requests), leases: 0 }),
            settings: watch::Sender::new(Settings::Awaited),
            vacated: Notify::new(),
            pings: sync::Mutex::new(pings),
            streams_max: sharing.streams_max(),
            peer_addr,
        });
        tokio::spawn(drive(driven, Ending(Arc::clone(&shared)), idle_max));
        Ok(Self { shared })
    }

    /// Waits for the server's SETTINGS, and tells whether it takes WebSockets.
    pub(in crate::client) async fn takes_websockets(&self) -> Result<bool, Error> {
        let mut settings = self.shared.settings.subscribe();
        let came = settings.wait_for(|it| *it != Settings::Awaited);
        match timeout(SETTINGS_WITHIN, came).await {
            Ok(Ok(it)) if *it == Settings::Came => {}
            Ok(_) => return Err(Error::Io(io::ErrorKind::UnexpectedEof.into())),
            Err(_) => {
                let message = "the server sent no SETTINGS";
                return Err(Error::Io(io::Error::new(io::ErrorKind::TimedOut, message)));
            }
        }
        // RFC 8441 §3: "A client MUST NOT send a request [with :protocol] unless it received" the setting with 1.
        let state = self.state();
        Ok(state.requests.as_ref().is_some_and(|it| it.is_extended_connect_protocol_enabled()))
    }

    /// Takes a place for a stream; `None` if all are taken or the connection takes no more.
    pub(in crate::client) fn lease(&self) -> Option<Lease> {
        let mut state = self.state();
        let theirs = state.requests.as_ref()?.current_max_send_streams();
        if state.leases >= theirs.min(self.shared.streams_max) {
            return None;
        }
        state.leases += 1;
        Some(Lease { connection: self.clone() })
    }

    /// Takes no more streams; those that are open stay.
    pub(in crate::client) fn retire(&self) {
        self.state().requests = None;
        self.shared.vacated.notify_one();
    }

    pub(in crate::client) fn is_retired(&self) -> bool {
        self.state().requests.is_none()
    }

    /// Becomes ready if the server answers no PING in time, otherwise never.
    pub(super) async fn silence(&self) {
        if let Ok(Ok(())) = timeout(PONG_WITHIN, self.pong()).await {
            pending().await
        }
    }

    async fn pong(&self) -> Result<(), ::h2::Error> {
        let mut pings = self.shared.pings.lock().await;
        if pings.send_ping(Ping::opaque()).is_err() {
            // One that nobody waits for any more is on its way: its PONG may be old.
            poll_fn(|cx| pings.poll_pong(cx)).await?;
            pings.send_ping(Ping::opaque())?;
        }
        poll_fn(|cx| pings.poll_pong(cx)).await.map(drop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|it| it.into_inner())
    }

    /// Looks whether SETTINGS came.
    fn look(&self) {
        if *self.settings.borrow() == Settings::Awaited
            && self.state().requests.as_ref().is_some_and(|it| it.current_max_send_streams() > 0)
        {
            self.settings.send_replace(Settings::Came);
        }
    }

    /// Takes no more streams if there is none.
    fn retire_if_vacant(&self) {
        let mut state = self.state();
        if state.leases == 0 {
            state.requests = None;
        }
    }
}

impl Lease {
    /// Returns what a request is sent by; `None` if the connection takes no more.
    pub(super) fn requests(&self) -> Option<SendRequest<Bytes>> {
        self.connection.state().requests.clone()
    }

    pub(in crate::client) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(in crate::client) fn peer_addr(&self) -> Option<SocketAddr> {
        self.connection.shared.peer_addr
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        state.leases -= 1;
        if state.leases == 0 {
            self.connection.shared.vacated.notify_one();
        }
    }
}

/// Tells all that the connection has ended, also when its task is dropped with its runtime.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.state().requests = None;
        self.0.settings.send_replace(Settings::Never);
    }
}

/// Drives a connection until its end.
async fn drive(driven: ::h2::client::Connection<BoxIo, Bytes>, shared: Ending, idle_max: Duration) {
    let shared = &shared.0;
    // Before the first stream there may be a while, and who opens it may give up.
    let mut driven = pin!(driven);
    let mut idle = pin!(sleep(idle_max.max(2 * SETTINGS_WITHIN)));
    let mut is_idle = true;
    loop {
        tokio::select! {
            // What ended it is told to each stream.
            _ = poll_fn(|cx| {
                let polled = driven.as_mut().poll(cx);
                shared.look();
                polled.map(drop)
            }) => return,
            () = shared.vacated.notified() => {
                idle.as_mut().reset(Instant::now() + idle_max);
                is_idle = true;
            }
            () = &mut idle, if is_idle => {
                is_idle = false;
                shared.retire_if_vacant();
            }
        }
    }
}
