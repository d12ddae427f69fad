//! The client's half of the opening handshake by extended CONNECT, over HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220).

use http::uri::{Parts, PathAndQuery, Scheme};
use http::{HeaderName, Method, Request, Response, Uri, Version};

use super::super::Agreed;
use super::{HandshakeFault, HandshakeMisuse, Pending, Wish, host_of, target};

impl Wish<'_> {
    /// Makes an extended CONNECT (RFC 8441 §4, §5; RFC 9220 §3), whose URI has `:scheme`, `:authority` and `:path`, and
    /// what its response is checked against. Its `:protocol` is `websocket`, which `http` has no place for; its
    /// [`version`](Request::version) is the one given, HTTP/2 or HTTP/3. The nonce is not used.
    ///
    /// What concerns a connection of HTTP/1.1 (`Keep-Alive`, `Proxy-Connection`) is left out of the headers.
    ///
    /// ```
    /// use http::{Response, Version};
    /// use taiwa_proto::handshake::{Wish, parse_uri};
    /// let uri = parse_uri("wss://chat.example/room?id=7").unwrap();
    /// let (request, pending) = Wish::new(&uri, [0; 16]).connect_request(Version::HTTP_2).unwrap();
    /// assert_eq!(request.method(), "CONNECT");
    /// assert_eq!(request.uri(), "https://chat.example/room?id=7");
    /// assert_eq!(request.headers().len(), 1); // Sec-WebSocket-Version
    /// let response = Response::builder().version(Version::HTTP_2).status(200).body(()).unwrap();
    /// assert!(pending.verify(&response).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); [`HandshakeMisuse::HttpVersion`] if the version has no extended CONNECT.
    pub fn connect_request(
        mut self,
        version: Version,
    ) -> Result<(Request<()>, Pending), HandshakeMisuse> {
        if version < Version::HTTP_2 {
            return Err(HandshakeMisuse::HttpVersion);
        }
        let uri = connect_uri(self.uri)?;
        self.check()?;
        // RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header
        // fields. This includes the Connection header field and those listed as having connection-specific semantics".
        for name in ["keep-alive", "proxy-connection"] {
            self.headers.remove(HeaderName::from_static(name));
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        let pending = self.finish(request.headers_mut(), None)?;
        Ok((request, pending))
    }
}

impl Pending {
    pub(super) fn verify_connect<B>(
        &self,
        response: &Response<B>,
    ) -> Result<Agreed, HandshakeFault> {
        // RFC 9110 §9.3.6: "Any 2xx (Successful) response indicates that the sender [...] will switch to tunnel mode".
        if !response.status().is_success() {
            return Err(HandshakeFault::Refused(response.status()));
        }
        if response.version() < Version::HTTP_2 {
            return Err(HandshakeFault::HttpVersion);
        }
        self.read_answer(response.headers())
    }
}

/// RFC 8441 §5: "The scheme of the target URI [RFC7230] MUST be "https" for "wss"-schemed WebSockets and "http" for
/// "ws"-schemed WebSockets."
fn connect_uri(uri: &Uri) -> Result<Uri, HandshakeMisuse> {
    let is_tls = uri.scheme_str().is_some_and(|it| it.eq_ignore_ascii_case("wss"));
    let mut parts = Parts::default();
    parts.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(host_of(uri)?.parse().map_err(|_| HandshakeMisuse::Uri)?);
    let target = target(uri)?;
    let path = target.path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| HandshakeMisuse::Uri)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::deflate::Deflate;
    use crate::handshake::{Opening, parse_uri};

    #[track_caller]
    fn check_uri(text: &str, asked: &str) {
        let uri = parse_uri(text).unwrap();
        let (request, _) = Wish::new(&uri, [0; 16]).connect_request(Version::HTTP_2).unwrap();
        assert_eq!(request.uri().to_string(), asked, "{text}");
    }

    #[test]
    fn scheme_host_and_target_are_taken_from_the_uri() {
        check_uri("wss://a.example", "https://a.example/");
        check_uri("wss://a.example:443/x?y", "https://a.example/x?y");
        check_uri("WSS://u:p@a.example:8443?z", "https://a.example:8443/?z");
        check_uri("ws://[::1]:8000/x", "http://[::1]:8000/x");
        check_uri("ws://a.example/\u{e9}", "http://a.example/%C3%A9");
    }

    #[test]
    fn a_server_reads_what_a_client_asks_and_both_agree() {
        let uri = parse_uri("wss://u:p@a.example/chat").unwrap();
        let (subprotocols, deflate) = (["b".to_owned(), "a".to_owned()], Deflate::default());
        for version in [Version::HTTP_2, Version::HTTP_3] {
            let mut headers = HeaderMap::new();
            headers.insert("origin", "https://a.example".parse().unwrap());
            headers.insert("keep-alive", "timeout=5".parse().unwrap());
            headers.insert("proxy-connection", "keep-alive".parse().unwrap());
            let wish = Wish {
                subprotocols: &subprotocols,
                deflate: Some(&deflate),
                headers,
                ..Wish::new(&uri, [0; 16])
            };
            let (request, pending) = wish.connect_request(version).unwrap();
            assert_eq!(request.version(), version);
            assert_eq!(request.headers()["authorization"], "Basic dTpw");
            let mut names: Vec<_> = request.headers().keys().map(|it| it.as_str()).collect();
            names.sort_unstable();
            let expected = [
                "authorization",
                "origin",
                "sec-websocket-extensions",
                "sec-websocket-protocol",
                "sec-websocket-version",
            ];
            assert_eq!(names, expected, "and nothing of HTTP/1.1's handshake");
            let opening = Opening::read_connect(&request, "websocket").unwrap();
            let (mut response, agreed) = opening.accept(Some("a"), Some(&deflate));
            *response.version_mut() = version;
            let read = pending.verify(&response).unwrap();
            assert_eq!(read.subprotocol.as_deref(), Some("a"));
            assert_eq!((&read.subprotocol, read.deflate.is_some()), (&agreed.subprotocol, true));
        }
    }

    #[track_caller]
    fn check_answer(status: u16, version: Version, header: Option<(&str, &str)>) -> HandshakeFault {
        let uri = parse_uri("wss://a.example/").unwrap();
        let (_, pending) = Wish::new(&uri, [0; 16]).connect_request(Version::HTTP_2).unwrap();
        let mut response = Response::builder().status(status).version(version);
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        pending.verify(&response.body(()).unwrap()).expect_err("it opens no WebSocket")
    }

    #[test]
    fn a_response_that_breaks_a_rule_opens_nothing() {
        for status in [101_u16, 302, 404, 501] {
            let fault = check_answer(status, Version::HTTP_2, None);
            assert_eq!(fault, HandshakeFault::Refused(status.try_into().unwrap()));
        }
        let fault = check_answer(200, Version::HTTP_11, None);
        assert_eq!(fault, HandshakeFault::HttpVersion);
        let chosen = Some(("sec-websocket-protocol", "x"));
        let fault = check_answer(200, Version::HTTP_3, chosen);
        assert_eq!(fault, HandshakeFault::SubprotocolNotOffered);
        let chosen = Some(("sec-websocket-extensions", "permessage-deflate"));
        let fault = check_answer(201, Version::HTTP_2, chosen);
        assert_eq!(fault, HandshakeFault::ExtensionNotOffered);
    }

    #[test]
    fn any_2xx_opens_and_a_key_is_not_asked_back() {
        let uri = parse_uri("ws://a.example/").unwrap();
        let (_, pending) = Wish::new(&uri, [0; 16]).connect_request(Version::HTTP_3).unwrap();
        for status in [200, 201, 204] {
            let response = Response::builder()
                .status(status)
                .version(Version::HTTP_3)
                .header("sec-websocket-accept", "nonsense");
            assert_eq!(pending.verify(&response.body(()).unwrap()), Ok(Agreed::default()));
        }
    }

    #[test]
    fn what_can_not_be_asked_over_http_1_can_not_be_asked_so_either() {
        let uri = parse_uri("wss://a.example/").unwrap();
        let wish = || Wish::new(&uri, [0; 16]);
        let misuse = wish().connect_request(Version::HTTP_11).unwrap_err();
        assert_eq!(misuse, HandshakeMisuse::HttpVersion);
        let subprotocols = ["a b".to_owned()];
        let asked = Wish { subprotocols: &subprotocols, ..wish() }.connect_request(Version::HTTP_2);
        assert_eq!(asked.unwrap_err(), HandshakeMisuse::Subprotocol("a b".to_owned()));
        for name in ["host", "connection", "upgrade", "te", "sec-websocket-key", "content-length"] {
            let name = HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name.clone(), "1".parse().unwrap())]);
            let asked = Wish { headers, ..wish() }.connect_request(Version::HTTP_2);
            assert_eq!(asked.unwrap_err(), HandshakeMisuse::ReservedHeader(name));
        }
    }
}
