//! Other programs: those that taiwa asks, and those that ask it.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    args::Time,
    config::values::{Secret, Url},
    listen::Listen,
};

/// Programs that are asked and told over HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhooks {
    /// Secret by which each request is signed, so that the program can tell that it comes from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "shared with the program behind the webhooks")]
    pub(crate) secret: Option<Secret>,
    /// From something that is told to the whole answer; past it, it is tried again. Questions have `times.app_timeout`.
    pub(crate) timeout: Time,
    /// What is to be told and waits for its turn; past it the oldest is dropped and counted.
    pub(crate) queue_max: u32,
    /// How often it is tried again to tell something; questions that decide are asked once.
    pub(crate) retries_max: u32,
    /// File with certificates in PEM that vouch for the programs, instead of those that the system trusts; for
    /// `auth.jwt.jwks_urls` too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/ca.pem")]
    pub(crate) ca: Option<PathBuf>,
    /// Where each event goes; what has no URL is not asked or told.
    pub(crate) url: WebhookUrls,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            secret: None,
            timeout: Time(Some(Duration::from_secs(5))),
            queue_max: 10_000,
            retries_max: 5,
            ca: None,
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
    /// Keys of which a request must show one; without any there is no API.
    pub(crate) keys: Vec<Secret>,
    /// Path below which the API is.
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path: String,
    /// Where the API is, instead of where clients connect.
    pub(crate) listen: Vec<Listen>,
}

impl Default for Api {
    fn default() -> Self {
        Self { keys: Vec::new(), path: "/api".into(), listen: Vec::new() }
    }
}

/// Measurements and health.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// Where /metrics (for Prometheus), /health and /ready are; nowhere if empty. There are no keys here: let it be an
    /// address that clients do not reach.
    pub(crate) listen: Vec<Listen>,
}

/// What carries publications and history.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Broker {
    /// Which one.
    pub(crate) kind: BrokerKind,
}

/// Which broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BrokerKind {
    /// The memory of this process: one server, and its history ends with it.
    #[default]
    Memory,
}
