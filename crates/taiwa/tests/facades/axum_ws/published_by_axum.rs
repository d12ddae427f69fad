//! axum's own examples and tests of `axum::extract::ws`, as published, against `compat::axum`.

use std::fs;

use crate::{
    imports::rewrite,
    published::{Made, source_of},
};

/// What the examples and tests of axum use.
const DEPENDENCIES: &str = r#"
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
bytes = "1"
futures-util = { version = "0.3", default-features = false, features = ["sink"] }
http = "1"
http-body-util = "0.1"
hyper = { version = "1", features = ["http1", "server"] }
hyper-util = { version = "0.1", features = ["tokio"] }
tokio = { version = "1", features = ["macros", "net", "rt-multi-thread", "signal", "test-util"] }
tokio-tungstenite = { version = "0.30", default-features = false, features = ["connect", "handshake"] }
tower = { version = "0.5", features = ["util"] }
"#;

/// Stands in for axum's own, which are not published as an API.
const TEST_HELPERS: &str = "
pub(crate) fn spawn_service(app: axum::Router) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind(\"127.0.0.1:0\").unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    addr
}
";

#[test]
fn axums_examples_and_tests_run_with_one_import_changed() {
    let source = source_of("axum").join("src/extract/ws.rs");
    let source = fs::read_to_string(source).expect("it is published");
    let examples = examples(&source);
    assert!(examples.len() >= 7, "axum 0.8.9 has 7: {}", examples.len());
    let mut lib = format!("#![cfg(test)]\nmod test_helpers {{ {TEST_HELPERS} }}\n");
    let mut run = 0;
    for (at, example) in examples.iter().enumerate() {
        let attribute = if example.is_run { "#[test]" } else { "#[allow(dead_code)]" };
        run += usize::from(example.is_run);
        let code = changed(&example.code);
        lib.push_str(&format!("{attribute} fn example_{at}() {{\n{code}\n}}\n"));
    }
    assert!(run >= 6, "examples that run: {run}");
    let (tests, count) = tests(&source);
    assert!(count >= 2, "axum 0.8.9 has 2 without HTTP/2: {count}");
    lib.push_str(&tests);
    let features = ["compat-axum"];
    let made = Made::new("axum-by-taiwa", &features, DEPENDENCIES);
    made.write("src/lib.rs", &lib);
    assert_eq!(made.test(), run + count);
}

/// The one change.
fn changed(code: &str) -> String {
    let code = rewrite(code, |path| Some(of_ours(path)));
    // Where a path is written out.
    code.replace("axum::extract::ws::", "taiwa::compat::axum::")
}

fn of_ours(path: &str) -> String {
    match path.strip_prefix("axum::extract::") {
        Some("WebSocketUpgrade") => "taiwa::compat::axum::WebSocketUpgrade".to_owned(),
        Some(rest) if rest == "ws" || rest.starts_with("ws::") => {
            format!("taiwa::compat::axum{}", &rest["ws".len()..])
        }
        _ => path.to_owned(),
    }
}

/// A block of code in documentation.
struct Example {
    code: String,
    is_run: bool,
}

fn examples(source: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut open: Option<(bool, Example)> = None;
    for line in source.lines() {
        let line = line.trim_start();
        let Some(line) = line.strip_prefix("//!").or_else(|| line.strip_prefix("///")) else {
            open = None;
            continue;
        };
        let line = line.strip_prefix(' ').unwrap_or(line);
        if let Some(words) = line.strip_prefix("```") {
            open = match open {
                Some((is_rust, example)) => {
                    examples.extend(is_rust.then_some(example));
                    None
                }
                None => {
                    let is_rust = words.is_empty() || words.starts_with("rust");
                    Some((
                        is_rust,
                        Example { code: String::new(), is_run: !words.contains("no_run") },
                    ))
                }
            };
        } else if let Some((_, example)) = &mut open {
            // rustdoc hides lines that begin with `#`, and compiles them.
            let line = line.strip_prefix("# ").unwrap_or(if line == "#" { "" } else { line });
            example.code.push_str(line);
            example.code.push('\n');
        }
    }
    examples
}

/// The tests at the end of the file, in a module that imports what the file does, and how many will run.
fn tests(source: &str) -> (String, usize) {
    let (code, tests) = source.split_once("\n#[cfg(test)]\nmod tests {").expect("there are tests");
    let code = code.lines().filter(|it| !it.starts_with("//")).collect::<Vec<_>>().join("\n");
    // The imports end where the first item begins.
    let imports = &code[..code.find("\n#[").expect("there are items")];
    let imports = rewrite(imports, |path| match path {
        // What the facade stands for, and what it does by itself.
        path if path.starts_with("self::") => None,
        path if path.starts_with("sha1::") => None,
        "super::FromRequestParts" => None,
        path => Some(path.replace("crate::", "axum::").replace("axum_core::", "axum::")),
    });
    let tests = rewrite(tests, |path| match path {
        "crate::test_helpers::spawn_service" => Some(path.to_owned()),
        path => Some(of_ours(&path.replace("crate::", "axum::"))),
    });
    let tests = tests.replace("#[crate::test]", "#[tokio::test]");
    let over_http2 = tests.matches("#[cfg(feature = \"http2\")]").count();
    let count = tests.matches("#[tokio::test]").count() - over_http2;
    let ours = "use taiwa::compat::axum::{rejection::*, *};";
    (format!("mod ws {{\n{imports}\n{ours}\nmod tests {{{tests}\n}}\n"), count)
}
