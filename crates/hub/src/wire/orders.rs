//! Parts of orders, and what came of them.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taiwa_core::{
    Authorization, Channel, Disconnect, Link, Position, Refusal, RefusalKind, SessionId,
};

use super::{
    PayloadWire,
    member::{Names, Seen},
};
use crate::{
    letter::{Calling, Deed, Except, Task},
    order::{Answers, ClientAnswer, Counters, Done, Info, SessionInfo, Which, Whom},
};

#[derive(Deserialize, Serialize)]
pub(super) enum TaskWire<'a> {
    Channels(&'a str, u64),
    Sessions(#[serde(borrow)] WhomWire<'a>, u64),
    ToSessions(#[serde(borrow)] WhomWire<'a>, #[serde(borrow)] DeedWire<'a>),
    Call(u128, #[serde(borrow)] WhichWire<'a>, #[serde(borrow)] CallingWire<'a>),
    Info,
    Session(u128),
}

#[derive(Deserialize, Serialize)]
pub(super) enum WhomWire<'a> {
    Session(u128),
    User(&'a str),
    Channel(&'a str),
    All,
}

#[derive(Deserialize, Serialize)]
pub(super) enum WhichWire<'a> {
    Usual,
    Scope(&'a str),
    Number(u16),
}

/// The method, its arguments, how long the answer may take.
#[derive(Deserialize, Serialize)]
pub(super) struct CallingWire<'a>(&'a str, #[serde(borrow)] PayloadWire<'a>, Duration);

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
    Tell(#[serde(borrow)] WhichWire<'a>, Option<&'a str>, #[serde(borrow)] PayloadWire<'a>),
    Call(#[serde(borrow)] WhichWire<'a>, #[serde(borrow)] CallingWire<'a>),
    /// With those who are left out: sessions, and channels.
    CallBut(
        #[serde(borrow)] WhichWire<'a>,
        #[serde(borrow)] CallingWire<'a>,
        Vec<u128>,
        #[serde(borrow)] Vec<&'a str>,
    ),
    /// Of one link.
    End(#[serde(borrow)] WhichWire<'a>, #[serde(borrow)] DisconnectWire<'a>),
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
    Answers(#[serde(borrow)] Vec<AnswerWire<'a>>, [u64; 3]),
    Info(#[serde(borrow)] Vec<InfoWire<'a>>),
    Session(#[serde(borrow)] SessionWire<'a>),
}

/// The session, its link, and what it said.
#[derive(Deserialize, Serialize)]
pub(super) struct AnswerWire<'a>(
    u128,
    u16,
    #[serde(borrow)] Result<PayloadWire<'a>, RefusalWire<'a>>,
);

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
            Task::Sessions { whom, limit } => Self::Sessions(WhomWire::of(whom), *limit as u64),
            Task::ToSessions(whom, deed) => {
                Self::ToSessions(WhomWire::of(whom), DeedWire::of(deed)?)
            }
            Task::Call { session, which, calling } => {
                Self::Call(session.0, WhichWire::of(which), CallingWire::of(calling)?)
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
            Self::Sessions(whom, limit) => {
                Task::Sessions { whom: whom.whom()?, limit: size(limit) }
            }
            Self::ToSessions(whom, deed) => Task::ToSessions(whom.whom()?, deed.deed(whole)?),
            Self::Call(session, which, calling) => Task::Call {
                session: SessionId(session),
                which: which.which(),
                calling: Box::new(calling.calling(whole)?),
            },
            Self::Info => Task::Info,
            Self::Session(id) => Task::Session(SessionId(id)),
        })
    }
}

impl<'a> WhomWire<'a> {
    fn of(whom: &'a Whom) -> Self {
        match whom {
            Whom::Session(id) => Self::Session(id.0),
            Whom::User(user) => Self::User(user.as_str()),
            Whom::Channel(channel) => Self::Channel(channel.as_str()),
            Whom::All => Self::All,
        }
    }

    fn whom(self) -> Option<Whom> {
        Some(match self {
            Self::Session(id) => Whom::Session(SessionId(id)),
            Self::User(user) => Whom::User(user.into()),
            Self::Channel(channel) => Whom::Channel(Channel::parse(channel)?),
            Self::All => Whom::All,
        })
    }
}

impl<'a> WhichWire<'a> {
    fn of(which: &'a Which) -> Self {
        match which {
            Which::Usual => Self::Usual,
            Which::Scope(scope) => Self::Scope(scope),
            Which::Number(link) => Self::Number(link.0),
        }
    }

    fn which(self) -> Which {
        match self {
            Self::Usual => Which::Usual,
            Self::Scope(scope) => Which::Scope(scope.into()),
            Self::Number(number) => Which::Number(Link(number)),
        }
    }
}

impl<'a> CallingWire<'a> {
    fn of(calling: &'a Calling) -> Option<Self> {
        let Calling { method, args, deadline } = calling;
        Some(Self(method, PayloadWire::of_args(args)?, *deadline))
    }

    fn calling(self, whole: &Bytes) -> Option<Calling> {
        let Self(method, args, deadline) = self;
        Some(Calling { method: method.into(), args: args.args(whole)?, deadline })
    }
}

impl<'a> AnswerWire<'a> {
    fn of(one: &'a ClientAnswer) -> Option<Self> {
        let answer = match &one.answer {
            Ok(payload) => Ok(PayloadWire::of(payload)?),
            Err(refusal) => Err(RefusalWire::of(refusal)),
        };
        Some(Self(one.session.0, one.link.0, answer))
    }

    fn answer(self, whole: &Bytes) -> Option<ClientAnswer> {
        let Self(session, link, answer) = self;
        let answer = match answer {
            Ok(payload) => Ok(payload.payload(whole)?),
            Err(refusal) => Err(refusal.refusal()),
        };
        Some(ClientAnswer { session: SessionId(session), link: Link(link), answer })
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
            Deed::Disconnect(None, why) => Self::Disconnect(DisconnectWire::of(why)?),
            Deed::Disconnect(Some(which), why) => {
                Self::End(WhichWire::of(which), DisconnectWire::of(why)?)
            }
            Deed::Refresh(expires) => Self::Refresh(*expires),
            Deed::Tell { which, event, args } => {
                Self::Tell(WhichWire::of(which), event.as_deref(), PayloadWire::of_args(args)?)
            }
            Deed::Call { which, calling, except } => {
                let (which, calling) = (WhichWire::of(which), CallingWire::of(calling)?);
                let Some(except) = except else { return Some(Self::Call(which, calling)) };
                let Except { sessions, channels } = &**except;
                let sessions = sessions.iter().map(|it| it.0).collect();
                let channels = channels.iter().map(Channel::as_str).collect();
                Self::CallBut(which, calling, sessions, channels)
            }
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
            Self::Disconnect(why) => Deed::Disconnect(None, why.disconnect()),
            Self::End(which, why) => Deed::Disconnect(Some(which.which()), why.disconnect()),
            Self::Refresh(expires) => Deed::Refresh(expires),
            Self::Tell(which, event, args) => Deed::Tell {
                which: which.which(),
                event: event.map(Into::into),
                args: args.args(whole)?,
            },
            Self::Call(which, calling) => Deed::Call {
                which: which.which(),
                calling: Box::new(calling.calling(whole)?),
                except: None,
            },
            Self::CallBut(which, calling, sessions, channels) => {
                let sessions = sessions.into_iter().map(SessionId).collect();
                let channels =
                    channels.into_iter().map(Channel::parse).collect::<Option<Vec<_>>>()?;
                Deed::Call {
                    which: which.which(),
                    calling: Box::new(calling.calling(whole)?),
                    except: Except::new(sessions, channels),
                }
            }
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
            Done::Answers(it) => {
                let answers = it.answers.iter().map(AnswerWire::of).collect::<Option<_>>()?;
                let counts = [it.late, it.left_out, it.nodes_lost].map(|it| it as u64);
                Self::Answers(answers, counts)
            }
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
            Self::Answers(answers, counts) => {
                let answers = answers.into_iter().map(|it| it.answer(whole));
                let [late, left_out, nodes_lost] = counts.map(size);
                let answers = answers.collect::<Option<_>>()?;
                Done::Answers(Box::new(Answers { answers, late, left_out, nodes_lost }))
            }
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
