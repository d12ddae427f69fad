//! The answers as callers read them. What stands in the comments here is what the OpenAPI document says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use taiwa_core as core;
use taiwa_core::Channel;

pub(super) use super::values::Content;
use super::{
    problem::Problem,
    values::{ChannelName, Json, Place, SessionName},
};

/// It was said.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Published {
    /// Where it lies in the history, if the channel has positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Place>,
    /// To how many subscribers it was delivered, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<u64>,
    /// Whether it had been said before under the same identifier, and so was not said again.
    repeated: bool,
}

impl From<core::Published> for Published {
    fn from(it: core::Published) -> Self {
        let core::Published { position, delivered, repeated } = it;
        Self { position: position.map(Place::from), delivered, repeated }
    }
}

/// What became of a broadcast.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Broadcasted {
    /// One entry a channel, in the order of the request.
    pub(super) results: Vec<InChannel>,
}

/// What became of it in one channel: either `published` or `error`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InChannel {
    /// Which channel.
    pub(super) channel: ChannelName,
    /// It was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<Published>,
    /// It was not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Problem>,
}

/// What was said in a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Past {
    /// Where the channel stands.
    position: Place,
    /// The publications.
    publications: Vec<Publication>,
}

impl From<core::History> for Past {
    fn from(it: core::History) -> Self {
        let publications = it.publications.iter().map(|it| Publication::from(&**it)).collect();
        Self { position: it.position.into(), publications }
    }
}

/// One thing said to everyone in a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Publication {
    #[serde(flatten)]
    content: Content,
    /// Where it lies in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Place>,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// Whether the elements of the payload were said side by side.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_list: bool,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Short facts about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    /// Who said it, if the namespace tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<Member>,
    /// When it was said, in milliseconds of Unix time.
    at_ms: u64,
}

impl From<&core::Publication> for Publication {
    fn from(it: &core::Publication) -> Self {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            content: (&it.payload).into(),
            position: it.position.map(Place::from),
            event: it.event.as_deref().map(str::to_owned),
            is_list: it.is_list,
            key: it.key.as_deref().map(str::to_owned),
            tags: it.tags.iter().map(owned).collect(),
            publisher: it.publisher.as_deref().map(Member::from),
            at_ms: it.at,
        }
    }
}

/// A session in a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Member {
    /// The session.
    session: SessionName,
    /// Whose it is; absent for the anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What others see of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Json>,
    /// What others see of the subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_info: Option<Json>,
    /// The language that the client speaks.
    dialect: &'static str,
}

impl From<&core::Member> for Member {
    fn from(it: &core::Member) -> Self {
        let client = &it.client;
        Self {
            session: client.session.into(),
            user: client.user.as_ref().map(|it| it.as_str().to_owned()),
            info: client.info().map(|it| &**it).and_then(Json::parse),
            channel_info: it.channel_info.as_deref().and_then(Json::parse),
            dialect: client.dialect,
        }
    }
}

/// Who is in a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Members {
    /// One entry a session.
    pub(super) members: Vec<Member>,
}

/// How many are in a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Counts {
    /// Sessions.
    pub(super) sessions: usize,
    /// Users; the anonymous count as one.
    pub(super) users: usize,
}

/// Channels that have subscribers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChannelList {
    /// Sorted by name.
    channels: Vec<Occupied>,
    /// Whether there are more than these.
    more: bool,
}

impl ChannelList {
    pub(super) fn new(mut list: Vec<(Channel, usize)>, limit: usize) -> Self {
        let more = limit < list.len();
        list.truncate(limit);
        let entry =
            |(channel, subscribers)| Occupied { channel: ChannelName(channel), subscribers };
        Self { channels: list.into_iter().map(entry).collect(), more }
    }
}

/// A channel and how many subscribe to it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Occupied {
    /// Which channel.
    channel: ChannelName,
    /// How many.
    subscribers: usize,
}

/// Some sessions.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionList {
    /// In no order.
    sessions: Vec<Session>,
    /// Whether there are more than these.
    more: bool,
}

impl SessionList {
    pub(super) fn new(list: &[std::sync::Arc<core::Client>], limit: usize) -> Self {
        let sessions = list.iter().take(limit).map(|it| Session::from(&**it)).collect();
        Self { sessions, more: limit < list.len() }
    }
}

/// One session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedSession")]
pub(super) struct Session {
    /// Its name.
    session: SessionName,
    /// Whose it is; absent for the anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What others see of it in presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Json>,
    /// What the app remembers about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Json>,
    /// The address that it came from, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The language that the client speaks.
    dialect: &'static str,
    /// What its link is called, in languages whose links have names: a namespace of Socket.IO.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl From<&core::Client> for Session {
    fn from(it: &core::Client) -> Self {
        Self {
            session: it.session.into(),
            user: it.user.as_ref().map(|it| it.as_str().to_owned()),
            info: it.info().map(|it| &**it).and_then(Json::parse),
            meta: it.meta().map(|it| &**it).and_then(Json::parse),
            address: it.address.map(|it| it.to_string()),
            dialect: it.dialect,
            scope: it.scope().map(str::to_owned),
        }
    }
}

/// One session and what it hears.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionState {
    #[serde(flatten)]
    session: Session,
    /// Whether its client has a connection, or may come back.
    connected: bool,
    /// The channels that it hears, sorted by name.
    channels: Vec<ChannelName>,
    /// The patterns that it subscribed to.
    patterns: Vec<String>,
}

impl From<taiwa_hub::SessionInfo> for SessionState {
    fn from(it: taiwa_hub::SessionInfo) -> Self {
        Self {
            session: Session::from(&*it.client),
            connected: it.is_connected,
            channels: it.channels.into_iter().map(ChannelName).collect(),
            patterns: it.patterns.into_iter().map(String::from).collect(),
        }
    }
}

/// It is done.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Affected {
    /// To how many sessions; 0 if those who are meant are gone.
    pub(super) affected: usize,
}

/// What the clients answered.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Answers {
    /// One entry for each that answered, refused, or could not be called; in no order.
    answers: Vec<ClientAnswer>,
    /// How many did not answer in time.
    late: usize,
    /// How many answered past the limits of the server: they are not among the answers.
    left_out: usize,
    /// How many nodes of the cluster did not tell what became of it there.
    nodes_lost: usize,
}

/// What one client answered: a payload, or `error`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ClientAnswer {
    /// Who: the session, or a link of it.
    session: SessionName,
    #[serde(flatten)]
    content: Content,
    /// There is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

impl From<taiwa_hub::Answers> for Answers {
    fn from(it: taiwa_hub::Answers) -> Self {
        let taiwa_hub::Answers { answers, late, left_out, nodes_lost } = it;
        let answer = |it: taiwa_hub::ClientAnswer| {
            let session = SessionName::of_link(it.session, it.link);
            let (content, error) = match it.answer {
                Ok(payload) => (Content::from(&payload), None),
                Err(refusal) => (Content::default(), Some(refusal.into())),
            };
            ClientAnswer { session, content, error }
        };
        Self { answers: answers.into_iter().map(answer).collect(), late, left_out, nodes_lost }
    }
}

/// It is done; there is nothing to tell.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Nothing {}

/// How the server is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ServerInfo {
    /// The server's version.
    version: &'static str,
    /// Sessions.
    sessions: usize,
    /// Subscriptions.
    subscriptions: usize,
    /// Channels, also those without subscribers that have a history.
    channels: usize,
    /// One entry a shard.
    shards: Vec<ShardInfo>,
}

/// How a shard is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ShardInfo {
    /// Sessions, with a connection or without.
    sessions: usize,
    /// Sessions that wait for their client to come back.
    kept: usize,
    /// Users with a session here.
    users: usize,
    /// Subscriptions.
    subscriptions: usize,
    /// Channels that it owns.
    channels: usize,
    /// What it counted since it began.
    counters: BTreeMap<&'static str, u64>,
}

impl From<&[taiwa_hub::Info]> for ServerInfo {
    fn from(shards: &[taiwa_hub::Info]) -> Self {
        let shard = |it: &taiwa_hub::Info| ShardInfo {
            sessions: it.sessions,
            kept: it.kept,
            users: it.users,
            subscriptions: it.subscriptions,
            channels: it.channels,
            counters: it.counters.fields().into_iter().collect(),
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            sessions: shards.iter().map(|it| it.sessions).sum(),
            subscriptions: shards.iter().map(|it| it.subscriptions).sum(),
            channels: shards.iter().map(|it| it.channels).sum(),
            shards: shards.iter().map(shard).collect(),
        }
    }
}
