//! What the hub remembers of the client of a scene.

use super::asked::target;
use crate::{
    Command, Delivery, Event, Link, Pattern, Reply, Resumed, Subscribe, Syntax, Target, Token,
};

/// What was asked, and what is subscribed to.
#[derive(Default)]
pub(super) struct Ledger {
    /// The same token may be asked with twice: the hub only gives it back.
    asked: Vec<(Token, Asked)>,
    subscriptions: Vec<Heard>,
    /// How each link wants what the server subscribes it to.
    server_side: Vec<(Link, Delivery, Option<Delivery>)>,
    /// How a session that goes on hears what this scene has not subscribed it to.
    brought_along: Option<Heard>,
}

/// How a subscription delivers.
pub(super) struct Heard {
    link: Link,
    target: Target,
    pub(super) whole: Delivery,
    pub(super) delta: Option<Delivery>,
}

/// What was asked, with the reply that belongs to it.
struct Asked {
    reply: &'static str,
    then: Then,
}

/// What the reply may change.
enum Then {
    Subscribe(Heard),
    Connect(Link, Option<Delivery>, Option<Delivery>),
    Unsubscribe(Link, Target),
    Leave(Link),
    Nothing,
}

impl Ledger {
    /// Notes a question.
    pub(super) fn ask(&mut self, token: Token, command: Command) {
        if !matches!(command, Command::Read(_)) {
            self.asked.push((token, Asked::of(command)));
        }
    }

    /// Returns the tokens that wait for a reply, and its name.
    pub(super) fn outstanding(&self) -> Vec<(Token, &'static str)> {
        self.asked.iter().map(|(token, asked)| (*token, asked.reply)).collect()
    }

    /// Returns how a subscription delivers.
    pub(super) fn heard(&self, link: Link, to: &Target) -> Result<&Heard, String> {
        let found = self.subscriptions.iter().find(|it| it.link == link && it.target == *to);
        let found = found.or(self.brought_along.as_ref());
        found.ok_or_else(|| format!("this client is not subscribed to {}", target(to)))
    }

    /// Follows who is subscribed to what, as the hub does.
    pub(super) fn remember(&mut self, event: &Event) -> Result<(), String> {
        let (token, reply) = match event {
            Event::Reply(token, reply) => (token, reply),
            Event::Subscribed(link, channel, _) => {
                let (whole, delta) = self.asked_for_server_side(*link);
                let target = Target::Channel(channel.clone());
                self.subscriptions.push(Heard { link: *link, target, whole, delta });
                return Ok(());
            }
            Event::Unsubscribed(link, target, _) => {
                self.subscriptions.retain(|it| it.link != *link || it.target != *target);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let asked = self.asked.iter().position(|it| it.0 == *token);
        let (_, asked) = self.asked.remove(asked.ok_or("nothing was asked with this token")?);
        match (asked.then, reply) {
            (Then::Subscribe(heard), Ok(Reply::Subscribed(_))) => self.subscriptions.push(heard),
            (Then::Connect(link, whole, delta), Ok(Reply::Connected(connected))) => {
                let whole = whole.unwrap_or(Delivery::Personal);
                if connected.resumed == Some(Resumed::Whole) {
                    let target = Target::Pattern(Pattern::parse("", Syntax::Prefix).expect("all"));
                    self.brought_along = Some(Heard { link, target, whole, delta });
                }
                self.server_side.push((link, whole, delta));
                for (channel, _) in &connected.subscribed {
                    let (whole, delta) = self.asked_for_server_side(link);
                    let target = Target::Channel(channel.clone());
                    self.subscriptions.push(Heard { link, target, whole, delta });
                }
            }
            (Then::Unsubscribe(link, target), Ok(_)) => {
                self.subscriptions.retain(|it| it.link != link || it.target != target);
            }
            (Then::Leave(link), Ok(_)) => self.subscriptions.retain(|it| it.link != link),
            _ => {}
        }
        Ok(())
    }

    fn asked_for_server_side(&self, link: Link) -> (Delivery, Option<Delivery>) {
        let found = self.server_side.iter().rev().find(|it| it.0 == link);
        found.map_or((Delivery::Personal, None), |it| (it.1, it.2))
    }
}

impl Asked {
    fn of(command: Command) -> Self {
        let (reply, then) = match command {
            Command::Subscribe(link, it) => {
                let Subscribe { target, delivery: whole, delta, .. } = *it;
                ("subscribed", Then::Subscribe(Heard { link, target, whole, delta }))
            }
            Command::Connect(link, it) => ("connected", Then::Connect(link, it.delivery, it.delta)),
            Command::Unsubscribe(link, target) => ("done", Then::Unsubscribe(link, target)),
            Command::Leave(link) => ("done", Then::Leave(link)),
            Command::Tell(..) | Command::Read(..) => ("done", Then::Nothing),
            Command::Refresh(..) => ("connected", Then::Nothing),
            Command::RefreshSubscription(..) => ("expires", Then::Nothing),
            Command::Publish(..) => ("published", Then::Nothing),
            Command::Presence(..) => ("presence", Then::Nothing),
            Command::Counts(..) => ("counts", Then::Nothing),
            Command::History(..) => ("history", Then::Nothing),
            Command::Call(..) => ("answer", Then::Nothing),
            Command::Keep(..) => ("kept", Then::Nothing),
        };
        Self { reply, then }
    }
}
