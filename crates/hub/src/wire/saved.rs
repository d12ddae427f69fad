//! Sessions that another node can go on with.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taiwa_core::{Channel, Position};

/// What is kept of a session: what its client needs to go on elsewhere. Who it is, the app says again.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Saved {
    pub(crate) secret: u128,
    pub(crate) user: Option<Box<str>>,
    /// How long it is kept when its line is lost.
    pub(crate) ttl: Duration,
    /// Which link of it; others have to connect anew.
    pub(crate) link: u16,
    /// How many publications were said to it: the number of the last one in its log.
    pub(crate) top: u64,
    pub(crate) subscriptions: Vec<SavedSubscription>,
    /// The newest of its log, the last one is number `top`.
    pub(crate) log: Vec<Logged>,
}

/// The channel, the position, and the body as nodes write it.
pub(crate) type Logged = (Box<str>, Option<(u64, u64)>, Vec<u8>);

/// One subscription of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SavedSubscription {
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
