//! Every key is looked at: what it waits for, and whether a change of it is found.

use super::*;
use crate::config::load::{Layers, USUAL_FILE};
use crate::config::tree::File;

fn paths(section: &Section, path: &str, found: &mut Vec<String>) {
    found.extend(section.keys.iter().map(|it| format!("{path}{}", it.name)));
    for below in &section.sections {
        paths(below, &format!("{path}{}.", below.name), found);
    }
}

fn all() -> Vec<String> {
    let mut found = Vec::new();
    paths(keys::all(), "", &mut found);
    found
}

fn read(text: &str) -> Settings {
    let file = File { path: USUAL_FILE.into(), text: text.into() };
    let layers = Layers { file: Some(file), ..Layers::default() };
    layers.load().unwrap_or_else(|it| panic!("{it:?}")).settings
}

#[test]
fn every_key_stands_in_one_row_and_every_row_has_keys() {
    let all = all();
    assert!(all.len() > 150, "{}", all.len());
    for path in &all {
        assert!(Reload::of(path).is_some(), "config/reload.rs does not say what {path} waits for");
    }
    let mut rows = Vec::new();
    for (section, _, names) in ROWS {
        let dot = if section.is_empty() { "" } else { "." };
        rows.extend(names.iter().map(|it| format!("{section}{dot}{it}")));
    }
    rows.sort();
    let mut known = all;
    known.sort();
    assert_eq!(rows, known, "a key in two rows, or one that is none");
}

#[test]
fn secrets_are_compared_although_nobody_is_shown_them() {
    fn secrets(section: &Section, path: &str, found: &mut Vec<String>) {
        if section.repeated && section.keys.iter().any(|it| it.secret) {
            return found.push(path.trim_end_matches('.').to_owned());
        }
        let own = section.keys.iter().filter(|it| it.secret);
        found.extend(own.map(|it| format!("{path}{}", it.name)));
        for below in &section.sections {
            secrets(below, &format!("{path}{}.", below.name), found);
        }
    }
    let mut found = Vec::new();
    secrets(keys::all(), "", &mut found);
    let known = Settings::default().secrets_differ(&Settings::default());
    for path in &found {
        assert!(known.iter().any(|it| it.0 == path), "secrets_differ does not compare {path}");
    }
    let with = |secret| read(&format!("[api]\nkeys = [\"{secret}\"]\n"));
    assert_eq!(with("one").differences(&with("two")), ["api.keys"]);
    assert!(with("one").differences(&with("one")).is_empty());
    let with = |secret| read(&format!("[[api.key]]\nsecret = \"{secret}\"\n"));
    assert_eq!(with("one").differences(&with("two")), ["api.key"]);
}

/// Changes every key that needs a restart.
const STARTED_OTHERWISE: &str = "listen = [\"127.0.0.1:1\"]\nunix_mode = \"600\"\nproxy_protocol = [\"unix\"]\n\
    reuse_port = true\nshards = 2\nhttp1 = false\nhttp2 = false\nhttp2_websockets = false\n\
    limits.http2 = { streams_max = 1, window = \"1KiB\", unsent_max = \"1KiB\", resets_max = 1 }\n\
    http3 = false\nhttp3_websockets = false\nwebtransport = false\nhttp3_port = 443\n\
    limits.http3 = { streams_max = 1, window = \"1KiB\", resets_max = 1, unproven_max = 1, sessions_max = 1, \
     session_window = \"1KiB\", datagrams_max = 1 }\n\
    times.http3_idle = \"off\"\ntimes.http3_silence = \"9s\"\n\
    times.http2_idle = \"off\"\nlog.format = \"json\"\nlimits.shard.letters_max = 7\n\
    api = { keys = [\"x\"], listen = [\"127.0.0.1:2\"], client_certificates = \"off\" }\nadmin = { listen = [\"127.0.0.1:3\"], socket = \"off\" }\n\
    broker = \"redis://127.0.0.1:5\"\n\
    cluster = { prefix = \"x\", ca_file = \"c.pem\", credentials_file = \"c\", requests_max = 1, \
    deadline = \"1s\", silence = \"2s\" }\n\
    traces = { endpoint = \"http://127.0.0.1:4\", sample = \"1%\" }\n\
    tls = { issuer = \"dev\", names = [\"a.example\"], folder = \"/x\", dev_life = \"1day\", client_ca = \"c\", client_certificates = \"optional\", key_log = \"k\", \
    acme = { directory = \"https://a.example/d\", contact = [\"mailto:a@b.example\"], terms_agreed = true, \
    challenge = \"http-01\", http_listen = [\"127.0.0.1:6\"], ca_file = \"a.pem\", eab_key_id = \"x\", \
    eab_key = \"y\" } }\n";

#[test]
fn what_needs_a_restart_is_named_and_stays_as_it_was() {
    let (started, mut other) = (Settings::default(), read(STARTED_OTHERWISE));
    let named = other.needing_restart(&started);
    for path in all().iter().filter(|it| Reload::of(it) == Some(Restart)) {
        assert!(named.contains(path), "let STARTED_OTHERWISE change {path}; named: {named:?}");
    }
    other.keep_started(&started);
    let left = other.needing_restart(&started);
    assert!(left.is_empty(), "keep_started does not keep {left:?}");
    assert_eq!(other.differences(&started), ["api.keys"], "the others are as they are set");
}

#[test]
fn differences_have_the_paths_of_their_keys() {
    #[track_caller]
    fn check(one: &str, other: &str, expected: &[&str]) {
        assert_eq!(read(one).differences(&read(other)), expected);
    }
    check("", "listen = [\"127.0.0.1:8000\"]", &[]);
    check("log.level = \"warn\"", "", &["log.level"]);
    check("limits.connection.message_max = \"1MiB\"", "", &[]);
    check("unix_mode = \"660\"", "", &["unix_mode"]);
    let one = "[[namespace]]\nname = \"a\"\n[[namespace]]\nname = \"b\"\nhistory_size = 1\n";
    let other =
        "[[namespace]]\nname = \"a\"\nrights.publish = \"all\"\n[[namespace]]\nname = \"b\"\n";
    check(one, other, &["namespace[0].rights.publish", "namespace[1].history_size"]);
    check(one, "", &["namespace"]);
}

#[test]
fn whether_there_is_tls_needs_a_restart_and_which_certificate_does_not() {
    let mut with = Settings::default();
    (with.tls.cert, with.tls.key) = (Some("a.pem".into()), Some("a.key".into()));
    let mut other = with.clone();
    other.tls.cert = Some("b.pem".into());
    assert!(other.needing_restart(&with).is_empty());
    let kept = other.clone();
    other.keep_started(&with);
    assert_eq!(other, kept);
    let mut without = Settings::default();
    assert_eq!(without.needing_restart(&with), ["tls.cert", "tls.key"]);
    without.keep_started(&with);
    assert_eq!(without.tls.cert, with.tls.cert);
}
