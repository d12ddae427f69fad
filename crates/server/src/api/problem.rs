//! [`Problem`]: why a request, or one command of it, was not done; the one shape of all errors.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use taiwa_core::{Refusal, RefusalKind};

use super::values::Json;

/// Why it was not done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// The HTTP status that goes with the code. In a batch each command has its own.
    status: u16,
    /// What kind of problem it is, for programs.
    pub(super) code: Code,
    /// What is wrong, for people.
    message: String,
    /// Where in the request it is: the path of a field, or the name of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    /// Whether the same request may succeed later.
    temporary: bool,
    /// After which time it may, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The number that the client, or the app, gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_code: Option<u32>,
    /// What the client, or the app, says besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Json>,
}

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// 400: the body is no JSON text.
    Malformed,
    /// 401: there is no key in the request, or one that is not known.
    Unauthorized,
    /// 403: the key may not do this.
    Forbidden,
    /// 404: there is no such command, or no such session.
    NotFound,
    /// 405: the method is another one; see the header `Allow`.
    MethodNotAllowed,
    /// 408: the body took too long to arrive.
    TooSlow,
    /// 409: the channel's namespace, or this server, does not offer this.
    NotAvailable,
    /// 409: the position is no longer in the history.
    Unrecoverable,
    /// 409: what was asked for is there already.
    Exists,
    /// 409: rights that were good once have ended.
    Expired,
    /// 409: the client says no, in words of its own.
    Refused,
    /// 413: the body, a payload or a list is larger than allowed.
    TooLarge,
    /// 415: the body is said to be something else than JSON.
    UnsupportedMediaType,
    /// 422: it is JSON, but not what the command takes.
    Invalid,
    /// 429: a limit is reached.
    Limit,
    /// 429: too many in too short a time.
    Rate,
    /// 503: the server is busy, or ends.
    Unavailable,
    /// 504: the answer did not come in time.
    Deadline,
}

impl Code {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotAvailable
            | Self::Unrecoverable
            | Self::Exists
            | Self::Expired
            | Self::Refused => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Limit | Self::Rate => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// An object with the problem alone: the body of a response, or a reply of a batch.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Failed {
    /// Why it was not done.
    pub(super) error: Problem,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let temporary = matches!(
            code,
            Code::TooSlow | Code::Limit | Code::Rate | Code::Unavailable | Code::Deadline
        );
        Self {
            status: code.status().as_u16(),
            code,
            message: message.into(),
            field: None,
            temporary,
            retry_after_ms: None,
            app_code: None,
            details: None,
        }
    }

    /// Says that a field is wrong.
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message).at(field)
    }

    pub(super) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says where the command of the field is, if the problem names one.
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.field = self.field.map(|it| format!("{outer}.{it}"));
        self
    }

    pub(super) fn after(mut self, time: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::BadRequest => Code::Invalid,
            // Who asks here has shown a key: what is missing is a right.
            RefusalKind::Unauthorized | RefusalKind::Forbidden => Code::Forbidden,
            RefusalKind::Expired => Code::Expired,
            RefusalKind::NotFound => Code::NotFound,
            RefusalKind::AlreadySubscribed => Code::Exists,
            RefusalKind::NotAvailable => Code::NotAvailable,
            RefusalKind::Limit => Code::Limit,
            RefusalKind::Rate(_) => Code::Rate,
            RefusalKind::Unrecoverable => Code::Unrecoverable,
            RefusalKind::Deadline => Code::Deadline,
            RefusalKind::App => Code::Refused,
            _ => Code::Unavailable,
        };
        let mut problem = Self::new(code, &*refusal.text);
        if let RefusalKind::Rate(after) = refusal.kind {
            problem = problem.after(after);
        }
        problem.app_code = refusal.code;
        problem.details = refusal.details.as_deref().and_then(Json::parse);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let seconds = self.retry_after_ms.map(|it| it.div_ceil(1000).max(1));
        let mut response = super::respond(status, &Failed { error: self });
        let headers = response.headers_mut();
        if let Some(seconds) = seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate header field".
            let challenge = HeaderValue::from_static("Bearer realm=\"taiwa\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
