//! The OpenAPI document.

use std::{fs, path::Path};

use http::Request;
use serde_json::Value;
use taiwa_server::api::{Limits, document};

use crate::{asking::send, probe::site};

fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[test]
fn the_committed_document_is_what_the_types_say() {
    let current = document("/api", &Limits::default());
    if std::env::var_os("TAIWA_WRITE").is_some() {
        fs::write(committed(), &current).unwrap();
    }
    let text = fs::read_to_string(committed()).unwrap();
    let same = text == current;
    assert!(
        same,
        "docs/openapi.json is not current: TAIWA_WRITE=1 cargo test -p taiwa-server --test api document"
    );
}

#[tokio::test]
async fn it_is_served_without_a_key() {
    let site = site(Limits::default());
    let answer = send(&site, Request::get("/api/v1/openapi.json").body("".into()).unwrap()).await;
    assert_eq!(answer.status, 200);
    let current: Value = serde_json::from_str(&document("/api", &Limits::default())).unwrap();
    assert_eq!(answer.body, current);
}

#[test]
fn it_says_what_this_server_allows() {
    let limits = Limits::default().with(|it| {
        it.batch_max = 7;
        it.list_max = 8;
        it.name_bytes_max = 9;
    });
    let document: Value = serde_json::from_str(&document("/inside/api", &limits)).unwrap();
    let field = |it: &str| document.pointer(&format!("/components/schemas/{it}")).cloned();
    assert_eq!(field("Batch/properties/commands/maxItems"), Some(7.into()));
    assert_eq!(field("Channels/properties/limit/maximum"), Some(8.into()));
    assert_eq!(field("Publish/properties/id/maxLength"), Some(9.into()));
    assert_eq!(document["servers"][0]["url"], "/inside/api/v1");
}

#[test]
fn every_reference_leads_somewhere_and_every_object_is_closed_to_unknown_fields() {
    let document: Value = serde_json::from_str(&document("/api", &Limits::default())).unwrap();
    let mut references = vec![];
    visit(&document, &mut |it| {
        references.extend(it.get("$ref").and_then(Value::as_str).map(str::to_owned))
    });
    assert!(references.len() > 30);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("inside of the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in ["Publish", "Broadcast", "History", "Subscribe", "Tell", "Info", "Batch", "Place"] {
        let closed = &document["components"]["schemas"][name]["additionalProperties"];
        assert_eq!(closed, false, "{name}");
    }
    let summary = &document["paths"]["/publish"]["post"]["summary"];
    assert_eq!(summary, "Says something to everyone in a channel.");
}

fn visit(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|it| visit(it, see)),
        Value::Array(items) => items.iter().for_each(|it| visit(it, see)),
        _ => {}
    }
}
