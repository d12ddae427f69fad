//! Why a request is not upgraded.

use std::fmt;

use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

use crate::Rejection;

macro_rules! rejections {
    ($($(#[$doc:meta])* $name:ident, $status:ident, $body:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Default)]
            #[non_exhaustive]
            pub struct $name;

            impl $name {
                /// Returns the body of the response.
                pub fn body_text(&self) -> String {
                    $body.to_owned()
                }

                /// Returns the status of the response.
                pub fn status(&self) -> StatusCode {
                    StatusCode::$status
                }
            }

            impl IntoResponse for $name {
                fn into_response(self) -> Response {
                    (StatusCode::$status, $body).into_response()
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str($body)
                }
            }

            impl std::error::Error for $name {}

            impl From<$name> for WebSocketUpgradeRejection {
                fn from(it: $name) -> Self {
                    Self::$name(it)
                }
            }
        )*

        /// Why [`WebSocketUpgrade`](super::WebSocketUpgrade) was not extracted.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum WebSocketUpgradeRejection {
            $($(#[$doc])* $name($name),)*
            /// One of the reasons that axum does not have.
            Handshake(Rejection),
        }

        impl WebSocketUpgradeRejection {
            /// Returns the body of the response.
            pub fn body_text(&self) -> String {
                self.to_string()
            }

            /// Returns the status of the response.
            pub fn status(&self) -> StatusCode {
                match self {
                    $(Self::$name(it) => it.status(),)*
                    Self::Handshake(it) => it.status(),
                }
            }
        }

        impl IntoResponse for WebSocketUpgradeRejection {
            fn into_response(self) -> Response {
                match self {
                    $(Self::$name(it) => it.into_response(),)*
                    Self::Handshake(it) => it.into_response(),
                }
            }
        }

        impl fmt::Display for WebSocketUpgradeRejection {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name(it) => it.fmt(f),)*
                    Self::Handshake(it) => it.fmt(f),
                }
            }
        }
    };
}

rejections! {
    /// The method is not GET: 405.
    MethodNotGet, METHOD_NOT_ALLOWED, "Request method must be `GET`";
    /// A request over HTTP/2 whose method is not CONNECT: 405.
    MethodNotConnect, METHOD_NOT_ALLOWED, "Request method must be `CONNECT`";
    /// `Connection` does not say `Upgrade`: 400.
    InvalidConnectionHeader, BAD_REQUEST, "Connection header did not include 'upgrade'";
    /// `Upgrade` does not say `websocket`: 400.
    InvalidUpgradeHeader, BAD_REQUEST, "`Upgrade` header did not include 'websocket'";
    /// A CONNECT over HTTP/2 that is none for WebSocket: 400.
    InvalidProtocolPseudoheader, BAD_REQUEST, "`:protocol` pseudo-header did not include 'websocket'";
    /// `Sec-WebSocket-Version` is not 13: 400.
    InvalidWebSocketVersionHeader, BAD_REQUEST, "`Sec-WebSocket-Version` header did not include '13'";
    /// `Sec-WebSocket-Key` is missing, or no key: 400.
    WebSocketKeyHeaderMissing, BAD_REQUEST, "`Sec-WebSocket-Key` header missing";
    /// The connection can't be upgraded, for example because it is HTTP/1.0: 426.
    ConnectionNotUpgradable, UPGRADE_REQUIRED, "WebSocket request couldn't be upgraded since no upgrade state was present";
}

impl std::error::Error for WebSocketUpgradeRejection {}
