//! Every setting of `taiwa serve`. The comments here are the one place where they are explained: help, the schema, the
//! file of `config init` and docs/configuration.md are made from them.

mod access;
mod asked;
mod dialects;
mod http2;
mod http3;
mod limits;
mod namespace;
mod tls;
mod traces;

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taiwa::Deflate;

use crate::{
    args::{Allow, Proxies, Size},
    config::values::Secret,
    listen::{Listen, Mode},
};

pub(crate) use access::{Auth, Jwt};
pub(crate) use asked::{Admin, Api, ApiCertificates, ApiKey, Cluster, Webhooks};
pub(crate) use dialects::Dialects;
pub(crate) use limits::{Limits, Times};
pub(crate) use namespace::{Namespace, Payloads, Recovery, Rights, SlowReaders, Who};
pub(crate) use tls::{Acme, Challenge, ClientCertificates, Issuer, Tls};
pub(crate) use traces::Traces;

/// Settings of `taiwa serve`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where to listen: HOST:PORT, and port 0 lets the system choose one; unix:PATH; or `activation`, the sockets that
    /// systemd has opened. The line with the URL names the first HOST:PORT.
    pub(crate) listen: Vec<Listen>,
    /// Mode of the files of unix sockets, as 660; without it the umask decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "660")]
    pub(crate) unix_mode: Option<Mode>,
    /// Let other processes listen on the same TCP ports, too (SO_REUSEPORT, on Linux), so that the next one can begin before
    /// this one ends. All of them must have the same user and this setting.
    pub(crate) reuse_port: bool,
    /// Take connections from proxies in these networks alone, as 10.0.0.0/8 or `unix`, each with a header of the PROXY
    /// protocol.
    pub(crate) proxy_protocol: Vec<Proxies>,
    /// Speak HTTP/1.1. Without it its clients get status 505, over TLS they find no protocol in common.
    pub(crate) http1: bool,
    /// Speak HTTP/2: over TLS by ALPN, without TLS to clients that begin with it.
    pub(crate) http2: bool,
    /// Take WebSockets over HTTP/2 (RFC 8441). Without it browsers open a connection of HTTP/1.1 for each.
    pub(crate) http2_websockets: bool,
    /// Speak HTTP/3 wherever TLS is spoken over TCP, on the UDP port of the same number; not behind the PROXY protocol. Clients
    /// hear of it in responses over TCP (`Alt-Svc`). A place that is shared with another process (`reuse_port`, systemd) has its
    /// UDP port once that one has ended.
    pub(crate) http3: bool,
    /// Take WebSockets over HTTP/3 (RFC 9220). Without it browsers open a connection of HTTP/1.1 for each.
    pub(crate) http3_websockets: bool,
    /// Take sessions of WebTransport over HTTP/3, in the dialects that have them: `plain`, `centrifuge`, `socketio`.
    pub(crate) webtransport: bool,
    /// The UDP port that clients are told of, if it is another one on their side; without it that of the place where they came
    /// in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 443)]
    pub(crate) http3_port: Option<u16>,
    /// Origins of pages that may connect beside those of this very host, as https://app.example; `any` lets all.
    /// Others get status 403.
    pub(crate) origins: Vec<Allow>,
    /// Threads that own connections, at most 64; without it as many as there are processors for this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 4, range(min = 1, max = 64))]
    pub(crate) shards: Option<NonZeroUsize>,
    /// What carries publications, history and presence between servers, as redis://HOST or nats://HOST; rediss and tls for
    /// TLS; redis://HOST,HOST for some servers of a Redis Cluster. Servers with the same one are nodes of one cluster. Without
    /// it the memory of this process does: one server, and its history ends with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "redis://127.0.0.1:6379")]
    pub(crate) broker: Option<Secret>,
    /// TLS.
    pub(crate) tls: Tls,
    /// What is told on stderr.
    pub(crate) log: Log,
    /// Who is let in, and as whom.
    pub(crate) auth: Auth,
    /// Bounds of all that can grow. Sizes are written 1MiB, 64KiB or 1000.
    pub(crate) limits: Limits,
    /// Bounds in time, written 30s, 500ms or 1m 30s; `off` for no bound.
    pub(crate) times: Times,
    /// Compression of WebSocket messages (permessage-deflate, RFC 7692).
    pub(crate) compression: Compression,
    /// What may be done in some of the channels, and by whom. A channel `news:sport` is of the namespace `news`; one
    /// without a colon is of the namespace with the empty name. Channels of a namespace that is not here are refused.
    /// Without any namespace here every channel exists, everyone who was let in may do everything in it, and it remembers
    /// 100 publications for 5 minutes.
    pub(crate) namespace: Vec<Namespace>,
    /// Who may do what belongs to no channel.
    pub(crate) rights: Rights,
    /// The dialects that are spoken.
    pub(crate) dialects: Dialects,
    /// Programs that are asked and told over HTTP.
    pub(crate) webhooks: Webhooks,
    /// The HTTP API.
    pub(crate) api: Api,
    /// Measurements and health, for those who run the server.
    pub(crate) admin: Admin,
    /// Traces for OpenTelemetry, by OTLP. They need a taiwa that was built with the feature `otlp`. What stands in a file
    /// yields to the variables of OpenTelemetry, such as `OTEL_EXPORTER_OTLP_ENDPOINT`: docs/watching.md names them.
    pub(crate) traces: Traces,
    /// This server as one node of several: it counts with a `broker` alone.
    pub(crate) cluster: Cluster,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Listen::Tcp("127.0.0.1:8000".into())],
            unix_mode: None,
            reuse_port: false,
            proxy_protocol: Vec::new(),
            http1: true,
            http2: true,
            http2_websockets: true,
            http3: true,
            http3_websockets: true,
            webtransport: true,
            http3_port: None,
            origins: Vec::new(),
            shards: None,
            broker: None,
            tls: Tls::default(),
            log: Log::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            times: Times::default(),
            compression: Compression::default(),
            namespace: Vec::new(),
            rights: Rights::default(),
            dialects: Dialects::default(),
            webhooks: Webhooks::default(),
            api: Api::default(),
            admin: Admin::default(),
            traces: Traces::default(),
            cluster: Cluster::default(),
        }
    }
}

/// What is told on stderr.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// How much to log to stderr.
    pub(crate) level: Level,
    /// How a line of the log is written.
    pub(crate) format: LogFormat,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What is odd.
    Warn,
    /// A line for each connection that ended.
    #[default]
    Info,
    /// A line for each request, too.
    Debug,
    /// All there is.
    Trace,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people: time, level, text, then what belongs to it; in colour on a terminal.
    #[default]
    Text,
    /// For programs: one JSON object.
    Json,
}

/// Compression of WebSocket messages.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Compression {
    /// Whether to accept compression, and who has a compressor.
    pub(crate) mode: Compress,
    /// Bytes below which a message goes out as it is.
    pub(crate) min: Size,
    /// Effort, 1 (fast) to 9 (small).
    #[schemars(range(min = 1, max = 9))]
    pub(crate) level: u8,
    /// Window of the compressor as a power of two, 9 to 15.
    #[schemars(range(min = 9, max = 15))]
    pub(crate) window: u8,
}

impl Default for Compression {
    fn default() -> Self {
        let deflate = Deflate::default();
        Self {
            mode: Compress::Shared,
            min: Size(deflate.message_bytes_min),
            level: deflate.level,
            window: deflate.window_bits,
        }
    }
}

/// Who has a compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compress {
    /// Not accepted.
    Off,
    /// One compressor for many connections: no memory per connection, each message for itself.
    Shared,
    /// One for each connection, which remembers earlier messages: smaller, about 200 KiB each.
    Dedicated,
}
