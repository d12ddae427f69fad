//! The HTTP API of `taiwa serve`: who has which key, and tokens that are revoked.

mod support;

use std::{
    io::{Read, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use support::{Outcome, Running, Server, connect, run, taiwa};

const SECRET: &str = "a secret of at least thirty-two bytes";

/// A server that takes tokens, with a key of the API.
fn serve(args: &[&str]) -> Server {
    let mut command = taiwa(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
    command.env("TAIWA_AUTH__JWT__SECRETS", SECRET).env("TAIWA_API__KEYS", "open-sesame");
    Server::run(command)
}

/// A token of a user, with more claims.
fn token(user: &str, claims: &[&str]) -> String {
    let mut args = vec!["token", "make", "--user", user];
    claims.iter().for_each(|it| args.extend(["--claim", *it]));
    let mut command = taiwa(&args);
    command.env("TAIWA_AUTH__JWT__SECRETS", SECRET);
    Running::start(command).finish().expect(0).stdout_text().trim().to_owned()
}

/// A client that came with a token, once it hears what is said to all.
fn come(server: &Server, path: &str, token: &str) -> Running {
    let listener = Running::start(taiwa(&["connect", &url(server, path, token), "--stay"]));
    let path = path.trim_start_matches('/');
    let end = std::time::Instant::now() + support::PATIENCE;
    let presence = format!("{{\"prefix\": \"{path}\"}}");
    while !order(server, "channels", &presence).contains("\"subscribers\":1") {
        assert!(std::time::Instant::now() < end, "it never came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    listener
}

fn url(server: &Server, path: &str, token: &str) -> String {
    server.ws(&format!("{path}?token={token}"))
}

/// Has a command of the API done, and returns the whole response.
fn order(server: &Server, command: &str, body: &str) -> String {
    order_with("open-sesame", server, command, body)
}

fn order_with(key: &str, server: &Server, command: &str, body: &str) -> String {
    server.raw(&format!(
        "POST /api/v1/{command} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[track_caller]
fn revoke(server: &Server, body: &str) {
    let response = order(server, "revoke", body);
    assert!(
        response.starts_with("HTTP/1.1 200 ") && response.ends_with("\r\n\r\n{}"),
        "{response}"
    );
}

#[track_caller]
fn check_sent_away(outcome: Outcome) {
    let told = "with 4403: rights were taken back";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
}

/// Checks that a token lets nobody in any more.
#[track_caller]
fn check_stays_out(server: &Server, path: &str, token: &str) {
    let outcome = connect(&url(server, path, token), &["--stay"], "");
    assert!(outcome.stderr.contains("the token has been revoked"), "{}", outcome.stderr);
    assert_ne!(outcome.code, Some(0));
}

#[track_caller]
fn check_comes_in(server: &Server, path: &str, token: &str) {
    let url = format!("{}&echo=true", url(server, path, token));
    assert_eq!(connect(&url, &["-m", "x", "-1"], "").expect(0).stdout, b"x\n");
}

#[test]
fn the_session_of_a_revoked_token_is_sent_away_and_its_token_lets_nobody_in() {
    let server = serve(&[]);
    let (bad, good) = (token("ada", &["jti=lost"]), token("ada", &["jti=kept"]));
    let (gone, stays) = (come(&server, "/a", &bad), come(&server, "/b", &good));
    revoke(&server, r#"{"token_id": "lost", "until": 4000000000}"#);
    check_sent_away(gone.finish_with_open_stdin());
    check_stays_out(&server, "/a", &bad);
    check_comes_in(&server, "/c", &good);
    let kept = order(&server, "channels", r#"{"prefix": "b"}"#);
    assert!(kept.contains("\"subscribers\":1"), "{kept}");
    drop(stays);
}

#[test]
fn all_tokens_so_far_of_a_user_are_revoked_and_newer_ones_are_taken() {
    let server = serve(&[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (old, other) = (token("ada", &[]), token("eve", &[]));
    let (gone, stays) = (come(&server, "/a", &old), come(&server, "/b", &other));
    revoke(&server, &format!(r#"{{"user": "ada", "issued_before": {}}}"#, now - 60));
    check_comes_in(&server, "/c", &old);
    revoke(&server, r#"{"user": "ada"}"#);
    check_sent_away(gone.finish_with_open_stdin());
    check_stays_out(&server, "/a", &old);
    check_comes_in(&server, "/c", &token("ada", &[&format!("iat={}", now + 3600)]));
    check_comes_in(&server, "/c", &other);
    drop(stays);
}

#[test]
fn what_can_not_be_remembered_is_not_revoked_and_that_is_told() {
    let server = serve(&["--set", "limits.auth.revoked_tokens_max=1"]);
    let kept = token("ada", &["jti=second"]);
    revoke(&server, r#"{"token_id": "first"}"#);
    let full = order(&server, "revoke", r#"{"token_id": "second"}"#);
    assert!(
        full.starts_with("HTTP/1.1 429 ") && full.contains("no more can be remembered"),
        "{full}"
    );
    let long = format!(r#"{{"token_id": "{}"}}"#, "x".repeat(100_000));
    let long = order(&server, "revoke", &long);
    assert!(long.starts_with("HTTP/1.1 422 ") && long.contains("\"field\":\"token_id\""), "{long}");
    check_comes_in(&server, "/a", &kept);
}

#[test]
fn a_server_without_tokens_has_none_to_revoke() {
    let server = Server::start(&["--set", "api.keys=open-sesame"]);
    let answer = order(&server, "revoke", r#"{"user": "ada"}"#);
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("not_available"), "{answer}");
    run(&["connect", &server.ws("/echo"), "-m", "x", "-1"], "").expect(0);
}

#[test]
fn a_key_with_rights_of_its_own_may_do_no_more() {
    let key =
        r#"api.key=[{ secret = "few", commands = ["publish", "info"], channels = ["news:*"] }]"#;
    let server = Server::start(&["--set", "api.keys=open-sesame", "--set", key]);
    for (key, command, body, status) in [
        ("few", "publish", r#"{"channel": "news:a", "data": 1}"#, 200),
        ("few", "publish", r#"{"channel": "sport", "data": 1}"#, 403),
        ("few", "history", r#"{"channel": "news:a"}"#, 403),
        ("few", "info", "{}", 200),
        ("few", "disconnect", r#"{"all": true}"#, 403),
        ("open-sesame", "publish", r#"{"channel": "sport", "data": 1}"#, 200),
        ("other", "info", "{}", 401),
    ] {
        let response = order_with(key, &server, command, body);
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{key} {command}: {response}"
        );
    }
}

#[test]
fn what_becomes_of_tokens_is_measured() {
    let server = serve(&["--admin-listen", "127.0.0.1:0"]);
    let line = server.await_log("the admin listener listens");
    let admin = line.split("addr=").nth(1).expect(&line).split_whitespace().next().unwrap();
    let bad = token("ada", &["jti=lost"]);
    check_comes_in(&server, "/a", &bad);
    revoke(&server, r#"{"token_id": "lost"}"#);
    check_stays_out(&server, "/a", &bad);
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    for (result, count) in [("granted", 1), ("revoked", 1), ("invalid", 0), ("unavailable", 0)] {
        let line = format!("taiwa_auth_total{{result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
}
