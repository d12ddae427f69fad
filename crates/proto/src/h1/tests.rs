//! Heads read whole and in pieces, good and bad, and heads written.

use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, Response, StatusCode, Version};

use super::*;
use crate::handshake::Rejection;
use crate::limits::Limits;

const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX: \t y z \r\nx: 2\r\n\r\n";

/// A head, and what follows it.
type Parts = (Vec<u8>, Vec<u8>);

/// Feeds `bytes` in pieces that end at `splits`; returns the head and everything that follows it.
fn fed(bytes: &[u8], splits: &[usize], limits: &Limits) -> Result<Option<Parts>, H1Fault> {
    let (mut reader, mut start) = (HeadReader::new(), 0);
    for end in splits.iter().copied().chain([bytes.len()]) {
        if let Some(head) = reader.feed(&bytes[start..end], limits)? {
            let rest = [head.leftover, &bytes[end..]].concat();
            return Ok(Some((head.as_bytes().to_vec(), rest)));
        }
        start = end;
    }
    Ok(None)
}

fn request(bytes: &[u8]) -> Result<Request<()>, H1Fault> {
    let limits = Limits::default();
    let head = HeadReader::new().feed(bytes, &limits)?.map(|it| parse_request(&it));
    head.expect("the head is whole")
}

fn response(bytes: &[u8]) -> Result<Response<()>, H1Fault> {
    let limits = Limits::default();
    let head = HeadReader::new().feed(bytes, &limits)?.map(|it| parse_response(&it));
    head.expect("the head is whole")
}

#[test]
fn a_head_split_anywhere_is_the_same_head() {
    let limits = Limits { handshake_bytes_max: 80, headers_max: 4, ..Limits::default() };
    for text in [
        format!("{GOOD}\u{1}\r\n\r\nleft over"),
        format!("\r\n\r\n{GOOD}"),
        GOOD[..GOOD.len() - 2].to_owned(),
        "GET / HTTP/1.1\r\nHost: a\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\n\n".to_owned(),
        "\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}".to_owned(),
        "GET / HTTP/1.1\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(65)),
        format!("GET /{} HTTP/1.1\r\n\r\nrest", "x".repeat(61)),
    ] {
        let bytes = text.as_bytes();
        let whole = fed(bytes, &[], &limits);
        let each: Vec<_> = (0..bytes.len()).collect();
        assert_eq!(fed(bytes, &each, &limits), whole, "{text:?} byte by byte");
        for one in 0..=bytes.len() {
            assert_eq!(fed(bytes, &[one], &limits), whole, "{text:?} at {one}");
            for two in one..=bytes.len() {
                assert_eq!(fed(bytes, &[one, two], &limits), whole, "{text:?} at {one}, {two}");
            }
        }
    }
}

#[test]
fn what_follows_the_head_is_handed_out() {
    let bytes = [GOOD.as_bytes(), b"\x81\x80frames\r\n\r\n"].concat();
    for split in 0..bytes.len() {
        let (head, rest) = fed(&bytes, &[split], &Limits::default()).unwrap().unwrap();
        assert_eq!((&head[..], &rest[..]), (GOOD.as_bytes(), &b"\x81\x80frames\r\n\r\n"[..]));
    }
}

#[test]
fn a_head_as_long_as_the_limit_is_read_and_one_byte_more_is_not() {
    let at = |max| Limits { handshake_bytes_max: max, ..Limits::default() };
    let rest = [GOOD.as_bytes(), &[0; 100]].concat();
    assert!(fed(&rest, &[], &at(GOOD.len())).unwrap().is_some());
    assert_eq!(fed(&rest, &[], &at(GOOD.len() - 1)), Err(H1Fault::HeadTooLong));
    assert_eq!(fed(&rest, &[], &at(0)), Err(H1Fault::HeadTooLong));
    assert_eq!(fed(&GOOD.as_bytes()[..40], &[], &at(40)), Err(H1Fault::HeadTooLong));
    assert_eq!(fed(&GOOD.as_bytes()[..39], &[], &at(40)), Ok(None));
    assert_eq!(H1Fault::HeadTooLong.response().status(), 431);
}

#[test]
fn as_many_headers_as_the_limit_are_read_and_one_more_is_not() {
    let head = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(count));
    let limits = Limits::default();
    assert!(fed(head(100).as_bytes(), &[], &limits).unwrap().is_some());
    assert_eq!(fed(head(101).as_bytes(), &[], &limits), Err(H1Fault::TooManyHeaders));
    assert_eq!(request(head(100).as_bytes()).unwrap().headers().len(), 100);
    let none = Limits { headers_max: 0, ..limits };
    assert!(fed(head(0).as_bytes(), &[], &none).unwrap().is_some());
    assert_eq!(fed(head(1).as_bytes(), &[], &none), Err(H1Fault::TooManyHeaders));
    assert_eq!(H1Fault::TooManyHeaders.response().status(), 431);
}

#[test]
fn more_headers_than_a_map_can_hold_are_refused_without_a_panic() {
    let limits = Limits { headers_max: 100_000, handshake_bytes_max: 1 << 20, ..Limits::default() };
    let mut text = String::from("GET / HTTP/1.1\r\n");
    (0..40_000).for_each(|it| text.push_str(&format!("a{it}:\r\n")));
    text.push_str("\r\n");
    let head =
        HeadReader::new().feed(text.as_bytes(), &limits).unwrap().map(|it| parse_request(&it));
    assert_eq!(head.unwrap().unwrap_err(), H1Fault::TooManyHeaders);
}

#[test]
fn a_long_head_in_single_bytes_takes_linear_time() {
    let limits = Limits { handshake_bytes_max: 2 << 20, ..Limits::default() };
    let text = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(1 << 20));
    let start = Instant::now();
    let mut reader = HeadReader::new();
    let heads = text.as_bytes().chunks(1).filter(|it| reader.feed(it, &limits).unwrap().is_some());
    assert_eq!(heads.count(), 1);
    // Scanning from the start at each read, 5 * 10^11 bytes, takes minutes.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_reader_owns_no_memory_before_the_first_byte_and_after_the_head() {
    let limits = Limits::default();
    let mut reader = HeadReader::new();
    assert_eq!(reader.memory(), 0);
    assert!(reader.feed(b"", &limits).unwrap().is_none());
    assert!(reader.feed(GOOD.as_bytes(), &limits).unwrap().is_some());
    assert_eq!(reader.memory(), 0);
    assert!(reader.feed(b"GET", &limits).unwrap().is_none());
    assert!(reader.memory() >= 3 && !reader.is_empty());
    assert!(reader.feed(b" / HTTP/1.1\r\n\r\n", &limits).unwrap().is_some());
    assert!(reader.memory() == 0 && reader.is_empty());
}

#[test]
fn a_reader_reads_one_head_after_the_other() {
    let (limits, mut reader) = (Limits::default(), HeadReader::new());
    let mut rest =
        &b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n!"[..];
    let mut statuses = Vec::new();
    while let Ok(Some(head)) = reader.feed(rest, &limits) {
        statuses.push(parse_response(&head).unwrap().status().as_u16());
        rest = head.leftover;
    }
    assert_eq!((&statuses[..], rest), (&[103, 101][..], &b"!"[..]));
}

#[test]
fn a_request_becomes_its_http_type() {
    let read = request(GOOD.as_bytes()).unwrap();
    assert_eq!((read.method(), read.version()), (&Method::GET, Version::HTTP_11));
    assert_eq!(read.uri(), "/chat");
    assert_eq!(read.headers()["x-empty"], "");
    let values: Vec<_> = read.headers().get_all("X").iter().collect();
    assert_eq!(values, ["y z", "2"]);
    assert_eq!(request(b"GET / HTTP/1.0\r\n\r\n").unwrap().version(), Version::HTTP_10);
}

#[test]
fn targets_have_the_form_that_the_method_allows() {
    for (method, target, is_allowed) in [
        ("GET", "/", true),
        ("GET", "//a/b?c", true),
        ("GET", "http://a.example/x", true),
        ("GET", "http://a.example", true),
        ("GET", "a.example", false),
        ("GET", "a.example:80", false),
        ("GET", "*", false),
        ("GET", "?x", false),
        ("GET", "/#x", false),
        ("GET", "/\u{1}", false),
        ("OPTIONS", "*", true),
        ("CONNECT", "a.example:443", true),
        ("CONNECT", "/", false),
        ("CONNECT", "http://a.example:443/", false),
    ] {
        let read = request(format!("{method} {target} HTTP/1.1\r\n\r\n").as_bytes());
        assert_eq!(read.is_ok(), is_allowed, "{method} {target}: {read:?}");
    }
}

#[test]
fn heads_that_two_readers_could_read_differently_are_refused() {
    for (text, fault) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", H1Fault::BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\n\n", H1Fault::BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\nA: b\0\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\nA: b\u{7f}\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\nA\u{e9}: b\r\n\r\n", H1Fault::Header),
        ("GET / HTTP/1.1\r\nA: b\r\r\n\r\n", H1Fault::Header),
        ("GET  / HTTP/1.1\r\n\r\n", H1Fault::StartLine),
        ("GET /  HTTP/1.1\r\n\r\n", H1Fault::StartLine),
        ("GET / HTTP/1.1 \r\n\r\n", H1Fault::StartLine),
        ("GET\t/ HTTP/1.1\r\n\r\n", H1Fault::StartLine),
        ("GET /\r\n\r\n", H1Fault::StartLine),
        ("GET\r\n\r\n", H1Fault::StartLine),
        ("GE(T / HTTP/1.1\r\n\r\n", H1Fault::StartLine),
        ("GET / http/1.1\r\n\r\n", H1Fault::StartLine),
        (" GET / HTTP/1.1\r\n\r\n", H1Fault::StartLine),
        ("{\"json\": 1}\r\n\r\n", H1Fault::StartLine),
        ("GET / HTTP/2.0\r\n\r\n", H1Fault::Version),
        ("GET / HTTP/1.2\r\n\r\n", H1Fault::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H1Fault::Version),
    ] {
        assert_eq!(request(text.as_bytes()).unwrap_err(), fault, "{text:?}");
        let status = if fault == H1Fault::Version { 505 } else { 400 };
        assert_eq!(fault.status(), status);
    }
}

#[test]
fn a_response_becomes_its_http_type() {
    let read = response(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").unwrap();
    assert_eq!(
        (read.status(), read.version()),
        (StatusCode::SWITCHING_PROTOCOLS, Version::HTTP_11)
    );
    assert_eq!(read.headers()["upgrade"], "websocket");
    assert_eq!(response(b"HTTP/1.0 404\r\n\r\n").unwrap().status(), 404);
    for (text, fault) in [
        ("HTTP/1.1 99 x\r\n\r\n", H1Fault::StartLine),
        ("HTTP/1.1 099 x\r\n\r\n", H1Fault::StartLine),
        ("HTTP/1.1 1010 x\r\n\r\n", H1Fault::StartLine),
        ("HTTP/2 200 x\r\n\r\n", H1Fault::Version),
        ("ICY 200 OK\r\n\r\n", H1Fault::StartLine),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", H1Fault::Header),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", H1Fault::Header),
    ] {
        assert_eq!(response(text.as_bytes()).unwrap_err(), fault, "{text:?}");
    }
}

#[test]
fn a_request_is_written_with_names_as_in_the_rfcs() {
    let request = Request::get("/chat?x=1")
        .header("host", "a.example")
        .header("sec-websocket-key", "k")
        .header("x-a", "1")
        .header("x-a", "2")
        .body(())
        .unwrap();
    let mut out = b"before ".to_vec();
    write_request(&request, &mut out);
    let text = "before GET /chat?x=1 HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Key: k\r\nX-A: 1\r\n\
                X-A: 2\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), text);
}

#[test]
fn a_value_with_a_line_break_can_not_get_into_a_head() {
    for value in ["a\r\nX: y", "a\nb", "a\rb", "a\0b"] {
        assert!(HeaderValue::from_str(value).is_err());
        assert!(HeaderValue::from_bytes(value.as_bytes()).is_err());
    }
    assert!("/a\r\nb".parse::<http::Uri>().is_err());
    assert!("/a b".parse::<http::Uri>().is_err());
    assert!(Method::from_bytes(b"GET\r\n").is_err());
}

#[track_caller]
fn check_written(response: &Response<()>, body: &[u8], expected: &str) {
    let mut out = Vec::new();
    write_response(response, body, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_response_is_written_with_the_true_length_of_its_body() {
    let with = |status: u16| {
        let builder = Response::builder().status(status).header("content-length", "99");
        builder.header("transfer-encoding", "chunked").header("x", "y").body(()).unwrap()
    };
    check_written(&with(200), b"body", "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\n\r\nbody");
    check_written(&with(404), b"", "HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 0\r\n\r\n");
    check_written(&with(599), b"", "HTTP/1.1 599 \r\nX: y\r\nContent-Length: 0\r\n\r\n");
    check_written(&with(101), b"body", "HTTP/1.1 101 Switching Protocols\r\nX: y\r\n\r\n");
    check_written(&with(204), b"body", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n");
    let plain = Response::builder().status(304).body(()).unwrap();
    check_written(&plain, b"body", "HTTP/1.1 304 Not Modified\r\n\r\n");
}

#[test]
fn a_rejection_reads_as_it_was_written() {
    let (rejection, mut out) = (Rejection::Version.response(), Vec::new());
    write_response(&rejection, rejection.body().as_bytes(), &mut out);
    let read = response(&out).unwrap();
    assert_eq!(read.status(), 426);
    assert_eq!(read.headers()["sec-websocket-version"], "13");
    assert!(out.ends_with(b"Sec-WebSocket-Version must be 13.\n"));
}
