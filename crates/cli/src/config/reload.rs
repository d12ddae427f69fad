//! Which settings change while the server runs: what each key waits for, and what differs between two settings.

use serde_json::Value;

use super::{
    keys::{self, Section},
    settings::Settings,
};

/// What a changed key waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// Nothing: a reload applies it to all who are connected, too.
    AtOnce,
    /// The next connection, conversation, subscription or request: those that there are go on as they began.
    Anew,
    /// The next start.
    Restart,
}

impl Reload {
    /// Names it for people and in the schema.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::Anew => "anew",
            Self::Restart => "restart",
        }
    }

    /// Returns what a key waits for, by its path without numbers, as `namespace.history_size`. `None` for a key that
    /// stands in no row below, which a test forbids.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        let row = ROWS.iter().find(|(at, _, names)| *at == section && names.contains(&name));
        row.map(|it| it.1)
    }
}

use Reload::{Anew, AtOnce, Restart};

/// Keys by section. To make a key one that reloads, have `Present::try_reload` apply it; one that needs a restart belongs into
/// `keep_started`.
const ROWS: &[(&str, Reload, &[&str])] = &[
    ("", Restart, &["listen", "unix_mode", "reuse_port", "proxy_protocol", "shards", "broker"]),
    ("", Anew, &["origins"]),
    ("tls", Anew, &["cert", "key"]),
    ("tls", AtOnce, &["reload"]),
    ("log", AtOnce, &["level"]),
    ("log", Restart, &["format"]),
    ("auth", Anew, &["anonymous", "tokens_first", "personal_prefix"]),
    ("auth.jwt", Anew, &["secrets", "public_keys", "jwks_files", "jwks_urls", "jwks_ttl"]),
    ("auth.jwt", Anew, &["audiences", "issuers", "leeway", "expiry_required"]),
    ("limits.connection", Anew, &["message_max", "fragments_max", "outbox_max", "pongs_max"]),
    ("limits.connection", Anew, &["handshake_max", "headers_max", "request_max"]),
    ("limits.connection", AtOnce, &["queue_max", "body_max", "exchanges_max"]),
    ("limits.session", AtOnce, &["subscriptions_max", "links_max", "command_rate"]),
    (
        "limits.session",
        AtOnce,
        &["publish_rate", "asked_max", "calls_max", "waiting_max", "log_max"],
    ),
    ("limits.user", AtOnce, &["sessions_max"]),
    ("limits.address", AtOnce, &["clients_max"]),
    ("limits.channel", AtOnce, &["history_max", "page_max", "presence_max", "identifiers_max"]),
    ("limits.publication", AtOnce, &["payload_max", "tags_max", "name_max"]),
    ("limits.publication", Anew, &["filter_nodes_max", "filter_depth_max", "filter_max"]),
    ("limits.shard", AtOnce, &["sessions_max", "kept_max", "channels_max", "due_max"]),
    ("limits.shard", Restart, &["letters_max"]),
    ("limits.server", AtOnce, &["connections_max"]),
    ("limits.auth", AtOnce, &["token_max", "channels_max", "keys_max", "tries_max", "waiting_max"]),
    ("limits.auth", AtOnce, &["revoked_tokens_max", "revoked_users_max", "bearers_max"]),
    ("limits.outgoing", AtOnce, &["requests_max", "idle_connections_max"]),
    ("times", Anew, &["handshake_timeout", "close_timeout", "write_timeout", "message_timeout"]),
    ("times", Anew, &["ping_after", "pong_within", "session_ttl", "app_timeout"]),
    ("times", AtOnce, &["slow_after", "expiry_grace", "connect_timeout", "idle_timeout"]),
    ("times", AtOnce, &["drain_wait", "drain_period"]),
    ("compression", Anew, &["mode", "min", "level", "window"]),
    ("namespace", AtOnce, &["name", "history_size", "history_ttl", "epoch_ttl", "join_leave"]),
    ("namespace", AtOnce, &["force_join_leave", "patterns", "publisher", "payloads"]),
    ("namespace", AtOnce, &["idempotency_ttl", "slow_readers", "kept_max", "queue_max"]),
    ("namespace", AtOnce, &["subscribers_max", "publish_rate"]),
    ("namespace", Anew, &["recovery", "positioned", "presence", "delta"]),
    ("namespace.rights", Anew, &["subscribe"]),
    ("namespace.rights", AtOnce, &["publish", "presence", "history"]),
    ("rights", Anew, &["patterns"]),
    ("rights", AtOnce, &["call", "tell"]),
    ("dialects.plain", Anew, &["enabled", "channels_max", "early_max", "echo"]),
    ("dialects.sse", Anew, &["enabled", "channels_max", "early_max", "heartbeat_every"]),
    ("dialects.sse", Anew, &["retry", "cookie"]),
    ("dialects.centrifuge", Anew, &["enabled", "connect_within", "ping_every", "pong_within"]),
    ("dialects.centrifuge", Anew, &["commands_max", "positions_max", "waiting_max"]),
    ("webhooks", AtOnce, &["secrets", "source", "ca", "timeout", "questions_max", "requests_max"]),
    ("webhooks", AtOnce, &["answer_max", "queue_max", "queue_bytes_max", "retries_max"]),
    ("webhooks", AtOnce, &["pause_min", "pause_max", "batch_max", "batch_bytes_max"]),
    ("webhooks.url", AtOnce, &["connect", "refresh", "subscribe", "publish", "call", "tell"]),
    ("webhooks.url", AtOnce, &["disconnect", "occupied", "vacated"]),
    ("api", AtOnce, &["keys", "path"]),
    ("api", Restart, &["listen"]),
    ("api.key", AtOnce, &["secret", "secret_file", "commands", "channels"]),
    ("admin", Restart, &["listen", "socket"]),
    ("cluster", Restart, &["prefix", "ca_file", "credentials_file", "requests_max"]),
    ("cluster", Restart, &["deadline", "silence"]),
    ("traces", Restart, &["endpoint", "sample"]),
];

impl Settings {
    /// Takes what needs a restart from the settings with which the server started.
    pub(crate) fn keep_started(&mut self, started: &Self) {
        self.listen.clone_from(&started.listen);
        self.unix_mode = started.unix_mode;
        self.reuse_port = started.reuse_port;
        self.proxy_protocol.clone_from(&started.proxy_protocol);
        self.shards = started.shards;
        self.log.format = started.log.format;
        self.limits.shard.letters_max = started.limits.shard.letters_max;
        self.api.listen.clone_from(&started.api.listen);
        self.admin.clone_from(&started.admin);
        self.broker.clone_from(&started.broker);
        self.cluster.clone_from(&started.cluster);
        self.traces.clone_from(&started.traces);
        // Certificates are exchanged; whether there are any is not.
        if self.tls.cert.is_some() != started.tls.cert.is_some() {
            (self.tls.cert, self.tls.key) = (started.tls.cert.clone(), started.tls.key.clone());
        }
    }

    /// Returns the paths of all keys in which two settings differ. Items of a list of tables are compared one by one if
    /// there are as many of them as before.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let value = |it| serde_json::to_value(it).expect("settings are what JSON can say");
        let mut found = Vec::new();
        compare(keys::all(), &value(self), &value(other), "", &mut found);
        // Secrets are masked in these values.
        for (path, differ) in self.secrets_differ(other) {
            if differ && !found.iter().any(|it| it.starts_with(path)) {
                found.push(path.to_owned());
            }
        }
        found
    }

    /// Compares what has secrets in it.
    fn secrets_differ(&self, other: &Self) -> [(&'static str, bool); 5] {
        [
            ("broker", self.broker != other.broker),
            ("auth.jwt.secrets", self.auth.jwt.secrets != other.auth.jwt.secrets),
            ("webhooks.secrets", self.webhooks.secrets != other.webhooks.secrets),
            ("api.keys", self.api.keys != other.api.keys),
            ("api.key", self.api.key != other.api.key),
        ]
    }

    /// Returns the paths of changed keys that need a restart.
    pub(crate) fn needing_restart(&self, started: &Self) -> Vec<String> {
        let mut changed = self.differences(started);
        let tls = ["tls.cert", "tls.key"];
        let switched = self.tls.cert.is_some() != started.tls.cert.is_some();
        let waits = |path: &str| Reload::of(&without_numbers(path)) == Some(Restart);
        changed.retain(|it| waits(it) || (switched && tls.contains(&&**it)));
        changed
    }
}

fn compare(section: &Section, one: &Value, other: &Value, path: &str, found: &mut Vec<String>) {
    for key in &section.keys {
        if one.get(&key.name) != other.get(&key.name) {
            found.push(format!("{path}{}", key.name));
        }
    }
    for below in &section.sections {
        let path = format!("{path}{}", below.name);
        match (one.get(&below.name), other.get(&below.name)) {
            (Some(Value::Array(one)), Some(Value::Array(other))) if one.len() == other.len() => {
                for (number, (one, other)) in one.iter().zip(other).enumerate() {
                    compare(below, one, other, &format!("{path}[{number}]."), found);
                }
            }
            (Some(Value::Array(_)), _) | (_, Some(Value::Array(_))) => found.push(path),
            (one, other) => {
                let (one, other) = (one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null));
                compare(below, one, other, &format!("{path}."), found);
            }
        }
    }
}

/// Makes `namespace.name` of `namespace[2].name`.
fn without_numbers(path: &str) -> String {
    let mut plain = String::new();
    for step in path.split('.') {
        if !plain.is_empty() {
            plain.push('.');
        }
        plain.push_str(step.split('[').next().unwrap_or(step));
    }
    plain
}

#[cfg(test)]
mod tests;
