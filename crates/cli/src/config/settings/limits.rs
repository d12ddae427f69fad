//! Bounds: how much, how many, how often, how long.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taiwa::{Deadlines, Keepalive};
use taiwa_server::{HostLimits, auth::AuthLimits, outgoing::OutgoingLimits, shard};

use super::{http2::Http2Limits, http3::Http3Limits};
use crate::{
    args::{Size, Time},
    config::values::{Most, Rate},
};

/// Bounds of all that can grow.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Of each connection.
    pub(crate) connection: ConnectionLimits,
    /// Of each connection of HTTP/2.
    pub(crate) http2: Http2Limits,
    /// Of each connection of HTTP/3.
    pub(crate) http3: Http3Limits,
    /// Of each session.
    pub(crate) session: SessionLimits,
    /// Of each user, however many sessions it has.
    pub(crate) user: UserLimits,
    /// Of each address that clients come from.
    pub(crate) address: AddressLimits,
    /// Of each channel; more of them are in the namespaces.
    pub(crate) channel: ChannelLimits,
    /// Of each publication and of what goes with it.
    pub(crate) publication: PublicationLimits,
    /// Of each shard: a thread that owns its connections, sessions and channels.
    pub(crate) shard: ShardLimits,
    /// Of the whole server.
    pub(crate) server: ServerLimits,
    /// Of checking tokens.
    pub(crate) auth: TokenLimits,
    /// Of the requests that the server makes: to webhooks, and for keys.
    pub(crate) outgoing: RequestLimits,
}

/// Bounds of each connection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConnectionLimits {
    /// Bytes of a message from a client, after inflating; past it: close code 1009.
    pub(crate) message_max: Size,
    /// Frames of a message from a client; past it: close code 1008.
    pub(crate) fragments_max: u32,
    /// Bytes that the system has not taken yet for one client; past it the next message waits in its queue.
    pub(crate) outbox_max: Size,
    /// Bytes that wait for one client to read them; past it: what `slow_readers` of the namespace says, in the usual case
    /// close code 1013.
    pub(crate) queue_max: Size,
    /// Pongs that wait for one client to read them; past it the newest replaces the last.
    pub(crate) pongs_max: u32,
    /// Bytes of a request's head; past it: status 431.
    pub(crate) handshake_max: Size,
    /// Header lines of a request; past it: status 431.
    pub(crate) headers_max: usize,
    /// Bytes of a request's body; past it: status 413.
    pub(crate) request_max: Size,
    /// Bytes that wait for one client on the body of a response; past it it is disconnected.
    pub(crate) body_max: Size,
    /// Requests of one conversation that wait for an answer; past it: status 429.
    pub(crate) exchanges_max: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let (limits, host) = (taiwa::Limits::default(), HostLimits::default());
        Self {
            message_max: Size(limits.message_bytes_max),
            fragments_max: limits.fragments_max,
            outbox_max: Size(limits.outbox_bytes_max),
            queue_max: Size(1 << 20),
            pongs_max: limits.pongs_max,
            handshake_max: Size(limits.handshake_bytes_max),
            headers_max: limits.headers_max,
            request_max: Size(1 << 20),
            body_max: Size(host.body_bytes_max),
            exchanges_max: host.exchanges_max,
        }
    }
}

/// Bounds of each session.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SessionLimits {
    /// Subscriptions at the same time; past it the next one is refused.
    pub(crate) subscriptions_max: usize,
    /// Links (Socket.IO namespaces and the like) at the same time; past it the next one is refused.
    pub(crate) links_max: usize,
    /// Commands, with twice as many at once; past it the session is disconnected.
    pub(crate) command_rate: Rate,
    /// Publications, with twice as many at once; past it the next one is refused.
    pub(crate) publish_rate: Rate,
    /// Questions to the app that wait for an answer; past it the next one is refused.
    pub(crate) asked_max: u16,
    /// Calls of the app to the client that wait for an answer; past it the next one is refused.
    pub(crate) calls_max: usize,
    /// Bytes that wait for a client which has no connection for the moment, as between two polls; past it its session
    /// ends.
    pub(crate) waiting_max: Size,
    /// Bytes of what is kept for a client that has lost its connection; past it the oldest is forgotten, and the client
    /// begins anew.
    pub(crate) log_max: Size,
}

impl Default for SessionLimits {
    fn default() -> Self {
        let limits = taiwa_hub::Limits::default();
        Self {
            subscriptions_max: limits.subscriptions_max,
            links_max: limits.links_max,
            command_rate: Rate(limits.commands_per_second),
            publish_rate: Rate(limits.publications_per_second),
            asked_max: limits.asked_max,
            calls_max: limits.calls_max,
            waiting_max: Size(HostLimits::default().waiting_bytes_max),
            log_max: Size(limits.log_bytes_max),
        }
    }
}

/// Bounds of each user.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UserLimits {
    /// Sessions of a user at the same time; past it the next one is disconnected.
    pub(crate) sessions_max: usize,
}

impl Default for UserLimits {
    fn default() -> Self {
        Self { sessions_max: taiwa_hub::Limits::default().user_sessions_max }
    }
}

/// Bounds of each address.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AddressLimits {
    /// Clients at the same time, `off` for no limit; past it: status 429. A network of 64 bits counts as one address of
    /// IPv6. Behind a proxy that does not speak the PROXY protocol, all clients come from one address.
    pub(crate) clients_max: Most,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self { clients_max: Most(0) }
    }
}

/// Bounds of each channel.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChannelLimits {
    /// Bytes of a channel's history; past it the oldest publication is forgotten.
    pub(crate) history_max: Size,
    /// Publications in one answer; more are to be asked for again, and a client that missed more begins anew.
    pub(crate) page_max: usize,
    /// Members in one answer about presence; more are left out.
    pub(crate) presence_max: usize,
    /// Idempotency keys that a channel remembers; past it the oldest is forgotten.
    pub(crate) identifiers_max: usize,
}

impl Default for ChannelLimits {
    fn default() -> Self {
        let limits = taiwa_hub::Limits::default();
        Self {
            history_max: Size(limits.history_bytes_max),
            page_max: limits.page_max,
            presence_max: limits.presence_max,
            identifiers_max: limits.identifiers_max,
        }
    }
}

/// Bounds of each publication.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PublicationLimits {
    /// Bytes of its payload; past it: refused.
    pub(crate) payload_max: Size,
    /// Its tags; past it: refused.
    pub(crate) tags_max: usize,
    /// Channels whose subscribers it leaves out; past it: refused.
    pub(crate) except_channels_max: usize,
    /// Bytes of an event's name, a key, an identifier or a method; past it: refused.
    pub(crate) name_max: Size,
    /// Comparisons, and what joins them, in a subscriber's filter by tags; past it the subscription is refused.
    pub(crate) filter_nodes_max: usize,
    /// How deep a filter may be nested; past it the subscription is refused.
    pub(crate) filter_depth_max: usize,
    /// Bytes of all keys and values of a filter; past it the subscription is refused.
    pub(crate) filter_max: Size,
}

impl Default for PublicationLimits {
    fn default() -> Self {
        let limits = taiwa_hub::Limits::default();
        Self {
            payload_max: Size(limits.payload_bytes_max),
            tags_max: limits.tags_max,
            except_channels_max: limits.except_channels_max,
            name_max: Size(limits.name_bytes_max),
            filter_nodes_max: limits.filters.nodes_max,
            filter_depth_max: limits.filters.depth_max,
            filter_max: Size(limits.filters.bytes_max),
        }
    }
}

/// Bounds of each shard.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ShardLimits {
    /// Sessions; past it the next one is disconnected.
    pub(crate) sessions_max: u32,
    /// Sessions that are kept for clients that have lost their connection; past it the one that waits longest goes.
    pub(crate) kept_max: usize,
    /// Channels, those with a history and no subscriber too; past it the next one is refused.
    pub(crate) channels_max: usize,
    /// What waits to be told to it by the others; past it the one that tells waits, or what it tells is refused.
    pub(crate) letters_max: usize,
    /// Timers and the like in one turn; past it the rest comes in the next one.
    pub(crate) due_max: usize,
}

impl Default for ShardLimits {
    fn default() -> Self {
        let limits = taiwa_hub::Limits::default();
        Self {
            sessions_max: limits.sessions_max,
            kept_max: limits.kept_max,
            channels_max: limits.channels_max,
            letters_max: shard::Settings::default().letters_max,
            due_max: HostLimits::default().due_max,
        }
    }
}

/// Bounds of the whole server.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerLimits {
    /// Connections at the same time; past it: status 503.
    pub(crate) connections_max: usize,
    /// Answers to a call of several clients; those past it are counted alone.
    pub(crate) answers_max: usize,
    /// Bytes of these answers together; an answer past it is counted alone.
    pub(crate) answers_bytes_max: Size,
}

impl Default for ServerLimits {
    fn default() -> Self {
        let limits = taiwa_hub::Limits::default();
        Self {
            connections_max: 10_000,
            answers_max: limits.answers_max,
            answers_bytes_max: Size(limits.answers_bytes_max),
        }
    }
}

/// Bounds of checking tokens.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenLimits {
    /// Bytes of a token; past it: refused.
    pub(crate) token_max: Size,
    /// Channels that a token subscribes its client to; past it: refused.
    pub(crate) channels_max: usize,
    /// Keys of one set; past it the set is not taken.
    pub(crate) keys_max: usize,
    /// Keys of one set that are tried for a token without `kid`; those behind are not.
    pub(crate) tries_max: usize,
    /// Tokens that wait for keys to be fetched; past it the next one is refused for now.
    pub(crate) waiting_max: usize,
    /// Revoked tokens that are remembered; past it no further one is revoked, and whoever asks for it is told.
    pub(crate) revoked_tokens_max: usize,
    /// Users whose older tokens are revoked; past it as above.
    pub(crate) revoked_users_max: usize,
    /// Sessions whose token is remembered, so that its revocation ends them; past it they end when their token does.
    pub(crate) bearers_max: usize,
}

impl Default for TokenLimits {
    fn default() -> Self {
        let limits = AuthLimits::default();
        Self {
            token_max: Size(limits.token_bytes_max),
            channels_max: limits.channels_max,
            keys_max: limits.keys_max,
            tries_max: limits.tries_max,
            waiting_max: limits.waiting_max,
            revoked_tokens_max: limits.revoked_tokens_max,
            revoked_users_max: limits.revoked_users_max,
            bearers_max: 1 << 20,
        }
    }
}

/// Bounds of the requests that the server makes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RequestLimits {
    /// Requests at the same time; past it the next one waits for its turn.
    pub(crate) requests_max: usize,
    /// Connections to one host that are kept open without a request; more are closed.
    pub(crate) idle_connections_max: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        let limits = OutgoingLimits::default();
        Self {
            requests_max: limits.requests_max,
            idle_connections_max: limits.idle_connections_max,
        }
    }
}

/// Bounds in time.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Times {
    /// From a connection to its whole request; past it: status 408.
    pub(crate) handshake_timeout: Time,
    /// From a Close frame to the end of the connection; past it the connection is dropped.
    pub(crate) close_timeout: Time,
    /// Without one byte read by a client that has bytes to read; past it the connection is dropped.
    pub(crate) write_timeout: Time,
    /// From the first byte of a message to its last; past it: close code 1008.
    pub(crate) message_timeout: Time,
    /// How long a client that reads too slowly may hold up those who publish in its channel; past it: close code 1013.
    pub(crate) slow_after: Time,
    /// How long a connection of HTTP/2 without a stream is kept; past it its client is asked to open another one.
    pub(crate) http2_idle: Time,
    /// How long a connection of HTTP/3 without a stream is kept; past it the connection ends.
    pub(crate) http3_idle: Time,
    /// How long a client of HTTP/3 may be silent; every third of that it is asked for a sign. Past it the connection is lost.
    pub(crate) http3_silence: Time,
    /// Silence after which a client is pinged; `off` pings nobody.
    pub(crate) ping_after: Time,
    /// From a ping to any byte from the client; past it: close code 1011.
    pub(crate) pong_within: Time,
    /// How long a session stays at most for a client that has lost its connection; past it the client begins anew.
    pub(crate) session_ttl: Time,
    /// From a question to the app to its answer; past it what was asked for is refused.
    pub(crate) app_timeout: Time,
    /// From the end of a right to the end of what rests on it, so that a fresh token can arrive.
    pub(crate) expiry_grace: Time,
    /// From a request that the server makes to its connection; past it the other side counts as unreachable.
    pub(crate) connect_timeout: Time,
    /// How long a connection that the server has made is kept open without a request.
    pub(crate) idle_timeout: Time,
    /// From SIGTERM, when /ready says 503, to the first goodbye, so that load balancers can notice; meanwhile all goes on as
    /// before.
    pub(crate) drain_wait: Time,
    /// From the first goodbye to the last: clients leave evenly spread over it, and newcomers get 503 with Retry-After. `off`
    /// for all at once. With drain_wait and 15 s more it should be less than whoever sends SIGTERM waits before SIGKILL:
    /// 30 s in Kubernetes, 90 s in systemd (which is asked for more if need be).
    pub(crate) drain_period: Time,
}

impl Default for Times {
    fn default() -> Self {
        let (deadlines, keepalive) = (Deadlines::default(), Keepalive::default());
        let (hub, outgoing) = (taiwa_hub::Settings::open(), OutgoingLimits::default());
        let some = |it: Duration| Time(Some(it));
        Self {
            handshake_timeout: Time(deadlines.handshake),
            close_timeout: Time(deadlines.close),
            write_timeout: Time(deadlines.write),
            message_timeout: Time(deadlines.message),
            slow_after: some(Duration::from_secs(1)),
            http2_idle: Time(taiwa::Http2::default().idle_max),
            http3_idle: Time(taiwa::Http3::default().idle_max),
            http3_silence: some(taiwa::Http3::default().silence_max),
            ping_after: some(keepalive.ping_after),
            pong_within: some(keepalive.pong_within),
            session_ttl: some(hub.limits.keep_max),
            app_timeout: some(hub.app_deadline),
            expiry_grace: some(hub.expiry_grace),
            connect_timeout: some(outgoing.connect_max),
            idle_timeout: some(outgoing.idle_max),
            drain_wait: Time(None),
            drain_period: some(Duration::from_secs(10)),
        }
    }
}
