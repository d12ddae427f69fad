//! Sessions whose node may die: one message each, which only one can take out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use taiwa_core::{SessionId, SessionStore, Then};

use crate::{
    Inner, Nats,
    lanes::{Job, Key},
    line::{Fail, since},
    since_1970,
    streams::{Kind, Which},
    wire::Scan,
};

impl SessionStore for Nats {
    fn save(&self, session: SessionId, body: Bytes, ttl: Duration, then: Then<()>) {
        self.inner.order(
            Key::Session(session),
            body.len(),
            then,
            async move |inner: Arc<Inner>| {
                if ttl > inner.settings.session_max {
                    return Err(Fail::Limit("longer than the broker keeps a session"));
                }
                let mut message = BytesMut::with_capacity(body.len() + 8);
                message.put_u64(
                    since_1970().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                );
                message.put_slice(&body);
                let message = message.freeze();
                let stream = inner.streams.open(inner.sessions()).await?;
                let subject = format!("{}{session}", stream.root);
                match inner.streams.put(&stream, &subject, None, message.clone()).await {
                    // The stream is gone: another one is made.
                    Err(Fail::Nobody) => {
                        let stream = inner.streams.open(inner.sessions()).await?;
                        inner
                            .streams
                            .put(&stream, &format!("{}{session}", stream.root), None, message)
                            .await
                    }
                    done => done,
                }
                .map(drop)
            },
        );
    }

    fn take(&self, session: SessionId, then: Then<Option<Bytes>>) {
        let key = Key::Session(session);
        self.inner.order(key, 0, then, async move |inner: Arc<Inner>| inner.take(session).await);
    }

    fn drop_session(&self, session: SessionId) {
        let inner = self.inner.clone();
        // What can't be dropped now grows old.
        let (made, deadline) = (Instant::now(), inner.settings.deadline);
        let work = async move { drop(since(made, deadline, inner.take(session)).await) };
        self.inner.enter(Key::Session(session), Job::Do(Box::pin(work)));
    }
}

impl Inner {
    fn sessions(&self) -> Kind {
        Kind::Sessions { age: self.settings.session_max }
    }

    /// Whoever deletes the message has it.
    async fn take(&self, session: SessionId) -> Result<Option<Bytes>, Fail> {
        let until = Instant::now() + self.line.left();
        while Instant::now() < until {
            let stream = self.streams.open(self.sessions()).await?;
            let subject = format!("{}{session}", stream.root);
            let Some(kept) = self.streams.get(&stream, Which::Last(&subject)).await? else {
                return Ok(None);
            };
            if self.streams.delete(&stream, kept.seq).await? {
                let mut from = Scan::of(&kept.body);
                let ends = from.u64().unwrap_or(0);
                return Ok((ends > since_1970()).then(|| from.rest()));
            }
            // Somebody took it, or saved it again.
        }
        Err(Fail::Contended)
    }
}
