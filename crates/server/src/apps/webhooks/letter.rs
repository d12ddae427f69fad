//! [`Letter`]: a question or an event as a CloudEvent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::value::RawValue;
use taiwa_core::{Certificate, Channel, Client, Disconnect, Payload, Question};

use super::{
    Kind,
    wire::{
        Agent, CertificateFields, ClientFields, CloudEvent, Fields, MixedFields, PayloadFields, Why,
    },
};

/// The media type of one CloudEvent in JSON (CloudEvents JSON format §3).
pub(super) const ONE: &str = "application/cloudevents+json; charset=utf-8";

/// The media type of an array of them (§4).
pub(super) const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";

/// What a letter takes beside the bytes in it.
const OVERHEAD_BYTES: usize = 512;

/// The last second that RFC 3339 can write, as 1970 counts.
const TIME_MAX: Duration = Duration::from_secs(253_402_300_799);

/// A question or an event, with what identifies it.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) at: SystemTime,
    pub(super) question: Question,
}

impl Letter {
    /// Writes it as one CloudEvent in structured mode.
    pub(super) fn write(&self, source: &str) -> Bytes {
        written(&self.event(source))
    }

    /// Writes several as a batch.
    pub(super) fn write_batch(letters: &[Self], source: &str) -> Bytes {
        written(&letters.iter().map(|it| it.event(source)).collect::<Vec<_>>())
    }

    /// Returns about how many bytes it takes while it waits.
    pub(super) fn weight(&self) -> usize {
        let of = |client: &Client| {
            let texts = [client.info(), client.meta()];
            texts.into_iter().flatten().map(Bytes::len).sum::<usize>()
        };
        OVERHEAD_BYTES
            + match &self.question {
                Question::Tell { who, payload } => of(who) + payload.len(),
                Question::Disconnected { who, .. } => of(who),
                Question::Occupied(channel) | Question::Vacated(channel) => channel.as_str().len(),
                _ => 0,
            }
    }

    fn event<'a>(&'a self, source: &'a str) -> CloudEvent<'a> {
        CloudEvent {
            specversion: "1.0",
            id: &self.id,
            source,
            kind: self.kind.event_type(),
            time: time(self.at),
            datacontenttype: "application/json",
            data: fields(&self.question),
        }
    }
}

fn written<T: serde::Serialize>(what: &T) -> Bytes {
    serde_json::to_vec(what).expect("texts, numbers and JSON are always written").into()
}

/// RFC 3339 writes the years up to 9999.
fn time(at: SystemTime) -> String {
    let at = at.clamp(UNIX_EPOCH, UNIX_EPOCH + TIME_MAX);
    humantime::format_rfc3339_millis(at).to_string()
}

fn fields(question: &Question) -> Fields<'_> {
    let nothing = Fields::default();
    match question {
        Question::Connect { who, connect } => Fields {
            client: Some(client(who)),
            agent: connect.client.as_ref().map(|(name, version)| Agent { name, version }),
            certificate: connect.certificate.as_deref().map(certificate),
            token: connect.token.as_deref(),
            payload: connect.data.as_ref().map(payload),
            ..nothing
        },
        Question::Refresh { who, token } => {
            Fields { client: Some(client(who)), token: token.as_deref(), ..nothing }
        }
        Question::Subscribe { who, channel, token, data } => Fields {
            client: Some(client(who)),
            channel: Some(channel.as_str()),
            token: token.as_deref(),
            payload: data.as_ref().map(payload),
            ..nothing
        },
        Question::Publish { who, publish } => Fields {
            client: Some(client(who)),
            channel: Some(publish.channel.as_str()),
            event: publish.event.as_deref(),
            key: publish.key.as_deref(),
            tags: publish.tags.iter().collect(),
            payload: Some(payload(&publish.payload)),
            is_list: publish.is_list,
            ..nothing
        },
        Question::Call { who, method, payload: with } => Fields {
            client: Some(client(who)),
            method: Some(method),
            payload: Some(payload(with)),
            ..nothing
        },
        Question::Tell { who, payload: what } => {
            Fields { client: Some(client(who)), payload: Some(payload(what)), ..nothing }
        }
        Question::Disconnected { who, why: reason } => {
            Fields { client: Some(client(who)), why: reason.as_ref().map(why), ..nothing }
        }
        Question::Occupied(channel) | Question::Vacated(channel) => of_channel(channel),
        _ => nothing,
    }
}

fn of_channel(channel: &Channel) -> Fields<'_> {
    Fields { channel: Some(channel.as_str()), ..Fields::default() }
}

fn client(client: &Client) -> ClientFields<'_> {
    ClientFields {
        session: client.session.to_string(),
        user: client.user.as_ref().map(|it| it.as_str()),
        info: client.info().map(|it| &**it).and_then(json),
        meta: client.meta().map(|it| &**it).and_then(json),
        address: client.address,
        dialect: client.dialect,
        scope: client.scope(),
    }
}

fn certificate(it: &Certificate) -> CertificateFields<'_> {
    CertificateFields {
        sha256: it.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        subject: &it.subject,
        names: &it.names,
        der: BASE64.encode(&it.der),
    }
}

/// What is promised to be JSON and is not would break the letter; it is left out.
fn json(text: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(text).ok()
}

fn payload(payload: &Payload) -> PayloadFields<'_> {
    let base64 = |bytes: &Bytes| BASE64.encode(bytes).into();
    match payload {
        Payload::Json(bytes) => match json(bytes) {
            Some(json) => PayloadFields::Json(json),
            None => PayloadFields::Base64(base64(bytes)),
        },
        Payload::Text(bytes) => PayloadFields::Text(String::from_utf8_lossy(bytes)),
        Payload::Binary(bytes) => PayloadFields::Base64(base64(bytes)),
        Payload::Mixed(mixed) => PayloadFields::Mixed(MixedFields {
            pieces: mixed.pieces.iter().map(|it| String::from_utf8_lossy(it)).collect(),
            attachments: mixed.attachments.iter().map(base64).collect(),
        }),
        _ => PayloadFields::Base64("".into()),
    }
}

fn why(why: &Disconnect) -> Why<'_> {
    let (kind, code, reason) = match why {
        Disconnect::Done => ("done", None, None),
        Disconnect::BadRequest => ("bad_request", None, None),
        Disconnect::Unauthorized => ("unauthorized", None, None),
        Disconnect::Stale => ("stale", None, None),
        Disconnect::Slow => ("slow", None, None),
        Disconnect::Expired => ("expired", None, None),
        Disconnect::Revoked => ("revoked", None, None),
        Disconnect::InsufficientState => ("insufficient_state", None, None),
        Disconnect::Limit(which) => ("limit", None, Some(*which)),
        Disconnect::Rate => ("rate", None, None),
        Disconnect::Shutdown(_) => ("shutdown", None, None),
        Disconnect::Replaced => ("replaced", None, None),
        Disconnect::App { code, reason, .. } => ("app", Some(*code), Some(&**reason)),
        _ => ("other", None, None),
    };
    Why { kind, code, reason }
}
