//! Bounds: how much, how many, how often, how long.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taiwa::{Deadlines, Keepalive};
use taiwa_server::FanoutLimits;

use super::Most;
use crate::{
    args::{Size, Time},
    config::values::Rate,
};

/// Bounds of all that can grow.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Of each connection, and of the session that it carries.
    pub(crate) connection: ConnectionLimits,
    /// Of each user, however many sessions it has.
    pub(crate) user: UserLimits,
    /// Of each address that clients come from.
    pub(crate) address: AddressLimits,
    /// Of each channel; more of them are in the namespaces.
    pub(crate) channel: ChannelLimits,
    /// Of the whole server.
    pub(crate) server: ServerLimits,
}

/// Bounds of each connection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConnectionLimits {
    /// Bytes of a message from a client, after inflating; past it: close code 1009.
    pub(crate) message_max: Size,
    /// Frames of a message from a client; past it: close code 1008.
    pub(crate) fragments_max: u32,
    /// Bytes that wait for one client to read them; past it the next message waits in its queue.
    pub(crate) outbox_max: Size,
    /// Bytes that wait in front of the outbox of one client; past it: close code 1013.
    pub(crate) queue_max: Size,
    /// Pongs that wait for one client to read them; past it the newest replaces the last.
    pub(crate) pongs_max: u32,
    /// Bytes of a request's head; past it: status 431.
    pub(crate) handshake_max: Size,
    /// Header lines of a request; past it: status 431.
    pub(crate) headers_max: usize,
    /// Subscriptions of a session at the same time; past it the next one is refused.
    pub(crate) subscriptions_max: u32,
    /// Calls of a session that wait for their answer; past it the next one is refused.
    pub(crate) calls_max: u32,
    /// Messages from a client; past it: it is disconnected and may come back.
    pub(crate) message_rate: Rate,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let limits = taiwa::Limits::default();
        Self {
            message_max: Size(limits.message_bytes_max),
            fragments_max: limits.fragments_max,
            outbox_max: Size(limits.outbox_bytes_max),
            queue_max: Size(FanoutLimits::default().queue_bytes_max),
            pongs_max: limits.pongs_max,
            handshake_max: Size(limits.handshake_bytes_max),
            headers_max: limits.headers_max,
            subscriptions_max: 128,
            calls_max: 64,
            message_rate: Rate(None),
        }
    }
}

/// Bounds of each user.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UserLimits {
    /// Connections of a user at the same time; past it the next one is refused.
    pub(crate) connections_max: Most,
    /// Publications of a user; past it the next one is refused.
    pub(crate) publish_rate: Rate,
}

impl Default for UserLimits {
    fn default() -> Self {
        Self { connections_max: Most(None), publish_rate: Rate(None) }
    }
}

/// Bounds of each address.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AddressLimits {
    /// Connections from an address at the same time; past it: status 429. Behind a proxy without `proxy_protocol`, all
    /// clients come from one address.
    pub(crate) connections_max: Most,
    /// New connections from an address; past it: status 429.
    pub(crate) connect_rate: Rate,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self { connections_max: Most(None), connect_rate: Rate(None) }
    }
}

/// Bounds of each channel.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChannelLimits {
    /// Bytes of a channel's name, which is the path of the URL; past it: status 414.
    pub(crate) name_max: Size,
}

impl Default for ChannelLimits {
    fn default() -> Self {
        Self { name_max: Size(FanoutLimits::default().channel_name_bytes_max) }
    }
}

/// Bounds of the whole server.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerLimits {
    /// Connections at the same time; past it: status 503.
    pub(crate) connections_max: usize,
    /// Channels at the same time; past it: status 503.
    pub(crate) channels_max: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self { connections_max: 10_000, channels_max: FanoutLimits::default().channels_max }
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
    /// How long a client that reads too slowly may hold up a channel; past it: close code 1013.
    pub(crate) slow_after: Time,
    /// Silence after which a client is pinged; `off` pings nobody.
    pub(crate) ping_after: Time,
    /// From a ping to any byte from the client; past it: close code 1011.
    pub(crate) pong_within: Time,
    /// How long a session stays for a client whose connection was lost; past it the client begins anew.
    pub(crate) session_ttl: Time,
    /// From a call to its answer; past it the call is refused.
    pub(crate) call_timeout: Time,
}

impl Default for Times {
    fn default() -> Self {
        let (deadlines, keepalive) = (Deadlines::default(), Keepalive::default());
        let seconds = |it| Time(Some(std::time::Duration::from_secs(it)));
        Self {
            handshake_timeout: Time(deadlines.handshake),
            close_timeout: Time(deadlines.close),
            write_timeout: Time(deadlines.write),
            message_timeout: Time(deadlines.message),
            slow_after: Time(Some(FanoutLimits::default().slow_after)),
            ping_after: Time(Some(keepalive.ping_after)),
            pong_within: Time(Some(keepalive.pong_within)),
            session_ttl: seconds(60),
            call_timeout: seconds(10),
        }
    }
}
