//! `taiwa connect` in pipes: what goes in is sent whole, what comes is written whole, and it ends by the
//! rules.

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use support::{PATIENCE, Running, Server, connect, drain, frames_peer, taiwa};

#[test]
fn ten_mebibytes_of_lines_come_back_byte_for_byte() {
    let server = Server::start(&[]);
    let lines = noise(10 << 20).chunks(61).map(hex).collect::<Vec<_>>();
    let input = lines.join("\n") + "\n";
    let count = lines.len().to_string();
    let outcome = connect(&server.ws("/echo"), &["--count", &count], input.as_str()).expect(0);
    assert!(outcome.stdout == input.as_bytes(), "{} bytes came back", outcome.stdout.len());
}

#[test]
fn ten_mebibytes_without_lines_come_back_byte_for_byte() {
    let server = Server::start(&[]);
    let input = noise(10 << 20);
    let args = ["--binary", "--delimiter", "none"];
    let outcome = connect(&server.ws("/echo"), &args, input.clone()).expect(0);
    assert!(outcome.stdout == input, "{} bytes came back", outcome.stdout.len());
}

/// Bytes that do not compress, the same each time (xorshift).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

#[test]
fn all_of_a_large_input_is_sent_to_a_slow_reader() {
    let (url, peer) = frames_peer("", |mut stream| {
        let mut total = 0;
        let mut chunk = vec![0; 64 << 10];
        // Reads for longer than the idle timeout lasts.
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(20));
            total += stream.read(&mut chunk).unwrap();
        }
        // Then all there is, until nothing comes any more.
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        total + drain(stream).len()
    });
    let input = vec![7; 20 << 20];
    let args = ["--binary", "--delimiter", "none", "--no-compress", "--idle-timeout", "100ms"];
    connect(&url, &[&args[..], &["--close-timeout", "50s"]].concat(), input.clone());
    let sent = peer.recv_timeout(PATIENCE).unwrap();
    assert!(sent > input.len(), "{sent} bytes were sent");
}

#[test]
fn records_keep_their_edges_with_every_delimiter() {
    let server = Server::start(&[]);
    let echo = server.ws("/echo");
    for (args, input) in [
        (&["--count", "3"][..], &b"a\n\nb\n"[..]),
        (&["--count", "3", "--delimiter", "nul"], b"a\nb\0\0c\0"),
        (&["--count", "2", "--delimiter", "len32"], b"\0\0\0\x02a\n\0\0\0\0"),
        (&["--count", "2", "--delimiter", "len32", "--binary"], b"\0\0\0\x02\xff\n\0\0\0\0"),
        (&["--count", "2", "--hex", "--format", "hex"], b"00ff\n0a\n"),
        (&["--count", "2", "--base64", "--format", "base64"], b"AP8=\nCg==\n"),
    ] {
        assert_eq!(connect(&echo, args, input).expect(0).stdout, input, "{args:?}");
    }
}

#[test]
fn messages_and_files_are_sent_in_order_and_stdin_is_not_read() {
    let server = Server::start(&[]);
    let file = std::env::temp_dir().join(format!("taiwa-test-{}", std::process::id()));
    std::fs::write(&file, "from\na file").unwrap();
    let args = ["-m", "one", "-m", "", "-f", file.to_str().unwrap(), "--count", "3"];
    let args = [&args[..], &["--format", "jsonl"]].concat();
    // stdin stays open: were it read, this would never end.
    let running = Running::start(taiwa(&[&["connect", &server.ws("/echo")], &args[..]].concat()));
    let outcome = running.finish_with_open_stdin().expect(0);
    let _ = std::fs::remove_file(file);
    assert_eq!(
        outcome.stdout_text(),
        "{\"type\":\"text\",\"data\":\"one\"}\n{\"type\":\"text\",\"data\":\"\"}\n\
         {\"type\":\"text\",\"data\":\"from\\na file\"}\n"
    );
}

#[test]
fn a_file_on_stdin_is_one_message() {
    let server = Server::start(&[]);
    let args = ["-f", "-", "-1", "--format", "hex"];
    assert_eq!(connect(&server.ws("/echo"), &args, "a\nb\n").expect(0).stdout, b"610a620a\n");
}

#[test]
fn the_end_of_the_input_is_followed_by_the_idle_timeout() {
    let server = Server::start(&[]);
    let took = |args: &[&str]| {
        let began = Instant::now();
        assert_eq!(connect(&server.ws("/echo"), args, "a\nb\n").expect(0).stdout, b"a\nb\n");
        began.elapsed()
    };
    let default = took(&[]);
    assert!(default >= Duration::from_secs(2), "{default:?}");
    let shorter = took(&["--idle-timeout", "300ms"]);
    assert!(shorter >= Duration::from_millis(300) && shorter < default, "{shorter:?}");
    let linger = took(&["--linger", "400ms"]);
    assert!(linger >= Duration::from_millis(400) && linger < default, "{linger:?}");
}

#[test]
fn the_idle_timeout_starts_anew_with_each_message_and_linger_does_not() {
    let ticks = |args: &[&str]| {
        let (url, _peer) = frames_peer("", |mut stream| {
            for _ in 0..6 {
                std::thread::sleep(Duration::from_millis(250));
                if stream.write_all(b"\x81\x04tick").is_err() {
                    break;
                }
            }
            drain(stream)
        });
        let args = [args, &["--close-timeout", "100ms"]].concat();
        connect(&url, &args, "").stdout.len() / b"tick\n".len()
    };
    assert_eq!(ticks(&["--idle-timeout", "1s"]), 6);
    let lingered = ticks(&["--linger", "700ms"]);
    assert!((1..6).contains(&lingered), "{lingered} ticks");
}

#[test]
fn what_comes_between_our_close_and_the_servers_is_written() {
    let (url, _peer) = frames_peer("", |mut stream| {
        let mut close = [0; 8];
        stream.read_exact(&mut close).unwrap();
        stream.write_all(b"\x81\x04last").unwrap();
        stream.write_all(&support::close_frame(1000, "")).unwrap();
        drain(stream)
    });
    let outcome = connect(&url, &["--linger", "50ms"], "").expect(0);
    assert_eq!(outcome.stdout, b"last\n");
}

#[test]
fn without_no_close_the_server_gets_1000_and_with_it_nothing() {
    let last = |args: &[&str]| {
        let (url, peer) = frames_peer("", drain);
        connect(&url, &[args, &["--linger", "50ms", "--close-timeout", "50ms"]].concat(), "");
        let sent = peer.recv_timeout(PATIENCE).unwrap();
        sent.get(..2).map(|it| (it[0], it[1]))
    };
    assert_eq!(last(&[]), Some((0x88, 0x82)));
    assert_eq!(last(&["--no-close"]), None);
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let server = Server::start(&[]);
    let mut child = taiwa(&["connect", &server.ws("/echo")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Never ends by itself; stops when nobody reads.
    std::thread::spawn(move || while stdin.write_all(b"again and again\n").is_ok() {});
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((line.as_str(), stderr.as_str()), ("again and again\n", ""));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn verbose_goes_to_stderr_and_quiet_is_quiet() {
    let server = Server::start(&[]);
    let args = ["-m", "hello", "-1", "-vv"];
    let outcome = connect(&server.ws("/echo"), &args, "").expect(0);
    assert_eq!(outcome.stdout, b"hello\n");
    for part in ["101 Switching Protocols", "> text, 5 bytes", "< text, 5 bytes"] {
        assert!(outcome.stderr.contains(part), "no {part:?} in {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains('\u{1b}'), "colours in a pipe");
    let (url, _peer) = frames_peer(support::close_frame(1000, "bye"), drain);
    assert_eq!(connect(&url, &["--stay", "-q"], "").expect(0).stderr, "");
}

#[test]
fn messages_go_into_a_file_with_times() {
    let server = Server::start(&[]);
    let file = std::env::temp_dir().join(format!("taiwa-test-out-{}", std::process::id()));
    let args = ["-m", "hello", "-1", "--timestamps", "-o", file.to_str().unwrap()];
    let outcome = connect(&server.ws("/echo"), &args, "").expect(0);
    let written = std::fs::read_to_string(&file).unwrap();
    let _ = std::fs::remove_file(file);
    assert!(outcome.stdout.is_empty());
    let (time, text) = written.split_once(' ').unwrap();
    assert_eq!(text, "hello\n");
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
}

#[test]
fn the_request_carries_what_was_asked_for() {
    let (url, peer) = support::peer(|stream, head| {
        drop(stream);
        head.to_ascii_lowercase()
    });
    let args =
        ["-H", "X-Token: 1 2", "-b", "a=1", "-b", "b=2", "-A", "me", "-O", "https://o.example"];
    let more = ["-s", "v2.json", "-s", "v1.json"];
    connect(&(url + "a b?c=対"), &[&args[..], &more].concat(), "");
    let head = peer.recv_timeout(PATIENCE).unwrap();
    for line in [
        "get /a%20b?c=%e5%af%be http/1.1\r\n",
        "\r\nx-token: 1 2\r\n",
        "\r\ncookie: a=1; b=2\r\n",
        "\r\nuser-agent: me\r\n",
        "\r\norigin: https://o.example\r\n",
        "\r\nsec-websocket-protocol: v2.json, v1.json\r\n",
        "\r\nsec-websocket-extensions: permessage-deflate",
    ] {
        assert!(head.contains(line), "no {line:?} in {head}");
    }
}
