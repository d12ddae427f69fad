//! A listener whose connections are encrypted: axum has none of its own.

use std::{io, net::SocketAddr};

use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// Hands out connections whose handshake is done; many may be under way.
pub(crate) struct Secure {
    local: SocketAddr,
    accepted: mpsc::Receiver<Accepted>,
}

impl Secure {
    pub(crate) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let (accepting, accepted) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (accepting, acceptor) = (accepting.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = accepting.send((stream, peer)).await;
                    }
                });
            }
        });
        Ok(Self { local, accepted })
    }
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The listener failed: there is nothing left to hand out.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.local)
    }
}
