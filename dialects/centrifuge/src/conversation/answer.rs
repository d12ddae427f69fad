//! What the hub answers, as replies to the client.

use std::{mem, num::NonZeroU32, sync::Arc, time::Instant};

use taiwa_core::{
    self as core, Action, Actions, Channel, Connected, Position, Publication, Recovered, Refusal,
    RefusalKind, Reply, Subscribed, Target, Token,
};

use super::{
    Client, LINK, Pulse, State, first_ping,
    question::{self, Kind},
    words::{self, Ending},
};
use crate::wire::{ConnectResult, Error, Outcome, Shape, SubscribeResult};

/// What clients are told of the server.
const VERSION: &str = concat!("taiwa ", env!("CARGO_PKG_VERSION"));

impl Client {
    /// Takes the answer to a question.
    pub(super) fn reply(
        &mut self,
        token: Token,
        result: Result<Reply, Refusal>,
        now: Instant,
        out: &mut Actions,
    ) {
        let Some((kind, id)) = question::asked(token) else { return };
        if kind == Kind::Connect {
            return self.connect(id, result, now, out);
        }
        let strict = self.strict(id);
        let reply = match result {
            Ok(reply) => reply,
            // Whoever is not subscribed has what it wants.
            Err(it) if kind == Kind::Unsubscribe && it.kind == RefusalKind::NotFound => Reply::Done,
            Err(it) if kind == Kind::Rpc => return self.fail(id, words::call_error(&it), out),
            Err(it) => return self.fail(id, words::error(&it), out),
        };
        match (kind, &reply) {
            (Kind::Subscribe | Kind::SubscribeDelta, Reply::Subscribed(it)) => {
                if let (Some(channel), Recovered::Gap(_)) = (strict, &it.recovered) {
                    let leave = core::Command::Unsubscribe(LINK, Target::Channel(channel));
                    out.push(Action::Ask(question::QUIET, leave));
                    return self.fail(id, words::UNRECOVERABLE, out);
                }
                let shape = if kind == Kind::SubscribeDelta { Shape::Delta } else { Shape::Plain };
                self.done(id, Outcome::Subscribe(subscribed(it, shape)), out);
            }
            _ => match outcome(kind, &reply) {
                Some(outcome) => self.done(id, outcome, out),
                None => self.fail(id, words::INTERNAL, out),
            },
        }
    }

    /// Forgets that a subscription was to fail rather than to begin anew, and tells its channel if it was.
    fn strict(&mut self, id: NonZeroU32) -> Option<Channel> {
        let at = self.strict.iter().position(|(it, _)| *it == id)?;
        Some(self.strict.swap_remove(at).1)
    }

    fn connect(
        &mut self,
        id: NonZeroU32,
        result: Result<Reply, Refusal>,
        now: Instant,
        out: &mut Actions,
    ) {
        let connected = match result {
            Ok(Reply::Connected(connected)) => connected,
            // A number of the app's own reaches the client only as an error.
            Err(it) if it.kind == RefusalKind::Unauthorized && it.code.is_none() => {
                return self.end(Ending::INVALID_TOKEN, out);
            }
            Err(it) => return self.keep_out(id, words::error(&it), now, out),
            Ok(_) => return self.keep_out(id, words::INTERNAL, now, out),
        };
        let every = self.settings.ping_every;
        let pulse = match every.is_zero() {
            true => Pulse::Never,
            false => Pulse::Asks(now + first_ping(self.chance, every)),
        };
        self.let_in(id, &connected, out);
        if let State::Asked { waiting, .. } = mem::replace(&mut self.state, State::LetIn(pulse)) {
            for command in waiting {
                self.command(command, out);
            }
        }
    }

    fn keep_out(&mut self, id: NonZeroU32, error: Error<'_>, now: Instant, out: &mut Actions) {
        self.fail(id, error, out);
        self.state = State::Refused { until: now + self.settings.connect_within };
    }

    fn let_in(&mut self, id: NonZeroU32, connected: &Connected, out: &mut Actions) {
        let subs = connected.subscribed.iter();
        let every = self.settings.ping_every;
        let result = ConnectResult {
            client: connected.session,
            version: VERSION,
            ttl: connected.expires.map(words::seconds),
            data: connected.data.as_ref(),
            subs: subs.map(|(at, it)| (at.as_str(), subscribed(it, Shape::Plain))).collect(),
            ping: if every.is_zero() { 0 } else { words::seconds(every) },
            session: self.address.as_deref().unwrap_or(""),
        };
        self.done(id, Outcome::Connect(result), out);
        self.served = connected.subscribed.iter().map(|(channel, _)| channel.clone()).collect();
    }
}

/// Says what a subscriber is told. Who recovers stands where it stood, or behind the gap: what follows takes it forward.
pub(super) fn subscribed(it: &Subscribed, shape: Shape) -> SubscribeResult<'_> {
    let (publications, recovered, was_recovering): (&[Arc<Publication>], _, _) = match &it.recovered
    {
        Recovered::NotAsked => (&[], false, false),
        Recovered::Whole(missed) => (missed, true, true),
        Recovered::Gap(kept) => (kept, false, true),
    };
    let before = publications
        .first()
        .and_then(|it| it.position)
        .map(|first| Position { epoch: first.epoch, offset: first.offset.saturating_sub(1) });
    SubscribeResult {
        ttl: it.expires.map(words::seconds),
        recoverable: it.recoverable,
        positioned: it.positioned,
        position: before.or(it.position),
        publications,
        recovered,
        was_recovering,
        data: it.data.as_ref(),
        shape,
    }
}

/// Says the answer to all that is neither a connect nor a subscribe; `None` if it does not answer the question.
fn outcome(kind: Kind, reply: &Reply) -> Option<Outcome<'_>> {
    Some(match (kind, reply) {
        (Kind::Unsubscribe, Reply::Done) => Outcome::Unsubscribe,
        (Kind::Publish, Reply::Published(_)) => Outcome::Publish,
        (Kind::Presence, Reply::Presence(members)) => Outcome::Presence(members),
        (Kind::PresenceStats, Reply::Counts { sessions, users }) => {
            Outcome::PresenceStats { clients: *sessions, users: *users }
        }
        (Kind::History, Reply::History(it)) => {
            Outcome::History { publications: &it.publications, position: it.position }
        }
        (Kind::Rpc, Reply::Answer(payload)) => Outcome::Rpc(payload),
        (Kind::Refresh, Reply::Connected(it)) => Outcome::Refresh {
            client: it.session,
            version: VERSION,
            ttl: it.expires.map(words::seconds),
        },
        (Kind::SubRefresh, Reply::Expires(ttl)) => {
            Outcome::SubRefresh { ttl: ttl.map(words::seconds) }
        }
        _ => return None,
    })
}
