//! [`Rejection`]: why a request is not upgraded.

use std::fmt;

use http::{
    HeaderValue, Response, StatusCode, Version,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use taiwa_proto::handshake::Rejection as Broken;

/// Why a request is not upgraded to a WebSocket.
///
/// [`response`](Self::response) says so to the peer, in a fixed sentence: nothing from inside reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The request breaks a rule of the opening handshake (RFC 6455 §4.2.1, RFC 8441 §4), or comes from a page
    /// that may not connect; see [`Origins`](crate::Origins).
    Request(Broken),
    /// The HTTP server does not give the connection away, or gave it to somebody before: 500.
    NotUpgradable,
    /// [`Sockets::shut_down`](crate::Sockets::shut_down) was called: 503.
    GoingAway,
    /// [`SocketsBuilder::sockets_max`](crate::SocketsBuilder::sockets_max) sockets are open: 503.
    Full,
}

impl Rejection {
    /// Returns the status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Request(broken) => broken.status(),
            Self::NotUpgradable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::GoingAway | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the sentence that is the response's body.
    pub fn body(self) -> &'static str {
        match self {
            Self::Request(broken) => broken.body(),
            Self::NotUpgradable => "This connection can't become a WebSocket.\n",
            Self::GoingAway => "The server is going away.\n",
            Self::Full => "There is no room for another WebSocket.\n",
        }
    }

    /// Makes the response for HTTP/1.1. As its headers say, the connection is closed behind it where what follows
    /// a refused request is not to be trusted. Hyper leaves out what is of the connection where it speaks HTTP/2.
    pub fn response(self) -> Response<&'static str> {
        if let Self::Request(broken) = self {
            return broken.response();
        }
        let mut response = Response::new(self.body());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }

    /// Makes the response for a request of this version of HTTP: before HTTP/2 it is [`response`](Self::response). From
    /// HTTP/2 on, where it ends its stream alone, it says nothing of the connection, and 400 in place of 426.
    ///
    /// ```
    /// use http::Version;
    /// use taiwa::{HandshakeRejection, Rejection};
    /// let rejection = Rejection::from(HandshakeRejection::Version);
    /// assert_eq!(rejection.response_over(Version::HTTP_11).status(), 426);
    /// assert_eq!(rejection.response_over(Version::HTTP_2).status(), 400);
    /// ```
    pub fn response_over(self, version: Version) -> Response<&'static str> {
        match self {
            Self::Request(broken) => broken.response_over(version),
            rejection => rejection.response(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.body().trim_end().trim_end_matches('.'))
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Request(broken) => Some(broken),
            Self::NotUpgradable | Self::GoingAway | Self::Full => None,
        }
    }
}

impl From<Broken> for Rejection {
    fn from(broken: Broken) -> Self {
        Self::Request(broken)
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Rejection {
    fn into_response(self) -> axum_core::response::Response {
        self.response().map(axum_core::body::Body::from)
    }
}
