//! One client.

use std::{mem, sync::Arc, time::Instant};

use taiwa_core::{
    Action, Actions, Channel, Command, Connect, Conversation, Delivery, Event, Exchange, Input,
    Knock, Link, Message, Payload, Refusal, RefusalKind, Request, SessionId, Token, Transport,
};

use crate::{
    Settings,
    http::Hello,
    wire::{self, Fault, Incoming, Outlet, Ref, Status},
};

mod topics;
mod answer;
mod poll;
mod words;

use answer::Pending;
use poll::Polls;
use topics::Topic;
use words::Ending;

/// The only link: who a client is, its first request says.
const LINK: Link = Link(0);

/// The token of questions whose answers nobody waits for.
const QUIET: Token = 0;

/// One client, whatever its transport and its serializer.
///
/// ```text
///            comes in            hub: Connected            silence, hub, nonsense, leaves
///   Knocks ───────────► Asked ───────────────────► Let in ────────────────────────────────► Ended
///                         │        refused, silence, nonsense, leaves                         ▲
///                         └───────────────────────────────────────────────────────────────────┘
/// ```
pub(crate) struct Client {
    outlet: Outlet,
    settings: Arc<Settings>,
    carrier: Carrier,
    state: State,
    /// Until then a WebSocket has to say something.
    heard_until: Instant,
    topics: Vec<Topic>,
    /// What was asked, in the order of the tokens.
    pending: Vec<(Token, Pending)>,
    last_token: Token,
    /// What waits for an answer of the hub, all together.
    waiting_bytes: usize,
}

enum State {
    /// It has come, and says this.
    Knocks(Box<Connect>),
    /// The hub is asked whether it may come in; what it says meanwhile waits.
    Asked(Vec<Incoming>),
    /// It is in.
    LetIn(SessionId),
    /// Nothing is heard or said any more.
    Ended,
}

/// How it is reached.
enum Carrier {
    Socket,
    Polls(Box<Polls>),
}

impl Client {
    /// Begins with one that has come.
    pub(crate) fn new(
        knock: &Knock<'_>,
        hello: Hello,
        settings: Arc<Settings>,
        now: Instant,
    ) -> Self {
        let Hello { outlet, token, data } = hello;
        let delivery = Some(Delivery::Shared(outlet.encoding()));
        let connect = Connect { token, data, delivery, ..Connect::default() };
        Self {
            outlet,
            carrier: match knock.transport {
                Transport::WebSocket => Carrier::Socket,
                _ => Carrier::Polls(Box::new(Polls::new(knock.address, now))),
            },
            state: State::Knocks(Box::new(connect)),
            heard_until: now + settings.silence_max,
            topics: vec![],
            pending: vec![],
            last_token: QUIET,
            waiting_bytes: 0,
            settings,
        }
    }

    /// Asks to be let in.
    fn knock(&mut self, out: &mut Actions) {
        match mem::replace(&mut self.state, State::Asked(vec![])) {
            State::Knocks(connect) => {
                self.ask(Pending::Connect, Command::Connect(LINK, connect), out);
            }
            other => self.state = other,
        }
    }

    fn ask(&mut self, pending: Pending, command: Command, out: &mut Actions) {
        self.last_token += 1;
        self.pending.push((self.last_token, pending));
        out.push(Action::Ask(self.last_token, command));
    }

    /// Takes messages: all of them, or none if one of them can't be read.
    fn hear(&mut self, messages: &[Message], out: &mut Actions) -> Result<(), Fault> {
        let read = |it: &Message| wire::read(self.outlet.serializer, it);
        let all: Vec<_> = messages.iter().map(read).collect::<Result<_, _>>()?;
        for it in all {
            self.take(it, out);
        }
        Ok(())
    }

    fn take(&mut self, it: Incoming, out: &mut Actions) {
        match &mut self.state {
            State::Asked(waiting) => {
                self.waiting_bytes += it.weight();
                waiting.push(it);
                self.bound_waiting(out);
            }
            State::LetIn(_) => self.incoming(it, out),
            State::Knocks(_) | State::Ended => {}
        }
    }

    fn bound_waiting(&mut self, out: &mut Actions) {
        if self.waiting_bytes > self.settings.waiting_bytes_max {
            self.end(Ending::RATE, out);
        }
    }

    /// Says something behind the publications that were said before. What a client of long polls is told between two of
    /// them waits for the next.
    fn say(&self, message: Message, out: &mut Actions) {
        out.push(Action::Say(message));
    }

    fn reply(
        &self,
        (join_ref, reference): (&Ref, &Ref),
        topic: &str,
        (status, response): (Status, &Payload),
        out: &mut Actions,
    ) {
        let message = self.outlet.reply(join_ref, reference, topic, status, response);
        self.say(message, out);
    }

    /// Sends the client away.
    fn end(&mut self, ending: Ending, out: &mut Actions) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.state = State::Ended;
        if let Carrier::Polls(polls) = &mut self.carrier {
            polls.end(&ending, out);
        }
        out.push(Action::End(ending.code, ending.reason.into()));
    }

    fn request(&mut self, exchange: Exchange, request: &Request, now: Instant, out: &mut Actions) {
        let Carrier::Polls(polls) = &mut self.carrier else { return };
        if let State::Knocks(_) = self.state {
            polls.opened_by(exchange);
            return self.knock(out);
        }
        if &*request.method == "GET" {
            return polls.wait(exchange, now + self.settings.poll_window, out);
        }
        let Ok(messages) = poll::brought(request) else { return self.fail(exchange, out) };
        // It is answered before what it brought is done: that may end everything.
        let at = out.len();
        match self.hear(&messages, out) {
            Ok(()) => out.insert(at, Action::Respond(exchange, poll::taken())),
            Err(Fault::Malformed) => self.fail(exchange, out),
        }
    }

    fn fail(&mut self, exchange: Exchange, out: &mut Actions) {
        out.push(Action::Respond(exchange, poll::failed()));
        self.end(Ending::BAD_REQUEST, out);
    }
}

impl Conversation for Client {
    fn receive(&mut self, input: Input, now: Instant, out: &mut Actions) {
        if matches!(self.state, State::Ended) {
            return;
        }
        match input {
            Input::Joined(_) => self.knock(out),
            Input::Message(_, message) => {
                self.heard_until = now + self.settings.silence_max;
                if self.hear(&[message], out).is_err() {
                    self.end(Ending::BAD_REQUEST, out);
                }
            }
            Input::Request(exchange, request) => self.request(exchange, &request, now, out),
            Input::Left(line) => match &mut self.carrier {
                Carrier::Socket => self.end(Ending::DONE, out),
                Carrier::Polls(polls) => polls.left(line, now, out),
            },
            _ => {}
        }
    }

    fn deliver(&mut self, event: Event, now: Instant, out: &mut Actions) {
        if matches!(self.state, State::Ended) {
            return;
        }
        match event {
            Event::Reply(token, result) => self.answered(token, result, now, out),
            Event::Unsubscribed(_, target, why) => self.unsubscribed(&target, &why, out),
            Event::Missed(_, target, _, Some(_)) => self.missed(&target, out),
            Event::Told(_, event, said) => self.told(event.as_deref(), &said.payload, out),
            Event::Call(id, _, method, _) => {
                let text = format!("clients of Phoenix answer no calls: {method}");
                let refusal = Refusal::new(RefusalKind::NotAvailable, &text);
                out.push(Action::Answer(id, Err(refusal)));
            }
            Event::Disconnect(why) => self.end(Ending::of(&why), out),
            // All channels deliver to all clients alike; a client hears what it has joined, and no more of the others.
            _ => {}
        }
    }

    fn timeout(&mut self, now: Instant, out: &mut Actions) {
        match &mut self.carrier {
            _ if matches!(self.state, State::Ended) => {}
            Carrier::Socket if self.heard_until <= now => self.end(Ending::STALE, out),
            Carrier::Socket => {}
            Carrier::Polls(polls) => {
                if polls.timeout(now, self.settings.poll_window, out) {
                    self.end(Ending::STALE, out);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match (&self.state, &self.carrier) {
            (State::Ended, _) => None,
            (_, Carrier::Socket) => Some(self.heard_until),
            (State::LetIn(_), Carrier::Polls(polls)) => polls.deadline(self.settings.poll_window),
            (_, Carrier::Polls(_)) => None,
        }
    }
}

/// Makes the name of a channel out of a topic, if it can be one.
fn channel(topic: &str) -> Option<Channel> {
    Channel::parse(topic).filter(|_| topic != words::SYSTEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_is_small() {
        assert!(size_of::<Client>() <= 192, "{} bytes", size_of::<Client>());
    }
}
