//! [`Connection`]: one connection of HTTP/3 and the tasks that drive it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use quinn::{ClientConfig, ConnectError, ConnectionError, Endpoint};
use taiwa_h3::{
    error::Code,
    net::{self, Reserved},
    qpack::SectionLimits,
};
use taiwa_proto::Limits;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    super::{sharing::Sharing, version::SETTINGS_WITHIN},
    Alternative,
};
use crate::error::Error;

/// Streams in its own direction that a server may open: three of HTTP/3, and reserved ones.
const UNIDIRECTIONAL_MAX: u32 = 8;

/// One connection, which WebSockets share. Clones are the same connection.
#[derive(Clone)]
pub(in crate::client) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    http3: net::Connection,
    state: Mutex<State>,
    /// No stream is left.
    vacated: Notify,
    streams_max: usize,
    peer_addr: SocketAddr,
    /// Where it leads, if it is not the origin's own place that was asked for.
    alternative: Option<Alternative>,
}

#[derive(Default)]
struct State {
    is_retired: bool,
    /// The server allows no more streams at the moment.
    is_full: bool,
    /// The stream that it allowed next.
    spare: Option<Reserved>,
    leases: usize,
}

/// A place for one stream, given back when dropped.
pub(in crate::client) struct Lease {
    connection: Connection,
    /// `None` on a new connection whose server has allowed none yet.
    reserved: Option<Reserved>,
}

/// Connects by QUIC.
pub(in crate::client) async fn connect(
    address: SocketAddr,
    local: Option<IpAddr>,
    host: String,
    config: ClientConfig,
) -> io::Result<quinn::Connection> {
    let local = match (local, address) {
        (Some(local), _) if local.is_ipv4() != address.is_ipv4() => {
            let message = format!("not of the family of the local address {local}");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        (Some(local), _) => local,
        (None, SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        (None, SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // One socket for each connection: so it belongs to no other runtime.
    let endpoint = Endpoint::client(SocketAddr::new(local, 0))?;
    let connecting = endpoint.connect_with(config, address, &host).map_err(misuse)?;
    connecting.await.map_err(io_error)
}

fn misuse(error: ConnectError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn io_error(error: ConnectionError) -> io::Error {
    // RFC 9001 §4.8: "a QUIC connection error" for an alert of TLS is "0x0100 plus the AlertDescription".
    let is_tls = |code: quinn::TransportErrorCode| (0x100..0x200).contains(&u64::from(code));
    match error {
        ConnectionError::TransportError(ref it) if is_tls(it.code) => {
            io::Error::new(io::ErrorKind::InvalidData, error)
        }
        ConnectionError::ConnectionClosed(ref it) if is_tls(it.error_code) => {
            io::Error::new(io::ErrorKind::InvalidData, error)
        }
        other => other.into(),
    }
}

impl Connection {
    /// Begins HTTP/3 on a connection of QUIC. It ends when it had no stream for `idle_max`.
    pub(in crate::client) fn begin(
        quic: quinn::Connection,
        alternative: Option<Alternative>,
        sharing: &Sharing,
        limits: &Limits,
        idle_max: Duration,
    ) -> Self {
        let limits = http3_limits(sharing, limits);
        let peer_addr = quic.remote_address();
        let (http3, driver) = net::Connection::client(quic, limits.settings(), limits);
        tokio::spawn(driver);
        let shared = Arc::new(Shared {
            http3,
            state: Mutex::default(),
            vacated: Notify::new(),
            streams_max: sharing.streams_max(),
            peer_addr,
            alternative,
        });
        tokio::spawn(watch(Arc::clone(&shared), idle_max));
        Self { shared }
    }

    /// Waits for the server's SETTINGS, and tells whether it takes WebSockets.
    pub(in crate::client) async fn takes_websockets(&self) -> Result<bool, Error> {
        match timeout(SETTINGS_WITHIN, self.shared.http3.peer_settings()).await {
            Ok(settings) => {
                let settings = settings.map_err(|it| Error::Io(it.into()))?;
                Ok(settings.enables_connect_protocol())
            }
            Err(_) => {
                let message = "the server sent no SETTINGS";
                Err(Error::Io(io::Error::new(io::ErrorKind::TimedOut, message)))
            }
        }
    }

    /// Takes the first place for a stream, which the server may have still to allow; `None` if the connection takes none.
    pub(in crate::client) fn first_lease(&self) -> Option<Lease> {
        let mut state = self.shared.state();
        if state.is_retired || self.shared.http3.peer_goes_away() {
            return None;
        }
        state.leases += 1;
        Some(Lease { connection: self.clone(), reserved: self.shared.http3.reserve() })
    }

    /// Takes a place for a stream that the server allows; `None` if all are taken or the connection takes no more. One whose server
    /// allows no more counts as full until it does.
    pub(in crate::client) fn lease(&self) -> Option<Lease> {
        let mut state = self.shared.state();
        if state.is_retired
            || state.is_full
            || state.leases >= self.shared.streams_max
            || self.shared.http3.peer_goes_away()
        {
            return None;
        }
        let Some(reserved) = state.spare.take().or_else(|| self.shared.http3.reserve()) else {
            state.is_full = true;
            tokio::spawn(make_room(Arc::clone(&self.shared)));
            return None;
        };
        state.leases += 1;
        Some(Lease { connection: self.clone(), reserved: Some(reserved) })
    }

    /// Takes no more streams; those that are open stay.
    pub(in crate::client) fn retire(&self) {
        self.shared.retire();
        self.shared.vacated.notify_one();
    }

    pub(in crate::client) fn is_retired(&self) -> bool {
        self.shared.state().is_retired
    }

    /// Returns where it leads, if that was offered by `Alt-Svc`.
    pub(in crate::client) fn alternative(&self) -> Option<&Alternative> {
        self.shared.alternative.as_ref()
    }

    pub(super) fn http3(&self) -> &net::Connection {
        &self.shared.http3
    }
}

/// Returns what QUIC is to keep to.
pub(in crate::client) fn transport(sharing: &Sharing) -> Arc<quinn::TransportConfig> {
    Arc::new(http3_limits(sharing, &Limits::default()).transport())
}

/// What a server may: answer, and nothing of its own.
fn http3_limits(sharing: &Sharing, limits: &Limits) -> net::Limits {
    let mut ours = net::Limits::default();
    ours.streams_max = 0;
    ours.unidirectional_max = UNIDIRECTIONAL_MAX;
    ours.stream_window = sharing.stream_window();
    ours.connection_window = sharing.connection_window();
    ours.section = SectionLimits {
        section_bytes_max: limits.handshake_bytes_max,
        // With the pseudo-header field.
        lines_max: limits.headers_max.saturating_add(1),
    };
    ours.webtransport.sessions_max = 0;
    ours
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|it| it.into_inner())
    }

    /// Takes no more streams if there is none; tells whether the connection is over.
    fn retire_if_vacant(&self) -> bool {
        let mut state = self.state();
        state.is_retired |= state.leases == 0;
        state.leases == 0
    }

    fn retire(&self) {
        let mut state = self.state();
        state.is_retired = true;
        let spare = state.spare.take();
        drop(state);
        drop(spare);
    }
}

impl Lease {
    /// Takes the stream that the server allows.
    pub(super) fn take_reserved(&mut self) -> Option<Reserved> {
        self.reserved.take()
    }

    pub(in crate::client) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(in crate::client) fn peer_addr(&self) -> SocketAddr {
        self.connection.shared.peer_addr
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.connection.shared.state();
        state.leases -= 1;
        if state.leases == 0 {
            self.connection.shared.vacated.notify_one();
        }
    }
}

/// Waits until the server of a full connection allows one more stream, and keeps that for who asks next.
async fn make_room(shared: Arc<Shared>) {
    // Otherwise it has ended.
    if let Ok(reserved) = shared.http3.room().await {
        let mut state = shared.state();
        if !state.is_retired {
            state.spare = Some(reserved);
            state.is_full = false;
        }
    }
}

/// Retires a connection at its end, and ends one that nobody needs.
async fn watch(shared: Arc<Shared>, idle_max: Duration) {
    // Before the first stream there may be a while, and who opens it may give up.
    let mut idle = Some(idle_max.max(2 * SETTINGS_WITHIN));
    let mut goes_away = pin!(shared.http3.peer_going_away());
    let mut has_gone_away = false;
    loop {
        tokio::select! {
            _ = shared.http3.closed() => return shared.retire(),
            () = &mut goes_away, if !has_gone_away => {
                has_gone_away = true;
                shared.retire();
                shared.vacated.notify_one();
            }
            () = shared.vacated.notified() => {
                let is_retired = shared.state().is_retired;
                idle = Some(if is_retired { Duration::ZERO } else { idle_max });
            }
            () = sleep(idle.unwrap_or_default()), if idle.is_some() => {
                idle = None;
                if shared.retire_if_vacant() {
                    return shared.http3.close(Code::NO_ERROR, "idle");
                }
            }
        }
    }
}
