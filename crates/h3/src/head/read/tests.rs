//! Requests and responses that are right or malformed, and what is written reads the same.

use super::*;
use crate::{
    error::{Misuse, Scope},
    head::{write_request, write_response, write_trailers},
    qpack::SectionWriter,
};

type Lines<'a> = &'a [(&'a str, &'a str)];

fn section(lines: Lines<'_>) -> Vec<u8> {
    let mut out = vec![];
    let mut section = SectionWriter::new(&mut out);
    for (name, value) in lines {
        section.line(name.as_bytes(), value.as_bytes());
    }
    out
}

fn request(lines: Lines<'_>) -> Result<Request<()>, Fault> {
    read_request(&section(lines), &SectionLimits::default())
}

fn response(lines: Lines<'_>) -> Result<Response<()>, Fault> {
    read_response(&section(lines), &SectionLimits::default())
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/p?q")];
const WEBSOCKET: [(&str, &str); 5] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "a.example:8443"),
];

/// Reads `lines` with the one of the name of `other` replaced by it, or taken out if its value is empty.
fn but(lines: Lines<'_>, other: (&str, &str)) -> Result<Request<()>, Fault> {
    let mut lines = lines.to_vec();
    let at = lines.iter().position(|it| it.0 == other.0).unwrap_or(lines.len());
    if at < lines.len() {
        lines.remove(at);
    }
    if !other.1.is_empty() {
        lines.insert(at, other);
    }
    request(&lines)
}

#[track_caller]
fn check_malformed<T: std::fmt::Debug>(read: Result<T, Fault>, rule: &str) {
    let fault = read.expect_err("malformed");
    assert_eq!((fault.rule, fault.code, fault.scope), (rule, Code::MESSAGE_ERROR, Scope::Stream));
}

#[test]
fn requests_are_read() {
    let get =
        request(&[&GET[..], &[("accept", "*/*"), ("te", "Trailers")]].concat()).expect("right");
    assert_eq!((get.method(), get.version()), (&Method::GET, Version::HTTP_3));
    assert_eq!(get.uri(), "https://a.example/p?q");
    assert_eq!(get.headers().len(), 2);

    let websocket = request(&WEBSOCKET).expect("right");
    assert_eq!(websocket.method(), Method::CONNECT);
    assert_eq!(websocket.uri(), "https://a.example:8443/chat");
    assert_eq!(websocket.extensions().get(), Some(&Protocol::WEBSOCKET));

    let tunnel = request(&[(":method", "CONNECT"), (":authority", "a.example:443")]);
    let tunnel = tunnel.expect("right");
    assert_eq!(
        (tunnel.uri(), tunnel.extensions().get::<Protocol>()),
        (&Uri::from_static("a.example:443"), None)
    );

    // Host in place of :authority, or beside it and the same.
    let host = but(&[&GET[..], &[("host", "b.example")]].concat(), (":authority", ""));
    assert_eq!(host.expect("right").uri(), "https://b.example/p?q");
    assert!(request(&[&GET[..], &[("host", "A.example")]].concat()).is_ok());
    let options = but(&GET, (":method", "OPTIONS"));
    assert!(options.is_ok());
    let star: Vec<_> = GET
        .into_iter()
        .map(|(name, value)| match name {
            ":method" => (name, "OPTIONS"),
            ":path" => (name, "*"),
            _ => (name, value),
        })
        .collect();
    assert_eq!(request(&star).expect("right").uri().path(), "*");
}

#[test]
fn requests_without_a_pseudo_header_field_that_they_need_are_malformed() {
    check_malformed(but(&GET, (":method", "")), "request without :method");
    check_malformed(but(&GET, (":scheme", "")), "request without :scheme");
    check_malformed(but(&GET, (":path", "")), "request without :path");
    check_malformed(but(&GET, (":authority", "")), "request without :authority and Host");
    check_malformed(but(&WEBSOCKET, (":scheme", "")), "request without :scheme");
    check_malformed(but(&WEBSOCKET, (":path", "")), "request without :path");
    check_malformed(but(&WEBSOCKET, (":authority", "")), "request without :authority and Host");
    check_malformed(request(&[]), "request without :method");
    check_malformed(request(&[(":method", "CONNECT")]), "CONNECT without host and port");
}

#[test]
fn pseudo_header_fields_with_wrong_values_are_malformed() {
    check_malformed(but(&GET, (":method", "G T")), ":method is no method");
    check_malformed(but(&GET, (":scheme", "1:")), ":scheme is no scheme");
    let empty = [(":method", "GET"), (":scheme", ""), (":authority", "a"), (":path", "/")];
    check_malformed(request(&empty), ":scheme is no scheme");
    for path in ["p", "*", "http://a.example/", "/a#b", "/ü\u{7f}", "?q"] {
        check_malformed(but(&GET, (":path", path)), ":path is no absolute path");
    }
    check_malformed(but(&GET, (":authority", "a b")), ":authority or Host is no authority");
    check_malformed(
        but(&GET, (":authority", "u@a.example")),
        ":authority without a host, or with userinfo",
    );
    check_malformed(but(&WEBSOCKET, (":protocol", "web socket")), ":protocol is no token");
    check_malformed(but(&WEBSOCKET, (":method", "GET")), ":protocol without CONNECT");
    check_malformed(but(&WEBSOCKET, (":protocol", "")), "CONNECT with :scheme or :path");
    let tunnel = [(":method", "CONNECT"), (":authority", "a.example")];
    check_malformed(request(&tunnel), "CONNECT without host and port");
    let hosts = [&GET[..], &[("host", "b.example")]].concat();
    check_malformed(request(&hosts), ":authority and Host differ");
    let hosts = [&GET[..], &[("host", "a.example"), ("host", "a.example")]].concat();
    check_malformed(request(&hosts), "several Host fields");
    let empty = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "")];
    check_malformed(request(&empty), ":authority or Host is no authority");
}

#[test]
fn pseudo_header_fields_out_of_place_are_malformed() {
    let late = [&[("accept", "*/*")], &GET[..]].concat();
    check_malformed(request(&late), "pseudo-header field behind header fields");
    let twice = [&GET[..], &[(":path", "/")]].concat();
    check_malformed(request(&twice), "pseudo-header field twice");
    const RULE: &str = "pseudo-header field that does not belong here";
    check_malformed(request(&[&GET[..], &[(":status", "200")]].concat()), RULE);
    check_malformed(request(&[&GET[..], &[(":path2", "/")]].concat()), RULE);
    check_malformed(request(&[&GET[..], &[(":", "/")]].concat()), RULE);
    check_malformed(request(&[&GET[..], &[(":Path", "/")]].concat()), RULE);
    check_malformed(response(&[(":status", "200"), (":path", "/")]), RULE);
    let trailers = section(&[(":status", "200")]);
    check_malformed(read_trailers(&trailers, &SectionLimits::default()), RULE);
}

#[test]
fn fields_that_may_not_be_there_are_malformed() {
    let with = |name, value| request(&[&GET[..], &[(name, value)]].concat());
    for name in ["Accept", "a b", "", "a:", "naïve", "a\0"] {
        check_malformed(with(name, "x"), "field name is no token in lower case");
    }
    for value in ["a\r\nb: c", "a\nb", "a\0", "\u{7f}"] {
        check_malformed(with("a", value), "field value with a control character");
    }
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        check_malformed(with(name, "x"), "connection-specific field");
        check_malformed(response(&[(":status", "200"), (name, "x")]), "connection-specific field");
        let trailers = section(&[(name, "x")]);
        let read = read_trailers(&trailers, &SectionLimits::default());
        check_malformed(read, "connection-specific field");
    }
    check_malformed(with("te", "trailers, gzip"), "connection-specific field");
}

#[test]
fn responses_are_read_or_malformed() {
    let read = response(&[(":status", "204"), ("server", "x")]).expect("right");
    assert_eq!((read.status(), read.version()), (StatusCode::NO_CONTENT, Version::HTTP_3));
    assert_eq!(response(&[(":status", "103")]).expect("right").status(), 103);
    check_malformed(response(&[]), "response without :status");
    check_malformed(response(&[(":status", "101")]), "status 101");
    for status in ["", "20", "2000", "+20", "099", "abc"] {
        check_malformed(response(&[(":status", status)]), ":status is no status");
    }
}

#[test]
fn cookies_are_one_line_and_other_fields_stay_apart() {
    let lines = [("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("x", "2"), ("cookie", "c")];
    let read = request(&[&GET[..], &lines].concat()).expect("right");
    assert_eq!(read.headers().get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c"]);
    assert_eq!(read.headers().get_all("x").iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn limits_end_the_stream_before_anything_is_judged() {
    let limits = SectionLimits { lines_max: 3, ..SectionLimits::default() };
    let fault = read_request(&section(&GET), &limits).expect_err("four lines");
    assert_eq!((fault.code, fault.scope), (Code::EXCESSIVE_LOAD, Scope::Stream));
    // More fields than a `HeaderMap` takes are refused as well, whatever the limit.
    let many: Vec<_> = (0..40_000).map(|it| format!("f{it}")).collect();
    let lines: Vec<_> = GET.into_iter().chain(many.iter().map(|it| (&**it, ""))).collect();
    let limits = SectionLimits { lines_max: usize::MAX, section_bytes_max: usize::MAX };
    let fault = read_request(&section(&lines), &limits).expect_err("too many");
    assert_eq!((fault.code, fault.scope), (Code::EXCESSIVE_LOAD, Scope::Stream));
}

#[test]
fn what_is_written_reads_the_same() {
    let mut request = Request::connect("https://u:p@a.example:1/x?y").body(()).expect("right");
    request.extensions_mut().insert(Protocol::WEBSOCKET);
    let mut secret = HeaderValue::from_static("token");
    secret.set_sensitive(true);
    request.headers_mut().insert("authorization", secret);
    request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    request.headers_mut().insert("host", HeaderValue::from_static("a.example:1"));
    request.headers_mut().insert("connection", HeaderValue::from_static("close"));
    let mut out = b"before".to_vec();
    let section_bytes = write_request(&request, &mut out).expect("right");
    let exact = SectionLimits { section_bytes_max: section_bytes, lines_max: 7 };
    let read = read_request(&out[6..], &exact).expect("right");
    assert_eq!(
        (read.method(), read.uri().to_string()),
        (&Method::CONNECT, "https://a.example:1/x?y".into())
    );
    assert_eq!(read.extensions().get(), Some(&Protocol::WEBSOCKET));
    assert_eq!(read.headers().len(), 2);
    assert!(read.headers()["authorization"].is_sensitive());
    assert!(!read.headers()["sec-websocket-version"].is_sensitive());

    let mut response =
        Response::builder().status(418).header("a", "1").header("a", "2").body(()).expect("right");
    response.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    let mut out = vec![];
    write_response(&response, &mut out).expect("right");
    let read = read_response(&out, &SectionLimits::default()).expect("right");
    assert_eq!(read.status(), 418);
    assert_eq!(read.headers().get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(read.headers().len(), 2);

    let mut out = vec![];
    write_trailers(read.headers(), &mut out);
    assert_eq!(read_trailers(&out, &SectionLimits::default()).as_ref(), Ok(read.headers()));
}

#[test]
fn what_cannot_be_asked_for_is_misuse_and_writes_nothing() {
    let check = |request: Request<()>, rule| {
        let mut out = vec![];
        assert_eq!(write_request(&request, &mut out), Err(Misuse(rule)));
        assert!(out.is_empty());
    };
    check(Request::get("/x").body(()).expect("right"), "a request needs a URI with an authority");
    check(
        Request::get("a.example:1").body(()).expect("right"),
        "a request needs a URI with a scheme",
    );
    let get = Request::get("https://a.example/").extension(Protocol::WEBSOCKET);
    check(get.body(()).expect("right"), "a protocol is asked for by CONNECT alone");
    let mut out = vec![];
    let response = Response::builder().status(101).body(()).expect("right");
    assert_eq!(write_response(&response, &mut out), Err(Misuse("HTTP/3 has no status 101")));
    assert!(out.is_empty());
}

#[test]
fn content_length_is_one_number_or_malformed() {
    let read = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
        }
        content_length(&headers)
    };
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&["0"]), Ok(Some(0)));
    assert_eq!(read(&["42, 42", "42"]), Ok(Some(42)));
    for wrong in [&[""][..], &["+1"], &["1, 2"], &["1", "2"], &["18446744073709551616"], &["1,"]] {
        check_malformed(read(wrong), "content-length is not one number");
    }
}
