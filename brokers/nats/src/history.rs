//! The history of a channel: its messages name those before them, so any number of them is found without a search.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use taiwa_core::{Channel, Keep, Log, Page, Position};

use crate::{
    Inner,
    line::Fail,
    random, since_1970,
    streams::{Kind, Stream, Which},
    wire::{BEFORE_MAX, Parcel, Part},
};

/// What a node knows of the last message of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) stream: Arc<Stream>,
    /// Its number; 0 if there is none yet.
    pub(crate) seq: u64,
    /// What the next parcel begins with.
    pub(crate) epoch: u64,
    pub(crate) next: u64,
    /// When the epoch ends unless something is said, in milliseconds of Unix time.
    ends: u64,
    /// The messages before the next one, the newest first.
    pub(crate) before: Vec<(u64, u64)>,
}

impl Known {
    /// What follows from a message and its number.
    pub(crate) fn behind(stream: Arc<Stream>, seq: u64, parcel: &Parcel) -> Self {
        let count = parcel.parts.len() as u64;
        let mut before = Vec::with_capacity(parcel.before.len() + 1);
        if count > 0 {
            before.push((seq, count));
        }
        before.extend_from_slice(&parcel.before);
        let ends = parcel.at.saturating_add(age_of(&stream));
        Self { stream, seq, epoch: parcel.epoch, next: parcel.first + count, ends, before }
    }

    /// A channel of which nothing is kept, or nothing that counts: its last message is too old, and not yet dropped.
    fn born(stream: Arc<Stream>, seq: u64) -> Self {
        Self { stream, seq, epoch: random().max(1), next: 1, ends: u64::MAX, before: Vec::new() }
    }

    /// Whether nothing was said in it.
    fn is_unborn(&self) -> bool {
        self.ends == u64::MAX
    }

    /// The next message, which names no more of those before it than the history holds.
    fn parcel(&self, size: usize, what: &What) -> Parcel {
        let (before, parts) = match what {
            What::Say(parts) => (self.before.as_slice(), parts.clone()),
            What::Forget => (&[][..], Vec::new()),
            What::Birth => (self.before.as_slice(), Vec::new()),
        };
        let mut entries = parts.len() as u64;
        let enough = |it: &&(u64, u64)| {
            let more = entries < size as u64;
            entries += it.1;
            more
        };
        let before = before.iter().take(BEFORE_MAX).take_while(enough).copied().collect();
        Parcel { epoch: self.epoch, first: self.next, at: since_1970(), before, parts }
    }
}

/// What a message is written for.
pub(crate) enum What {
    Say(Vec<Part>),
    /// From now on nothing lies before it.
    Forget,
    /// An epoch begins, and nothing was said yet.
    Birth,
}

/// After how many statements a channel is trimmed, at the earliest.
const TRIM_AFTER: u64 = 64;

/// The last message of a channel.
enum Newest {
    /// There is none, or one with this number that is too old.
    None(u64),
    Parcel(u64, Parcel),
}

/// How old a message of a stream may be, in milliseconds.
fn age_of(stream: &Stream) -> u64 {
    match stream.kind {
        Kind::History { age } => u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

/// In which stream a channel is kept: by age, since a stream drops by age, and not by size, which may be changed.
pub(crate) fn kind(keep: Keep) -> Kind {
    Kind::History { age: keep.ttl.max(keep.epoch_ttl) }
}

impl Inner {
    /// Writes the next message of a channel, and returns what is known then. Nobody else writes one with the same position:
    /// the stream takes it only if the last one is that which it builds upon.
    pub(crate) async fn write(
        &self,
        channel: &Channel,
        keep: Keep,
        what: &What,
    ) -> Result<Known, Fail> {
        let until = Instant::now() + self.line.left();
        let mut pause = Duration::from_micros(200);
        while Instant::now() < until {
            let known = self.last(channel, keep).await?;
            if known.seq > 0 && matches!(what, What::Birth)
                || known.seq == 0 && matches!(what, What::Forget)
            {
                return Ok(known);
            }
            let parcel = known.parcel(keep.size, what);
            let subject = self.kept_subject(&known.stream, channel);
            match self.streams.put(&known.stream, &subject, Some(known.seq), parcel.encode()).await
            {
                Ok(seq) => {
                    let known = Known::behind(known.stream, seq, &parcel);
                    self.learn(channel, known.clone());
                    self.trim(&known, &subject, keep).await;
                    return Ok(known);
                }
                Err(fail) => {
                    self.unlearn(channel, known.seq);
                    match fail {
                        Fail::Conflict => self.count(|it| &it.conflicts),
                        // The stream is gone: another one is made.
                        Fail::Nobody => {}
                        _ => return Err(fail),
                    }
                }
            }
            // Who lost waits a little, by chance: otherwise the same ones would meet again.
            let chance =
                Duration::from_nanos(random() % u64::try_from(pause.as_nanos()).unwrap_or(1));
            tokio::time::sleep(chance).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        Err(Fail::Contended)
    }

    /// Returns what is known of the last message, or asks.
    async fn last(&self, channel: &Channel, keep: Keep) -> Result<Known, Fail> {
        let size = keep.size as u64;
        let mut stream = self.streams.open_for(kind(keep), size).await?;
        if stream.size < size {
            self.streams.widen(&stream, size).await?;
            stream = self.streams.open_for(kind(keep), size).await?;
        }
        let now = since_1970();
        let known = self
            .known()
            .get(channel)
            .filter(|it| it.stream.root == stream.root && it.ends > now)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        Ok(match self.newest(&stream, channel).await? {
            Newest::None(seq) => Known::born(stream, seq),
            Newest::Parcel(seq, parcel) => {
                let known = Known::behind(stream, seq, &parcel);
                self.learn(channel, known.clone());
                known
            }
        })
    }

    /// The stream keeps as many messages of each channel as the largest history in it has. Now and then we drop the others.
    async fn trim(&self, known: &Known, subject: &str, keep: Keep) {
        let size = keep.size as u64;
        let step = size.max(TRIM_AFTER);
        let parts = known.before.first().map_or(0, |it| it.1);
        if known.next / step != known.next.saturating_sub(parts) / step {
            // If it comes to nothing the next one does it.
            let _ = self.streams.purge(&known.stream, subject, size).await;
        }
    }

    /// Asks for the last message.
    async fn newest(&self, stream: &Stream, channel: &Channel) -> Result<Newest, Fail> {
        let subject = self.kept_subject(stream, channel);
        let Some(kept) = self.streams.get(stream, Which::Last(&subject)).await? else {
            return Ok(Newest::None(0));
        };
        match Parcel::decode(&kept.body) {
            Some(it) if it.at.saturating_add(age_of(stream)) <= since_1970() => {
                Ok(Newest::None(kept.seq))
            }
            Some(parcel) if parcel.epoch != 0 => Ok(Newest::Parcel(kept.seq, parcel)),
            _ => Err(Fail::Server("a message that is not ours".into())),
        }
    }

    /// Reads where the channel stands, and what lies there from `wanted` on, which is asked for with the position. The oldest
    /// comes first, and there is no hole before the newest.
    pub(crate) async fn collect(
        &self,
        channel: &Channel,
        keep: Keep,
        wanted: impl Fn(Position) -> u64,
    ) -> Result<(Position, Vec<(u64, Part)>), Fail> {
        let (stream, mut oldest) = loop {
            let stream = self.streams.open_for(kind(keep), keep.size as u64).await?;
            if let Newest::Parcel(_, newest) = self.newest(&stream, channel).await? {
                break (stream, newest);
            }
            // The epoch begins with the first who asks. What is remembered is older than the nothing that was found.
            self.unlearn(channel, u64::MAX);
            let known = self.write(channel, keep, &What::Birth).await?;
            if known.next == 1 {
                return Ok((Position { epoch: known.epoch, offset: 0 }, Vec::new()));
            }
        };
        let position = oldest.position();
        let wanted = wanted(position).max((position.offset + 1).saturating_sub(keep.size as u64));
        let young =
            since_1970().saturating_sub(u64::try_from(keep.ttl.as_millis()).unwrap_or(u64::MAX));
        let mut parcels = Vec::new();
        let mut low = position.offset + 1;
        loop {
            if oldest.at <= young || oldest.first + oldest.parts.len() as u64 != low {
                break;
            }
            low = oldest.first;
            let before = std::mem::take(&mut oldest.before);
            parcels.push(oldest);
            if low <= wanted || before.is_empty() {
                break;
            }
            let Some(next) =
                self.fetch(&stream, &before, (low, wanted, young), &mut parcels).await?
            else {
                break;
            };
            low = parcels.last().map_or(low, |it: &Parcel| it.first);
            oldest = next;
        }
        let mut entries = Vec::new();
        for parcel in parcels.into_iter().rev() {
            entries.extend((parcel.first..).zip(parcel.parts).filter(|it| it.0 >= wanted));
        }
        Ok((position, entries))
    }

    /// Fetches the messages that one names, as far as they are wanted, at once. All but the last of them are pushed; the last
    /// is returned, to be looked at, and for what it names. `None` if one is no longer there, or too old.
    async fn fetch(
        &self,
        stream: &Stream,
        before: &[(u64, u64)],
        (low, wanted, young): (u64, u64, u64),
        parcels: &mut Vec<Parcel>,
    ) -> Result<Option<Parcel>, Fail> {
        let epoch = parcels[0].epoch;
        let mut low = low;
        let mut from = low;
        let named = before.iter().take_while(|it| {
            let more = from > wanted;
            from = from.saturating_sub(it.1);
            more
        });
        let fetched = join_all(named.map(|it| self.streams.get(stream, Which::Seq(it.0)))).await;
        let last = fetched.len().saturating_sub(1);
        for (i, kept) in fetched.into_iter().enumerate() {
            let parcel = kept?.and_then(|it| Parcel::decode(&it.body));
            let joins = |it: &Parcel| {
                it.epoch == epoch && it.at > young && it.first + it.parts.len() as u64 == low
            };
            let Some(mut parcel) = parcel.filter(joins) else { return Ok(None) };
            if i == last {
                return Ok(Some(parcel));
            }
            low = parcel.first;
            parcel.before = Vec::new();
            parcels.push(parcel);
        }
        Ok(None)
    }

    /// Reads the newest.
    pub(crate) async fn tail(
        &self,
        channel: &Channel,
        keep: Keep,
        limit: usize,
    ) -> Result<Log, Fail> {
        let wanted = |it: Position| (it.offset + 1).saturating_sub(limit as u64);
        let (position, entries) = self.collect(channel, keep, wanted).await?;
        Ok(Log { position, entries: bodies(entries) })
    }

    /// Reads a page.
    pub(crate) async fn page(
        &self,
        channel: &Channel,
        keep: Keep,
        page: Page,
    ) -> Result<Log, Fail> {
        let since = page.since.map(|it| it.offset);
        let limit = page.limit as u64;
        let wanted = |position: Position| match (page.reverse, since) {
            (_, _) if limit == 0 => u64::MAX,
            (false, None) => 1,
            (false, Some(since)) => since.saturating_add(1),
            (true, None) => (position.offset + 1).saturating_sub(limit),
            (true, Some(since)) => since.min(position.offset + 1).saturating_sub(limit),
        };
        let (position, entries) = self.collect(channel, keep, wanted).await?;
        let mut entries = bodies(entries);
        if page.reverse {
            entries.retain(|it| since.is_none_or(|since| it.0 < since));
            entries.reverse();
        }
        entries.truncate(page.limit);
        Ok(Log { position, entries })
    }

    /// Drops what was said, but not where the channel stands.
    pub(crate) async fn drop_history(&self, channel: &Channel, keep: Keep) -> Result<(), Fail> {
        let known = self.write(channel, keep, &What::Forget).await?;
        if !known.is_unborn() {
            // The message written above ends what can be read; this gives back its room.
            self.streams
                .purge(&known.stream, &self.kept_subject(&known.stream, channel), 1)
                .await?;
        }
        Ok(())
    }

    /// Remembers the last message of a channel, unless a later one is known.
    pub(crate) fn learn(&self, channel: &Channel, news: Known) {
        let mut known = self.known();
        if let Some(old) = known.get_mut(channel) {
            if old.stream.root != news.stream.root || old.seq < news.seq {
                *old = news;
            }
            return;
        }
        if known.len() >= self.settings.known_max
            && let Some(any) = known.keys().next().cloned()
        {
            known.remove(&any);
        }
        known.insert(channel.clone(), news);
    }

    /// Forgets it, unless a later one is known by now.
    fn unlearn(&self, channel: &Channel, seq: u64) {
        let mut known = self.known();
        if known.get(channel).is_some_and(|it| it.seq <= seq) {
            known.remove(channel);
        }
    }
}

fn bodies(entries: Vec<(u64, Part)>) -> Vec<(u64, Bytes)> {
    entries.into_iter().map(|(offset, part)| (offset, part.body)).collect()
}
