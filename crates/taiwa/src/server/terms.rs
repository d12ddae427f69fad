//! [`Terms`]: what the closures and sockets of one server, or of one [`Sockets`](crate::Sockets), share.

use std::{
    fmt::Display,
    future::pending,
    sync::{Arc, atomic::AtomicUsize},
};

use taiwa_proto::{Config, handshake::Origins};
use tokio::time::sleep;

use super::{Addr, subprotocols::Subprotocols};
use crate::websocket::GoingAway;

/// What hears of errors.
pub(super) type OnError = Box<dyn Fn(Option<&Addr>, &dyn Display) + Send + Sync>;

/// What closures run under.
pub(super) struct Terms {
    pub(super) config: Arc<Config>,
    pub(super) origins: Origins,
    pub(super) subprotocols: Subprotocols,
    pub(super) on_error: OnError,
    pub(super) going_away: Arc<GoingAway>,
    /// Connections that were handed out in pieces and have not ended.
    pub(super) apart: AtomicUsize,
}

impl Terms {
    pub(super) fn new(config: Config, origins: Origins, subprotocols: Subprotocols) -> Self {
        let config = Arc::new(config);
        let on_error: OnError = Box::new(|_, _| ());
        let (going_away, apart) = Default::default();
        Self { config, origins, subprotocols, on_error, going_away, apart }
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
