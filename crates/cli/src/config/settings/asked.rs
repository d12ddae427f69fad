//! Other programs: those that taiwa asks, and those that ask it.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    admin::AdminSocket,
    args::{Size, Time},
    config::values::{Secret, Url},
    listen::Listen,
};

/// Programs that are asked and told over HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhooks {
    /// Secrets by which each request is signed, so that the program can tell that it comes from here. Several while one
    /// takes the place of another: a request is signed with each.
    pub(crate) secrets: Vec<Secret>,
    /// The `source` of what is told, which tells the programs of several servers apart: a URI or a part of one.
    pub(crate) source: String,
    /// File with certificates in PEM that vouch for the programs, instead of those that the system trusts; for
    /// `auth.jwt.jwks_urls` too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/ca.pem")]
    pub(crate) ca: Option<PathBuf>,
    /// From a question to its whole answer, and from something that is told to the whole answer; past it the question is
    /// refused, and what was to be told is told again. At most a day.
    pub(crate) timeout: Time,
    /// Questions under way, of all URLs together; past it the next one is refused.
    pub(crate) questions_max: usize,
    /// Requests to one URL at the same time; past it the next one waits for its turn.
    pub(crate) requests_max: usize,
    /// Bytes of an answer; past it the question is refused.
    pub(crate) answer_max: Size,
    /// What is to be told to one URL and waits for its turn; past it the oldest is dropped and counted.
    pub(crate) queue_max: usize,
    /// Bytes of what waits so; past it the oldest is dropped and counted.
    pub(crate) queue_bytes_max: Size,
    /// How often it is tried again to tell something; past it, it is given up and counted.
    pub(crate) retries_max: u32,
    /// The pause before it is tried again for the first time; each further one is twice as long.
    pub(crate) pause_min: Time,
    /// The longest of these pauses.
    pub(crate) pause_max: Time,
    /// Events that one request may tell; with more than 1, requests are lists of events.
    pub(crate) batch_max: usize,
    /// Bytes of one such list; what is behind them comes in the next one.
    pub(crate) batch_bytes_max: Size,
    /// Where each event goes; what has no URL is not asked or told.
    pub(crate) url: WebhookUrls,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            source: "taiwa".into(),
            ca: None,
            timeout: Time(Some(Duration::from_secs(5))),
            questions_max: 1024,
            requests_max: 64,
            answer_max: Size(1 << 20),
            queue_max: 10_000,
            queue_bytes_max: Size(64 << 20),
            retries_max: 5,
            pause_min: Time(Some(Duration::from_millis(200))),
            pause_max: Time(Some(Duration::from_secs(30))),
            batch_max: 1,
            batch_bytes_max: Size(1 << 20),
            url: WebhookUrls::default(),
        }
    }
}

/// Where each event goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebhookUrls {
    /// Asked who a client is, and whether it may come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/connect")]
    pub(crate) connect: Option<Url>,
    /// Asked whether a client whose rights end may stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/refresh")]
    pub(crate) refresh: Option<Url>,
    /// Asked whether a client may hear a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/subscribe")]
    pub(crate) subscribe: Option<Url>,
    /// Asked whether a client may publish, and what.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/publish")]
    pub(crate) publish: Option<Url>,
    /// Answers the calls of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/call")]
    pub(crate) call: Option<Url>,
    /// Told what clients say to the app alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/tell")]
    pub(crate) tell: Option<Url>,
    /// Told that a session is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/disconnect")]
    pub(crate) disconnect: Option<Url>,
    /// Told that a channel has its first subscriber.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/occupied")]
    pub(crate) occupied: Option<Url>,
    /// Told that a channel has lost its last subscriber.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:3000/taiwa/vacated")]
    pub(crate) vacated: Option<Url>,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Api {
    /// Keys of which a request must show one, and which may do all; without any key there is no API.
    pub(crate) keys: Vec<Secret>,
    /// Path below which the API is.
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path: String,
    /// Where the API is, instead of where clients connect.
    pub(crate) listen: Vec<Listen>,
    /// Whether programs must show a certificate by `tls.client_ca` where the API has addresses of its own.
    pub(crate) client_certificates: ApiCertificates,
    /// A further key, which may not do all. Its secret stands here or in a file.
    pub(crate) key: Vec<ApiKey>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            path: "/api".into(),
            listen: Vec::new(),
            client_certificates: ApiCertificates::default(),
            key: Vec::new(),
        }
    }
}

/// Whether programs must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ApiCertificates {
    /// As clients must: what `tls.client_certificates` says.
    #[default]
    AsClients,
    /// Without one the TLS handshake fails.
    Required,
    /// Without one a program comes in all the same; its key decides.
    Optional,
    /// They are not asked for one.
    Off,
}

/// A key of the HTTP API with rights of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// What a request shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"a-long-random-text")]
    pub(crate) secret: Option<Secret>,
    /// File that holds the secret alone; a line end behind it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/taiwa/api.key")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The commands that it may give, such as `publish`; if empty, all.
    pub(crate) commands: Vec<String>,
    /// The channels that it may use, each written as the beginning of a name and `*`: `news:*`; if empty, all. Commands
    /// about no channel, such as `disconnect`, are then only for a key whose `commands` name them.
    pub(crate) channels: Vec<String>,
}

/// Measurements and health, and orders from this machine.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// Where /metrics (for Prometheus), /health and /ready are; nowhere if empty. There are no keys here: let it be an
    /// address that clients do not reach.
    pub(crate) listen: Vec<Listen>,
    /// The unix socket of `taiwa admin`, which only the server's own user (and root) can open: a path, or `off`. `auto` is
    /// PID.sock in the folder that systemd has made for the service, in $XDG_RUNTIME_DIR/taiwa, in /run/taiwa, or in a folder
    /// of the user's own in the one for temporary files, whichever can be had first; so can a folder be named.
    pub(crate) socket: AdminSocket,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Vec::new(), socket: AdminSocket::Auto }
    }
}

/// This server as one node of several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cluster {
    /// What the names of keys, subjects and streams at the broker begin with: all nodes have the same, and clusters that
    /// share a broker different ones. 1 to 64 letters, digits, - and _.
    pub(crate) prefix: String,
    /// File with the certificates of those who may sign the broker's, in PEM; without it the system's are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/broker-ca.pem")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File with the credentials for NATS (`.creds`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/nats.creds")]
    pub(crate) credentials_file: Option<PathBuf>,
    /// Requests that may wait for the broker; more are refused.
    pub(crate) requests_max: usize,
    /// How long the broker may take for an answer; then the request is refused.
    pub(crate) deadline: Time,
    /// A node that was silent for so long is gone.
    pub(crate) silence: Time,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            prefix: "taiwa".into(),
            ca_file: None,
            credentials_file: None,
            requests_max: 65_536,
            deadline: Time(Some(Duration::from_secs(5))),
            silence: Time(Some(Duration::from_secs(10))),
        }
    }
}
