//! What a good token grants.

use bytes::Bytes;

/// What a connection's token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who the client is (`sub`). Empty: someone without a name.
    pub user: String,
    /// When the connection must have a new token, in seconds since 1970: `expire_at`, otherwise `exp` with the leeway.
    /// `None`: never.
    pub expires_at: Option<u64>,
    /// What others may see of the client (`info`, `b64info`).
    pub info: Option<Info>,
    /// JSON that the app sees and clients never do (`meta`).
    pub meta: Option<Bytes>,
    /// What the client is subscribed to without asking (`channels`, `subs`), each channel once, in no order that counts.
    pub channels: Vec<ServerSide>,
    /// What a revocation may hit. Keep it with the session.
    pub stamp: Stamp,
}

/// What a subscription's token grants: to subscribe to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionGrant {
    /// When the subscription must have a new token, in seconds since 1970, as in [`Grant::expires_at`].
    pub expires_at: Option<u64>,
    /// What others in the channel may see of the client, instead of what its connection's token said.
    pub info: Option<Info>,
    /// Options of the channel that are other for this subscription.
    pub overrides: Overrides,
    /// What a revocation may hit. Keep it with the subscription.
    pub stamp: Stamp,
}

/// What others see of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Info {
    /// JSON on one line, otherwise as it stood in the token.
    Json(Bytes),
    /// Bytes that are no JSON: only clients of binary dialects can see them.
    Binary(Bytes),
}

/// A subscription that the client does not ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSide {
    /// The channel's name, as it stood in the token: nobody has checked it.
    pub channel: String,
    /// What others in the channel may see of the client, instead of [`Grant::info`].
    pub info: Option<Info>,
    /// What the client is told with the subscription.
    pub greeting: Option<Info>,
    /// Options of the channel that are other for this subscription.
    pub overrides: Overrides,
}

/// Options of a channel that a token changes for one subscription. `None`: as the channel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Whether the client is in the channel's presence.
    pub presence: Option<bool>,
    /// Whether others are told that it joins and leaves.
    pub join_leave: Option<bool>,
    /// Whether it is told of others without asking (`force_push_join_leave`).
    pub push_join_leave: Option<bool>,
    /// Whether it recovers missed publications without asking (`force_recovery`).
    pub recovery: Option<bool>,
    /// Whether its position is watched without asking (`force_positioning`).
    pub positioning: Option<bool>,
}

/// What tells a token from others: its `jti`, user and age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its `jti`.
    pub id: Option<String>,
    /// Its `sub`, empty without one.
    pub user: String,
    /// Its `iat`, in seconds since 1970.
    pub issued_at: Option<u64>,
}
