//! Publications: what is said, and what is heard.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use taiwa_core::{
    Accepted, Broker, Channel, Heard, Keep, Log, Page, Position, State, Statement, Then,
};
use tokio::task::AbortHandle;

use crate::{
    Inner, Nats,
    history::Known,
    lanes::{Job, Key, Saying},
    line::{Fail, since},
    lock,
    streams::{Stream, sequence},
    subject::{escape, unescape},
    wire::{Parcel, Part},
};

/// A task that ends when this is dropped.
pub(crate) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A channel that is heard.
pub(crate) struct Hearing {
    _task: Task,
    /// Whether somebody was told that it is. Otherwise it ends when the last who tried gives up.
    told: bool,
    trying: usize,
}

impl Broker for Nats {
    fn publish(&self, statement: Statement, then: Then<Accepted>) {
        let inner = &self.inner;
        match inner.admit(statement.body.len()) {
            Err(fail) => inner.answer(then, Err(fail)),
            Ok(place) => {
                let key = Key::Channel(statement.channel.clone());
                inner.enter(key, Job::Say(Box::new(Saying { statement, then, place })));
            }
        }
    }

    fn subscribe(&self, channel: &Channel, keep: Keep, limit: usize, then: Then<Log>) {
        let name = channel.clone();
        self.read_in_order(channel, then, async move |inner| {
            inner.subscribe(&name, keep, limit).await
        });
    }

    fn unsubscribe(&self, channel: &Channel) {
        let (inner, name) = (self.inner.clone(), channel.clone());
        let work = async move { drop(inner.hearing.lock().await.remove(&name)) };
        self.inner.enter(Key::Channel(channel.clone()), Job::Do(Box::pin(work)));
    }

    fn read(&self, channel: &Channel, keep: Keep, page: Page, then: Then<Log>) {
        let name = channel.clone();
        self.read_in_order(channel, then, async move |inner| match keep.size {
            0 => Ok(Log::default()),
            _ => inner.page(&name, keep, page).await,
        });
    }

    fn forget(&self, channel: &Channel, keep: Keep, then: Then<()>) {
        let name = channel.clone();
        self.inner.order(Key::Channel(channel.clone()), 0, then, async move |inner: Arc<Inner>| {
            match keep.size {
                0 => Ok(()),
                _ => inner.drop_history(&name, keep).await,
            }
        });
    }

    fn hear_patterns(&self, wanted: bool, then: Then<()>) {
        self.inner.order(Key::Patterns, 0, then, async move |inner: Arc<Inner>| {
            if !wanted {
                *lock(&inner.patterns) = None;
            } else if lock(&inner.patterns).is_none() {
                let heard = inner.line.hear(format!("{}.l.*", inner.settings.prefix)).await?;
                let task = inner.runtime.spawn(inner.clone().hear_all(heard));
                *lock(&inner.patterns) = Some(Task(task.abort_handle()));
                inner.line.settle().await?;
            }
            Ok(())
        });
    }
}

impl Nats {
    /// Does something that changes nothing behind what changes the channel.
    fn read_in_order<F>(
        &self,
        channel: &Channel,
        then: Then<Log>,
        work: impl FnOnce(Arc<Inner>) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<Log, Fail>> + Send,
    {
        match self.inner.admit(0) {
            Err(fail) => self.inner.answer(then, Err(fail)),
            Ok(place) => {
                let work = self.inner.in_place(place, then, work);
                self.inner.enter(Key::Channel(channel.clone()), Job::Read(work));
            }
        }
    }
}

impl Inner {
    /// The subject to which all that is said in a channel goes.
    fn live_subject(&self, channel: &Channel) -> String {
        let mut subject = format!("{}.l.", self.settings.prefix);
        escape(channel.as_str(), &mut subject);
        subject
    }

    /// The subject under which a channel's history is kept. The server itself says what it has kept under the live one.
    #[expect(clippy::unused_self, reason = "it stands beside the other one")]
    pub(crate) fn kept_subject(&self, stream: &Stream, channel: &Channel) -> String {
        let mut subject = stream.root.clone();
        escape(channel.as_str(), &mut subject);
        subject
    }

    /// Says what is not kept.
    pub(crate) async fn say_live(&self, channel: &Channel, parts: Vec<Part>) -> Result<(), Fail> {
        let parcel = Parcel { parts, at: crate::since_1970(), ..Parcel::default() };
        self.line.say(self.live_subject(channel), parcel.encode()).await
    }

    /// Says statements that waited behind one another in a channel, each within its time.
    pub(crate) async fn say(&self, mut sayings: Vec<Saying>) {
        let deadline = self.settings.deadline;
        for late in sayings.extract_if(.., |it| it.place.since.elapsed() > deadline) {
            drop(late.place);
            self.answer(late.then, Err(Fail::Deadline));
        }
        let Some(first) = sayings.first() else { return };
        // What goes out together is answered together, in time for the first.
        since(first.place.since, deadline, self.say_in_time(sayings)).await;
    }

    async fn say_in_time(&self, sayings: Vec<Saying>) {
        let Some(first) = sayings.first() else { return };
        self.count(|it| &it.messages);
        let (channel, keep) = (first.statement.channel.clone(), first.statement.keep);
        if first.statement.id.is_some() {
            for Saying { statement, then, place } in sayings {
                let done = self.say_once(&statement, part(&statement)).await;
                drop(place);
                self.answer_said(then, done);
            }
            return;
        }
        let parts = sayings.iter().map(|it| part(&it.statement)).collect();
        match self.say_parts(&channel, keep, parts).await {
            Ok(first) => {
                for (i, Saying { then, place, .. }) in sayings.into_iter().enumerate() {
                    drop(place);
                    let position = first.map(|it| Position { offset: it.offset + i as u64, ..it });
                    self.answer_said(then, Ok(Accepted { position, ..Accepted::default() }));
                }
            }
            Err(fail) => {
                for Saying { then, place, .. } in sayings {
                    drop(place);
                    self.answer(then, Err(fail.clone()));
                }
            }
        }
    }

    fn answer_said(&self, then: Then<Accepted>, done: Result<Accepted, Fail>) {
        if done.as_ref().is_ok_and(|it| !it.repeated) {
            self.count(|it| &it.said);
        }
        self.answer(then, done);
    }

    async fn subscribe(
        self: Arc<Self>,
        channel: &Channel,
        keep: Keep,
        limit: usize,
    ) -> Result<Log, Fail> {
        let fresh = self.hear(channel).await?;
        let log = match keep.size {
            // Nothing else would wait until the server knows of the subscription.
            0 if fresh => self.line.settle().await.map(|()| Log::default()),
            0 => Ok(Log::default()),
            _ => self.tail(channel, keep, limit).await,
        };
        let mut hearing = self.hearing.lock().await;
        if let Some(it) = hearing.get_mut(channel) {
            it.told |= log.is_ok();
            it.trying -= 1;
            if !it.told && it.trying == 0 {
                hearing.remove(channel);
            }
        }
        log
    }

    /// Begins to hear a channel. Tells whether it was not heard before.
    async fn hear(self: &Arc<Self>, channel: &Channel) -> Result<bool, Fail> {
        let mut hearing = self.hearing.lock().await;
        if let Some(it) = hearing.get_mut(channel) {
            it.trying += 1;
            return Ok(!it.told);
        }
        let heard = self.line.hear(self.live_subject(channel)).await?;
        let task = self.runtime.spawn(self.clone().hear_one(channel.clone(), heard));
        let task = Task(task.abort_handle());
        hearing.insert(channel.clone(), Hearing { _task: task, told: false, trying: 1 });
        Ok(true)
    }

    async fn hear_one(self: Arc<Self>, channel: Channel, mut heard: Subscriber) {
        let mut last = Position::default();
        while let Some(message) = heard.next().await {
            let Some(parcel) = Parcel::decode(&message.payload) else { continue };
            if parcel.epoch != 0 {
                self.learn_from(&channel, &message, &parcel);
                let gap = parcel.epoch == last.epoch && parcel.first > last.offset + 1;
                last = parcel.position();
                if gap {
                    self.missed();
                }
            }
            for (position, part) in parcel.parts_with_positions() {
                self.ear(Heard {
                    channel: channel.clone(),
                    position,
                    body: part.body,
                    by_pattern: false,
                });
            }
        }
    }

    async fn hear_all(self: Arc<Self>, mut heard: Subscriber) {
        while let Some(message) = heard.next().await {
            let name = message.subject.rsplit('.').next().and_then(unescape);
            let channel = name.and_then(|it| Channel::parse(&it));
            if let (Some(channel), Some(parcel)) = (channel, Parcel::decode(&message.payload)) {
                for (position, part) in parcel.parts_with_positions() {
                    if part.to_patterns {
                        self.ear(Heard {
                            channel: channel.clone(),
                            position,
                            body: part.body,
                            by_pattern: true,
                        });
                    }
                }
            }
        }
    }

    fn ear(&self, heard: Heard) {
        self.count(|it| &it.heard);
        if let Some(ears) = self.ears.get() {
            ears.heard(heard);
        }
    }

    /// What others wrote is what our next message builds upon.
    fn learn_from(&self, channel: &Channel, message: &Message, parcel: &Parcel) {
        let Some(seq) = sequence(message) else { return };
        let stream = self.known().get(channel).map(|it| it.stream.clone());
        let from = message.headers.as_ref().and_then(|it| it.get("Nats-Subject"));
        if let (Some(stream), Some(from)) = (stream, from)
            && from.as_str().starts_with(&stream.root)
        {
            self.learn(channel, Known::behind(stream, seq, parcel));
        }
    }

    /// Says that something was not heard.
    pub(crate) fn missed(&self) {
        self.count(|it| &it.missed);
        if let Some(ears) = self.ears.get() {
            ears.state(State::Missed);
        }
    }
}

fn part(statement: &Statement) -> Part {
    let id = statement
        .id
        .as_ref()
        .map_or_else(bytes::Bytes::new, |it| bytes::Bytes::copy_from_slice(it.0.as_bytes()));
    Part { to_patterns: statement.to_patterns, id, body: statement.body.clone() }
}
