//! From the settings to what the library and the server take.

use std::{fs, sync::Arc, time::Duration};

use taiwa::{Config, Deadlines, Deflate, Limits, Origins};
use taiwa_hub::settings::{Payloads, Recovery, Rule, Slow};
use taiwa_server::{
    FanoutLimits,
    auth::{AuthLimits, AuthSettings, JwksSettings, KeySource, Secret},
    outgoing::{OutgoingLimits, Trust},
};

use super::settings::{self, Compress, Jwt, Namespace, Settings, SlowReaders, Who};
use crate::{
    args::{Allow, Time},
    connect::{NEVER, keepalive},
};

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

    /// Returns the bounds of the fan-out.
    pub(crate) fn fanout(&self) -> FanoutLimits {
        FanoutLimits {
            queue_bytes_max: self.limits.connection.queue_max.0,
            slow_after: self.times.slow_after.0.unwrap_or(NEVER),
            channels_max: self.limits.server.channels_max,
            channel_name_bytes_max: self.limits.channel.name_max.0,
        }
    }

    /// Returns whose pages may connect.
    pub(crate) fn allowed_origins(&self) -> Origins {
        self.origins.iter().cloned().fold(Origins::default(), |origins, it| match it {
            Allow::Any => Origins::Any,
            Allow::Of(origin) => origins.allow(origin),
        })
    }
}

/// The hub: channels, sessions, rights.
impl Settings {
    /// Returns the settings of the hub.
    #[cfg_attr(not(test), expect(dead_code, reason = "until the hub serves"))]
    pub(crate) fn hub(&self) -> taiwa_hub::Settings {
        let open = taiwa_hub::Settings::open();
        let named = |name: &str| self.namespace.iter().find(|it| it.name == name);
        let (without_namespace, unknown_namespaces) = match self.namespace.is_empty() {
            true => (open.without_namespace, open.unknown_namespaces),
            false => (Arc::new(named("").map(Namespace::hub).unwrap_or_default()), None),
        };
        let namespaces = self.namespace.iter().filter(|it| !it.name.is_empty());
        taiwa_hub::Settings {
            without_namespace,
            unknown_namespaces,
            namespaces: namespaces
                .map(|it| (it.name.as_str().into(), Arc::new(it.hub())))
                .collect(),
            limits: self.hub_limits(),
            patterns: self.rights.patterns.into(),
            call: self.rights.call.into(),
            tell: self.rights.tell.into(),
            app_deadline: self.times.app_timeout.0.unwrap_or(NEVER),
            expiry_grace: self.times.expiry_grace.0.unwrap_or_default(),
            tell_occupied: self.webhooks.url.occupied.is_some()
                || self.webhooks.url.vacated.is_some(),
            tell_disconnected: self.webhooks.url.disconnect.is_some(),
        }
    }

    fn hub_limits(&self) -> taiwa_hub::Limits {
        let limits = &self.limits;
        taiwa_hub::Limits::default().with(|it| {
            it.sessions_max = limits.shard.sessions_max;
            it.kept_max = limits.shard.kept_max;
            it.channels_max = limits.shard.channels_max;
            it.user_sessions_max = limits.user.sessions_max;
            it.subscriptions_max = limits.session.subscriptions_max;
            it.links_max = limits.session.links_max;
            it.commands_per_second = limits.session.command_rate.0;
            it.publications_per_second = limits.session.publish_rate.0;
            it.asked_max = limits.session.asked_max;
            it.calls_max = limits.session.calls_max;
            it.log_bytes_max = limits.session.log_max.0;
            it.history_bytes_max = limits.channel.history_max.0;
            it.page_max = limits.channel.page_max;
            it.presence_max = limits.channel.presence_max;
            it.identifiers_max = limits.channel.identifiers_max;
            it.payload_bytes_max = limits.publication.payload_max.0;
            it.tags_max = limits.publication.tags_max;
            it.name_bytes_max = limits.publication.name_max.0;
            it.filters.nodes_max = limits.publication.filter_nodes_max;
            it.filters.depth_max = limits.publication.filter_depth_max;
            it.filters.bytes_max = limits.publication.filter_max.0;
            it.keep_max = self.times.session_ttl.0.unwrap_or(NEVER);
        })
    }
}

impl Namespace {
    fn hub(&self) -> taiwa_hub::Namespace {
        let lasting = |it: Time| it.0.unwrap_or(NEVER);
        taiwa_hub::Namespace {
            history_size: self.history_size,
            history_ttl: lasting(self.history_ttl),
            epoch_ttl: lasting(self.epoch_ttl),
            recovery: match self.recovery {
                settings::Recovery::Off => Recovery::Off,
                settings::Recovery::Stream => Recovery::Stream,
                settings::Recovery::Last => Recovery::Last,
            },
            positioned: self.positioned,
            presence: self.presence,
            join_leave: self.join_leave,
            force_join_leave: self.force_join_leave,
            delta: self.delta,
            patterns: self.patterns,
            idempotency: self.idempotency_ttl.0.unwrap_or(Duration::ZERO),
            payloads: match self.payloads {
                settings::Payloads::Any => Payloads::Any,
                settings::Payloads::Json => Payloads::Json,
                settings::Payloads::Binary => Payloads::Binary,
            },
            publisher: self.publisher,
            subscribe: self.rights.subscribe.into(),
            publish: self.rights.publish.into(),
            presence_rule: self.rights.presence.into(),
            history_rule: self.rights.history.into(),
            slow: match self.slow_readers {
                SlowReaders::Disconnect => Slow::Disconnect,
                SlowReaders::DropOldest => Slow::DropOldest(self.kept_max),
                SlowReaders::KeepLatest => Slow::KeepLatest(self.kept_max),
                SlowReaders::Pause => Slow::Pause,
            },
            queue_bytes_max: self.queue_max.0,
            subscribers_max: self.subscribers_max,
            publications_per_second: self.publish_rate.0,
        }
    }
}

impl From<Who> for Rule {
    fn from(who: Who) -> Self {
        match who {
            Who::All => Self::All,
            Who::Authenticated => Self::Users,
            Who::Subscribers => Self::Subscribers,
            Who::Named => Self::Named,
            Who::Token => Self::Token,
            Who::App => Self::App,
            Who::None => Self::Nobody,
        }
    }
}

/// Tokens, and the requests that the server makes.
impl Settings {
    /// Returns what tokens are checked against. It reads the files with keys.
    ///
    /// # Errors
    /// A file can't be read.
    pub(crate) fn auth(&self) -> Result<AuthSettings, Fault> {
        let jwt = &self.auth.jwt;
        Ok(AuthSettings {
            keys: jwt.sources()?.into_iter().map(|it| it.1).collect(),
            audiences: jwt.audiences.clone(),
            issuers: jwt.issuers.clone(),
            leeway: jwt.leeway.0.unwrap_or_default(),
            expiry_required: jwt.expiry_required,
            limits: self.token_limits(),
        })
    }

    pub(crate) fn token_limits(&self) -> AuthLimits {
        let limits = &self.limits.auth;
        AuthLimits {
            token_bytes_max: limits.token_max.0,
            channels_max: limits.channels_max,
            keys_max: limits.keys_max,
            tries_max: limits.tries_max,
            waiting_max: limits.waiting_max,
            revoked_tokens_max: limits.revoked_tokens_max,
            revoked_users_max: limits.revoked_users_max,
            ..AuthLimits::default()
        }
    }

    /// Returns the bounds of the requests that the server makes.
    pub(crate) fn outgoing(&self) -> OutgoingLimits {
        OutgoingLimits {
            requests_max: self.limits.outgoing.requests_max,
            idle_connections_max: self.limits.outgoing.idle_connections_max,
            connect_max: self.times.connect_timeout.0.unwrap_or(NEVER),
            idle_max: self.times.idle_timeout.0.unwrap_or(NEVER),
        }
    }

    /// Returns whom these requests trust.
    ///
    /// # Errors
    /// The file can't be read, or has no certificates.
    pub(crate) fn trust(&self) -> Result<Trust, Fault> {
        let Some(path) = &self.webhooks.ca else { return Ok(Trust::Platform) };
        let key = || "webhooks.ca".to_owned();
        let pem = fs::read(path)
            .map_err(|error| (key(), format!("can't read {}: {error}", path.display())))?;
        Trust::from_pem(&pem).map_err(|error| (key(), error.to_string()))
    }
}

impl Jwt {
    /// Returns where keys come from, each with the path of its setting.
    ///
    /// # Errors
    /// A file can't be read.
    pub(crate) fn sources(&self) -> Result<Vec<(String, KeySource)>, Fault> {
        let mut sources = Vec::new();
        for (number, secret) in self.secrets.iter().enumerate() {
            let key = format!("auth.jwt.secrets[{number}]");
            sources.push((key, KeySource::secret(secret.reveal())));
        }
        for (number, path) in self.public_keys.iter().enumerate() {
            let key = format!("auth.jwt.public_keys[{number}]");
            match fs::read_to_string(path) {
                Ok(pem) => sources.push((key, KeySource::Pem(pem))),
                Err(error) => return Err((key, format!("can't read {}: {error}", path.display()))),
            }
        }
        for (number, path) in self.jwks_files.iter().enumerate() {
            let key = format!("auth.jwt.jwks_files[{number}]");
            match fs::read(path) {
                Ok(json) => sources.push((key, KeySource::Jwks(Secret::new(json)))),
                Err(error) => return Err((key, format!("can't read {}: {error}", path.display()))),
            }
        }
        for (number, url) in self.jwks_urls.iter().enumerate() {
            let key = format!("auth.jwt.jwks_urls[{number}]");
            let mut settings = JwksSettings::new(url.to_string());
            settings.cached_for = self.jwks_ttl.0.unwrap_or(NEVER);
            sources.push((key, KeySource::JwksUrl(settings)));
        }
        Ok(sources)
    }
}

#[cfg(test)]
mod tests;
