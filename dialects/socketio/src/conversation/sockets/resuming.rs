//! What is said in a session that is kept, and how a client goes on with it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use taiwa_core::{Actions, Channel, Link, Position, Publication, Recovered};

use super::{
    super::{
        engine::Engine,
        recovery::{Offset, Pid},
        words,
    },
    Sockets, Stage,
};

impl Sockets {
    /// Reads by which private name a client wants to go on, and where. An offset that is none of ours tells nothing: so nobody
    /// goes on with it.
    pub(super) fn pid(&self, name: &str, auth: Option<&Bytes>) -> Option<(Pid, Offset)> {
        let auth = auth.filter(|_| self.recovery.is_some())?;
        let pid: Pid = words::member(auth, "pid")?.parse().ok()?;
        let offset = match words::member(auth, "offset") {
            Some(offset) => offset.parse().ok()?,
            None => Offset::default(),
        };
        // The main namespace has number 0, and no other.
        ((pid.link.0 == 0) == (name == "/")).then_some((pid, offset))
    }

    /// Tells whether this private name is of the session that goes on.
    pub(super) fn is_told(&self, pid: Pid) -> bool {
        self.recovery.as_ref().is_some_and(|it| it.told == Some(pid.key))
    }

    /// Lets a client into a namespace that it has never left.
    pub(super) fn wake(&mut self, link: Link, read: u64, engine: &mut Engine, out: &mut Actions) {
        self.welcome(link, None, engine, out);
        if let Some(at) = self.link(link) {
            self.sockets[at].said = read;
        }
        self.release(link, engine, out);
        let has_more = self.sockets.iter().any(|it| it.is_dormant());
        if let Some(recovery) = self.recovery.as_mut().filter(|_| !has_more) {
            recovery.held_until = None;
        }
    }

    /// Leaves the namespaces for which nobody came.
    pub(super) fn leave_dormant(&mut self, out: &mut Actions) {
        let dormant = self.sockets.iter().filter(|it| it.is_dormant());
        for link in dormant.map(|it| it.link).collect::<Vec<_>>() {
            self.leave(link, out);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.held_until = None;
        }
    }

    /// Says a publication, or keeps it for a client that is not told yet that it is in.
    pub(super) fn said(
        &mut self,
        link: Link,
        it: Arc<Publication>,
        number: u64,
        engine: &mut Engine,
        out: &mut Actions,
    ) {
        let Some(at) = self.link(link) else { return };
        match (&self.sockets[at].stage, &mut self.recovery) {
            (Stage::In, _) => self.utter(at, &it, number, engine, out),
            (Stage::Joining(_) | Stage::Dormant, Some(recovery)) => {
                recovery.held.push_back((link, it, number));
                if recovery.held.len() <= self.settings.held_max {
                    return;
                }
                self.leave_dormant(out);
                if self.recovery.as_ref().is_some_and(|it| it.held.len() > self.settings.held_max) {
                    engine.close(1013, "too much was said before it was in", out);
                }
            }
            _ => {}
        }
    }

    /// Says what was kept for a client that is in now.
    pub(super) fn release(&mut self, link: Link, engine: &Engine, out: &mut Actions) {
        let Some(recovery) = &mut self.recovery else { return };
        let Some(at) = self.sockets.iter().position(|it| it.link == link) else { return };
        let all = std::mem::take(&mut recovery.held);
        let (mine, others): (VecDeque<_>, _) = all.into_iter().partition(|it| it.0 == link);
        recovery.held = others;
        for (_, it, number) in mine {
            self.utter(at, &it, number, engine, out);
        }
    }

    /// Says a publication, unless its client has it.
    fn utter(
        &mut self,
        at: usize,
        it: &Publication,
        number: u64,
        engine: &Engine,
        out: &mut Actions,
    ) {
        if number > 0 && number <= self.sockets[at].said {
            return;
        }
        let mut offset = None;
        if let Some(recovery) = self.recovery.as_mut().filter(|_| !it.volatile) {
            recovery.heard(it, number);
            self.sockets[at].said = number.max(self.sockets[at].said);
            offset = recovery.offset();
        }
        engine.say(&self.outlet.publication(it, offset.as_deref()), out);
    }

    /// Says what came along with a subscription.
    pub(super) fn missed(
        &mut self,
        link: Link,
        recovered: &Recovered,
        engine: &mut Engine,
        out: &mut Actions,
    ) {
        let (Recovered::Whole(missed) | Recovered::Gap(missed)) = recovered else { return };
        for it in missed {
            match self.recovery {
                Some(_) => self.said(link, it.clone(), 0, engine, out),
                None => engine.say(&self.outlet.publication(it, None), out),
            }
        }
    }

    /// Notes where a channel stands.
    pub(super) fn stands(&mut self, channel: &Channel, position: Option<Position>) {
        if let Some(recovery) = &mut self.recovery {
            recovery.at(channel, position);
        }
    }

    /// Forgets where a channel stands.
    pub(super) fn stands_no_more(&mut self, channel: &Channel) {
        if let Some(recovery) = &mut self.recovery {
            recovery.forget(channel);
        }
    }

    /// Notes that the client is asked whether it is there. What it has when it answers need not be kept any longer; but in a
    /// namespace where little is said it goes on from an old number, which counts then.
    pub(in super::super) fn asks(&mut self) {
        let there = || self.sockets.iter().filter(|it| !matches!(it.stage, Stage::Ended));
        let is_all_in = there().all(|it| matches!(it.stage, Stage::In));
        let least = there().map(|it| it.said).min().filter(|_| is_all_in);
        if let (Some(recovery), Some(least)) = (&mut self.recovery, least) {
            recovery.ask(least);
        }
    }

    /// Takes its answer.
    pub(in super::super) fn is_there(&mut self, out: &mut Actions) {
        let read = self.recovery.as_mut().and_then(|it| it.answered());
        if let Some(read) = read {
            self.ask(None, taiwa_core::Command::Read(read), out);
        }
    }
}
