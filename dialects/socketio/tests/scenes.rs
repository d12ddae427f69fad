//! Plays the transcripts of `scenes/`, as they are and shaken.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use taiwa_core::scenes::{play, shake};
use taiwa_socketio::{Settings, SocketIo};

/// The settings that a file is played with: those that are named in its first line.
pub(crate) fn dialect(text: &str) -> SocketIo {
    let mut settings = Settings::default();
    settings.namespaces = ["/".into(), "/chat".into(), "/news".into()].into();
    settings.broadcast = ["say*".into()].into();
    let first = text.lines().next().unwrap_or("");
    if first.contains("recovery on") {
        settings.recovery = Some(Duration::from_secs(120));
    }
    if first.contains("broadcast_echo off") {
        settings.broadcast_echo = false;
    }
    if first.contains("small limits") {
        settings.packets_max = 3;
        settings.attachments_bytes_max = 8;
        settings.payload_bytes_max = 128;
        settings.calls_max = 2;
        settings.channels_max = 2;
        settings.held_max = 2;
    }
    settings.webtransport = first.contains("webtransport on");
    if first.contains("cookie on") {
        settings.cookie = Some("io".into());
    }
    if first.contains("echo on") {
        settings.echo_events = [("message".into(), "message-back".into())].into();
        settings.echo_acks = ["message-with-ack".into()].into();
        settings.echo_auth = Some("auth".into());
        settings.engine_echo = true;
    }
    SocketIo::new(settings)
}

/// Returns the name and the text of each file.
fn scenes() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    let paths = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    paths.map(|it| (it.display().to_string(), fs::read_to_string(it).unwrap())).collect()
}

#[test]
fn scenes_play_as_written() {
    for (name, text) in scenes() {
        if let Err(fault) = play(&dialect(&text), &text, Instant::now()) {
            panic!("{name}: {fault}");
        }
    }
}

#[test]
fn nonsense_neither_panics_nor_breaks_the_rules_of_all_dialects() {
    for (name, text) in scenes() {
        for seed in 0..60 {
            if let Err(fault) = shake(&dialect(&text), &text, seed, Instant::now()) {
                panic!("{name}: {fault}");
            }
        }
    }
    let all: String = scenes().into_iter().map(|(_, text)| text + "\n").collect();
    for first in ["# recovery on", "# small limits"] {
        for seed in 0..200 {
            if let Err(fault) = shake(&dialect(first), &all, seed, Instant::now()) {
                panic!("{fault}");
            }
        }
    }
}
