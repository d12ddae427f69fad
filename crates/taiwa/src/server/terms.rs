//! [`Terms`]: what the closures and sockets of one server, or of one [`Sockets`](crate::Sockets), share.

use std::{
    fmt::Display,
    future::pending,
    sync::{Arc, atomic::AtomicUsize},
};

use taiwa_proto::{Config, handshake::Origins};
use tokio::time::sleep;

use super::{Addr, alternative::Alternative, subprotocols::Subprotocols};
use crate::websocket::GoingAway;

/// What hears of errors.
pub(super) type OnError = Arc<dyn Fn(Option<&Addr>, &dyn Display) + Send + Sync>;

/// What closures run under.
pub(super) struct Terms {
    pub(super) config: Arc<Config>,
    pub(super) origins: Origins,
    pub(super) subprotocols: Subprotocols,
    pub(super) on_error: OnError,
    pub(super) going_away: Arc<GoingAway>,
    /// Connections that were handed out in pieces and have not ended, and WebSockets on streams of others.
    pub(super) apart: Arc<AtomicUsize>,
    /// Where HTTP/3 is.
    pub(super) alternative: Arc<Alternative>,
    /// Connections that are served, when it was counted last.
    pub(super) served: Arc<AtomicUsize>,
}

impl Terms {
    pub(super) fn new(config: Config, origins: Origins, subprotocols: Subprotocols) -> Self {
        let config = Arc::new(config);
        let on_error: OnError = Arc::new(|_, _| ());
        let (going_away, apart, alternative, served) = Default::default();
        Self { config, origins, subprotocols, on_error, going_away, apart, alternative, served }
    }

    /// Returns the same with other settings.
    pub(super) fn tuned(&self, config: Config, origins: Origins) -> Self {
        Self {
            config: Arc::new(config),
            origins,
            subprotocols: self.subprotocols.clone(),
            on_error: Arc::clone(&self.on_error),
            going_away: Arc::clone(&self.going_away),
            apart: Arc::clone(&self.apart),
            alternative: Arc::clone(&self.alternative),
            served: Arc::clone(&self.served),
        }
    }

    /// Ends when the server goes away and what was not done by itself has to be ended.
    pub(super) async fn patience(&self) {
        self.going_away.wait().await;
        match self.config.deadlines.close {
            Some(within) => sleep(within).await,
            None => pending().await,
        }
    }
}
