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
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return Verdict::Pass(HeaderMap::new());
    };
    let arrival = local.and_then(Addr::ip).map_or(Arrival::Network, Arrival::at);
    if permit_request(request, origins, arrival).is_err() {
        return Verdict::Refused;
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
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
        let request = request(Method::POST, &[("host", "x")]);
        assert_eq!(judge(&request, &Origins::default(), None), Verdict::Pass(HeaderMap::new()));
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
