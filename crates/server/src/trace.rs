//! Spans: what the server tells those who follow a request from program to program.
//!
//! There is one for an opening handshake, a request to the HTTP API, each command in it, a decision of the app, and a
//! webhook; none for a message. They say what was done, to which namespace, and what became of it: never a payload, a token,
//! the name of a channel or of a user.
//!
//! All have the target [`TARGET`] and the level `TRACE`, and cost a load each while nobody wants them. With the feature
//! `traces` they go on where a request's `traceparent` says, and webhooks get one (W3C Trace Context), by the propagator
//! that the program has set for OpenTelemetry.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use taiwa_core::{Answer, Question, Refusal, RefusalKind, Transport};
use tracing::{Span, field::Empty, trace_span};

use crate::{apps::webhooks::Kind, outgoing::Failure};

/// The target of all spans: by it a subscriber finds them, and a log leaves them out.
pub const TARGET: &str = "taiwa::trace";

/// An opening handshake: until the client is on its shard, and what is asked there at once.
pub(crate) fn handshake(transport: Transport, method: &str) -> Span {
    let transport = match transport {
        Transport::WebSocket => "websocket",
        Transport::WebTransport => "webtransport",
        _ => "http",
    };
    trace_span!(
        target: TARGET,
        "handshake",
        otel.kind = "server",
        http.request.method = method,
        http.response.status_code = Empty,
        taiwa.transport = transport,
        taiwa.dialect = Empty,
    )
}

/// A request to the HTTP API. What `traceparent` says is believed if the request shows a good key: otherwise anybody
/// could have everything recorded.
pub(crate) fn api_request(path: &str, trusted: Option<&HeaderMap>) -> Span {
    let span = trace_span!(
        target: TARGET,
        "api",
        otel.name = format_args!("POST {path}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = "POST",
        http.route = path,
        http.response.status_code = Empty,
    );
    if let Some(headers) = trusted
        && !span.is_disabled()
    {
        adopt(&span, headers);
    }
    span
}

/// What is ordered of the hub, by one command of the API.
pub(crate) fn command(name: &'static str, channels: Option<&[&str]>) -> Span {
    let says = matches!(name, "publish" | "broadcast");
    let span = trace_span!(
        target: TARGET,
        "command",
        otel.name = name,
        otel.kind = if says { "producer" } else { "internal" },
        otel.status_code = Empty,
        taiwa.command = name,
        taiwa.namespace = Empty,
        taiwa.channels = channels.map(|it| it.len() as i64),
        taiwa.status = Empty,
    );
    if let Some([channel]) = channels {
        span.record("taiwa.namespace", namespace(channel));
    }
    span
}

/// A decision of the app. What may be asked about each message gets none of its own: if a webhook is asked, that has one.
pub(crate) fn decision(question: &Question) -> Span {
    let (who, channel) = match question {
        Question::Connect { who, .. } | Question::Refresh { who, .. } => (who, None),
        Question::Subscribe { who, channel, .. } => (who, Some(channel)),
        _ => return Span::none(),
    };
    let span = trace_span!(
        target: TARGET,
        "decision",
        otel.name = format_args!("decide {}", kind(question)),
        otel.status_code = Empty,
        taiwa.question = kind(question),
        taiwa.dialect = who.dialect,
        taiwa.namespace = Empty,
        taiwa.result = Empty,
    );
    if let Some(channel) = channel {
        span.record("taiwa.namespace", namespace(channel.as_str()));
    }
    span
}

/// A question at a webhook, or an attempt to tell one something.
pub(crate) fn webhook(kind: Kind, uri: &http::Uri) -> Span {
    trace_span!(
        target: TARGET,
        "webhook",
        otel.name = format_args!("webhook {}", kind.name()),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = "POST",
        http.response.status_code = Empty,
        // Not its path, which may hold a secret.
        server.address = uri.host().unwrap_or_default(),
        server.port = i64::from(uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        })),
        taiwa.question = kind.name(),
        error.type = Empty,
    )
}

/// Notes the status of an answer. Of those that we give 5xx are failures, of those that we get 4xx, too.
pub(crate) fn answered(span: &Span, status: StatusCode, failures_from: u16) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.as_u16() >= failures_from {
        span.record("otel.status_code", "ERROR");
    }
}

/// Notes what became of a command, as the status that a request with it alone would get.
pub(crate) fn done(span: &Span, status: StatusCode) {
    span.record("taiwa.status", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Notes what came of a webhook.
pub(crate) fn heard(span: &Span, answer: &Result<Response<Bytes>, Failure>) {
    let why = match answer {
        Ok(answer) => return answered(span, answer.status(), 400),
        Err(Failure::Busy) => "busy",
        Err(Failure::Unreachable(_)) => "unreachable",
        Err(Failure::Deadline) => "deadline",
        Err(Failure::TooLarge) => "too_large",
        Err(Failure::Broken(_)) => "broken",
    };
    span.record("error.type", why);
    span.record("otel.status_code", "ERROR");
}

/// Notes what was decided. A no is no failure, an app that can't be asked is one.
pub(crate) fn decided(span: &Span, answer: &Result<Answer, Refusal>) {
    span.record("taiwa.result", answer.as_ref().map_or_else(|it| refused(it.kind), |_| "allowed"));
    if let Err(Refusal { kind: RefusalKind::Unavailable | RefusalKind::Deadline, .. }) = answer {
        span.record("otel.status_code", "ERROR");
    }
}

fn refused(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::BadRequest => "bad_request",
        RefusalKind::Unauthorized => "unauthorized",
        RefusalKind::Forbidden => "forbidden",
        RefusalKind::Expired => "expired",
        RefusalKind::NotFound => "not_found",
        RefusalKind::Limit => "limit",
        RefusalKind::Rate(_) => "rate",
        RefusalKind::Deadline => "deadline",
        RefusalKind::Unavailable => "unavailable",
        _ => "refused",
    }
}

fn kind(question: &Question) -> &'static str {
    Kind::of(question).map_or("other", Kind::name)
}

/// What a name begins with, up to the colon; empty for the namespace with the empty name.
fn namespace(channel: &str) -> &str {
    channel.split_once(':').map_or("", |(namespace, _)| namespace)
}

/// Makes a span go on where the headers say.
#[cfg(feature = "traces")]
fn adopt(span: &Span, headers: &HeaderMap) {
    use opentelemetry::{global, trace::TraceContextExt};
    use opentelemetry_http::HeaderExtractor;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let from = global::get_text_map_propagator(|it| it.extract(&HeaderExtractor(headers)));
    if from.span().span_context().is_valid() {
        // Without a layer of OpenTelemetry there is nothing to go on.
        let _ = span.set_parent(from);
    }
}

#[cfg(not(feature = "traces"))]
fn adopt(_: &Span, _: &HeaderMap) {}

/// Tells another program where it goes on: at the current span.
#[cfg(feature = "traces")]
pub(crate) fn hand_on(headers: &mut HeaderMap) {
    use opentelemetry::global;
    use opentelemetry_http::HeaderInjector;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let here = Span::current().context();
    global::get_text_map_propagator(|it| it.inject_context(&here, &mut HeaderInjector(headers)));
}

#[cfg(not(feature = "traces"))]
pub(crate) fn hand_on(_: &mut HeaderMap) {}
