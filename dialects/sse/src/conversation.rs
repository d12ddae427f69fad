//! One client that listens.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use taiwa_core::{
    Action, Actions, Channel, Command, Connect, Connected, Conversation, Delivery, Disconnect,
    Event, Exchange, Input, Line, Link, Message, Payload, Position, Publication, Recovered,
    Refusal, RefusalKind, Reply, Response, Subscribe, Subscribed, Target, Token, Unsubscribed,
};

use crate::{
    Settings,
    cursor::Cursor,
    encode::{Shape, notice, place, publication, quoted, told},
    wire::{Wish, delay, not_allowed, reason, refused, turned_away, unsubscribed},
};

/// The token of the first question; those of the subscriptions follow in the order of the channels.
const CONNECT: Token = 0;

/// A client from its request to its end.
///
/// ```text
/// Arriving ── let in, all channels subscribed: 200 ──► Listening
///     └────── refused, sent away, gone ──────────────► Over ◄── from Listening too
/// ```
pub(crate) struct Talk {
    state: State,
}

enum State {
    Arriving(Box<Arrival>),
    Listening(Listening),
    Over,
}

/// A client whose request waits for its answer.
struct Arrival {
    wish: Wish,
    exchange: Option<Exchange>,
    /// How many subscriptions are not answered yet.
    unanswered: usize,
    /// How many channels the server subscribed it to.
    server_side: usize,
    /// What it will be told first.
    early: Vec<Note>,
    early_max: usize,
    heartbeat_every: Duration,
}

/// Something that happened before the answer.
enum Note {
    Said(Arc<Publication>),
    /// From a channel that is no part of the cursor.
    Alone(Arc<Publication>),
    Told(Payload),
    Gap(Channel, Option<u64>),
    /// The client stands here now.
    At(Channel, Option<Position>),
}

/// A client that was answered.
struct Listening {
    line: Line,
    shape: Shape,
    /// All that is said to it goes by this, unless it has one channel alone.
    cursor: Cursor,
    /// How many subscriptions it has, the server's included.
    heard: usize,
    heartbeat_every: Duration,
    heartbeat_at: Instant,
}

impl Talk {
    pub(crate) fn new(wish: Wish, settings: &Settings) -> Self {
        let Settings { early_max, heartbeat_every, .. } = *settings;
        let (unanswered, early) = (wish.cursor.len(), vec![]);
        let arrival = Arrival {
            wish,
            exchange: None,
            unanswered,
            server_side: 0,
            early,
            early_max,
            heartbeat_every,
        };
        Self { state: State::Arriving(Box::new(arrival)) }
    }

    /// Says no to a client that was told nothing yet, and ends.
    fn answer(&mut self, response: Response, out: &mut Actions) {
        if let State::Arriving(arrival) = mem::replace(&mut self.state, State::Over)
            && let Some(exchange) = arrival.exchange
        {
            out.push(Action::Respond(exchange, response));
        }
        out.push(Action::End(1000, "".into()));
    }

    fn refuse(&mut self, refusal: &Refusal, out: &mut Actions) {
        if let State::Arriving(arrival) = &self.state
            && let Some(exchange) = arrival.exchange
            && arrival.wish.returns
            && refusal.is_temporary()
        {
            // WHATWG HTML §9.2.2: any status but 200 fails the connection, for good. This one may succeed later.
            let (shape, after) = (arrival.wish.shape, delay(refusal, arrival.wish.retry));
            out.push(Action::Respond(exchange, stream(shape)));
            let message = place(shape, Some(after), None);
            out.extend(message.map(|it| Action::Send(exchange.line(), it)));
            out.push(Action::End(1000, "".into()));
            self.state = State::Over;
            return;
        }
        self.answer(refused(refusal), out);
    }

    fn disconnect(&mut self, why: &Disconnect, out: &mut Actions) {
        let State::Listening(it) = &self.state else {
            return match turned_away(why) {
                Ok(response) => self.answer(response, out),
                Err(refusal) => self.refuse(&refusal, out),
            };
        };
        let mut object = format!("{{\"reason\":{},", quoted(reason(why)));
        if let Disconnect::App { code, .. } = why {
            object += &format!("\"code\":{code},");
        }
        object += &format!("\"reconnect\":{}}}", why.may_return());
        let after = match why {
            Disconnect::Shutdown(after) => *after,
            _ => None,
        };
        out.push(Action::Send(it.line, notice(it.shape, "disconnect", after, &object)));
        out.push(Action::End(1000, reason_of_close(why)));
        self.state = State::Over;
    }

    /// Keeps something for a client that waits for its answer.
    fn keep(&mut self, note: Note, out: &mut Actions) {
        let State::Arriving(arrival) = &mut self.state else { return };
        arrival.early.push(note);
        if arrival.early.len() > arrival.early_max {
            let text = "too much was said before all channels were subscribed";
            self.refuse(&Refusal::new(RefusalKind::Limit, text), out);
        }
    }

    fn connected(&mut self, connected: Connected, now: Instant, out: &mut Actions) {
        let State::Arriving(arrival) = &mut self.state else { return };
        arrival.server_side += connected.subscribed.len();
        if arrival.wish.cursor.len() + arrival.server_side == 0 {
            let refusal = Refusal::new(RefusalKind::BadRequest, "name a channel");
            return self.refuse(&refusal, out);
        }
        let delivery = match arrival.wish.cursor.len() {
            1 => Delivery::Shared(arrival.wish.shape.numbered()),
            _ => Delivery::Personal,
        };
        for ((channel, since), token) in arrival.wish.cursor.iter().zip(CONNECT + 1..) {
            let wish = Subscribe::new(Target::Channel(channel.clone()), delivery);
            let wish = Subscribe { since: *since, last: arrival.wish.last, ..wish };
            out.push(Action::Ask(token, Command::Subscribe(Link(0), Box::new(wish))));
        }
        for (channel, subscribed) in connected.subscribed {
            self.recovered(notes(&channel, subscribed.recovered, Note::Alone));
        }
        self.perhaps_listen(now, out);
    }

    fn subscribed(
        &mut self,
        token: Token,
        reply: Option<Subscribed>,
        now: Instant,
        out: &mut Actions,
    ) {
        let State::Arriving(arrival) = &mut self.state else { return };
        arrival.unanswered = arrival.unanswered.saturating_sub(1);
        let index = token.checked_sub(CONNECT + 1).and_then(|it| usize::try_from(it).ok());
        let place = index.and_then(|it| arrival.wish.cursor.iter().nth(it)).cloned();
        if let (Some(reply), Some((channel, _))) = (reply, place) {
            self.recovered(notes(&channel, reply.recovered, Note::Said));
            self.keep(Note::At(channel, reply.position), out);
        }
        self.perhaps_listen(now, out);
    }

    /// Keeps what came along with a subscription. How much that is the hub's history limits.
    fn recovered(&mut self, notes: Vec<Note>) {
        if let State::Arriving(arrival) = &mut self.state {
            arrival.early_max += notes.len();
            arrival.early.extend(notes);
        }
    }

    /// Answers when nothing is left to wait for.
    fn perhaps_listen(&mut self, now: Instant, out: &mut Actions) {
        let State::Arriving(arrival) = &mut self.state else { return };
        let (0, Some(exchange)) = (arrival.unanswered, arrival.exchange) else { return };
        let (line, shape) = (exchange.line(), arrival.wish.shape);
        let response = if arrival.wish.poll {
            Response::Poll { headers: vec![], head: Bytes::new(), write: shape.poll() }
        } else {
            stream(shape)
        };
        out.push(Action::Respond(exchange, response));
        let messages = opening(mem::take(&mut arrival.early), &mut arrival.wish);
        out.extend(messages.into_iter().map(|it| Action::Send(line, it)));
        out.push(Action::Flow(Some(line)));
        self.state = State::Listening(Listening {
            line,
            shape,
            heard: arrival.wish.cursor.len() + arrival.server_side,
            cursor: mem::take(&mut arrival.wish.cursor),
            heartbeat_every: arrival.heartbeat_every,
            heartbeat_at: now + arrival.heartbeat_every,
        });
    }

    fn replied(
        &mut self,
        token: Token,
        reply: Result<Reply, Refusal>,
        now: Instant,
        out: &mut Actions,
    ) {
        match reply {
            Ok(Reply::Connected(it)) => self.connected(*it, now, out),
            Ok(Reply::Subscribed(it)) => self.subscribed(token, Some(*it), now, out),
            // The server has subscribed it before it could ask.
            Err(it) if it.kind == RefusalKind::AlreadySubscribed => {
                self.subscribed(token, None, now, out);
            }
            Err(it) => self.refuse(&it, out),
            Ok(_) => {}
        }
    }

    /// Takes what the server does without being asked.
    fn happened(&mut self, note: Note, out: &mut Actions) {
        match &mut self.state {
            State::Arriving(_) => self.keep(note, out),
            State::Listening(it) => {
                let message = note.written(it.shape, &mut it.cursor);
                out.extend(message.map(|message| Action::Send(it.line, message)));
            }
            State::Over => {}
        }
    }

    fn unsubscribed(&mut self, target: &Target, why: &Unsubscribed, out: &mut Actions) {
        let why = unsubscribed(why).unwrap_or(Disconnect::Revoked);
        let State::Listening(it) = &mut self.state else { return self.disconnect(&why, out) };
        it.heard = it.heard.saturating_sub(1);
        match (target, it.heard) {
            (Target::Channel(channel), 1..) if why == Disconnect::Revoked => {
                let object = format!("{{\"channel\":{}}}", quoted(channel.as_str()));
                let message = notice(it.shape, "unsubscribed", None, &object);
                out.push(Action::Send(it.line, message));
            }
            _ => self.disconnect(&why, out),
        }
    }
}

impl Conversation for Talk {
    fn receive(&mut self, input: Input, _: Instant, out: &mut Actions) {
        match (input, &mut self.state) {
            (_, State::Over) => {}
            (Input::Request(exchange, request), State::Arriving(arrival))
                if arrival.exchange.is_none() =>
            {
                arrival.exchange = Some(exchange);
                if &*request.method != "GET" {
                    return self.answer(not_allowed(), out);
                }
                // There is no line yet to which it could flow.
                out.push(Action::Flow(None));
                let token = arrival.wish.token.take();
                let delivery = Some(Delivery::Shared(arrival.wish.shape.alone()));
                let connect = Connect { token, delivery, ..Connect::default() };
                out.push(Action::Ask(CONNECT, Command::Connect(Link(0), Box::new(connect))));
            }
            // No second request is addressed to a client that only listens.
            (Input::Request(exchange, _), _) => {
                out.push(Action::Respond(exchange, not_allowed()));
            }
            (Input::Left(_), _) => {
                self.state = State::Over;
                out.push(Action::End(1000, "".into()));
            }
            _ => {}
        }
    }

    fn deliver(&mut self, event: Event, now: Instant, out: &mut Actions) {
        match event {
            _ if matches!(self.state, State::Over) => {}
            Event::Reply(token, reply) => self.replied(token, reply, now, out),
            Event::Said(_, _, it, _) => self.happened(Note::Said(it), out),
            Event::Told(_, _, said) => self.happened(Note::Told(said.payload), out),
            Event::Missed(_, Target::Channel(channel), count, _) => {
                self.happened(Note::Gap(channel, count), out);
            }
            Event::Subscribed(_, channel, subscribed) => {
                match &mut self.state {
                    State::Arriving(it) => it.server_side += 1,
                    State::Listening(it) => it.heard += 1,
                    State::Over => {}
                }
                for note in notes(&channel, subscribed.recovered, Note::Alone) {
                    self.happened(note, out);
                }
            }
            Event::Unsubscribed(_, target, why) => self.unsubscribed(&target, &why, out),
            Event::Call(id, ..) => {
                let refusal = Refusal::new(RefusalKind::NotAvailable, "this client only listens");
                out.push(Action::Answer(id, Err(refusal)));
            }
            // It can show no fresh token on this stream, but it can on the next.
            Event::Expiring(_) => self.disconnect(&Disconnect::Expired, out),
            Event::Disconnect(why) => self.disconnect(&why, out),
            // Who comes and goes is not told.
            _ => {}
        }
    }

    fn timeout(&mut self, now: Instant, out: &mut Actions) {
        if let State::Listening(it) = &mut self.state
            && it.heartbeat_at <= now
        {
            it.heartbeat_at = now + it.heartbeat_every;
            out.push(Action::Send(it.line, it.shape.heartbeat()));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Listening(it) => Some(it.heartbeat_at),
            _ => None,
        }
    }
}

impl Note {
    /// Writes it, and moves the cursor.
    fn written(self, shape: Shape, cursor: &mut Cursor) -> Option<Message> {
        Some(match self {
            Self::Said(it) => {
                cursor.advance(&it.channel, it.position);
                publication(shape, cursor.id().as_deref(), &it)
            }
            Self::Alone(it) => publication(shape, None, &it),
            Self::Told(payload) => told(shape, &payload),
            Self::Gap(channel, count) => {
                let count = count.map(|it| format!(",\"missed\":{it}")).unwrap_or_default();
                let object = format!("{{\"channel\":{}{count}}}", quoted(channel.as_str()));
                notice(shape, "gap", None, &object)
            }
            Self::At(channel, position) => {
                cursor.stand(&channel, position);
                return None;
            }
        })
    }
}

/// Takes apart what came along with a subscription.
fn notes(channel: &Channel, recovered: Recovered, note: fn(Arc<Publication>) -> Note) -> Vec<Note> {
    match recovered {
        Recovered::NotAsked => vec![],
        Recovered::Whole(all) => all.into_iter().map(note).collect(),
        Recovered::Gap(all) => {
            let gap = Note::Gap(channel.clone(), None);
            [gap].into_iter().chain(all.into_iter().map(note)).collect()
        }
    }
}

/// Writes what a client is told first, and where it stands then, unless it knows that already.
fn opening(notes: Vec<Note>, wish: &mut Wish) -> Vec<Message> {
    let (shape, cursor) = (wish.shape, &mut wish.cursor);
    let mut known = cursor.id();
    let mut messages: Vec<Message> = vec![];
    for note in notes {
        let numbered = matches!(note, Note::Said(_));
        if let Some(message) = note.written(shape, cursor) {
            if messages.is_empty() {
                messages.extend(place(shape, Some(wish.retry), None));
            }
            messages.push(message);
            if numbered {
                known = cursor.id();
            }
        }
    }
    let retry = messages.is_empty().then_some(wish.retry);
    let id = cursor.id().filter(|it| known.as_ref() != Some(it));
    messages.extend(place(shape, retry, id.as_deref()));
    messages
}

fn stream(shape: Shape) -> Response {
    Response::Stream { headers: vec![("content-type", shape.content_type().into())] }
}

/// RFC 6455 §5.5: a reason has at most 123 bytes. A stream shows none, but logs do.
fn reason_of_close(why: &Disconnect) -> Arc<str> {
    let reason = reason(why);
    reason[..reason.floor_char_boundary(123)].into()
}
