//! From the settings to the dialects.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use crate::{
    config::settings::{Payloads, Settings},
    connect::NEVER,
};

impl Settings {
    /// Returns the settings of plain WebSockets. What they send is JSON where only JSON may be published.
    pub(crate) fn plain(&self) -> taiwa_plain::Settings {
        let plain = &self.dialects.plain;
        let json = self.namespace.iter().filter(|it| it.payloads == Payloads::Json);
        taiwa_plain::Settings {
            channels_max: plain.channels_max,
            echo: plain.echo,
            json: json.map(|it| it.name.as_str().into()).collect(),
        }
    }

    /// Returns the settings of server-sent events.
    pub(crate) fn sse(&self) -> taiwa_sse::Settings {
        let sse = &self.dialects.sse;
        taiwa_sse::Settings {
            channels_max: sse.channels_max,
            early_max: sse.early_max,
            heartbeat_every: sse.heartbeat_every.0.unwrap_or(NEVER),
            retry: sse.retry.0.unwrap_or(Duration::ZERO),
            cookie: sse.cookie.as_deref().map(Into::into),
        }
    }

    /// Returns the settings of Centrifugo's clients.
    pub(crate) fn centrifuge(&self) -> taiwa_centrifuge::Settings {
        let centrifuge = &self.dialects.centrifuge;
        let mut theirs = taiwa_centrifuge::Settings::default();
        theirs.connect_within = centrifuge.connect_within.0.unwrap_or(NEVER);
        theirs.ping_every = centrifuge.ping_every.0.unwrap_or(Duration::ZERO);
        theirs.pong_within = centrifuge.pong_within.0.unwrap_or(NEVER);
        theirs.commands_max = centrifuge.commands_max;
        theirs.positions_max = centrifuge.positions_max;
        theirs.filter_nodes_max = self.limits.publication.filter_nodes_max;
        theirs.waiting_bytes_max = centrifuge.waiting_max.0;
        theirs.webtransport = centrifuge.webtransport;
        theirs
    }

    /// Returns the settings of Phoenix' clients.
    pub(crate) fn phoenix(&self) -> taiwa_phoenix::Settings {
        let phoenix = &self.dialects.phoenix;
        let names = |all: &[String]| all.iter().map(|it| it.as_str().into()).collect();
        let mut theirs = taiwa_phoenix::Settings::default();
        theirs.path = phoenix.path.as_str().into();
        theirs.calls = names(&phoenix.calls);
        theirs.broadcast_from = names(&phoenix.broadcast_from);
        theirs.channels_max = phoenix.channels_max;
        theirs.silence_max = phoenix.silence_max.0.unwrap_or(NEVER);
        theirs.poll_window = phoenix.poll_window.0.unwrap_or(NEVER);
        theirs.pushes_max = phoenix.pushes_max;
        theirs.waiting_bytes_max = phoenix.waiting_max.0;
        theirs
    }

    /// Returns the settings of Socket.IO's clients.
    pub(crate) fn socketio(&self) -> taiwa_socketio::Settings {
        let ours = &self.dialects.socketio;
        let list = |all: &[String]| all.iter().map(|it| it.as_str().into()).collect();
        let pair = |it: &String| {
            let (name, back) = it.split_once('=').unwrap_or((it, it));
            (name.into(), back.into())
        };
        let mut theirs = taiwa_socketio::Settings::default();
        theirs.path = path(&ours.path);
        theirs.namespaces = list(&ours.namespaces);
        theirs.token = ours.token.as_str().into();
        theirs.ping_every = ours.ping_every.0.unwrap_or(NEVER);
        theirs.pong_within = ours.pong_within.0.unwrap_or(NEVER);
        theirs.upgrade_within = ours.upgrade_within.0.unwrap_or(NEVER);
        theirs.connect_within = ours.connect_within.0.unwrap_or(NEVER);
        let sessions_max = self.http3().map_or(0, |it| it.webtransport.sessions_max);
        theirs.webtransport = ours.webtransport && sessions_max > 0;
        theirs.payload_bytes_max = ours.payload_max.0;
        theirs.packets_max = ours.packets_max;
        theirs.attachments_max = ours.attachments_max;
        theirs.attachments_bytes_max = ours.attachments_bytes_max.0;
        theirs.calls_max = ours.calls_max;
        theirs.channels_max = ours.channels_max;
        theirs.recovery = ours.recovery.0;
        theirs.held_max = ours.held_max;
        theirs.broadcast = list(&ours.broadcast);
        theirs.broadcast_echo = ours.broadcast_echo;
        theirs.cookie = ours.cookie.as_deref().map(Into::into);
        theirs.echo_events = ours.echo_events.iter().map(pair).collect();
        theirs.echo_acks = list(&ours.echo_acks);
        theirs.echo_auth = ours.echo_auth.as_deref().map(Into::into);
        theirs.engine_echo = ours.engine_echo;
        theirs
    }
}

/// Returns a path with a slash at both ends. Doors stand as long as the process: each path is kept once, however often the
/// settings are read.
fn path(text: &str) -> &'static str {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let inside = text.trim_matches('/');
    let path = if inside.is_empty() { "/".to_owned() } else { format!("/{inside}/") };
    let mut kept = KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(path) = kept.get(&*path) {
        return path;
    }
    let path: &'static str = path.leak();
    kept.insert(path);
    path
}
