//! From the bytes that a program answers to what the hub takes.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use taiwa_core::{
    Admission, Answer, Authorization, Channel, Disconnect, Mixed, Payload, Publish, Question,
    Refusal, RefusalKind, Tags, User,
};

use super::{
    super::bounded,
    wire::{
        AdmissionFields, Answered, AuthorizationFields, CallFields, DisconnectFields, ErrorFields,
        ErrorKind, MixedFields, PayloadFields, PublishFields,
    },
};

/// Why an answer is none. It is for our log: it may name what stands in the answer, never a secret of ours.
#[derive(Debug)]
pub(super) struct Nonsense(String);

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Error> for Nonsense {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<&str> for Nonsense {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// Reads the answer to a question: what it grants, or the program's own no.
pub(super) fn read(body: &[u8], question: &Question) -> Result<Result<Answer, Refusal>, Nonsense> {
    let answered: Answered<'_> = serde_json::from_slice(body)?;
    Ok(match (answered.result, answered.error, answered.disconnect) {
        (Some(result), None, None) => Ok(granted(result, question)?),
        (None, Some(error), None) => Err(refusal(error)),
        (None, None, Some(disconnect)) => Ok(sent_away(disconnect)?),
        _ => return Err("one of result, error and disconnect must be there".into()),
    })
}

fn granted(result: &RawValue, question: &Question) -> Result<Answer, Nonsense> {
    Ok(match question {
        Question::Connect { .. } => Answer::Admission(Box::new(admission(parse(result)?)?)),
        Question::Refresh { who, .. } => {
            let fields: AdmissionFields<'_> = parse(result)?;
            let named = fields.user.is_some();
            let admission = admission(fields)?;
            if named && admission.user != who.user {
                return Err("another user than the session's".into());
            }
            Answer::Admission(Box::new(Admission { user: who.user.clone(), ..admission }))
        }
        Question::Subscribe { .. } => {
            Answer::Authorization(Box::new(authorization(parse(result)?)?))
        }
        Question::Publish { publish, .. } => {
            Answer::Publish(Box::new(changed(Publish::clone(publish), parse(result)?)?))
        }
        Question::Call { .. } => {
            let fields: CallFields<'_> = parse(result)?;
            Answer::Payload(fields.payload.map_or_else(|| Ok(Payload::null()), payload)?)
        }
        _ => Answer::Noted,
    })
}

fn parse<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(json.get())
}

fn admission(fields: AdmissionFields<'_>) -> Result<Admission, Nonsense> {
    let mut channels = Vec::with_capacity(fields.channels.len());
    for (name, options) in fields.channels {
        let channel = Channel::parse(&name).ok_or("a channel that there can't be")?;
        channels.push((channel, authorization(options)?));
    }
    Ok(Admission {
        user: fields.user.filter(|it| !it.is_empty()).map(|it| User(it.into())),
        info: fields.info.map(one_line),
        data: fields.payload.map(payload).transpose()?,
        channels,
        expires: expires(fields.expires_in),
        client_refreshes: fields.client_refreshes,
        meta: fields.meta.map(one_line),
    })
}

fn authorization(fields: AuthorizationFields<'_>) -> Result<Authorization, Nonsense> {
    Ok(Authorization {
        info: fields.info.map(one_line),
        data: fields.payload.map(payload).transpose()?,
        expires: expires(fields.expires_in),
        client_refreshes: fields.client_refreshes,
        join_leave: fields.join_leave,
    })
}

fn changed(mut publish: Publish, fields: PublishFields<'_>) -> Result<Publish, Nonsense> {
    if let Some(said) = fields.payload {
        publish.payload = payload(said)?;
    }
    publish.event = fields.event.map(Arc::from).or(publish.event);
    publish.key = fields.key.map(Arc::from).or(publish.key);
    publish.is_list = fields.is_list.unwrap_or(publish.is_list) && publish.payload.is_list();
    if let Some(tags) = fields.tags {
        publish.tags = Tags::new(tags);
    }
    Ok(publish)
}

fn expires(seconds: Option<u64>) -> Option<Duration> {
    bounded(seconds.map(Duration::from_secs))
}

fn payload(fields: PayloadFields<'_>) -> Result<Payload, Nonsense> {
    Ok(match fields {
        PayloadFields::Json(json) => Payload::Json(one_line(json)),
        PayloadFields::Text(text) => Payload::Text(text.into_owned().into()),
        PayloadFields::Base64(text) => Payload::Binary(base64(&text)?),
        PayloadFields::Mixed(fields) => Payload::Mixed(Arc::new(mixed(&fields)?)),
    })
}

fn mixed(fields: &MixedFields<'_>) -> Result<Mixed, Nonsense> {
    // A name of a member can't be `null`, and what is within a string can't be `""`: so it is a value.
    let fits = ["null", "\"\""].into_iter().all(|value| {
        let json = fields.pieces.join(value);
        serde_json::from_str::<&RawValue>(&json).is_ok()
    });
    if fields.pieces.len() != fields.attachments.len() + 1 || !fits {
        return Err("pieces that make no JSON with the attachments between them".into());
    }
    let attachments: Result<Vec<_>, _> = fields.attachments.iter().map(|it| base64(it)).collect();
    Ok(Mixed {
        pieces: fields.pieces.iter().map(|it| Bytes::from(it.to_string())).collect(),
        attachments: attachments?.into(),
    })
}

fn base64(text: &str) -> Result<Bytes, Nonsense> {
    let bytes = BASE64.decode(text).map_err(|_| "base64 that is none")?;
    Ok(bytes.into())
}

/// Some dialects separate JSON by line ends. Within JSON one can only stand where a space may stand too.
fn one_line(json: &RawValue) -> Bytes {
    let mut bytes = json.get().as_bytes().to_vec();
    for byte in &mut bytes {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    bytes.into()
}

fn refusal(fields: ErrorFields<'_>) -> Refusal {
    let kind = match fields.kind {
        Some(ErrorKind::BadRequest) => RefusalKind::BadRequest,
        Some(ErrorKind::Unauthorized) => RefusalKind::Unauthorized,
        Some(ErrorKind::Forbidden) => RefusalKind::Forbidden,
        Some(ErrorKind::Expired) => RefusalKind::Expired,
        Some(ErrorKind::NotFound) => RefusalKind::NotFound,
        Some(ErrorKind::Limit) => RefusalKind::Limit,
        None if fields.temporary => RefusalKind::Unavailable,
        None => RefusalKind::App,
    };
    Refusal {
        kind,
        text: fields.message.into(),
        code: fields.code,
        details: fields.details.map(one_line),
    }
}

fn sent_away(fields: DisconnectFields) -> Result<Answer, Nonsense> {
    if !(4000..=4999).contains(&fields.code) {
        return Err("the code of a disconnect is one from 4000 to 4999".into());
    }
    Ok(Answer::Disconnect(Disconnect::App {
        code: fields.code,
        reason: fields.reason.into(),
        may_return: fields.may_return,
    }))
}

#[cfg(test)]
mod tests;
