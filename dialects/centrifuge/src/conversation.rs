//! One client.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use taiwa_core::{
    self as core, Action, Actions, Channel, Conversation, Event, Exchange, Input, Knock, Line,
    Link, Refusal, RefusalKind, Request as HttpRequest, Target, Transport, Unsubscribed,
};

use crate::{
    Settings,
    encode::Outlet,
    http,
    wire::{Command, Error, Limits, Outcome, Push, Reply, Request, Shape},
};

mod question;
mod answer;
mod words;

use question::{Kind, token};
use words::Ending;

/// The only link: who a client is, it says once.
const LINK: Link = Link(0);

/// One client, whatever its transport and its format.
///
/// ```text
///                connect                hub: Connected             silence, hub, fault, line ends
///   Silent ───────────────────► Asked ───────────────────► Let in ───────────────────────────────► Ended
///      │                          │ hub: refused                                                    ▲
///      │                          └───────────────► Refused ────────────────────────────────────────┤
///      └────────────────────────────────────────────────────────────────────────────────────────────┘
///        silence, another command                      silence, any command
/// ```
pub(crate) struct Client {
    outlet: Outlet,
    /// Something random, for its first ping.
    chance: u8,
    line: Line,
    settings: Arc<Settings>,
    /// What later requests find this conversation by, if they have to.
    address: Option<Box<str>>,
    /// It is told why it has to leave, since it sees no close code: published clients look at a WebSocket's alone.
    hears_why: bool,
    state: State,
    /// Channels to which the server subscribed this client. In other channels it can subscribe again by itself.
    served: Vec<Channel>,
    /// Subscriptions on their way which are to fail rather than to begin anew, by the number of their command.
    strict: Vec<(NonZeroU32, Channel)>,
}

enum State {
    /// It has to connect until then. A stream has brought its first frame along.
    Silent { until: Instant, frame: Option<Bytes> },
    /// The hub is asked whether it may come in; what it says meanwhile waits.
    Asked { waiting: Vec<Command>, bytes: usize },
    /// It is in.
    LetIn(Pulse),
    /// It may not come in and was told why. It leaves by itself until then.
    Refused { until: Instant },
    /// Nothing is heard or said any more.
    Ended,
}

/// Whether a client that is in was heard of.
enum Pulse {
    /// It is never asked.
    Never,
    /// It is asked then.
    Asks(Instant),
    /// It was asked and has to say something until then.
    Waits(Instant),
}

impl Client {
    /// Begins with one that has come in.
    pub(crate) fn new(
        knock: &Knock<'_>,
        outlet: Outlet,
        frame: Option<Bytes>,
        settings: Arc<Settings>,
        now: Instant,
    ) -> Self {
        Self {
            outlet,
            chance: knock.random as u8,
            line: Line(0),
            address: frame.is_some().then(|| knock.address.into()),
            hears_why: knock.transport != Transport::WebSocket,
            state: State::Silent { until: now + settings.connect_within, frame },
            served: vec![],
            strict: vec![],
            settings,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            commands_max: self.settings.commands_max,
            subs_max: self.settings.positions_max,
            filter_nodes_max: self.settings.filter_nodes_max,
        }
    }

    /// Takes a frame of commands: all of them, or none if one of them is a fault.
    fn frame(&mut self, frame: &Bytes, now: Instant, out: &mut Actions) {
        if matches!(self.state, State::Ended) {
            return;
        }
        let Ok(commands) = self.outlet.format().commands(frame, &self.limits()) else {
            return self.end(Ending::BAD_REQUEST, out);
        };
        if let State::LetIn(pulse @ Pulse::Waits(_)) = &mut self.state {
            *pulse = Pulse::Asks(now + self.settings.ping_every);
        }
        if let State::Asked { bytes, .. } = &mut self.state {
            *bytes += frame.len();
        }
        for command in commands {
            self.command(command, out);
        }
        let limit = self.settings.waiting_bytes_max;
        if matches!(&self.state, State::Asked { bytes, .. } if *bytes > limit) {
            self.end(Ending::RATE, out);
        }
    }

    fn command(&mut self, command: Command, out: &mut Actions) {
        match (&mut self.state, command) {
            (State::Silent { .. }, Command::Request(id, Request::Connect(connect))) => {
                self.state = State::Asked { waiting: vec![], bytes: 0 };
                let connect = question::connect(connect, self.outlet);
                out.push(Action::Ask(token(Kind::Connect, id), connect));
            }
            (State::Ended, _) => {}
            // A client connects once, and before anything else.
            (State::Silent { .. } | State::Refused { .. }, _)
            | (_, Command::Request(_, Request::Connect(_))) => self.end(Ending::BAD_REQUEST, out),
            (State::Asked { waiting, .. }, command) => waiting.push(command),
            // That it was heard at all is enough; see `frame`.
            (State::LetIn(_), Command::Pong) => {}
            (State::LetIn(_), Command::Send(data)) => {
                out.push(Action::Ask(question::QUIET, core::Command::Tell(LINK, data)));
            }
            (State::LetIn(_), Command::Request(id, request)) => self.request(id, request, out),
        }
    }

    /// Takes a request beside the lines, or the one that opens the first of them.
    fn http(&mut self, exchange: Exchange, request: &HttpRequest, now: Instant, out: &mut Actions) {
        if let State::Silent { frame, .. } = &mut self.state
            && let Some(frame) = frame.take()
        {
            self.line = exchange.line();
            out.push(Action::Respond(exchange, http::stream(self.outlet)));
            out.push(Action::Flow(Some(self.line)));
            return self.frame(&frame, now, out);
        }
        let Ok(frame) = http::frame(request) else {
            return out.push(Action::Respond(exchange, http::status(400)));
        };
        out.push(Action::Respond(exchange, http::status(204)));
        self.frame(&frame, now, out);
    }

    fn say(&self, reply: &Reply<'_>, out: &mut Actions) {
        out.push(Action::Send(self.line, self.outlet.message(reply)));
    }

    fn push(&self, channel: &str, push: Push<'_>, out: &mut Actions) {
        self.say(&Reply::Push { channel, push }, out);
    }

    fn fail(&self, id: NonZeroU32, error: Error<'_>, out: &mut Actions) {
        self.say(&Reply::Error { id, error }, out);
    }

    fn done(&self, id: NonZeroU32, outcome: Outcome<'_>, out: &mut Actions) {
        self.say(&Reply::Done { id, outcome }, out);
    }

    /// Sends the client away. A WebSocket hears why by its close code; others are told before.
    fn end(&mut self, ending: Ending, out: &mut Actions) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.state = State::Ended;
        if self.hears_why {
            let (code, reconnect) = (ending.code.into(), ending.returns());
            self.push("", Push::Disconnect { code, reason: &ending.reason, reconnect }, out);
        }
        out.push(Action::End(ending.code, ending.reason.into()));
    }

    /// Tells that the server ended a subscription. In its own channels a client subscribes again where that helps; those
    /// that the server chose come back with a new connection alone.
    fn unsubscribed(&mut self, target: &Target, why: &Unsubscribed, out: &mut Actions) {
        let name = match target {
            Target::Channel(channel) => channel.as_str(),
            Target::Pattern(pattern) => pattern.as_str(),
        };
        let (code, reason) = words::unsubscribed(why);
        if code >= words::RESUBSCRIBE && self.served.iter().any(|it| it.as_str() == name) {
            return self.end(Ending::INSUFFICIENT_STATE, out);
        }
        self.served.retain(|it| it.as_str() != name);
        self.push(name, Push::Unsubscribe { code, reason }, out);
    }

    /// Ends a subscription that has a gap, for the client to begin it anew.
    fn gap(&mut self, target: Target, out: &mut Actions) {
        self.unsubscribed(&target, &Unsubscribed::InsufficientState, out);
        if matches!(self.state, State::Ended) {
            return;
        }
        let command = core::Command::Unsubscribe(LINK, target);
        out.push(Action::Ask(question::QUIET, command));
    }
}

impl Conversation for Client {
    fn receive(&mut self, input: Input, now: Instant, out: &mut Actions) {
        match input {
            Input::Message(_, message) => self.frame(message.as_bytes(), now, out),
            Input::Request(exchange, request) => self.http(exchange, &request, now, out),
            Input::Left(line) if line == self.line => self.end(Ending::CLOSED, out),
            _ => {}
        }
    }

    fn deliver(&mut self, event: Event, now: Instant, out: &mut Actions) {
        if matches!(self.state, State::Ended) {
            return;
        }
        match event {
            Event::Reply(token, result) => self.reply(token, result, now, out),
            Event::Said(_, target, publication, _) => match target {
                Target::Channel(channel) => {
                    let push = Push::Publication(&publication, Shape::Plain);
                    self.push(channel.as_str(), push, out);
                }
                Target::Pattern(it) => self.push(it.as_str(), Push::Matched(&publication), out),
            },
            Event::Joined(_, it) => self.push(it.channel.as_str(), Push::Join(&it.member), out),
            Event::Left(_, it) => self.push(it.channel.as_str(), Push::Leave(&it.member), out),
            Event::Subscribed(_, channel, subscribed) => {
                let told = answer::subscribed(&subscribed, Shape::Plain);
                let recovered = told.publications;
                self.push(channel.as_str(), Push::Subscribe(told), out);
                // This push has no place for them: it says the position before them, and they follow.
                for it in recovered {
                    self.push(channel.as_str(), Push::Publication(it, Shape::Plain), out);
                }
                self.served.push(channel);
            }
            Event::Unsubscribed(_, target, why) => self.unsubscribed(&target, &why, out),
            // Where there are no positions, nobody was promised to hear everything.
            Event::Missed(_, target, _, Some(_)) => self.gap(target, out),
            Event::Call(id, _, method, _) => {
                let text = format!("clients of this kind answer no calls: {method}");
                let refusal = Refusal::new(RefusalKind::NotAvailable, &text);
                out.push(Action::Answer(id, Err(refusal)));
            }
            Event::Told(_, _, said) => self.push("", Push::Message(&said.payload), out),
            Event::Refreshed(_, connected) => {
                let ttl = connected.expires.map(words::seconds);
                self.push("", Push::Refresh { ttl }, out);
            }
            Event::Disconnect(why) => self.end(Ending::of(&why), out),
            _ => {}
        }
    }

    fn timeout(&mut self, now: Instant, out: &mut Actions) {
        match &mut self.state {
            State::Silent { until, .. } | State::Refused { until } if *until <= now => {
                self.end(Ending::STALE, out);
            }
            State::LetIn(pulse) => match *pulse {
                Pulse::Asks(at) if at <= now => {
                    *pulse = Pulse::Waits(now + self.settings.pong_within);
                    self.say(&Reply::Ping, out);
                }
                Pulse::Waits(until) if until <= now => self.end(Ending::NO_PONG, out),
                _ => {}
            },
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Silent { until, .. } | State::Refused { until } => Some(*until),
            State::LetIn(Pulse::Asks(at) | Pulse::Waits(at)) => Some(*at),
            State::LetIn(Pulse::Never) | State::Asked { .. } | State::Ended => None,
        }
    }
}

/// Tells how long after it was let in a client is first pinged: between half of `every` and all of it.
fn first_ping(chance: u8, every: Duration) -> Duration {
    every / 2 + every / 512 * u32::from(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_is_small() {
        assert!(size_of::<Client>() <= 192, "{} bytes", size_of::<Client>());
    }
}
