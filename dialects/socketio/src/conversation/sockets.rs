//! Socket.IO: the namespaces of one client.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use taiwa_core::{
    Action, Actions, CallId, Channel, Command, Delivery, Disconnect, Event, Link, Message, Payload,
    Refusal, RefusalKind, Reply as HubReply, Secret, SessionId, Token, Unsubscribed,
};

use super::{engine::Engine, recovery::Recovery, words};
use crate::{
    Settings,
    encode::Outlet,
    http::Opening,
    wire::{Args, Assembly, Bounds, Fault, Packet, Reply, Revision, Said},
};

mod entering;
mod events;
mod own;
mod resuming;

/// How many namespaces are remembered that the server has ended, for what is still on its way from the client.
const ENDED_MAX: usize = 16;

/// All namespaces of one connection.
pub(crate) struct Sockets {
    settings: Arc<Settings>,
    outlet: Outlet,
    /// What the client said at the door.
    token: Option<Secret>,
    channels: Box<[Channel]>,
    assembly: Assembly,
    sockets: Vec<Socket>,
    session: Option<SessionId>,
    asked: Vec<(Token, Asked)>,
    tokens_so_far: Token,
    /// Calls of the app that the client has not answered, the oldest first.
    calls: Vec<(u64, Link, CallId)>,
    calls_so_far: u64,
    /// Somebody must have come in until then.
    connect_until: Option<Instant>,
    recovery: Option<Box<Recovery>>,
    /// It is being found out whether an earlier session goes on.
    resuming: bool,
    /// Who knocks meanwhile.
    waiting: Vec<(Box<str>, Option<Bytes>)>,
    /// What the client named by itself, and so may be told about.
    named: Vec<(Link, Channel)>,
}

/// One namespace.
struct Socket {
    link: Link,
    name: Box<str>,
    stage: Stage,
    /// The number of the last event in the session's log that was said in it.
    said: u64,
}

impl Socket {
    fn is_dormant(&self) -> bool {
        matches!(self.stage, Stage::Dormant)
    }
}

/// How far a namespace is.
enum Stage {
    /// The hub is asked whether the client may come in.
    Asking(Box<Option<Bytes>>),
    Joining(Box<Joining>),
    In,
    /// It is in, but has not asked for that since it came back.
    Dormant,
    /// The client has left.
    Leaving,
    /// The server has ended it, and what the client said before it knew may still come.
    Ended,
}

/// A client that may come in, and is not told yet.
struct Joining {
    auth: Option<Bytes>,
    /// So many answers are to come before.
    unanswered: usize,
    said: Option<Payload>,
    /// What it wanted to hear, and why it does not.
    refused: Vec<(Channel, Refusal)>,
}

/// What the hub was asked.
enum Asked {
    Connect(Link),
    /// To hear something, without which the client is not told that it is in.
    Join(Link, Channel),
    Keep(Link),
    Leave(Link),
    /// Something that the client wants answered.
    Answer(Link, u64),
    Subscribe(Link, Option<u64>, Channel),
}

/// Adds something to a list that mostly has no second one: room is made for the first alone.
fn push<T>(list: &mut Vec<T>, it: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(it);
}

impl Sockets {
    pub(super) fn new(opening: Opening, settings: Arc<Settings>, now: Instant) -> Self {
        let ttl = settings.recovery.filter(|_| opening.revision == Revision::V4);
        Self {
            outlet: Outlet::Text(opening.revision),
            token: opening.token,
            channels: opening.channels.into(),
            assembly: Assembly::default(),
            sockets: vec![],
            session: None,
            asked: vec![],
            tokens_so_far: 0,
            calls: vec![],
            calls_so_far: 0,
            connect_until: Some(now + settings.connect_within),
            recovery: ttl.map(|it| Box::new(Recovery::new(it))),
            resuming: false,
            waiting: vec![],
            named: vec![],
            settings,
        }
    }

    /// Begins when the connection stands.
    pub(super) fn opened(&mut self, engine: &mut Engine, out: &mut Actions) {
        // Socket.IO 4: "The server always send a CONNECT packet for the default namespace (/) when the connection is
        // established."
        if engine.revision() == Revision::V3 {
            self.connect("/", None, engine, out);
        }
    }

    /// Takes a message of the client.
    pub(super) fn hear(&mut self, message: Message, engine: &mut Engine, out: &mut Actions) {
        let is_first = self.sockets.is_empty() && self.session.is_none();
        if is_first
            && self.outlet == Outlet::Text(Revision::V4)
            && !self.assembly.is_waiting()
            && matches!(message, Message::Binary(_))
        {
            self.outlet = Outlet::Msgpack;
        }
        let bounds = Bounds {
            attachments_max: self.settings.attachments_max,
            bytes_max: self.settings.attachments_bytes_max,
        };
        let packet = match self.outlet {
            Outlet::Text(_) => self.assembly.take(message, bounds),
            Outlet::Msgpack => Packet::msgpack(&message, bounds).map(Some),
        };
        let outcome = match packet {
            Ok(Some(packet)) => self.packet(packet, engine, out),
            Ok(None) => Ok(()),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            engine.fault(fault, out);
        }
    }

    fn packet(
        &mut self,
        packet: Packet,
        engine: &mut Engine,
        out: &mut Actions,
    ) -> Result<(), Fault> {
        let name = &*packet.namespace;
        let (name, query) = match name.split_once('?') {
            Some((name, query)) if engine.revision() == Revision::V3 => (name, Some(query)),
            _ => (name, None),
        };
        let found = self.sockets.iter().position(|it| *it.name == *name);
        let socket = found.map(|it| &self.sockets[it]);
        match (packet.said, socket.map(|it| (&it.stage, it.link))) {
            (
                Said::Connect(auth),
                None | Some((Stage::Leaving | Stage::Ended | Stage::Dormant, _)),
            ) => {
                let auth = query.map(words::object).or(auth);
                self.connect(name, auth, engine, out);
            }
            // Clients of revision 3 are in the main namespace already.
            (Said::Connect(_), Some(_)) if engine.revision() == Revision::V3 => {}
            (_, Some((Stage::Leaving | Stage::Ended, _))) => {}
            (Said::Disconnect, Some((Stage::In, link))) => self.leave(link, out),
            (Said::Event { id, name, count, args }, Some((Stage::In, link))) => {
                self.event(link, id, &name, (count, args), engine, out);
            }
            (Said::Ack { id, count, args }, Some((Stage::In, link))) => {
                let of = |it: &(u64, Link, CallId)| (it.0, it.1) == (id, link);
                if let Some(at) = self.calls.iter().position(of) {
                    let (_, _, call) = self.calls.remove(at);
                    out.push(Action::Answer(call, Ok(args.payload(count).0)));
                }
            }
            // Socket.IO 5: "If the server does not receive a CONNECT packet first, then it MUST close the connection
            // immediately."
            _ => return Err(Fault("not in this namespace")),
        }
        Ok(())
    }

    /// Asks the hub, and remembers why.
    fn ask(&mut self, why: Option<Asked>, command: Command, out: &mut Actions) {
        let token = match why {
            None => 0,
            Some(why) => {
                self.tokens_so_far += 1;
                push(&mut self.asked, (self.tokens_so_far, why));
                self.tokens_so_far
            }
        };
        out.push(Action::Ask(token, command));
    }

    fn say(&self, namespace: &str, reply: &Reply<'_>, engine: &Engine, out: &mut Actions) {
        engine.say(&self.outlet.messages(namespace, reply), out);
    }

    fn link(&self, link: Link) -> Option<usize> {
        self.sockets.iter().position(|it| it.link == link)
    }

    /// Finds a namespace that its client is in.
    fn inside(&self, link: Link) -> Option<&Socket> {
        self.sockets.iter().find(|it| it.link == link && matches!(it.stage, Stage::In))
    }

    fn delivery(&self) -> Delivery {
        match self.recovery {
            Some(_) => Delivery::Personal,
            None => Delivery::Shared(self.outlet.encoding()),
        }
    }

    /// Leaves a namespace.
    fn leave(&mut self, link: Link, out: &mut Actions) {
        if let Some(at) = self.link(link) {
            self.sockets[at].stage = Stage::Leaving;
        }
        self.forget(link);
        self.ask(Some(Asked::Leave(link)), Command::Leave(link), out);
    }

    /// Forgets what a namespace has beside its place.
    fn forget(&mut self, link: Link) {
        self.calls.retain(|it| it.1 != link);
        self.named.retain(|it| it.0 != link);
        if let Some(recovery) = &mut self.recovery {
            recovery.held.retain(|it| it.0 != link);
        }
    }

    /// Tells its client that it is in a namespace no more; in others it stays.
    fn ended(&mut self, link: Link, why: &Disconnect, engine: &mut Engine, out: &mut Actions) {
        let Some(at) = self.link(link) else { return };
        self.forget(link);
        match &self.sockets[at].stage {
            Stage::In => self.say(&self.sockets[at].name, &Reply::Disconnect, engine, out),
            Stage::Joining(_) => {
                let (_, reason) = words::ending(why);
                let refusal = Refusal::new(RefusalKind::Forbidden, &reason);
                return self.kept_out(link, &refusal, engine, out);
            }
            _ => {}
        }
        self.sockets[at].stage = Stage::Ended;
        let ended = |it: &Socket| matches!(it.stage, Stage::Ended);
        if self.sockets.iter().filter(|it| ended(it)).count() > ENDED_MAX {
            let oldest = self.sockets.iter().position(ended);
            oldest.map(|it| self.sockets.remove(it));
        }
    }

    /// Takes what the hub says.
    pub(super) fn told(
        &mut self,
        event: Event,
        engine: &mut Engine,
        now: Instant,
        out: &mut Actions,
    ) {
        match event {
            Event::Reply(token, result) => self.replied(token, result, engine, now, out),
            Event::Said(link, _, it, number) => self.said(link, it, number, engine, out),
            Event::Told(link, name, said) => {
                let Some(socket) = self.inside(link) else { return };
                let name = crate::wire::quoted(name.as_deref().unwrap_or("message"));
                let args = Args::of(&said.payload, said.is_list);
                let offset = self.recovery.as_ref().and_then(|it| it.offset());
                let offset = offset.as_deref();
                let event = Reply::Event { id: None, name: &name, args: &args, offset };
                self.say(&socket.name, &event, engine, out);
            }
            Event::Call(call, link, name, with) => {
                self.call(call, link, &name, &with, engine, out);
            }
            Event::Subscribed(link, channel, subscribed) => {
                self.stands(&channel, subscribed.position);
                self.missed(link, &subscribed.recovered, engine, out);
            }
            Event::Unsubscribed(link, taiwa_core::Target::Channel(channel), why) => {
                self.unsubscribed(link, &channel, &why, engine, out);
            }
            Event::Missed(link, taiwa_core::Target::Channel(channel), count, _) => {
                let count = count.map(|it| format!(",\"missed\":{it}")).unwrap_or_default();
                self.notice(link, &channel, "taiwa:gap", &count, engine, out);
            }
            Event::Ended(link, why) => self.ended(link, &why, engine, out),
            Event::Disconnect(why) => self.disconnect(&why, engine, now, out),
            _ => {}
        }
    }

    fn unsubscribed(
        &mut self,
        link: Link,
        channel: &Channel,
        why: &Unsubscribed,
        engine: &Engine,
        out: &mut Actions,
    ) {
        self.stands_no_more(channel);
        let reason = format!(",\"reason\":{}", crate::wire::quoted(words::unsubscribed(why)));
        self.notice(link, channel, "taiwa:unsubscribed", &reason, engine, out);
        self.named.retain(|it| it.0 != link || it.1 != *channel);
    }

    /// Says something about a channel that the client has named.
    fn notice(
        &self,
        link: Link,
        channel: &Channel,
        name: &str,
        more: &str,
        engine: &Engine,
        out: &mut Actions,
    ) {
        if self.named.iter().any(|it| it.0 == link && it.1 == *channel) {
            self.tell(link, channel, name, more, engine, out);
        }
    }

    /// Says something about a channel.
    fn tell(
        &self,
        link: Link,
        channel: &Channel,
        name: &str,
        more: &str,
        engine: &Engine,
        out: &mut Actions,
    ) {
        if let Some(socket) = self.inside(link) {
            let object = format!("{{\"channel\":{}{more}}}", crate::wire::quoted(channel.as_str()));
            let (name, args) = (crate::wire::quoted(name), Args::json(object.into()));
            let event = Reply::Event { id: None, name: &name, args: &args, offset: None };
            self.say(&socket.name, &event, engine, out);
        }
    }

    /// Sends the client away. Clients that are told so by a packet do not come back by themselves.
    fn disconnect(
        &mut self,
        why: &Disconnect,
        engine: &mut Engine,
        now: Instant,
        out: &mut Actions,
    ) {
        let (code, reason) = words::ending(why);
        // Its session was taken over by an attempt of the same client: by a later one, which then is the one that it lives by, or
        // by an earlier one that was overtaken on its way. In that case the client is here, and has to come back.
        if why.may_return() || *why == Disconnect::Replaced {
            return engine.close(code, &reason, out);
        }
        let mut has_words = false;
        for socket in self.sockets.iter().filter(|it| matches!(it.stage, Stage::In)) {
            self.say(&socket.name, &Reply::Disconnect, engine, out);
            has_words = true;
        }
        engine.end((code, &reason), has_words, now, out);
    }

    fn replied(
        &mut self,
        token: Token,
        result: Result<HubReply, Refusal>,
        engine: &mut Engine,
        now: Instant,
        out: &mut Actions,
    ) {
        let Some(at) = self.asked.iter().position(|it| it.0 == token) else { return };
        let (_, asked) = self.asked.swap_remove(at);
        if self.asked.is_empty() {
            self.asked = vec![];
        }
        match (asked, result) {
            (Asked::Connect(link), Ok(HubReply::Connected(it))) => {
                self.connected(link, *it, engine, now, out);
            }
            (Asked::Connect(link), Err(refusal)) => self.kept_out(link, &refusal, engine, out),
            (Asked::Connect(_), Ok(_)) => {}
            (Asked::Join(..), Err(refusal)) if words::may_pass(&refusal) => {
                engine.close(words::TRY_AGAIN.0, words::TRY_AGAIN.1, out);
            }
            (Asked::Join(link, channel), Err(refusal)) => {
                self.not_heard(link, channel, refusal);
                self.one_answered(link, engine, out);
            }
            (Asked::Join(link, channel), result) => {
                if let Ok(HubReply::Subscribed(it)) = &result {
                    self.stands(&channel, it.position);
                    push(&mut self.named, (link, channel));
                }
                self.one_answered(link, engine, out);
            }
            (Asked::Keep(link), result) => {
                if let (Ok(HubReply::Kept(key)), Some(recovery)) = (result, &mut self.recovery) {
                    recovery.key = Some(key);
                    recovery.told.get_or_insert(key);
                }
                self.one_answered(link, engine, out);
            }
            (Asked::Leave(link), _) => {
                let has_left = |it: &Socket| it.link == link && matches!(it.stage, Stage::Leaving);
                self.sockets.retain(|it| !has_left(it));
            }
            (Asked::Answer(link, id), result) => self.answer(link, id, result, engine, out),
            (Asked::Subscribe(link, id, channel), result) => {
                self.subscribed(link, id, channel, result, engine, out);
            }
        }
    }

    pub(super) fn timeout(&mut self, engine: &mut Engine, now: Instant, out: &mut Actions) {
        if self.connect_until.is_some_and(|it| it <= now) {
            self.connect_until = None;
            return engine.fault(Fault("in no namespace in time"), out);
        }
        let held_until = self.recovery.as_ref().and_then(|it| it.held_until);
        if held_until.is_some_and(|it| it <= now) {
            self.leave_dormant(out);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let held_until = self.recovery.as_ref().and_then(|it| it.held_until);
        [self.connect_until, held_until].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_and_silent_costs_little() {
        assert!(size_of::<Sockets>() <= 288, "{}", size_of::<Sockets>());
        assert!(size_of::<Socket>() <= 48, "{}", size_of::<Socket>());
        let mut list = vec![];
        push(&mut list, 1);
        assert_eq!(list.capacity(), 1);
    }
}
