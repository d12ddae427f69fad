//! Links that were let in: until when, which of several is meant, and what the server subscribes them to.

use std::{sync::Arc, time::Instant};

use taiwa_core::{
    Admission, Answer, Channel, Client, Connect, Delivery, Disconnect, Event, Link, Question,
    Refusal, RefusalKind, Reply, Secret, Subscribe, Target,
};

use super::{
    Now, Shard,
    arrive::{Answered, nonsense},
    session::{Expiry, Session},
    timers::Due,
    waiting::{Asker, Waiting},
};
use crate::{
    order::Which,
    outlet::{Outlet, Seat, Ticket},
    settings,
};

impl Session {
    /// Returns the link that is meant by a channel where the server chooses: the one whose scope is its name or stands in front
    /// of its first `:`; otherwise `own`, or the first, but one without a scope before the others.
    pub(super) fn link_for(&self, channel: &Channel, own: Option<Link>) -> Option<Link> {
        let is_in = |scope: &str| channel.as_str() == scope || channel.namespace() == Some(scope);
        let admitted = || self.links.iter().filter(|it| it.admitted);
        let of_scope = admitted().find(|it| it.client.scope().is_some_and(is_in));
        let own = admitted().find(|it| Some(it.link) == own);
        let without = own.into_iter().chain(admitted()).find(|it| it.client.scope().is_none());
        let meant = of_scope.or(without).or(own).or_else(|| admitted().next());
        meant.map(|it| it.link)
    }

    /// Returns the link that an order means, if it was let in. `own` is the one by which the session was found.
    pub(super) fn link_of(&self, which: &Which, own: Option<Link>) -> Option<Link> {
        let mut admitted = self.links.iter().filter(|it| it.admitted);
        let meant = match which {
            Which::Usual => match own {
                Some(own) => admitted.find(|it| it.link == own),
                None => {
                    let without = admitted.clone().find(|it| it.client.scope().is_none());
                    without.or_else(|| admitted.next())
                }
            },
            Which::Scope(scope) => admitted.find(|it| it.client.scope() == Some(&**scope)),
            Which::Number(number) => admitted.find(|it| it.link == *number),
        };
        meant.map(|it| it.link)
    }

    /// Returns the links that were let in besides one, with their scopes.
    pub(super) fn links_besides(&self, link: Link) -> Vec<(Link, Option<Arc<str>>)> {
        let others = self.links.iter().filter(|it| it.admitted && it.link != link);
        let scope = |it: &Client| it.about.as_ref().and_then(|it| it.scope.clone());
        others.map(|it| (it.link, scope(&it.client))).collect()
    }
}

impl Shard {
    pub(super) fn set_expiry(&mut self, seat: Seat, link: Link, admission: &Admission, now: Now) {
        // What ends behind all clocks does not end.
        let at = admission.expires.and_then(|it| now.after(it));
        let Some(state) = self.link_mut(seat, link) else { return };
        state.expiry = at.map(|it| Expiry::new(it, admission.client_refreshes));
        if let Some(at) = at {
            self.schedule(at, Due::Link(seat, link));
        }
    }

    /// Shows the app a fresh token.
    pub(super) fn refresh(
        &mut self,
        asker: Asker,
        link: Link,
        fresh: Secret,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let who = self.admitted_client(asker.seat, link)?;
        let question = Question::Refresh { who, token: Some(fresh) };
        let waiting = Waiting::Refresh { seat: asker.seat, link, asker: Some(asker) };
        self.question(Some(asker.seat), waiting, question, now, out)?;
        Ok(None)
    }

    /// Returns a link's client, if it was let in.
    pub(super) fn admitted_client(&self, seat: Seat, link: Link) -> Result<Arc<Client>, Refusal> {
        let state = self.link(seat, link).filter(|it| it.admitted);
        let refusal = || Refusal::new(RefusalKind::Unauthorized, "connect first");
        state.map(|it| it.client.clone()).ok_or_else(refusal)
    }

    /// Lets a link stay, or not, as the app said.
    pub(super) fn refreshed(
        &mut self,
        (seat, link): (Seat, Link),
        asker: Option<Asker>,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let client = match (self.admitted_client(seat, link), asker) {
            (Ok(client), _) => client,
            (Err(refusal), Some(asker)) => return self.reply(asker, Err(refusal), out),
            (Err(_), None) => return,
        };
        let refusal = match answer {
            Ok(Answer::Admission(admission)) if admission.user == client.user => {
                self.set_expiry(seat, link, &admission, now);
                let Some(mut connected) = self.connected((seat, link), &admission, None) else {
                    return;
                };
                connected.user = client.user.clone();
                if let Some(asker) = asker {
                    self.reply(asker, Ok(Reply::Connected(Box::new(connected))), out);
                }
                return;
            }
            Ok(Answer::Admission(_)) => {
                Refusal::new(RefusalKind::Forbidden, "the token is of another user")
            }
            Ok(_) => nonsense(),
            Err(refusal) => refusal,
        };
        match asker {
            Some(asker) => self.reply(asker, Err(refusal), out),
            None if refusal.is_temporary() => self.try_link_again(seat, link, now, out),
            None => self.send_away(seat, Disconnect::Expired, now, out),
        }
    }

    /// The app could not be asked: a client does not pay for that before the grace is over.
    fn try_link_again(&mut self, seat: Seat, link: Link, now: Now, out: &mut dyn Outlet) {
        let Some(ended) = self.link(seat, link).and_then(|it| Some(it.expiry.as_ref()?.at)) else {
            return;
        };
        match self.next_try(ended, now) {
            Some(again) => self.look_at_link(seat, link, again),
            None => self.send_away(seat, Disconnect::Expired, now, out),
        }
    }

    fn look_at_link(&mut self, seat: Seat, link: Link, at: Instant) {
        if let Some(expiry) = self.link_mut(seat, link).and_then(|it| it.expiry.as_mut()) {
            expiry.look = at;
            self.schedule(at, Due::Link(seat, link));
        }
    }

    /// The rights of a link end, or the grace behind that.
    pub(super) fn link_expires(&mut self, seat: Seat, link: Link, now: Now, out: &mut dyn Outlet) {
        let Some(session) = self.sessions.get(seat).filter(|it| !it.leaving) else { return };
        let is_away = session.is_away();
        let Some(state) = session.links.iter().find(|it| it.link == link) else { return };
        let Some(expiry) = state.expiry.as_deref().copied() else { return };
        if !expiry.client_refreshes {
            let question = Question::Refresh { who: state.client.clone(), token: None };
            let waiting = Waiting::Refresh { seat, link, asker: None };
            if self.question(Some(seat), waiting, question, now, out).is_err() {
                self.try_link_again(seat, link, now, out);
            }
            return;
        }
        let over = expiry.at.checked_add(self.settings.expiry_grace).filter(|it| *it > now.at);
        match over.filter(|_| expiry.look == expiry.at) {
            Some(over) => {
                self.look_at_link(seat, link, over);
                if !is_away {
                    out.event(seat, Event::Expiring(link));
                }
            }
            None => self.send_away(seat, Disconnect::Expired, now, out),
        }
    }

    /// Makes the wish of a subscription that comes with a connection.
    pub(super) fn wish(&self, channel: &Channel, connect: &Connect) -> Subscribe {
        let delivery = connect.delivery.unwrap_or(Delivery::Personal);
        let mut wish = Subscribe::new(Target::Channel(channel.clone()), delivery);
        wish.delta = connect.delta;
        wish.since = connect.positions.iter().find(|(it, _)| it == channel).map(|(_, at)| *at);
        wish.last = self.is_value(channel);
        wish
    }

    /// Tells whether a channel is a value that changes: whom the server subscribes to it gets that, since nobody else asks.
    pub(super) fn is_value(&self, channel: &Channel) -> bool {
        let namespace = self.settings.namespace(channel);
        namespace.is_some_and(|it| it.recovery == settings::Recovery::Last)
    }

    /// Tells whether it is this link that is about to be told that it is in.
    pub(super) fn connects(&self, ticket: Ticket, link: Link) -> bool {
        match self.waiting.get(ticket) {
            Some(Waiting::Connecting { link: it, .. }) => *it == link,
            _ => false,
        }
    }
}
