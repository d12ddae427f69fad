//! [`Queue`]: what is to be told to one URL, told one after the other, in order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use tokio::{sync::Notify, time};
use tracing::Instrument;

use super::{
    Kind,
    counts::{Counters, count},
    endpoint::{Endpoint, jittered},
    letter::{BATCH, Letter, ONE},
    settings::WebhookLimits,
};
use crate::trace;

/// What waits for one URL. Its lock is held for a push and a pop.
#[derive(Debug)]
pub(super) struct Queue {
    endpoint: Arc<Endpoint>,
    source: Arc<str>,
    limits: WebhookLimits,
    counters: Arc<Counters>,
    waiting: Mutex<Waiting>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    letters: VecDeque<Letter>,
    bytes: usize,
    under_way: usize,
}

/// What became of an attempt.
enum Attempt {
    Taken,
    Unwanted(StatusCode),
    Again(String),
}

impl Queue {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        source: Arc<str>,
        limits: WebhookLimits,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            endpoint,
            source,
            limits,
            counters,
            waiting: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Puts a letter behind the others. What there is no room for is dropped, the oldest first.
    pub(super) fn push(&self, letter: Letter) {
        let weight = letter.weight();
        let mut waiting = self.lock();
        if weight > self.limits.queue_bytes_max || self.limits.queue_max == 0 {
            count(&self.counters.of(letter.kind).dropped);
            return;
        }
        while waiting.letters.len() >= self.limits.queue_max
            || waiting.bytes + weight > self.limits.queue_bytes_max
        {
            let Some(oldest) = waiting.pop() else { break };
            count(&self.counters.of(oldest.kind).dropped);
        }
        waiting.bytes += weight;
        waiting.letters.push_back(letter);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Returns how many letters wait or are being told.
    pub(super) fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.letters.len() + waiting.under_way
    }

    /// Waits until there is nothing left to tell.
    pub(super) async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Tells what comes, for ever.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let batch = self.next().await;
            self.deliver(&batch).await;
            let mut waiting = self.lock();
            waiting.under_way = 0;
            if waiting.letters.is_empty() {
                self.emptied.notify_waiters();
            }
        }
    }

    async fn next(&self) -> Vec<Letter> {
        loop {
            let batch = self.lock().batch(&self.limits);
            if !batch.is_empty() {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    /// Tells a batch until it is taken, not wanted, or tried often enough.
    async fn deliver(&self, batch: &[Letter]) {
        let Some(first) = batch.first() else { return };
        let body = match self.limits.batch_max {
            0 | 1 => first.write(&self.source),
            _ => Letter::write_batch(batch, &self.source),
        };
        let mut pause = self.limits.pause_min;
        for tried in 0..=self.limits.retries_max {
            match self.attempt(first.kind, &first.id, body.clone()).await {
                Attempt::Taken => {
                    self.counters.works(first.kind);
                    return batch.iter().for_each(|it| count(&self.counters.of(it.kind).told));
                }
                Attempt::Unwanted(status) => {
                    let why = format!("the status was {}: it is not wanted", status.as_u16());
                    self.counters.fails(first.kind, &why);
                    break;
                }
                Attempt::Again(why) if tried == self.limits.retries_max => {
                    let why = format!("given up after {} attempts: {why}", tried + 1);
                    self.counters.fails(first.kind, &why);
                }
                Attempt::Again(_) => {
                    batch.iter().for_each(|it| count(&self.counters.of(it.kind).retries));
                    time::sleep(jittered(pause)).await;
                    pause = next_pause(pause, self.limits.pause_max);
                }
            }
        }
        batch.iter().for_each(|it| count(&self.counters.of(it.kind).given_up));
    }

    async fn attempt(&self, kind: Kind, id: &str, body: Bytes) -> Attempt {
        let media_type = if self.limits.batch_max > 1 { BATCH } else { ONE };
        let span = self.endpoint.span(kind);
        let answer = self.endpoint.tell(id, media_type, body).instrument(span.clone()).await;
        trace::heard(&span, &answer);
        let status = match answer {
            Ok(answer) => answer.status(),
            Err(failure) => return Attempt::Again(failure.to_string()),
        };
        let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if status.is_success() {
            Attempt::Taken
        } else if status.is_server_error() || again.contains(&status) {
            Attempt::Again(format!("the status was {}", status.as_u16()))
        } else {
            Attempt::Unwanted(status)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn pop(&mut self) -> Option<Letter> {
        let letter = self.letters.pop_front()?;
        self.bytes -= letter.weight();
        Some(letter)
    }

    fn batch(&mut self, limits: &WebhookLimits) -> Vec<Letter> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(first) = self.letters.front()
            && batch.len() < limits.batch_max.max(1)
            && (batch.is_empty() || bytes + first.weight() <= limits.batch_bytes_max)
        {
            bytes += first.weight();
            batch.extend(self.pop());
        }
        self.under_way = batch.len();
        batch
    }
}

fn next_pause(pause: Duration, pause_max: Duration) -> Duration {
    pause.saturating_mul(2).min(pause_max)
}
