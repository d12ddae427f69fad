//! From the settings to what the library and the server take.

mod access;
mod decided;
mod dialects;
mod hub;

use std::num::NonZeroUsize;

use taiwa::{Addr, Config, Deadlines, Deflate, Limits, Origins};
use taiwa_server::{HostLimits, shard};

use super::{
    settings::{Compress, Settings},
    values::Anonymous,
};
use crate::{args::Allow, connect::keepalive};

/// How many shards there may be: a set of them is one word.
pub(crate) const SHARDS_MAX: NonZeroUsize =
    NonZeroUsize::new(taiwa_hub::SHARDS_MAX as usize).expect("there is one");

pub(crate) use decided::Decided;

/// A key of the settings, and what is wrong with it.
pub(crate) type Fault = (String, String);

impl Settings {
    /// Returns the settings of each connection.
    pub(crate) fn connection(&self) -> Config {
        let (limits, times) = (&self.limits.connection, &self.times);
        Config {
            limits: Limits {
                message_bytes_max: limits.message_max.0,
                fragments_max: limits.fragments_max,
                outbox_bytes_max: limits.outbox_max.0,
                pongs_max: limits.pongs_max,
                handshake_bytes_max: limits.handshake_max.0,
                headers_max: limits.headers_max,
                ..Limits::default()
            },
            deadlines: Deadlines {
                handshake: times.handshake_timeout.0,
                close: times.close_timeout.0,
                write: times.write_timeout.0,
                message: times.message_timeout.0,
            },
            keepalive: keepalive(times.ping_after, times.pong_within),
            deflate: self.deflate(),
        }
    }

    fn deflate(&self) -> Option<Deflate> {
        let compression = &self.compression;
        let dedicated = match compression.mode {
            Compress::Off => return None,
            Compress::Shared => false,
            Compress::Dedicated => true,
        };
        Some(Deflate {
            level: compression.level,
            window_bits: compression.window,
            message_bytes_min: compression.min.0,
            keep_our_context: dedicated,
            keep_peer_context: dedicated,
            ..Deflate::default()
        })
    }

    /// Returns the bounds of conversations.
    pub(crate) fn host(&self) -> HostLimits {
        let limits = &self.limits;
        let mut host = HostLimits::default();
        host.waiting_bytes_max = limits.session.waiting_max.0;
        host.body_bytes_max = limits.connection.body_max.0;
        host.exchanges_max = limits.connection.exchanges_max;
        host.due_max = limits.shard.due_max;
        host
    }

    /// Returns whose pages may connect.
    pub(crate) fn allowed_origins(&self) -> Origins {
        self.origins.iter().cloned().fold(Origins::default(), |origins, it| match it {
            Allow::Any => Origins::Any,
            Allow::Of(origin) => origins.allow(origin),
        })
    }

    /// Returns how many shards there are, and what may wait for each.
    pub(crate) fn shards(&self) -> shard::Settings {
        let usual = shard::Settings::default().shards.min(SHARDS_MAX);
        shard::Settings {
            shards: self.shards.unwrap_or(usual),
            letters_max: self.limits.shard.letters_max,
        }
    }

    /// Tells whether clients without a token are let in by a server that listens there. Behind a proxy that speaks its
    /// protocol, clients are not on this machine.
    pub(crate) fn lets_anonymous_in(&self, addrs: &[Addr]) -> bool {
        let is_local = |it: &Addr| it.tcp().is_none_or(|it| it.ip().to_canonical().is_loopback());
        match self.auth.anonymous {
            Anonymous::Everybody => true,
            Anonymous::Nobody => false,
            Anonymous::Loopback => self.proxy_protocol.is_empty() && addrs.iter().all(is_local),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod days;
