//! Bodies of long polls: the status stands in the JSON object, and the status of HTTP is always 200.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use taiwa_core::{Message, Polled};

use super::{Fault, quoted};

/// How many messages one request may bring; what is behind them is not looked at (`LongPoll`: `@max_poll_batch_size`).
const BATCH_MAX: usize = 100;

/// All answers are of this kind.
pub(crate) const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// What a session of long polls hears instead of messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// There is nothing to say; poll again.
    Nothing = 204,
    /// The client may not come in, or must go.
    Forbidden = 403,
    /// The session is new, or gone: the client joins anew.
    Gone = 410,
    /// It failed; the client tries again later.
    Failed = 500,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Nothing, Self::Forbidden, Self::Gone, Self::Failed];

    /// Returns what stands for it among the messages of a poll; no message is a number.
    pub(crate) fn message(self) -> Message {
        Message::Text((self as u16).to_string().into())
    }

    fn of(message: &Message) -> Option<Self> {
        let bytes = message.as_bytes();
        Self::ALL.into_iter().find(|it| (*it as u16).to_string().as_bytes() == &bytes[..])
    }
}

/// Answers a request that brought something, or that can't be heard.
pub(crate) fn status(status: u16) -> Bytes {
    format!("{{\"status\":{status}}}").into()
}

/// Answers the first poll: the session has begun, and this is its token.
pub(crate) fn opened(token: &str) -> Bytes {
    format!("{}\"status\":410,\"messages\":[]}}", head(token)).into()
}

/// Begins the answer to a poll.
pub(crate) fn head(token: &str) -> String {
    format!("{{\"token\":{},", quoted(token))
}

/// Writes the rest of it. Messages come before a verdict, which the next poll meets.
pub(crate) fn polled(said: &[Message]) -> Polled {
    let mut texts = vec![];
    let mut verdict = Verdict::Nothing;
    for message in said {
        match (Verdict::of(message), message) {
            (Some(it), _) => verdict = it,
            (None, Message::Text(text)) => texts.push(quoted(&String::from_utf8_lossy(text))),
            // No outlet of a poll writes binary frames.
            (None, Message::Binary(_)) => {}
        }
    }
    let status = if texts.is_empty() { verdict as u16 } else { 200 };
    let body = format!("\"status\":{status},\"messages\":[{}]}}", texts.join(","));
    Polled { content_type: CONTENT_TYPE, body: body.into() }
}

/// Reads what a request brings: one text, or one message a line, of which those in base64 are binary.
pub(crate) fn messages(content_type: &str, body: &Bytes) -> Result<Vec<Message>, Fault> {
    if !content_type.starts_with("application/x-ndjson") {
        return Ok(vec![Message::Text(body.clone())]);
    }
    let mut messages = vec![];
    let lines = body.split(|it| *it == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.filter(|it| !it.is_empty()).take(BATCH_MAX) {
        messages.push(match line {
            [b'[' | b'{', ..] => Message::Text(body.slice_ref(line)),
            _ => Message::Binary(STANDARD.decode(line).map_err(|_| Fault::Malformed)?.into()),
        });
    }
    Ok(messages)
}
