//! Tests of the arguments.

use std::time::Duration;

use clap::CommandFactory;

use super::*;

fn connect(args: &[&str]) -> Result<Connect, clap::Error> {
    let all = ["taiwa", "connect"].into_iter().chain(args.iter().copied());
    match Cli::try_parse_from(all)?.verb {
        Verb::Connect(connect) => Ok(*connect),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn sizes_are_read_as_they_are_shown() {
    for (text, bytes) in [
        ("1000", 1000),
        ("64KiB", 64 << 10),
        ("1MiB", 1 << 20),
        ("1MB", 1_000_000),
        ("1GiB", 1 << 30),
        ("0", 0),
    ] {
        let size: Size = text.parse().unwrap();
        assert_eq!(size.0, bytes, "{text}");
        assert_eq!(size.to_string().parse::<Size>().unwrap(), size, "{text}");
    }
    for bad in ["", "x", "-1", "1 elephant", "1M", "1.5MiB", "99999999999GiB"] {
        assert!(bad.parse::<Size>().is_err(), "{bad}");
    }
}

#[test]
fn times_are_read_as_they_are_shown() {
    for (text, time) in [
        ("30s", Some(Duration::from_secs(30))),
        ("500ms", Some(Duration::from_millis(500))),
        ("1m 30s", Some(Duration::from_secs(90))),
        ("off", None),
    ] {
        let read: Time = text.parse().unwrap();
        assert_eq!(read.0, time, "{text}");
        assert_eq!(read.to_string().parse::<Time>().unwrap(), read, "{text}");
    }
    for bad in ["", "30", "0s", "9999y", "soon"] {
        assert!(bad.parse::<Time>().is_err(), "{bad}");
    }
}

#[test]
fn contradictions_are_refused() {
    for args in [
        &["ws://x", "--hex", "--base64"][..],
        &["ws://x", "--hex", "--binary"],
        &["ws://x", "-1", "--count", "2"],
        &["ws://x", "--count", "0"],
        &["ws://x", "--stay", "--linger", "1s"],
        &["ws://x", "--idle-timeout", "1s", "--linger", "1s"],
        &["ws://x", "-v", "-q"],
        &["ws://x", "-k", "--cacert", "x"],
        &["ws://x", "--cert", "x"],
        &["ws://x", "--key", "x"],
        &["ws://x", "ws://y"],
        &[],
    ] {
        assert!(connect(args).is_err(), "{args:?}");
    }
}

#[test]
fn timestamps_take_a_kind_behind_an_equals_sign_alone() {
    assert_eq!(
        connect(&["--timestamps", "ws://x"]).unwrap().receiving.timestamps,
        Some(Timestamps::Abs)
    );
    assert_eq!(
        connect(&["--timestamps=rel", "ws://x"]).unwrap().receiving.timestamps,
        Some(Timestamps::Rel)
    );
}
