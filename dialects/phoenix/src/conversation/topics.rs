//! What a client says in its topics: joins, leaves, pushes.

use std::mem;

use taiwa_core::{
    Action, Actions, Channel, Command, Delivery, Payload, Publish, Subscribe, Target, Unsubscribed,
};

use super::{Client, LINK, QUIET, State, answer::Pending, channel, words};
use crate::{
    encode::is_reserved,
    wire::{self, CLOSE, ERROR, Head, Incoming, JOIN, LEAVE, Ref, Status},
};

/// One channel of a client.
///
/// ```text
///            hub: Subscribed           leaves, joins again, hub
///   Joining ────────────────► Joined ──────────────────────────► (gone)
///      └──────────── hub: refused ─────────────────────────────────┘
/// ```
pub(super) struct Topic {
    pub(super) channel: Channel,
    /// What the client called this join. What it says under another name was meant for an earlier one.
    pub(super) join_ref: Ref,
    pub(super) state: Standing,
}

pub(super) enum Standing {
    /// The hub is asked; what the client says in it meanwhile waits.
    Joining(Vec<Incoming>),
    /// It hears the channel. A client that keeps its position joins again where it missed something.
    Joined { is_positioned: bool },
}

impl Client {
    /// Takes a message of a client that is in.
    pub(super) fn incoming(&mut self, it: Incoming, out: &mut Actions) {
        if &*it.topic == words::SYSTEM && &*it.event == "heartbeat" {
            let refs = (&Ref::NONE, &it.reference);
            return self.reply(refs, words::SYSTEM, (Status::Ok, &nothing()), out);
        }
        let place = self.topics.iter().position(|topic| topic.channel.as_str() == &*it.topic);
        let Some(place) = place else { return self.unjoined(it, out) };
        let topic = &mut self.topics[place];
        if let Standing::Joining(waiting) = &mut topic.state {
            self.waiting_bytes += it.weight();
            waiting.push(it);
            return self.bound_waiting(out);
        }
        let is_stale = !it.join_ref.is_none() && it.join_ref != topic.join_ref;
        match &*it.event {
            JOIN => {
                self.leave(place, out);
                self.unjoined(it, out);
            }
            // "the client has sent a stale message to a previous join_ref, ignore"
            _ if is_stale => {}
            LEAVE => {
                let refs = (topic.join_ref.clone(), it.reference);
                self.reply((&refs.0, &refs.1), &it.topic, (Status::Ok, &nothing()), out);
                self.leave(place, out);
            }
            _ => self.push(place, it, out),
        }
    }

    fn unjoined(&mut self, it: Incoming, out: &mut Actions) {
        match (&*it.event, channel(&it.topic)) {
            (JOIN, Some(channel)) => self.join(channel, it, out),
            (LEAVE, _) => {
                let refs = (&it.join_ref, &it.reference);
                self.reply(refs, &it.topic, (Status::Ok, &nothing()), out);
            }
            _ => {
                let why = words::reason(words::UNMATCHED);
                self.reply((&Ref::NONE, &it.reference), &it.topic, (Status::Error, &why), out);
            }
        }
    }

    fn join(&mut self, channel: Channel, it: Incoming, out: &mut Actions) {
        if self.topics.len() >= self.settings.channels_max {
            let why = words::reason(words::TOO_MANY_CHANNELS);
            let refs = (&it.join_ref, &it.reference);
            return self.reply(refs, &it.topic, (Status::Error, &why), out);
        }
        let wish = wire::wish(&it.payload);
        let since = wish.since.as_deref().map(wire::position);
        let delivery = Delivery::Shared(self.outlet.encoding());
        let subscribe = Subscribe {
            token: wish.token.filter(|it| !it.is_empty()).map(Into::into),
            data: Some(it.payload),
            since,
            // Where a channel is a value that changes, who joins wants that.
            last: true,
            positioned: since.is_some() || self.outlet.has_positions,
            join_leave: true,
            ..Subscribe::new(Target::Channel(channel.clone()), delivery)
        };
        let pending = Pending::Join {
            channel: channel.clone(),
            reference: it.reference,
            is_positioned: subscribe.positioned,
            comes_back: since.is_some(),
        };
        let state = Standing::Joining(vec![]);
        self.topics.push(Topic { channel, join_ref: it.join_ref, state });
        self.ask(pending, Command::Subscribe(LINK, Box::new(subscribe)), out);
    }

    /// Takes a push to a topic that is joined: a call of the app, or something for everyone in it.
    fn push(&mut self, place: usize, it: Incoming, out: &mut Actions) {
        let topic = &self.topics[place];
        let (channel, join_ref) = (topic.channel.clone(), topic.join_ref.clone());
        let fault = match () {
            () if is_reserved(&it.event) => Some(words::RESERVED),
            () if self.pending.len() >= self.settings.pushes_max => Some(words::TOO_MANY_PUSHES),
            () => None,
        };
        if let Some(fault) = fault {
            let why = words::reason(fault);
            return self.reply((&join_ref, &it.reference), &it.topic, (Status::Error, &why), out);
        }
        let State::LetIn(session) = self.state else { return };
        let command = if self.settings.is_call(&it.event) {
            Command::Call(LINK, (&*it.event).into(), it.payload)
        } else {
            let mut publish = Publish::new(channel.clone(), it.payload);
            publish.event = Some((&*it.event).into()).filter(|_| !it.event.is_empty());
            if !self.settings.comes_back(&it.event) {
                publish.except.push(session);
            }
            Command::Publish(LINK, Box::new(publish))
        };
        // Who gives it no name waits for no answer.
        if it.reference.is_none() {
            return out.push(Action::Ask(QUIET, command));
        }
        self.ask(Pending::Push { channel, join_ref, reference: it.reference }, command, out);
    }

    /// Ends a topic that is joined, in good order.
    fn leave(&mut self, place: usize, out: &mut Actions) {
        let topic = self.topics.swap_remove(place);
        let target = Target::Channel(topic.channel.clone());
        out.push(Action::Ask(QUIET, Command::Unsubscribe(LINK, target)));
        self.over(&topic, None, out);
    }

    /// Tells that a topic has ended, and why if it was not in good order: then the client joins again.
    fn over(&self, topic: &Topic, why: Option<&str>, out: &mut Actions) {
        let (event, payload) = match why {
            None => (CLOSE, nothing()),
            Some(why) => (ERROR, words::reason(why)),
        };
        let join_ref = &topic.join_ref;
        let reference = join_ref.json();
        let head = Head { join_ref, reference, topic: topic.channel.as_str(), event };
        let message = self.outlet.push(head, &payload);
        self.say(message, out);
    }

    /// Takes the end of a subscription that the server wanted.
    pub(super) fn unsubscribed(&mut self, target: &Target, why: &Unsubscribed, out: &mut Actions) {
        if let Some(topic) = self.joined(target).map(|place| self.topics.swap_remove(place)) {
            self.over(&topic, words::unsubscribed(why), out);
        }
    }

    /// Takes a gap: who keeps its position joins again, and is told there.
    pub(super) fn missed(&mut self, target: &Target, out: &mut Actions) {
        let Some(place) = self.joined(target) else { return };
        if let Standing::Joined { is_positioned: true } = self.topics[place].state {
            let topic = self.topics.swap_remove(place);
            out.push(Action::Ask(QUIET, Command::Unsubscribe(LINK, target.clone())));
            self.over(&topic, words::unsubscribed(&Unsubscribed::InsufficientState), out);
        }
    }

    fn joined(&self, target: &Target) -> Option<usize> {
        let Target::Channel(channel) = target else { return None };
        let place = self.topics.iter().position(|it| it.channel == *channel)?;
        matches!(self.topics[place].state, Standing::Joined { .. }).then_some(place)
    }

    /// Finds the topic whose join the hub has answered.
    pub(super) fn joining(&self, channel: &Channel) -> Option<usize> {
        self.topics.iter().position(|it| it.channel == *channel)
    }

    /// Takes what the client said in a topic while it joined.
    pub(super) fn go_on(&mut self, waiting: Vec<Incoming>, out: &mut Actions) {
        for it in waiting {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(it.weight());
            self.take(it, out);
        }
    }

    /// Says something of the app's to this client, outside of all channels.
    pub(super) fn told(&self, event: Option<&str>, payload: &Payload, out: &mut Actions) {
        let event = event.filter(|it| !is_reserved(it)).unwrap_or("message");
        let (join_ref, topic) = (&Ref::NONE, words::SYSTEM);
        let head = Head { join_ref, reference: "null", topic, event };
        let message = self.outlet.push(head, payload);
        self.say(message, out);
    }
}

impl Topic {
    /// Notes that it is joined, and gives out what waited for that.
    pub(super) fn stand(&mut self, is_positioned: bool) -> Vec<Incoming> {
        match mem::replace(&mut self.state, Standing::Joined { is_positioned }) {
            Standing::Joining(waiting) => waiting,
            Standing::Joined { .. } => vec![],
        }
    }
}

/// The answer to all that goes well and has nothing to tell.
pub(super) fn nothing() -> Payload {
    Payload::Json(bytes::Bytes::from_static(b"{}"))
}
