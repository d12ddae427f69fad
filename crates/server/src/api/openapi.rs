//! The OpenAPI 3.1 document, made of the types that are served.

use schemars::{
    Schema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};

use super::{
    Limits,
    problem::Failed,
    serve::{Batch, Replies},
    verbs,
};

/// Returns the OpenAPI 3.1 document of the API below a path with such limits, a JSON text with line ends.
///
/// ```
/// use taiwa_server::api::{self, Limits};
/// let text = api::document("/api", &Limits::default());
/// assert!(text.contains("\"/publish\""));
/// ```
#[expect(clippy::missing_panics_doc, reason = "the keys of its maps are strings")]
pub fn document(path: &str, limits: &Limits) -> String {
    let mut asks = schemas(Contract::Deserialize);
    let mut answers = schemas(Contract::Serialize);
    let mut paths = Map::new();
    for entry in verbs::entries() {
        let operation = operation(
            entry.name,
            entry.takes_idempotency_key,
            (entry.ask)(&mut asks),
            (entry.answer)(&mut answers),
        );
        paths.insert(format!("/{}", entry.name), json!({ "post": operation }));
    }
    let (ask, answer) = (asks.subschema_for::<Batch>(), answers.subschema_for::<Replies>());
    paths.insert("/batch".into(), json!({ "post": operation("batch", false, ask, answer) }));
    paths.insert("/openapi.json".into(), json!({ "get": own_operation() }));
    answers.subschema_for::<Failed>();
    let mut schemas = asks.take_definitions(true);
    // What goes both ways looks alike both ways.
    schemas.extend(answers.take_definitions(true));
    schemas.values_mut().for_each(without_null_defaults);
    for (name, operations) in &mut paths {
        if let Some(operation) = operations.get_mut("post") {
            operation["summary"] = summary(&schemas, name, operation);
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "taiwa",
            "summary": "What a backend wants of a running server.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": format!("{path}/v1") }],
        "security": [{ "bearer": [] }, { "key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": problem() },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    });
    apply(limits, &mut document);
    let mut text = serde_json::to_string_pretty(&document).expect("the keys are strings");
    text.push('\n');
    text
}

fn schemas(contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.definitions_path = "/components/schemas".into();
        it.meta_schema = None;
        it.contract = contract;
    });
    settings.into_generator()
}

fn operation(name: &str, takes_idempotency_key: bool, ask: Schema, answer: Schema) -> Value {
    let mut operation = json!({
        "operationId": name,
        "requestBody": { "required": true, "content": { "application/json": { "schema": ask } } },
        "responses": {
            "200": {
                "description": "It is done.",
                "content": { "application/json": { "schema": answer } },
            },
        },
    });
    for status in [400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504] {
        operation["responses"][status.to_string()] =
            json!({ "$ref": "#/components/responses/Problem" });
    }
    if takes_idempotency_key {
        operation["parameters"] = json!([{
            "name": "Idempotency-Key",
            "in": "header",
            "description": "As the field `id`.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!#-~]+$" },
        }]);
    }
    operation
}

/// Finds the first sentence of what the command's type says of itself.
fn summary(schemas: &Map<String, Value>, name: &str, operation: &Value) -> Value {
    let pointer = "/requestBody/content/application~1json/schema/$ref";
    let reference = operation.pointer(pointer).and_then(Value::as_str);
    let schema = reference.and_then(|it| schemas.get(it.rsplit('/').next()?));
    let text = schema.and_then(|it| it["description"].as_str()).unwrap_or(name);
    text.split_inclusive('.').next().into()
}

fn own_operation() -> Value {
    json!({
        "operationId": "openapi",
        "summary": "Returns this document.",
        "security": [],
        "responses": {
            "200": {
                "description": "This document.",
                "content": { "application/json": { "schema": { "type": "object" } } },
            },
        },
    })
}

fn problem() -> Value {
    json!({
        "description": "It was not done.",
        "headers": {
            "Retry-After": {
                "description": "Seconds after which it may be done.",
                "schema": { "type": "integer", "minimum": 1 },
            },
        },
        "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/Failed" } },
        },
    })
}

/// Takes defaults out that say `null`: what they mean is that a field may be absent.
fn without_null_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            fields.values_mut().for_each(without_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null_defaults),
        _ => {}
    }
}

/// Writes the limits of this server over the defaults that stand at the types.
fn apply(limits: &Limits, document: &mut Value) {
    let names = [("Publish", "event"), ("Publish", "id"), ("Publish", "key")];
    let again = [("Broadcast", "event"), ("Broadcast", "id"), ("Broadcast", "key")];
    let names = names.into_iter().chain(again).chain([
        ("Call", "method"),
        ("CallAll", "method"),
        ("Tell", "event"),
    ]);
    let name = names.map(|(it, field)| (it, field, "maxLength", limits.name_bytes_max));
    let others = [
        ("Publish", "tags", "maxProperties", limits.tags_max),
        ("Broadcast", "tags", "maxProperties", limits.tags_max),
        ("Publish", "except_channels", "maxItems", limits.except_channels_max),
        ("Broadcast", "except_channels", "maxItems", limits.except_channels_max),
        ("Broadcast", "channels", "maxItems", limits.broadcast_max),
        ("Batch", "commands", "maxItems", limits.batch_max),
        ("Channels", "limit", "maximum", limits.list_max),
        ("Sessions", "limit", "maximum", limits.list_max),
    ];
    for (schema, field, keyword, value) in name.chain(others) {
        document["components"]["schemas"][schema]["properties"][field][keyword] = value.into();
    }
    for path in ["/publish", "/broadcast"] {
        let key = &mut document["paths"][path]["post"]["parameters"][0]["schema"];
        key["maxLength"] = limits.name_bytes_max.into();
    }
}
