//! What a client wants, as questions to the hub.

use std::num::NonZeroU32;

use taiwa_core::{
    self as core, Action, Actions, Channel, Connect, Delivery, Page, Pattern, Position, Publish,
    Subscribe, Syntax, Target, Token,
};

use super::{Client, LINK, words};
use crate::{
    encode::Outlet,
    wire::{
        ConnectRequest, HistoryRequest, Outcome, Request, Shape, StreamPosition, SubscribeRequest,
    },
};

mod filter;

/// What a client waits for. With the number of its command it makes the token of the question, so that nothing needs to
/// be remembered until the answer comes: 1203 asks for what command 12 asked, in the third way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Connect = 1,
    Subscribe,
    /// A subscription that takes deltas.
    SubscribeDelta,
    Unsubscribe,
    Publish,
    Presence,
    PresenceStats,
    History,
    Rpc,
    Refresh,
    SubRefresh,
}

/// The token of questions whose answers nobody waits for.
pub(super) const QUIET: Token = 0;

/// Makes the token of a question.
pub(super) fn token(kind: Kind, id: NonZeroU32) -> Token {
    u64::from(id.get()) * 100 + kind as u64
}

/// Tells of what question a token is, and by which command it was asked; `None` if nobody waits.
pub(super) fn asked(token: Token) -> Option<(Kind, NonZeroU32)> {
    const KINDS: [Kind; 11] = [
        Kind::Connect,
        Kind::Subscribe,
        Kind::SubscribeDelta,
        Kind::Unsubscribe,
        Kind::Publish,
        Kind::Presence,
        Kind::PresenceStats,
        Kind::History,
        Kind::Rpc,
        Kind::Refresh,
        Kind::SubRefresh,
    ];
    let kind = KINDS.into_iter().find(|it| *it as u64 == token % 100)?;
    Some((kind, NonZeroU32::new(u32::try_from(token / 100).ok()?)?))
}

/// Asks to be let in.
pub(super) fn connect(it: ConnectRequest, outlet: Outlet) -> core::Command {
    let positions = it
        .subs
        .iter()
        .filter_map(|(channel, position)| Some((Channel::parse(channel)?, since(position))));
    let named = !it.name.is_empty() || !it.version.is_empty();
    let connect = Connect {
        positions: positions.collect(),
        token: some(&it.token),
        data: it.data,
        client: named.then(|| (it.name.into(), it.version.into())),
        delivery: Some(Delivery::Shared(outlet.encoding(Shape::Plain))),
        ..Connect::default()
    };
    core::Command::Connect(LINK, Box::new(connect))
}

impl Client {
    /// Takes a request of a client that is in.
    pub(super) fn request(&mut self, id: NonZeroU32, request: Request, out: &mut Actions) {
        let question = match request {
            Request::Ping => return self.done(id, Outcome::Ping, out),
            Request::NotOffered => return self.fail(id, words::NOT_AVAILABLE, out),
            Request::Subscribe(it) => self.subscribe(id, *it),
            request => question(request),
        };
        match question {
            Some((kind, command)) => out.push(Action::Ask(token(kind, id), command)),
            None => self.fail(id, words::BAD_REQUEST, out),
        }
    }

    fn subscribe(&mut self, id: NonZeroU32, it: SubscribeRequest) -> Option<(Kind, core::Command)> {
        let target = target(&it.channel)?;
        let filter = it.tf.as_ref().map(filter::filter);
        if filter == Some(None) {
            return None;
        }
        let (kind, shape) = match (&target, it.delta.as_str()) {
            (Target::Channel(_), "fossil") => (Kind::SubscribeDelta, Shape::Delta),
            _ => (Kind::Subscribe, Shape::Plain),
        };
        let delivery = match &target {
            Target::Channel(_) => Delivery::Shared(self.outlet.encoding(shape)),
            // Under which name a publication comes differs: it is that of the subscription.
            Target::Pattern(_) => Delivery::Personal,
        };
        if let (Target::Channel(channel), Some(_)) = (&target, &it.recover)
            && it.flag & SubscribeRequest::REJECT_UNRECOVERED != 0
        {
            self.strict.push((id, channel.clone()));
        }
        let subscribe = Subscribe {
            delta: (shape == Shape::Delta).then_some(delivery),
            token: some(&it.token),
            data: it.data,
            last: it.recover.is_some(),
            since: it.recover.as_ref().map(since),
            positioned: it.positioned || it.recoverable,
            join_leave: it.join_leave,
            filter: filter.flatten(),
            ..Subscribe::new(target, delivery)
        };
        Some((kind, core::Command::Subscribe(LINK, Box::new(subscribe))))
    }
}

/// Turns a request into a question; `None` if it can't be one.
fn question(request: Request) -> Option<(Kind, core::Command)> {
    Some(match request {
        Request::Unsubscribe { channel } => {
            (Kind::Unsubscribe, core::Command::Unsubscribe(LINK, target(&channel)?))
        }
        Request::Publish { channel, data } => {
            let publish = Publish::new(Channel::parse(&channel)?, data?);
            (Kind::Publish, core::Command::Publish(LINK, Box::new(publish)))
        }
        Request::Presence { channel } => {
            (Kind::Presence, core::Command::Presence(LINK, Channel::parse(&channel)?))
        }
        Request::PresenceStats { channel } => {
            (Kind::PresenceStats, core::Command::Counts(LINK, Channel::parse(&channel)?))
        }
        Request::History(it) => {
            let channel = Channel::parse(&it.channel)?;
            (Kind::History, core::Command::History(LINK, channel, page(&it)))
        }
        Request::Rpc { method, data } => {
            (Kind::Rpc, core::Command::Call(LINK, method.into(), data))
        }
        Request::Refresh { token } => (Kind::Refresh, core::Command::Refresh(LINK, some(&token)?)),
        Request::SubRefresh { channel, token } => {
            let channel = Channel::parse(&channel)?;
            (Kind::SubRefresh, core::Command::RefreshSubscription(LINK, channel, some(&token)?))
        }
        Request::Connect(_) | Request::Subscribe(_) | Request::Ping | Request::NotOffered => {
            return None;
        }
    })
}

fn page(it: &HistoryRequest) -> Page {
    // Below 0 there is no limit but the hub's own.
    let limit = usize::try_from(it.limit).unwrap_or(usize::MAX);
    Page { since: it.since.as_ref().map(since), limit, reverse: it.reverse }
}

/// Takes a name with `*` or `**` in place of a word for a pattern.
fn target(name: &str) -> Option<Target> {
    if name.split(['.', ':']).any(|word| matches!(word, "*" | "**")) {
        return Pattern::parse(name, Syntax::Words).map(Target::Pattern);
    }
    Channel::parse(name).map(Target::Channel)
}

/// Takes a client's position for ours. One that is none of ours is that of no history: no epoch is 0.
fn since(it: &StreamPosition) -> Position {
    it.position().unwrap_or(Position { epoch: 0, offset: it.offset })
}

fn some(text: &str) -> Option<core::Secret> {
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_tell_what_was_asked() {
        let id = NonZeroU32::MAX;
        for number in 1..=11 {
            let (kind, found) = asked(u64::from(id.get()) * 100 + number).unwrap();
            assert_eq!((kind as u64, found), (number, id));
            assert_eq!(asked(token(kind, id)), Some((kind, id)));
        }
        assert_eq!((asked(QUIET), asked(112), asked(100)), (None, None, None));
    }

    #[test]
    fn stars_in_place_of_words_make_a_pattern() {
        for (name, is_pattern) in [
            ("news", Some(false)),
            ("n*", Some(false)),
            ("news:*", Some(true)),
            ("*.a.**", Some(true)),
            ("a.**.b", None),
            ("", None),
        ] {
            let found = target(name).map(|it| matches!(it, Target::Pattern(_)));
            assert_eq!(found, is_pattern, "{name:?}");
        }
    }
}
