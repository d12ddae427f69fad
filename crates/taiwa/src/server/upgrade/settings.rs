//! Settings of one upgrade. Without them it is by those of its server, or of its [`Sockets`](crate::Sockets).

use std::sync::Arc;

use taiwa_proto::{Config, Deadlines, Keepalive, Limits, deflate::Deflate, handshake::Origins};

use super::{Rejection, Upgrade};

impl Upgrade {
    /// Sets limits, deadlines, keepalive and compression of this socket at once. Note that
    /// [`Config::default`] has keepalive off.
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.asked.config = config.into();
        self
    }

    /// Sets the limits of this socket.
    pub fn limits(mut self, limits: Limits) -> Self {
        Arc::make_mut(&mut self.asked.config).limits = limits;
        self
    }

    /// Sets the deadlines of this socket.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        Arc::make_mut(&mut self.asked.config).deadlines = deadlines;
        self
    }

    /// Sets when this peer is pinged if it is silent; `None` never.
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        Arc::make_mut(&mut self.asked.config).keepalive = keepalive.into();
        self
    }

    /// Accepts permessage-deflate (RFC 7692) for this socket; `None` declines it.
    pub fn compression(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        Arc::make_mut(&mut self.asked.config).deflate = deflate.into();
        self
    }

    #[cfg(feature = "compat-axum")]
    pub(crate) fn limits_mut(&mut self) -> &mut Limits {
        &mut Arc::make_mut(&mut self.asked.config).limits
    }

    /// Lets in fewer pages than the server does, for this upgrade. The server's own policy has been applied
    /// already: no code of ours runs for a page that may not connect. A route that lets in more has
    /// [`Sockets`](crate::Sockets) of its own.
    ///
    /// # Errors
    /// [`Rejection::Request`] if the page may not connect.
    pub fn origins(self, origins: &Origins) -> Result<Self, Rejection> {
        self.asked.opening.permitted_by(origins, self.asked.ends.arrival())?;
        Ok(self)
    }
}
