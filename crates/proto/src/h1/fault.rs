//! What can be wrong with a head.

use std::fmt;

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

/// A rule of RFC 9112, or a limit of ours, that a head breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum H1Fault {
    /// More bytes than [`Limits::handshake_bytes_max`](crate::Limits::handshake_bytes_max): 431.
    HeadTooLong,
    /// More lines than [`Limits::headers_max`](crate::Limits::headers_max): 431.
    TooManyHeaders,
    /// A line that ends in LF without CR: 400.
    BareLineFeed,
    /// The first line is not one of HTTP: 400.
    StartLine,
    /// The request's target is not a URI of a form that its method allows: 400.
    Target,
    /// A version of HTTP other than 1.0 and 1.1: 505.
    Version,
    /// A header that is malformed or folded: 400.
    Header,
}

impl H1Fault {
    /// Returns the status that a server answers with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLong | Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::BareLineFeed | Self::StartLine | Self::Target | Self::Header => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// Makes the response of a server, after which the connection must be closed.
    pub fn response(self) -> Response<&'static str> {
        let mut response = Response::new(match self {
            Self::HeadTooLong | Self::TooManyHeaders => "Request head too large.\n",
            Self::Version => "HTTP version not supported.\n",
            _ => "Malformed request.\n",
        });
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl fmt::Display for H1Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadTooLong => "HTTP head too long",
            Self::TooManyHeaders => "too many HTTP headers",
            Self::BareLineFeed => "line feed without carriage return in an HTTP head",
            Self::StartLine => "malformed first line of an HTTP head",
            Self::Target => "malformed HTTP request target",
            Self::Version => "HTTP version is neither 1.0 nor 1.1",
            Self::Header => "malformed HTTP header",
        })
    }
}

impl std::error::Error for H1Fault {}
