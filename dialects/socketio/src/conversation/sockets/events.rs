//! Events of clients, calls of the app, and the answers to both.

use bytes::Bytes;

use taiwa_core::{
    Action, Actions, Arguments, CallId, Channel, Command, Link, Publish, Refusal, RefusalKind,
    Reply as HubReply,
};

use super::{
    super::{engine::Engine, words},
    Asked, Sockets,
};
use crate::wire::{Args, Count, Reply, quoted};

impl Sockets {
    /// Takes an event of the client.
    pub(super) fn event(
        &mut self,
        link: Link,
        id: Option<u64>,
        name: &Bytes,
        (count, args): (Count, Args),
        engine: &mut Engine,
        out: &mut Actions,
    ) {
        let Some(namespace) = self.inside(link).map(|it| it.name.clone()) else { return };
        let plain = words::plain(name);
        let settings = self.settings.clone();
        if let Some((_, back)) = settings.echo_events.iter().find(|it| *it.0 == *plain) {
            let name = quoted(back);
            let event = Reply::Event { id: None, name: &name, args: &args, offset: None };
            return self.say(&namespace, &event, engine, out);
        }
        if let Some(id) = id
            && settings.echo_acks.iter().any(|it| **it == *plain)
        {
            return self.say(&namespace, &Reply::Ack { id, args: &args }, engine, out);
        }
        if let Some(ours) = plain.strip_prefix("taiwa:") {
            return self.ours(link, id, ours, &args, engine, out);
        }
        let (payload, is_list) = args.payload(count);
        let said_to_all = settings.broadcast.iter().any(|it| words::fits(it, &plain));
        let command = if said_to_all {
            let Some(channel) = Channel::parse(&namespace) else { return };
            let mut publish = Publish::new(channel, payload);
            publish.event = Some(plain.into());
            publish.is_list = is_list;
            if !settings.broadcast_echo {
                publish.except.extend(self.session);
            }
            Command::Publish(link, Box::new(publish))
        } else {
            Command::Call(link, plain.into(), payload)
        };
        self.ask(id.map(|it| Asked::Answer(link, it)), command, out);
    }

    /// Answers an event of the client, if it still is there.
    pub(super) fn answer(
        &mut self,
        link: Link,
        id: u64,
        result: Result<HubReply, Refusal>,
        engine: &Engine,
        out: &mut Actions,
    ) {
        let Some(socket) = self.inside(link) else { return };
        let args = match result {
            Ok(HubReply::Answer(payload)) => Args::of(&payload, false),
            Ok(reply) => Args::json(words::reply(&reply).into()),
            Err(refusal) => Args::json(words::error(&refusal).into()),
        };
        self.say(&socket.name, &Reply::Ack { id, args: &args }, engine, out);
    }

    /// Says an event of the app that wants an answer.
    pub(super) fn call(
        &mut self,
        call: CallId,
        link: Link,
        name: &str,
        with: &Arguments,
        engine: &Engine,
        out: &mut Actions,
    ) {
        if self.inside(link).is_none() {
            let refusal = Refusal::new(RefusalKind::Unavailable, "the client has gone");
            return out.push(Action::Answer(call, Err(refusal)));
        }
        if self.calls.len() >= self.settings.calls_max.max(1) {
            let (_, _, oldest) = self.calls.remove(0);
            let refusal = Refusal::new(RefusalKind::Limit, "too many calls wait for this client");
            out.push(Action::Answer(oldest, Err(refusal)));
        }
        let id = self.calls_so_far;
        self.calls_so_far += 1;
        self.calls.push((id, link, call));
        let Some(socket) = self.inside(link) else { return };
        let (name, args) = (quoted(name), Args::of(&with.payload, with.is_list));
        let event = Reply::Event { id: Some(id), name: &name, args: &args, offset: None };
        self.say(&socket.name, &event, engine, out);
    }
}
