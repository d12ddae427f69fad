//! What happens to the connection.

use std::{sync::Arc, time::Duration};

use async_nats::Event;
use bytes::Bytes;
use taiwa_core::State;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{Inner, lock, registry::write_secret, streams::Kind};

/// Between two attempts to put a connection to use.
const PAUSE: Duration = Duration::from_millis(100);

impl Inner {
    /// Follows what happens to the connection, until nobody wants to know.
    pub(crate) fn watch(self: &Arc<Self>, mut events: UnboundedReceiver<Event>) {
        let weak = Arc::downgrade(self);
        self.runtime.spawn(async move {
            while let Some(event) = events.recv().await {
                let Some(inner) = weak.upgrade() else { return };
                inner.happened(event, &mut events).await;
            }
        });
    }

    async fn happened(self: &Arc<Self>, event: Event, events: &mut UnboundedReceiver<Event>) {
        match event {
            Event::Disconnected | Event::Closed => self.lose_line(),
            // The first connection was made before anything was watched.
            Event::Connected if self.line.is_up() => {}
            Event::Connected => self.put_to_use(events).await,
            Event::SlowConsumer(_) => {
                // There is one for each message that was dropped; those of a crowd are told once, behind the last.
                tokio::time::sleep(PAUSE).await;
                let mut next = None;
                while let Ok(event) = events.try_recv() {
                    if !matches!(event, Event::SlowConsumer(_)) {
                        next = Some(event);
                        break;
                    }
                }
                self.missed();
                if let Some(next) = next {
                    Box::pin(self.happened(next, events)).await;
                }
            }
            _ => {}
        }
    }

    fn lose_line(&self) {
        let news = self.line.set_up(false);
        self.line.fail_all();
        if news {
            self.count(|it| &it.lost);
            self.tell_state(State::Lost);
        }
    }

    /// The connection is there, and its subscriptions are on their way. It is up when the server has taken them in and its
    /// streams answer; a server that has just begun is not that far.
    async fn put_to_use(self: &Arc<Self>, events: &mut UnboundedReceiver<Event>) {
        loop {
            if !events.is_empty() {
                // It may be lost again.
                return self.line_again(events).await;
            }
            let ready = self
                .line
                .ask("$JS.API.INFO".into(), None, Bytes::new(), self.settings.deadline)
                .await;
            let ready = ready.is_ok_and(|it| !it.payload.windows(7).any(|it| it == b"\"error\""));
            if ready {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let before = self.streams.forget_all();
        self.known().clear();
        self.line.set_up(true);
        // A server that came back empty has the secret again.
        let _ = write_secret(&self.streams, self.secret).await;
        let empty = self.streams.is_another(Kind::Cluster, &before);
        if empty {
            lock(&self.local).clear();
            lock(&self.owed).clear();
        }
        // Others may know this one already, or not any more.
        let _ = self.greet().await;
        if !self.line.is_up() {
            return;
        }
        let inner = self.clone();
        // Where users are is kept in the server's memory alone.
        self.runtime.spawn(async move { inner.write_all_nodes().await });
        self.tell_state(State::Back { entries_lost: empty });
    }

    async fn line_again(self: &Arc<Self>, events: &mut UnboundedReceiver<Event>) {
        if let Ok(event) = events.try_recv() {
            match event {
                // What came meanwhile says nothing new.
                Event::Disconnected | Event::Closed => {}
                _ => Box::pin(self.put_to_use(events)).await,
            }
        }
    }

    fn tell_state(&self, state: State) {
        if let Some(ears) = self.ears.get() {
            ears.state(state);
        }
    }
}
