//! Who is there, and what went through: for the log, the page and the metrics.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::Version;
use taiwa::{Addr, Closed};
use taiwa_core::Certificate;
use taiwa_hub::Info;
use tracing::info;

use super::{Host, talk::Carrier};
use crate::{addresses::Place, shard::Lines};

/// A conversation from its beginning to the line in the log that ends it.
pub(super) struct Visit {
    /// The version of HTTP, where its client is and where it came in, as the log has them, in one piece: with line ends between
    /// them, which none of them has.
    origin: Box<str>,
    rare: Option<Box<Rare>>,
    /// In milliseconds after [`START`].
    began: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// What most conversations have nothing of.
struct Rare {
    #[expect(dead_code, reason = "held to be dropped")]
    place: Option<Box<Place>>,
    certificate: Option<Arc<Certificate>>,
}

/// A time of 16 bytes, held once.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Visit {
    pub(super) fn new(
        (version, peer): (Version, &Addr),
        (place, certificate): (Option<Box<Place>>, Option<Arc<Certificate>>),
        path: &str,
        now: Instant,
    ) -> Self {
        let http = match version {
            Version::HTTP_3 => "3",
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        let origin = format!("{http}\n{peer}\n{path}").into();
        let is_rare = place.is_some() || certificate.is_some();
        let rare = is_rare.then(|| Box::new(Rare { place, certificate }));
        Self { origin, rare, began: ms(now), received: 0, sent: 0 }
    }

    /// Returns the certificate that its client has shown.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.rare.as_ref()?.certificate.clone()
    }

    fn http(&self) -> &str {
        self.part(0)
    }

    fn peer(&self) -> &str {
        self.part(1)
    }

    fn path(&self) -> &str {
        self.part(2)
    }

    fn part(&self, number: usize) -> &str {
        self.origin.split('\n').nth(number).unwrap_or_default()
    }

    /// Returns where its client is, unless that has no such address.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.peer().parse().ok().map(|it: SocketAddr| it.ip())
    }

    fn age(&self, now: Instant) -> Duration {
        Duration::from_millis(ms(now).saturating_sub(self.began))
    }

    /// Writes the one line of the log; `closed` says how its WebSocket ended, if it had one.
    pub(super) fn end(
        &self,
        id: u64,
        dialect: &str,
        user: Option<&str>,
        closed: Option<&Closed>,
        why: &str,
        now: Instant,
    ) {
        let how = match closed {
            Some(closed) if closed.reason.is_empty() => closed.code.to_string(),
            Some(closed) => format!("{} {:?}", closed.code, closed.reason),
            None => why.to_owned(),
        };
        let age = self.age(now).as_millis() as u64;
        info!(
            id,
            who = %self.peer(),
            user,
            dialect,
            path = self.path(),
            http = %self.http(),
            seconds = format_args!("{}.{:03}", age / 1000, age % 1000),
            received = self.received,
            sent = self.sent,
            "closed: {how}"
        );
    }
}

fn ms(at: Instant) -> u64 {
    at.saturating_duration_since(*START).as_millis() as u64
}

/// What went through a shard. All only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Messages from clients, and requests.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Messages to clients.
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Conversations that began.
    pub opened: u64,
    /// Conversations that ended.
    pub ended: u64,
    /// Clients for which too much waited.
    pub overflowed: u64,
}

impl Tally {
    pub(super) fn received(&mut self, bytes: usize) {
        self.received += 1;
        self.received_bytes += bytes as u64;
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
    }
}

/// How a shard is.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its part of the hub.
    pub hub: Info,
    /// What went through it.
    pub tally: Tally,
    /// How many conversations there are in each dialect.
    pub dialects: BTreeMap<&'static str, usize>,
    /// Its lines: WebSockets, bodies that go on, polls.
    pub lines: [usize; 3],
    /// Letters that wait for it.
    pub letters: usize,
    /// Bytes that wait for clients to read them.
    pub queued_bytes: usize,
    /// The newest conversations.
    pub rows: Vec<Row>,
}

/// One conversation, for the page.
#[derive(Clone, Debug)]
pub struct Row {
    /// A number of its own.
    pub id: u64,
    /// Where the client is.
    pub who: String,
    /// Where it came in.
    pub path: Box<str>,
    /// The version of HTTP by which it came in: `1.1`, `2`, `3`.
    pub http: Box<str>,
    /// Its dialect.
    pub dialect: &'static str,
    /// Its user.
    pub user: Option<String>,
    /// When it came, in milliseconds of Unix time.
    pub since: u64,
    /// Messages from it.
    pub received: u64,
    /// Messages to it.
    pub sent: u64,
}

impl Host {
    /// Shows how the shard is, with at most so many of its newest conversations.
    pub(super) fn snapshot(&self, rows_max: usize, lines: &Lines) -> Snapshot {
        let (now, unix) = (lines.now(), SystemTime::now().duration_since(UNIX_EPOCH));
        let unix = unix.unwrap_or_default();
        let mut dialects = BTreeMap::new();
        let mut kinds = [0; 3];
        let mut queued_bytes = 0;
        let mut newest = Vec::with_capacity(self.stage.talks.len());
        for (key, talk) in self.stage.talks.iter() {
            *dialects.entry(talk.dialect).or_default() += 1;
            for (_, carrier) in talk.lines.iter() {
                kinds[match carrier {
                    Carrier::Socket(_) | Carrier::Threshold(_) => 0,
                    Carrier::Stream(_) => 1,
                    Carrier::Poll(_) => 2,
                }] += 1;
            }
            queued_bytes += self.stage.queued(key, lines);
            newest.push((talk.visit.began, key));
        }
        if rows_max < newest.len() {
            newest.select_nth_unstable_by(rows_max, |a, b| b.0.cmp(&a.0));
            newest.truncate(rows_max);
        }
        let rows = newest.into_iter().filter_map(|(_, key)| {
            let talk = self.stage.talks.get(key)?;
            let age = talk.visit.age(now);
            Some(Row {
                id: self.stage.number(key),
                who: talk.visit.peer().to_owned(),
                path: talk.visit.path().into(),
                http: talk.visit.http().into(),
                dialect: talk.dialect,
                user: talk.seat.and_then(|it| self.hub.user(it)).map(|it| it.as_str().to_owned()),
                since: unix.saturating_sub(age).as_millis() as u64,
                received: talk.visit.received,
                sent: talk.visit.sent,
            })
        });
        Snapshot {
            rows: rows.collect(),
            hub: self.hub.info(),
            tally: self.stage.tally,
            dialects,
            lines: kinds,
            letters: self.stage.posts[self.stage.index].waiting(),
            queued_bytes,
        }
    }
}
