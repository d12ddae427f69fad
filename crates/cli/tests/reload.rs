//! SIGHUP: settings that are read again while the server runs and everybody stays connected.
#![cfg(unix)]

mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use support::{Folder, PATIENCE, Running, Server, connect, taiwa};

const SECRET: &str = "a secret of at least thirty-two bytes";

/// A server with a file, an admin listener, and a client that stays.
struct House {
    folder: Folder,
    server: Server,
    admin: String,
    client: TcpStream,
}

impl House {
    fn new(name: &str, text: &str) -> Self {
        let folder = Folder::new(name);
        let file = folder.write("t.toml", text);
        let args = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let mut command = taiwa(&args);
        command.args(["--config", &file]);
        let server = Server::run(command);
        let line = server.await_log("the admin listener listens");
        let admin = line.split("addr=").nth(1).expect(&line).split_whitespace().next().unwrap();
        let admin = admin.to_owned();
        let client = server.open("/stay");
        let house = Self { folder, server, admin, client };
        // It is connected before it hears.
        let end = Instant::now() + PATIENCE;
        while !house.is_there("stay") {
            assert!(Instant::now() < end, "it never came");
            std::thread::sleep(Duration::from_millis(10));
        }
        house
    }

    /// Writes another file, has it read, and waits for this in the log.
    fn reload(&self, text: &str, told: &str) -> String {
        self.folder.write("t.toml", text);
        self.server.signal("-HUP");
        self.server.await_log(told)
    }

    /// Has a command of the API done; returns the status.
    fn order(&self, key: &str, command: &str, body: &str) -> u16 {
        let response = self.server.raw(&format!(
            "POST /api/v1/{command} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        status(&response)
    }

    /// Checks that the client which came first still hears what is said.
    fn check_stays(&mut self, key: &str) {
        assert_eq!(self.order(key, "publish", r#"{"channel": "stay", "data": 12345}"#), 200);
        let mut frame = [0; 7];
        self.client.read_exact(&mut frame).unwrap();
        assert_eq!(&frame[2..], b"12345");
    }

    fn await_metric(&self, line: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut stream = TcpStream::connect(&self.admin).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut metrics = String::new();
            stream.read_to_string(&mut metrics).unwrap();
            if metrics.contains(&format!("{line}\n")) {
                return;
            }
            assert!(Instant::now() < end, "no {line} in {metrics}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn says(&self, path: &str, text: &str) -> support::Outcome {
        connect(&self.server.ws(path), &["-m", text, "-1"], "")
    }
}

fn status(response: &str) -> u16 {
    response
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or_else(|| panic!("{response}"))
}

const KEY: &str = "api.keys = [\"one\"]\n";

#[test]
fn limits_rights_and_keys_count_at_once_and_who_is_connected_stays() {
    let mut house = House::new("reload-limits", KEY);
    let publish = r#"{"channel": "a", "data": "123456789"}"#;
    house.check_stays("one");
    assert_eq!(house.order("one", "publish", publish), 200);

    let line = house.reload(
        "api.keys = [\"two\"]\nlimits.publication.payload_max = 8\nlog.level = \"debug\"\n",
        "SIGHUP: changed:",
    );
    for key in ["api.keys", "limits.publication.payload_max", "log.level"] {
        assert!(line.contains(key), "{line}");
    }
    assert_eq!(house.order("one", "publish", publish), 401);
    assert_eq!(house.order("two", "publish", publish), 413);
    // The new level of the log.
    house.server.raw("GET /debug HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    house.server.await_log("answered a request");
    house.check_stays("two");

    // A namespace: its rights, also in channels that are there already.
    let text = "api.keys = [\"two\"]\n[[namespace]]\nrights = { subscribe = \"all\", publish = \"none\" }\n\
                publish_rate = \"1/s\"\n";
    house.reload(text, "SIGHUP: changed:");
    house.check_stays("two");
    assert_eq!(house.order("two", "publish", r#"{"channel": "stay", "data": 1}"#), 429);
    let refused = house.says("/a?echo=true", "x");
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    assert_eq!(house.order("two", "publish", r#"{"channel": "b:c", "data": 1}"#), 404);
    house.await_metric("taiwa_reloads_total{result=\"applied\"} 2");
    house.await_metric("taiwa_reloads_total{result=\"refused\"} 0");
    // The API goes, and another path comes.
    house.reload("", "SIGHUP: changed: ");
    assert_eq!(house.order("two", "info", "{}"), 405, "the page's answer");
    house.reload("api = { keys = [\"two\"], path = \"/x\" }\n", "SIGHUP: changed: ");
    assert_eq!(house.order("two", "info", "{}"), 405);
    house.reload("api.keys = [\"two\"]\n", "SIGHUP: changed: ");
    house.check_stays("two");
}

#[test]
fn what_connections_begin_with_is_for_new_ones() {
    let mut house = House::new("reload-connections", KEY);
    assert_eq!(house.says("/a?echo=true", "123456789").expect(0).stdout, b"123456789\n");
    let get = |path: &str, fields: &str| {
        status(&house.server.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: x.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{fields}\r\n"
        )))
    };
    let origin = "Origin: https://app.example\r\n";
    assert_eq!(get("/b", origin), 403);
    house.reload(
        &format!("{KEY}origins = [\"https://app.example\"]\nlimits.server.connections_max = 1\n"),
        "SIGHUP: changed: origins, limits.server.connections_max",
    );
    assert_eq!(get("/b", ""), 503);
    house.reload(
        &format!("{KEY}origins = [\"https://app.example\"]\nlimits.connection.message_max = 8\n"),
        "SIGHUP: changed:",
    );
    // It goes on, so the response has an end only in its head.
    let mut stream = TcpStream::connect(&house.server.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET /b HTTP/1.1\r\nHost: x.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{origin}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 101");
    assert!(house.says("/a?echo=true", "123456789").expect(9).stderr.contains("1009"));
    // Another dialect's settings, and as many clients of an address as are there.
    assert_eq!(house.says("/echo", "x").expect(0).stdout, b"x\n");
    let text = format!("{KEY}[dialects]\nplain.echo = false\nsse.enabled = false\n");
    house.reload(&text, "SIGHUP: changed:");
    let silent = connect(&house.server.ws("/echo"), &["-m", "x", "--linger", "300ms"], "");
    assert!(silent.stdout.is_empty(), "/echo is a channel now");
    let sse =
        house.server.raw("GET /sse?channel=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&sse), 404, "{sse}");
    house.reload(&format!("{KEY}limits.address.clients_max = 1\n"), "SIGHUP: changed:");
    let _first = house.server.open("/c");
    assert_eq!(get("/c", ""), 429);
    house.check_stays("one");
}

#[test]
fn who_is_let_in_and_who_is_asked_is_exchanged() {
    let mut house = House::new("reload-who", KEY);
    assert_eq!(house.says("/a?echo=true", "x").expect(0).stdout, b"x\n");
    // Tokens, where there were none.
    let with_tokens =
        format!("{KEY}auth = {{ anonymous = false, jwt.secrets = [\"{SECRET}\"] }}\n");
    house.reload(&with_tokens, "SIGHUP: changed: auth.anonymous, auth.jwt.secrets");
    assert!(house.says("/a", "x").expect(9).stderr.contains("4401"));
    let token = |claim: &str| {
        let mut command = taiwa(&["token", "make", "--user", "ada", "--claim", claim]);
        command.env("TAIWA_AUTH__JWT__SECRETS", SECRET);
        Running::start(command).finish().expect(0).stdout_text().trim().to_owned()
    };
    let with = |token: &str| format!("/a?echo=true&token={token}");
    let good = token("jti=lost");
    assert_eq!(house.says(&with(&good), "x").expect(0).stdout, b"x\n");
    // Who came with a token that is revoked goes, and what is revoked stays revoked.
    let url = house.server.ws(&with(&good).replace("/a?", "/revoked?"));
    let gone = Running::start(taiwa(&["connect", &url, "--stay"]));
    let end = Instant::now() + PATIENCE;
    let listed = r#"{"channel": "revoked"}"#;
    while house.order("one", "presence_stats", listed) != 200 || !house.is_there("revoked") {
        assert!(Instant::now() < end, "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(house.order("one", "revoke", r#"{"token_id": "lost"}"#), 200);
    assert!(gone.finish_with_open_stdin().stderr.contains("4403"));
    house.reload(&format!("{with_tokens}log.level = \"debug\"\n"), "SIGHUP: changed: log.level");
    assert!(house.says(&with(&good), "x").stderr.contains("revoked"));
    assert_eq!(house.says(&with(&token("jti=kept")), "x").expect(0).stdout, b"x\n");

    // A webhook that nobody answers, then one that somebody does.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hook = |addr| format!("{KEY}webhooks.url.connect = \"http://{addr}/\"\n");
    house.reload(&hook(closed), "SIGHUP: changed:");
    assert_ne!(house.says("/a", "x").code, Some(0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    house.reload(&hook(listener.local_addr().unwrap()), "SIGHUP: changed: webhooks.url.connect");
    let asked = Running::start(taiwa(&["connect", &house.server.ws("/a"), "-m", "x"]));
    listener.set_nonblocking(false).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"POST ");
    drop((stream, asked));
    house.check_stays("one");
}

impl House {
    fn is_there(&self, channel: &str) -> bool {
        let body = format!("{{\"prefix\": \"{channel}\"}}");
        let response = self.server.raw(&format!(
            "POST /api/v1/channels HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: one\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        response.contains("\"subscribers\":1")
    }
}

#[test]
fn a_bad_file_is_told_with_its_lines_and_keys_and_nothing_changes() {
    let mut house = House::new("reload-bad", &format!("{KEY}limits.publication.payload_max = 8\n"));
    let line = house.reload(
        "api.keys = [\"two\"]\n[log]\nlevl = \"info\"\nformat = 3\n",
        "SIGHUP: the old settings stay:",
    );
    assert!(
        line.contains("t.toml:3:1: log.levl: there is no such key; did you mean level?"),
        "{line}"
    );
    assert!(line.contains("t.toml:4:10: log.format: "), "{line}");
    // No TOML at all, and no file.
    let line = house.reload("[[[\n", "SIGHUP: the old settings stay:");
    assert!(line.contains("t.toml:1:"), "{line}");
    std::fs::remove_file(house.folder.0.join("t.toml")).unwrap();
    house.server.signal("-HUP");
    let line = house.server.await_log("SIGHUP: the old settings stay:");
    assert!(line.contains("can't read"), "{line}");
    // What contradicts itself, or would let nobody in.
    let line = house.reload("[[namespace]]\njoin_leave = true\n", "SIGHUP: the old settings stay:");
    assert!(line.contains("t.toml:2:14: namespace[0].join_leave:"), "{line}");
    let line = house.reload("auth.anonymous = false\n", "SIGHUP: the old settings stay:");
    assert!(line.contains("nobody could connect"), "{line}");
    house.await_metric("taiwa_reloads_total{result=\"refused\"} 5");
    let long = r#"{"channel": "a", "data": "123456789"}"#;
    assert_eq!(house.order("one", "publish", long), 413);
    assert_eq!(house.order("two", "publish", long), 401);
    house.check_stays("one");
}

#[test]
fn keys_that_need_a_restart_are_named_and_the_others_count() {
    let mut house = House::new("reload-restart", KEY);
    let text = "api.keys = [\"two\"]\nshards = 3\nlimits.shard.letters_max = 9\n\
                [tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n";
    let line = house.reload(text, "SIGHUP: the old settings stay:");
    assert!(line.contains("tls.cert"), "files that are not there are an error: {line}");
    let text = "api.keys = [\"two\"]\nshards = 3\nlimits.shard.letters_max = 9\n";
    let line = house.reload(text, "these need a restart:");
    assert!(
        line.ends_with("SIGHUP: these need a restart: shards, limits.shard.letters_max"),
        "{line}"
    );
    house.await_metric("taiwa_settings_waiting_for_restart 2");
    assert_eq!(house.order("one", "info", "{}"), 401);
    house.check_stays("two");
    // Also if nothing else has changed since; and no more once it is as it was.
    house.server.signal("-HUP");
    house.server.await_log("SIGHUP: no setting has changed");
    house.server.await_log("these need a restart: shards, limits.shard.letters_max");
    house.reload(KEY, "SIGHUP: changed: api.keys");
    house.await_metric("taiwa_settings_waiting_for_restart 0");
    house.server.signal("-TERM");
    assert_eq!(house.server.finish().0, Some(0));
}
