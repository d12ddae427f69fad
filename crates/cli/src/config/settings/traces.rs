//! Traces: where they go, and how many.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::values::{Share, Url};

/// Traces for OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Traces {
    /// The collector, which takes OTLP over HTTP below `/v1/traces`; nothing is traced without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "http://127.0.0.1:4318")]
    pub(crate) endpoint: Option<Url>,
    /// How many traces are recorded of those that begin here. Whether one that began elsewhere is recorded was decided
    /// there.
    pub(crate) sample: Share,
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: None, sample: Share::ALL }
    }
}
