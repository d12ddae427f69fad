//! [`SubprotocolPolicy`]: what becomes of clients that offer no subprotocol of ours.

use taiwa_proto::handshake::{Opening, Rejection};

use super::{Server, SocketsBuilder};

/// What becomes of a client that offers none of our subprotocols, or none at all (RFC 6455 §1.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubprotocolPolicy {
    /// It comes in without one, as RFC 6455 §4.2.2 allows. A browser that offered some then ends the
    /// connection by itself; other clients should look. The default.
    #[default]
    Optional,
    /// It is refused with status 400, before the closure is asked.
    Required,
}

/// The subprotocols of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Subprotocols {
    ours: Vec<String>,
    policy: SubprotocolPolicy,
}

impl Subprotocols {
    /// Returns what is agreed on.
    pub(super) fn choose(&self, opening: &Opening) -> Option<String> {
        opening.choose(&self.ours).map(str::to_owned)
    }

    /// Applies the policy.
    pub(super) fn check(&self, opening: &Opening) -> Result<(), Rejection> {
        let is_needed = self.policy == SubprotocolPolicy::Required && !self.ours.is_empty();
        if is_needed && opening.choose(&self.ours).is_none() {
            return Err(Rejection::NoSubprotocol);
        }
        Ok(())
    }

    fn set(&mut self, names: impl IntoIterator<Item = impl Into<String>>) {
        self.ours = names.into_iter().map(Into::into).collect();
    }
}

impl Server {
    /// Names the subprotocols that we speak. The first one of the client's list that is among them is agreed
    /// on; they are compared letter by letter. Default: none. A closure may still choose by
    /// [`Upgrade::subprotocol`](crate::Upgrade::subprotocol), which then counts instead.
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols.set(names);
        self
    }

    /// Sets what becomes of clients that offer none of our [`subprotocols`](Self::subprotocols). Where none
    /// is named, all come in.
    #[must_use]
    pub fn subprotocol_policy(mut self, policy: SubprotocolPolicy) -> Self {
        self.subprotocols.policy = policy;
        self
    }
}

impl SocketsBuilder {
    /// Names the subprotocols that we speak, as [`Server::subprotocols`].
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols.set(names);
        self
    }

    /// Sets what becomes of clients that offer none of them, as [`Server::subprotocol_policy`].
    pub fn subprotocol_policy(mut self, policy: SubprotocolPolicy) -> Self {
        self.subprotocols.policy = policy;
        self
    }
}
