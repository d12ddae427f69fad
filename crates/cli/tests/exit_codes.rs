//! Each exit code of `taiwa connect`, against peers that earn it.

mod support;

use std::{io::Write, net::TcpListener, thread, time::Duration};

use support::{close_frame, connect, drain, frames_peer, peer, run};

#[test]
fn code_0_when_the_server_closes_with_1000_1001_or_no_code() {
    for (frame, told) in [
        (close_frame(1000, ""), "closed by the server with 1000"),
        (close_frame(1001, "gone"), "closed by the server with 1001: gone"),
        (vec![0x88, 0], "closed by the server with 1005"),
    ] {
        let (url, _peer) = frames_peer(frame, drain);
        let outcome = connect(&url, &["--stay"], "").expect(0);
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
        assert!(outcome.stdout.is_empty());
    }
}

#[test]
fn code_0_when_the_count_is_reached_whatever_comes_then() {
    let frames = [&b"\x81\x01a\x81\x01b"[..], &close_frame(4000, "")].concat();
    let (url, _peer) = frames_peer(frames, drain);
    assert_eq!(connect(&url, &["-1"], "").expect(0).stdout, b"a\n");
}

#[test]
fn code_2_for_bad_arguments_and_input() {
    for args in [
        &["connect"][..],
        &["connect", "ftp://127.0.0.1/"],
        &["connect", "ws://127.0.0.1:1/#fragment"],
        &["connect", "-H", "no colon", "ws://127.0.0.1:1/"],
        &["connect", "-H", "a: b\nc: d", "ws://127.0.0.1:1/"],
        &["connect", "-s", "not a token", "ws://127.0.0.1:1/"],
        &["connect", "--cacert", "/does/not/exist", "ws://127.0.0.1:1/"],
        &["connect", "--cert", "/does/not/exist", "--key", "/neither", "ws://127.0.0.1:1/"],
        &["connect", "--sni", "not a name", "ws://127.0.0.1:1/"],
        &["connect", "-f", "/does/not/exist", "ws://127.0.0.1:1/"],
        &["connect", "--hex", "-m", "xyz", "ws://127.0.0.1:1/"],
        &["connect", "--delimiter", "none", "ws://127.0.0.1:1/"],
        &["serve", "--tls-cert", "x"],
        &["serve", "--origin", "https://example.org/path"],
        &["nonsense"],
    ] {
        let outcome = run(args, "").expect(2);
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn code_2_for_input_that_is_no_text_after_what_came_before_is_sent() {
    let (url, peer) = frames_peer("", drain);
    let outcome = connect(&url, &["--no-compress"], &b"ok\n\xff\n"[..]).expect(2);
    assert!(outcome.stderr.contains("not UTF-8"), "{}", outcome.stderr);
    let sent = peer.recv_timeout(support::PATIENCE).unwrap();
    // A masked text of 2 bytes, then a Close frame of 2.
    assert_eq!((&sent[..2], sent.len(), sent[8]), (&[0x81, 0x82][..], 16, 0x88));
}

#[test]
fn code_3_when_nobody_listens_or_the_name_is_unknown() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = connect(&format!("ws://{free}/"), &[], "").expect(3);
    assert!(outcome.stderr.contains("refused"), "{}", outcome.stderr);
    connect("ws://name.invalid/", &["--connect-timeout", "50s"], "").expect(3);
}

#[test]
fn code_4_when_tls_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"this is no TLS at all, and long enough to tell");
        drain(stream)
    });
    connect(&url, &[], "").expect(4);
}

#[test]
fn code_5_with_status_location_and_the_head_of_the_body_when_refused() {
    let (url, _peer) = peer(|mut stream, _| {
        let body = format!("token please\x1b[2J{}", "x".repeat(600));
        let head = format!(
            "HTTP/1.1 401 Unauthorized\r\nLocation: /login\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        drain(stream)
    });
    let outcome = connect(&url, &[], "").expect(5);
    assert!(outcome.stderr.contains("refused with 401 Unauthorized\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("Location: /login\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("token please\\u{1b}[2Jxxx"), "{}", outcome.stderr);
    assert!(outcome.stderr.len() < 700 && outcome.stdout.is_empty());
}

#[test]
fn code_6_when_the_server_takes_too_long() {
    let (url, _peer) = peer(|stream, _| drain(stream));
    connect(&url, &["--connect-timeout", "200ms"], "").expect(6);
    // Keeps the connection open and answers neither Ping nor Close.
    let silent = || frames_peer("", drain).0;
    connect(&silent(), &["--stay", "--ping-after", "100ms", "--pong-within", "200ms"], "")
        .expect(6);
    connect(&silent(), &["--linger", "10ms", "--close-timeout", "100ms"], "").expect(6);
}

#[test]
fn code_7_when_the_server_breaks_the_protocol_or_a_limit() {
    let masked = &b"\x81\x81\x00\x00\x00\x00a"[..];
    let (url, peer) = frames_peer([b"\x81\x02ok", masked].concat(), drain);
    let outcome = connect(&url, &["--stay"], "").expect(7);
    assert_eq!(outcome.stdout, b"ok\n");
    assert!(outcome.stderr.contains("masked"), "{}", outcome.stderr);
    let close = peer.recv_timeout(support::PATIENCE).unwrap();
    let code = [close[6] ^ close[2], close[7] ^ close[3]];
    assert_eq!((close[0], u16::from_be_bytes(code)), (0x88, 1002));

    let (url, _peer) = frames_peer(&b"\x81\x05hello"[..], drain);
    connect(&url, &["--stay", "--message-max", "4"], "").expect(7);

    let (url, _peer) = peer_with_wrong_accept();
    connect(&url, &[], "").expect(7);
}

fn peer_with_wrong_accept() -> (String, std::sync::mpsc::Receiver<Vec<u8>>) {
    peer(|mut stream, _| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        drain(stream)
    })
}

#[test]
fn code_8_when_the_connection_ends_without_a_close_frame() {
    let (url, _peer) = frames_peer(&b"\x81\x02ok"[..], drop);
    let outcome = connect(&url, &["--stay"], "").expect(8);
    assert_eq!(outcome.stdout, b"ok\n");
}

#[test]
fn code_9_when_closed_with_another_code() {
    let (url, _peer) = frames_peer(close_frame(4000, "so\u{1b}long"), drain);
    let outcome = connect(&url, &["--stay"], "").expect(9);
    assert!(outcome.stderr.contains("with 4000: so\\u{1b}long"), "{}", outcome.stderr);
}

#[test]
fn code_10_when_closed_before_the_count() {
    let frames = [&b"\x81\x01a"[..], &close_frame(1000, "")].concat();
    let (url, _peer) = frames_peer(frames, drain);
    assert_eq!(connect(&url, &["--count", "2"], "").expect(10).stdout, b"a\n");
}

#[cfg(unix)]
#[test]
fn code_130_after_sigint_and_143_after_sigterm_with_a_close_frame() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (url, peer) = frames_peer(&b"\x81\x02ok"[..], |mut stream| {
            let mut close = [0; 8];
            std::io::Read::read_exact(&mut stream, &mut close).unwrap();
            stream.write_all(&close_frame(1000, "")).unwrap();
            close
        });
        let running = support::Running::start(support::taiwa(&["connect", &url, "--stay"]));
        thread::sleep(Duration::from_millis(500));
        running.signal(signal);
        let outcome = running.finish().expect(code);
        assert_eq!(outcome.stdout, b"ok\n");
        assert_eq!(peer.recv_timeout(support::PATIENCE).unwrap()[0], 0x88);
    }
}
