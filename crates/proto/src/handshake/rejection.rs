//! Why a server refuses an opening handshake, and the response that says so.

use std::fmt;

use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Response, StatusCode, Version};

/// A rule of RFC 6455 §4.2.1, or a policy of ours, that a client's request broke.
///
/// The response's body is a fixed sentence: nothing from inside reaches the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The method is not GET, or not CONNECT where an extended one is meant: 405.
    Method,
    /// The request does not ask for an upgrade to WebSocket: 426.
    NotUpgrade,
    /// The version of HTTP is not the one that is meant: 400.
    HttpVersion,
    /// `Host` is missing, there twice, or no host: 400.
    Host,
    /// `Upgrade` or `Connection` is malformed, or `Connection` lacks `Upgrade`: 400.
    Connection,
    /// `Sec-WebSocket-Key` is missing, there twice, or not 16 bytes in base64: 400.
    Key,
    /// `Sec-WebSocket-Version` is missing or not 13: 426.
    Version,
    /// `Sec-WebSocket-Version` is there twice: 400.
    VersionTwice,
    /// The request announces a body: 400.
    Body,
    /// `Sec-WebSocket-Protocol` is malformed, too long or names one twice: 400.
    Subprotocols,
    /// The client offers no subprotocol that the server speaks, and the server insists on one: 400.
    NoSubprotocol,
    /// `Sec-WebSocket-Extensions` is malformed or too long: 400.
    Extensions,
    /// `Origin` is there twice or not ASCII: 400.
    OriginMalformed,
    /// A page of another origin asks; see [`Origins`](super::Origins): 403.
    Origin,
    /// `Origin` is of the same host, but under a name that a page may have bound to this machine: 403.
    FarHost,
    /// `:protocol` of an extended CONNECT (RFC 8441 §4) is not `websocket`: 501.
    Protocol,
    /// `:scheme` of an extended CONNECT is missing or not `http` or `https`, or `:path` is missing: 400.
    Target,
}

impl Rejection {
    /// Returns the status of the response.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Origin | Self::FarHost => StatusCode::FORBIDDEN,
            Self::Protocol => StatusCode::NOT_IMPLEMENTED,
            Self::HttpVersion
            | Self::Host
            | Self::Connection
            | Self::Key
            | Self::VersionTwice
            | Self::Body
            | Self::Subprotocols
            | Self::NoSubprotocol
            | Self::Extensions
            | Self::OriginMalformed
            | Self::Target => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the sentence that is the response's body.
    pub const fn body(self) -> &'static str {
        match self {
            Self::Method => {
                "A WebSocket is opened with GET, over HTTP/2 and HTTP/3 with CONNECT.\n"
            }
            Self::NotUpgrade => "This is a WebSocket endpoint.\n",
            Self::HttpVersion => "A WebSocket is opened with HTTP/1.1.\n",
            Self::Host => "Missing, repeated or malformed Host.\n",
            Self::Connection => "Malformed Upgrade or Connection.\n",
            Self::Key => "Missing, repeated or malformed Sec-WebSocket-Key.\n",
            Self::Version => "Sec-WebSocket-Version must be 13.\n",
            Self::VersionTwice => "Repeated Sec-WebSocket-Version.\n",
            Self::Body => "A WebSocket is opened with a request without a body.\n",
            Self::Subprotocols => "Malformed Sec-WebSocket-Protocol.\n",
            Self::NoSubprotocol => "No subprotocol in Sec-WebSocket-Protocol is spoken here.\n",
            Self::Extensions => "Malformed Sec-WebSocket-Extensions.\n",
            Self::OriginMalformed => "Repeated or malformed Origin.\n",
            Self::Origin => "Origin not allowed.\n",
            Self::FarHost => "Host is no name of this machine: allow the origin by name.\n",
            Self::Protocol => "The only :protocol spoken here is websocket.\n",
            Self::Target => "Missing or malformed :scheme or :path.\n",
        }
    }

    /// Makes the response. After it the connection must be closed, as its headers say: what follows
    /// a refused head is not to be trusted.
    pub fn response(self) -> Response<&'static str> {
        let mut response = Response::new(self.body());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match self {
            // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response";
            // RFC 6455 §4.4: the versions that the server knows go into Sec-WebSocket-Version.
            Self::NotUpgrade | Self::Version => {
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, close"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }

    /// Makes the response for a request of this version of HTTP: before HTTP/2 it is [`response`](Self::response).
    ///
    /// From HTTP/2 on it ends its stream alone. What is of the connection is left out, and so status 426, which has to
    /// name what to upgrade to, becomes 400.
    pub fn response_over(self, version: Version) -> Response<&'static str> {
        let mut response = self.response();
        if version >= Version::HTTP_2 {
            // RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header
            // fields."
            response.headers_mut().remove(CONNECTION);
            response.headers_mut().remove(UPGRADE);
            if response.status() == StatusCode::UPGRADE_REQUIRED {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
        }
        response
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.body().trim_end().trim_end_matches('.'))
    }
}

impl std::error::Error for Rejection {}
