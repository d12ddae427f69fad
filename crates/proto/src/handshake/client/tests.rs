//! Requests that a client makes, and responses that it believes or not.

use super::*;
use crate::handshake::Opening;

const NONCE: [u8; 16] = *b"the sample nonce";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn uri(text: &str) -> Uri {
    parse_uri(text).unwrap_or_else(|it| panic!("{text}: {it}"))
}

#[track_caller]
fn check_target(text: &str, host: &str, target: &str) {
    let uri = uri(text);
    let (request, _) = Wish::new(&uri, NONCE).request().unwrap();
    assert_eq!(request.headers()["host"], host, "{text}");
    assert_eq!(request.uri().to_string(), target, "{text}");
}

#[test]
fn host_and_target_are_taken_from_the_uri() {
    check_target("ws://a.example", "a.example", "/");
    check_target("ws://a.example:80/", "a.example", "/");
    check_target("wss://a.example:443/x", "a.example", "/x");
    check_target("ws://a.example:443/x", "a.example:443", "/x");
    check_target("wss://a.example:80/x", "a.example:80", "/x");
    check_target("ws://a.example:/x", "a.example", "/x");
    check_target("WS://a.example:8000/x/y?z=1&w=%20", "a.example:8000", "/x/y?z=1&w=%20");
    check_target("ws://a.example?z", "a.example", "/?z");
    check_target("ws://[::1]/", "[::1]", "/");
    check_target("ws://[::1]:8000/", "[::1]:8000", "/");
    check_target("ws://u:p@a.example:8000/", "a.example:8000", "/");
    check_target("ws://a.example/\u{e9}?\u{fc}", "a.example", "/%C3%A9?%C3%BC");
}

#[test]
fn a_uri_of_another_kind_is_refused() {
    for (text, misuse) in [
        ("ws://a.example/#x", HandshakeMisuse::Fragment),
        ("ws://a.example#", HandshakeMisuse::Fragment),
        ("http://a.example/", HandshakeMisuse::Scheme),
        ("wsx://a.example/", HandshakeMisuse::Scheme),
        ("/chat", HandshakeMisuse::Uri),
        ("a.example", HandshakeMisuse::Uri),
        ("a.example:80", HandshakeMisuse::Uri),
        ("", HandshakeMisuse::Uri),
        ("ws://", HandshakeMisuse::Uri),
        ("ws:///x", HandshakeMisuse::Uri),
        ("ws://u@/x", HandshakeMisuse::Uri),
        ("ws://a b/", HandshakeMisuse::Uri),
        ("ws://a/\r\nX: y", HandshakeMisuse::Uri),
        ("ws://a:99999/", HandshakeMisuse::Uri),
        ("ws://[::g]/", HandshakeMisuse::Uri),
    ] {
        assert_eq!(parse_uri(text), Err(misuse), "{text}");
    }
}

#[test]
fn the_request_has_what_rfc_6455_asks_for() {
    let (uri, subprotocols) = (uri("ws://a.example/chat"), ["b".to_owned(), "a".to_owned()]);
    let mut headers = HeaderMap::new();
    headers.insert("origin", HeaderValue::from_static("http://a.example"));
    headers.append("cookie", HeaderValue::from_static("x=1"));
    headers.append("cookie", HeaderValue::from_static("y=2"));
    let wish = Wish { subprotocols: &subprotocols, headers, ..Wish::new(&uri, NONCE) };
    let (request, _) = wish.request().unwrap();
    let headers = request.headers();
    assert_eq!((request.method(), request.version()), (&Method::GET, Version::HTTP_11));
    assert_eq!(headers["upgrade"], "websocket");
    assert_eq!(headers["connection"], "Upgrade");
    assert_eq!(headers["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(headers["sec-websocket-version"], "13");
    assert_eq!(headers["sec-websocket-protocol"], "b, a");
    assert_eq!(headers["origin"], "http://a.example");
    assert_eq!(headers.get_all("cookie").iter().count(), 2);
    assert!(!headers.contains_key("sec-websocket-extensions"));
    assert_eq!(Opening::read(&request).unwrap().subprotocols(), ["b", "a"]);
}

#[test]
fn headers_of_the_handshake_can_not_be_overridden() {
    let uri = uri("ws://a.example/");
    for name in [
        "host",
        "upgrade",
        "connection",
        "sec-websocket-key",
        "sec-websocket-version",
        "te",
        "trailer",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "sec-websocket-accept",
        "content-length",
        "transfer-encoding",
    ] {
        let name = HeaderName::from_static(name);
        let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("1"))]);
        let misuse = Wish { headers, ..Wish::new(&uri, NONCE) }.request().unwrap_err();
        assert_eq!(misuse, HandshakeMisuse::ReservedHeader(name));
    }
}

#[test]
fn subprotocols_that_are_no_tokens_or_twice_are_refused() {
    let uri = uri("ws://a.example/");
    let ask = |list: &[&str], grammar| {
        let subprotocols: Vec<_> = list.iter().map(|it| (*it).to_owned()).collect();
        Wish { subprotocols: &subprotocols, grammar, ..Wish::new(&uri, NONCE) }
            .request()
            .map(|_| ())
    };
    for list in [&[""][..], &["a b"], &["a,b"], &["a\r\nX: y"], &["\u{e9}"], &["a", "a"], &["a/b"]]
    {
        let last = HandshakeMisuse::Subprotocol((*list.last().unwrap()).to_owned());
        assert_eq!(ask(list, Grammar::Strict), Err(last));
    }
    assert_eq!(ask(&["ZWS2.0/NULL", "ZWS2.0"], Grammar::LenientSubprotocols), Ok(()));
    assert!(ask(&["a b"], Grammar::LenientSubprotocols).is_err());
}

#[test]
fn user_information_becomes_basic_authorization() {
    for (text, plain) in [
        ("ws://user:pass@a.example/", "user:pass"),
        ("ws://user@a.example/", "user:"),
        ("ws://us%40er:p%3Ass@a.example/", "us@er:p:ss"),
    ] {
        let uri = uri(text);
        let (request, _) = Wish::new(&uri, NONCE).request().unwrap();
        let authorization = &request.headers()["authorization"];
        assert_eq!(*authorization, format!("Basic {}", STANDARD.encode(plain)).as_str());
        assert!(authorization.is_sensitive());
    }
    let uri = uri("ws://user:pass@a.example/");
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer x"))]);
    let (request, _) = Wish { headers, ..Wish::new(&uri, NONCE) }.request().unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer x");
    assert_eq!(percent_decoded("%4a%4A%zz%4"), b"JJ%zz%4");
}

/// A response to `NONCE` with each header of `changes` in place of that of the same name; the value `-`
/// removes it.
fn response(changes: &[(&str, &str)]) -> Response<()> {
    let valid =
        [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)];
    let kept = valid.iter().filter(|(name, _)| changes.iter().all(|(it, _)| it != name));
    let added = changes.iter().filter(|(_, value)| *value != "-");
    let builder = Response::builder().status(101);
    kept.chain(added).fold(builder, |it, (name, value)| it.header(*name, *value)).body(()).unwrap()
}

#[track_caller]
fn check(
    deflate: Option<&Deflate>,
    changes: &[(&str, &str)],
    expected: Result<Agreed, HandshakeFault>,
) {
    let (uri, subprotocols) = (uri("ws://a.example/"), ["b".to_owned(), "a".to_owned()]);
    let wish = Wish { subprotocols: &subprotocols, deflate, ..Wish::new(&uri, NONCE) };
    let (_, pending) = wish.request().unwrap();
    assert_eq!(pending.verify(&response(changes)), expected, "{changes:?}");
}

#[test]
fn a_response_that_keeps_the_rules_opens() {
    check(None, &[], Ok(Agreed::default()));
    check(
        None,
        &[("Upgrade", "WebSocket"), ("Connection", "keep-alive, upgrade")],
        Ok(Agreed::default()),
    );
    check(None, &[("Sec-WebSocket-Accept", &format!(" {ACCEPT}\t"))], Ok(Agreed::default()));
    let agreed = Agreed { subprotocol: Some("a".to_owned()), deflate: None };
    check(None, &[("Sec-WebSocket-Protocol", "a")], Ok(agreed));
}

#[test]
fn a_response_that_breaks_a_rule_of_section_4_1_does_not_open() {
    for (changes, fault) in [
        (&[("Upgrade", "-")][..], HandshakeFault::Upgrade),
        (&[("Upgrade", "h2c")], HandshakeFault::Upgrade),
        (&[("Upgrade", "websocket, h2c")], HandshakeFault::Upgrade),
        (&[("Upgrade", "websocket"), ("Upgrade", "websocket")], HandshakeFault::Upgrade),
        (&[("Connection", "-")], HandshakeFault::Connection),
        (&[("Connection", "close")], HandshakeFault::Connection),
        (&[("Sec-WebSocket-Accept", "-")], HandshakeFault::Accept),
        (&[("Sec-WebSocket-Accept", "")], HandshakeFault::Accept),
        (&[("Sec-WebSocket-Accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")], HandshakeFault::Accept),
        (
            &[("Sec-WebSocket-Accept", ACCEPT), ("Sec-WebSocket-Accept", ACCEPT)],
            HandshakeFault::Accept,
        ),
        (&[("Sec-WebSocket-Protocol", "")], HandshakeFault::Subprotocol),
        (&[("Sec-WebSocket-Protocol", "a, b")], HandshakeFault::Subprotocol),
        (
            &[("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "a")],
            HandshakeFault::Subprotocol,
        ),
        (
            &[("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "b")],
            HandshakeFault::Subprotocol,
        ),
        (&[("Sec-WebSocket-Protocol", "A")], HandshakeFault::SubprotocolNotOffered),
        (&[("Sec-WebSocket-Protocol", "c")], HandshakeFault::SubprotocolNotOffered),
        (&[("Sec-WebSocket-Extensions", "foo")], HandshakeFault::ExtensionNotOffered),
        (
            &[("Sec-WebSocket-Extensions", "permessage-deflate")],
            HandshakeFault::ExtensionNotOffered,
        ),
        (&[("Sec-WebSocket-Extensions", "foo;")], HandshakeFault::Extensions),
    ] {
        check(None, changes, Err(fault));
    }
}

#[test]
fn the_answer_to_deflate_is_validated_parameter_by_parameter() {
    let deflate = Deflate::default();
    let check = |line: &str, fault| {
        check(Some(&deflate), &[("Sec-WebSocket-Extensions", line)], Err(fault));
    };
    check("permessage-deflate; server_max_window_bits=99", HandshakeFault::DeflateParams);
    check("permessage-deflate; server_max_window_bits=-1", HandshakeFault::DeflateParams);
    check("permessage-deflate; server_max_window_bits", HandshakeFault::DeflateParams);
    check("permessage-deflate; foo", HandshakeFault::DeflateParams);
    check("foo, permessage-deflate", HandshakeFault::ExtensionNotOffered);
    let good = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    check(&format!("{good}, {good}"), HandshakeFault::Extensions);
    check(&format!("{good}, foo"), HandshakeFault::ExtensionNotOffered);
}

#[test]
fn our_server_and_our_client_agree_on_deflate() {
    let (uri, deflate) = (uri("ws://a.example/"), Deflate::default());
    let wish = Wish { deflate: Some(&deflate), ..Wish::new(&uri, NONCE) };
    let (request, pending) = wish.request().unwrap();
    let (response, agreed) = Opening::read(&request).unwrap().accept(None, Some(&deflate));
    assert!(agreed.deflate.is_some());
    assert_eq!(pending.verify(&response), Ok(agreed));
}

#[test]
fn another_status_is_handed_back_and_interim_ones_are_told_apart() {
    let uri = uri("ws://a.example/");
    let (_, pending) = Wish::new(&uri, NONCE).request().unwrap();
    for (status, interim) in
        [(100, true), (103, true), (101, false), (200, false), (302, false), (401, false)]
    {
        let mut response = response(&[]);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        assert_eq!(is_interim(&response), interim);
        if status != 101 {
            let fault = HandshakeFault::Refused(response.status());
            assert_eq!(pending.verify(&response), Err(fault));
        }
    }
    let mut response = response(&[]);
    *response.version_mut() = Version::HTTP_10;
    assert_eq!(pending.verify(&response), Err(HandshakeFault::HttpVersion));
}
