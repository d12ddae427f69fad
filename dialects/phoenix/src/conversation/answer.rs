//! What the hub answers, as replies to the client.

use std::{mem, time::Instant};

use taiwa_core::{
    Actions, Channel, Command, Connected, Payload, Position, Publication, Recovered, Refusal,
    RefusalKind, Reply, Subscribed, Token,
};

use super::{
    Carrier, Client, LINK, State,
    topics::{Standing, nothing},
    words::{self, Ending},
};
use crate::wire::{Ref, Status, place, quoted};

/// What was asked, and for what of the client's.
pub(super) enum Pending {
    Connect,
    Join { channel: Channel, reference: Ref, is_positioned: bool, comes_back: bool },
    Push { channel: Channel, join_ref: Ref, reference: Ref },
    Presence { channel: Channel, join_ref: Ref },
}

impl Client {
    /// Takes the answer to a question.
    pub(super) fn answered(
        &mut self,
        token: Token,
        result: Result<Reply, Refusal>,
        now: Instant,
        out: &mut Actions,
    ) {
        let Some(at) = self.pending.iter().position(|it| it.0 == token) else { return };
        match self.pending.remove(at).1 {
            Pending::Connect => self.connect(result, now, out),
            Pending::Join { channel, reference, is_positioned, comes_back } => {
                let Some(at) = self.joining(&channel) else { return };
                match subscribed(result) {
                    Err(why) => self.join_refused(at, &reference, &why, out),
                    Ok(subscribed) => {
                        let waiting = self.topics[at].stand(is_positioned);
                        let response = subscribed.as_ref().map(|it| told(it, comes_back));
                        self.joined_anew(at, &reference, response, subscribed, out);
                        self.go_on(waiting, out);
                    }
                }
            }
            Pending::Push { channel, join_ref, reference } => {
                let (status, response) = match result {
                    Ok(reply) => self.done(reply),
                    Err(refusal) => (Status::Error, push_refused(&refusal)),
                };
                let refs = (&join_ref, &reference);
                self.reply(refs, channel.as_str(), (status, &response), out);
            }
            Pending::Presence { channel, join_ref } => {
                let is_there =
                    |at: usize| matches!(&self.topics[at], it if it.join_ref == join_ref);
                if let Ok(Reply::Presence(members)) = result
                    && self.joining(&channel).is_some_and(is_there)
                {
                    let message = self.outlet.presence(&join_ref, channel.as_str(), &members);
                    self.say(message, out);
                }
            }
        }
    }

    fn connect(&mut self, result: Result<Reply, Refusal>, now: Instant, out: &mut Actions) {
        let connected = match result {
            Ok(Reply::Connected(it)) => it,
            Ok(_) => {
                let refusal = Refusal::new(RefusalKind::Unavailable, words::INTERNAL);
                return self.end(Ending::refused(&refusal), out);
            }
            Err(refusal) => return self.end(Ending::refused(&refusal), out),
        };
        let Connected { session, .. } = *connected;
        let State::Asked(waiting) = mem::replace(&mut self.state, State::LetIn(session)) else {
            return;
        };
        if let Carrier::Polls(polls) = &mut self.carrier {
            polls.let_in(now, out);
        }
        self.go_on(waiting, out);
    }

    /// Tells the client that it has joined, what it missed, and asks who is there.
    fn joined_anew(
        &mut self,
        at: usize,
        reference: &Ref,
        response: Option<Payload>,
        subscribed: Option<Box<Subscribed>>,
        out: &mut Actions,
    ) {
        let (channel, join_ref) =
            (self.topics[at].channel.clone(), self.topics[at].join_ref.clone());
        let response = response.unwrap_or_else(nothing);
        self.reply((&join_ref, reference), channel.as_str(), (Status::Ok, &response), out);
        for it in subscribed.iter().flat_map(|it| recovered(it)) {
            for message in self.outlet.missed(&join_ref, it).as_slice() {
                self.say(message.clone(), out);
            }
        }
        let pending = Pending::Presence { channel: channel.clone(), join_ref };
        self.ask(pending, Command::Presence(LINK, channel), out);
    }

    fn join_refused(&mut self, at: usize, reference: &Ref, why: &Payload, out: &mut Actions) {
        let topic = self.topics.swap_remove(at);
        let refs = (&topic.join_ref, reference);
        self.reply(refs, topic.channel.as_str(), (Status::Error, why), out);
        if let Standing::Joining(waiting) = topic.state {
            self.go_on(waiting, out);
        }
    }

    /// Says how a push went that was not refused.
    fn done(&self, reply: Reply) -> (Status, Payload) {
        match reply {
            Reply::Answer(payload) => (Status::Ok, payload),
            Reply::Published(it) => {
                let at = it.position.filter(|_| self.outlet.has_positions);
                let own = at.map(|it| ("position", quoted(&place(it))));
                let own: Vec<_> = own.into_iter().collect();
                (Status::Ok, words::with_own(own, None))
            }
            _ => (Status::Error, words::reason(words::INTERNAL)),
        }
    }
}

/// Takes the answer to a subscription apart: there is none to tell if the server had subscribed it before it could ask.
fn subscribed(result: Result<Reply, Refusal>) -> Result<Option<Box<Subscribed>>, Payload> {
    match result {
        Ok(Reply::Subscribed(it)) => Ok(Some(it)),
        Err(it) if it.kind == RefusalKind::AlreadySubscribed => Ok(None),
        Err(it) => Err(words::refused(&it)),
        Ok(_) => Err(words::reason(words::INTERNAL)),
    }
}

fn push_refused(refusal: &Refusal) -> Payload {
    match refusal.kind {
        RefusalKind::NotFound if refusal.text.is_empty() => {
            words::call_refused(refusal, "nobody answers this")
        }
        RefusalKind::NotFound => words::call_refused(refusal, &refusal.text),
        _ => words::refused(refusal),
    }
}

fn recovered(it: &Subscribed) -> &[std::sync::Arc<Publication>] {
    match &it.recovered {
        Recovered::NotAsked => &[],
        Recovered::Whole(missed) | Recovered::Gap(missed) => missed,
    }
}

/// Says what the app says of a join, where the channel stands, and whether all that was missed follows. Who recovers stands
/// before it, or behind the gap: what follows takes it forward.
fn told(it: &Subscribed, comes_back: bool) -> Payload {
    let first = recovered(it).first().and_then(|it| it.position);
    let before = first.map(|it| Position { offset: it.offset.saturating_sub(1), ..it });
    let position = before.or(it.position).filter(|_| it.recoverable);
    let mut own: Vec<_> = position.map(|it| ("position", quoted(&place(it)))).into_iter().collect();
    match it.recovered {
        _ if !comes_back => {}
        Recovered::NotAsked => {}
        Recovered::Whole(_) => own.push(("recovered", "true".to_owned())),
        Recovered::Gap(_) => own.push(("recovered", "false".to_owned())),
    }
    words::with_own(own, it.data.as_ref())
}
