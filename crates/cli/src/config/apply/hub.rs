//! From the settings to the hub: channels, sessions, rights.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use taiwa_hub::settings::{Payloads, Recovery, Rule, Slow};

use crate::{
    args::Time,
    config::settings::{self, Namespace, Settings, SlowReaders, Who},
    connect::NEVER,
};

impl Settings {
    /// Returns the settings of the hub.
    pub(crate) fn hub(&self) -> taiwa_hub::Settings {
        let queue_bytes_max = self.limits.connection.queue_max.0;
        let hold = self.times.slow_after.0.unwrap_or(NEVER);
        let mut namespaces: BTreeMap<Box<str>, _> = self
            .namespace
            .iter()
            .map(|it| (it.name.as_str().into(), Arc::new(it.hub(queue_bytes_max, hold))))
            .collect();
        let (without_namespace, unknown_namespaces) = match namespaces.is_empty() {
            true => {
                let usual = taiwa_hub::Namespace::open();
                let open = taiwa_hub::Namespace { queue_bytes_max, hold, ..usual };
                let open = Arc::new(open);
                (open.clone(), Some(open))
            }
            false => (namespaces.remove("").unwrap_or_default(), None),
        };
        taiwa_hub::Settings {
            without_namespace,
            unknown_namespaces,
            namespaces,
            limits: self.hub_limits(),
            patterns: self.rights.patterns.into(),
            call: self.rights.call.into(),
            tell: self.rights.tell.into(),
            app_deadline: self.times.app_timeout.0.unwrap_or(NEVER),
            expiry_grace: self.times.expiry_grace.0.unwrap_or_default(),
            ..taiwa_hub::Settings::open()
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
            it.answers_max = limits.server.answers_max;
            it.answers_bytes_max = limits.server.answers_bytes_max.0;
            it.log_bytes_max = limits.session.log_max.0;
            it.history_bytes_max = limits.channel.history_max.0;
            it.page_max = limits.channel.page_max;
            it.presence_max = limits.channel.presence_max;
            it.identifiers_max = limits.channel.identifiers_max;
            it.payload_bytes_max = limits.publication.payload_max.0;
            it.tags_max = limits.publication.tags_max;
            it.except_channels_max = limits.publication.except_channels_max;
            it.name_bytes_max = limits.publication.name_max.0;
            it.filters.nodes_max = limits.publication.filter_nodes_max;
            it.filters.depth_max = limits.publication.filter_depth_max;
            it.filters.bytes_max = limits.publication.filter_max.0;
            it.keep_max = self.times.session_ttl.0.unwrap_or(NEVER);
        })
    }
}

impl Namespace {
    fn hub(&self, queue_bytes_max: usize, hold: Duration) -> taiwa_hub::Namespace {
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
            queue_bytes_max: self.queue_max.map_or(queue_bytes_max, |it| it.0),
            hold,
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
