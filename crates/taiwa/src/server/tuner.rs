//! [`Tuner`]: other settings for a server at work.

use std::sync::Arc;

use taiwa_proto::{Config, handshake::Origins};
use tokio::sync::watch;

use super::Shared;

/// What a [`Tuner`] sets.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// See [`Server::config`](crate::Server::config).
    pub config: Config,
    /// See [`Server::origins`](crate::Server::origins).
    pub origins: Origins,
    /// See [`Server::connections_max`](crate::Server::connections_max). Connections that are open stay, also if they are
    /// more.
    pub connections_max: usize,
}

/// Sets other limits, deadlines and origins for a [`Server`](crate::Server) at work. They hold for connections that come
/// from then on; those that are open go on as they began. Its clones are one, and one can be for several servers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// use taiwa::{CloseCode, Config, Limits, Origins, Server, Tuner, Tuning, Upgrade};
///
/// let tuner = Tuner::default();
/// let server = Server::bind("127.0.0.1:0").await?.tuned_by(&tuner);
/// let url = format!("ws://{}/", server.local_addr()?);
/// let serving = server.serve(|upgrade: Upgrade| async move {
///     upgrade.accept().await?.recv().await.map(drop)
/// });
/// tokio::spawn(serving.into_future());
///
/// tuner.tune(Tuning {
///     config: Config {
///         limits: Limits { message_bytes_max: 4, ..Limits::default() },
///         ..Config::default()
///     },
///     origins: Origins::SameHost,
///     connections_max: 10,
/// });
/// let mut socket = taiwa::connect(&url).await?;
/// socket.send("hello").await?;
/// assert_eq!(socket.recv().await?, None);
/// assert_eq!(socket.closed().expect("recv returned None").code, CloseCode::MESSAGE_TOO_BIG);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tuner(Arc<watch::Sender<Option<Tuning>>>);

impl Tuner {
    /// Sets them.
    pub fn tune(&self, tuning: Tuning) {
        self.0.send_replace(Some(tuning));
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Tuning>> {
        let mut tuned = self.0.subscribe();
        // What was set before the server began counts, too.
        tuned.mark_changed();
        tuned
    }
}

/// Waits for another setting; for ever if nobody can set any more.
pub(super) async fn changed(tuned: &mut Option<watch::Receiver<Option<Tuning>>>) -> Tuning {
    if let Some(tuned) = tuned {
        while tuned.changed().await.is_ok() {
            if let Some(tuning) = tuned.borrow_and_update().clone() {
                return tuning;
            }
        }
    }
    std::future::pending().await
}

impl Shared {
    /// Returns what connections share from now on.
    pub(super) fn tuned(&self, tuning: Tuning) -> Self {
        let Tuning { config, origins, connections_max } = tuning;
        let terms = Arc::new(self.terms.tuned(config, origins));
        Self { terms, connections_max, ..self.clone() }
    }
}
