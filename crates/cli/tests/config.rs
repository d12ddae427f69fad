//! `taiwa config`, and where `taiwa serve` takes its settings from.

mod support;

use std::{fs, path::Path, process::Command};

use support::{Folder, Running, Server, connect, run, taiwa};

#[test]
fn init_writes_a_file_that_check_accepts_and_never_overwrites() {
    let folder = Folder::new("init");
    assert_eq!(folder.run(&["config", "init"], &[]).expect(0).stdout_text(), "wrote taiwa.toml\n");
    let text = fs::read_to_string(folder.0.join("taiwa.toml")).unwrap();
    assert_eq!(run(&["config", "init", "-"], "").expect(0).stdout_text(), text);
    let checked = folder.run(&["config", "check"], &[]).expect(0);
    assert_eq!(checked.stdout_text(), "taiwa.toml: all is well\n");

    fs::write(folder.0.join("taiwa.toml"), "# mine\n").unwrap();
    let refused = folder.run(&["config", "init"], &[]).expect(2);
    assert!(refused.stderr.contains("there already"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(folder.0.join("taiwa.toml")).unwrap(), "# mine\n");
    // What is made for the file of init equals what holds without it.
    let shown = folder.run(&["config", "show"], &[]).expect(0);
    assert_eq!(shown.stdout, run(&["config", "show"], "").expect(0).stdout);
}

#[test]
fn check_tells_all_that_is_wrong_with_exit_code_2() {
    let folder = Folder::new("check");
    let file = folder.write("bad.toml", "[log]\nlevl = \"info\"\nformat = 3\n");
    let outcome = folder.run(&["config", "check", &file], &[("TAIWA_LOG", "loud")]).expect(2);
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", outcome.stderr);
    assert_eq!(
        lines[0],
        format!("taiwa: {file}:2:1: log.levl: there is no such key; did you mean level?")
    );
    assert!(lines[1].starts_with(&format!("taiwa: {file}:3:10: log.format: ")), "{}", lines[1]);
    assert!(lines[2].starts_with("taiwa: env TAIWA_LOG: log.level: "), "{}", lines[2]);
    assert!(outcome.stdout.is_empty());
    // So does the server, which does not start.
    let served = folder.run(&["serve", "--config", &file], &[("TAIWA_LOG", "loud")]).expect(2);
    assert_eq!(served.stderr, outcome.stderr);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let folder = Folder::new("named");
    for (args, variables) in [
        (&["config", "check", "missing.toml"][..], &[][..]),
        (&["serve", "--config", "missing.toml"], &[]),
        (&["config", "show"], &[("TAIWA_CONFIG", "missing.toml")]),
    ] {
        let outcome = folder.run(args, variables).expect(2);
        assert!(outcome.stderr.contains("can't read missing.toml"), "{}", outcome.stderr);
    }
    let outcome = folder.run(&["config", "check"], &[]).expect(0);
    assert_eq!(outcome.stdout_text(), "there is no taiwa.toml; all is well without it\n");
}

#[test]
fn show_tells_where_each_setting_comes_from() {
    let folder = Folder::new("show");
    folder.write(
        "taiwa.toml",
        "[limits.shard]\nkept_max = 5\nchannels_max = 6\n[api]\nkeys = [\"s3same\"]\n",
    );
    let args = ["config", "show", "--origin", "--message-max", "2MiB", "--set", "log.level=warn"];
    let variables = [("TAIWA_LIMITS__SHARD__CHANNELS_MAX", "7"), ("TAIWA_LOG_FORMAT", "x")];
    let outcome = folder.run(&args, &variables).expect(0);
    for line in [
        "kept_max = 5  # taiwa.toml:2:12",
        "channels_max = 7  # env TAIWA_LIMITS__SHARD__CHANNELS_MAX",
        "message_max = \"2MiB\"  # --message-max",
        "level = \"warn\"  # --set log.level",
        "format = \"text\"  # default",
        "keys = [\"********\"]  # taiwa.toml:5:8",
    ] {
        let text = outcome.stdout_text();
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
    assert!(outcome.stderr.contains("TAIWA_LOG_FORMAT sets nothing"), "{}", outcome.stderr);
    // Flags that are no settings of these shapes are clap's business.
    folder.run(&["config", "show", "--set", "log.level"], &[]).expect(2);
    folder.run(&["config", "show", "--log", "loud"], &[]).expect(2);
}

#[test]
fn serve_takes_its_settings_from_all_four_places() {
    let folder = Folder::new("serve");
    let file = folder
        .write("mine.toml", "[limits.connection]\nmessage_max = 8\n[log]\nformat = \"json\"\n");
    let mut command = taiwa(&["serve", "--config", &file, "--listen", "127.0.0.1:0"]);
    command.env("TAIWA_TIMES__PING_AFTER", "off").env("TAIWA_LOG", "debug");
    let server = Server::run(command);
    let talk =
        |text: &str, code| connect(&server.ws("/echo"), &["-m", text, "-1"], "").expect(code);
    assert_eq!(talk("12345678", 0).stdout, b"12345678\n");
    assert!(talk("123456789", 9).stderr.contains("1009"));
    let line = server.await_log("/echo");
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(entry["level"].is_string() && entry["message"].is_string(), "{line}");
    server.signal("-TERM");
    assert_eq!(server.finish().0, Some(0));
}

#[test]
fn the_anonymous_are_let_in_from_elsewhere_only_if_that_is_said() {
    for args in [
        &["serve", "--listen", "0.0.0.0:0"][..],
        &["serve", "--listen", "127.0.0.1:0", "--anonymous", "false"],
        &["serve", "--listen", "127.0.0.1:0", "--proxy-protocol", "127.0.0.0/8"],
    ] {
        let refused = run(args, "").expect(2);
        assert!(refused.stderr.contains("--anonymous true"), "{}", refused.stderr);
    }
    let server = Server::run(taiwa(&["serve", "--listen", "0.0.0.0:0", "--anonymous", "true"]));
    let url = server.ws("/echo");
    assert_eq!(connect(&url, &["-m", "x", "-1"], "").expect(0).stdout, b"x\n");
}

#[test]
fn tokens_let_in_where_the_anonymous_are_not() {
    let secret = [("TAIWA_AUTH__JWT__SECRETS", "a secret of at least thirty-two bytes")];
    let mut command = taiwa(&["serve", "--listen", "127.0.0.1:0", "--anonymous", "false"]);
    command.envs(secret);
    let server = Server::run(command);
    let refused = connect(&server.ws("/chat"), &["--stay"], "").expect(9);
    assert!(refused.stderr.contains("4401"), "{}", refused.stderr);
    let mut command = taiwa(&["token", "make", "--user", "ada"]);
    command.envs(secret);
    let token = Running::start(command).finish().expect(0);
    let url = server.ws(&format!("/chat?echo=true&token={}", token.stdout_text().trim()));
    assert_eq!(connect(&url, &["-m", "x", "-1"], "").expect(0).stdout, b"x\n");
    server.await_log("user=\"ada\"");
}

#[test]
fn the_schema_accepts_the_file_of_init_and_refuses_others() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema.py");
    // Where `cargo xtask setup` puts what it installs.
    let target = Path::new(env!("CARGO_BIN_EXE_taiwa")).ancestors().nth(2).unwrap();
    let ours = target.join("tools/venv/bin/python");
    let python = if ours.exists() { ours } else { "python3".into() };
    let has = Command::new(&python).args(["-c", "import jsonschema"]).output();
    if !has.is_ok_and(|it| it.status.success()) {
        eprintln!(
            "skipped: {} has no package jsonschema; cargo xtask setup installs it",
            python.display()
        );
        return;
    }
    let mut command = Command::new(python);
    command.arg(script).arg(env!("CARGO_BIN_EXE_taiwa"));
    assert_eq!(Running::start(command).finish().expect(0).stdout_text(), "ok\n");
}
