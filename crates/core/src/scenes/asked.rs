//! Commands as the lines of a transcript that go to the hub.

use super::fields::{shown_payload, shown_quoted, shown_time, shown_word};
use crate::{
    Command, Connect, Delivery, Filter, Link, Payload, Position, Publish, Refusal, Subscribe,
    Syntax, Target,
};

/// Shows a command.
pub(super) fn shown(command: &Command) -> String {
    let (link, text) = match command {
        Command::Connect(link, it) => (*link, connect(it)),
        Command::Refresh(link, token) => (*link, format!("refresh{}", field("token", token))),
        Command::Subscribe(link, it) => (*link, subscribe(it)),
        Command::RefreshSubscription(link, channel, token) => {
            let channel = shown_word(channel.as_str());
            (*link, format!("refresh-subscription {channel}{}", field("token", token)))
        }
        Command::Unsubscribe(link, it) => (*link, format!("unsubscribe {}", target(it))),
        Command::Publish(link, it) => (*link, publish(it)),
        Command::Presence(link, it) => (*link, format!("presence {}", shown_word(it.as_str()))),
        Command::Counts(link, it) => (*link, format!("counts {}", shown_word(it.as_str()))),
        Command::History(link, channel, page) => {
            let mut text = format!("history {}", shown_word(channel.as_str()));
            text += &page.since.map(|it| field("since", &position(it))).unwrap_or_default();
            text += &format!(" limit={}", page.limit);
            (*link, text + if page.reverse { " reverse" } else { "" })
        }
        Command::Call(link, method, it) => {
            (*link, format!("call {}{}", shown_word(method), shown_payload(it)))
        }
        Command::Tell(link, it) => (*link, format!("tell{}", shown_payload(it))),
        Command::Leave(link) => (*link, "leave".into()),
        Command::Keep(time) => (Link(0), format!("keep {}", shown_time(*time))),
        Command::Read(number) => (Link(0), format!("read {number}")),
    };
    if link == Link(0) { text } else { format!("link={} {text}", link.0) }
}

/// Shows the answer to a call.
pub(super) fn shown_answer(answer: &Result<Payload, Refusal>) -> String {
    match answer {
        Ok(payload) => shown_payload(payload),
        Err(refusal) => format!(" refused {}", shown_refusal(refusal)),
    }
}

/// Shows why somebody was refused.
pub(super) fn shown_refusal(refusal: &Refusal) -> String {
    let kind = format!("{:?}", refusal.kind);
    let (kind, after) = match refusal.kind {
        crate::RefusalKind::Rate(after) => ("Rate", format!(" after={}", shown_time(after))),
        _ => (kind.as_str(), String::new()),
    };
    let mut text = format!("{kind} {}{after}", shown_quoted(&refusal.text));
    text += &refusal.code.map(|it| format!(" code={it}")).unwrap_or_default();
    let details = refusal.details.as_ref();
    text + &details.map(|it| field("details", &String::from_utf8_lossy(it))).unwrap_or_default()
}

fn connect(connect: &Connect) -> String {
    let mut text = "connect".to_owned();
    text += &maybe("scope", connect.scope.as_deref());
    text += &maybe("token", connect.token.as_deref());
    if let Some((name, version)) = &connect.client {
        text += &field("client", &format!("{name}/{version}"));
    }
    for (channel, at) in &connect.positions {
        text += &field("knows", &format!("{channel}@{}", position(*at)));
    }
    text += &connect.delivery.map(|it| via("via", it)).unwrap_or_default();
    text += &connect.delta.map(|it| via("delta-via", it)).unwrap_or_default();
    if let Some(resume) = &connect.resume {
        let key = resume.key;
        text += &format!(" resume={:x}+{:x}/{}", key.session.0, key.secret, resume.read);
    }
    text + &connect.data.as_ref().map(shown_payload).unwrap_or_default()
}

fn subscribe(wish: &Subscribe) -> String {
    let mut text = format!("subscribe {}{}", target(&wish.target), via("via", wish.delivery));
    text += &wish.delta.map(|it| via("delta-via", it)).unwrap_or_default();
    text += &wish.since.map(|it| field("since", &position(it))).unwrap_or_default();
    for (flag, set) in [
        ("last", wish.last),
        ("positioned", wish.positioned),
        ("join-leave", wish.join_leave),
        ("no-echo", !wish.echo),
        ("once", wish.once),
    ] {
        if set {
            text = text + " " + flag;
        }
    }
    text += &wish.filter.as_ref().map(|it| field("filter", &filter(it))).unwrap_or_default();
    text += &maybe("token", wish.token.as_deref());
    text + &wish.data.as_ref().map(shown_payload).unwrap_or_default()
}

fn publish(wish: &Publish) -> String {
    let mut text = format!("publish {}", shown_word(wish.channel.as_str()));
    text += &maybe("event", wish.event.as_deref());
    text += &maybe("id", wish.id.as_deref());
    text += &maybe("key", wish.key.as_deref());
    for (name, value) in wish.tags.iter() {
        text += &field("tag", &format!("{name}:{value}"));
    }
    for session in &wish.except {
        text += &format!(" except={:x}", session.0);
    }
    for channel in &wish.except_channels {
        text += &field("except-channel", channel.as_str());
    }
    for (flag, set) in [
        ("receipt", wish.receipt),
        ("transient", wish.transient),
        ("volatile", wish.volatile),
        ("list", wish.is_list),
    ] {
        if set {
            text = text + " " + flag;
        }
    }
    text + &shown_payload(&wish.payload)
}

/// Shows a target: a channel bare, a pattern as a field.
pub(super) fn target(target: &Target) -> String {
    match target {
        Target::Channel(channel) => shown_word(channel.as_str()),
        Target::Pattern(pattern) => {
            let name = match pattern.syntax() {
                Syntax::Levels => "levels",
                Syntax::Words => "words",
                Syntax::Prefix => "prefix",
            };
            format!("{name}={}", shown_word(pattern.as_str()))
        }
    }
}

fn position(position: Position) -> String {
    format!("{}:{}", position.epoch, position.offset)
}

fn via(name: &str, delivery: Delivery) -> String {
    field(
        name,
        match delivery {
            Delivery::Shared(encoding) => encoding.name,
            Delivery::Personal => "personal",
        },
    )
}

fn field(name: &str, value: &str) -> String {
    format!(" {name}={}", shown_word(value))
}

fn maybe(name: &str, value: Option<&str>) -> String {
    value.map(|it| field(name, it)).unwrap_or_default()
}

fn filter(it: &Filter) -> String {
    let all = |of: &[Filter]| of.iter().map(filter).collect::<Vec<_>>().join(",");
    match it {
        Filter::And(of) => format!("and({})", all(of)),
        Filter::Or(of) => format!("or({})", all(of)),
        Filter::Not(of) => format!("not({})", filter(of)),
        Filter::Exists(tag) => format!("exists({tag})"),
        Filter::Equals(tag, value) => format!("equals({tag},{value})"),
        Filter::In(tag, values) => format!("in({tag},{})", values.join(",")),
        Filter::StartsWith(tag, value) => format!("starts-with({tag},{value})"),
        Filter::EndsWith(tag, value) => format!("ends-with({tag},{value})"),
        Filter::Contains(tag, value) => format!("contains({tag},{value})"),
        Filter::Below(tag, value) => format!("below({tag},{value})"),
        Filter::AtMost(tag, value) => format!("at-most({tag},{value})"),
        Filter::Above(tag, value) => format!("above({tag},{value})"),
        Filter::AtLeast(tag, value) => format!("at-least({tag},{value})"),
    }
}
