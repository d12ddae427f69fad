//! A transcript in its blocks, and messages as lines of text.

use bytes::Bytes;

use crate::Message;

/// One line with its continuation lines.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Who speaks: `=`, `>`, `<`, `?`, `!` or `@`.
    pub(super) mark: char,
    /// On which line or exchange.
    pub(super) line: u32,
    pub(super) kind: Kind,
    pub(super) text: String,
    /// Where it stands in the file, from 1.
    pub(super) number: usize,
}

/// How the text of a block is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    AsItStands,
    Escaped,
    Hexadecimal,
    Ascii,
    Control,
}

/// Takes a text apart.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = vec![];
    for (line, number) in text.lines().zip(1..) {
        let Some(mark) = line.chars().next().filter(|it| *it != '#') else { continue };
        if !"=><?!@".contains(mark) {
            return Err(format!("line {number}: no line begins with {mark:?}"));
        }
        let (sign, text) = line[1..].split_once(' ').unwrap_or((&line[1..], ""));
        if let Some(on) = sign.strip_suffix('|') {
            let last = blocks.last_mut().filter(|it| it.mark == mark);
            let Some(last) = last.filter(|it| on.is_empty() || on.parse() == Ok(it.line)) else {
                return Err(format!("line {number}: this continues nothing"));
            };
            last.text.push('\n');
            last.text.push_str(text);
            continue;
        }
        let digits = sign.bytes().take_while(u8::is_ascii_digit).count();
        let kind = match &sign[digits..] {
            "" => Kind::AsItStands,
            "*" => Kind::Escaped,
            "x" => Kind::Hexadecimal,
            "b" => Kind::Ascii,
            ":" => Kind::Control,
            other => return Err(format!("line {number}: {other:?} behind the mark means nothing")),
        };
        let line = if digits == 0 { Ok(0) } else { sign[..digits].parse() };
        let line = line.map_err(|_| format!("line {number}: too large a number"))?;
        blocks.push(Block { mark, line, kind, text: text.into(), number });
    }
    Ok(blocks)
}

impl Block {
    pub(super) fn is_output(&self) -> bool {
        matches!(self.mark, '<' | '?')
    }

    pub(super) fn is_input(&self) -> bool {
        matches!(self.mark, '>' | '!' | '@')
    }

    /// Returns what is sent, unless it is a control line.
    pub(super) fn message(&self) -> Result<Message, String> {
        let text = &self.text;
        match self.kind {
            Kind::AsItStands => Ok(Message::Text(Bytes::copy_from_slice(text.as_bytes()))),
            Kind::Escaped => {
                let bytes = unescaped(text)?;
                String::from_utf8(bytes)
                    .map(|it| Message::Text(it.into()))
                    .map_err(|it| it.to_string())
            }
            Kind::Hexadecimal => Ok(Message::Binary(hexadecimal(text)?)),
            Kind::Ascii => Ok(Message::Binary(unescaped(text)?.into())),
            Kind::Control => Err("no message".into()),
        }
    }

    /// Returns an expected output as the stage would show it.
    pub(super) fn canonical(&self) -> Result<String, String> {
        if self.mark == '?' {
            return Ok(format!("? {}", self.text.trim_end()));
        }
        Ok(match self.kind {
            Kind::Control => control(self.line, self.text.trim_end()),
            _ => sent(self.line, &self.message()?),
        })
    }
}

/// Shows a message that goes to the client.
pub(super) fn sent(line: u32, message: &Message) -> String {
    let (kind, text) = match message {
        Message::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let odd = |it: char| it.is_control() && it != '\n';
            match text.contains(odd) || text.is_empty() || text.ends_with(['\n', ' ']) {
                true => ("*", escaped(&text)),
                false => ("", text.into_owned()),
            }
        }
        Message::Binary(bytes) => {
            let readable = bytes.iter().filter(|it| (b' '..=b'~').contains(it)).count();
            if readable * 2 > bytes.len() {
                ("b", ascii(bytes))
            } else {
                ("x", shown_hexadecimal(bytes))
            }
        }
    };
    block(line, kind, &text)
}

/// Shows something that is no message.
pub(super) fn control(line: u32, text: &str) -> String {
    block(line, ":", text)
}

fn block(line: u32, kind: &str, text: &str) -> String {
    let number = if line == 0 { String::new() } else { line.to_string() };
    let mut shown = format!("<{number}{kind}");
    for (i, part) in text.split('\n').enumerate() {
        shown += if i == 0 { " " } else { "\n<| " };
        shown += part;
    }
    shown
}

/// Writes a text so that it fits a line.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter {
            '\n' => shown += "\\n",
            '\r' => shown += "\\r",
            '\t' => shown += "\\t",
            '\\' => shown += "\\\\",
            other if other.is_control() => shown += &format!("\\u{{{:x}}}", u32::from(other)),
            other => shown.push(other),
        }
    }
    shown
}

fn ascii(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for &byte in bytes {
        match byte {
            b'\\' => shown += "\\\\",
            b' '..=b'~' => shown.push(byte.into()),
            _ => shown += &format!("\\x{byte:02x}"),
        }
    }
    shown
}

/// Undoes [`escaped`], [`ascii`] and quotation marks behind a backslash.
pub(super) fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match letters.next() {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some(same @ ('\\' | '"')) => bytes.push(same as u8),
            Some('x') => {
                let digits: String = letters.by_ref().take(2).collect();
                bytes.extend(hexadecimal(&digits)?);
            }
            Some('u') => {
                let digits: String = letters.by_ref().skip(1).take_while(|it| *it != '}').collect();
                let letter = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                let letter = letter.ok_or("\\u{…} holds no character")?;
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err("a backslash begins no escape".into()),
        }
    }
    Ok(bytes)
}

/// Reads hexadecimal digits, with spaces between the bytes or without.
pub(super) fn hexadecimal(text: &str) -> Result<Bytes, String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|it| *it != ' ')
        .map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok()))
        .collect();
    let pairs = digits.filter(|it| it.len() % 2 == 0).ok_or("no pairs of hexadecimal digits")?;
    Ok(pairs.chunks(2).map(|it| it[0] << 4 | it[1]).collect())
}

/// Writes bytes as hexadecimal digits.
pub(super) fn shown_hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect::<Vec<_>>().join(" ")
}
