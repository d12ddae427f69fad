//! Publishing, and asking about channels, where the client is.

use std::sync::Arc;

use taiwa_core::{
    Arguments, Channel, Link, Member, Payload, Publish, Published, Question, Refusal, RefusalKind,
    Reply, Target, User,
};

use super::{
    Now, Shard,
    arrive::Answered,
    subscribe::is_named,
    waiting::{Asker, Waiting},
};
use crate::{
    letter::{Ask, Text, ToSay, What},
    outlet::{Outlet, Seat, Ticket},
    rate::Bucket,
    settings::{Namespace, Payloads, Rule},
};

impl Shard {
    pub(super) fn publish(
        &mut self,
        asker: Asker,
        link: Link,
        publish: Publish,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let asked = self.ask_to_publish(asker, link, publish, now, out);
        self.counters.refused_publications += u64::from(asked.is_err());
        asked.map(|()| None)
    }

    fn ask_to_publish(
        &mut self,
        asker: Asker,
        link: Link,
        publish: Publish,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let seat = asker.seat;
        let who = self.admitted_client(seat, link)?;
        let namespace = self.namespace(&publish.channel)?.clone();
        let publish = Box::new(self.checked(publish, &namespace)?);
        self.permits(seat, link, &namespace.publish, &publish.channel, &who.user)?;
        if let (Some(rate), Some(session)) = (&self.rates.publications, self.sessions.get_mut(seat))
        {
            let bucket =
                session.rare().publications.get_or_insert_with(|| Bucket::full(rate, now.at));
            bucket.take(1, rate, now.at).map_err(|wait| {
                Refusal::new(RefusalKind::Rate(wait), "too many publications of this client")
            })?;
        }
        if namespace.publish == Rule::App {
            let question = Question::Publish { who, publish };
            let waiting = Waiting::Permission { asker, link };
            return self.question(Some(seat), waiting, question, now, out);
        }
        self.hand_over(asker, link, *publish, out)
    }

    /// Refuses what does not fit into the limits or the namespace.
    pub(super) fn checked(
        &self,
        mut publish: Publish,
        namespace: &Namespace,
    ) -> Result<Publish, Refusal> {
        let limits = &self.settings.limits;
        self.fits(&publish.payload)?;
        let names = [&publish.event, &publish.id, &publish.key];
        if names.into_iter().flatten().any(|it| it.len() > limits.name_bytes_max) {
            return Err(Refusal::new(
                RefusalKind::Limit,
                "an identifier, event or key is too long",
            ));
        }
        let long = |(key, value): (&str, &str)| key.len().max(value.len()) > 256;
        if publish.tags.iter().len() > limits.tags_max || publish.tags.iter().any(long) {
            return Err(Refusal::new(RefusalKind::Limit, "too many or too long tags"));
        }
        if publish.except_channels.len() > limits.except_channels_max {
            return Err(Refusal::new(RefusalKind::Limit, "too many channels are excepted"));
        }
        if publish.is_list && !publish.payload.is_list() {
            return Err(Refusal::new(RefusalKind::BadRequest, "the payload is no list"));
        }
        publish.payload = match (namespace.payloads, publish.payload) {
            (Payloads::Any, payload) => payload,
            (Payloads::Json, Payload::Json(json)) => Payload::Json(json),
            // Only a dialect can tell whether a text is JSON; it hands that over as JSON.
            (Payloads::Json, _) => {
                return Err(Refusal::new(RefusalKind::BadRequest, "this channel takes JSON alone"));
            }
            (Payloads::Binary, Payload::Binary(bytes)) => Payload::Binary(bytes),
            (Payloads::Binary, _) => {
                return Err(Refusal::new(
                    RefusalKind::BadRequest,
                    "this channel takes bytes alone",
                ));
            }
        };
        Ok(publish)
    }

    /// Checks what is said to clients alone.
    pub(super) fn args_fit(&self, args: &Arguments) -> Result<(), Refusal> {
        if args.is_list && !args.payload.is_list() {
            return Err(Refusal::new(RefusalKind::BadRequest, "the payload is no list"));
        }
        self.fits(&args.payload)
    }

    pub(super) fn fits(&self, payload: &Payload) -> Result<(), Refusal> {
        if payload.len() > self.settings.limits.payload_bytes_max {
            return Err(Refusal::new(RefusalKind::Limit, "the payload is too large"));
        }
        let depth = match payload {
            Payload::Json(json) => depth(json),
            Payload::Mixed(mixed) => mixed.pieces.iter().map(|it| depth(it)).sum(),
            _ => 0,
        };
        if depth > self.settings.limits.json_depth_max {
            return Err(Refusal::new(RefusalKind::BadRequest, "the JSON is nested too deeply"));
        }
        Ok(())
    }

    /// Asks a rule other than of subscribing.
    fn permits(
        &self,
        seat: Seat,
        link: Link,
        rule: &Rule,
        channel: &Channel,
        user: &Option<User>,
    ) -> Result<(), Refusal> {
        let is_subscribed = || {
            let target = Target::Channel(channel.clone());
            let mine = self.subscription(seat, link, &target);
            mine.is_some_and(|it| it.coming.is_none())
        };
        let allowed = match rule {
            Rule::Nobody => false,
            Rule::All | Rule::App => true,
            Rule::Users => user.is_some(),
            Rule::Named => is_named(channel, user),
            Rule::Subscribers => is_subscribed(),
            // Who is subscribed has shown a token only if nobody subscribes without.
            Rule::Token => {
                let namespace = self.settings.namespace(channel);
                namespace.is_some_and(|it| it.subscribe == Rule::Token) && is_subscribed()
            }
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::new(RefusalKind::Forbidden, "this is not allowed"))
    }

    /// Gives a client's publication to the channel's owner.
    pub(super) fn hand_over(
        &mut self,
        asker: Asker,
        link: Link,
        mut publish: Publish,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        // The app may have put something else in its place.
        publish.is_list &= publish.payload.is_list();
        let client = self.admitted_client(asker.seat, link)?;
        let publisher = self.member(asker.seat, link, &publish.channel);
        let publisher =
            publisher.unwrap_or_else(|| Arc::new(Member { client, channel_info: None }));
        let full = |_| Refusal::new(RefusalKind::Unavailable, "too many publications");
        let ticket = self.waiting.insert(Waiting::Publish(asker)).map_err(full)?;
        self.give_to_owner(Some(ticket), publish, Some(publisher), out);
        Ok(())
    }

    /// Returns who a link is in a channel, if it is somebody special there.
    fn member(&self, seat: Seat, link: Link, channel: &Channel) -> Option<Arc<Member>> {
        let mine = self.subscription(seat, link, &Target::Channel(channel.clone()))?;
        let mine = Some(mine).filter(|it| it.coming.is_none())?;
        let subscriber = self.audiences.get(mine.audience)?.subscribers.get(mine.place)?;
        subscriber.special.as_ref()?.member.clone()
    }

    pub(super) fn give_to_owner(
        &mut self,
        ticket: Option<Ticket>,
        publish: Publish,
        publisher: Option<Arc<Member>>,
        out: &mut dyn Outlet,
    ) {
        let owner = self.owner(&publish.channel);
        let to_say = Box::new(ToSay { from: self.index, ticket, publish, publisher });
        self.post(owner, Text::Publish(to_say), out);
    }

    pub(super) fn published(
        &mut self,
        ticket: Ticket,
        answer: Result<Published, Refusal>,
        out: &mut dyn Outlet,
    ) {
        match self.waiting.remove(ticket) {
            Some(Waiting::Publish(asker)) => {
                self.counters.refused_publications += u64::from(answer.is_err());
                self.reply(asker, answer.map(Reply::Published), out);
            }
            Some(Waiting::Order(order)) => {
                out.done(order, answer.map(crate::order::Done::Published));
            }
            _ => {}
        }
    }

    /// Has a channel's owner tell a client something, if the namespace lets it know.
    pub(super) fn ask_about(
        &mut self,
        asker: Asker,
        link: Link,
        channel: Channel,
        what: What,
        out: &mut dyn Outlet,
    ) -> Answered {
        let namespace = self.namespace(&channel)?;
        let rule = match what {
            What::History(_) => namespace.history_rule.clone(),
            What::Presence | What::Counts => namespace.presence_rule.clone(),
            // The server's own API alone forgets.
            What::Forget => Rule::Nobody,
        };
        let rule = if rule == Rule::App { Rule::Subscribers } else { rule };
        let who = self.admitted_client(asker.seat, link)?;
        self.permits(asker.seat, link, &rule, &channel, &who.user)?;
        self.ask_channel(Waiting::Ask(asker), channel, what, out)?;
        Ok(None)
    }

    pub(super) fn ask_channel(
        &mut self,
        waiting: Waiting,
        channel: Channel,
        what: What,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let full = |_| Refusal::new(RefusalKind::Unavailable, "too many questions");
        let ticket = self.waiting.insert(waiting).map_err(full)?;
        let owner = self.owner(&channel);
        let ask = Box::new(Ask { from: self.index, ticket, channel, what });
        self.post(owner, Text::Ask(ask), out);
        Ok(())
    }

    pub(super) fn told(
        &mut self,
        ticket: Ticket,
        answer: Result<Reply, Refusal>,
        out: &mut dyn Outlet,
    ) {
        match self.waiting.remove(ticket) {
            Some(Waiting::Ask(asker)) => self.reply(asker, answer, out),
            Some(Waiting::Order(order)) => {
                let nothing = Refusal::new(RefusalKind::Unavailable, "no such answer");
                let done = answer.and_then(|it| crate::letter::as_done(it).ok_or(nothing));
                out.done(order, done);
            }
            _ => {}
        }
    }
}

/// Counts how deep arrays and objects of a JSON text lie in each other.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                // To the end of the string: a backslash hides the next byte.
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn brackets_in_strings_are_not_counted() {
        for (json, expected) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{}],"b":{}}"#, 3),
            (r#"["[[[[", "\"[[", "\\"]"#, 1),
            (r#"[{"]":"}"}]"#, 2),
        ] {
            assert_eq!(depth(json.as_bytes()), expected, "{json}");
        }
    }
}
