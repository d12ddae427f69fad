//! Whose pages may speak to the server over plain HTTP: the same ones that may open a WebSocket.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use taiwa::{Addr, Origins};
use taiwa_proto::handshake::{Arrival, permit_request};

/// How long a browser may remember the answer to a preflight, in seconds: what Chromium allows at most.
const REMEMBERED: &str = "7200";

/// What is to be done with a request by its `Origin`.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It may be answered; these headers let the page read the answer.
    Pass(HeaderMap),
    /// It is a question whether another may be sent, and this is the answer.
    Preflight(HeaderMap),
    /// It is not answered. A page that may not read the answer must not cause anything either.
    Refused,
}

/// Judges a request that came to `local`.
pub(crate) fn judge<B>(request: &Request<B>, origins: &Origins, local: Option<&Addr>) -> Verdict {
    let arrival = local.and_then(Addr::ip).map_or(Arrival::Network, Arrival::at);
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return match is_near(request, origins, arrival) {
            true => Verdict::Pass(HeaderMap::new()),
            false => Verdict::Refused,
        };
    };
    if permit_request(request, origins, arrival).is_err() {
        return Verdict::Refused;
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if !matches!(origins, Origins::Any) {
        // Any page may ask then, but not in the name of whoever looks at it.
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() != Method::OPTIONS || !asks {
        return Verdict::Pass(headers);
    }
    let methods = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
    Verdict::Preflight(headers)
}

/// Tells whether a request without `Origin` comes from no page that had its own name resolve to this machine: browsers
/// leave it out where a page asks the host that it believes to be its own.
fn is_near<B>(request: &Request<B>, origins: &Origins, arrival: Arrival) -> bool {
    if arrival == Arrival::Network {
        return true;
    }
    let Some(host) = request.headers().get(header::HOST).and_then(|it| it.to_str().ok()) else {
        // Without a host no browser asks.
        return true;
    };
    // A list without one's own host is about pages; this may be a program.
    let listed = match origins {
        Origins::List(list) => &Origins::SameHostOr(list.clone()),
        _ => origins,
    };
    ["http", "https"].iter().any(|scheme| {
        let Ok(origin) = HeaderValue::try_from(format!("{scheme}://{host}")) else { return false };
        let mut asked = Request::new(());
        *asked.headers_mut() = request.headers().clone();
        asked.headers_mut().insert(header::ORIGIN, origin);
        permit_request(&asked, listed, arrival).is_ok()
    })
}

/// The answer to a page that may not ask.
pub(crate) fn refused<B: From<&'static str>>() -> Response<B> {
    let mut response = Response::new(B::from("pages of this origin may not use this server\n"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    #[test]
    fn only_pages_that_may_open_a_websocket_may_ask() {
        let listed = Origins::default().allow(taiwa::Origin::parse("https://app.example").unwrap());
        let loopback = Addr::Tcp("127.0.0.1:80".parse().unwrap());
        for (origins, local, host, origin, passes) in [
            (&Origins::default(), None, "chat.example", "https://chat.example", true),
            (&Origins::default(), None, "chat.example", "https://evil.example", false),
            (&Origins::default(), None, "chat.example", "null", false),
            (&listed, None, "chat.example", "https://app.example", true),
            (&Origins::default(), Some(&loopback), "localhost:80", "http://localhost:80", true),
            // The page has its own name resolve to this machine.
            (&Origins::default(), Some(&loopback), "evil.example", "http://evil.example", false),
        ] {
            let request = request(Method::POST, &[("host", host), ("origin", origin)]);
            let verdict = judge(&request, origins, local);
            match verdict {
                Verdict::Pass(headers) if passes => {
                    assert_eq!(headers["access-control-allow-origin"], origin);
                    assert_eq!(headers["vary"], "origin");
                }
                Verdict::Refused if !passes => {}
                other => panic!("{origin} at {host}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_request_without_origin_comes_from_no_page() {
        let loopback = Addr::Tcp("127.0.0.1:80".parse().unwrap());
        let named = Origins::default().allow(taiwa::Origin::parse("https://a.example").unwrap());
        for (origins, local, headers, passes) in [
            (&Origins::default(), None, &[("host", "a.example")][..], true),
            (&Origins::default(), Some(&loopback), &[], true),
            (&Origins::default(), Some(&loopback), &[("host", "localhost:8000")], true),
            (&Origins::default(), Some(&loopback), &[("host", "[::1]:8000")], true),
            // Unless the page had its own name resolve to this machine: to its own host a browser sends none.
            (&Origins::default(), Some(&loopback), &[("host", "a.example")], false),
            (&Origins::List(vec![]), Some(&loopback), &[("host", "a.example")], false),
            (&Origins::List(vec![]), Some(&loopback), &[("host", "localhost")], true),
            (&named, Some(&loopback), &[("host", "a.example")], true),
            (&Origins::Any, Some(&loopback), &[("host", "a.example")], true),
            // A proxy on the same machine says so.
            (
                &Origins::default(),
                Some(&loopback),
                &[("host", "a.example"), ("x-forwarded-for", "192.0.2.1")],
                true,
            ),
        ] {
            let verdict = judge(&request(Method::GET, headers), origins, local);
            let expected = match passes {
                true => Verdict::Pass(HeaderMap::new()),
                false => Verdict::Refused,
            };
            assert_eq!(verdict, expected, "{headers:?} with {origins:?}");
        }
    }

    #[test]
    fn where_any_page_may_ask_none_may_ask_in_the_name_of_who_looks_at_it() {
        let request = request(Method::GET, &[("host", "x"), ("origin", "https://evil.example")]);
        let Verdict::Pass(headers) = judge(&request, &Origins::Any, None) else {
            panic!("any page may ask");
        };
        assert_eq!(headers["access-control-allow-origin"], "https://evil.example");
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn a_preflight_is_answered_with_what_was_asked() {
        let asked = [
            ("host", "a.example"),
            ("origin", "https://a.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-own"),
        ];
        let verdict = judge(&request(Method::OPTIONS, &asked), &Origins::default(), None);
        let Verdict::Preflight(headers) = verdict else { panic!("{verdict:?}") };
        assert_eq!(headers["access-control-allow-headers"], "content-type,x-own");
    }
}
