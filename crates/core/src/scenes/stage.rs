//! A dialect's world in a scene: the server, the hub and the clock, as far as one client sees them.

use std::{fmt, time::Instant};

use bytes::Bytes;

use super::{
    ADDRESS, SESSION,
    asked::{shown, shown_answer, shown_refusal},
    fields::{shown_quoted, time},
    ledger::Ledger,
    script::{Block, Kind, control, sent},
    told::{Told, read},
};
use crate::{
    Action, Actions, Addressee, Conversation, Delivery, Dialect, Door, Event, Exchange, Input,
    Knock, Line, Message, Messages, Refusal, RefusalKind, Request, Response, Said, Target,
    Transport,
};

/// A conversation's deadline that stays in the past so often is no progress.
const TIMEOUTS_MAX: u32 = 100;

pub(super) struct Stage<'a> {
    dialect: &'a dyn Dialect,
    now: Instant,
    conversation: Option<Box<dyn Conversation>>,
    lines: Vec<Fate>,
    flow: Option<Line>,
    waiting: Vec<Message>,
    pub(super) ledger: Ledger,
    shown: Vec<String>,
}

/// What became of a line or an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Unanswered,
    /// A WebSocket that the conversation has not opened yet.
    Unopened,
    Open,
    Poll {
        used: bool,
    },
    /// Its end is to be told in this turn.
    Ending,
    /// It was closed, and its end is not told yet.
    Closed,
    Gone,
}

/// Who made a step go wrong.
#[derive(Debug)]
pub(super) enum Blame {
    /// The scene, which says what no client, hub or server could.
    Scene(String),
    /// The dialect, which did what none may.
    Dialect(String),
}

impl From<String> for Blame {
    fn from(text: String) -> Self {
        Self::Scene(text)
    }
}

impl From<&str> for Blame {
    fn from(text: &str) -> Self {
        Self::Scene(text.into())
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Scene(text) | Self::Dialect(text)) = self;
        f.write_str(text)
    }
}

impl<'a> Stage<'a> {
    pub(super) fn new(dialect: &'a dyn Dialect, now: Instant) -> Self {
        Self {
            dialect,
            now,
            conversation: None,
            lines: vec![],
            flow: Some(Line(0)),
            waiting: vec![],
            ledger: Ledger::default(),
            shown: vec![],
        }
    }

    /// Plays one input and returns what came of it.
    pub(super) fn step(&mut self, block: &Block) -> Result<Vec<String>, Blame> {
        match (block.mark, block.kind) {
            ('>', Kind::Control) if block.text.trim_end() == "left" => {
                self.leave(Line(block.line))?
            }
            ('>', Kind::Control) => self.knock(&block.text)?,
            ('>', _) => {
                let line = Line(block.line);
                if !matches!(self.lines.get(block.line as usize), Some(Fate::Open)) {
                    return Err("no such line is open".into());
                }
                self.input(Input::Message(line, block.message()?))?;
            }
            ('!', _) => self.told(read(&block.text)?)?,
            ('@', _) => {
                let text = block.text.trim_end().strip_prefix('+').ok_or("a time is +25s")?;
                self.wait(self.now + time(text)?)?;
            }
            _ => return Err("no input".into()),
        }
        Ok(std::mem::take(&mut self.shown))
    }

    pub(super) fn is_over(&self) -> bool {
        self.conversation.is_none()
    }

    fn knock(&mut self, text: &str) -> Result<(), Blame> {
        let (transport, mut request, offered) = request(text)?;
        match self.addressee(transport, &mut request) {
            Addressee::Nobody(status, text) => {
                let why = Refusal::new(RefusalKind::BadRequest, text);
                let otherwise = format!("{status} {}", shown_quoted(text));
                self.turn_away(&request, &why, &otherwise)
            }
            Addressee::Known(address) if *address != *ADDRESS || self.is_over() => {
                let why = Refusal::new(RefusalKind::NotFound, "there is no such conversation");
                self.turn_away(&request, &why, "nobody")
            }
            Addressee::KnownOrNew(address) if *address == *ADDRESS && !self.is_over() => {
                self.arrive(transport, request)
            }
            Addressee::Known(_) => self.arrive(transport, request),
            Addressee::New | Addressee::KnownOrNew(_) if !self.is_over() => {
                Err("the client is in already".into())
            }
            Addressee::New | Addressee::KnownOrNew(_) => {
                let doors = self.dialect.doors();
                let fits = |it: &&Door| {
                    let path = match it.path.strip_suffix('*') {
                        Some(start) => request.path.starts_with(start),
                        None => *request.path == *it.path,
                    };
                    let spoken = it.subprotocols.is_empty() || agreed(it, &offered).is_some();
                    path && spoken && it.transports.contains(&transport)
                };
                let Some(door) = doors
                    .iter()
                    .filter(fits)
                    .max_by_key(|it| (it.path.len(), it.subprotocols.len().min(1)))
                else {
                    self.shown.push(control(0, "no door"));
                    return Ok(());
                };
                let subprotocol = agreed(door, &offered);
                let knock = Knock {
                    transport,
                    request: &request,
                    subprotocol,
                    address: if transport == Transport::Http { ADDRESS } else { "" },
                    random: SESSION.0,
                };
                let opened = self.dialect.open(&knock, self.now);
                *self = Self {
                    shown: std::mem::take(&mut self.shown),
                    flow: (transport != Transport::Http).then_some(Line(0)),
                    ..Self::new(self.dialect, self.now)
                };
                match opened {
                    Ok(conversation) => {
                        self.conversation = Some(conversation);
                        self.arrive(transport, request)
                    }
                    Err(refusal) => {
                        let text = format!("refused {}", shown_refusal(&refusal));
                        self.turn_away(&request, &refusal, &text)
                    }
                }
            }
        }
    }

    fn addressee(&self, transport: Transport, request: &mut Request) -> Addressee {
        let introduction = match transport {
            Transport::WebTransport => self.dialect.introduction(request),
            _ => None,
        };
        match introduction {
            Some(tell) => tell(&Message::Text(std::mem::take(&mut request.body))),
            None => self.dialect.addressee(request),
        }
    }

    fn arrive(&mut self, transport: Transport, request: Request) -> Result<(), Blame> {
        let number = self.lines.len() as u32;
        match transport {
            Transport::WebSocket | Transport::WebTransport => {
                let waits = self.lines.is_empty() && self.dialect.opens_later();
                self.lines.push(if waits { Fate::Unopened } else { Fate::Open });
                self.input(Input::Joined(Line(number)))
            }
            Transport::Http => {
                if self.lines.is_empty() {
                    self.flow = None;
                }
                self.lines.push(Fate::Unanswered);
                self.input(Input::Request(Exchange(number), request))
            }
        }
    }

    fn leave(&mut self, line: Line) -> Result<(), Blame> {
        match self.lines.get_mut(line.0 as usize) {
            None | Some(Fate::Gone) => return Err("no such line is open".into()),
            Some(state) => *state = Fate::Gone,
        }
        self.flow = self.flow.filter(|it| *it != line);
        self.input(Input::Left(line))
    }

    fn input(&mut self, input: Input) -> Result<(), Blame> {
        let mut out = vec![];
        let conversation = self.conversation.as_mut().ok_or("there is no conversation")?;
        conversation.receive(input, self.now, &mut out);
        self.turn(out)
    }

    fn event(&mut self, event: Event) -> Result<(), Blame> {
        let mut out = vec![];
        let conversation = self.conversation.as_mut().ok_or("there is no conversation")?;
        conversation.deliver(event, self.now, &mut out);
        self.turn(out)
    }

    fn wait(&mut self, until: Instant) -> Result<(), Blame> {
        let mut timeouts = 0;
        while let Some(conversation) = &mut self.conversation
            && let Some(deadline) = conversation.deadline().filter(|it| *it <= until)
        {
            timeouts = if deadline > self.now { 0 } else { timeouts + 1 };
            if timeouts > TIMEOUTS_MAX {
                return Err(Blame::Dialect("its deadline does not move".into()));
            }
            self.now = self.now.max(deadline);
            let mut out = vec![];
            conversation.timeout(self.now, &mut out);
            self.turn(out)?;
        }
        self.now = until;
        Ok(())
    }

    fn told(&mut self, told: Told) -> Result<(), Blame> {
        match told {
            Told::Event(event) => {
                self.ledger.remember(&event)?;
                self.event(event)
            }
            Told::Said(link, target, it, number) => {
                let heard = self.ledger.heard(link, &target)?;
                let delta = heard.delta.filter(|_| it.delta.is_some());
                match delta.unwrap_or(heard.whole) {
                    Delivery::Personal => self.event(Event::Said(link, target, it, number)),
                    Delivery::Shared(encoding) if delta.is_some() => {
                        self.flow((encoding.encode)(&Said::Delta(&it)))
                    }
                    Delivery::Shared(encoding) => {
                        self.flow((encoding.encode)(&Said::Publication(&it)))
                    }
                }
            }
            Told::Joined(link, it) => {
                match self.ledger.heard(link, &Target::Channel(it.channel.clone()))?.whole {
                    Delivery::Personal => self.event(Event::Joined(link, it)),
                    Delivery::Shared(encoding) => self.flow((encoding.encode)(&Said::Joined(&it))),
                }
            }
            Told::Left(link, it) => {
                match self.ledger.heard(link, &Target::Channel(it.channel.clone()))?.whole {
                    Delivery::Personal => self.event(Event::Left(link, it)),
                    Delivery::Shared(encoding) => self.flow((encoding.encode)(&Said::Left(&it))),
                }
            }
        }
    }

    /// Sends what all hear.
    fn flow(&mut self, messages: Messages) -> Result<(), Blame> {
        self.conversation.as_ref().ok_or("there is no conversation")?;
        for message in messages.as_slice() {
            match self.flow {
                Some(line) => self.send(line, message)?,
                None => self.waiting.push(message.clone()),
            }
        }
        self.turn(vec![])
    }

    fn send(&mut self, line: Line, message: &Message) -> Result<(), Blame> {
        match self.lines.get_mut(line.0 as usize) {
            None | Some(Fate::Unanswered) => {
                return Err(Blame::Dialect(format!(
                    "it sends on line {}, which is not open",
                    line.0
                )));
            }
            Some(Fate::Gone | Fate::Closed | Fate::Ending) => return Ok(()),
            Some(Fate::Poll { used }) => *used = true,
            Some(Fate::Open | Fate::Unopened) => {}
        }
        if let Message::Text(bytes) = message
            && std::str::from_utf8(bytes).is_err()
        {
            return Err(Blame::Dialect(format!("it sends a text that is not UTF-8: {bytes:?}")));
        }
        self.shown.push(sent(line.0, message));
        Ok(())
    }

    /// Does what the conversation wants; then the turn is over, and with it each poll that was answered.
    fn turn(&mut self, actions: Actions) -> Result<(), Blame> {
        for action in actions {
            if self.is_over() {
                return Err(Blame::Dialect(format!("behind its end it wants {action:?}")));
            }
            self.act(action)?;
        }
        let ends = |it: &Fate| matches!(it, Fate::Poll { used: true } | Fate::Ending);
        let Some(at) = self.lines.iter().position(ends).filter(|_| !self.is_over()) else {
            return Ok(());
        };
        let line = Line(at as u32);
        if std::mem::replace(&mut self.lines[at], Fate::Ending) != Fate::Ending {
            return self.input(Input::Answered(line));
        }
        self.leave(line)
    }

    fn act(&mut self, action: Action) -> Result<(), Blame> {
        match action {
            Action::Open(line) => {
                if let Some(state @ Fate::Unopened) = self.lines.get_mut(line.0 as usize) {
                    *state = Fate::Open;
                    self.shown.push(control(line.0, "open"));
                }
            }
            Action::Send(line, message) => self.send(line, &message)?,
            Action::Say(message) => match self.flow {
                Some(line) => self.send(line, &message)?,
                None => self.waiting.push(message),
            },
            Action::Flow(line) => {
                let shown = line.map_or("none".into(), |it| it.0.to_string());
                self.shown.push(format!("? flow {shown}"));
                self.flow = line;
                for message in line.map(|_| std::mem::take(&mut self.waiting)).unwrap_or_default() {
                    self.send(line.expect("checked above"), &message)?;
                }
            }
            Action::Respond(exchange, response) => self.respond(exchange, response)?,
            Action::Ask(token, command) => {
                self.shown.push(format!("? {token} {}", shown(&command)));
                self.ledger.ask(token, command);
            }
            Action::Answer(id, answer) => {
                self.shown.push(format!("? answer {}{}", id.0, shown_answer(&answer)));
            }
            Action::Close(line, code, reason) => {
                match self.lines.get_mut(line.0 as usize) {
                    Some(state @ (Fate::Open | Fate::Unopened)) => *state = Fate::Closed,
                    Some(state @ Fate::Poll { .. }) => *state = Fate::Ending,
                    _ => {
                        return Err(Blame::Dialect(format!(
                            "it closes line {}, which is not open",
                            line.0
                        )));
                    }
                }
                self.shown.push(control(line.0, &ending("close", code, &reason)?));
            }
            Action::End(code, reason) => {
                self.shown.push(control(0, &ending("end", code, &reason)?));
                self.conversation = None;
            }
        }
        Ok(())
    }

    fn respond(&mut self, exchange: Exchange, response: Response) -> Result<(), Blame> {
        let (state, head, headers, body) = match response {
            Response::Whole { status, headers, body } => {
                (Fate::Gone, status.to_string(), headers, body)
            }
            Response::Stream { headers } => (Fate::Open, "stream".into(), headers, Bytes::new()),
            Response::Poll { headers, head, write } => {
                let sample = write(&[Message::Text(Bytes::from_static(b"sample"))]);
                let first = format!("poll {}", sample.content_type);
                (Fate::Poll { used: false }, first, headers, head)
            }
        };
        match self.lines.get_mut(exchange.0 as usize) {
            // A client that left before its answer: nobody reads it.
            Some(Fate::Gone) => return Ok(()),
            Some(it @ Fate::Unanswered) => *it = state,
            _ => {
                return Err(Blame::Dialect(format!(
                    "request {} is answered, or was never made",
                    exchange.0
                )));
            }
        }
        self.shown.push(control(exchange.0, &whole(head, &headers, &body)));
        Ok(())
    }

    /// Shows what a request that reaches no conversation is answered with.
    fn turn_away(&mut self, request: &Request, why: &Refusal, other: &str) -> Result<(), Blame> {
        let text = match self.dialect.turn_away(request, why) {
            None => other.to_owned(),
            Some(Response::Whole { status, headers, body }) => {
                whole(status.to_string(), &headers, &body)
            }
            Some(_) => return Err(Blame::Dialect("who is turned away gets all at once".into())),
        };
        self.shown.push(control(0, &text));
        Ok(())
    }
}

/// Shows a response: its status, its headers, an empty line, its body.
fn whole(head: String, headers: &[(&str, String)], body: &[u8]) -> String {
    let mut text = head;
    for (name, value) in headers {
        text += &format!("\n{name}: {value}");
    }
    if !body.is_empty() {
        text += &format!("\n\n{}", String::from_utf8_lossy(body).trim_end());
    }
    text
}

/// Shows a close code and reason, if a Close frame holds them (RFC 6455 §5.5, §7.4.1).
fn ending(verb: &str, code: u16, reason: &str) -> Result<String, Blame> {
    let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !may_be_sent || reason.len() > 123 {
        return Err(Blame::Dialect(format!(
            "no Close frame holds code {code} and reason {reason:?}"
        )));
    }
    Ok(format!("{verb} {code} {}", shown_quoted(reason)))
}

fn agreed<'a>(door: &Door, offered: &'a [String]) -> Option<&'a str> {
    let offered = offered.iter().map(String::as_str);
    offered.into_iter().find(|it| door.subprotocols.contains(it))
}

/// Reads how a client comes in, its request, and the subprotocols that it offers.
fn request(text: &str) -> Result<(Transport, Request, Vec<String>), String> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.split('\n');
    let first = lines.next().unwrap_or("").trim_end();
    let (method, target) = first.split_once(' ').ok_or("it is WS, WT, or a method, then a path")?;
    let mut headers = vec![];
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header has a colon")?;
        let value = Bytes::copy_from_slice(value.trim().as_bytes());
        headers.push((name.to_lowercase().into_boxed_str(), value));
    }
    let mut request = Request::get(target);
    request.headers = headers.into();
    request.body = Bytes::copy_from_slice(body.as_bytes());
    let offered = request.header("sec-websocket-protocol").unwrap_or("");
    let offered = offered.split(',').map(|it| it.trim().to_owned()).collect();
    let transport = match method {
        "WS" => Transport::WebSocket,
        "WT" => Transport::WebTransport,
        _ => {
            request.method = method.into();
            Transport::Http
        }
    };
    Ok((transport, request, offered))
}
