//! Engine.IO: the transports of one client, and whether it is alive.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Action, Actions, Exchange, Input, Line, Message, Messages, Polled, Request, Response,
};

use crate::{
    Settings, http,
    http::Opening,
    wire::{Fault, Frame, Revision, quoted},
};

mod closing;

use closing::{Closing, Last};

/// The connection below all namespaces.
///
/// ```text
///               polling                 probe: 2probe, 5
///   Opening ───────────────► Polling ─────────────────────► WebSocket ◄── Opening, by WebSocket
///                               │ silence, fault, farewell      │
///                               └────────────► Closing ◄────────┘
///                                                 │ its lines are gone
///                                                 └──────────────────► Ended
/// ```
///
/// A session of WebTransport is a WebSocket here.
pub(crate) struct Engine {
    revision: Revision,
    settings: Arc<Settings>,
    write: fn(&[Message]) -> Polled,
    sid: Box<str>,
    state: State,
    pulse: Pulse,
    /// It said that it is there, and nobody took note.
    has_answered: bool,
}

enum State {
    /// Its first line or request is to come.
    Opening,
    /// With the request that waits for something to be said, and the WebSocket that it tries.
    Polling {
        poll: Option<Line>,
        probe: Option<Probe>,
    },
    WebSocket(Line),
    /// Nothing is said any more. When these lines are gone it ends; so its session can be kept.
    Closing(Closing),
    Ended,
}

/// A WebSocket to which a polling client may change.
struct Probe {
    line: Line,
    until: Instant,
    /// It has asked whether it is heard.
    is_asked: bool,
}

/// Whether the client was heard of.
enum Pulse {
    /// It is asked then (revision 4).
    Asks(Instant),
    /// It has to say something until then: it was asked, or asks by itself (revision 3).
    Waits(Instant),
}

/// So much later than planned a client may be asked without getting more time for its answer.
const LATE_MAX: Duration = Duration::from_millis(200);

/// What a polling client may change to.
const EITHER: &str = "[\"websocket\",\"webtransport\"]";

/// A client that is closed because of what it did is told no more than that it is closed.
const NORMAL: u16 = 1000;

impl Engine {
    pub(super) fn new(opening: &Opening, settings: Arc<Settings>, now: Instant) -> Self {
        let pulse = match opening.revision {
            Revision::V4 => Pulse::Asks(now + settings.ping_every),
            Revision::V3 => Pulse::Waits(now + settings.ping_every + settings.pong_within),
        };
        Self {
            revision: opening.revision,
            settings,
            write: opening.revision.poll(opening.takes_binary),
            sid: opening.sid.clone(),
            state: State::Opening,
            pulse,
            has_answered: false,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Tells whether anything can be said.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Polling { .. } | State::WebSocket(_))
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Tells whether the client has answered that it is there since this was asked last.
    pub(super) fn take_answered(&mut self) -> bool {
        mem::take(&mut self.has_answered)
    }

    /// Says messages, one behind the other; while no poll waits they wait for the next.
    pub(super) fn say(&self, messages: &Messages, out: &mut Actions) {
        out.extend(messages.as_slice().iter().cloned().map(Action::Say));
    }

    /// Takes what came, and returns messages for the layer above.
    pub(super) fn receive(
        &mut self,
        input: Input,
        now: Instant,
        out: &mut Actions,
    ) -> Vec<Message> {
        match input {
            Input::Joined(line) => self.joined(line, now, out),
            Input::Message(line, message) => return self.message(line, message, now, out),
            Input::Request(exchange, request) => {
                return self.request(exchange, &request, now, out);
            }
            Input::Answered(line) => {
                if let State::Polling { poll, .. } = &mut self.state
                    && *poll == Some(line)
                {
                    *poll = None;
                }
            }
            Input::Left(line) => self.left(line, out),
            _ => {}
        }
        vec![]
    }

    fn joined(&mut self, line: Line, now: Instant, out: &mut Actions) {
        match &mut self.state {
            State::Opening => {
                self.state = State::WebSocket(line);
                out.push(Action::Send(line, text(self.open("[]"))));
            }
            State::Polling { probe: probe @ None, .. } => {
                let until = now + self.settings.upgrade_within;
                *probe = Some(Probe { line, until, is_asked: false });
            }
            // Engine.IO 4: "A client MUST NOT open more than one WebSocket connection per session. Should it happen, the
            // server MUST close the WebSocket connection."
            State::Polling { .. } | State::WebSocket(_) | State::Closing(_) => {
                out.push(Action::Close(line, NORMAL, "".into()));
                if let State::Closing(it) = &mut self.state {
                    it.lines.push(line);
                }
            }
            State::Ended => {}
        }
    }

    fn open(&self, upgrades: &str) -> String {
        let Settings { ping_every, pong_within, payload_bytes_max, .. } = *self.settings;
        format!(
            "0{{\"sid\":{},\"upgrades\":{upgrades},\"pingInterval\":{},\"pingTimeout\":{},\"maxPayload\":{}}}",
            quoted(&self.sid),
            ping_every.as_millis(),
            pong_within.as_millis(),
            payload_bytes_max,
        )
    }

    fn message(
        &mut self,
        line: Line,
        message: Message,
        now: Instant,
        out: &mut Actions,
    ) -> Vec<Message> {
        let size = message.as_bytes().len();
        let frame = self.revision.frame(message);
        let probes = match &self.state {
            State::WebSocket(it) if *it == line => false,
            State::Polling { probe: Some(it), .. } if it.line == line => true,
            _ => return vec![],
        };
        if probes {
            self.probe(frame, out);
            return vec![];
        }
        if size > self.settings.payload_bytes_max {
            self.close(1009, "too large", out);
            return vec![];
        }
        match frame {
            Ok(frame) => self.frame(frame, now, out).into_iter().collect(),
            Err(fault) => {
                self.fault(fault, out);
                vec![]
            }
        }
    }

    /// Takes what comes on a WebSocket to which the client may change.
    fn probe(&mut self, frame: Result<Frame, Fault>, out: &mut Actions) {
        let State::Polling { poll, probe } = &mut self.state else { return };
        let Some(Probe { line, is_asked, .. }) = probe else { return };
        let line = *line;
        match frame {
            Ok(Frame::Ping(data)) if data == "probe" => {
                *is_asked = true;
                out.push(Action::Send(line, text("3probe")));
                // Engine.IO 4: the server MUST "send a noop packet to any pending GET request"
                out.extend(poll.map(|it| Action::Send(it, text("6"))));
            }
            Ok(Frame::Upgrade) => {
                out.extend(poll.map(|it| Action::Send(it, text("6"))));
                self.state = State::WebSocket(line);
                out.push(Action::Flow(Some(line)));
            }
            _ => {
                *probe = None;
                out.push(Action::Close(line, NORMAL, "".into()));
            }
        }
    }

    /// Takes a packet on the transport in use.
    fn frame(&mut self, frame: Frame, now: Instant, out: &mut Actions) -> Option<Message> {
        let Settings { ping_every, pong_within, .. } = *self.settings;
        match (frame, self.revision) {
            (Frame::Message(message), _) => return Some(message),
            (Frame::Close, _) => {
                let waits = matches!(self.state, State::Polling { poll: None, .. });
                let last = waits.then(|| Last::poll(now));
                self.leave("6", last, (NORMAL, ""), out);
            }
            (Frame::Pong, Revision::V4) => {
                self.has_answered = matches!(self.pulse, Pulse::Waits(_));
                // The beat stays even, however long an answer took.
                let next = match self.pulse {
                    Pulse::Waits(until) => until.checked_sub(pong_within).map(|it| it + ping_every),
                    Pulse::Asks(at) => Some(at),
                };
                self.pulse = Pulse::Asks(next.unwrap_or(now).max(now));
            }
            (Frame::Ping(data), Revision::V3) => {
                self.pulse = Pulse::Waits(now + ping_every + pong_within);
                let pong = [b"3", &data[..]].concat();
                out.push(Action::Say(Message::Text(pong.into())));
            }
            (Frame::Ping(_), Revision::V4) | (Frame::Pong, Revision::V3) => {
                self.fault(Fault("a heartbeat in the wrong direction"), out);
            }
            (Frame::Upgrade | Frame::Noop, _) => {}
        }
        None
    }

    fn request(
        &mut self,
        exchange: Exchange,
        request: &Request,
        now: Instant,
        out: &mut Actions,
    ) -> Vec<Message> {
        match (&mut self.state, &*request.method) {
            (State::Opening, _) => {
                let (poll, probe) = (Some(exchange.line()), None);
                self.state = State::Polling { poll, probe };
                let has_more = self.settings.webtransport && self.revision == Revision::V4;
                let upgrades = if has_more { EITHER } else { "[\"websocket\"]" };
                let open = text(self.open(upgrades));
                let cookie = self.settings.cookie.as_ref();
                let cookie = cookie.map(|name| {
                    ("set-cookie", format!("{name}={}; Path=/; HttpOnly; SameSite=Lax", self.sid))
                });
                self.wait(exchange, cookie.into_iter().collect(), out);
                out.push(Action::Send(exchange.line(), open));
            }
            (State::Polling { poll: poll @ None, probe }, "GET") => {
                *poll = Some(exchange.line());
                let is_asked = probe.as_ref().is_some_and(|it| it.is_asked);
                self.wait(exchange, vec![], out);
                if is_asked {
                    out.push(Action::Send(exchange.line(), text("6")));
                }
            }
            (State::Polling { .. }, "POST") => {
                return self.post(exchange, request, now, out);
            }
            (State::Polling { .. }, method) => {
                out.push(Action::Respond(exchange, http::bad_request()));
                // Engine.IO 4: "a client MUST NOT have more than one active GET request. Should it happen, the server MUST
                // return an HTTP 400 error status and close the session."
                if method == "GET" {
                    self.leave("1", None, (NORMAL, ""), out);
                }
            }
            (State::WebSocket(_), _) => out.push(Action::Respond(exchange, http::bad_request())),
            (State::Closing(_), _) => self.last_request(exchange, request, out),
            (State::Ended, _) => {}
        }
        vec![]
    }

    /// Lets a request wait for something to be said.
    fn wait(&self, exchange: Exchange, headers: Vec<(&'static str, String)>, out: &mut Actions) {
        let response = Response::Poll { headers, head: Default::default(), write: self.write };
        out.push(Action::Respond(exchange, response));
        out.push(Action::Flow(Some(exchange.line())));
    }

    /// Takes the packets of a request.
    fn post(
        &mut self,
        exchange: Exchange,
        request: &Request,
        now: Instant,
        out: &mut Actions,
    ) -> Vec<Message> {
        if request.body.len() > self.settings.payload_bytes_max {
            out.push(Action::Respond(exchange, http::too_large()));
            self.leave("1", None, (NORMAL, ""), out);
            return vec![];
        }
        let kind = request.header("content-type").unwrap_or("");
        let is_binary = kind.starts_with("application/octet-stream");
        let frames = self.revision.payload(&request.body, is_binary, self.settings.packets_max);
        let Ok(frames) = frames else {
            out.push(Action::Respond(exchange, http::bad_request()));
            self.leave("1", None, (NORMAL, ""), out);
            return vec![];
        };
        out.push(Action::Respond(exchange, http::taken()));
        let mut messages = vec![];
        for frame in frames {
            if !self.is_open() {
                break;
            }
            messages.extend(self.frame(frame, now, out));
        }
        messages
    }

    fn left(&mut self, line: Line, out: &mut Actions) {
        match &mut self.state {
            State::WebSocket(it) if *it == line => {
                self.state = State::Closing(Closing::default());
                self.end_if_alone(out);
            }
            State::Polling { probe, .. } if probe.as_ref().is_some_and(|it| it.line == line) => {
                *probe = None;
            }
            // It was given up before it was answered.
            State::Polling { poll, .. } if *poll == Some(line) => {
                *poll = None;
                self.leave("1", None, (NORMAL, ""), out);
            }
            State::Closing(closing) => {
                closing.lines.retain(|it| *it != line);
                self.end_if_alone(out);
            }
            _ => {}
        }
    }

    /// Takes the passing of time; tells whether the client was asked if it is there.
    pub(super) fn timeout(&mut self, now: Instant, out: &mut Actions) -> bool {
        if let State::Polling { probe, .. } = &mut self.state
            && let Some(late) = probe.take_if(|it| it.until <= now)
        {
            out.push(Action::Close(late.line, NORMAL, "".into()));
        }
        if let State::Closing(closing) = &mut self.state
            && closing.last.take_if(|it| it.until <= now).is_some()
        {
            self.end_if_alone(out);
        }
        if !self.is_open() {
            return false;
        }
        let mut asks = false;
        if let Pulse::Asks(at) = self.pulse
            && at <= now
        {
            let asked = if now.saturating_duration_since(at) <= LATE_MAX { at } else { now };
            self.pulse = Pulse::Waits(asked + self.settings.pong_within);
            out.push(Action::Say(text("2")));
            asks = true;
        }
        if let Pulse::Waits(until) = self.pulse
            && until <= now
        {
            self.leave("1", None, (NORMAL, "ping timeout"), out);
        }
        asks
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let probe = match &self.state {
            State::Polling { probe, .. } => probe.as_ref().map(|it| it.until),
            State::WebSocket(_) => None,
            State::Closing(closing) => return closing.last.as_ref().map(|it| it.until),
            State::Opening | State::Ended => return None,
        };
        let (Pulse::Asks(pulse) | Pulse::Waits(pulse)) = self.pulse;
        Some(probe.map_or(pulse, |it| it.min(pulse)))
    }
}

fn text(text: impl Into<bytes::Bytes>) -> Message {
    Message::Text(text.into())
}
