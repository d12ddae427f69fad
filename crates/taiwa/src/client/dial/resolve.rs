//! Who turns names into addresses.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Turns names into addresses.
#[derive(Clone, Default)]
pub(crate) enum Resolver {
    /// `getaddrinfo` of the system, on a thread of tokio's.
    #[default]
    System,
    /// The program's own.
    Own(Arc<dyn Fn(String, u16) -> Answer + Send + Sync>),
}

impl Resolver {
    pub(crate) fn own<F, R>(resolve: F) -> Self
    where
        F: Fn(String, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self::Own(Arc::new(move |host, port| Box::pin(resolve(host, port))))
    }

    /// Returns at least one address. An address is its own answer, nobody is asked for it.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let answer = match self {
            Self::System => tokio::net::lookup_host((host, port)).await.map(Iterator::collect),
            Self::Own(resolve) => resolve(host.to_owned(), port).await,
        };
        match answer {
            Ok(addresses) if addresses.is_empty() => {
                let message = format!("{host} has no address");
                Err(io::Error::new(io::ErrorKind::NotFound, message))
            }
            Ok(addresses) => Ok(addresses),
            Err(error) => {
                Err(io::Error::new(error.kind(), format!("can't resolve {host}: {error}")))
            }
        }
    }
}
