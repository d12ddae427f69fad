//! The words of one line to or from the hub: verbs, flags, fields, and a payload at the end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::script::{escaped, hexadecimal, shown_hexadecimal, unescaped};
use crate::{Channel, Mixed, Payload, Position, SessionId, Syntax, Target};

/// A line that was read, to be taken apart.
#[derive(Debug, Default)]
pub(super) struct Fields {
    words: Vec<String>,
    pairs: Vec<(String, String)>,
    payload: Option<Payload>,
}

impl Fields {
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let mut fields = Self::default();
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
            if let Some(payload) = payload(first, behind)? {
                fields.payload = Some(payload);
                break;
            }
            let (name, value) = match first.split_once('=') {
                Some((name, _)) if !name.contains('"') => (Some(name), &rest[name.len() + 1..]),
                _ => (None, rest),
            };
            let (value, behind) = word(value)?;
            match name {
                Some(name) => fields.pairs.push((name.into(), value)),
                None => fields.words.push(value),
            }
            rest = behind.trim_start();
        }
        Ok(fields)
    }

    /// Takes the next word.
    pub(super) fn word(&mut self) -> Result<String, String> {
        if self.words.is_empty() {
            return Err("a word is missing".into());
        }
        Ok(self.words.remove(0))
    }

    /// Takes the next word, which names a channel.
    pub(super) fn channel(&mut self) -> Result<Channel, String> {
        let word = self.word()?;
        Channel::parse(&word).ok_or(format!("{word:?} names no channel"))
    }

    /// Takes a channel, or a field that is a pattern.
    pub(super) fn target(&mut self) -> Result<Target, String> {
        for (name, syntax) in
            [("levels", Syntax::Levels), ("words", Syntax::Words), ("prefix", Syntax::Prefix)]
        {
            if let Some(text) = self.field(name) {
                let pattern = crate::Pattern::parse(&text, syntax);
                return pattern.map(Target::Pattern).ok_or(format!("{text:?} is no pattern"));
            }
        }
        self.channel().map(Target::Channel)
    }

    /// Takes a word if it is there.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|it| it == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// Takes a field if it is there.
    pub(super) fn field(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(it, _)| it == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// Takes a field that is a number or another thing that can be read.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.field(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{name}={text} can't be read"))
    }

    pub(super) fn shared(&mut self, name: &str) -> Option<Arc<str>> {
        self.field(name).map(Into::into)
    }

    pub(super) fn bytes(&mut self, name: &str) -> Option<Bytes> {
        self.field(name).map(Into::into)
    }

    pub(super) fn position(&mut self, name: &str) -> Result<Option<Position>, String> {
        let Some(text) = self.field(name) else { return Ok(None) };
        let (epoch, offset) = text.split_once(':').ok_or("a position is epoch:offset")?;
        match (epoch.parse(), offset.parse()) {
            (Ok(epoch), Ok(offset)) => Ok(Some(Position { epoch, offset })),
            _ => Err(format!("{text} is no position")),
        }
    }

    pub(super) fn time(&mut self, name: &str) -> Result<Option<Duration>, String> {
        self.field(name).map(|it| time(&it)).transpose()
    }

    /// Takes a field that names a session, in as few hexadecimal digits as it needs.
    pub(super) fn session(&mut self, name: &str) -> Result<Option<SessionId>, String> {
        let Some(text) = self.field(name) else { return Ok(None) };
        let id = u128::from_str_radix(&text, 16).map_err(|_| format!("{text} is no session"))?;
        Ok(Some(SessionId(id)))
    }

    /// Tells whether one of these fields is there.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        self.pairs.iter().any(|(it, _)| names.contains(&it.as_str()))
    }

    pub(super) fn payload(&mut self) -> Option<Payload> {
        self.payload.take()
    }

    pub(super) fn payload_or_null(&mut self) -> Payload {
        self.payload().unwrap_or(Payload::null())
    }

    /// Says what was not taken.
    pub(super) fn end(self) -> Result<(), String> {
        match (self.words.first(), self.pairs.first(), self.payload) {
            (None, None, None) => Ok(()),
            (Some(word), _, _) => Err(format!("{word:?} means nothing here")),
            (_, Some((name, _)), _) => Err(format!("{name}= means nothing here")),
            (_, _, Some(_)) => Err("no payload belongs here".into()),
        }
    }
}

/// Reads one word, quoted or bare, and returns what follows.
fn word(text: &str) -> Result<(String, &str), String> {
    let Some(inside) = text.strip_prefix('"') else {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        return Ok((word.into(), rest));
    };
    let mut backslash = false;
    let end = inside.bytes().position(|it| {
        let end = it == b'"' && !backslash;
        backslash = it == b'\\' && !backslash;
        end
    });
    let end = end.ok_or("a quotation mark is missing")?;
    let word = String::from_utf8(unescaped(&inside[..end])?).map_err(|it| it.to_string())?;
    Ok((word, &inside[end + 1..]))
}

fn payload(kind: &str, text: &str) -> Result<Option<Payload>, String> {
    let as_it_stands = Bytes::copy_from_slice(text.as_bytes());
    Ok(Some(match kind {
        "json" => Payload::Json(as_it_stands),
        "text" => Payload::Text(as_it_stands),
        "json*" => Payload::Json(unescaped(text)?.into()),
        "text*" => Payload::Text(unescaped(text)?.into()),
        "binary" => Payload::Binary(hexadecimal(text)?),
        "mixed" => {
            let mut parts = text.split('<');
            let mut pieces = vec![Bytes::copy_from_slice(parts.next().unwrap_or("").as_bytes())];
            let mut attachments = vec![];
            for part in parts {
                let (bytes, piece) = part.split_once('>').ok_or("an attachment has no end")?;
                attachments.push(hexadecimal(bytes)?);
                pieces.push(Bytes::copy_from_slice(piece.as_bytes()));
            }
            let (pieces, attachments) = (pieces.into(), attachments.into());
            Payload::Mixed(Arc::new(Mixed { pieces, attachments }))
        }
        _ => return Ok(None),
    }))
}

/// Shows a payload, with a space in front.
pub(super) fn shown_payload(payload: &Payload) -> String {
    let text = |kind: &str, bytes: &Bytes| {
        let text = String::from_utf8_lossy(bytes);
        if text.contains(char::is_control) {
            format!(" {kind}* {}", escaped(&text))
        } else {
            format!(" {kind} {text}")
        }
    };
    match payload {
        Payload::Json(bytes) => text("json", bytes),
        Payload::Text(bytes) => text("text", bytes),
        Payload::Binary(bytes) => format!(" binary {}", shown_hexadecimal(bytes)),
        Payload::Mixed(mixed) => {
            let mut shown = " mixed ".to_owned();
            for (i, piece) in mixed.pieces.iter().enumerate() {
                shown += &String::from_utf8_lossy(piece);
                if let Some(bytes) = mixed.attachments.get(i) {
                    shown += &format!("<{}>", shown_hexadecimal(bytes));
                }
            }
            shown
        }
    }
    .trim_end()
    .to_owned()
}

/// Shows a word so that it can be read back.
pub(super) fn shown_word(text: &str) -> String {
    let odd = |it: char| it.is_control() || it.is_whitespace() || matches!(it, '"' | '\\');
    let kind = matches!(text, "json" | "text" | "json*" | "text*" | "binary" | "mixed" | "");
    if kind || text.contains(odd) { shown_quoted(text) } else { text.into() }
}

/// Shows a word in quotation marks.
pub(super) fn shown_quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\\""))
}

/// Reads a time: `25s`, `500ms`, `2m`, `1h`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let milliseconds = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{text} is no time: ms, s, m or h")),
    };
    let number: u64 = text[..digits].parse().map_err(|_| format!("{text} is no time"))?;
    Ok(Duration::from_millis(number * milliseconds))
}

pub(super) fn shown_time(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}
