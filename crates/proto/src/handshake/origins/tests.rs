//! Origins against hosts and lists.

use super::*;

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap_or_else(|| panic!("{text} is an origin"))
}

#[track_caller]
fn check(origins: &Origins, origin: &str, host: &str, expected: bool) {
    assert_eq!(origins.permit(Some(origin), host), expected, "{origins:?}: {origin} at {host}");
}

#[test]
fn the_default_lets_in_pages_of_the_same_host_and_port() {
    for (origin, host, expected) in [
        ("http://a.example", "a.example", true),
        ("https://a.example", "a.example", true),
        ("HTTPS://A.Example", "a.eXample", true),
        ("http://a.example", "a.example:80", true),
        ("http://a.example:80", "a.example", true),
        ("https://a.example", "a.example:443", true),
        ("https://a.example:443", "a.example", true),
        ("http://a.example:8000", "a.example:8000", true),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", true),
        ("http://[::1]:8000", "[::1]:8000", true),
        ("http://[::1]", "[::1]", true),
        ("http://a.example", "a.example:", true),
        ("http://a.example", "a.example:443", false),
        ("https://a.example", "a.example:80", false),
        ("http://a.example:8000", "a.example", false),
        ("http://a.example", "a.example:8000", false),
        ("http://a.example:8001", "a.example:8000", false),
        ("http://b.example", "a.example", false),
        ("http://a.example.evil", "a.example", false),
        ("http://evil-a.example", "a.example", false),
        ("http://sub.a.example", "a.example", false),
        ("http://localhost:8000", "127.0.0.1:8000", false),
        ("null", "a.example", false),
        ("null", "null", false),
        ("", "a.example", false),
        ("a.example", "a.example", false),
        ("http://a.example/", "a.example", false),
        ("http://evil@a.example", "a.example", false),
        ("http://evil.example http://a.example", "a.example", false),
        ("http://a.example, http://evil.example", "a.example", false),
        ("file://a.example", "a.example", false),
        ("chrome-extension://abcdef", "abcdef", false),
        ("http://a.example", "", false),
        ("http://", "", false),
    ] {
        check(&Origins::default(), origin, host, expected);
    }
}

#[test]
fn a_request_without_origin_is_let_in_by_every_policy() {
    for origins in [Origins::SameHost, Origins::Any, Origins::List(Vec::new())] {
        assert!(origins.permit(None, "a.example"));
    }
}

#[test]
fn a_list_lets_in_its_origins_and_no_other() {
    let list =
        Origins::List(vec![origin("https://app.example")]).allow(origin("tauri://localhost"));
    check(&list, "https://app.example", "a.example", true);
    check(&list, "https://APP.example:443", "a.example", true);
    check(&list, "tauri://localhost", "a.example", true);
    check(&list, "http://app.example", "a.example", false);
    check(&list, "https://app.example:8443", "a.example", false);
    check(&list, "https://a.example", "a.example", false);
    check(&list, "null", "a.example", false);
}

#[test]
fn what_is_allowed_comes_on_top_of_the_same_host() {
    let both = Origins::default().allow(origin("https://app.example")).allow(origin("http://b:81"));
    check(&both, "https://app.example", "a.example", true);
    check(&both, "http://b:81", "a.example", true);
    check(&both, "http://a.example", "a.example", true);
    check(&both, "http://b", "a.example", false);
}

#[test]
fn a_star_stands_for_all_that_lies_below_and_for_nothing_else() {
    let list = Origins::List(vec![
        origin("https://*.A.example"),
        origin("http://*.b.example:8000"),
        origin("tauri://*.local"),
    ]);
    for (origin, expected) in [
        ("https://x.a.example", true),
        ("https://X.Y.a.EXAMPLE:443", true),
        ("https://a.example", false),
        ("https://.a.example", false),
        ("https://xa.example", false),
        ("https://x.a.example.evil", false),
        ("http://x.a.example", false),
        ("https://x.a.example:8443", false),
        ("https://evil.example/x.a.example", false),
        ("https://evil@x.a.example", false),
        ("http://x.b.example:8000", true),
        ("http://x.b.example", false),
        ("tauri://app.local", true),
        ("null", false),
    ] {
        check(&list, origin, "c.example", expected);
        assert_eq!(list.names(origin), expected, "{origin}");
    }
    // Of these none names a parent; they stand for themselves at the most.
    for odd in ["https://*", "https://*.", "https://*..example", "https://a.*.example"] {
        let list = Origins::List(vec![origin(odd)]);
        for other in
            ["https://evil.example", "https://evil.", "https://evil", "https://a.b.example"]
        {
            check(&list, other, "c.example", false);
        }
    }
    // In a request it is a name like any other.
    check(&Origins::List(vec![origin("https://x.a.example")]), "https://*.a.example", "c", false);
}

#[test]
fn any_lets_in_all_pages_even_null() {
    check(&Origins::Any.allow(origin("http://b")), "null", "a.example", true);
    check(&Origins::Any, "https://evil.example", "a.example", true);
}

#[test]
fn hosts_are_split_from_their_ports() {
    for (text, expected) in [
        ("a", Some(("a", None))),
        ("a:1", Some(("a", Some(1)))),
        ("a:65535", Some(("a", Some(65535)))),
        ("[::1]:1", Some(("[::1]", Some(1)))),
        ("a:65536", None),
        ("a:+1", None),
        ("a:1:2", None),
        ("::1", None),
        ("[::1", None),
        ("[::1]1", None),
        ("[]", None),
        ("[a]", None),
        (":1", None),
        ("a b", None),
        ("a/b", None),
        ("u@a", None),
        ("\u{e9}", None),
    ] {
        assert_eq!(split_host(text), expected, "{text}");
    }
}
