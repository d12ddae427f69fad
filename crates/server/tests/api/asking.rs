//! Requests, and what answers must be.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use taiwa_server::Running;

use crate::probe::{KEY, SOON};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// Sends a request as it stands.
pub(crate) async fn send(site: &Running, request: Request<Bytes>) -> Answer {
    let api = site.api().expect("it has an API");
    let answering = api.answer(request.map(Full::from));
    let response = tokio::time::timeout(SOON, answering).await.expect("in time");
    let (head, body) = response.into_parts();
    assert_eq!(head.headers["content-type"], "application/json", "{body:?}");
    let body = serde_json::from_slice(&body).expect("JSON");
    Answer { status: head.status, headers: head.headers, body }
}

/// Makes a request of a command.
pub(crate) fn request(command: &str, key: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post(format!("/api/v1/{command}"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

/// Has a command done, and returns its answer.
#[track_caller]
pub(crate) fn ask(site: &Running, command: &str, body: Value) -> impl Future<Output = Value> {
    let (site, request) = (site.clone(), request(command, KEY, body.to_string()));
    let (command, caller) = (command.to_owned(), std::panic::Location::caller());
    async move {
        let answer = send(&site, request).await;
        assert_eq!(answer.status, 200, "{command} at {caller}: {}", answer.body);
        answer.body
    }
}

/// Has a command refused, and returns why.
#[track_caller]
pub(crate) fn refused(
    site: &Running,
    command: &str,
    key: &str,
    body: impl Into<Bytes>,
) -> impl Future<Output = (u16, String, String)> {
    let (site, request) = (site.clone(), request(command, key, body.into()));
    async move { told(&send(&site, request).await) }
}

/// Takes apart a refusal: status, code, field.
pub(crate) fn told(answer: &Answer) -> (u16, String, String) {
    let error = &answer.body["error"];
    assert_eq!(error["status"], answer.status.as_u16(), "{answer:?}");
    assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{answer:?}");
    assert!(error["temporary"].is_boolean(), "{answer:?}");
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), text("code"), text("field"))
}
