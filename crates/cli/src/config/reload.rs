//! Which settings change while the server runs: what each key waits for, and what differs between two settings.

use serde_json::Value;

use super::{
    keys::{self, Section},
    settings::{Settings, Tls},
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
    ("", Restart, &["http1", "http2", "http2_websockets"]),
    ("", Restart, &["http3", "http3_websockets", "webtransport", "http3_port"]),
    ("", Anew, &["origins"]),
    ("tls", Anew, &["cert", "key"]),
    ("tls", AtOnce, &["reload"]),
    (
        "tls",
        Restart,
        &["issuer", "names", "folder", "client_ca", "client_certificates", "key_log", "dev_life"],
    ),
    ("tls.certificate", Anew, &["cert", "key"]),
    ("tls.acme", Restart, &["directory", "contact", "terms_agreed", "challenge"]),
    ("tls.acme", Restart, &["http_listen", "ca_file", "eab_key_id", "eab_key"]),
    ("log", AtOnce, &["level"]),
    ("log", Restart, &["format"]),
    ("auth", Anew, &["anonymous", "tokens_first", "personal_prefix"]),
    ("auth.jwt", Anew, &["secrets", "public_keys", "jwks_files", "jwks_urls", "jwks_ttl"]),
    ("auth.jwt", Anew, &["audiences", "issuers", "leeway", "expiry_required"]),
    ("limits.connection", Anew, &["message_max", "fragments_max", "outbox_max", "pongs_max"]),
    ("limits.connection", Anew, &["handshake_max", "headers_max", "request_max"]),
    ("limits.connection", AtOnce, &["queue_max", "body_max", "exchanges_max"]),
    ("limits.http2", Restart, &["streams_max", "window", "unsent_max", "resets_max"]),
    ("limits.http3", Restart, &["streams_max", "window", "resets_max", "unproven_max"]),
    ("limits.http3", Restart, &["sessions_max", "session_window", "datagrams_max"]),
    ("limits.session", AtOnce, &["subscriptions_max", "links_max", "command_rate"]),
    (
        "limits.session",
        AtOnce,
        &["publish_rate", "asked_max", "calls_max", "waiting_max", "log_max"],
    ),
    ("limits.user", AtOnce, &["sessions_max"]),
    ("limits.address", AtOnce, &["clients_max"]),
    ("limits.channel", AtOnce, &["history_max", "page_max", "presence_max", "identifiers_max"]),
    ("limits.publication", AtOnce, &["payload_max", "tags_max", "except_channels_max", "name_max"]),
    ("limits.publication", Anew, &["filter_nodes_max", "filter_depth_max", "filter_max"]),
    ("limits.shard", AtOnce, &["sessions_max", "kept_max", "channels_max", "due_max"]),
    ("limits.shard", Restart, &["letters_max"]),
    ("limits.server", AtOnce, &["connections_max", "answers_max", "answers_bytes_max"]),
    ("limits.auth", AtOnce, &["token_max", "channels_max", "keys_max", "tries_max", "waiting_max"]),
    ("limits.auth", AtOnce, &["revoked_tokens_max", "revoked_users_max", "bearers_max"]),
    ("limits.outgoing", AtOnce, &["requests_max", "idle_connections_max"]),
    ("times", Anew, &["handshake_timeout", "close_timeout", "write_timeout", "message_timeout"]),
    ("times", Restart, &["http2_idle", "http3_idle", "http3_silence"]),
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
    ("dialects.plain", Anew, &["enabled", "channels_max", "echo"]),
    ("dialects.sse", Anew, &["enabled", "channels_max", "early_max", "heartbeat_every"]),
    ("dialects.sse", Anew, &["retry", "cookie"]),
    ("dialects.centrifuge", Anew, &["enabled", "connect_within", "ping_every", "pong_within"]),
    (
        "dialects.centrifuge",
        Anew,
        &["commands_max", "positions_max", "waiting_max", "webtransport"],
    ),
    ("dialects.phoenix", Anew, &["enabled", "path", "calls", "broadcast_from", "channels_max"]),
    ("dialects.phoenix", Anew, &["silence_max", "poll_window", "pushes_max", "waiting_max"]),
    ("dialects.socketio", Anew, &["enabled", "path", "namespaces", "token", "ping_every"]),
    (
        "dialects.socketio",
        Anew,
        &["pong_within", "upgrade_within", "connect_within", "payload_max"],
    ),
    ("dialects.socketio", Anew, &["packets_max", "attachments_max", "attachments_bytes_max"]),
    (
        "dialects.socketio",
        Anew,
        &["calls_max", "channels_max", "recovery", "held_max", "broadcast"],
    ),
    ("dialects.socketio", Anew, &["broadcast_echo", "cookie", "echo_events", "echo_acks"]),
    ("dialects.socketio", Anew, &["echo_auth", "engine_echo", "webtransport"]),
    ("webhooks", AtOnce, &["secrets", "source", "ca", "timeout", "questions_max", "requests_max"]),
    ("webhooks", AtOnce, &["answer_max", "queue_max", "queue_bytes_max", "retries_max"]),
    ("webhooks", AtOnce, &["pause_min", "pause_max", "batch_max", "batch_bytes_max"]),
    ("webhooks.url", AtOnce, &["connect", "refresh", "subscribe", "publish", "call", "tell"]),
    ("webhooks.url", AtOnce, &["disconnect", "occupied", "vacated"]),
    ("api", AtOnce, &["keys", "path"]),
    ("api", Restart, &["listen", "client_certificates"]),
    ("api.key", AtOnce, &["secret", "secret_file", "commands", "channels"]),
    ("admin", Restart, &["listen", "socket"]),
    ("cluster", Restart, &["prefix", "ca_file", "credentials_file", "requests_max"]),
    ("cluster", Restart, &["deadline", "silence"]),
    ("traces", Restart, &["endpoint", "sample"]),
];

/// Keys of files with certificates.
const FILES: [&str; 5] =
    ["tls.cert", "tls.key", "tls.certificate", "tls.certificate.cert", "tls.certificate.key"];

impl Tls {
    /// Returns whether there are certificates from files, and were none, or the other way round.
    pub(crate) fn is_switched(&self, started: &Self) -> bool {
        self.pairs().is_empty() != started.pairs().is_empty()
    }
}

impl Settings {
    /// Takes what needs a restart from the settings with which the server started.
    pub(crate) fn keep_started(&mut self, started: &Self) {
        self.listen.clone_from(&started.listen);
        self.unix_mode = started.unix_mode;
        self.reuse_port = started.reuse_port;
        self.proxy_protocol.clone_from(&started.proxy_protocol);
        self.http1 = started.http1;
        self.http2 = started.http2;
        self.http2_websockets = started.http2_websockets;
        self.limits.http2.clone_from(&started.limits.http2);
        self.times.http2_idle = started.times.http2_idle;
        self.http3 = started.http3;
        self.http3_websockets = started.http3_websockets;
        self.webtransport = started.webtransport;
        self.http3_port = started.http3_port;
        self.limits.http3.clone_from(&started.limits.http3);
        self.times.http3_idle = started.times.http3_idle;
        self.times.http3_silence = started.times.http3_silence;
        self.shards = started.shards;
        self.log.format = started.log.format;
        self.limits.shard.letters_max = started.limits.shard.letters_max;
        self.api.listen.clone_from(&started.api.listen);
        self.api.client_certificates = started.api.client_certificates;
        self.admin.clone_from(&started.admin);
        self.broker.clone_from(&started.broker);
        self.cluster.clone_from(&started.cluster);
        self.traces.clone_from(&started.traces);
        // Certificates are exchanged; whether there are any, and who makes them, is not.
        let Tls { cert, key, certificate, reload, .. } = self.tls.clone();
        let switched = self.tls.is_switched(&started.tls);
        self.tls = Tls { reload, ..started.tls.clone() };
        if !switched {
            self.tls = Tls { cert, key, certificate, ..self.tls.clone() };
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
    fn secrets_differ(&self, other: &Self) -> [(&'static str, bool); 6] {
        [
            ("broker", self.broker != other.broker),
            ("auth.jwt.secrets", self.auth.jwt.secrets != other.auth.jwt.secrets),
            ("webhooks.secrets", self.webhooks.secrets != other.webhooks.secrets),
            ("api.keys", self.api.keys != other.api.keys),
            ("api.key", self.api.key != other.api.key),
            ("tls.acme.eab_key", self.tls.acme.eab_key != other.tls.acme.eab_key),
        ]
    }

    /// Returns the paths of changed keys that need a restart.
    pub(crate) fn needing_restart(&self, started: &Self) -> Vec<String> {
        let mut changed = self.differences(started);
        let switched = self.tls.is_switched(&started.tls);
        let waits = |path: &str| Reload::of(&without_numbers(path)) == Some(Restart);
        changed.retain(|it| waits(it) || (switched && FILES.contains(&&*without_numbers(it))));
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
