//! Traces: a collector of OpenTelemetry hears what the program does, in which order of cause, and no secret.

mod support;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::status::StatusCode,
};
use prost::Message;
use support::{PATIENCE, Server, connect, taiwa};

/// A trace that began elsewhere, and is recorded.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// What no span may say.
const SECRETS: [&str; 6] =
    ["open-sesame", "a-payload", "a-token", "a-secret-path", "a-private-channel", "anna"];

/// A request as it came.
struct Heard {
    head: String,
    body: Vec<u8>,
}

impl Heard {
    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|it| it.split_once(": "));
        lines.filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1).next()
    }
}

/// An HTTP server that tells of each request, and answers all with these bytes. Its URL comes first.
fn listen(answer: &'static [u8]) -> (String, mpsc::Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            thread::spawn(move || serve(stream, answer, &tell));
        }
    });
    (url, told)
}

fn serve(stream: TcpStream, answer: &[u8], tell: &mpsc::Sender<Heard>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut heard = Heard { head, body: vec![] };
        let length = heard.field("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        heard.body.resize(length, 0);
        reader.read_exact(&mut heard.body).ok()?;
        tell.send(heard).ok()?;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        (&stream).write_all(&[head.as_bytes(), answer].concat()).ok()?;
    }
}

/// A span as the collector read it.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    kind: i32,
    failed: bool,
    says: BTreeMap<String, String>,
}

#[derive(Default)]
struct Collected {
    spans: Vec<Span>,
    resource: BTreeMap<String, String>,
}

struct Collector {
    url: String,
    requests: mpsc::Receiver<Heard>,
    collected: Collected,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn facts(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |it: &KeyValue| match it.value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.iter().map(|it| (it.key.clone(), text(it))).collect()
}

impl Collector {
    fn start() -> Self {
        let (url, requests) = listen(b"");
        Self { url, requests, collected: Collected::default() }
    }

    /// Reads batches until `enough`.
    #[track_caller]
    fn wait(&mut self, what: &str, enough: impl Fn(&[Span]) -> bool) -> &[Span] {
        let end = Instant::now() + PATIENCE;
        while !enough(&self.collected.spans) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(heard) = self.requests.recv_timeout(left) else {
                panic!("no {what}: {:#?}", self.collected.spans);
            };
            self.collected.read(&heard);
        }
        &self.collected.spans
    }

    /// Waits for a span of this name.
    #[track_caller]
    fn span(&mut self, name: &str) -> Span {
        let is = |it: &&Span| it.name == name;
        let spans = self.wait(name, |all| all.iter().any(|it| is(&it)));
        spans.iter().find(is).unwrap().clone()
    }

    /// Reads what came until the server ended.
    fn rest(mut self) -> Vec<Span> {
        while let Ok(heard) = self.requests.recv_timeout(Duration::from_millis(100)) {
            self.collected.read(&heard);
        }
        self.collected.spans
    }
}

impl Collected {
    fn read(&mut self, heard: &Heard) {
        assert!(heard.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", heard.head);
        assert_eq!(heard.field("content-type"), Some("application/x-protobuf"));
        assert_eq!(heard.field("x-tenant"), Some("tests"), "OTEL_EXPORTER_OTLP_HEADERS");
        for secret in SECRETS {
            let there = heard.body.windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!there, "{secret:?} was told to the collector");
        }
        let batch = ExportTraceServiceRequest::decode(&*heard.body).unwrap();
        for resource in batch.resource_spans {
            self.resource = facts(&resource.resource.unwrap_or_default().attributes);
            for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
                assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
                self.spans.push(Span {
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    kind: span.kind,
                    failed: span.status.is_some_and(|it| it.code() == StatusCode::Error),
                    says: facts(&span.attributes),
                });
            }
        }
    }
}

/// A server with traces, a key of the API, and these settings.
fn start(collector: &Collector, settings: &[&str]) -> Server {
    let mut args = vec!["serve", "--listen", "127.0.0.1:0"];
    settings.iter().for_each(|it| args.extend(["--set", *it]));
    let mut command = taiwa(&args);
    command
        .env("TAIWA_API__KEYS", "open-sesame")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=tests")
        .env("OTEL_SERVICE_NAME", "chat of tests")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env_remove("OTEL_TRACES_SAMPLER")
        .env_remove("OTEL_SDK_DISABLED");
    Server::run(command)
}

/// Gives an order over the API; returns the answer.
fn order(server: &Server, command: &str, key: &str, body: &str) -> String {
    server.raw(&format!(
        "POST /api/v1/{command} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\
         Content-Length: {}\r\n\r\n{body}",
        server.addr,
        body.len()
    ))
}

const NEWS: &str = r#"{"channel": "news:a-private-channel", "data": "a-payload"}"#;

#[test]
fn a_publication_over_the_api_goes_on_where_its_request_came_from() {
    let mut collector = Collector::start();
    let server = start(&collector, &[]);
    let answer = order(&server, "publish", "open-sesame", NEWS);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = collector.span("POST /api/v1/publish");
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, PARENT));
    assert_eq!(request.kind, 2, "a server's");
    assert_eq!(request.says["http.response.status_code"], "200");
    assert_eq!(request.says["http.route"], "/api/v1/publish");
    let publish = collector.span("publish");
    assert_eq!((&publish.trace, &publish.parent), (&request.trace, &request.id));
    assert_eq!(publish.kind, 4, "a producer's");
    assert_eq!(publish.says["taiwa.namespace"], "news");
    assert_eq!(publish.says["taiwa.status"], "200");
    assert!(!publish.failed && !request.failed);
    assert_eq!(collector.collected.resource["service.name"], "chat of tests");
    assert_eq!(collector.collected.resource["service.version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn who_has_no_key_continues_no_trace() {
    let mut collector = Collector::start();
    let server = start(&collector, &["traces.sample=100%"]);
    assert!(order(&server, "publish", "another", NEWS).starts_with("HTTP/1.1 401"));
    let request = collector.span("POST /api/v1/publish");
    assert_ne!(request.trace, TRACE);
    assert_eq!(request.parent, "", "it begins here");
    assert_eq!(request.says["http.response.status_code"], "401");
}

#[test]
fn none_is_recorded_but_what_is_recorded_elsewhere() {
    let mut collector = Collector::start();
    let server = start(&collector, &["traces.sample=0%"]);
    connect(&server.ws("/chat"), &[], "hello\n").expect(0);
    assert!(order(&server, "publish", "another", NEWS).starts_with("HTTP/1.1 401"));
    assert!(order(&server, "publish", "open-sesame", NEWS).starts_with("HTTP/1.1 200"));
    collector.span("POST /api/v1/publish");
    server.signal("-TERM");
    assert_eq!(server.finish().0, Some(0));
    let names: Vec<_> = collector.rest().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["publish", "POST /api/v1/publish"]);
}

#[test]
fn a_handshake_leads_to_a_decision_to_a_webhook_that_is_told_where_it_goes_on() {
    let mut collector = Collector::start();
    let (app, questions) = listen(br#"{"result": {"user": "anna"}}"#);
    let hook = format!("webhooks.url.connect={app}/a-secret-path");
    let server = start(&collector, &[&hook]);
    let talk = "hello\n".repeat(50);
    connect(&server.ws("/a-private-channel?token=a-token"), &[], talk).expect(0);

    let handshake = collector.span("handshake");
    assert_eq!(handshake.parent, "", "clients do not say what is recorded");
    assert_eq!(handshake.kind, 2);
    assert_eq!(handshake.says["http.response.status_code"], "101");
    assert_eq!(handshake.says["taiwa.transport"], "websocket");
    assert_eq!(handshake.says["taiwa.dialect"], "plain");
    let decision = collector.span("decide connect");
    assert_eq!((&decision.trace, &decision.parent), (&handshake.trace, &handshake.id));
    assert_eq!(decision.says["taiwa.result"], "allowed");
    let webhook = collector.span("webhook connect");
    assert_eq!((&webhook.trace, &webhook.parent), (&handshake.trace, &decision.id));
    assert_eq!(webhook.kind, 3, "a client's");
    assert_eq!(webhook.says["server.address"], "127.0.0.1");
    assert_eq!(webhook.says["http.response.status_code"], "200");
    let asked = questions.recv_timeout(PATIENCE).unwrap();
    let expected = format!("00-{}-{}-01", webhook.trace, webhook.id);
    assert_eq!(asked.field("traceparent"), Some(expected.as_str()));

    server.signal("-TERM");
    assert_eq!(server.finish().0, Some(0));
    let spans = collector.rest();
    assert!(spans.len() <= 5, "a message has no span of its own: {spans:#?}");
}

#[test]
fn a_webhook_that_is_not_there_is_a_failure() {
    let mut collector = Collector::start();
    // A port that was free a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hook = format!("webhooks.url.connect=http://{nobody}/");
    let server = start(&collector, &[&hook, "webhooks.timeout=500ms"]);
    let refused = connect(&server.ws("/chat"), &["--stay"], "");
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    let webhook = collector.span("webhook connect");
    assert!(webhook.failed && webhook.says.contains_key("error.type"), "{webhook:#?}");
    let decision = collector.span("decide connect");
    assert!(decision.failed && decision.says["taiwa.result"] == "unavailable", "{decision:#?}");
}

#[test]
fn streams_of_http_have_a_handshake_too() {
    let mut collector = Collector::start();
    let server = start(&collector, &[]);
    let mut stream = TcpStream::connect(&server.addr).unwrap();
    let request = format!("GET /sse/a-private-channel HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
    stream.write_all(request.as_bytes()).unwrap();
    let handshake = collector.span("handshake");
    assert_eq!(handshake.says["taiwa.transport"], "http");
    assert_eq!(handshake.says["taiwa.dialect"], "sse");
    assert_eq!(handshake.says["http.response.status_code"], "200");
}

#[test]
fn a_collector_that_is_away_is_told_once_and_keeps_nobody_waiting() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("traces.endpoint=http://{nobody}");
    let args = ["serve", "--listen", "127.0.0.1:0", "--set", &endpoint];
    let mut command = taiwa(&args);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50").env("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
    let server = Server::run(command);
    connect(&server.ws("/chat"), &[], "hello\n").expect(0);
    server.await_log("the collector does not take traces");
    server.signal("-TERM");
    assert_eq!(server.finish().0, Some(0));
}
