//! The server's half of the opening handshake by extended CONNECT, over HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220).

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Version};

use super::super::negotiation::only;
use super::super::origins::split_host;
use super::super::{Grammar, Offer, Rejection};
use super::{Opening, is_forwarded, read_key, read_origin, read_version};

impl Opening {
    /// Reads an extended CONNECT by the rules of RFC 8441 §4 and §5, which RFC 9220 §3 has for HTTP/3, too. `protocol` is the
    /// value of `:protocol`, which `http` has no place for.
    ///
    /// It needs no `Sec-WebSocket-Key`, and [`accept`](Self::accept) answers it with status 200.
    ///
    /// ```
    /// use http::{Request, Version};
    /// use taiwa_proto::handshake::Opening;
    /// let request = Request::connect("https://chat.example/chat?a=b")
    ///     .version(Version::HTTP_2)
    ///     .header("sec-websocket-version", "13")
    ///     .header("sec-websocket-protocol", "v2.json, v1.json")
    ///     .body(())
    ///     .unwrap();
    /// let opening = Opening::read_connect(&request, "websocket").unwrap();
    /// assert_eq!(opening.host(), "chat.example");
    /// let (response, agreed) = opening.accept(opening.choose(&["v1.json"]), None);
    /// assert_eq!(response.status(), 200);
    /// assert_eq!(response.headers().len(), 1);
    /// assert_eq!(agreed.subprotocol.as_deref(), Some("v1.json"));
    /// ```
    ///
    /// # Errors
    ///
    /// A [`Rejection`], whose [`response_over`](Rejection::response_over) is to be sent on the request's stream, which ends
    /// with it; the connection goes on. `Origin` is not judged here: see [`Opening::permitted_by`].
    pub fn read_connect<B>(request: &Request<B>, protocol: &str) -> Result<Self, Rejection> {
        Self::read_connect_by(request, protocol, Grammar::Strict)
    }

    /// Reads an extended CONNECT as [`Opening::read_connect`] does, with subprotocols by `grammar`.
    ///
    /// # Errors
    ///
    /// As [`Opening::read_connect`].
    pub fn read_connect_by<B>(
        request: &Request<B>,
        protocol: &str,
        grammar: Grammar,
    ) -> Result<Self, Rejection> {
        let headers = request.headers();
        if request.version() < Version::HTTP_2 {
            return Err(Rejection::HttpVersion);
        }
        if request.method() != Method::CONNECT {
            return Err(Rejection::Method);
        }
        // RFC 9220 §3: "If a server [...] receives an Extended CONNECT request with a ":protocol" value that is unknown
        // or is not supported, the server SHOULD respond to the request with a 501 (Not Implemented) status code".
        if protocol != "websocket" {
            return Err(Rejection::Protocol);
        }
        // RFC 8441 §5: "the use of Connection and Upgrade header fields that are not part of HTTP/2. They MUST NOT be
        // included in the CONNECT request defined here."
        if headers.contains_key(CONNECTION) || headers.contains_key(UPGRADE) {
            return Err(Rejection::Connection);
        }
        // What announces a length would make the first frame behind it malformed (RFC 9113 §8.1.1).
        if headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING) {
            return Err(Rejection::Body);
        }
        // RFC 8441 §4: "the :scheme and :path pseudo-header fields of the target URI [...] MUST also be included";
        // §5 has the scheme "https" for wss and "http" for ws.
        let uri = request.uri();
        if !matches!(uri.scheme_str(), Some("http" | "https")) || !uri.path().starts_with('/') {
            return Err(Rejection::Target);
        }
        read_version(headers)?;
        Ok(Self {
            is_connect: true,
            // RFC 8441 §5: "that functionality has been superseded by the :protocol pseudo-header field". There are clients
            // that send a key all the same and wait for its answer (PyPI niquests); to all others nothing is said.
            key: read_key(headers).ok(),
            host: authority(uri, headers)?,
            origin: read_origin(headers)?,
            is_forwarded: is_forwarded(headers),
            offer: Offer::read(headers, grammar)?,
        })
    }
}

/// RFC 8441 §5: "The Host information is conveyed as part of the :authority pseudo-header field".
fn authority(uri: &http::Uri, headers: &HeaderMap) -> Result<String, Rejection> {
    let authority = uri.authority().ok_or(Rejection::Host)?.as_str();
    split_host(authority).ok_or(Rejection::Host)?;
    // RFC 9113 §8.3.1: "A server SHOULD treat a request as malformed if it contains a Host header field that identifies
    // an entity that differs from the entity in the ":authority" pseudo-header field."
    let names_it = |host: &[u8]| host.eq_ignore_ascii_case(authority.as_bytes());
    if headers.contains_key(HOST) && !only(headers, &HOST).is_some_and(names_it) {
        return Err(Rejection::Host);
    }
    Ok(authority.to_owned())
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;
    use crate::deflate::Deflate;
    use crate::handshake::{Agreed, Arrival, Origins};

    const URI: &str = "https://chat.example:8443/chat?room=1";

    /// An extended CONNECT with these headers besides the version of RFC 6455.
    fn connect(uri: &str, version: Version, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::connect(uri).version(version);
        if headers.iter().all(|(name, _)| *name != "sec-websocket-version") {
            request = request.header("sec-websocket-version", "13");
        }
        for (name, value) in headers.iter().filter(|(_, value)| *value != "-") {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[track_caller]
    fn opened(headers: &[(&str, &str)]) -> Opening {
        let request = connect(URI, Version::HTTP_2, headers);
        Opening::read_connect(&request, "websocket")
            .unwrap_or_else(|it| panic!("{headers:?}: {it}"))
    }

    fn accepted(opening: &Opening) -> (Response<()>, Agreed) {
        opening.accept(opening.choose(&["chat"]), Some(&Deflate::default()))
    }

    #[test]
    fn it_is_accepted_with_200_and_negotiates_as_over_http_1() {
        for version in [Version::HTTP_2, Version::HTTP_3] {
            let headers = [
                ("origin", "https://chat.example:8443"),
                ("sec-websocket-protocol", "superchat, chat"),
                ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
            ];
            let request = connect(URI, version, &headers);
            let opening = Opening::read_connect(&request, "websocket").unwrap();
            assert_eq!(opening.host(), "chat.example:8443");
            assert_eq!(opening.origin(), Some("https://chat.example:8443"));
            assert_eq!(opening.subprotocols(), ["superchat", "chat"]);
            opening.permitted_by(&Origins::SameHost, Arrival::Network).unwrap();
            let (response, agreed) = accepted(&opening);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
            assert!(response.headers().contains_key("sec-websocket-extensions"));
            assert_eq!(response.headers().len(), 2, "and nothing of HTTP/1.1's handshake");
            assert_eq!(agreed.subprotocol.as_deref(), Some("chat"));
            assert!(agreed.deflate.is_some());
        }
    }

    #[test]
    fn a_key_is_not_asked_for_and_answered_all_the_same() {
        for (headers, accept) in [
            (
                &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")][..],
                Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ),
            (&[("sec-websocket-key", "nonsense")], None),
            (&[], None),
        ] {
            let (response, _) = accepted(&opened(headers));
            assert_eq!(response.status(), 200);
            let found = response.headers().get("sec-websocket-accept");
            assert_eq!(found.map(|it| it.to_str().unwrap()), accept);
            assert_eq!(response.headers().len(), usize::from(accept.is_some()));
        }
    }

    #[test]
    fn the_rules_of_rfc_8441_are_kept() {
        for (headers, rejection) in [
            (&[("connection", "Upgrade")][..], Rejection::Connection),
            (&[("upgrade", "websocket")], Rejection::Connection),
            (&[("content-length", "0")], Rejection::Body),
            (&[("content-length", "5")], Rejection::Body),
            (&[("transfer-encoding", "chunked")], Rejection::Body),
            (&[("sec-websocket-version", "-")], Rejection::Version),
            (&[("sec-websocket-version", "8")], Rejection::Version),
            (
                &[("sec-websocket-version", "13"), ("sec-websocket-version", "13")],
                Rejection::VersionTwice,
            ),
            (&[("host", "elsewhere.example")], Rejection::Host),
            (&[("host", "chat.example:8443"), ("host", "chat.example:8443")], Rejection::Host),
            (&[("origin", "http://a"), ("origin", "http://a")], Rejection::OriginMalformed),
            (&[("sec-websocket-protocol", "a, b, a")], Rejection::Subprotocols),
            (&[("sec-websocket-extensions", "foo; a=\"")], Rejection::Extensions),
        ] {
            let request = connect(URI, Version::HTTP_2, headers);
            let refused = Opening::read_connect(&request, "websocket").unwrap_err();
            assert_eq!(refused, rejection, "{headers:?}");
        }
        opened(&[("host", "Chat.example:8443")]);
    }

    #[test]
    fn target_method_version_and_protocol_are_what_they_must_be() {
        #[track_caller]
        fn check(request: &Request<()>, protocol: &str, rejection: Rejection) {
            assert_eq!(Opening::read_connect(request, protocol).unwrap_err(), rejection);
        }
        let fine = connect(URI, Version::HTTP_2, &[]);
        for protocol in ["", "WebSocket", "webtransport", "connect-udp", "websocket "] {
            check(&fine, protocol, Rejection::Protocol);
        }
        check(&connect(URI, Version::HTTP_11, &[]), "websocket", Rejection::HttpVersion);
        let mut get = fine.clone();
        *get.method_mut() = Method::GET;
        check(&get, "websocket", Rejection::Method);
        for target in ["chat.example:443", "/chat", "wss://chat.example/", "ftp://chat.example/"] {
            check(&connect(target, Version::HTTP_2, &[]), "websocket", Rejection::Target);
        }
        check(
            &connect("http://u@chat.example/", Version::HTTP_2, &[]),
            "websocket",
            Rejection::Host,
        );
    }

    #[test]
    fn a_page_of_another_origin_is_told_apart() {
        let opening = opened(&[("origin", "https://evil.example")]);
        let judged = opening.permitted_by(&Origins::SameHost, Arrival::Network);
        assert_eq!(judged, Err(Rejection::Origin));
        let opening = opened(&[("origin", "https://chat.example:8443")]);
        let judged = opening.permitted_by(&Origins::SameHost, Arrival::Loopback);
        assert_eq!(judged, Err(Rejection::FarHost));
    }

    #[test]
    fn responses_have_nothing_that_http_2_forbids() {
        for (rejection, status) in [
            (Rejection::Protocol, 501),
            (Rejection::Version, 400),
            (Rejection::NotUpgrade, 400),
            (Rejection::Origin, 403),
            (Rejection::Target, 400),
            (Rejection::Method, 405),
        ] {
            for version in [Version::HTTP_2, Version::HTTP_3] {
                let response = rejection.response_over(version);
                assert_eq!(response.status(), status, "{rejection:?}");
                assert!(!response.headers().contains_key(CONNECTION), "{rejection:?}");
                assert!(!response.headers().contains_key(UPGRADE), "{rejection:?}");
                assert!(!response.body().is_empty());
            }
        }
        let response = Rejection::Version.response_over(Version::HTTP_2);
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        let response = Rejection::Version.response_over(Version::HTTP_11);
        assert_eq!(
            (response.status().as_u16(), &response.headers()["upgrade"] == "websocket"),
            (426, true)
        );
    }
}
