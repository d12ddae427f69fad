//! How a client comes into a namespace.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use taiwa_core::{
    Actions, Channel, Command, Connect, Connected, Link, Payload, Refusal, Resume, Resumed, Secret,
    SessionId, Subscribe, Target,
};

use super::{
    super::{
        engine::Engine,
        recovery::{HELD_WITHIN, Offset, Pid},
        words,
    },
    Asked, Joining, Socket, Sockets, Stage, push,
};
use crate::{
    encode::namespace_of,
    wire::{Args, Fault, Reply, quoted},
};

/// A longer name of a namespace is invalid.
const NAME_BYTES_MAX: usize = 256;

/// So many namespaces wait while it is found out whether a session goes on; with more the connection is closed.
const WAITING_MAX: usize = 64;

impl Sockets {
    /// Lets a client knock at a namespace.
    pub(super) fn connect(
        &mut self,
        name: &str,
        auth: Option<Bytes>,
        engine: &mut Engine,
        out: &mut Actions,
    ) {
        if self.resuming {
            if self.waiting.len() >= WAITING_MAX {
                return engine.fault(Fault("too many namespaces at once"), out);
            }
            return self.waiting.push((name.into(), auth));
        }
        let sound = name.len() <= NAME_BYTES_MAX
            && Channel::parse(name).is_some()
            && !name.contains([':', ',', '?'])
            && (name == "/" || !name.ends_with('/'));
        let listed = self.settings.namespaces.iter().any(|it| **it == *name || **it == *"*");
        if !sound || !listed {
            let error = Reply::ConnectError { message: "Invalid namespace", details: None };
            return self.say(name, &error, engine, out);
        }
        let pid = self.pid(name, auth.as_ref());
        let dormant = |it: &Socket| *it.name == *name && it.is_dormant();
        if let Some(link) = self.sockets.iter().find(|it| dormant(it)).map(|it| it.link) {
            match pid {
                Some((pid, offset)) if pid.link == link && self.is_told(pid) => {
                    return self.wake(link, offset.number, engine, out);
                }
                // Somebody else, perhaps: whether this one may come in is asked anew.
                _ => self.leave(link, out),
            }
        }
        // A life of it before this one is over for the hub when it hears of this one.
        self.sockets.retain(|it| *it.name != *name);
        let resumes = pid.filter(|_| self.sockets.is_empty() && self.session.is_none());
        let link = match (&resumes, name) {
            (_, "/") => Link(0),
            (Some((pid, _)), _) => pid.link,
            _ => (1..).map(Link).find(|it| self.link(*it).is_none()).expect("few are taken"),
        };
        if self.sockets.is_empty() && self.session.is_none() {
            self.begin_anew();
        }
        let said = resumes.as_ref().map_or(0, |it| it.1.number);
        let resume = resumes.map(|(pid, offset)| self.resume(pid, offset));
        let told = auth.as_ref().and_then(|it| words::member(it, &self.settings.token));
        let told = told.filter(|it| !it.is_empty()).map(|it| Secret::from(Arc::from(it)));
        let connect = Connect {
            token: told.or_else(|| self.token.clone()),
            data: auth.clone().map(Payload::Json),
            scope: (name != "/").then(|| name.into()),
            delivery: Some(self.delivery()),
            resume,
            ..Connect::default()
        };
        let stage = Stage::Asking(auth.into());
        push(&mut self.sockets, Socket { link, name: name.into(), stage, said });
        self.ask(Some(Asked::Connect(link)), Command::Connect(link, Box::new(connect)), out);
    }

    /// Lets those knock who waited for what becomes of an earlier session.
    fn knock_again(&mut self, engine: &mut Engine, out: &mut Actions) {
        if std::mem::take(&mut self.resuming) {
            for (name, auth) in std::mem::take(&mut self.waiting) {
                if !self.sockets.iter().any(|it| *it.name == *name && !it.is_dormant()) {
                    self.connect(&name, auth, engine, out);
                }
            }
        }
    }

    pub(super) fn kept_out(
        &mut self,
        link: Link,
        refusal: &Refusal,
        engine: &mut Engine,
        out: &mut Actions,
    ) {
        if words::may_pass(refusal) {
            // Clients do not come back by themselves from a CONNECT_ERROR, but from a connection that is lost.
            return engine.close(words::TRY_AGAIN.0, words::TRY_AGAIN.1, out);
        }
        let Some(at) = self.link(link) else { return };
        let socket = self.sockets.remove(at);
        let details = words::details(refusal);
        let error =
            Reply::ConnectError { message: words::message(refusal), details: details.as_ref() };
        self.say(&socket.name, &error, engine, out);
        self.knock_again(engine, out);
    }

    pub(super) fn connected(
        &mut self,
        link: Link,
        it: Connected,
        engine: &mut Engine,
        now: Instant,
        out: &mut Actions,
    ) {
        self.session = Some(it.session);
        let is_whole = it.resumed == Some(Resumed::Whole);
        if is_whole {
            self.goes_on(&it, now);
        }
        let Some(at) = self.link(link) else { return };
        if it.resumed == Some(Resumed::Anew) {
            self.begin_anew();
            self.sockets[at].said = 0;
        }
        let socket = &mut self.sockets[at];
        let Stage::Asking(auth) = &mut socket.stage else { return };
        let own = Channel::parse(&socket.name);
        let named = self.channels.iter().filter(|it| namespace_of(it.as_str()) == &*socket.name);
        let has = |wanted: &Channel| it.subscribed.iter().any(|it| it.0 == *wanted);
        let mut wanted: Vec<Channel> = own.into_iter().chain(named.cloned()).collect();
        wanted.dedup();
        // What goes on hears what it heard.
        wanted.retain(|it| !is_whole && !has(it));
        let keeps = self.recovery.as_ref().is_some_and(|it| it.key.is_none());
        let unanswered = wanted.len() + usize::from(keeps);
        let auth = auth.take();
        let joining = Joining { auth, unanswered, said: it.data, refused: vec![] };
        socket.stage = Stage::Joining(joining.into());
        if let Some(ttl) = self.recovery.as_ref().filter(|_| keeps).map(|it| it.ttl) {
            self.ask(Some(Asked::Keep(link)), Command::Keep(ttl), out);
        }
        let delivery = self.delivery();
        for channel in wanted {
            let subscribe = Subscribe::new(Target::Channel(channel.clone()), delivery);
            let command = Command::Subscribe(link, Box::new(subscribe));
            self.ask(Some(Asked::Join(link, channel)), command, out);
        }
        for (channel, subscribed) in &it.subscribed {
            self.stands(channel, subscribed.position);
        }
        self.perhaps_in(link, engine, out);
        for (_, subscribed) in &it.subscribed {
            self.missed(link, &subscribed.recovered, engine, out);
        }
    }

    /// Takes note that a client does not hear what it wanted. Of its namespace's own channel it is not told: it did not name it.
    pub(super) fn not_heard(&mut self, link: Link, channel: Channel, refusal: Refusal) {
        let is_named = self.channels.contains(&channel);
        let Some(at) = self.link(link).filter(|_| is_named) else { return };
        if let Stage::Joining(joining) = &mut self.sockets[at].stage {
            joining.refused.push((channel, refusal));
        }
    }

    /// Takes one of the answers without which a client is not in.
    pub(super) fn one_answered(&mut self, link: Link, engine: &mut Engine, out: &mut Actions) {
        let Some(at) = self.link(link) else { return };
        if let Stage::Joining(joining) = &mut self.sockets[at].stage {
            joining.unanswered = joining.unanswered.saturating_sub(1);
            self.perhaps_in(link, engine, out);
        }
    }

    /// Tells the client that it is in, when all that belongs to it is there.
    fn perhaps_in(&mut self, link: Link, engine: &mut Engine, out: &mut Actions) {
        let Some(at) = self.link(link) else { return };
        let stage = &mut self.sockets[at].stage;
        let Stage::Joining(joining) = stage else { return };
        if joining.unanswered > 0 {
            return;
        }
        let (auth, said) = (joining.auth.take(), joining.said.take());
        let refused = std::mem::take(&mut joining.refused);
        self.welcome(link, said.as_ref(), engine, out);
        for (channel, refusal) in refused {
            let reason = format!(",\"reason\":{}", quoted(words::message(&refusal)));
            self.tell(link, &channel, "taiwa:unsubscribed", &reason, engine, out);
        }
        if let Some(event) = &self.settings.echo_auth {
            let args = Args::json(auth.unwrap_or(Bytes::from_static(b"{}")));
            let quoted = quoted(event);
            let event = Reply::Event { id: None, name: &quoted, args: &args, offset: None };
            self.say(&self.sockets[at].name, &event, engine, out);
        }
        self.release(link, engine, out);
        self.knock_again(engine, out);
    }

    /// Tells the client that it is in.
    pub(super) fn welcome(
        &mut self,
        link: Link,
        said: Option<&Payload>,
        engine: &Engine,
        out: &mut Actions,
    ) {
        let Some(at) = self.link(link) else { return };
        self.sockets[at].stage = Stage::In;
        self.connect_until = None;
        let mut object = format!("{{\"sid\":\"{}\"", self.sid(link));
        if let Some(key) = self.recovery.as_ref().and_then(|it| it.told) {
            object += &format!(",\"pid\":\"{}\"", Pid { key, link });
        }
        if let Some(Payload::Json(json)) = said {
            object += &format!(",\"data\":{}", String::from_utf8_lossy(json));
        }
        object.push('}');
        self.say(&self.sockets[at].name, &Reply::Connect(&object), engine, out);
    }

    /// Returns the name of a socket: that of its session, with the number of its namespace.
    fn sid(&self, link: Link) -> String {
        let session = self.session.unwrap_or(SessionId(0));
        match link.0 {
            0 => session.to_string(),
            number => format!("{session}.{number}"),
        }
    }

    /// Forgets where a client wanted to go on.
    fn begin_anew(&mut self) {
        if let Some(recovery) = &mut self.recovery {
            recovery.told = None;
            recovery.stand(Offset::default());
        }
    }

    /// Makes the wish to go on, and remembers where.
    fn resume(&mut self, pid: Pid, offset: Offset) -> Resume {
        self.resuming = true;
        let resume = Resume {
            key: offset.key.unwrap_or(pid.key),
            read: offset.floor,
            positions: offset.positions.clone(),
        };
        if let Some(recovery) = &mut self.recovery {
            recovery.told = Some(pid.key);
            recovery.stand(offset);
        }
        resume
    }

    /// Finds the other namespaces of a session that goes on.
    fn goes_on(&mut self, it: &Connected, now: Instant) {
        for (link, scope) in &it.links {
            let name = scope.as_deref().unwrap_or("/").into();
            push(&mut self.sockets, Socket { link: *link, name, stage: Stage::Dormant, said: 0 });
        }
        if let Some(recovery) = self.recovery.as_mut().filter(|_| !it.links.is_empty()) {
            recovery.held_until = Some(now + HELD_WITHIN);
        }
    }
}
