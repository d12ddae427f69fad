//! The transport that hyper hands over.

use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use taiwa_proto::{
    CloseCode, Config, Deadline, Role,
    handshake::{Agreed, Arrival, Opening},
};
use tokio::{net::TcpStream, time::timeout};

use super::stream::HyperStream;
use crate::{
    error::Error,
    io::{BoxIo, Io},
    server::terms::Terms,
    websocket::{Inner, Opened},
};

/// A transport with the bytes that hyper read behind the request.
pub(super) struct Handed {
    pub(super) io: BoxIo,
    pub(super) leftover: BytesMut,
    /// Known over TCP.
    pub(super) peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
}

/// Waits until hyper has sent the response 101 or 200, and checks what can be seen of the transport only now.
pub(super) async fn hand_over(
    upgrading: OnUpgrade,
    terms: &Terms,
    config: &Arc<Config>,
    opening: &Opening,
) -> Result<Handed, Error> {
    let within = config.deadlines.write;
    let upgraded = async {
        match within {
            Some(within) => timeout(within, upgrading).await.map_err(|_| Deadline::Write),
            None => Ok(upgrading.await),
        }
    };
    let upgraded = tokio::select! {
        upgraded = upgraded => upgraded.map_err(Error::Late)?,
        () = terms.patience() => return Err(Error::Lost),
    };
    let upgraded = upgraded.map_err(|error| match error.is_canceled() {
        true => Error::Lost,
        false => Error::Io(std::io::Error::other(error)),
    })?;
    let handed = match opening.is_connect() {
        true => Handed::other(HyperStream::new(upgraded)),
        false => Handed::new(upgraded),
    };
    let arrival = handed.local.map_or(Arrival::Network, |it| Arrival::at(it.ip()));
    match opening.permitted_by(&terms.origins, arrival) {
        Ok(()) => Ok(handed),
        Err(_) => Err(turn_away(handed, config).await),
    }
}

impl Handed {
    /// Takes a TCP socket out of hyper's wrappings: it writes several slices at once, and knows its ends.
    fn new(upgraded: Upgraded) -> Self {
        // axum has it wrapped once more, to see which version of HTTP comes.
        let upgraded = match auto::upgrade::downcast(upgraded) {
            Ok(parts) => return Self::tcp(parts.io, parts.read_buf),
            Err(upgraded) => upgraded,
        };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => Self::tcp(parts.io, parts.read_buf),
            Err(upgraded) => Self::other(TokioIo::new(upgraded)),
        }
    }

    fn other(io: impl Io) -> Self {
        Self { io: Box::new(io), leftover: BytesMut::new(), peer: None, local: None }
    }

    fn tcp(io: TokioIo<TcpStream>, read: Bytes) -> Self {
        let tcp = io.into_inner();
        // Frames are small and whole. A socket that is gone is noticed later.
        let _ = tcp.set_nodelay(true);
        let (peer, local) = (tcp.peer_addr().ok(), tcp.local_addr().ok());
        Self { io: Box::new(tcp), leftover: read.into(), peer, local }
    }
}

/// Closes with 1008: the page is of the same host only by a name that it may have bound to this machine.
/// By which address it reached us could not be known before the response.
async fn turn_away(handed: Handed, config: &Arc<Config>) -> Error {
    let Handed { io, leftover, peer, .. } = handed;
    let opened = Opened { io, leftover, agreed: Agreed::default(), peer_addr: peer };
    let mut inner = Inner::new(Role::Server, Arc::clone(config), opened);
    if let Err(misuse) = inner.close(CloseCode::POLICY_VIOLATION, "origin not allowed") {
        return misuse.into();
    }
    match poll_fn(|cx| inner.poll_end(cx)).await {
        Ok(()) => inner.closed().map_or(Error::Lost, |it| Error::Closed(it.clone())),
        Err(error) => error,
    }
}
