//! Tests of what is written: it is read again, and it is what docs/configuration.md has.

use super::*;
use crate::config::{
    load::Layers,
    settings::{ApiKey, Namespace, Settings},
    tree::File,
    values::{MASK, Secret},
};

const WITH_ORIGINS: Beside = Beside { origin: true, reload: false };

fn load(text: String) -> Loaded {
    let layers = Layers { file: Some(File { path: "t.toml".into(), text }), ..Layers::default() };
    layers.load().unwrap_or_else(|it| panic!("{it:#?}"))
}

/// Takes away the `#` before keys, and before what `also` wants; not before prose, which has a space.
fn uncommented(text: &str, also: impl Fn(&str) -> bool) -> String {
    let mut is_example = false;
    let lines = text.lines().map(|line| {
        let key = line.strip_prefix('#').filter(|it| !it.is_empty() && !it.starts_with(' '));
        let shown = match key {
            // A certificate is nothing without its files.
            Some("[[tls.certificate]]") => line,
            Some(key) if !is_example || also(key) => key,
            _ => line,
        };
        is_example = line.ends_with("an example:");
        shown
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A file of the example is not there.
fn is_file(key: &str) -> bool {
    ["ca =", "cert =", "key =", "secret_file =", "client_ca =", "key_log ="]
        .iter()
        .any(|it| key.starts_with(it))
}

#[test]
fn the_example_is_read_as_the_defaults() {
    assert_eq!(load(example()).settings, Settings::default());
    // Also when every default stands in it, and with a namespace and a key of defaults.
    let said = load(uncommented(&example(), |it| it.starts_with("secret ="))).settings;
    let mut expected = Settings { namespace: vec![Namespace::default()], ..Settings::default() };
    let secret = Some(Secret::from("a-long-random-text"));
    expected.api.key = vec![ApiKey { secret, ..ApiKey::default() }];
    assert_eq!(said, expected);
}

#[test]
fn every_key_of_the_example_may_be_said() {
    // Except files, which must be there.
    let text = uncommented(&example(), |key| !is_file(key));
    let loaded = load(text);
    assert_eq!(loaded.settings.unix_mode.map(|it| it.0), Some(0o660));
    assert!(loaded.settings.webhooks.url.vacated.is_some());
}

#[test]
fn what_holds_is_written_as_it_is_read() {
    // Secrets are not written, and what stands for the broker's is no URL.
    let text = uncommented(&example(), |key| !is_file(key) && !key.starts_with("broker ="));
    let settings = load(text.replace("a-long-random-text", MASK));
    let again = load(effective(&settings, WITH_ORIGINS));
    assert_eq!(again.settings, settings.settings);
    assert_eq!(effective(&again, Beside::default()), effective(&settings, Beside::default()));
}

#[test]
fn what_holds_is_told_with_its_origin() {
    let loaded = load(
        "listen = [\"a:1\"]\n[[namespace]]\nname = \"a\"\n[namespace.rights]\npublish = \"all\"\n"
            .into(),
    );
    let text = effective(&loaded, WITH_ORIGINS);
    for line in [
        "listen = [\"a:1\"]  # t.toml:1:10",
        "level = \"info\"  # default",
        "name = \"a\"  # t.toml:3:8",
        "publish = \"all\"  # t.toml:5:11",
        "subscribe = \"authenticated\"  # default",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
}

#[test]
fn secrets_are_masked() {
    let text = "[auth.jwt]\nsecrets = [\"opensesame-opensesame-opensesame\"]\n[api]\nkeys = [\"opensesame\"]\n\
                [[api.key]]\nsecret = \"open-sesame\"\n[webhooks]\nsecrets = [\"opensesame-opensesame-opensesame\"]\n";
    let loaded = load(text.into());
    let shown = effective(&loaded, WITH_ORIGINS);
    assert!(!shown.contains("sesame"), "{shown}");
    assert_eq!(shown.matches(MASK).count(), 4, "{shown}");
    assert!(!format!("{:?}", loaded.settings).contains("sesame"));
    assert_eq!(loaded.settings.api.keys, [Secret::from("opensesame")]);
}

/// What is read when settings are checked.
const NEED_FILES: [&str; 6] =
    ["WEBHOOKS__CA", "TLS__CERT", "TLS__KEY", "TLS__CLIENT_CA", "TLS__KEY_LOG", "TLS__CERTIFICATE"];

#[test]
fn every_variable_sets_what_it_says() {
    let text = environment();
    let variables: Vec<_> = text
        .lines()
        .filter_map(|it| it.strip_prefix("#TAIWA_")?.split_once('='))
        .filter(|it| it.0 != "CONFIG" && !NEED_FILES.contains(&it.0))
        .map(|(name, value)| (format!("TAIWA_{name}").into(), value.trim_matches('\'').into()))
        .collect();
    assert_eq!(variables.len() + NEED_FILES.len(), keys::all().paths().len());
    let loaded = Layers { variables, ..Layers::default() }.load();
    let settings = loaded.unwrap_or_else(|it| panic!("{it:#?}")).settings;
    assert_eq!(settings.limits, Settings::default().limits);
    assert_eq!(settings.namespace[0].history_size, 100);
}

#[test]
fn texts_are_quoted_as_toml_wants_it() {
    for (text, toml_text) in [
        ("a", "\"a\""),
        ("a\"b\\c\n\t", "\"a\\\"b\\\\c\\n\\t\""),
        ("\u{7f}\u{1}", "\"\\u007F\\u0001\""),
        ("対話", "\"対話\""),
    ] {
        assert_eq!(toml(&text.into()), toml_text);
        let loaded = load(format!("[auth.jwt]\naudiences = [{toml_text}]"));
        assert_eq!(loaded.settings.auth.jwt.audiences, [text]);
    }
}

#[test]
fn the_page_is_what_the_program_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page(), "run: taiwa config docs > docs/configuration.md");
}
