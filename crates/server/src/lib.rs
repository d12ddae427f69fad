//! Serves channels over WebSocket: every path is one. Arguments, files and the environment are the
//! business of whoever calls.
//!
//! What one client of a path sends, text or binary, every other client of the path receives, its kind
//! kept. With `?echo=true` the sender receives it too. `/echo` sends each message back to its sender
//! alone. `/` is a page over plain HTTP (and a channel over WebSocket); what begins with `/.taiwa/` is
//! ours.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use taiwa_server::{FanoutLimits, Site};
//!
//! let server = taiwa::Server::bind("127.0.0.1:8000").await?;
//! Site::new(FanoutLimits::default(), "ws").serve(server).await
//! # }
//! ```

mod chat;
mod connections;
pub mod fanout;
mod page;
pub mod shard;
pub mod auth;
pub mod outgoing;

use std::{convert::Infallible, sync::Arc};

use taiwa::{Server, Serving};
use tracing::{debug, warn};

use connections::Connections;
use fanout::Fanout;
pub use fanout::FanoutLimits;

/// Paths that begin so are no channels.
const RESERVED: &str = "/.taiwa/";

/// What is served: the channels, the list of connections, the page.
pub struct Site {
    fanout: Fanout,
    connections: Arc<Connections>,
    scheme: &'static str,
}

impl Site {
    /// Makes a site without channels. `scheme`, `ws` or `wss`, stands in the texts that say how to
    /// connect.
    pub fn new(limits: FanoutLimits, scheme: &'static str) -> Self {
        Self { fanout: Fanout::new(limits), connections: Arc::default(), scheme }
    }

    /// Serves it on the listeners of `server`.
    pub fn serve(self, server: Server) -> Serving {
        let site = Arc::new(self);
        let scheme = site.scheme;
        server
            .http(move |request| {
                let response = page::answer(&request, scheme);
                debug!(
                    path = request.uri().path(),
                    status = response.status().as_u16(),
                    "answered a request"
                );
                async move { response }
            })
            .serve(move |upgrade| {
                let site = site.clone();
                async move {
                    let who = upgrade.peer_addr().clone();
                    if let Err(error) = chat::meet(&site, upgrade).await {
                        debug!(%who, "opening handshake failed: {error}");
                    }
                    Ok::<(), Infallible>(())
                }
            })
            .on_error(|who, error| match who {
                Some(who) => warn!(%who, "{error}"),
                None => warn!("{error}"),
            })
    }
}
