//! [`Endpoints`]: the UDP sockets of a server.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::server::{Listener, Shared, alternative::Alternative};

/// The sockets of UDP that a server has before it serves.
#[derive(Default)]
pub(in crate::server) struct Ports {
    /// Instead of one for each listener of TCP.
    pub(in crate::server) given: Vec<UdpSocket>,
    /// Of the service manager, which gives them to the next process, too.
    pub(in crate::server) handed_over: Vec<UdpSocket>,
    /// For listeners of TCP, each at the same address.
    bound: Vec<UdpSocket>,
}

impl Ports {
    /// Binds one for each listener of TCP that has none yet and is not shared with another process.
    pub(in crate::server) fn bind(&mut self, listeners: &[Listener]) -> io::Result<()> {
        for listener in listeners.iter().filter(|it| !it.is_shared()) {
            if let Some(addr) = self.missing(listener)? {
                self.bound.push(udp(addr).map_err(|it| {
                    io::Error::new(it.kind(), format!("can't have UDP port {addr}: {it}"))
                })?);
            }
        }
        Ok(())
    }

    /// Returns the address at which a listener of TCP has to have a socket of UDP and has none.
    fn missing(&self, listener: &Listener) -> io::Result<Option<SocketAddr>> {
        let Some(addr) = listener.local_addr()?.tcp().filter(|_| self.given.is_empty()) else {
            return Ok(None);
        };
        let has_addr = |it: &UdpSocket| it.local_addr().is_ok_and(|it| it == addr);
        // Who opened both knows by which addresses they are reached.
        let has_port = |it: &UdpSocket| it.local_addr().is_ok_and(|it| it.port() == addr.port());
        let is_there = self.bound.iter().any(has_addr) || self.handed_over.iter().any(has_port);
        Ok(Some(addr).filter(|_| !is_there))
    }
}

/// The UDP sockets of a server, and the connections that begin on them.
pub(in crate::server) struct Endpoints {
    config: Option<ServerConfig>,
    endpoints: Arc<Mutex<Vec<Bound>>>,
    arriving: mpsc::Sender<(Incoming, SocketAddr)>,
    arrived: mpsc::Receiver<(Incoming, SocketAddr)>,
    /// Whether sockets that are shared were left.
    left: watch::Sender<bool>,
    /// One for each socket; those that can't be bound yet try again.
    tasks: JoinSet<()>,
    handshakes: Handshakes,
}

/// A socket that is served.
struct Bound {
    endpoint: Endpoint,
    /// Another process waits for its port, or will.
    is_shared: bool,
}

/// Whether another process waits for a port, or will.
struct IsShared(bool);

/// How many handshakes are under way.
#[derive(Clone, Default)]
struct Handshakes(Arc<AtomicUsize>);

/// A connection whose handshake is under way, until it is dropped.
pub(in crate::server) struct Arriving {
    pub(super) incoming: Incoming,
    /// The address of the socket.
    pub(super) local: SocketAddr,
    pub(super) counted: Counted,
}

pub(super) struct Counted(Handshakes);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Arriving {
    /// Says that there is no place.
    pub(in crate::server) fn refuse(self) {
        self.incoming.refuse();
    }
}

impl Endpoints {
    /// Takes the sockets that there are, and binds one for each listener of TCP that has none.
    pub(in crate::server) fn bind(
        shared: &Arc<Shared>,
        listeners: &[Listener],
        mut ports: Ports,
    ) -> io::Result<Self> {
        let (arriving, arrived) = mpsc::channel(ARRIVING_MAX);
        let mut config = shared.quic.clone();
        if let (Some(config), Some(http3)) = (&mut config, &shared.http3) {
            // QUIC enforces the windows, and how many streams there may be.
            config.transport_config(Arc::new(http3.limits(shared).transport()));
        }
        let mut endpoints = Self {
            config,
            endpoints: Arc::default(),
            arriving,
            arrived,
            left: watch::Sender::default(),
            tasks: JoinSet::new(),
            handshakes: Handshakes::default(),
        };
        if endpoints.config.is_none() {
            return Ok(endpoints);
        }
        ports.bind(listeners)?;
        for listener in listeners {
            if let Some(addr) = ports.missing(listener)? {
                endpoints.begin_later(shared, addr);
            }
        }
        for socket in ports.given.into_iter().chain(ports.bound) {
            endpoints.begin(shared, socket, IsShared(false))?;
        }
        for socket in ports.handed_over {
            endpoints.begin(shared, socket, IsShared(true))?;
        }
        Ok(endpoints)
    }

    fn begin(
        &mut self,
        shared: &Shared,
        socket: UdpSocket,
        IsShared(is_shared): IsShared,
    ) -> io::Result<()> {
        let endpoint = endpoint(self.config.clone(), socket)?;
        let local = endpoint.local_addr()?;
        shared.terms.alternative.add(local.port());
        lock(&self.endpoints).push(Bound { endpoint: endpoint.clone(), is_shared });
        self.tasks.spawn(forward(endpoint, local, self.arriving.clone()));
        Ok(())
    }

    /// Where another process may still have the port: QUIC's connections of both can't be told apart by the system. It is
    /// ours when that one has ended.
    fn begin_later(&mut self, shared: &Arc<Shared>, addr: SocketAddr) {
        let (config, arriving) = (self.config.clone(), self.arriving.clone());
        let endpoints = Arc::clone(&self.endpoints);
        let mut left = self.left.subscribe();
        let shared = Arc::clone(shared);
        let serving = async move {
            let endpoint = loop {
                match udp(addr).and_then(|socket| endpoint(config.clone(), socket)) {
                    Ok(endpoint) => break endpoint,
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        sleep(BIND_AGAIN_AFTER).await;
                    }
                    Err(error) => return (shared.terms.on_error)(None, &error),
                }
            };
            shared.terms.alternative.add(addr.port());
            lock(&endpoints).push(Bound { endpoint: endpoint.clone(), is_shared: true });
            forward(endpoint, addr, arriving).await;
        };
        self.tasks.spawn(async move {
            tokio::select! {
                () = serving => {}
                _ = left.wait_for(|it| *it) => {}
            }
        });
    }

    /// Waits for a connection. Under load it has to prove its address before it is returned.
    ///
    /// Cancel-safe.
    pub(in crate::server) async fn accept(&mut self, shared: &Shared) -> Option<Arriving> {
        let unproven_max = shared.http3.as_ref().map_or(0, |it| it.unproven_max);
        loop {
            let (incoming, local) = self.arrived.recv().await?;
            let is_busy = self.handshakes.0.load(Ordering::Relaxed) >= unproven_max;
            if is_busy && !incoming.remote_address_validated() && incoming.may_retry() {
                let _ = incoming.retry();
                continue;
            }
            self.handshakes.0.fetch_add(1, Ordering::Relaxed);
            let counted = Counted(self.handshakes.clone());
            return Some(Arriving { incoming, local, counted });
        }
    }

    /// Takes no new connections on sockets whose port another process waits for; those that there are go on, and the port
    /// is free when the last of them has ended. Until then clients come by TCP.
    pub(in crate::server) fn leave_shared(&self, alternative: &Alternative) {
        self.left.send_replace(true);
        lock(&self.endpoints).retain(|it| {
            if it.is_shared {
                it.endpoint.set_server_config(None);
                if let Ok(addr) = it.endpoint.local_addr() {
                    alternative.remove(addr.port());
                }
            }
            !it.is_shared
        });
    }

    /// Takes no new connections; those that there are go on.
    pub(in crate::server) fn leave(&mut self) {
        self.tasks.abort_all();
        self.arrived.close();
        for bound in lock(&self.endpoints).iter() {
            bound.endpoint.set_server_config(None);
        }
    }

    /// Waits for a moment until the last packets have gone out.
    pub(in crate::server) async fn end(self) {
        let all = async {
            let bound = std::mem::take(&mut *lock(&self.endpoints));
            for Bound { endpoint, .. } in bound {
                endpoint.wait_idle().await;
            }
        };
        let _ = timeout(LAST_PACKETS_WITHIN, all).await;
    }
}

/// Connections that were begun and not looked at. Past it they wait in quinn, which bounds them, too.
const ARRIVING_MAX: usize = 64;
/// Wait for a port that another process has.
const BIND_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A few round trips.
const LAST_PACKETS_WITHIN: Duration = Duration::from_millis(500);

/// A panic while it is held leaves it whole.
fn lock(endpoints: &Mutex<Vec<Bound>>) -> MutexGuard<'_, Vec<Bound>> {
    endpoints.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(
    endpoint: Endpoint,
    local: SocketAddr,
    arriving: mpsc::Sender<(Incoming, SocketAddr)>,
) {
    while let Some(incoming) = endpoint.accept().await {
        if arriving.send((incoming, local)).await.is_err() {
            return;
        }
    }
}

/// Makes a socket at the address where TCP listens. A wildcard of IPv6 hears IPv4 as TCP does there.
fn udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn endpoint(config: Option<ServerConfig>, socket: UdpSocket) -> io::Result<Endpoint> {
    Endpoint::new(EndpointConfig::default(), config, socket, Arc::new(TokioRuntime))
}
