//! What stands in the place of `traces.rs` without the feature `otlp`: nothing is traced.

use tracing_subscriber::{Layer, Registry, layer::Identity};

use crate::{
    config::load::Loaded,
    exit::{Exit, Failure},
};

/// There are none.
pub(crate) enum Traces {}

/// Returns that there are none.
///
/// # Errors
/// If there should be some.
pub(crate) fn begin(loaded: &Loaded) -> Result<Option<Traces>, Failure> {
    match loaded.settings.traces.endpoint {
        None => Ok(None),
        Some(_) => {
            let why =
                "traces.endpoint: this taiwa was built without the feature otlp, which traces need";
            Err(Failure::new(Exit::Usage, why))
        }
    }
}

impl Traces {
    pub(crate) fn layer(&self) -> impl Layer<Registry> + Send + Sync + 'static + use<> {
        Identity::new()
    }

    pub(crate) async fn end(self) {
        match self {}
    }
}
