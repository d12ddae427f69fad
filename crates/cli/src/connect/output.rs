//! What is received, as it is written: formats, times, and the thread that writes.

use std::{
    io::{self, Write},
    thread,
    time::{Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use taiwa::Message;
use tokio::sync::{mpsc, oneshot};

use super::pretty;
use crate::args::{Delimiter, Format, Timestamps};

/// A message and when it came.
pub(super) struct Received {
    pub(super) message: Message,
    pub(super) at: Instant,
    pub(super) clock: SystemTime,
}

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) format: Format,
    pub(super) delimiter: Delimiter,
    pub(super) timestamps: Option<Timestamps>,
    pub(super) colour: bool,
}

/// Writes messages in a style.
pub(super) struct Writer {
    style: Style,
    opened: Instant,
    last: Instant,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Writer {
    pub(super) fn new(style: Style, opened: Instant) -> Self {
        Self { style, opened, last: opened }
    }

    pub(super) fn write(&mut self, received: &Received, out: &mut impl Write) -> io::Result<()> {
        let time = self.time(received);
        let message = &received.message;
        if self.style.format != Format::Jsonl
            && let Some(time) = &time
        {
            write!(out, "{time} ")?;
        }
        match self.style.format {
            Format::Pretty => writeln!(out, "{}", pretty::show(message, self.style.colour)),
            Format::Raw => self.write_raw(message, out),
            Format::Jsonl => {
                let (r#type, data, base64) = match message {
                    Message::Text(text) => ("text", Some(text.as_str()), None),
                    Message::Binary(bytes) => ("binary", None, Some(STANDARD.encode(bytes))),
                };
                serde_json::to_writer(&mut *out, &Line { time, r#type, data, base64 })?;
                out.write_all(b"\n")
            }
            Format::Hex => {
                for byte in message.as_bytes() {
                    write!(out, "{byte:02x}")?;
                }
                out.write_all(b"\n")
            }
            Format::Base64 => writeln!(out, "{}", STANDARD.encode(message.as_bytes())),
        }
    }

    fn write_raw(&self, message: &Message, out: &mut impl Write) -> io::Result<()> {
        let payload = message.as_bytes();
        if self.style.delimiter == Delimiter::Len32 {
            let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
            out.write_all(&length.to_be_bytes())?;
        }
        out.write_all(payload)?;
        match (self.style.delimiter, message) {
            (Delimiter::Lf, Message::Text(_)) => out.write_all(b"\n"),
            (Delimiter::Nul, Message::Text(_)) => out.write_all(b"\0"),
            _ => Ok(()),
        }
    }

    fn time(&mut self, received: &Received) -> Option<String> {
        let since = |it| received.at.saturating_duration_since(it).as_secs_f64();
        let time = match self.style.timestamps? {
            Timestamps::Abs => humantime::format_rfc3339_millis(received.clock).to_string(),
            Timestamps::Rel => format!("{:.3}", since(self.opened)),
            Timestamps::Delta => format!("+{:.3}", since(self.last)),
        };
        self.last = received.at;
        Some(time)
    }
}

/// Messages on their way to the thread that writes; so many may wait.
const WAITING_MAX: usize = 16;

/// The thread that writes. A reader that does not read stops it, and nothing but it.
pub(super) struct Writing {
    pub(super) queue: mpsc::Sender<Received>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Writing {
    pub(super) fn start(mut writer: Writer, out: impl Write + Send + 'static) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Received>(WAITING_MAX);
        let (tell_done, done) = oneshot::channel();
        thread::spawn(move || {
            let mut out = io::BufWriter::with_capacity(64 << 10, out);
            let outcome = write_all(&mut writer, &mut waiting, &mut out);
            // What is left in the buffer after a failure has nowhere to go.
            let _ = out.into_parts();
            let _ = tell_done.send(outcome);
            drop(waiting);
        });
        Self { queue, done }
    }

    /// Waits until all is written. A reader that went away has what it wanted.
    pub(super) async fn finish(self) -> io::Result<()> {
        drop(self.queue);
        match self.done.await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::other("the thread that writes panicked")),
        }
    }
}

fn write_all(
    writer: &mut Writer,
    waiting: &mut mpsc::Receiver<Received>,
    out: &mut impl Write,
) -> io::Result<()> {
    while let Some(received) = waiting.blocking_recv() {
        writer.write(&received, out)?;
        // Flushed before waiting, so that a burst is few writes and a single message comes at once.
        while let Ok(received) = waiting.try_recv() {
            writer.write(&received, out)?;
        }
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Writes a text and a binary message, one and three seconds after the opening.
    fn written(format: Format, delimiter: Delimiter, timestamps: Option<Timestamps>) -> Vec<u8> {
        let opened = Instant::now();
        let mut writer =
            Writer::new(Style { format, delimiter, timestamps, colour: false }, opened);
        let mut out = Vec::new();
        for (message, after) in [("a\u{5bfe}".into(), 1), (Message::from(&b"\x00\xff"[..]), 3)] {
            let after = Duration::from_secs(after);
            let clock = SystemTime::UNIX_EPOCH + after;
            writer.write(&Received { message, at: opened + after, clock }, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn raw_ends_text_and_leaves_binary_as_it_is() {
        let raw = |delimiter| written(Format::Raw, delimiter, None);
        assert_eq!(raw(Delimiter::Lf), b"a\xe5\xaf\xbe\n\x00\xff");
        assert_eq!(raw(Delimiter::Nul), b"a\xe5\xaf\xbe\0\x00\xff");
        assert_eq!(raw(Delimiter::None), b"a\xe5\xaf\xbe\x00\xff");
        assert_eq!(raw(Delimiter::Len32), b"\0\0\0\x04a\xe5\xaf\xbe\0\0\0\x02\x00\xff");
    }

    #[test]
    fn other_formats_are_lines() {
        let lines = |format, timestamps| {
            String::from_utf8(written(format, Delimiter::Lf, timestamps)).unwrap()
        };
        assert_eq!(lines(Format::Hex, None), "61e5afbe\n00ff\n");
        assert_eq!(lines(Format::Base64, None), "YeWvvg==\nAP8=\n");
        assert_eq!(
            lines(Format::Jsonl, None),
            "{\"type\":\"text\",\"data\":\"a対\"}\n{\"type\":\"binary\",\"base64\":\"AP8=\"}\n"
        );
        assert_eq!(
            lines(Format::Jsonl, Some(Timestamps::Abs)).lines().next().unwrap(),
            "{\"time\":\"1970-01-01T00:00:01.000Z\",\"type\":\"text\",\"data\":\"a対\"}"
        );
        assert_eq!(lines(Format::Hex, Some(Timestamps::Rel)), "1.000 61e5afbe\n3.000 00ff\n");
        assert_eq!(lines(Format::Hex, Some(Timestamps::Delta)), "+1.000 61e5afbe\n+2.000 00ff\n");
    }
}
