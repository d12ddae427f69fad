//! Requests that open a WebSocket and requests that do not.

use http::request::Builder;

use super::*;
use crate::handshake::Origin;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const VALID: [(&str, &str); 5] = [
    ("Host", "chat.example"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

fn built(builder: Builder, headers: &[(&str, &str)]) -> Request<()> {
    headers.iter().fold(builder, |it, (name, value)| it.header(*name, *value)).body(()).unwrap()
}

/// The valid request with each header of `changes` in place of that of the same name, if there is one;
/// the value `-` removes it.
fn changed(changes: &[(&str, &str)]) -> Request<()> {
    let mut headers: Vec<_> =
        VALID.into_iter().filter(|(name, _)| changes.iter().all(|(it, _)| it != name)).collect();
    headers.extend(changes.iter().filter(|(_, value)| *value != "-"));
    built(Request::get("/chat"), &headers)
}

#[track_caller]
fn refused(changes: &[(&str, &str)], expected: Rejection) {
    assert_eq!(Opening::read(&changed(changes)).unwrap_err(), expected, "{changes:?}");
}

#[track_caller]
fn opened(changes: &[(&str, &str)]) -> Opening {
    Opening::read(&changed(changes)).unwrap_or_else(|it| panic!("{changes:?}: {it}"))
}

#[test]
fn the_example_of_rfc_6455_is_answered_as_there() {
    let opening =
        opened(&[("Origin", "http://example.com"), ("Sec-WebSocket-Protocol", "chat, superchat")]);
    assert_eq!(opening.subprotocols(), ["chat", "superchat"]);
    assert_eq!(opening.origin(), Some("http://example.com"));
    assert_eq!(opening.host(), "chat.example");
    let (response, agreed) = opening.accept(opening.choose(&["chat"]), None);
    let headers = response.headers();
    assert_eq!(response.status(), 101);
    assert_eq!(headers["upgrade"], "websocket");
    assert_eq!(headers["connection"], "Upgrade");
    assert_eq!(headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    assert_eq!(headers.len(), 5 - 1);
    assert_eq!(agreed.subprotocol.as_deref(), Some("chat"));
}

#[test]
fn tokens_are_compared_without_case_and_among_others() {
    opened(&[("Upgrade", "WebSocket"), ("Connection", "keep-alive, upgrade")]);
    opened(&[("Upgrade", "h2c, foo/1.0,WEBSOCKET"), ("Connection", ",close ,, UPGRADE,")]);
    opened(&[("Connection", "keep-alive"), ("Connection", "Upgrade")]);
}

#[test]
fn the_rules_of_section_4_2_1_are_kept() {
    for (changes, rejection) in [
        (&[("Upgrade", "-")][..], Rejection::NotUpgrade),
        (&[("Upgrade", "h2c")], Rejection::NotUpgrade),
        (&[("Upgrade", "websocket/13")], Rejection::NotUpgrade),
        (&[("Upgrade", "websocket;x")], Rejection::Connection),
        (&[("Upgrade", "websocket h2c")], Rejection::Connection),
        (&[("Connection", "-")], Rejection::Connection),
        (&[("Connection", "keep-alive")], Rejection::Connection),
        (&[("Connection", "Upgrades")], Rejection::Connection),
        (&[("Connection", "Upgrade keep-alive")], Rejection::Connection),
        (&[("Host", "-")], Rejection::Host),
        (&[("Host", "a"), ("Host", "a")], Rejection::Host),
        (&[("Host", "")], Rejection::Host),
        (&[("Host", "a, b")], Rejection::Host),
        (&[("Host", "u@a")], Rejection::Host),
        (&[("Host", "a/b")], Rejection::Host),
        (&[("Host", "a:x")], Rejection::Host),
        (&[("Host", "a:99999")], Rejection::Host),
        (&[("Sec-WebSocket-Key", "-")], Rejection::Key),
        (&[("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY)], Rejection::Key),
        (&[("Sec-WebSocket-Key", "")], Rejection::Key),
        (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")], Rejection::Key),
        (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSE=")], Rejection::Key),
        (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j")], Rejection::Key),
        (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j!Q==")], Rejection::Key),
        (
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==")],
            Rejection::Key,
        ),
        (&[("Sec-WebSocket-Version", "-")], Rejection::Version),
        (&[("Sec-WebSocket-Version", "8")], Rejection::Version),
        (&[("Sec-WebSocket-Version", "013")], Rejection::Version),
        (&[("Sec-WebSocket-Version", "13, 8")], Rejection::Version),
        (
            &[("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")],
            Rejection::VersionTwice,
        ),
        (&[("Origin", "http://a"), ("Origin", "http://a")], Rejection::OriginMalformed),
        (&[("Origin", "http://\u{e9}")], Rejection::OriginMalformed),
        (&[("Sec-WebSocket-Protocol", "")], Rejection::Subprotocols),
        (&[("Sec-WebSocket-Protocol", "a b")], Rejection::Subprotocols),
        (&[("Sec-WebSocket-Protocol", "a, b, a")], Rejection::Subprotocols),
        (
            &[("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "a")],
            Rejection::Subprotocols,
        ),
        (&[("Sec-WebSocket-Protocol", "ZWS2.0/NULL,ZWS2.0")], Rejection::Subprotocols),
        (&[("Sec-WebSocket-Extensions", "")], Rejection::Extensions),
        (&[("Sec-WebSocket-Extensions", "foo; a=\"")], Rejection::Extensions),
    ] {
        refused(changes, rejection);
    }
}

#[test]
fn a_request_with_a_body_is_refused_so_that_nothing_can_be_smuggled() {
    refused(&[("Content-Length", "1")], Rejection::Body);
    refused(&[("Content-Length", "00")], Rejection::Body);
    refused(&[("Content-Length", "0"), ("Content-Length", "0")], Rejection::Body);
    refused(&[("Content-Length", "0, 0")], Rejection::Body);
    refused(&[("Content-Length", "+0")], Rejection::Body);
    refused(&[("Content-Length", "")], Rejection::Body);
    refused(&[("Transfer-Encoding", "chunked")], Rejection::Body);
    refused(&[("Transfer-Encoding", "identity")], Rejection::Body);
    refused(&[("Transfer-Encoding", "")], Rejection::Body);
    opened(&[("Content-Length", "0")]);
}

#[test]
fn other_methods_and_versions_are_refused() {
    for method in ["POST", "HEAD", "CONNECT", "get"] {
        let request = built(Request::builder().method(method).uri("/"), &VALID);
        assert_eq!(Opening::read(&request).unwrap_err(), Rejection::Method);
    }
    for version in [Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
        let request = built(Request::get("/").version(version), &VALID);
        assert_eq!(Opening::read(&request).unwrap_err(), Rejection::HttpVersion);
        assert!(!is_upgrade(&request));
    }
}

#[test]
fn ordinary_requests_are_told_from_upgrades() {
    assert!(is_upgrade(&changed(&[])));
    assert!(is_upgrade(&changed(&[("Connection", "-"), ("Sec-WebSocket-Key", "-")])));
    assert!(!is_upgrade(&changed(&[("Upgrade", "-")])));
    assert!(!is_upgrade(&changed(&[("Upgrade", "h2c")])));
    assert!(!is_upgrade(&changed(&[("Upgrade", "\"websocket\"")])));
}

#[test]
fn a_key_with_stray_bits_in_its_padding_is_accepted_as_it_is_written() {
    let opening = opened(&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZX==")]);
    let (response, _) = opening.accept(None, None);
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        accept_key("dGhlIHNhbXBsZSBub25jZX==").as_str()
    );
}

#[test]
fn an_absolute_target_counts_more_than_host() {
    let read = |uri| Opening::read(&built(Request::get(uri), &VALID));
    assert_eq!(read("http://other.example:81/chat").unwrap().host(), "other.example:81");
    assert_eq!(read("http://u@other.example/chat").unwrap_err(), Rejection::Host);
}

#[test]
fn the_first_of_the_clients_subprotocols_that_we_know_is_chosen() {
    let opening = opened(&[("Sec-WebSocket-Protocol", "c,b"), ("Sec-WebSocket-Protocol", "a")]);
    assert_eq!(opening.choose(&["a", "b"]), Some("b"));
    assert_eq!(opening.choose(&["A"]), None);
    assert_eq!(opening.choose(&[""; 0]), None);
}

#[test]
fn a_subprotocol_that_was_not_asked_for_is_left_out() {
    let (response, agreed) = opened(&[("Sec-WebSocket-Protocol", "a")]).accept(Some("b"), None);
    assert_eq!(agreed.subprotocol, None);
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
}

#[test]
fn libzmq_is_understood_by_the_lenient_grammar_alone() {
    let request =
        changed(&[("Sec-WebSocket-Protocol", "ZWS2.0/NULL,ZWS2.0"), ("Host", "127.0.0.1")]);
    let opening = Opening::read_by(&request, Grammar::LenientSubprotocols).unwrap();
    let (response, agreed) = opening.accept(opening.choose(&["ZWS2.0", "ZWS2.0/NULL"]), None);
    assert_eq!(agreed.subprotocol.as_deref(), Some("ZWS2.0/NULL"));
    assert_eq!(response.headers()["sec-websocket-protocol"], "ZWS2.0/NULL");
    let request = changed(&[("Sec-WebSocket-Protocol", "a b")]);
    let rejection = Opening::read_by(&request, Grammar::LenientSubprotocols).unwrap_err();
    assert_eq!(rejection, Rejection::Subprotocols);
}

#[test]
fn extensions_are_declined_without_deflate_and_when_unknown_or_bad() {
    let deflate = Deflate::default();
    for line in
        ["constructor, x-webkit-deflate-frame", "permessage-deflate; server_max_window_bits=99"]
    {
        let (response, agreed) =
            opened(&[("Sec-WebSocket-Extensions", line)]).accept(None, Some(&deflate));
        assert_eq!((response.status().as_u16(), agreed), (101, Agreed::default()));
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
    }
    let (response, agreed) =
        opened(&[("Sec-WebSocket-Extensions", "permessage-deflate")]).accept(None, None);
    assert_eq!(agreed.deflate, None);
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
}

#[test]
fn the_first_good_offer_of_deflate_is_answered() {
    let line = "permessage-deflate; foo=1, permessage-deflate; client_max_window_bits";
    let deflate = Deflate::default();
    let (response, agreed) =
        opened(&[("Sec-WebSocket-Extensions", line)]).accept(None, Some(&deflate));
    assert!(agreed.deflate.is_some());
    let answer = response.headers()["sec-websocket-extensions"].to_str().unwrap();
    assert!(answer.starts_with("permessage-deflate") && !answer.contains(','), "{answer}");
}

#[test]
fn pages_of_other_hosts_are_refused_by_default() {
    let judge = |headers: &[(&str, &str)]| {
        opened(headers).permitted_by(&Origins::default(), Arrival::Network)
    };
    let from = |origin| judge(&[("Origin", origin)]);
    assert_eq!(from("https://chat.example"), Ok(()));
    assert_eq!(from("https://evil.example"), Err(Rejection::Origin));
    assert_eq!(from("null"), Err(Rejection::Origin));
    assert_eq!(judge(&[]), Ok(()));
}

#[test]
fn a_page_that_bound_its_name_to_this_machine_is_refused() {
    let judge = |host: &str, more: &[(&str, &str)], origins: &Origins| {
        let origin = format!("http://{host}");
        let headers = [&[("Host", host), ("Origin", &origin)], more].concat();
        opened(&headers).permitted_by(origins, Arrival::Loopback)
    };
    let default = Origins::default();
    for near in ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "chat.localhost", "mybox:80"] {
        assert_eq!(judge(near, &[], &default), Ok(()), "{near}");
    }
    for far in ["evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example:8000"] {
        assert_eq!(judge(far, &[], &default), Err(Rejection::FarHost), "{far}");
        assert_eq!(judge(far, &[("X-Forwarded-For", "192.0.2.1")], &default), Ok(()));
        let named = Origins::default().allow(Origin::parse(&format!("http://{far}")).unwrap());
        assert_eq!(judge(far, &[], &named), Ok(()));
        assert_eq!(judge(far, &[], &Origins::Any), Ok(()));
    }
    let local = |it: &str| Arrival::at(it.parse().unwrap());
    assert_eq!((local("127.0.1.1"), local("::1")), (Arrival::Loopback, Arrival::Loopback));
    assert_eq!(
        (local("::ffff:127.0.0.1"), local("192.0.2.1")),
        (Arrival::Loopback, Arrival::Network)
    );
}

#[test]
fn a_rejection_says_what_to_do_and_closes() {
    for (rejection, status, headers) in [
        (Rejection::Method, 405, &[("allow", "GET"), ("connection", "close")][..]),
        (
            Rejection::Version,
            426,
            &[
                ("upgrade", "websocket"),
                ("connection", "Upgrade, close"),
                ("sec-websocket-version", "13"),
            ],
        ),
        (Rejection::NotUpgrade, 426, &[("upgrade", "websocket"), ("connection", "Upgrade, close")]),
        (Rejection::Origin, 403, &[("connection", "close")]),
        (Rejection::Body, 400, &[("connection", "close")]),
        (Rejection::Key, 400, &[("content-type", "text/plain; charset=utf-8")]),
    ] {
        let response = rejection.response();
        assert_eq!(response.status(), status);
        for (name, value) in headers {
            assert_eq!(response.headers()[*name], value);
        }
        assert!(!response.body().is_empty());
    }
}

#[test]
fn many_subprotocols_are_refused_and_cost_no_quadratic_time() {
    let line: Vec<_> = (0..=super::super::SUBPROTOCOLS_MAX).map(|it| it.to_string()).collect();
    refused(&[("Sec-WebSocket-Protocol", &line.join(","))], Rejection::Subprotocols);
    opened(&[("Sec-WebSocket-Protocol", &line[1..].join(","))]);
}
