//! Sessions that another node can go on with.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taiwa_core::{Admission, Channel, Position, User};

/// What is kept of a session: what its client needs to go on elsewhere. Who the link is by which it comes back, the app says
/// again; the others are as they were.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Saved {
    pub(crate) secret: u128,
    /// How long it is kept when its line is lost.
    pub(crate) ttl: Duration,
    /// Those that were let in.
    pub(crate) links: Vec<SavedLink>,
    /// How many publications were said to it: the number of the last one in its log.
    pub(crate) top: u64,
    pub(crate) subscriptions: Vec<SavedSubscription>,
    /// The newest of its log, the last one is number `top`.
    pub(crate) log: Vec<Logged>,
}

/// The link, the channel, the position, and the body as nodes write it.
pub(crate) type Logged = (u16, Box<str>, Option<(u64, u64)>, Vec<u8>);

/// One link of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SavedLink {
    pub(crate) link: u16,
    pub(crate) user: Option<Box<str>>,
    pub(crate) scope: Option<Box<str>>,
    /// What others see of it, and what the app remembers.
    pub(crate) info: Option<Vec<u8>>,
    pub(crate) meta: Option<Vec<u8>>,
    /// When its rights end, in milliseconds of Unix time, and whether the client refreshes them.
    pub(crate) ends: Option<(u64, bool)>,
}

/// One subscription of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SavedSubscription {
    pub(crate) link: u16,
    pub(crate) channel: Box<str>,
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
    pub(crate) join_leave: bool,
    pub(crate) positioned: bool,
    pub(crate) echo: bool,
    pub(crate) once: bool,
    /// What others see of it.
    pub(crate) info: Option<Vec<u8>>,
    /// When its rights end, in milliseconds of Unix time, and whether the client refreshes them.
    pub(crate) ends: Option<(u64, bool)>,
}

impl SavedLink {
    pub(crate) fn admission(&self, unix_ms: u64) -> Admission {
        Admission {
            user: self.user.as_deref().map(User::from),
            info: self.info.clone().map(Into::into),
            meta: self.meta.clone().map(Into::into),
            expires: self.ends.map(|it| left(it.0, unix_ms)),
            client_refreshes: self.ends.is_some_and(|it| it.1),
            ..Admission::default()
        }
    }
}

/// Returns how long it is to a time.
pub(crate) fn left(ends: u64, unix_ms: u64) -> Duration {
    Duration::from_millis(ends.saturating_sub(unix_ms))
}

impl SavedSubscription {
    pub(crate) fn channel(&self) -> Option<Channel> {
        Channel::parse(&self.channel)
    }

    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }
}

impl Saved {
    pub(crate) fn write(&self) -> Option<Bytes> {
        super::write(self, 256).ok()
    }

    pub(crate) fn read(body: &Bytes) -> Option<Self> {
        super::read(body)
    }
}
