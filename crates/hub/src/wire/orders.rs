//! Parts of orders, and what came of them.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taiwa_core::{
    Authorization, Channel, Disconnect, Position, Refusal, RefusalKind, SessionId, User,
};

use super::{
    PayloadWire,
    member::{Names, Seen},
};
use crate::{
    letter::{Deed, Task},
    order::{Counters, Done, Info, SessionInfo, Whom},
};

#[derive(Deserialize, Serialize)]
pub(super) enum TaskWire<'a> {
    Channels(&'a str, u64),
    Sessions(Option<&'a str>, u64),
    ToSessions(#[serde(borrow)] WhomWire<'a>, #[serde(borrow)] DeedWire<'a>),
    Call(u128, &'a str, #[serde(borrow)] PayloadWire<'a>, Duration),
    Info,
    Session(u128),
}

#[derive(Deserialize, Serialize)]
pub(super) enum WhomWire<'a> {
    Session(u128),
    User(&'a str),
    All,
}

#[derive(Deserialize, Serialize)]
pub(super) enum DeedWire<'a> {
    Subscribe {
        channel: &'a str,
        #[serde(borrow)]
        authorization: AuthorizationWire<'a>,
        since: Option<(u64, u64)>,
    },
    Unsubscribe(&'a str),
    Disconnect(#[serde(borrow)] DisconnectWire<'a>),
    Refresh(Option<Duration>),
    Tell(#[serde(borrow)] PayloadWire<'a>),
}

#[derive(Deserialize, Serialize)]
pub(super) struct AuthorizationWire<'a> {
    info: Option<&'a [u8]>,
    #[serde(borrow)]
    payload: Option<PayloadWire<'a>>,
    expires: Option<Duration>,
    client_refreshes: bool,
    join_leave: Option<bool>,
}

#[derive(Deserialize, Serialize)]
pub(super) enum DisconnectWire<'a> {
    Done,
    BadRequest,
    Unauthorized,
    Stale,
    Slow,
    Expired,
    Revoked,
    InsufficientState,
    Rate,
    Shutdown(Option<Duration>),
    Replaced,
    App { code: u16, reason: &'a str, may_return: bool },
}

#[derive(Deserialize, Serialize)]
pub(super) enum DoneWire<'a> {
    Channels(#[serde(borrow)] Vec<(&'a str, u64)>),
    Sessions(#[serde(borrow)] Vec<Seen<'a>>),
    Affected(u64),
    Answer(#[serde(borrow)] PayloadWire<'a>),
    Info(#[serde(borrow)] Vec<InfoWire<'a>>),
    Session(#[serde(borrow)] SessionWire<'a>),
}

/// Who it is, whether it is connected, its channels and patterns.
#[derive(Deserialize, Serialize)]
pub(super) struct SessionWire<'a>(
    #[serde(borrow)] Seen<'a>,
    bool,
    #[serde(borrow)] Vec<&'a str>,
    #[serde(borrow)] Vec<&'a str>,
);

/// Sessions, kept, users, subscriptions, channels; then what it counted, by name.
#[derive(Deserialize, Serialize)]
pub(super) struct InfoWire<'a>([u64; 5], #[serde(borrow)] Vec<(Cow<'a, str>, u64)>);

#[derive(Deserialize, Serialize)]
pub(super) struct RefusalWire<'a> {
    kind: u8,
    wait: Duration,
    text: &'a str,
    code: Option<u32>,
}

impl<'a> TaskWire<'a> {
    pub(super) fn of(task: &'a Task) -> Option<Self> {
        Some(match task {
            Task::Channels { prefix, limit } => Self::Channels(prefix, *limit as u64),
            Task::Sessions { user, limit } => {
                Self::Sessions(user.as_ref().map(User::as_str), *limit as u64)
            }
            Task::ToSessions(whom, deed) => {
                let whom = match whom {
                    Whom::Session(id) => WhomWire::Session(id.0),
                    Whom::User(user) => WhomWire::User(user.as_str()),
                    Whom::All => WhomWire::All,
                };
                Self::ToSessions(whom, DeedWire::of(deed)?)
            }
            Task::Call { session, method, payload, deadline } => {
                Self::Call(session.0, method, PayloadWire::of(payload)?, *deadline)
            }
            Task::Info => Self::Info,
            Task::Session(id) => Self::Session(id.0),
        })
    }

    pub(super) fn task(self, whole: &Bytes) -> Option<Task> {
        Some(match self {
            Self::Channels(prefix, limit) => {
                Task::Channels { prefix: prefix.into(), limit: size(limit) }
            }
            Self::Sessions(user, limit) => {
                Task::Sessions { user: user.map(User::from), limit: size(limit) }
            }
            Self::ToSessions(whom, deed) => {
                let whom = match whom {
                    WhomWire::Session(id) => Whom::Session(SessionId(id)),
                    WhomWire::User(user) => Whom::User(user.into()),
                    WhomWire::All => Whom::All,
                };
                Task::ToSessions(whom, deed.deed(whole)?)
            }
            Self::Call(session, method, payload, deadline) => Task::Call {
                session: SessionId(session),
                method: method.into(),
                payload: payload.payload(whole)?,
                deadline,
            },
            Self::Info => Task::Info,
            Self::Session(id) => Task::Session(SessionId(id)),
        })
    }
}

impl<'a> DeedWire<'a> {
    fn of(deed: &'a Deed) -> Option<Self> {
        Some(match deed {
            Deed::Subscribe { channel, authorization, since } => Self::Subscribe {
                channel: channel.as_str(),
                authorization: AuthorizationWire::of(authorization)?,
                since: since.map(|it| (it.epoch, it.offset)),
            },
            Deed::Unsubscribe(channel) => Self::Unsubscribe(channel.as_str()),
            Deed::Disconnect(why) => Self::Disconnect(DisconnectWire::of(why)?),
            Deed::Refresh(expires) => Self::Refresh(*expires),
            Deed::Tell(payload) => Self::Tell(PayloadWire::of(payload)?),
        })
    }

    fn deed(self, whole: &Bytes) -> Option<Deed> {
        Some(match self {
            Self::Subscribe { channel, authorization, since } => Deed::Subscribe {
                channel: Channel::parse(channel)?,
                authorization: Box::new(authorization.authorization(whole)?),
                since: since.map(|(epoch, offset)| Position { epoch, offset }),
            },
            Self::Unsubscribe(channel) => Deed::Unsubscribe(Channel::parse(channel)?),
            Self::Disconnect(why) => Deed::Disconnect(why.disconnect()),
            Self::Refresh(expires) => Deed::Refresh(expires),
            Self::Tell(payload) => Deed::Tell(payload.payload(whole)?),
        })
    }
}

impl<'a> AuthorizationWire<'a> {
    pub(super) fn of(it: &'a Authorization) -> Option<Self> {
        let payload = match &it.data {
            Some(payload) => Some(PayloadWire::of(payload)?),
            None => None,
        };
        Some(Self {
            info: it.info.as_deref(),
            payload,
            expires: it.expires,
            client_refreshes: it.client_refreshes,
            join_leave: it.join_leave,
        })
    }

    pub(super) fn authorization(self, whole: &Bytes) -> Option<Authorization> {
        let payload = match self.payload {
            Some(payload) => Some(payload.payload(whole)?),
            None => None,
        };
        Some(Authorization {
            info: self.info.map(|it| whole.slice_ref(it)),
            data: payload,
            expires: self.expires,
            client_refreshes: self.client_refreshes,
            join_leave: self.join_leave,
        })
    }
}

impl<'a> DisconnectWire<'a> {
    fn of(why: &'a Disconnect) -> Option<Self> {
        Some(match why {
            Disconnect::Done => Self::Done,
            Disconnect::BadRequest => Self::BadRequest,
            Disconnect::Unauthorized => Self::Unauthorized,
            Disconnect::Stale => Self::Stale,
            Disconnect::Slow => Self::Slow,
            Disconnect::Expired => Self::Expired,
            Disconnect::Revoked => Self::Revoked,
            Disconnect::InsufficientState => Self::InsufficientState,
            Disconnect::Rate => Self::Rate,
            Disconnect::Shutdown(wait) => Self::Shutdown(*wait),
            Disconnect::Replaced => Self::Replaced,
            Disconnect::App { code, reason, may_return } => {
                Self::App { code: *code, reason, may_return: *may_return }
            }
            // No order says so.
            _ => return None,
        })
    }

    fn disconnect(self) -> Disconnect {
        match self {
            Self::Done => Disconnect::Done,
            Self::BadRequest => Disconnect::BadRequest,
            Self::Unauthorized => Disconnect::Unauthorized,
            Self::Stale => Disconnect::Stale,
            Self::Slow => Disconnect::Slow,
            Self::Expired => Disconnect::Expired,
            Self::Revoked => Disconnect::Revoked,
            Self::InsufficientState => Disconnect::InsufficientState,
            Self::Rate => Disconnect::Rate,
            Self::Shutdown(wait) => Disconnect::Shutdown(wait),
            Self::Replaced => Disconnect::Replaced,
            Self::App { code, reason, may_return } => {
                Disconnect::App { code, reason: reason.into(), may_return }
            }
        }
    }
}

impl<'a> DoneWire<'a> {
    pub(super) fn of(done: &'a Done) -> Option<Self> {
        Some(match done {
            Done::Channels(all) => {
                Self::Channels(all.iter().map(|(it, count)| (it.as_str(), *count as u64)).collect())
            }
            Done::Sessions(all) => {
                Self::Sessions(all.iter().map(|it| Seen::of_client(it)).collect())
            }
            Done::Affected(count) => Self::Affected(*count as u64),
            Done::Answer(payload) => Self::Answer(PayloadWire::of(payload)?),
            Done::Info(all) => Self::Info(all.iter().map(InfoWire::of).collect()),
            Done::Session(it) => Self::Session(SessionWire(
                Seen::of_client(&it.client),
                it.is_connected,
                it.channels.iter().map(Channel::as_str).collect(),
                it.patterns.iter().map(|it| &**it).collect(),
            )),
            // Parts of orders are answered with these alone.
            _ => return None,
        })
    }

    pub(super) fn done(self, whole: &Bytes, names: &Names) -> Option<Done> {
        Some(match self {
            Self::Channels(all) => {
                let named = |(name, count)| Some((Channel::parse(name)?, size(count)));
                Done::Channels(all.into_iter().map(named).collect::<Option<_>>()?)
            }
            Self::Sessions(all) => Done::Sessions(
                all.into_iter().map(|it| Arc::new(it.client(whole, names))).collect(),
            ),
            Self::Affected(count) => Done::Affected(size(count)),
            Self::Answer(payload) => Done::Answer(payload.payload(whole)?),
            Self::Info(all) => Done::Info(all.into_iter().map(InfoWire::info).collect()),
            Self::Session(SessionWire(client, is_connected, channels, patterns)) => {
                let channels = channels.into_iter().map(Channel::parse);
                Done::Session(Box::new(SessionInfo {
                    client: Arc::new(client.client(whole, names)),
                    is_connected,
                    channels: channels.collect::<Option<_>>()?,
                    patterns: patterns.into_iter().map(Into::into).collect(),
                }))
            }
        })
    }
}

impl InfoWire<'_> {
    fn of(info: &Info) -> Self {
        let Info { sessions, kept, users, subscriptions, channels, counters } = info;
        let numbers = [sessions, kept, users, subscriptions, channels].map(|it| *it as u64);
        let counted = counters.fields().into_iter();
        Self(numbers, counted.map(|(name, count)| (name.into(), count)).collect())
    }

    fn info(self) -> Info {
        let [sessions, kept, users, subscriptions, channels] = self.0.map(size);
        let mut counters = Counters::default();
        counters.read(|name| self.1.iter().find(|(it, _)| it == name).map(|(_, count)| *count));
        Info { sessions, kept, users, subscriptions, channels, counters }
    }
}

/// In the order of their numbers here.
const KINDS: [RefusalKind; 12] = [
    RefusalKind::BadRequest,
    RefusalKind::Unauthorized,
    RefusalKind::Forbidden,
    RefusalKind::Expired,
    RefusalKind::NotFound,
    RefusalKind::AlreadySubscribed,
    RefusalKind::NotAvailable,
    RefusalKind::Limit,
    RefusalKind::Unrecoverable,
    RefusalKind::Deadline,
    RefusalKind::Unavailable,
    RefusalKind::App,
];

/// Stands for the one kind that has a time.
const RATE: u8 = u8::MAX;

impl<'a> RefusalWire<'a> {
    pub(super) fn of(refusal: &'a Refusal) -> Self {
        let at = KINDS.iter().position(|it| *it == refusal.kind);
        let (kind, wait) = match refusal.kind {
            RefusalKind::Rate(wait) => (RATE, wait),
            _ => (at.unwrap_or(0) as u8, Duration::ZERO),
        };
        Self { kind, wait, text: &refusal.text, code: refusal.code }
    }

    pub(super) fn refusal(self) -> Refusal {
        let kind = match self.kind {
            RATE => RefusalKind::Rate(self.wait),
            kind => KINDS.get(usize::from(kind)).copied().unwrap_or(RefusalKind::Unavailable),
        };
        Refusal { code: self.code, ..Refusal::new(kind, self.text) }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
