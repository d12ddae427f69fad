//! Traces: spans go to a collector of OpenTelemetry, by OTLP as Protocol Buffers over HTTP.
//!
//! The variables that OpenTelemetry has for that count: those of the sampler, of the batches and of the resource are read by
//! its own library, those of the exporter partly here, because flags and our own variables come before them, and our file
//! behind them.

use std::{
    env, fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry::{Key, KeyValue, global, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use taiwa_server::{
    outgoing::{Bounds, Outgoing, Trust, parse_url},
    trace::TARGET,
};
use tokio::runtime::Handle;
use tracing::{info, level_filters::LevelFilter, warn};
use tracing_subscriber::{Layer, Registry, filter::Targets};

use crate::{
    config::{load::Loaded, tree::Origin},
    exit::{Exit, Failure},
};

/// What a collector may answer; it has little to say.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long one batch may take, unless a variable says otherwise: the default of OpenTelemetry.
const BATCH_MAX: Duration = Duration::from_secs(10);

/// How long the end of the server waits for the last batch.
const END_MAX: Duration = Duration::from_secs(5);

/// Spans on their way to a collector.
pub(crate) struct Traces(SdkTracerProvider);

/// Begins, if there is a collector. Must be called in a tokio runtime.
///
/// # Errors
/// A variable or a setting makes no sense.
pub(crate) fn begin(loaded: &Loaded) -> Result<Option<Traces>, Failure> {
    let Some(place) = place(loaded, &variable) else { return Ok(None) };
    let usage = |why: String| Failure::new(Exit::Usage, why);
    parse_url(&place.url).map_err(|it| usage(format!("{}: {it}", place.said_by)))?;
    let client = Client {
        outgoing: Outgoing::new(&trust(loaded)?, &loaded.settings.outgoing()),
        runtime: Handle::current(),
        deadline: deadline(&variable),
        failing: AtomicBool::new(false),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(place.url)
        .build()
        .map_err(|it| usage(format!("traces: {it}")))?;
    let provider =
        SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter);
    let provider = match sampler(loaded, &variable) {
        Some(sampler) => provider.with_sampler(sampler),
        None => provider,
    };
    global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(Some(Traces(provider.build())))
}

impl Traces {
    /// Returns what hears of spans.
    pub(crate) fn layer(&self) -> impl Layer<Registry> + Send + Sync + 'static + use<> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("taiwa"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE))
    }

    /// Sends what is left.
    pub(crate) async fn end(self) {
        // It waits for its own thread, which needs the runtime to send.
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(END_MAX));
        if !matches!(ended.await, Ok(Ok(()))) {
            warn!("the last traces were not taken");
        }
    }
}

/// Looks a variable up; an empty one counts as none.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|it| !it.is_empty())
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where spans go, and who says so.
#[derive(Debug, PartialEq)]
struct Place {
    url: String,
    said_by: &'static str,
}

fn place(loaded: &Loaded, variable: Variables<'_>) -> Option<Place> {
    let below = |base: &str| format!("{}/v1/traces", base.trim_end_matches('/'));
    let ours = loaded.settings.traces.endpoint.as_ref();
    let ours = ours.map(|it| Place { url: below(&it.to_string()), said_by: "traces.endpoint" });
    let says =
        |name: &str, word: &str| variable(name).is_some_and(|it| it.eq_ignore_ascii_case(word));
    if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    if !yields(loaded, "traces.endpoint") && ours.is_some() {
        return ours;
    }
    let exact = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
    variable(exact)
        .map(|url| Place { url, said_by: exact })
        .or_else(|| variable(base).map(|it| Place { url: below(&it), said_by: base }))
        .or(ours)
}

/// Returns which traces are recorded; `None` if OpenTelemetry's library has to find out by its variables.
fn sampler(loaded: &Loaded, variable: Variables<'_>) -> Option<Sampler> {
    if yields(loaded, "traces.sample") && variable("OTEL_TRACES_SAMPLER").is_some() {
        return None;
    }
    let share = loaded.settings.traces.sample.0;
    Some(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
}

/// Tells whether a setting yields to a variable that is not ours: it is a default, or stands in a file.
fn yields(loaded: &Loaded, path: &str) -> bool {
    matches!(loaded.origins.get(path), None | Some(Origin::File { .. }))
}

fn deadline(variable: Variables<'_>) -> Duration {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let said = names.into_iter().find_map(variable).and_then(|it| it.parse().ok());
    said.map_or(BATCH_MAX, Duration::from_millis)
}

fn trust(loaded: &Loaded) -> Result<Trust, Failure> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
    let found = names.into_iter().find_map(|name| Some((name, variable(name)?)));
    let Some((name, path)) = found else {
        let trust = loaded.settings.trust();
        return trust.map_err(|(key, why)| Failure::new(Exit::Usage, format!("{key}: {why}")));
    };
    let wrong = |why: String| Failure::new(Exit::Usage, format!("{name}: {why}"));
    let pem = fs::read(&path).map_err(|it| wrong(format!("can't read {path}: {it}")))?;
    Trust::from_pem(&pem).map_err(|it| wrong(it.to_string()))
}

/// Says who we are: by the variables, or else `taiwa`.
fn resource() -> Resource {
    let name = Key::new("service.name");
    let said = Resource::builder().build().get(&name);
    let is_named = said.is_some_and(|it| !it.as_str().starts_with("unknown_service"));
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match is_named {
        true => resource.build(),
        false => resource.with_service_name("taiwa").build(),
    }
}

/// Sends batches by the server's own client, so that there is one TLS and one set of bounds.
#[derive(Debug)]
struct Client {
    outgoing: Outgoing,
    /// Batches are made on a thread without one.
    runtime: Handle,
    deadline: Duration,
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outgoing = self.outgoing.clone();
        let bounds = Bounds { deadline: self.deadline, answer_bytes_max: ANSWER_BYTES_MAX };
        let sending = self.runtime.spawn(async move { outgoing.send(request, bounds).await });
        let sent = sending.await?;
        let why = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the status was {}", answer.status().as_u16())),
            Err(failure) => Some(failure.to_string()),
        };
        // Told when it changes: a collector that is away says nothing new every few seconds.
        match (why, self.failing.load(Ordering::Relaxed)) {
            (Some(why), false) => warn!("the collector does not take traces: {why}"),
            (None, true) => info!("the collector takes traces again"),
            _ => {}
        }
        self.failing.store(!matches!(&sent, Ok(it) if it.status().is_success()), Ordering::Relaxed);
        Ok(sent?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        flags::{Given, Said},
        load::Layers,
        tree::File,
    };

    const FILE: &str = "[traces]\nendpoint = \"http://file:1\"\nsample = \"10%\"\n";

    fn loaded(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Loaded {
        let given = |it: &(&str, &str)| Given {
            flag: "--set".into(),
            path: it.0.into(),
            said: Said::Text(it.1.into()),
        };
        let layers = Layers {
            file: Some(File { path: "t.toml".into(), text: file.into() }),
            variables: variables.iter().map(|it| (it.0.into(), it.1.into())).collect(),
            flags: flags.iter().map(given).collect(),
        };
        layers.load().unwrap_or_else(|it| panic!("{it:#?}"))
    }

    fn of(variables: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| variables.iter().find(|it| it.0 == name).map(|it| it.1.into())
    }

    #[test]
    fn flags_and_our_variables_come_before_those_of_opentelemetry_and_these_before_the_file() {
        let nothing = of(&[]);
        let base = of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://base:1/")]);
        let both = of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://base:1"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://exact:1/x"),
        ]);
        let off = of(&[("OTEL_SDK_DISABLED", "true")]);
        let ours = [("TAIWA_TRACES__ENDPOINT", "http://variable:1")];
        let flag = [("traces.endpoint", "http://flag:1")];
        let rows: &[(Loaded, Variables<'_>, Option<&str>)] = &[
            (loaded("", &[], &[]), &nothing, None),
            (loaded(FILE, &[], &[]), &nothing, Some("http://file:1/v1/traces")),
            (loaded(FILE, &[], &[]), &base, Some("http://base:1/v1/traces")),
            (loaded("", &[], &[]), &both, Some("http://exact:1/x")),
            (loaded(FILE, &ours, &[]), &both, Some("http://variable:1/v1/traces")),
            (loaded(FILE, &ours, &flag), &both, Some("http://flag:1/v1/traces")),
            (loaded(FILE, &ours, &flag), &off, None),
        ];
        for (loaded, variables, url) in rows {
            let place = place(loaded, variables);
            assert_eq!(place.as_ref().map(|it| it.url.as_str()), *url);
        }
    }

    #[test]
    fn the_share_counts_unless_opentelemetry_says_which_sampler() {
        let share = |loaded: &Loaded, variables: Variables<'_>| {
            sampler(loaded, variables).map(|it| format!("{it:?}"))
        };
        let nothing = of(&[]);
        let says = of(&[("OTEL_TRACES_SAMPLER", "always_off")]);
        let tenth = "ParentBased(TraceIdRatioBased(0.1))";
        assert_eq!(share(&loaded(FILE, &[], &[]), &nothing).as_deref(), Some(tenth));
        assert_eq!(share(&loaded(FILE, &[], &[]), &says), None);
        assert_eq!(share(&loaded("", &[], &[]), &says), None);
        let flag = [("traces.sample", "10%")];
        assert_eq!(share(&loaded("", &[], &flag), &says).as_deref(), Some(tenth));
    }

    #[test]
    fn the_deadline_is_in_milliseconds() {
        assert_eq!(deadline(&of(&[])), BATCH_MAX);
        let general = of(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "1500")]);
        assert_eq!(deadline(&general), Duration::from_millis(1500));
    }
}
