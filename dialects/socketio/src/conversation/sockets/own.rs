//! Events of our own, for pages without a server program: each begins with `taiwa:`, and what becomes of it is its answer.

use serde::Deserialize;
use serde_json::value::RawValue;

use taiwa_core::{
    Actions, Channel, Command, Link, Page, Payload, Position, Publish, Refusal, RefusalKind,
    Reply as HubReply, Secret, Subscribe, Target,
};

use super::{
    super::{engine::Engine, words},
    Asked, Sockets, push,
};
use crate::{
    encode::namespace_of,
    wire::{Args, Reply},
};

/// How a client wants to hear a channel.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wish<'a> {
    token: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(flatten)]
    since: Since,
}

/// Which part of a history.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    #[serde(flatten)]
    since: Since,
    limit: Option<usize>,
    reverse: bool,
}

/// A position: its epoch is a text, since it may be larger than a number of JavaScript.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Since {
    epoch: Option<String>,
    offset: Option<u64>,
}

impl Since {
    /// One that is none of ours is that of no history: no epoch is 0.
    fn position(&self) -> Option<Position> {
        let epoch = self.epoch.as_ref()?.parse().unwrap_or(0);
        Some(Position { epoch, offset: self.offset? })
    }
}

/// So much of a history is told unless more is wanted.
const PAGE: usize = 100;

impl Sockets {
    /// Takes one of our events, by its name behind the prefix.
    pub(super) fn ours(
        &mut self,
        link: Link,
        id: Option<u64>,
        name: &str,
        args: &Args,
        engine: &mut Engine,
        out: &mut Actions,
    ) {
        match self.asked_by(link, id, name, args) {
            Ok((asked, command)) => {
                if let Command::Unsubscribe(_, Target::Channel(channel)) = &command {
                    self.named.retain(|it| it.0 != link || it.1 != *channel);
                    self.stands_no_more(channel);
                }
                self.ask(asked, command, out);
            }
            Err(why) => {
                let refusal = Refusal::new(RefusalKind::BadRequest, why);
                if let Some(id) = id {
                    self.answer(link, id, Err(refusal), engine, out);
                }
            }
        }
    }

    fn asked_by(
        &self,
        link: Link,
        id: Option<u64>,
        name: &str,
        args: &Args,
    ) -> Result<(Option<Asked>, Command), &'static str> {
        let (channel, rest) = args.text().ok_or("the first argument is the name of a channel")?;
        let channel = Channel::parse(&channel).ok_or("this names no channel")?;
        let namespace = self.inside(link).map(|it| &*it.name);
        if namespace != Some(namespace_of(channel.as_str())) {
            return Err("the channel is of another namespace");
        }
        let answer = id.map(|it| Asked::Answer(link, it));
        Ok(match name {
            "subscribe" => {
                let json = rest.first().ok_or("the second argument is an object")?;
                let wish: Wish<'_> =
                    words::options(&json).ok_or("the second argument is an object")?;
                let target = Target::Channel(channel.clone());
                let mut subscribe = Subscribe::new(target, self.delivery());
                subscribe.since = wish.since.position();
                subscribe.token = wish.token.map(|it| Secret::from(std::sync::Arc::from(it)));
                subscribe.data = wish.data.map(|it| Payload::Json(it.get().to_owned().into()));
                let asked = Asked::Subscribe(link, id, channel);
                (Some(asked), Command::Subscribe(link, Box::new(subscribe)))
            }
            "unsubscribe" => (answer, Command::Unsubscribe(link, Target::Channel(channel))),
            "publish" => {
                let (event, rest) =
                    rest.text().ok_or("the second argument is the name of an event")?;
                let count = rest.count();
                let (payload, is_list) = rest.payload(count);
                let mut publish = Publish::new(channel, payload);
                (publish.event, publish.is_list) = (Some(event.into()), is_list);
                (answer, Command::Publish(link, Box::new(publish)))
            }
            "presence" => (answer, Command::Presence(link, channel)),
            "history" => {
                let json = rest.first().ok_or("the second argument is an object")?;
                let part: Part = words::options(&json).ok_or("the second argument is an object")?;
                let (since, reverse) = (part.since.position(), part.reverse);
                let page = Page { since, limit: part.limit.unwrap_or(PAGE), reverse };
                (answer, Command::History(link, channel, page))
            }
            _ => return Err("there is no such event"),
        })
    }

    /// Tells a client that it hears a channel, then what it missed there.
    pub(super) fn subscribed(
        &mut self,
        link: Link,
        id: Option<u64>,
        channel: Channel,
        result: Result<HubReply, Refusal>,
        engine: &mut Engine,
        out: &mut Actions,
    ) {
        if let Ok(HubReply::Subscribed(it)) = &result {
            self.stands(&channel, it.position);
            if self.inside(link).is_some() {
                push(&mut self.named, (link, channel));
            }
        }
        let Some(socket) = self.inside(link) else { return };
        if let Some(id) = id {
            let json = match &result {
                Ok(reply) => words::reply(reply),
                Err(refusal) => words::error(refusal),
            };
            let args = Args::json(json.into());
            self.say(&socket.name, &Reply::Ack { id, args: &args }, engine, out);
        }
        if let Ok(HubReply::Subscribed(it)) = result {
            self.missed(link, &it.recovered, engine, out);
        }
    }
}
