//! `taiwa serve`: the URL, the channels, the page, the limits, the end.

mod support;

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    time::Duration,
};

use support::{Running, Server, connect, drain, run, taiwa};

/// Starts a client of `path` and waits until it is there.
fn hear(server: &Server, path: &str, args: &[&str]) -> Running {
    let url = server.ws(path);
    let running = Running::start(taiwa(&[&["connect", &url], args].concat()));
    server.await_live(1);
    running
}

#[test]
fn one_line_with_a_url_goes_to_stdout() {
    let server = Server::start(&[]);
    let port = server.url.strip_prefix("http://127.0.0.1:").and_then(|it| it.strip_suffix('/'));
    assert_ne!(port.unwrap().parse::<u16>().unwrap(), 0);
    server.signal("-TERM");
    assert_eq!(server.finish(), (Some(0), Vec::new()));
}

#[test]
fn two_clients_of_a_path_hear_each_other_and_nobody_else() {
    let server = Server::start(&[]);
    let listener = hear(&server, "/chat", &["--count", "2", "--format", "jsonl"]);
    connect(&server.ws("/other"), &["-m", "not for you", "--linger", "100ms"], "").expect(0);
    connect(&server.ws("/chat"), &["-m", "hello", "--linger", "100ms"], "").expect(0);
    let binary = ["--hex", "-m", "00ff", "--linger", "100ms"];
    assert_eq!(connect(&server.ws("/chat"), &binary, "").expect(0).stdout, b"");
    let heard = listener.finish_with_open_stdin().expect(0);
    assert_eq!(
        heard.stdout_text(),
        "{\"type\":\"text\",\"data\":\"hello\"}\n{\"type\":\"binary\",\"base64\":\"AP8=\"}\n"
    );
}

#[test]
fn a_channel_loses_nothing_of_a_large_input_when_its_readers_read() {
    // On a busy machine nobody reads for a while, and is no slow reader.
    let server = Server::start(&["--slow-after", "1m"]);
    // More than may wait for one reader, by far.
    let lines: String =
        (0..20_000).map(|it| format!("line {it:0>130} of a large input\n")).collect();
    let url = server.ws("/chat");
    let listeners: Vec<_> = (1..=2)
        .map(|total| {
            let listener = taiwa(&["connect", &url, "--count", "20000"]);
            let listener = Running::start(listener);
            server.await_live(total);
            listener
        })
        .collect();
    // It is there until all is read, however long that takes.
    let mut sender = Running::start(taiwa(&["connect", &url, "--stay"]));
    sender.feed(lines.as_str());
    for listener in listeners {
        let heard = listener.finish_with_open_stdin().expect(0);
        assert!(heard.stdout == lines.as_bytes(), "{} bytes arrived", heard.stdout.len());
    }
    sender.signal("-TERM");
    sender.finish_with_open_stdin().expect(143);
}

#[test]
fn a_sender_hears_itself_when_it_asks_to() {
    let server = Server::start(&[]);
    let url = server.ws("/chat?echo=true");
    assert_eq!(connect(&url, &["-m", "hello", "-1"], "").expect(0).stdout, b"hello\n");
    let refused = connect(&server.ws("/chat?echo=1"), &[], "").expect(5);
    assert!(refused.stderr.contains("echo is true or false"), "{}", refused.stderr);
}

#[test]
fn the_root_is_a_page_and_a_channel() {
    let server = Server::start(&[]);
    assert_eq!(connect(&server.ws("/?echo=true"), &["-m", "x", "-1"], "").expect(0).stdout, b"x\n");
    let page = server.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("</html>\n"), "{page}");
    let head = server.raw("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let length = page.split_once("\r\n\r\n").unwrap().1.len();
    assert!(head.to_ascii_lowercase().contains(&format!("content-length: {length}\r\n")), "{head}");
}

#[test]
fn another_path_over_http_says_how_to_connect() {
    let server = Server::start(&[]);
    let request =
        format!("GET /chat HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.addr);
    let text = server.raw(&request);
    assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
    assert!(text.contains(&format!("taiwa connect 'ws://{}/chat'", server.addr)), "{text}");
}

#[test]
fn the_live_connections_are_told_as_they_change() {
    let server = Server::start(&[]);
    let watch = |args: &[&str]| {
        let outcome = connect(&server.ws("/.taiwa/connections"), args, "").expect(0);
        let text = outcome.stdout_text().lines().last().unwrap().to_owned();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    assert_eq!(watch(&["-1"]), serde_json::json!({"total": 0, "rows": []}));
    let client = hear(&server, "/chat", &["--count", "2"]);
    connect(&server.ws("/chat"), &["-m", "hello", "--linger", "50ms"], "").expect(0);
    std::thread::sleep(Duration::from_millis(300));
    let report = watch(&["-1"]);
    let row = &report["rows"][0];
    assert_eq!((&report["total"], &row["path"]), (&1.into(), &"/chat".into()));
    assert_eq!((&row["in"], &row["out"]), (&0.into(), &1.into()));
    assert_eq!(row["http"], "1.1");
    assert!(row["who"].as_str().unwrap().starts_with("127.0.0.1:"));
    drop(client);
    server.await_live(0);
    // The first report, and a second one when somebody has come.
    let running =
        Running::start(taiwa(&["connect", &server.ws("/.taiwa/connections"), "--count", "2"]));
    std::thread::sleep(Duration::from_millis(600));
    let _late = server.open("/late");
    let outcome = running.finish_with_open_stdin().expect(0);
    assert!(outcome.stdout_text().lines().nth(1).unwrap().contains("\"/late\""));
}

#[test]
fn pages_of_other_hosts_are_refused_unless_allowed() {
    let from = |server: &Server, origin| {
        connect(&server.ws("/echo"), &["-m", "x", "-1", "-O", origin], "").code
    };
    let server = Server::start(&[]);
    assert_eq!(from(&server, "https://evil.example"), Some(5));
    assert_eq!(from(&server, server.url.trim_end_matches('/')), Some(0));
    let server = Server::start(&["--origin", "https://app.example"]);
    assert_eq!(from(&server, "https://app.example"), Some(0));
    assert_eq!(from(&server, "https://evil.example"), Some(5));
    let server = Server::start(&["--origin", "any"]);
    assert_eq!(from(&server, "https://evil.example"), Some(0));
}

#[test]
fn limits_are_kept_and_named() {
    let server = Server::start(&["--message-max", "4", "--channels-max", "1", "--set", "shards=1"]);
    let outcome = connect(&server.ws("/echo"), &["-m", "12345"], "").expect(9);
    assert!(outcome.stderr.contains("with 1009"), "{}", outcome.stderr);
    let _member = server.open("/a");
    let outcome = connect(&server.ws("/b"), &["--stay"], "").expect(9);
    assert!(outcome.stderr.contains("1013: too many channels"), "{}", outcome.stderr);

    let server = Server::start(&["--set", "limits.address.clients_max=1"]);
    let _only = server.open("/a");
    let outcome = connect(&server.ws("/a"), &[], "").expect(5);
    assert!(outcome.stderr.contains("429"), "{}", outcome.stderr);

    let server = Server::start(&["--connections-max", "1"]);
    let _only = server.open("/echo");
    let outcome = connect(&server.ws("/echo"), &[], "").expect(5);
    assert!(outcome.stderr.contains("503"), "{}", outcome.stderr);
}

#[test]
fn a_slow_reader_is_closed_with_1013_and_the_others_go_on() {
    let server =
        Server::start(&["--queue-max", "64KiB", "--outbox-max", "64KiB", "--compress", "off"]);
    let slow = server.open("/chat");
    // More than its queue, its outbox and the kernel's buffers hold.
    let line = "x".repeat(60_000) + "\n";
    let mut flood = Running::start(taiwa(&[
        "connect",
        &server.ws("/chat"),
        "--close-timeout",
        "1m",
        "--idle-timeout",
        "100ms",
    ]));
    flood.feed(line.repeat(400));
    flood.finish().expect(0);
    let all = drain(slow);
    let close = [&[0x88, 13][..], &1013_u16.to_be_bytes(), b"slow reader"].concat();
    assert!(all.ends_with(&close), "{:?}", &all[all.len().saturating_sub(20)..]);
    assert!(all.len() < line.len() * 400);
}

#[test]
fn an_address_in_use_is_an_error_with_code_3() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let outcome = run(&["serve", "--listen", &addr], "").expect(3);
    assert!(outcome.stderr.contains(&format!("can't listen on {addr}")), "{}", outcome.stderr);
    assert!(outcome.stdout.is_empty());
}

#[test]
fn a_broker_that_can_not_be_had_is_named_without_its_password_with_code_3() {
    // Nobody listens there any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    for scheme in ["redis", "nats"] {
        let url = format!("{scheme}://ada:sesame@{addr}");
        let outcome = run(&["serve", "--listen", "127.0.0.1:0", "--broker", &url], "").expect(3);
        let told = outcome.stderr.lines().last().unwrap();
        assert!(told.contains(&format!("broker {scheme}://{addr}: ")), "{told}");
        assert!(!outcome.stderr.contains("sesame") && outcome.stdout.is_empty(), "{outcome:?}");
    }
    let outcome = run(&["serve", "--broker", "amqp://ada:sesame@x"], "").expect(2);
    assert!(outcome.stderr.contains("redis://"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("sesame"), "{}", outcome.stderr);
}

#[cfg(unix)]
#[test]
fn sigint_closes_each_connection_with_1001_and_ends_with_0() {
    let server = Server::start(&[]);
    let client = hear(&server, "/chat", &["--stay"]);
    server.signal("-INT");
    let outcome = client.finish_with_open_stdin().expect(0);
    assert!(outcome.stderr.contains("closed by the server with 1001"), "{}", outcome.stderr);
    assert_eq!(server.finish().0, Some(0));
}

#[cfg(unix)]
#[test]
fn a_second_sigint_ends_the_server_at_once_with_130() {
    let server = Server::start(&["--close-timeout", "50s"]);
    // Never answers the Close frame.
    let mut client = server.open("/chat");
    server.signal("-INT");
    server.await_log("closing all connections");
    let mut close = [0; 4];
    client.read_exact(&mut close).unwrap();
    // The code 1001, with a reason behind it.
    assert_eq!((close[0], &close[2..]), (0x88, &[0x03, 0xe9][..]));
    server.signal("-INT");
    assert_eq!(server.finish().0, Some(130));
}

#[test]
fn tls_is_spoken_with_a_certificate_and_key() {
    let folder = std::env::temp_dir().join(format!("taiwa-test-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let write = |name: &str, content: String| {
        let path: PathBuf = folder.join(name);
        std::fs::File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cert = write("cert.pem", made.cert.pem());
    let key = write("key.pem", made.signing_key.serialize_pem());
    let server = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let url = format!("wss://{}/echo", server.addr);
    let args = ["-m", "hello", "-1"];
    assert_eq!(connect(&url, &[&args[..], &["-k"]].concat(), "").expect(0).stdout, b"hello\n");
    let trusting = [&args[..], &["--cacert", &cert]].concat();
    assert_eq!(connect(&url, &trusting, "").expect(0).stdout, b"hello\n");
    connect(&url, &args, "").expect(4);
    run(&["serve", "--listen", "127.0.0.1:0", "--tls-cert", &key, "--tls-key", &cert], "")
        .expect(2);
    let _ = std::fs::remove_dir_all(folder);
}
