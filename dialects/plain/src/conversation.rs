//! One plain client.

use std::time::Instant;

use bytes::Bytes;
use taiwa_core::{
    Action, Actions, Channel, Command, Connect, Connected, Conversation, Delivery, Encoding, Event,
    Input, Line, Link, Message, Payload, Publish, Refusal, RefusalKind, Reply, Response, Subscribe,
    Target, Token,
};

use crate::{
    Settings,
    encode::{ENCODING, MARKED, message, missed},
    framing::{mark, unmark},
    wire::{Ending, Wish, disconnected, is_json, is_loss, refused, unsubscribed},
};

/// The token of all questions to say something volatile; others are below.
const VOLATILE: Token = 1 << 32;

/// A client from its arrival to its end.
///
/// ```text
/// Arriving ── let in, all channels subscribed ──► Open
///     │  └─── let in, no channel ───────────────► Echo
///     └────── refused, sent away, gone ─────────► Over ◄── from Open and Echo too
/// ```
///
/// Its line opens as it leaves Arriving: a client that is open hears what is said from then on.
pub(crate) struct Talk(State);

enum State {
    Arriving(Box<Arrival>),
    Open { channel: Channel, json: bool, has_marks: bool, next: u32 },
    Echo { has_marks: bool },
    Over,
}

/// What is forgotten once the client is in.
struct Arrival {
    wish: Wish,
    json: bool,
    /// Its messages have marks: it came by WebTransport.
    has_marks: bool,
    /// How many subscriptions are not answered yet.
    unanswered: usize,
    /// The token of the next question.
    next: u32,
}

impl Talk {
    pub(crate) fn new(wish: Wish, has_marks: bool, settings: &Settings) -> Self {
        let json = wish.channels.first().is_some_and(|it| {
            let namespace = it.namespace().unwrap_or("");
            settings.json.iter().any(|it| **it == *namespace)
        });
        let unanswered = wish.channels.len();
        let arrival = Arrival { wish, json, has_marks, unanswered, next: 0 };
        Self(State::Arriving(Box::new(arrival)))
    }

    fn has_marks(&self) -> bool {
        match &self.0 {
            State::Arriving(arrival) => arrival.has_marks,
            State::Open { has_marks, .. } | State::Echo { has_marks } => *has_marks,
            State::Over => false,
        }
    }

    fn delivery(&self) -> Delivery {
        let encoding: &'static Encoding = if self.has_marks() { &MARKED } else { &ENCODING };
        Delivery::Shared(encoding)
    }

    fn tell_missed(&self, subscribed: &taiwa_core::Subscribed, out: &mut Actions) {
        for it in missed(&subscribed.recovered) {
            self.say(&it.payload, false, out);
        }
    }

    fn say(&self, payload: &Payload, is_volatile: bool, out: &mut Actions) {
        let said = message(payload);
        let said = if self.has_marks() { mark(said, is_volatile) } else { said };
        out.push(Action::Send(Line(0), said));
    }

    fn ask(&mut self, command: Command, out: &mut Actions) {
        let next = match &mut self.0 {
            State::Arriving(arrival) => &mut arrival.next,
            State::Open { next, .. } => next,
            State::Echo { .. } | State::Over => return,
        };
        // It looks at no token of an answer: they only have to differ from those that are on their way.
        out.push(Action::Ask(Token::from(*next), command));
        *next = next.wrapping_add(1);
    }

    fn end(&mut self, (code, reason): Ending, out: &mut Actions) {
        self.0 = State::Over;
        out.push(Action::End(code, reason));
    }

    fn said(&mut self, line: Line, said: Message, out: &mut Actions) {
        match &mut self.0 {
            State::Open { channel, json, has_marks, .. } => {
                let (said, volatile) = if *has_marks { unmark(said) } else { (said, false) };
                let Some(payload) = payload(said, *json) else {
                    return self.end((4400, "this channel takes JSON alone".into()), out);
                };
                let publish = Publish { volatile, ..Publish::new(channel.clone(), payload) };
                let publish = Command::Publish(Link(0), Box::new(publish));
                if volatile {
                    out.push(Action::Ask(VOLATILE, publish));
                } else {
                    self.ask(publish, out);
                }
            }
            // With its mark, if it has one.
            State::Echo { .. } => out.push(Action::Send(line, said)),
            // Nobody can say anything on a line that is not open.
            State::Arriving(_) | State::Over => {}
        }
    }

    /// Goes on from being let in to hearing channels.
    fn let_in(&mut self, connected: &Connected, out: &mut Actions) {
        let State::Arriving(arrival) = &self.0 else { return };
        let Wish { echo, last, .. } = arrival.wish;
        let channels = arrival.wish.channels.clone();
        for (_, subscribed) in &connected.subscribed {
            self.tell_missed(subscribed, out);
        }
        let delivery = self.delivery();
        for channel in channels {
            let target = Target::Channel(channel);
            let wish = Subscribe::new(target, delivery);
            let wish = Subscribe { echo, last, ..wish };
            self.ask(Command::Subscribe(Link(0), Box::new(wish)), out);
        }
        self.perhaps_open(out);
    }

    fn subscribed(&mut self, out: &mut Actions) {
        if let State::Arriving(arrival) = &mut self.0 {
            arrival.unanswered = arrival.unanswered.saturating_sub(1);
            self.perhaps_open(out);
        }
    }

    /// Opens when nothing is left to wait for.
    fn perhaps_open(&mut self, out: &mut Actions) {
        let State::Arriving(arrival) = &mut self.0 else { return };
        if arrival.unanswered > 0 {
            return;
        }
        let Arrival { json, has_marks, next, .. } = **arrival;
        self.0 = match arrival.wish.channels.first() {
            Some(channel) => State::Open { channel: channel.clone(), json, has_marks, next },
            None => State::Echo { has_marks },
        };
        out.push(Action::Open(Line(0)));
    }

    fn replied(&mut self, token: Token, reply: Result<Reply, Refusal>, out: &mut Actions) {
        match reply {
            Err(refusal) if token == VOLATILE && is_loss(&refusal) => {}
            Ok(Reply::Connected(connected)) => self.let_in(&connected, out),
            Ok(Reply::Subscribed(subscribed)) => {
                self.tell_missed(&subscribed, out);
                self.subscribed(out);
            }
            // The server has subscribed it before it could ask.
            Err(refusal) if refusal.kind == RefusalKind::AlreadySubscribed => self.subscribed(out),
            Err(refusal) => self.end(refused(&refusal), out),
            Ok(_) => {}
        }
    }
}

impl Conversation for Talk {
    fn receive(&mut self, input: Input, _: Instant, out: &mut Actions) {
        match (input, &mut self.0) {
            (_, State::Over) => {}
            (Input::Joined(_), State::Arriving(arrival)) => {
                let token = arrival.wish.token.take();
                let delivery = Some(self.delivery());
                let connect = Connect { token, delivery, ..Connect::default() };
                self.ask(Command::Connect(Link(0), Box::new(connect)), out);
            }
            (Input::Message(line, said), _) => self.said(line, said, out),
            (Input::Request(exchange, _), _) => {
                let (headers, body) = (vec![], Bytes::new());
                out.push(Action::Respond(exchange, Response::Whole { status: 404, headers, body }));
            }
            (Input::Left(_), _) => self.end((1000, "".into()), out),
            _ => {}
        }
    }

    fn deliver(&mut self, event: Event, _: Instant, out: &mut Actions) {
        if matches!(self.0, State::Over) {
            return;
        }
        match event {
            Event::Reply(token, reply) => self.replied(token, reply, out),
            Event::Said(_, _, it, _) => self.say(&it.payload, it.volatile, out),
            Event::Told(_, _, said) => self.say(&said.payload, false, out),
            Event::Subscribed(_, _, subscribed) => self.tell_missed(&subscribed, out),
            Event::Unsubscribed(_, _, why) => self.end(unsubscribed(&why), out),
            Event::Call(id, ..) => {
                let text = "a plain client answers no calls";
                let refusal = Refusal::new(RefusalKind::NotAvailable, text);
                out.push(Action::Answer(id, Err(refusal)));
            }
            // It can show no fresh token.
            Event::Expiring(_) => {
                self.end(disconnected(&taiwa_core::Disconnect::Expired), out);
            }
            Event::Disconnect(why) => self.end(disconnected(&why), out),
            // Nothing in this dialect could tell them: who comes and goes, that something is missing.
            _ => {}
        }
    }

    fn timeout(&mut self, _: Instant, _: &mut Actions) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// Makes a payload of what a client sent; `None` if it had to be JSON and is not.
fn payload(said: Message, json: bool) -> Option<Payload> {
    match (said, json) {
        (Message::Text(text), true) => is_json(&text).then_some(Payload::Json(text)),
        (Message::Binary(_), true) => None,
        (Message::Text(text), false) => Some(Payload::Text(text)),
        (Message::Binary(bytes), false) => Some(Payload::Binary(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_and_silent_costs_little() {
        assert!(size_of::<Talk>() <= 24, "{}", size_of::<Talk>());
    }
}
