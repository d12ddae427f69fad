//! The arguments of an event or of an answer, and the payload that they are in a channel.

use std::sync::Arc;

use bytes::Bytes;

use taiwa_core::{Mixed, Payload};

use super::quoted;

/// Arguments side by side: JSON texts with commas between them, and the binary attachments that are values in them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Args {
    /// One more than there are attachments: where two of them meet, the attachment of that number stands.
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) attachments: Vec<Bytes>,
}

/// How many arguments there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Count {
    None,
    One,
    Several,
}

impl Args {
    /// Takes JSON texts with commas between them.
    pub(crate) fn json(texts: Bytes) -> Self {
        Self { pieces: vec![texts], attachments: vec![] }
    }

    /// Tells whether there is not one.
    pub(crate) fn is_empty(&self) -> bool {
        self.attachments.is_empty() && self.pieces.iter().all(|it| is_blank(it))
    }

    /// Takes the first argument, if it is a text.
    pub(crate) fn text(&self) -> Option<(String, Self)> {
        let first = self.pieces.first()?;
        let mut stream = serde_json::Deserializer::from_slice(first).into_iter::<String>();
        let text = stream.next()?.ok()?;
        let rest = first[stream.byte_offset()..].trim_ascii_start();
        let rest = rest.strip_prefix(b",").unwrap_or(rest);
        let mut others = self.clone();
        others.pieces[0] = first.slice_ref(rest);
        Some((text, others))
    }

    /// Returns the first argument as a JSON text, empty if there is none; `None` if it has attachments or is not the only one.
    pub(crate) fn first(&self) -> Option<Bytes> {
        (self.attachments.is_empty() && self.count() != Count::Several)
            .then(|| self.pieces[0].clone())
    }

    /// Counts the arguments.
    pub(crate) fn count(&self) -> Count {
        if self.is_empty() {
            return Count::None;
        }
        let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
        for byte in self.pieces.iter().flatten() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if in_string => is_escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => return Count::Several,
                _ => {}
            }
        }
        Count::One
    }

    /// Says what was published as arguments: one, or the elements of a list.
    pub(crate) fn of(payload: &Payload, is_list: bool) -> Self {
        match payload {
            Payload::Json(json) => {
                let inner = if is_list { elements(json) } else { None };
                Self::json(inner.unwrap_or_else(|| json.clone()))
            }
            Payload::Text(text) => Self::json(quoted(&String::from_utf8_lossy(text)).into()),
            Payload::Binary(bytes) => {
                Self { pieces: vec![Bytes::new(), Bytes::new()], attachments: vec![bytes.clone()] }
            }
            Payload::Mixed(mixed) => {
                let mut pieces = mixed.pieces.to_vec();
                if is_list
                    && let [first, .., last] = &mut pieces[..]
                    && let (Some(head), Some(tail)) = (opened(first), closed(last))
                {
                    (*first, *last) = (head, tail);
                }
                Self { pieces, attachments: mixed.attachments.to_vec() }
            }
            // What is not known yet arrives as nothing.
            _ => Self::json(Bytes::from_static(b"null")),
        }
    }

    /// Makes a payload of them, and tells whether it is a list: one argument is itself, and binary if it is nothing else.
    pub(crate) fn payload(self, count: Count) -> (Payload, bool) {
        let is_list = count != Count::One;
        let Self { mut pieces, mut attachments } = self;
        if is_list {
            let last = pieces.len() - 1;
            if last == 0 {
                return (Payload::Json([b"[", &pieces[0][..], b"]"].concat().into()), true);
            }
            pieces[0] = [b"[", &pieces[0][..]].concat().into();
            pieces[last] = [&pieces[last][..], b"]"].concat().into();
        } else if pieces.len() == 1 {
            return (Payload::Json(pieces.remove(0)), false);
        } else if attachments.len() == 1 && pieces.iter().all(|it| is_blank(it)) {
            return (Payload::Binary(attachments.remove(0)), false);
        }
        let mixed = Mixed { pieces: pieces.into(), attachments: attachments.into() };
        (Payload::Mixed(Arc::new(mixed)), is_list)
    }
}

fn is_blank(text: &[u8]) -> bool {
    text.trim_ascii().is_empty()
}

/// Returns what stands between the brackets of an array.
fn elements(json: &Bytes) -> Option<Bytes> {
    closed(&opened(json)?)
}

fn opened(json: &Bytes) -> Option<Bytes> {
    json.trim_ascii_start().strip_prefix(b"[").map(|it| json.slice_ref(it))
}

fn closed(json: &Bytes) -> Option<Bytes> {
    json.trim_ascii_end().strip_suffix(b"]").map(|it| json.slice_ref(it))
}
