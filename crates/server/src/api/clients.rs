//! The commands about clients: what each orders of the hub.

use std::time::Duration;

use taiwa_core::{self as core, Authorization, User};
use taiwa_hub::{Done, Order, Which, Whom};

use super::{
    Limits, answer, ask,
    errand::Errand,
    problem::Problem,
    values::{ChannelName, Json, Parts, SessionName},
    verbs::{Verb, name_fits, said},
};

/// Says who is meant.
fn whom(
    session: Option<SessionName>,
    user: Option<String>,
    channel: Option<ChannelName>,
    all: Option<bool>,
) -> Result<Whom, Problem> {
    match (session, user, channel, all) {
        (Some(session), None, None, None) => Ok(Whom::Session(session.0)),
        (None, Some(user), None, None) => Ok(Whom::User(User(user.into()))),
        (None, None, Some(channel), None) => Ok(Whom::Channel(channel.0)),
        (None, None, None, Some(true)) => Ok(Whom::All),
        (None, None, None, Some(false)) => Err(Problem::invalid("all", "all is true or left out")),
        _ => {
            let wrong = "name exactly one of session, user, in_channel and all";
            Err(Problem::invalid("session", wrong))
        }
    }
}

/// Says which link is meant.
fn which(
    session: Option<SessionName>,
    scope: Option<String>,
    limits: &Limits,
) -> Result<Which, Problem> {
    name_fits("scope", scope.as_deref().unwrap_or_default(), limits)?;
    match (session.and_then(|it| it.1), scope) {
        (None, None) => Ok(Which::Usual),
        (None, Some(scope)) => Ok(Which::Scope(scope.into())),
        (Some(link), _) => Ok(Which::Number(link)),
    }
}

fn affected(done: Done) -> Option<answer::Affected> {
    match done {
        Done::Affected(affected) => Some(answer::Affected { affected }),
        _ => None,
    }
}

fn seconds(field: &str, seconds: Option<u64>) -> Result<Option<Duration>, Problem> {
    if seconds.is_some_and(|it| it > ask::SECONDS_MAX) {
        return Err(Problem::invalid(field, format!("at most {} seconds", ask::SECONDS_MAX)));
    }
    Ok(seconds.map(Duration::from_secs))
}

impl Verb for ask::Subscribe {
    const NAME: &'static str = "subscribe";
    type Answer = answer::Affected;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let authorization = Authorization {
            info: self.info.map(Json::into_bytes),
            data: self.data.map(|it| core::Payload::Json(it.into_bytes())),
            expires: seconds("expires_after_s", self.expires_after_s)?,
            join_leave: self.join_leave,
            ..Authorization::default()
        };
        let order = Order::Subscribe {
            whom: whom(self.session, self.user, self.in_channel, self.all)?,
            channel: self.channel.0,
            authorization: Box::new(authorization),
            since: self.since.map(Into::into),
        };
        Ok(Errand::of(order, affected))
    }
}

impl Verb for ask::Unsubscribe {
    const NAME: &'static str = "unsubscribe";
    type Answer = answer::Affected;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let whom = whom(self.session, self.user, self.in_channel, self.all)?;
        Ok(Errand::of(Order::Unsubscribe { whom, channel: self.channel.0 }, affected))
    }
}

impl Verb for ask::Disconnect {
    const NAME: &'static str = "disconnect";
    type Answer = answer::Affected;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let one_link = self.link_only || self.scope.is_some();
        let link = which(self.session, self.scope, limits)?;
        let whom = whom(self.session, self.user, self.in_channel, self.all)?;
        let Self { code, reason, may_return, .. } = self;
        // RFC 6455 §7.4.2: "Status codes in the range 4000-4999 are reserved for private use".
        if !(4000..=4999).contains(&code) {
            return Err(Problem::invalid("code", "a close code of your own is 4000 to 4999"));
        }
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less"; the code takes two.
        if reason.len() > 123 {
            return Err(Problem::invalid("reason", "a reason has at most 123 bytes"));
        }
        let why = core::Disconnect::App { code, reason: reason.into(), may_return };
        let which = one_link.then_some(link);
        Ok(Errand::of(Order::Disconnect { whom, which, why }, affected))
    }
}

impl Verb for ask::Refresh {
    const NAME: &'static str = "refresh";
    type Answer = answer::Affected;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let whom = whom(self.session, self.user, self.in_channel, self.all)?;
        let expires = seconds("expires_after_s", self.expires_after_s)?;
        Ok(Errand::of(Order::Refresh { whom, expires }, affected))
    }
}

/// Bounds how long an answer may take.
fn deadline(ms: u32, limits: &Limits) -> Result<Duration, Problem> {
    if ms == 0 {
        return Err(Problem::invalid("deadline_ms", "at least 1"));
    }
    Ok(Duration::from_millis(ms.into()).min(limits.call_deadline_max))
}

impl Verb for ask::Call {
    const NAME: &'static str = "call";
    type Answer = answer::Content;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let Self { session, scope, method, data, text, base64, binary, args, deadline_ms } = self;
        let args = said(Parts { data, text, base64, binary }, args, limits)?;
        name_fits("method", &method, limits)?;
        let order = Order::Call {
            session: session.0,
            which: which(Some(session), scope, limits)?,
            method: method.into(),
            args,
            deadline: deadline(deadline_ms, limits)?,
        };
        Ok(Errand::of(order, |done| match done {
            Done::Answer(payload) => Some(answer::Content::from(&payload)),
            _ => None,
        }))
    }
}

impl Verb for ask::CallAll {
    const NAME: &'static str = "call_all";
    type Answer = answer::Answers;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let Self { session, user, in_channel, all, scope, method, .. } = self;
        let parts =
            Parts { data: self.data, text: self.text, base64: self.base64, binary: self.binary };
        let args = said(parts, self.args, limits)?;
        name_fits("method", &method, limits)?;
        if self.except_channels.len() > limits.except_channels_max {
            let wrong = format!("at most {} channels", limits.except_channels_max);
            return Err(Problem::invalid("except_channels", wrong));
        }
        let order = Order::CallAll {
            which: which(session, scope, limits)?,
            whom: whom(session, user, in_channel, all)?,
            method: method.into(),
            args,
            except: self.except.into_iter().map(|it| it.0).collect(),
            except_channels: self.except_channels.into_iter().map(|it| it.0).collect(),
            deadline: deadline(self.deadline_ms, limits)?,
        };
        Ok(Errand::of(order, |done| match done {
            Done::Answers(it) => Some(answer::Answers::from(*it)),
            _ => None,
        }))
    }
}

impl Verb for ask::Tell {
    const NAME: &'static str = "tell";
    type Answer = answer::Affected;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let which = which(self.session, self.scope, limits)?;
        let whom = whom(self.session, self.user, self.in_channel, self.all)?;
        name_fits("event", self.event.as_deref().unwrap_or_default(), limits)?;
        let parts =
            Parts { data: self.data, text: self.text, base64: self.base64, binary: self.binary };
        let args = said(parts, self.args, limits)?;
        let event = self.event.map(Into::into);
        Ok(Errand::of(Order::Tell { whom, which, event, args }, affected))
    }
}
