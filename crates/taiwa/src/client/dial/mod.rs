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

use taiwa_proto::handshake::HandshakeMisuse;
use tokio::net::TcpStream;

use super::{
    Client, h3,
    proxy::{Endpoint, Proxy, Scheme, http_connect, socks},
    redirect::{Hop, Standing},
    route::{Dialed, Spoken},
};
use crate::{
    error::{Error, ProxyFault},
    io::BoxIo,
    tls::alpn,
};
pub(super) use destination::{Place, parse_url};
pub(crate) use resolve::Resolver;

/// What the builder says of the way to a server.
#[derive(Clone, Default)]
pub(super) struct Dialing {
    pub(super) resolver: Resolver,
    pub(super) proxy: Option<Proxy>,
    pub(super) local_address: Option<IpAddr>,
}

impl Client {
    /// Connects to a server, TLS included, which offers these protocols by ALPN.
    pub(super) async fn dial(&self, hop: &Hop, offer: &[&[u8]]) -> Result<Dialed, Error> {
        let place = Place::of(&hop.uri);
        let (io, peer_addr) = match &hop.socket {
            Some(path) => (unix_stream(path).await?, None),
            None => self.reach(place).await?,
        };
        if !place.is_tls {
            return Ok(Dialed { io, peer_addr, spoken: Spoken::Unsaid });
        }
        let dialed = self.secure(io, place.host, hop.standing, offer).await?;
        Ok(Dialed { peer_addr, ..dialed })
    }

    /// Connects to a server by QUIC, on this port of the URL's host, or of another host that has its certificate.
    pub(super) async fn dial_quic(
        &self,
        hop: &Hop,
        host: &str,
        port: u16,
    ) -> Result<quinn::Connection, Error> {
        let place = Place::of(&hop.uri);
        let dialing = &self.shared.dialing;
        let proxy = dialing.proxy.as_ref().map(|it| it.endpoint(place)).transpose()?.flatten();
        if !place.is_tls || hop.socket.is_some() || proxy.is_some() {
            return Err(Error::Request(HandshakeMisuse::HttpVersion));
        }
        let connector = self.connector(hop.standing)?;
        let mut config = connector.quic()?;
        config.transport_config(h3::transport(self.shared.pool.sharing()));
        // RFC 7838 §2.1: the alternative shows that it may speak for the origin by a certificate "that is valid for the origin's
        // host", whatever its own is called.
        let name = connector.name_of(place.host)?.to_str().into_owned();
        let addresses = dialing.resolver.resolve(host, port).await?;
        connect_quic(&addresses, dialing.local_address, &name, &config).await
    }

    /// Does a TLS handshake with `host` over a transport.
    pub(super) async fn secure(
        &self,
        io: BoxIo,
        host: &str,
        standing: Standing,
        offer: &[&[u8]],
    ) -> Result<Dialed, Error> {
        let io = self.connector(standing)?.offering(offer).connect(host, io).await?;
        let is_http2 = io.get_ref().1.alpn_protocol() == Some(alpn::HTTP2);
        let spoken = if is_http2 { Spoken::Http2 } else { Spoken::Http1 };
        Ok(Dialed { io: Box::new(io), peer_addr: None, spoken })
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
                let offer = &[alpn::HTTP1];
                let dialed = self.secure(tcp, &through.host, Standing::Stranger, offer).await;
                let dialed = dialed.map_err(|error| match error {
                    Error::Tls(error) => blame(ProxyFault::Tls(error)),
                    Error::Io(error) => blame(ProxyFault::Io(error)),
                    other => other,
                })?;
                http_connect::tunnel(dialed.io, through, to, limits).await.map_err(blame)
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

/// Connects by QUIC to the one of several addresses that answers first.
pub(crate) async fn connect_quic(
    addresses: &[SocketAddr],
    local: Option<IpAddr>,
    name: &str,
    config: &quinn::ClientConfig,
) -> Result<quinn::Connection, Error> {
    let connected = race::connect_by(addresses, |address| {
        h3::connect(address, local, name.to_owned(), config.clone())
    });
    connected.await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Error::Tls(error),
        _ => Error::Io(error),
    })
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
