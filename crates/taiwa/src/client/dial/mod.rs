//! How a client's bytes get to the server: over a unix socket, by TCP or through a proxy, and TLS on
//! top.

mod destination;
mod race;
mod resolve;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use tokio::net::TcpStream;

use super::{
    Client,
    proxy::{Endpoint, Proxy, Scheme, http_connect, socks},
    redirect::{Hop, Standing},
};
use crate::{
    error::{Error, ProxyFault},
    io::BoxIo,
};
pub(super) use destination::{Place, parse_url};
pub(super) use resolve::Resolver;

/// What the builder says of the way to a server.
#[derive(Clone, Default)]
pub(super) struct Dialing {
    pub(super) resolver: Resolver,
    pub(super) proxy: Option<Proxy>,
    pub(super) local_address: Option<IpAddr>,
}

impl Client {
    /// Connects to a server, TLS included. The address is that of the server, if it is known.
    pub(super) async fn dial(&self, hop: &Hop) -> Result<(BoxIo, Option<SocketAddr>), Error> {
        let place = Place::of(&hop.uri);
        let (io, peer_addr) = match &hop.socket {
            Some(path) => (unix_stream(path).await?, None),
            None => self.reach(place).await?,
        };
        if !place.is_tls {
            return Ok((io, peer_addr));
        }
        Ok((self.secure(io, place.host, hop.standing).await?, peer_addr))
    }

    /// Does a TLS handshake with `host` over a transport.
    pub(super) async fn secure(
        &self,
        io: BoxIo,
        host: &str,
        standing: Standing,
    ) -> Result<BoxIo, Error> {
        Ok(Box::new(self.connector(standing)?.connect(host, io).await?))
    }

    async fn reach(&self, to: Place<'_>) -> Result<(BoxIo, Option<SocketAddr>), Error> {
        let through = match &self.shared.dialing.proxy {
            Some(proxy) => proxy.endpoint(to)?,
            None => None,
        };
        if let Some(through) = through {
            return Ok((self.tunnel(through, to).await?, None));
        }
        let tcp = self.tcp(to.host, to.port).await?;
        let peer_addr = tcp.peer_addr().ok();
        Ok((Box::new(tcp), peer_addr))
    }

    async fn tcp(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let dialing = &self.shared.dialing;
        let addresses = dialing.resolver.resolve(host, port).await?;
        let tcp = race::connect(&addresses, dialing.local_address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    /// Connects to a proxy and has it connect to the server.
    async fn tunnel(&self, through: &Endpoint, to: Place<'_>) -> Result<BoxIo, Error> {
        let limits = &self.shared.config.limits;
        let blame = |fault| through.blame(fault);
        match through.scheme {
            Scheme::Http => {
                let io = Box::new(self.proxy_tcp(through).await?);
                http_connect::tunnel(io, through, to, limits).await.map_err(blame)
            }
            Scheme::Https => {
                let tcp = Box::new(self.proxy_tcp(through).await?);
                // Our certificate and the server's other name are not for a proxy.
                let io = self.secure(tcp, &through.host, Standing::Stranger).await;
                let io = io.map_err(|error| match error {
                    Error::Tls(error) => blame(ProxyFault::Tls(error)),
                    Error::Io(error) => blame(ProxyFault::Io(error)),
                    other => other,
                })?;
                http_connect::tunnel(io, through, to, limits).await.map_err(blame)
            }
            Scheme::Socks5h => {
                let mut tcp = self.proxy_tcp(through).await?;
                let to = socks::Target::of(to.host, to.port);
                socks::tunnel(&mut tcp, &to, through.credentials()).await.map_err(blame)?;
                Ok(Box::new(tcp))
            }
            Scheme::Socks5 => self.tunnel_by_address(through, to).await,
        }
    }

    /// Resolves the server's name here and has the proxy try one address after the other. Each needs a
    /// connection of its own: RFC 1928 §6 has the proxy end it after a refusal.
    async fn tunnel_by_address(&self, through: &Endpoint, to: Place<'_>) -> Result<BoxIo, Error> {
        let addresses = self.shared.dialing.resolver.resolve(to.host, to.port).await?;
        let mut refused = None;
        for address in race::interleaved(&addresses) {
            let mut tcp = self.proxy_tcp(through).await?;
            let to = socks::Target::Address(address);
            match socks::tunnel(&mut tcp, &to, through.credentials()).await {
                Ok(()) => return Ok(Box::new(tcp)),
                Err(fault @ ProxyFault::SocksRefused(_)) => refused = Some(fault),
                Err(fault) => return Err(through.blame(fault)),
            }
        }
        Err(through.blame(refused.expect("a name that resolves has an address")))
    }

    async fn proxy_tcp(&self, through: &Endpoint) -> Result<TcpStream, Error> {
        let connected = self.tcp(&through.host, through.port).await;
        connected.map_err(|error| through.blame(ProxyFault::Io(error)))
    }
}

#[cfg(unix)]
async fn unix_stream(path: &Path) -> Result<BoxIo, Error> {
    match tokio::net::UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let message = format!("can't connect to {}: {error}", path.display());
            Err(Error::Io(io::Error::new(error.kind(), message)))
        }
    }
}

#[cfg(not(unix))]
async fn unix_stream(_: &Path) -> Result<BoxIo, Error> {
    let message = "unix sockets are for Unix alone";
    Err(Error::Io(io::Error::new(io::ErrorKind::Unsupported, message)))
}
