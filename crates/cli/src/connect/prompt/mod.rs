//! The prompt: a person types, what comes is printed above the line.

mod command;
mod editor;

use std::{
    collections::VecDeque,
    future::pending,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anstyle::{AnsiColor, Style};
use taiwa::{CloseCode, Error, Message, TrySendError, Utf8Bytes, WebSocket};
use tokio::time::timeout;

use super::{
    Opened,
    input::read_file,
    output::{Received, Writer},
    tell::{Tell, Way, agreed, how},
    turn::{Turn, Wish, turn},
};
use crate::{
    args::Connect,
    exit::{self, Exit, Failure},
    signals::{Signal, Signals},
};
use command::{COMMANDS, Command, KEYS};
use editor::{Screen, Typed};

const INCOMING: Style = AnsiColor::BrightBlue.on_default();
const NOTE: Style = AnsiColor::Green.on_default();
const FAULT: Style = AnsiColor::Red.on_default();

/// How long `/ping` waits.
const PONG_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn run(
    opened: Opened,
    args: &Connect,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let Opened { socket, opened, tell, url } = opened;
    let screen = Screen::open().map_err(|it| {
        Failure::new(Exit::Inside, format_args!("no line can be edited here ({it}); use a pipe"))
    })?;
    let style = args.style(true);
    let mut prompt = Prompt {
        socket,
        screen,
        tell,
        url,
        opened,
        writer: Writer::new(style, opened),
        colour: style.colour,
        file_max: args.sending.record_max.0,
        unsent: VecDeque::new(),
        closing: false,
        outcome: None,
    };
    if !args.quiet {
        let line = format!("connected to {}; /help helps, Ctrl-D closes", prompt.url);
        prompt.say(NOTE, &line);
    }
    let outcome = loop {
        if let Some(outcome) = prompt.step(&mut signals).await {
            break outcome;
        }
    };
    let closed = prompt.socket.closed().cloned();
    drop(prompt.screen);
    if let (Ok(_), Some(closed), false) = (&outcome, closed, args.quiet) {
        anstream::eprintln!("{NOTE}{}{NOTE:#}", how(&closed));
    }
    outcome
}

struct Prompt {
    socket: WebSocket,
    screen: Screen,
    tell: Tell,
    url: String,
    opened: Instant,
    writer: Writer,
    colour: bool,
    file_max: usize,
    /// Typed and not taken by the connection yet: a person is slower than most networks.
    unsent: VecDeque<Message>,
    closing: bool,
    /// What was decided before the end.
    outcome: Option<Exit>,
}

impl Prompt {
    /// Does one thing; returns how the command ends when it does.
    async fn step(&mut self, signals: &mut Signals) -> Option<Result<Exit, Failure>> {
        self.hand_over();
        let wish = Wish { receive: true, room: !self.unsent.is_empty(), written: false };
        let typed = async {
            match self.screen.typed.recv().await {
                Some(typed) => typed,
                None => pending().await,
            }
        };
        tokio::select! {
            turn = turn(&mut self.socket, wish) => match turn {
                Turn::Received(received) => return self.take(received),
                Turn::Room | Turn::Written => {}
            },
            typed = typed => match typed {
                Typed::Line(line) => self.obey(&line).await,
                Typed::End => self.close(CloseCode::NORMAL, ""),
                Typed::Interrupt if self.closing => return Some(Ok(Exit::Interrupted)),
                Typed::Interrupt => self.close(CloseCode::NORMAL, ""),
            },
            signal = signals.next() => {
                if self.closing || signal == Signal::Terminate {
                    return Some(Ok(signal.into()));
                }
                self.close(CloseCode::NORMAL, "");
            }
        }
        None
    }

    fn hand_over(&mut self) {
        while let Some(message) = self.unsent.pop_front() {
            match self.socket.try_send(message.clone()) {
                Ok(()) => self.tell_message(Way::Out, &message),
                Err(TrySendError::Full(message)) => {
                    self.unsent.push_front(message);
                    break;
                }
                Err(TrySendError::Closing(_)) => {
                    self.unsent.clear();
                    self.say(FAULT, "not sent: the connection is closing");
                }
            }
        }
    }

    fn take(&mut self, received: Result<Option<Message>, Error>) -> Option<Result<Exit, Failure>> {
        match received {
            Ok(Some(message)) => {
                self.tell_message(Way::In, &message);
                self.show(message);
                None
            }
            Ok(None) => {
                let closed = self.socket.closed().map_or(Exit::Good, exit::of_closed);
                Some(Ok(self.outcome.unwrap_or(closed)))
            }
            Err(error) => Some(Err(Failure::new(exit::of_error(&error), &error))),
        }
    }

    fn show(&mut self, message: Message) {
        let mut line = Vec::new();
        let received = Received { message, at: Instant::now(), clock: SystemTime::now() };
        if let Err(error) = self.writer.write(&received, &mut line) {
            self.say(FAULT, &error.to_string());
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let arrow = if self.colour { format!("{INCOMING}<{INCOMING:#}") } else { "<".into() };
        self.screen.print(&format!("{arrow} {line}"));
    }

    fn say(&mut self, style: Style, text: &str) {
        match self.colour {
            true => self.screen.print(&format!("{style}{text}{style:#}")),
            false => self.screen.print(text),
        }
    }

    fn tell_message(&mut self, way: Way, message: &Message) {
        if let Some(line) = self.tell.line_of(way, message) {
            self.say(NOTE, &line);
        }
    }

    async fn obey(&mut self, line: &str) {
        match Command::parse(line) {
            Err(fault) => self.say(FAULT, &fault),
            Ok(Command::Nothing) => {}
            Ok(Command::Send(message)) => self.unsent.push_back(message),
            Ok(Command::File(path)) => self.send_file(&path),
            Ok(Command::Ping(payload)) => self.ping(&payload).await,
            Ok(Command::Pong(payload)) => {
                if let Err(error) = self.socket.pong(payload.as_bytes()) {
                    self.say(FAULT, &error.to_string());
                }
            }
            Ok(Command::Close(code, reason)) => self.close(code, &reason),
            Ok(Command::Info) => self.info(),
            Ok(Command::Help) => {
                for (usage, meaning) in COMMANDS {
                    self.screen.print(&format!("{usage:24}{meaning}"));
                }
                self.screen.print(KEYS);
            }
        }
    }

    fn send_file(&mut self, path: &Path) {
        match read_file(path, self.file_max) {
            Err(fault) => self.say(FAULT, &fault.to_string()),
            Ok(content) => {
                let message = match Utf8Bytes::try_from(content.clone()) {
                    Ok(text) => Message::Text(text),
                    Err(_) => Message::Binary(content),
                };
                let kind = if message.as_text().is_some() { "text" } else { "binary" };
                self.say(NOTE, &format!("{kind}, {} bytes", message.as_bytes().len()));
                self.unsent.push_back(message);
            }
        }
    }

    async fn ping(&mut self, payload: &str) {
        let pong = async {
            match payload {
                "" => self.socket.ping().await,
                payload => self.socket.ping_with(payload.as_bytes()).await,
            }
        };
        match timeout(PONG_WITHIN, pong).await {
            Ok(Ok(time)) => {
                self.say(NOTE, &format!("pong after {:.1} ms", time.as_secs_f64() * 1e3))
            }
            // Receiving tells the rest.
            Ok(Err(error)) => self.say(FAULT, &error.to_string()),
            Err(_) => self.say(FAULT, &format!("no pong within {} s", PONG_WITHIN.as_secs())),
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        match self.socket.start_close(code, reason) {
            Ok(()) => self.closing = true,
            Err(error) => self.say(FAULT, &error.to_string()),
        }
    }

    fn info(&mut self) {
        let peer = self.socket.peer_addr().map_or("?".into(), |it| it.to_string());
        let lines = [
            format!("{} at {peer}", self.url),
            format!("open for {:.0} s", self.opened.elapsed().as_secs_f64()),
            agreed(&self.socket),
        ];
        for line in lines {
            self.say(NOTE, &line);
        }
    }
}
