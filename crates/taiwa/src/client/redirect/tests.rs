//! Where redirects lead to, row by row.

use http::HeaderValue;

use super::*;

/// `to` is `None` where there is no WebSocket.
#[track_caller]
fn check(base: &str, location: &str, to: Option<&str>) {
    let uri = resolve(&parse_uri(base).unwrap(), location);
    assert_eq!(uri.map(|it| it.to_string()).as_deref(), to, "{location:?} at {base}");
}

#[test]
fn references_are_resolved_as_rfc_3986_says() {
    const BASE: &str = "ws://a.example/b/c/d?q";
    for (location, to) in [
        ("ws://b.example/x?y", "ws://b.example/x?y"),
        ("wss://b.example:8443/x", "wss://b.example:8443/x"),
        ("http://b.example/x", "ws://b.example/x"),
        ("HTTPS://b.example/x", "wss://b.example/x"),
        ("//b.example/x", "ws://b.example/x"),
        ("//b.example", "ws://b.example/"),
        ("http://[::1]:8000/", "ws://[::1]:8000/"),
        ("http://eve:pw@b.example/", "ws://b.example/"),
        ("http://a.example:1@b.example/", "ws://b.example/"),
        // RFC 3986 §5.4
        ("g", "ws://a.example/b/c/g"),
        ("./g", "ws://a.example/b/c/g"),
        ("g/", "ws://a.example/b/c/g/"),
        ("/g", "ws://a.example/g"),
        ("?y", "ws://a.example/b/c/d?y"),
        ("g?y", "ws://a.example/b/c/g?y"),
        ("", "ws://a.example/b/c/d?q"),
        (".", "ws://a.example/b/c/"),
        ("./", "ws://a.example/b/c/"),
        ("..", "ws://a.example/b/"),
        ("../g", "ws://a.example/b/g"),
        ("../..", "ws://a.example/"),
        ("../../../g", "ws://a.example/g"),
        ("/./g", "ws://a.example/g"),
        ("/../g", "ws://a.example/g"),
        ("g.", "ws://a.example/b/c/g."),
        ("..g", "ws://a.example/b/c/..g"),
        ("./g/.", "ws://a.example/b/c/g/"),
        ("g/../h", "ws://a.example/b/c/h"),
        ("g?y/../x", "ws://a.example/b/c/g?y/../x"),
        // A colon behind a slash ends no scheme.
        ("./a:b", "ws://a.example/b/c/a:b"),
        ("/next?to=http://x", "ws://a.example/next?to=http://x"),
    ] {
        check(BASE, location, Some(to));
    }
    check("wss://a.example", "x", Some("wss://a.example/x"));
    check("wss://a.example?q", "?r", Some("wss://a.example/?r"));
    check("wss://me:pw@a.example/x", "y", Some("wss://a.example/y"));
}

#[test]
fn what_is_no_websocket_url_is_none() {
    for location in [
        "ftp://b.example/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "mailto:a@b.example",
        "a:b",
        "http:",
        "http:x",
        "http:/x",
        "http://",
        "http:///x",
        "http://b.example:port/",
        "http://b.example:65536/",
        "http://b.example/#top",
        "#top",
        "/x#top",
        "/a b",
        "http://b.example\\@a.example/",
        "http://[::1/",
    ] {
        check("ws://a.example/b/c/d?q", location, None);
    }
}

fn hop(url: &str) -> Hop {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer 1"));
    headers.insert(COOKIE, HeaderValue::from_static("a=b"));
    headers.insert(PROXY_AUTHORIZATION, HeaderValue::from_static("Basic x"));
    headers.insert("x-plain", HeaderValue::from_static("plain"));
    let mut secret = HeaderValue::from_static("secret");
    secret.set_sensitive(true);
    headers.insert("x-secret", secret);
    Hop::first(parse_uri(url).unwrap(), headers)
}

fn redirect(status: u16, locations: &[&str]) -> Response<()> {
    let mut response = Response::builder().status(status);
    for location in locations {
        response = response.header("location", *location);
    }
    response.body(()).unwrap()
}

#[test]
fn credentials_stay_with_the_origin() {
    for (from, to, stay) in [
        ("ws://me:pw@a.example/x", "/y", true),
        ("ws://me:pw@a.example/x", "http://a.example:80/y", true),
        ("ws://me:pw@a.example/x", "ws://A.EXAMPLE/y", true),
        ("ws://me:pw@a.example/x", "ws://eve:x@a.example/y", true),
        ("wss://me:pw@a.example/x", "https://a.example:443/y", true),
        ("ws://me:pw@a.example/x", "ws://a.example:81/y", false),
        ("ws://me:pw@a.example/x", "wss://a.example/y", false),
        ("ws://me:pw@a.example:443/x", "wss://a.example:443/y", false),
        ("ws://me:pw@a.example/x", "ws://b.example/y", false),
        ("ws://me:pw@a.example/x", "ws://a.example.b.example/y", false),
        ("ws://me:pw@a.example/x", "ws://sub.a.example/y", false),
        ("ws://me:pw@a.example/x", "ws://a.example./y", false),
        ("ws://me:pw@127.0.0.1/x", "ws://localhost/y", false),
    ] {
        let next = hop(from).redirected_by(&redirect(307, &[to])).unwrap().unwrap();
        let names: Vec<_> = next.headers.keys().map(|it| it.as_str()).collect();
        if stay {
            assert_eq!(names.len(), 5, "{from} to {to}: {names:?}");
            assert!(next.uri.to_string().contains("//me:pw@"), "{from} to {to}: {}", next.uri);
        } else {
            assert_eq!(names, ["x-plain"], "{from} to {to}");
            assert!(!next.uri.to_string().contains('@'), "{from} to {to}: {}", next.uri);
        }
        assert_eq!(next.standing == Standing::Home, stay, "{from} to {to}");
        assert!(!next.final_url().0.to_string().contains('@'));
    }
}

#[test]
fn credentials_that_were_left_behind_do_not_come_back() {
    let there = hop("ws://me:pw@a.example/").redirected_by(&redirect(302, &["//b.example/"]));
    let back = there.unwrap().unwrap().redirected_by(&redirect(302, &["//a.example/"]));
    let back = back.unwrap().unwrap();
    assert_eq!((back.uri.to_string().as_str(), back.headers.len()), ("ws://a.example/", 1));
    assert_eq!(back.standing, Standing::Stranger);
}

#[test]
fn only_what_redirects_does() {
    for status in [200, 300, 304, 305, 306, 309, 401, 503] {
        assert!(
            hop("ws://a.example/").redirected_by(&redirect(status, &["/x"])).unwrap().is_none()
        );
    }
    for status in [301, 302, 303, 307, 308] {
        let at = |url, locations: &[&str]| hop(url).redirected_by(&redirect(status, locations));
        assert!(at("ws://a.example/", &["/x"]).unwrap().is_some());
        assert!(at("ws://a.example/", &[]).unwrap().is_none());
        for (url, locations, fault) in [
            ("ws://a.example/", &["/x", "/x"][..], RedirectFault::Location),
            ("ws://a.example/", &["ftp://a.example/"], RedirectFault::Location),
            ("wss://a.example/", &["ws://a.example/"], RedirectFault::Downgrade),
            ("wss://a.example/", &["http://b.example/"], RedirectFault::Downgrade),
            ("WSS://a.example/", &["HTTP://a.example:443/"], RedirectFault::Downgrade),
        ] {
            assert_eq!(at(url, locations).err(), Some(fault), "{url} to {locations:?}");
        }
    }
}

#[test]
fn whatever_a_location_says_the_next_url_is_as_strict_as_the_first() {
    const PARTS: [&str; 24] = [
        "ws",
        "wss",
        "http",
        "https",
        "://",
        "//",
        "/",
        "\\",
        ":",
        "@",
        "?",
        "#",
        "..",
        ".",
        "%2e",
        "%00",
        "[::1]",
        "[",
        "]",
        "a.example",
        "eve",
        "80",
        "99999",
        "\u{e9}",
    ];
    let base = hop("wss://me:pw@a.example:8443/b/c?d");
    let (mut seed, mut followed) = (1_u64, 0);
    for _ in 0..50_000 {
        let mut location = String::new();
        for _ in 0..seed % 8 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            location.push_str(PARTS[(seed >> 33) as usize % PARTS.len()]);
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed >> 40 | 1);
        let mut response = redirect(302, &[]);
        let Ok(value) = HeaderValue::from_bytes(location.as_bytes()) else { continue };
        response.headers_mut().insert(LOCATION, value);
        let Ok(Some(next)) = base.redirected_by(&response) else { continue };
        followed += 1;
        let text = next.uri.to_string();
        assert_eq!(parse_uri(&text).as_ref(), Ok(&next.uri), "{location:?}");
        assert_eq!(next.uri.scheme_str(), Some("wss"), "{location:?}");
        assert!(next.uri.path().split('/').all(|it| it != "." && it != ".."), "{location:?}");
        let is_home = text.starts_with("wss://me:pw@a.example:8443/");
        assert_eq!(next.standing == Standing::Home, is_home, "{location:?} became {text}");
        assert_eq!(next.headers.contains_key(AUTHORIZATION), is_home, "{location:?} became {text}");
        assert!(is_home || !text.split(['?', '/']).nth(2).unwrap().contains('@'), "{text}");
    }
    assert!(followed > 5_000, "{followed} of 50,000 were followed");
}
