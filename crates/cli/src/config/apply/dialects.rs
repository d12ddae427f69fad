//! From the settings to the dialects.

use std::time::Duration;

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
            early_bytes_max: plain.early_max.0,
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
        theirs
    }
}
