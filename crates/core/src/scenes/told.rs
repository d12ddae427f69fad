//! Lines of a transcript that come from the hub, as events.

use std::sync::Arc;

use super::{
    SESSION,
    fields::{Fields, time},
};
use crate::{
    About, Arguments, CallId, Change, Channel, Client, Connected, Disconnect, Event, History, Link,
    Member, Publication, Published, Recovered, Refusal, RefusalKind, Reply, ResumeKey, SessionId,
    Subscribed, Tags, Target, Unsubscribed,
};

/// What the hub says.
pub(super) enum Told {
    /// To this client alone.
    Event(Event),
    /// To all who subscribed to it.
    Said(Link, Target, Arc<Publication>, u64),
    Joined(Link, Arc<Change>),
    Left(Link, Arc<Change>),
}

/// Reads a block.
pub(super) fn read(text: &str) -> Result<Told, String> {
    let mut lines = text.split('\n');
    let mut fields = Fields::read(lines.next().unwrap_or(""))?;
    let parts: Vec<Fields> = lines.map(Fields::read).collect::<Result<_, _>>()?;
    let first = fields.word()?;
    let told = match first.parse() {
        Ok(token) => {
            let verb = fields.word()?;
            let answer = if verb == "refused" {
                Err(refusal(&mut fields)?)
            } else {
                Ok(reply(&verb, &mut fields, parts)?)
            };
            Told::Event(Event::Reply(token, answer))
        }
        Err(_) => event(&first, &mut fields, parts)?,
    };
    fields.end()?;
    Ok(told)
}

fn reply(verb: &str, fields: &mut Fields, parts: Vec<Fields>) -> Result<Reply, String> {
    Ok(match verb {
        "done" => Reply::Done,
        "connected" => Reply::Connected(Box::new(connected(fields, parts)?)),
        "subscribed" => Reply::Subscribed(Box::new(subscribed(fields, parts)?)),
        "expires" => match fields.word()?.as_str() {
            "never" => Reply::Expires(None),
            other => Reply::Expires(Some(time(other)?)),
        },
        "published" => Reply::Published(Published {
            position: fields.position("position")?,
            delivered: fields.parsed("delivered")?,
            repeated: fields.flag("repeated"),
        }),
        "presence" => {
            let members = parts.into_iter().map(|it| listed(it, "member", member));
            Reply::Presence(members.collect::<Result<Vec<_>, _>>()?.into())
        }
        "counts" => {
            let mut number =
                || fields.word()?.parse().map_err(|_| "counts are two numbers".to_owned());
            Reply::Counts { sessions: number()?, users: number()? }
        }
        "history" => Reply::History(Box::new(History {
            position: fields.position("position")?.unwrap_or_default(),
            publications: publications(parts)?,
        })),
        "kept" => Reply::Kept(ResumeKey {
            session: fields.session("session")?.unwrap_or(SESSION),
            secret: fields.session("secret")?.unwrap_or(SESSION).0,
        }),
        "answer" => Reply::Answer(fields.payload_or_null()),
        other => return Err(format!("{other:?} is no reply")),
    })
}

fn event(verb: &str, fields: &mut Fields, parts: Vec<Fields>) -> Result<Told, String> {
    let link = Link(fields.parsed("link")?.unwrap_or(0));
    Ok(Told::Event(match verb {
        "said" => {
            let target = match fields.field("target") {
                Some(text) => Some(Fields::read(&text)?.target()?),
                None => None,
            };
            let number = fields.parsed("number")?.unwrap_or(0);
            let said = publication(fields)?;
            let target = target.unwrap_or(Target::Channel(said.channel.clone()));
            return Ok(Told::Said(link, target, said, number));
        }
        "joined" => return Ok(Told::Joined(link, change(fields)?)),
        "left" => return Ok(Told::Left(link, change(fields)?)),
        "subscribed" => {
            Event::Subscribed(link, fields.channel()?, Box::new(subscribed(fields, parts)?))
        }
        "unsubscribed" => {
            let target = fields.target()?;
            let why = match fields.field("limit") {
                Some(text) => Unsubscribed::Limit(text.leak()),
                None => match fields.word()?.as_str() {
                    "App" => Unsubscribed::App,
                    "Expired" => Unsubscribed::Expired,
                    "Slow" => Unsubscribed::Slow,
                    "InsufficientState" => Unsubscribed::InsufficientState,
                    other => return Err(format!("nobody is unsubscribed because of {other:?}")),
                },
            };
            Event::Unsubscribed(link, target, why)
        }
        "missed" => {
            let (count, position) = (fields.parsed("count")?, fields.position("position")?);
            Event::Missed(link, fields.target()?, count, position)
        }
        "call" => {
            let id = fields.word()?.parse().map_err(|_| "a call has a number")?;
            Event::Call(CallId(id), link, fields.word()?.into(), arguments(fields))
        }
        "told" => {
            let event = fields.shared("event");
            Event::Told(link, event, arguments(fields))
        }
        "refreshed" => Event::Refreshed(link, Box::new(connected(fields, parts)?)),
        "expiring" => Event::Expiring(link),
        "ended" => Event::Ended(link, disconnect(fields)?),
        "disconnect" => Event::Disconnect(disconnect(fields)?),
        other => return Err(format!("{other:?} is no event")),
    }))
}

/// Reads a payload in front of which `list` says that its elements stand side by side.
fn arguments(fields: &mut Fields) -> Arguments {
    Arguments { is_list: fields.flag("list"), payload: fields.payload_or_null() }
}

fn connected(fields: &mut Fields, parts: Vec<Fields>) -> Result<Connected, String> {
    let mut channels: Vec<(Channel, Fields, Vec<Fields>)> = vec![];
    for mut part in parts {
        match (part.word()?.as_str(), channels.last_mut()) {
            ("sub", _) => channels.push((part.channel()?, part, vec![])),
            ("pub", Some((_, _, publications))) => publications.push(part),
            (other, _) => return Err(format!("{other:?} is no part of it")),
        }
    }
    let mut all = vec![];
    for (channel, mut fields, missed) in channels {
        let missed =
            missed.into_iter().map(|it| ended(it, publication)).collect::<Result<_, _>>()?;
        all.push((channel, subscribed_with(&mut fields, missed)?));
        fields.end()?;
    }
    Ok(Connected {
        session: fields.session("session")?.unwrap_or(SESSION),
        user: fields.field("user").map(|it| it.as_str().into()),
        expires: fields.time("expires")?,
        data: fields.payload(),
        subscribed: all,
        resumed: match fields.field("resumed").as_deref() {
            None => None,
            Some("whole") => Some(crate::Resumed::Whole),
            Some("anew") => Some(crate::Resumed::Anew),
            Some(other) => return Err(format!("resumed={other} can't be read")),
        },
        links: links(fields)?,
    })
}

/// Links with their scopes.
type Links = Vec<(Link, Option<Arc<str>>)>;

/// Reads each `other-link=2:/chat`.
fn links(fields: &mut Fields) -> Result<Links, String> {
    let mut all = vec![];
    while let Some(it) = fields.field("other-link") {
        let (number, scope) = it.split_once(':').unwrap_or((&it, ""));
        let number = number.parse().map_err(|_| "a link has a number")?;
        all.push((Link(number), (!scope.is_empty()).then(|| scope.into())));
    }
    Ok(all)
}

fn subscribed(fields: &mut Fields, parts: Vec<Fields>) -> Result<Subscribed, String> {
    let missed = publications(parts)?;
    subscribed_with(fields, missed)
}

fn subscribed_with(
    fields: &mut Fields,
    missed: Vec<Arc<Publication>>,
) -> Result<Subscribed, String> {
    Ok(Subscribed {
        position: fields.position("position")?,
        recoverable: fields.flag("recoverable"),
        positioned: fields.flag("positioned"),
        recovered: match fields.field("recovered").as_deref() {
            Some("whole") => Recovered::Whole(missed),
            Some("gap") => Recovered::Gap(missed),
            None if missed.is_empty() => Recovered::NotAsked,
            _ => return Err("recovered is whole or gap".into()),
        },
        delta: fields.flag("delta"),
        expires: fields.time("expires")?,
        data: fields.payload(),
    })
}

fn publications(parts: Vec<Fields>) -> Result<Vec<Arc<Publication>>, String> {
    parts.into_iter().map(|it| listed(it, "pub", publication)).collect()
}

/// Reads a continuation line that begins with a word.
fn listed<T>(
    mut part: Fields,
    name: &str,
    read: impl Fn(&mut Fields) -> Result<T, String>,
) -> Result<T, String> {
    if part.word()? != name {
        return Err(format!("a continuation line here begins with {name}"));
    }
    ended(part, read)
}

fn ended<T>(
    mut part: Fields,
    read: impl Fn(&mut Fields) -> Result<T, String>,
) -> Result<T, String> {
    let it = read(&mut part)?;
    part.end()?;
    Ok(it)
}

fn publication(fields: &mut Fields) -> Result<Arc<Publication>, String> {
    let mut tags = vec![];
    while let Some(tag) = fields.field("tag") {
        let (name, value) = tag.split_once(':').ok_or("a tag is name:value")?;
        tags.push((name.to_owned(), value.to_owned()));
    }
    let somebody = fields.has_any(&["session", "user", "info", "dialect"]);
    Ok(Arc::new(Publication {
        channel: fields.channel()?,
        event: fields.shared("event"),
        payload: fields.payload_or_null(),
        position: fields.position("position")?,
        delta: fields.bytes("delta"),
        key: fields.shared("key"),
        tags: Tags::new(tags),
        publisher: match somebody {
            false => None,
            true => Some(member(fields)?),
        },
        at: fields.parsed("at")?.unwrap_or(0),
        volatile: fields.flag("volatile"),
        is_list: fields.flag("list"),
    }))
}

fn change(fields: &mut Fields) -> Result<Arc<Change>, String> {
    Ok(Arc::new(Change {
        channel: fields.channel()?,
        of_user: fields.flag("of-user"),
        member: member(fields)?,
    }))
}

fn member(fields: &mut Fields) -> Result<Arc<Member>, String> {
    let client = Client {
        session: fields.session("session")?.unwrap_or(SessionId(2)),
        user: fields.field("user").map(|it| it.as_str().into()),
        about: About::new(fields.bytes("info"), None),
        address: None,
        dialect: fields.field("dialect").map_or("plain", |it| it.leak()),
    };
    let channel_info = fields.bytes("channel-info");
    Ok(Arc::new(Member { client: Arc::new(client), channel_info }))
}

fn refusal(fields: &mut Fields) -> Result<Refusal, String> {
    use RefusalKind as K;
    let kind = match fields.word()?.as_str() {
        "BadRequest" => K::BadRequest,
        "Unauthorized" => K::Unauthorized,
        "Forbidden" => K::Forbidden,
        "Expired" => K::Expired,
        "NotFound" => K::NotFound,
        "AlreadySubscribed" => K::AlreadySubscribed,
        "NotAvailable" => K::NotAvailable,
        "Limit" => K::Limit,
        "Rate" => K::Rate(fields.time("after")?.ok_or("a rate has after=")?),
        "Unrecoverable" => K::Unrecoverable,
        "Deadline" => K::Deadline,
        "Unavailable" => K::Unavailable,
        "App" => K::App,
        other => return Err(format!("{other:?} is no kind of refusal")),
    };
    Ok(Refusal {
        kind,
        text: fields.word()?.into(),
        code: fields.parsed("code")?,
        details: fields.bytes("details"),
    })
}

fn disconnect(fields: &mut Fields) -> Result<Disconnect, String> {
    use Disconnect as D;
    Ok(match fields.word()?.as_str() {
        "Done" => D::Done,
        "BadRequest" => D::BadRequest,
        "Unauthorized" => D::Unauthorized,
        "Stale" => D::Stale,
        "Slow" => D::Slow,
        "Expired" => D::Expired,
        "Revoked" => D::Revoked,
        "InsufficientState" => D::InsufficientState,
        "Rate" => D::Rate,
        "Replaced" => D::Replaced,
        "Limit" => D::Limit(fields.word()?.leak()),
        "Shutdown" => D::Shutdown(fields.time("after")?),
        "App" => D::App {
            code: fields.parsed("code")?.ok_or("the app gives a code=")?,
            may_return: fields.flag("may-return"),
            reason: fields.word()?.into(),
        },
        other => return Err(format!("nobody is disconnected because of {other:?}")),
    })
}
