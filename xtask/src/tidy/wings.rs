//! Rules for the parts of the house: who may know whom, what rooms look like, who may touch the
//! world. ARCHITECTURE.md draws the same picture.

use serde_json::Value;

use super::{masked, tree::Text};

/// What a part may depend on, by folder. A part of a folder that is not here belongs to no wing.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("crates/proto", &[]),
    ("crates/core", &[]),
    ("crates/h3", &[]),
    ("crates/taiwa", &["crates/proto", "crates/h3"]),
    ("crates/hub", &["crates/core"]),
    ("crates/server", &["crates/taiwa", "crates/hub", "crates/proto", "crates/core"]),
    ("crates/console", &[]),
    ("crates/cli", &["crates/", "dialects/", "brokers/"]),
    ("dialects/", &["crates/core"]),
    ("brokers/", &["crates/core"]),
    ("conformance", &["crates/", "dialects/", "brokers/"]),
    ("interop", &["crates/", "dialects/", "brokers/"]),
    ("simulate", &["crates/", "dialects/", "brokers/"]),
    ("fuzz", &["crates/", "dialects/", "brokers/"]),
    ("bench", &["crates/", "dialects/", "brokers/"]),
    ("counts", &["crates/", "dialects/"]),
    ("examples", &["crates/", "dialects/", "brokers/"]),
    ("xtask", &[]),
];

/// What a part may know in its tests alone, besides: the settings of a file meet a house with a clock that is only a number.
const MAY_KNOW_IN_TESTS: &[(&str, &str)] = &[("crates/cli", "conformance")];

/// Parts that get time, randomness and bytes as arguments.
const PURE: &[&str] = &["crates/proto/", "crates/core/", "crates/hub/", "dialects/"];

/// Crates that bring a clock, a socket, a runtime or randomness.
const WORLDLY: &[&str] = &[
    "async-std",
    "fastrand",
    "futures-timer",
    "getrandom",
    "hyper",
    "mio",
    "quinn",
    "rand",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tokio-rustls",
];

/// Finds dependencies that the table does not allow, in the output of `cargo metadata --no-deps`.
pub(super) fn dependencies(metadata: &Value) -> Vec<String> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let within = |path: &Value| {
        let path = path.as_str()?.strip_prefix(root)?.trim_start_matches('/');
        Some(path.trim_end_matches("/Cargo.toml").to_owned())
    };
    let mut faults = vec![];
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    if packages.is_empty() {
        faults.push("cargo metadata names no package".into());
    }
    for package in packages {
        let Some(from) = within(&package["manifest_path"]) else { continue };
        let Some((_, known)) = MAY_KNOW.iter().find(|(wing, _)| is_in(&from, wing)) else {
            faults.push(format!("{from} has no place in the table of who may know whom"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            if let Some(to) = within(&dependency["path"]) {
                let in_tests = dependency["kind"] == "dev"
                    && MAY_KNOW_IN_TESTS.contains(&(from.as_str(), to.as_str()));
                if !in_tests && !known.iter().any(|it| is_in(&to, it)) {
                    faults.push(format!("{from} must not depend on {to}"));
                }
            } else if is_pure(&from) && dependency["kind"].is_null() && WORLDLY.contains(&name) {
                faults.push(format!("{from} must not depend on {name}: it touches the world"));
            } else if from == "crates/core" && dependency["kind"].is_null() && name != "bytes" {
                faults.push(format!("crates/core depends on bytes alone, not on {name}"));
            }
        }
    }
    faults
}

/// Tells whether a folder is the wing, or in it.
fn is_in(folder: &str, wing: &str) -> bool {
    match folder.strip_prefix(wing.trim_end_matches('/')) {
        Some("") => !wing.ends_with('/'),
        Some(rest) => rest.starts_with('/'),
        None => false,
    }
}

fn is_pure(folder: &str) -> bool {
    PURE.iter().any(|it| format!("{folder}/").starts_with(it))
}

/// Finds dialects that lack one of the files that all have.
pub(super) fn rooms(texts: &[Text]) -> Vec<String> {
    let has = |path: &str| texts.iter().any(|it| it.path == path);
    let mut faults = vec![];
    for text in texts {
        let Some(room) = text.path.strip_suffix("/Cargo.toml") else { continue };
        if !room.starts_with("dialects/") {
            continue;
        }
        for file in
            ["README.md", "src/lib.rs", "src/wire.rs", "src/conversation.rs", "src/encode.rs"]
        {
            if !has(&format!("{room}/{file}")) {
                faults.push(format!("{room}: {file} is missing"));
            }
        }
        let scenes = format!("{room}/tests/scenes/");
        if !texts.iter().any(|it| it.path.starts_with(&scenes) && it.path.ends_with(".txt")) {
            faults.push(format!("{room}: no scene in tests/scenes"));
        }
    }
    faults
}

/// Finds code of a pure part that reads a clock, opens a socket, spawns or draws. Tests may.
pub(super) fn purity(texts: &[Text]) -> Vec<String> {
    let mut faults = vec![];
    let pure = texts.iter().filter(|it| PURE.iter().any(|wing| it.path.starts_with(wing)));
    for text in pure {
        let code = text.without_tests();
        for sign in [
            "Instant::now",
            "SystemTime",
            "TcpListener",
            "TcpStream",
            "ToSocketAddrs",
            "UdpSocket",
            "std::thread",
            "std::fs",
            "std::env",
            "std::process",
            "thread::spawn",
            "thread::sleep",
            "println",
            "eprintln",
        ] {
            for at in masked::words(code, sign) {
                let line = masked::line(code, at);
                faults.push(format!("{}:{line}: {sign}: hand it in as an argument", text.path));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    fn metadata(from: &str, dependencies: &str) -> Value {
        let json = format!(
            r#"{{"workspace_root": "/w", "packages": [
                {{"manifest_path": "/w/{from}/Cargo.toml", "dependencies": [{dependencies}]}}]}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn ours(to: &str) -> String {
        format!(r#"{{"name": "x", "path": "/w/{to}", "kind": null}}"#)
    }

    fn theirs(name: &str, kind: &str) -> String {
        format!(r#"{{"name": "{name}", "kind": {kind}}}"#)
    }

    #[test]
    fn the_table_allows_what_the_picture_shows() {
        for (from, to) in [
            ("crates/taiwa", "crates/proto"),
            ("crates/taiwa", "crates/h3"),
            ("crates/server", "crates/hub"),
            ("crates/cli", "dialects/plain"),
            ("crates/cli", "crates/server"),
            ("dialects/plain", "crates/core"),
            ("brokers/redis", "crates/core"),
            ("conformance/wasm", "crates/proto"),
            ("simulate", "crates/proto"),
        ] {
            assert_eq!(dependencies(&metadata(from, &ours(to))), [""; 0], "{from} {to}");
        }
    }

    #[test]
    fn the_tests_of_the_program_know_the_house() {
        let of_tests = ours("conformance").replace("null", "\"dev\"");
        assert_eq!(dependencies(&metadata("crates/cli", &of_tests)), [""; 0]);
        assert_eq!(dependencies(&metadata("crates/cli", &ours("conformance"))).len(), 1);
        assert_eq!(dependencies(&metadata("crates/server", &of_tests)).len(), 1);
    }

    #[test]
    fn the_table_forbids_everything_else() {
        for (from, to) in [
            ("crates/proto", "crates/core"),
            ("crates/core", "crates/proto"),
            ("crates/h3", "crates/proto"),
            ("crates/taiwa", "crates/server"),
            ("crates/taiwa", "crates/core"),
            ("crates/hub", "crates/proto"),
            ("crates/hub", "dialects/plain"),
            ("crates/server", "dialects/plain"),
            ("crates/server", "crates/cli"),
            ("dialects/plain", "dialects/sse"),
            ("dialects/plain", "crates/hub"),
            ("brokers/redis", "brokers/nats"),
            ("crates/cli", "xtask"),
            ("crates/taiwa", "simulate"),
        ] {
            let faults = dependencies(&metadata(from, &ours(to)));
            assert_eq!(faults, [format!("{from} must not depend on {to}")]);
        }
        assert_eq!(dependencies(&metadata("crates/protocol", "")).len(), 1);
        assert_eq!(dependencies(&serde_json::json!({"workspace_root": "/w"})).len(), 1);
    }

    #[test]
    fn pure_parts_depend_on_nothing_that_touches_the_world() {
        let check = |from: &str, name: &str, kind: &str| {
            dependencies(&metadata(from, &theirs(name, kind))).len()
        };
        assert_eq!(check("crates/proto", "tokio", "null"), 1);
        assert_eq!(check("dialects/plain", "rand", "null"), 1);
        assert_eq!(check("crates/core", "serde", "null"), 1);
        assert_eq!(check("crates/core", "bytes", "null"), 0);
        assert_eq!(check("crates/proto", "rand", "\"dev\""), 0);
        assert_eq!(check("crates/taiwa", "tokio", "null"), 0);
    }

    #[test]
    fn pure_code_reads_no_clock() {
        let bad = "use std::net::TcpStream;\nfn f() { Instant::now(); }\n";
        assert_eq!(purity(&[text("crates/proto/src/a.rs", bad)]).len(), 2);
        assert_eq!(purity(&[text("dialects/x/src/a.rs", bad)]).len(), 2);
        assert_eq!(purity(&[text("crates/taiwa/src/a.rs", bad)]), [""; 0]);
        let good =
            "// Instant::now\nfn f(now: Instant) {}\n#[cfg(test)]\nmod tests { Instant::now }";
        assert_eq!(purity(&[text("crates/proto/src/a.rs", good)]), [""; 0]);
    }

    #[test]
    fn a_room_without_its_files_is_found() {
        let mut room = vec![text("dialects/x/Cargo.toml", "")];
        assert_eq!(rooms(&room).len(), 6);
        for file in
            ["README.md", "src/lib.rs", "src/wire.rs", "src/conversation.rs", "src/encode.rs"]
        {
            room.push(text(&format!("dialects/x/{file}"), ""));
        }
        room.push(text("dialects/x/tests/scenes/hello.txt", ""));
        assert_eq!(rooms(&room), [""; 0]);
    }
}
