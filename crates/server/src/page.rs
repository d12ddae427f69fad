//! Plain HTTP: the page at `/` with what belongs to it, and a short text everywhere else.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

/// Nothing comes from elsewhere and nothing is inline; `'self'` of `connect-src` covers ws and wss.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
    etag: u64,
}

const fn asset(path: &'static str, kind: &'static str, content: &'static str) -> Asset {
    Asset { path, kind, content, etag: fnv1a(content.as_bytes()) }
}

static ASSETS: [Asset; 4] = [
    asset("/", "text/html; charset=utf-8", include_str!("../page/page.html")),
    asset("/.taiwa/page.js", "text/javascript; charset=utf-8", include_str!("../page/page.js")),
    asset("/.taiwa/page.css", "text/css; charset=utf-8", include_str!("../page/page.css")),
    asset("/.taiwa/icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
];

/// Answers a request that is no opening handshake. `scheme` is `ws` or `wss`, for the text that says
/// how to connect.
pub(crate) fn answer<B>(request: &Request<B>, scheme: &str) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n".into());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    match ASSETS.iter().find(|it| it.path == path) {
        Some(asset) => page(asset, request.headers()),
        None => text(StatusCode::NOT_FOUND, directions(request, scheme)),
    }
}

fn page(asset: &'static Asset, request: &HeaderMap) -> Response<Full<Bytes>> {
    let etag = format!("\"{:016x}\"", asset.etag);
    let known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .any(|it| it.trim().trim_start_matches("W/") == etag);
    let (status, content) =
        if known { (StatusCode::NOT_MODIFIED, "") } else { (StatusCode::OK, asset.content) };
    let mut response = dressed(status, asset.kind, Bytes::from_static(content.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(etag).expect("hex digits in quotes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What to do at a path that has no page. The request's own words go into it only if they are harmless.
fn directions<B>(request: &Request<B>, scheme: &str) -> String {
    let path = request.uri().path();
    if path.starts_with(crate::RESERVED) {
        return "there is nothing here\n".into();
    }
    let host = request.headers().get(header::HOST).and_then(|it| it.to_str().ok());
    let is_host = |it: &&str| {
        it.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b)) && it.len() < 256
    };
    let url = format!("{scheme}://{}{path}", host.filter(is_host).unwrap_or("HOST"));
    format!(
        "{path} is a channel for WebSockets; there is no page here.\n\n\
         from a terminal:  taiwa connect '{url}'\n\
         from a browser:   new WebSocket({url:?})\n\
         the page:         /\n"
    )
}

fn text(status: StatusCode, content: String) -> Response<Full<Bytes>> {
    let mut response = dressed(status, "text/plain; charset=utf-8", content.into());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn dressed(status: StatusCode, kind: &'static str, content: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// FNV-1a: tells two versions of a page apart, nothing more.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> (Response<()>, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = answer(&request.body(()).unwrap(), "ws").into_parts();
        let mut body = std::pin::pin!(body.collect());
        let waker = std::task::Waker::noop();
        let std::task::Poll::Ready(Ok(body)) =
            body.as_mut().poll(&mut std::task::Context::from_waker(waker))
        else {
            panic!("a full body is ready");
        };
        (Response::from_parts(head, ()), String::from_utf8(body.to_bytes().into()).unwrap())
    }

    #[test]
    fn the_page_has_its_parts_and_nothing_from_elsewhere() {
        let (head, html) = ask("GET", "/", &[]);
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(head.headers()["content-security-policy"], POLICY);
        for asset in &ASSETS[1..] {
            assert!(html.contains(asset.path), "{} is not on the page", asset.path);
            assert_eq!(ask("GET", asset.path, &[]).1, asset.content);
        }
        for id in ["say", "send", "log", "state", "connections", "name"] {
            assert!(html.contains(&format!("id=\"{id}\"")), "no #{id}");
        }
        for foreign in ["https://", "http://", "<style", " style=", " onclick=", "innerHTML"] {
            for asset in ASSETS.iter().filter(|it| it.kind != "image/svg+xml") {
                assert!(!asset.content.contains(foreign), "{foreign} in {}", asset.path);
            }
        }
    }

    #[test]
    fn a_known_page_is_not_sent_again() {
        let (head, _) = ask("GET", "/", &[]);
        let etag = head.headers()["etag"].to_str().unwrap();
        let (again, body) = ask("GET", "/", &[("if-none-match", &format!("\"x\", W/{etag}"))]);
        assert_eq!((again.status(), body.as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(ask("GET", "/", &[("if-none-match", "\"x\"")]).0.status(), 200);
    }

    #[test]
    fn other_paths_say_how_to_connect() {
        let (head, text) = ask("GET", "/chat", &[("host", "localhost:8000")]);
        assert_eq!(head.status(), 404);
        assert_eq!(head.headers()["content-type"], "text/plain; charset=utf-8");
        assert!(text.contains("taiwa connect 'ws://localhost:8000/chat'"), "{text}");
        assert!(text.contains("new WebSocket(\"ws://localhost:8000/chat\")"), "{text}");
        let (_, text) = ask("GET", "/chat", &[("host", "<script>'")]);
        assert!(text.contains("ws://HOST/chat"), "{text}");
        assert_eq!(ask("GET", "/.taiwa/secret", &[]).0.status(), 404);
    }

    #[test]
    fn other_methods_are_refused() {
        let (head, _) = ask("POST", "/", &[]);
        assert_eq!(head.status(), 405);
        assert_eq!(head.headers()["allow"], "GET, HEAD");
    }
}
