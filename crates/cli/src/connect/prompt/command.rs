//! What a line at the prompt means.

use std::path::PathBuf;

use taiwa::{CloseCode, Message};

use crate::connect::input::decode_hex;

/// The commands, for `/help` and for completion.
pub(super) const COMMANDS: [(&str, &str); 7] = [
    ("/ping [TEXT]", "measure the time to the server and back"),
    ("/pong [TEXT]", "send a Pong that nobody asked for"),
    ("/bin HEX", "send a binary message, written in hexadecimal"),
    ("/file PATH", "send a file: as text if it is UTF-8, as binary otherwise"),
    ("/close [CODE [REASON]]", "close the connection, with 1000 if no code is given"),
    ("/info", "tell what is known of the connection"),
    ("/help", "tell the commands"),
];

/// The rest of `/help`.
pub(super) const KEYS: &str = "\
Any other line is sent as a text message; // at its start sends a line that starts with /.
A pasted text of several lines is one message. Up and Down go through the history, Ctrl-R searches
it; a line that starts with a space is not kept. Ctrl-D or Ctrl-C closes, Ctrl-C again aborts.";

/// A line at the prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Nothing,
    Send(Message),
    File(PathBuf),
    Ping(String),
    Pong(String),
    Close(CloseCode, String),
    Info,
    Help,
}

impl Command {
    /// Reads a line. The error is for the person who wrote it.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        if line.is_empty() {
            return Ok(Self::Nothing);
        }
        if line.starts_with("//") {
            return Ok(Self::Send(line[1..].into()));
        }
        if !line.starts_with('/') {
            return Ok(Self::Send(line.into()));
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let alone = |command| match rest {
            "" => Ok(command),
            _ => Err(format!("{name} takes nothing behind it")),
        };
        match name {
            // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
            "/ping" | "/pong" if rest.len() > 125 => Err(format!("{name} takes 125 bytes at most")),
            "/ping" => Ok(Self::Ping(rest.into())),
            "/pong" => Ok(Self::Pong(rest.into())),
            "/info" => alone(Self::Info),
            "/help" => alone(Self::Help),
            "/file" if !rest.is_empty() => Ok(Self::File(rest.into())),
            "/file" => Err("/file needs a path".into()),
            "/bin" => decode_hex(rest.as_bytes())
                .map(|bytes| Self::Send(bytes.into()))
                .map_err(|_| "/bin needs pairs of hexadecimal digits".into()),
            "/close" => parse_close(rest),
            _ => Err(format!("{name} is no command: /help lists them, // sends the line")),
        }
    }
}

fn parse_close(rest: &str) -> Result<Command, String> {
    let (code, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let code = match code {
        "" => CloseCode::NORMAL,
        code => code
            .parse()
            .ok()
            .map(CloseCode::new)
            .filter(|it| it.is_sendable())
            .ok_or("a close code is 1000 to 1003, 1007 to 1014 or 3000 to 4999")?,
    };
    let reason = reason.trim();
    if reason.len() > 123 {
        return Err("a reason has 123 bytes at most".into());
    }
    Ok(Command::Close(code, reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        let send = |it: &str| Command::Send(it.into());
        for (line, command) in [
            ("", Command::Nothing),
            ("hello", send("hello")),
            (" /ping", send(" /ping")),
            ("//ping", send("/ping")),
            ("two\nlines", send("two\nlines")),
            ("/ping", Command::Ping(String::new())),
            ("/ping a b", Command::Ping("a b".into())),
            ("/pong", Command::Pong(String::new())),
            ("/bin 0a 0B", Command::Send(vec![10, 11].into())),
            ("/bin", Command::Send(Vec::new().into())),
            ("/file a b.txt", Command::File("a b.txt".into())),
            ("/close", Command::Close(CloseCode::NORMAL, String::new())),
            ("/close 4000", Command::Close(CloseCode::new(4000), String::new())),
            ("/close 4000 so long", Command::Close(CloseCode::new(4000), "so long".into())),
            ("/info", Command::Info),
            ("/help", Command::Help),
        ] {
            assert_eq!(Command::parse(line), Ok(command), "{line:?}");
        }
    }

    #[test]
    fn nonsense_is_answered_and_not_sent() {
        let ping = format!("/ping {}", "x".repeat(126));
        let long = format!("/close 1000 {}", "x".repeat(124));
        for line in [
            "/pong?",
            "/bin 0",
            "/bin xx",
            "/close 1005",
            "/close x",
            "/file",
            "/info 1",
            &long,
            &ping,
        ] {
            assert!(Command::parse(line).is_err(), "{line:?}");
        }
    }
}
