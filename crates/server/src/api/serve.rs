//! From a request to a response: key, body, fields, rights, orders, answer.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::JsonSchema;
use serde::{
    Deserialize, Serialize, Serializer,
    de::{DeserializeOwned, IgnoredAny},
    ser::SerializeMap,
};
use serde_json::value::RawValue;
use tracing::{Instrument, Span, debug};

use super::{
    Key, Office,
    answer::Nothing,
    errand::{Errand, written},
    json_response, keys,
    problem::{Code, Problem},
    respond,
    verbs::{self, Command, Verb},
};
use crate::trace;

/// Several commands in one request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// The commands, each an object with its name as the one key.
    #[schemars(length(max = 1000))]
    pub(super) commands: Vec<Command>,
    /// Whether they are done side by side. Otherwise one is done when the one before it is.
    #[serde(default)]
    parallel: bool,
}

/// What became of a batch.
#[derive(Serialize, JsonSchema)]
pub(super) struct Replies {
    /// One entry a command, in their order: an object whose one key is the command's name, or `error`.
    replies: Vec<BatchReply>,
}

/// The answer to one command, or why it was not done.
pub(super) struct BatchReply(&'static str, Result<Box<RawValue>, Problem>);

impl Serialize for BatchReply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match &self.1 {
            Ok(answer) => map.serialize_entry(self.0, answer)?,
            Err(problem) => map.serialize_entry("error", problem)?,
        }
        map.end()
    }
}

impl JsonSchema for BatchReply {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BatchReply".into()
    }

    fn json_schema(schemas: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let case = |name: &str, schema: schemars::Schema| {
            serde_json::json!({
                "type": "object",
                "properties": { name: schema },
                "required": [name],
                "additionalProperties": false,
            })
        };
        let mut cases = Vec::new();
        for entry in verbs::entries() {
            cases.push(case(entry.name, (entry.answer)(schemas)));
        }
        cases.push(case("error", schemas.subschema_for::<Problem>()));
        schemars::json_schema!({
            "description": "The answer to one command, or why it was not done.",
            "oneOf": cases,
        })
    }
}

/// Returns the routes below a path.
pub(super) fn router(office: Arc<Office>, path: &str) -> Router {
    let at = |rest: &str| format!("{path}/{rest}");
    verbs::routes(Router::new(), &at("v1/"))
        .route(&at("v1/batch"), post(batch).fallback(wrong_method))
        .route(&at("v1/openapi.json"), get(document).fallback(wrong_method_of_document))
        .route(&at(""), any(no_command))
        .route(&at("{*rest}"), any(no_command))
        .with_state(office)
}

/// Returns the route of a command.
pub(super) fn command<V: Verb>() -> MethodRouter<Arc<Office>> {
    post(one::<V>).fallback(wrong_method)
}

async fn one<V: Verb>(State(office): State<Arc<Office>>, request: Request) -> Response {
    let span = span(&office, &request);
    let response = match try_one::<V>(&office, request).instrument(span.clone()).await {
        Ok(answer) => json_response(StatusCode::OK, Box::<str>::from(answer).into_string()),
        Err(problem) => told(V::NAME, problem),
    };
    trace::answered(&span, response.status(), 500);
    office.tally.count(V::NAME, response.status());
    response
}

fn span(office: &Office, request: &Request) -> Span {
    let trusted = office.admit(request.headers()).is_ok().then(|| request.headers());
    trace::api_request(request.uri().path(), trusted)
}

fn told(command: &str, problem: Problem) -> Response {
    debug!(command, code = ?problem.code, field = problem.field, "refused a request of the API");
    problem.into_response()
}

async fn try_one<V: Verb>(office: &Office, request: Request) -> Result<Box<RawValue>, Problem> {
    let key = office.admit(request.headers())?;
    if !key.allows(V::NAME) {
        return Err(Problem::new(Code::Forbidden, format!("this key may not {}", V::NAME)));
    }
    let _permit = office.enter()?;
    let (head, body) = request.into_parts();
    let idempotency_key = idempotency_key(&head.headers)?;
    let mut verb: V = parse(&office.read(&head.headers, body).await?)?;
    if let Some(it) = idempotency_key {
        verb.identify(it)?;
    }
    let errand = verb.errand(&office.limits)?;
    permit(key, V::NAME, &errand)?;
    office.run(V::NAME, errand).await
}

async fn batch(State(office): State<Arc<Office>>, request: Request) -> Response {
    let span = span(&office, &request);
    let response = match try_batch(&office, request).instrument(span.clone()).await {
        Ok(replies) => respond(StatusCode::OK, &replies),
        Err(problem) => told("batch", problem),
    };
    trace::answered(&span, response.status(), 500);
    office.tally.count("batch", response.status());
    response
}

/// Nothing of it is done unless all of it is well formed; then each command has its own result.
async fn try_batch(office: &Office, request: Request) -> Result<Replies, Problem> {
    let key = office.admit(request.headers())?;
    let _permit = office.enter()?;
    let (head, body) = request.into_parts();
    if idempotency_key(&head.headers)?.is_some() {
        let wrong = "a batch takes no Idempotency-Key; give each publish an id";
        return Err(Problem::invalid("Idempotency-Key", wrong));
    }
    let Batch { commands, parallel } = parse(&office.read(&head.headers, body).await?)?;
    if commands.len() > office.limits.batch_max {
        let wrong = format!("at most {} commands at once", office.limits.batch_max);
        return Err(Problem::new(Code::TooLarge, wrong).at("commands"));
    }
    let mut errands = Vec::with_capacity(commands.len());
    for (index, command) in commands.into_iter().enumerate() {
        let name = command.name();
        let errand = command.errand(&office.limits);
        let place = format!("commands[{index}].{name}");
        errands.push((name, errand.map_err(|it| it.within(&place))?));
    }
    let side_by_side = if parallel { office.limits.side_by_side_max.max(1) } else { 1 };
    let doing = errands.into_iter().map(|(name, errand)| reply(office, key, name, errand));
    let doing = doing.collect::<Vec<_>>();
    Ok(Replies { replies: stream::iter(doing).buffered(side_by_side).collect().await })
}

async fn reply(office: &Office, key: &Key, name: &'static str, errand: Errand) -> BatchReply {
    let done = match permit(key, name, &errand) {
        Ok(()) => office.run(name, errand).await,
        Err(problem) => Err(problem),
    };
    BatchReply(name, done)
}

/// Checks the rights of a key for what a command is about.
fn permit(key: &Key, command: &str, errand: &Errand) -> Result<(), Problem> {
    if !key.allows(command) {
        return Err(Problem::new(Code::Forbidden, format!("this key may not {command}")));
    }
    let channels = errand.channels();
    match key.forbids(command, channels.as_deref()) {
        None => Ok(()),
        Some("") => {
            Err(Problem::new(Code::Forbidden, format!("this key may not {command} at large")))
        }
        Some(channel) => {
            let text = format!("this key may not {command} in the channel {channel:?}");
            Err(Problem::new(Code::Forbidden, text))
        }
    }
}

impl Office {
    fn admit(&self, headers: &HeaderMap) -> Result<&Key, Problem> {
        let wrong = "show a key, as Authorization: Bearer KEY or as X-API-Key: KEY";
        let known = keys::shown(&self.keys, headers).or(self.everyone.as_ref());
        known.ok_or_else(|| Problem::new(Code::Unauthorized, wrong))
    }

    fn enter(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        let busy = "too many requests at once";
        let busy =
            |_| Problem::new(Code::Unavailable, busy).after(std::time::Duration::from_secs(1));
        self.requests.try_acquire().map_err(busy)
    }

    /// Reads a body that is said to be JSON.
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, Problem> {
        if !is_json(headers) {
            let wrong = "send JSON, with the header Content-Type: application/json";
            return Err(Problem::new(Code::UnsupportedMediaType, wrong).at("Content-Type"));
        }
        if headers.get(header::CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            let wrong = "send the body as it is, without a Content-Encoding";
            return Err(Problem::new(Code::UnsupportedMediaType, wrong).at("Content-Encoding"));
        }
        let bytes_max = self.limits.body_bytes_max;
        let reading = Limited::new(body, bytes_max).collect();
        let late = |_| Problem::new(Code::TooSlow, "the body took too long to arrive");
        let read = tokio::time::timeout(self.limits.body_deadline, reading).await.map_err(late)?;
        match read {
            Ok(body) => Ok(body.to_bytes()),
            Err(why) if why.is::<LengthLimitError>() => {
                let text = format!("a body has at most {bytes_max} bytes");
                Err(Problem::new(Code::TooLarge, text))
            }
            Err(_) => Err(Problem::new(Code::Malformed, "the body did not arrive whole")),
        }
    }

    async fn run(&self, name: &'static str, errand: Errand) -> Result<Box<RawValue>, Problem> {
        let span = trace::command(name, errand.channels().as_deref());
        let done = self.carry_out(errand).instrument(span.clone()).await;
        let status = done.as_ref().map_or_else(|it| it.code.status(), |_| StatusCode::OK);
        trace::done(&span, status);
        done
    }

    async fn carry_out(&self, errand: Errand) -> Result<Box<RawValue>, Problem> {
        let (orders, report) = match errand {
            Errand::Orders(orders, report) => (orders, report),
            Errand::Revoke(revoking) => {
                revoking.run(self.verifier.as_ref(), SystemTime::now())?;
                return Ok(written(&Nothing {}));
            }
        };
        let doing = stream::iter(orders).map(|it| (self.order.0)(it));
        let done = doing.buffered(self.limits.side_by_side_max.max(1)).collect().await;
        report(done)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Returns the header's text, with or without the quotes that a string of RFC 8941 has.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all("idempotency-key").iter();
    let Some(value) = all.next() else { return Ok(None) };
    let wrong = |text| Err(Problem::invalid("Idempotency-Key", text));
    if all.next().is_some() {
        return wrong("the header is there twice");
    }
    let Ok(text) = value.to_str() else { return wrong("it has characters that are not ASCII") };
    let text = text.trim();
    let quoted = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    match quoted.unwrap_or(text) {
        "" => wrong("it is empty"),
        text => Ok(Some(text.to_owned())),
    }
}

/// Reads JSON; what is wrong is told with the path of its field.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // RFC 8259 §8.1: "JSON text exchanged between systems [...] MUST be encoded using UTF-8".
    let text = std::str::from_utf8(body)
        .map_err(|error| Problem::new(Code::Malformed, format!("this is no JSON: {error}")))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        // What is wrong may have been met before the place where it ceases to be JSON.
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            return no_json(&error);
        }
        let problem = Problem::new(Code::Invalid, error.to_string());
        if path == "." { problem } else { problem.at(path) }
    })?;
    json.end().map_err(|error| no_json(&error))?;
    // A list of the fields in their order would be taken for an object, too.
    if text.trim_start().starts_with('[') {
        return Err(Problem::new(Code::Invalid, "a body is a JSON object"));
    }
    Ok(parsed)
}

fn no_json(error: &serde_json::Error) -> Problem {
    Problem::new(Code::Malformed, format!("this is no JSON: {error}"))
}

async fn document(State(office): State<Arc<Office>>) -> Response {
    json_response(StatusCode::OK, office.document.clone())
}

async fn wrong_method() -> Response {
    not_allowed("POST")
}

async fn wrong_method_of_document() -> Response {
    not_allowed("GET, HEAD")
}

fn not_allowed(allow: &'static str) -> Response {
    let text = format!("the method is {allow}");
    let mut response = Problem::new(Code::MethodNotAllowed, text).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

async fn no_command(State(office): State<Arc<Office>>, request: Request) -> Response {
    // Who has no key learns nothing of what there is.
    let problem = office.admit(request.headers()).err().unwrap_or_else(|| {
        let text = format!("there is no such command; they are {}, batch", verbs::NAMES.join(", "));
        Problem::new(Code::NotFound, text)
    });
    let response = told("", problem);
    office.tally.count("none", response.status());
    response
}
