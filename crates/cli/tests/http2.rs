//! `taiwa serve` over HTTP/2: every way to reach it, by curl and frame by frame.

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use support::{PATIENCE, Server};
use taiwa_conformance::{
    Sender,
    h2::{CONNECT, Http2, fields, flag::END_HEADERS, frame, kind},
};

/// A curl that begins with HTTP/2, without TLS; killed when dropped.
struct Curl {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Curl {
    /// `None`, and says so, where it is not installed.
    fn start(args: &[&str]) -> Option<Self> {
        let mut command = Command::new("curl");
        command.args(["--http2-prior-knowledge", "-sSiN", "--max-time", "30"]).args(args);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = match child {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: curl is not installed (cargo xtask setup)");
                return None;
            }
            child => child.unwrap(),
        };
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, lines })
    }

    /// Reads up to a line with `part` in it; returns all that was read.
    #[track_caller]
    fn until(&self, part: &str) -> String {
        let mut read = String::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            read = read + &line + "\n";
            if line.contains(part) {
                return read;
            }
        }
        panic!("no {part:?} in:\n{read}");
    }

    /// Reads all of one answer, which is one of HTTP/2 and has nothing of a connection of HTTP/1.1.
    #[track_caller]
    fn answer(args: &[&str], status: u16) -> Option<String> {
        let curl = Self::start(args)?;
        let text = curl.lines.iter().collect::<Vec<_>>().join("\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        assert!(head.starts_with(&format!("HTTP/2 {status}")), "{text}");
        let lower = head.to_lowercase();
        assert!(
            !lower.contains("\nconnection:") && !lower.contains("\ntransfer-encoding:"),
            "{head}"
        );
        Some(body.to_owned())
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a WebSocket at a path on a stream.
fn open(client: &mut Http2, stream: u32, path: &str) {
    let mut list = CONNECT.to_vec();
    list[4].1 = path;
    client.write(&frame(kind::HEADERS, END_HEADERS, stream, &fields(&list)));
    let answer = client.until(|it| it.stream == stream).unwrap();
    assert_eq!((answer.kind, answer.payload[0]), (kind::HEADERS, 0x88), "status 200");
}

fn say(client: &mut Http2, stream: u32, text: &str) {
    let bytes = Sender::CLIENT.frame(0x81, text.as_bytes());
    client.write(&frame(kind::DATA, 0, stream, &bytes));
}

#[test]
fn websockets_of_one_connection_and_of_http_1_meet_in_a_channel() {
    let server = Server::start(&[]);
    let mut client = Http2::connect(server.addr.parse().unwrap());
    for stream in [1, 3] {
        open(&mut client, stream, "/chat");
    }
    let mut old = server.open("/chat");
    say(&mut client, 1, "over HTTP/2");
    assert_eq!(client.data(3), b"\x81\x0bover HTTP/2");
    let mut heard = [0; 13];
    old.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"\x81\x0bover HTTP/2");
    // One leaves, and the other stays.
    client.write(&frame(kind::DATA, 0, 3, &Sender::CLIENT.close(1000, b"")));
    assert_eq!(client.data(3), Sender::SERVER.close(1000, b""));
    assert_eq!(client.data(3), b"", "END_STREAM behind it");
    drop(client);
    server.await_live(1);
}

#[test]
fn event_streams_flow_and_polls_and_the_api_answer() {
    let server = Server::start(&["--set", "api.keys=[\"secret\"]"]);
    let url = |path: &str| format!("http://{}{path}", server.addr);
    let Some(events) = Curl::start(&[&url("/sse/news")]) else { return };
    let head = events.until("text/event-stream");
    assert!(head.starts_with("HTTP/2 200"), "{head}");

    // Each is there before the next is said.
    for n in 1..=3 {
        let said = format!("{{\"channel\":\"news\",\"data\":{{\"n\":{n}}}}}");
        let publish = [
            "-H",
            "X-API-Key: secret",
            "-H",
            "Content-Type: application/json",
            "-d",
            &said,
            &url("/api/v1/publish"),
        ];
        let answer = Curl::answer(&publish, 200).unwrap();
        assert!(answer.contains(&format!("\"offset\":{n}")), "{answer}");
        events.until(&format!("data: {{\"n\":{n}}}"));
    }
    let page = Curl::answer(&[&url("/")], 200).unwrap();
    assert!(page.contains("</html>"), "{page}");
    Curl::answer(&[&url("/nothing/here")], 404).unwrap();
}

#[test]
fn engine_io_polls_and_goes_on_by_websocket_on_the_same_connection() {
    let server = Server::start(&[]);
    let url = format!("http://{}/socket.io/?EIO=4&transport=polling", server.addr);
    let Some(opened) = Curl::answer(&[&url], 200) else { return };
    let sid = opened.split("\"sid\":\"").nth(1).and_then(|it| it.split('"').next());
    let sid = sid.unwrap_or_else(|| panic!("{opened}"));
    let at = format!("{url}&sid={sid}");
    assert_eq!(Curl::answer(&["-d", "40", &at], 200).unwrap(), "ok");
    let connected = Curl::answer(&[&at], 200).unwrap();
    assert!(connected.starts_with("40{"), "{connected}");

    let mut client = Http2::connect(server.addr.parse().unwrap());
    open(&mut client, 1, &format!("/socket.io/?EIO=4&transport=websocket&sid={sid}"));
    say(&mut client, 1, "2probe");
    assert_eq!(client.data(1), b"\x81\x063probe");
}

#[test]
fn who_drains_says_so_to_the_connection_and_to_each_websocket() {
    let server = Server::start(&["--drain-period", "1s"]);
    let mut client = Http2::connect(server.addr.parse().unwrap());
    for stream in [1, 3] {
        open(&mut client, stream, "/chat");
    }
    server.signal("-TERM");
    let mut frames = Vec::new();
    while let Some(frame) = client.next(PATIENCE).unwrap() {
        if frame.kind == kind::DATA && frame.payload.first() == Some(&0x88) {
            // Service Restart (the IANA's registry of close codes).
            assert_eq!(frame.payload[2..4], 1012_u16.to_be_bytes(), "{frame:?}");
            let close = Sender::CLIENT.close(1012, b"");
            client.write(&taiwa_conformance::h2::frame(kind::DATA, 1, frame.stream, &close));
        }
        frames.push(frame);
    }
    let closed = frames.iter().filter(|it| it.payload.first() == Some(&0x88)).count();
    assert!(closed >= 2, "{frames:?}");
    let goaway = frames.iter().find(|it| it.kind == kind::GOAWAY);
    assert_eq!(goaway.and_then(|it| it.code()), Some(0), "{frames:?}");
    assert_eq!(server.finish().0, Some(0));
}

#[test]
fn a_request_during_the_drain_is_sent_to_another_connection() {
    let server = Server::start(&["--drain-period", "5s"]);
    let mut client = Http2::connect(server.addr.parse().unwrap());
    open(&mut client, 1, "/chat");
    server.signal("-TERM");
    server.await_log("clients leave");
    let mut list = CONNECT.to_vec();
    list[4].1 = "/chat";
    client.write(&frame(kind::HEADERS, END_HEADERS, 3, &fields(&list)));
    // 503, and GOAWAY for what is `Connection: close` over HTTP/1.1; in either order.
    let (mut refused, mut told) = (false, false);
    while !(refused && told) {
        let frame = client.next(PATIENCE).unwrap().expect("the WebSocket is still open");
        refused |= frame.stream == 3 && frame.kind == kind::HEADERS && frame.payload[0] != 0x88;
        told |= frame.kind == kind::GOAWAY && frame.code() == Some(0);
    }
}

#[test]
fn each_version_can_be_switched_off() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let answer = Server::start(&["--http2", "false"]).raw(preface);
    assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"), "{answer}");
    let server = Server::start(&["--http1", "false"]);
    let answer = server.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    let mut client = Http2::connect(server.addr.parse().unwrap());
    open(&mut client, 1, "/chat");
}
