//! Messages for people: JSON indented, binary as a hex dump, nothing that a terminal would obey.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::de::IgnoredAny;
use taiwa::Message;

/// Bytes of a hex dump; the rest is told as a number.
const DUMP_MAX: usize = 4096;

const KEY: Style = AnsiColor::Blue.on_default();
const STRING: Style = AnsiColor::Green.on_default();
const OTHER: Style = AnsiColor::Cyan.on_default();

/// Returns the message as text without a line end behind it.
pub(super) fn show(message: &Message, colour: bool) -> String {
    match message {
        Message::Text(text) if is_json(text) => Json { text, colour }.to_string(),
        Message::Text(text) => visible(text),
        Message::Binary(bytes) => dump(bytes),
    }
}

/// Objects and arrays alone: `7` and `"x"` look best as they are.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Writes control characters and marks that turn the direction of writing as `\u{..}`, so that a
/// peer can't move the cursor or disguise what it says.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|it| push_visible(it, &mut shown));
    shown
}

fn push_visible(it: char, shown: &mut String) {
    match it {
        '\n' | '\t' => shown.push(it),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.extend(it.escape_unicode()),
        _ if it.is_control() => shown.extend(it.escape_unicode()),
        _ => shown.push(it),
    }
}

fn dump(bytes: &[u8]) -> String {
    let plural = if bytes.len() == 1 { "" } else { "s" };
    let mut text = format!("binary, {} byte{plural}", bytes.len());
    for (row, chunk) in bytes[..bytes.len().min(DUMP_MAX)].chunks(16).enumerate() {
        let hex: String = chunk.iter().map(|it| format!("{it:02x} ")).collect();
        let chars: String = chunk
            .iter()
            .map(|&it| if it.is_ascii_graphic() || it == b' ' { it.into() } else { '.' })
            .collect();
        write!(text, "\n{:08x}  {hex:48} {chars}", row * 16).expect("a String takes all");
    }
    if bytes.len() > DUMP_MAX {
        write!(text, "\n... {} more", bytes.len() - DUMP_MAX).expect("a String takes all");
    }
    text
}

/// Valid JSON, indented. Only white space between tokens changes: numbers keep their digits, objects
/// their order and their doubled keys.
struct Json<'a> {
    text: &'a str,
    colour: bool,
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text.trim();
        let mut depth = 0;
        while let Some(first) = rest.chars().next() {
            let length = token_length(rest);
            let (token, behind) = rest.split_at(length);
            rest = behind.trim_start_matches(is_space);
            match first {
                '{' | '[' if rest.starts_with(['}', ']']) => {
                    f.write_str(token)?;
                    f.write_str(&rest[..1])?;
                    rest = rest[1..].trim_start_matches(is_space);
                }
                '{' | '[' => {
                    depth += 1;
                    write!(f, "{token}\n{:1$}", "", depth * 2)?;
                }
                '}' | ']' => {
                    depth -= 1;
                    write!(f, "\n{:1$}{token}", "", depth * 2)?;
                }
                ',' => write!(f, ",\n{:1$}", "", depth * 2)?,
                ':' => f.write_str(": ")?,
                '"' if rest.starts_with(':') => self.write(token, KEY, f)?,
                '"' => self.write(token, STRING, f)?,
                _ => self.write(token, OTHER, f)?,
            }
        }
        Ok(())
    }
}

impl Json<'_> {
    fn write(&self, token: &str, style: Style, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = visible(token);
        if self.colour { write!(f, "{style}{token}{style:#}") } else { f.write_str(&token) }
    }
}

fn is_space(it: char) -> bool {
    matches!(it, ' ' | '\t' | '\n' | '\r')
}

/// The length of the token at the start of valid JSON.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes[0] {
        b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
        b'"' => {
            let mut at = 1;
            while bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at + 1
        }
        _ => text
            .find(|it| is_space(it) || matches!(it, ',' | '}' | ']' | ':'))
            .unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_keeps_its_digits_and_order() {
        let shown =
            show(&r#"{"b":1.10,"a":[1e400,{}, [ ] ],"b":"x\"{,:}\\","":null}"#.into(), false);
        let expected = r#"{
  "b": 1.10,
  "a": [
    1e400,
    {},
    []
  ],
  "b": "x\"{,:}\\",
  "": null
}"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_no_json_stays_as_it_is() {
        for text in ["hello", "{", "[1,]", "7", "\"x\"", "", "{\"a\":1} x", "two\nlines\t!"] {
            assert_eq!(show(&text.into(), true), text);
        }
    }

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        let shown = show(&"\u{1b}[2J\r\u{9b}\u{7}\u{202e}x".into(), true);
        assert_eq!(shown, "\\u{1b}[2J\\u{d}\\u{9b}\\u{7}\\u{202e}x");
        let shown = show(&"[\"\u{9b}\u{7f}\"]".into(), false);
        assert_eq!(shown, "[\n  \"\\u{9b}\\u{7f}\"\n]");
    }

    #[test]
    fn binary_is_dumped_and_long_binary_cut() {
        assert_eq!(show(&Message::from(&b""[..]), false), "binary, 0 bytes");
        let shown = show(&Message::from(&b"hello \x00\xff world 1234"[..]), false);
        let expected = "binary, 19 bytes\n\
            00000000  68 65 6c 6c 6f 20 00 ff 20 77 6f 72 6c 64 20 31  hello .. world 1\n\
            00000010  32 33 34                                         234";
        assert_eq!(shown, expected);
        let shown = show(&vec![0; DUMP_MAX + 7].into(), false);
        assert!(shown.ends_with("\n... 7 more"), "{}", shown.len());
    }
}
