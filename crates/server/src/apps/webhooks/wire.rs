//! What requests and answers look like in JSON. docs/webhooks.md explains each field.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A CloudEvent 1.0 in the JSON format.
#[derive(Serialize)]
pub(super) struct CloudEvent<'a> {
    pub(super) specversion: &'static str,
    pub(super) id: &'a str,
    pub(super) source: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) time: String,
    pub(super) datacontenttype: &'static str,
    pub(super) data: Fields<'a>,
}

/// What a program is asked or told about.
#[derive(Default, Serialize)]
pub(super) struct Fields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<ClientFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<Agent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<CertificateFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<PayloadFields<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_list: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<Why<'a>>,
}

/// A session.
#[derive(Serialize)]
pub(super) struct ClientFields<'a> {
    pub(super) session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<IpAddr>,
    pub(super) dialect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<&'a str>,
}

/// The name and version that a client gives itself.
#[derive(Serialize)]
pub(super) struct Agent<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
}

/// What a client has shown over TLS.
#[derive(Serialize)]
pub(super) struct CertificateFields<'a> {
    /// In hexadecimal digits.
    pub(super) sha256: String,
    pub(super) subject: &'a str,
    pub(super) names: &'a [Box<str>],
    /// In base64.
    pub(super) der: String,
}

/// Why a session ended.
#[derive(Serialize)]
pub(super) struct Why<'a> {
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
}

/// A payload: one field, whose name says what it is.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PayloadFields<'a> {
    #[serde(borrow)]
    Json(&'a RawValue),
    Text(Cow<'a, str>),
    Base64(Cow<'a, str>),
    Mixed(MixedFields<'a>),
}

/// JSON with binary attachments: attachment n stands between piece n and the next.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MixedFields<'a> {
    #[serde(borrow)]
    pub(super) pieces: Vec<Cow<'a, str>>,
    pub(super) attachments: Vec<Cow<'a, str>>,
}

/// What a program answers: exactly one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered<'a> {
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<ErrorFields<'a>>,
    pub(super) disconnect: Option<DisconnectFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorFields<'a> {
    pub(super) code: Option<u32>,
    pub(super) message: String,
    #[serde(default)]
    pub(super) temporary: bool,
    pub(super) kind: Option<ErrorKind>,
    #[serde(borrow)]
    pub(super) details: Option<&'a RawValue>,
}

/// Kinds of no for which each dialect has words of its own.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ErrorKind {
    BadRequest,
    Unauthorized,
    Forbidden,
    Expired,
    NotFound,
    Limit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisconnectFields {
    pub(super) code: u16,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) may_return: bool,
}

/// The result of `connect` and `refresh`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdmissionFields<'a> {
    pub(super) user: Option<String>,
    #[serde(borrow)]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) payload: Option<PayloadFields<'a>>,
    #[serde(borrow, default)]
    pub(super) channels: BTreeMap<String, AuthorizationFields<'a>>,
    pub(super) expires_in: Option<u64>,
    #[serde(default)]
    pub(super) client_refreshes: bool,
}

/// The result of `subscribe`, and a channel in that of `connect`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizationFields<'a> {
    #[serde(borrow)]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) payload: Option<PayloadFields<'a>>,
    pub(super) expires_in: Option<u64>,
    #[serde(default)]
    pub(super) client_refreshes: bool,
    pub(super) join_leave: Option<bool>,
}

/// The result of `publish`: what is to be other than it was.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishFields<'a> {
    #[serde(borrow)]
    pub(super) payload: Option<PayloadFields<'a>>,
    pub(super) event: Option<String>,
    pub(super) key: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) is_list: Option<bool>,
}

/// The result of `call`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallFields<'a> {
    #[serde(borrow)]
    pub(super) payload: Option<PayloadFields<'a>>,
}
