//! The connection: requests with a deadline, and their answers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    Client, HeaderMap, Message, PublishError, PublishErrorKind, StatusCode, Subscriber,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use taiwa_core::{Refusal, RefusalKind};
use tokio::{sync::oneshot, task::AbortHandle};

/// Why a request came to nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fail {
    /// There is no connection, or it broke before the answer came: it may have been done.
    Lost,
    /// No answer in time: it may have been done.
    Deadline,
    /// Nobody listens to the subject: it was not done.
    Nobody,
    /// Somebody else was faster: it was not done.
    Conflict,
    /// Others were faster again and again.
    Contended,
    /// Too many calls wait.
    Busy,
    /// More bytes than the server takes.
    TooBig,
    /// A limit of ours; its name.
    Limit(&'static str),
    /// The node is not there, or not any more.
    Gone,
    /// It makes no sense; why.
    Bad(&'static str),
    /// The server says no, in its words.
    Server(String),
}

impl Fail {
    /// Says it to whoever asked.
    pub(crate) fn refusal(&self) -> Refusal {
        let (kind, text) = match self {
            Self::Lost | Self::Nobody => (RefusalKind::Unavailable, "the broker can't be reached"),
            Self::Deadline => (RefusalKind::Unavailable, "the broker did not answer in time"),
            Self::Conflict | Self::Contended => (
                RefusalKind::Unavailable,
                "too many nodes write to one place of the broker at once",
            ),
            Self::Busy => (RefusalKind::Unavailable, "the broker is busy"),
            Self::TooBig => {
                (RefusalKind::Limit, "more bytes than a message of the broker may have")
            }
            Self::Limit(what) => (RefusalKind::Limit, *what),
            Self::Gone => (RefusalKind::NotFound, "the node is gone"),
            Self::Bad(why) => (RefusalKind::BadRequest, *why),
            // What the server says is for its operator: a counter and the health page show that it says no.
            Self::Server(_) => (RefusalKind::Unavailable, "the broker refused it"),
        };
        Refusal::new(kind, text)
    }

    /// Whether it is known that nothing was done.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self, Self::Lost | Self::Deadline)
    }
}

tokio::task_local! {
    /// When the call that is being done has to be answered: its time began when it was made, not with its turn.
    static UNTIL: Instant;
}

/// Does something for a call that was made at a time: all requests of it together have one deadline.
pub(crate) async fn since<F: Future>(made: Instant, deadline: Duration, work: F) -> F::Output {
    UNTIL.scope(made + deadline, work).await
}

/// One connection to NATS.
pub(crate) struct Line {
    pub(crate) client: Client,
    /// Begins the subjects of answers.
    inbox: String,
    asked: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    answers: OnceLock<AbortHandle>,
    number: AtomicU64,
    up: AtomicBool,
    deadline: Duration,
    pub(crate) requests: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Line {
    /// Begins to hear answers.
    pub(crate) async fn new(client: Client, deadline: Duration) -> Result<Arc<Self>, Fail> {
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(format!("{inbox}.*")).await.map_err(|_| Fail::Lost)?;
        let line = Arc::new(Self {
            client,
            inbox,
            asked: Mutex::default(),
            answers: OnceLock::new(),
            number: AtomicU64::new(0),
            up: AtomicBool::new(true),
            deadline,
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&line);
        let task = tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                let Some(line) = weak.upgrade() else { return };
                let number = answer.subject.rsplit('.').next().and_then(|it| it.parse().ok());
                let asked = number.and_then(|it: u64| line.asked().remove(&it));
                if let Some(asked) = asked {
                    let _ = asked.send(answer);
                }
            }
        });
        let _ = line.answers.set(task.abort_handle());
        Ok(line)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Tells whether it was the other way before.
    pub(crate) fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Ordering::AcqRel) != up
    }

    /// Ends all requests under way: their answers will never come.
    pub(crate) fn fail_all(&self) {
        self.asked().clear();
    }

    /// Returns how much time a call has left; outside of calls each request has its own.
    pub(crate) fn left(&self) -> Duration {
        let left = UNTIL.try_with(|it| it.saturating_duration_since(Instant::now()));
        left.unwrap_or(self.deadline)
    }

    /// Asks, unless there is no connection.
    pub(crate) async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        body: Bytes,
    ) -> Result<Message, Fail> {
        if self.is_up() {
            self.ask(subject, headers, body, self.left()).await
        } else {
            Err(Fail::Lost)
        }
    }

    /// Asks, also while the connection is being put to use.
    pub(crate) async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        body: Bytes,
        within: Duration,
    ) -> Result<Message, Fail> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.asked().insert(number, sender);
        let _forget = Forget(self, number);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let reply = format!("{}.{number}", self.inbox);
        let answer = async {
            match headers {
                None => {
                    self.client.publish_with_reply(subject, reply, body).await.map_err(sending)?
                }
                Some(headers) => self
                    .client
                    .publish_with_reply_and_headers(subject, reply, headers, body)
                    .await
                    .map_err(sending)?,
            }
            receiver.await.map_err(|_| Fail::Lost)
        };
        let answer = tokio::time::timeout(within, answer).await.unwrap_or(Err(Fail::Deadline));
        match answer {
            Ok(answer) if answer.status == Some(StatusCode::NO_RESPONDERS) => Err(Fail::Nobody),
            Ok(answer) => Ok(answer),
            Err(fail) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(fail)
            }
        }
    }

    /// Says something without asking for an answer.
    pub(crate) async fn say(&self, subject: String, body: Bytes) -> Result<(), Fail> {
        if !self.is_up() {
            return Err(Fail::Lost);
        }
        self.say_anyway(subject, body).await
    }

    /// Says it also while the connection is being put to use.
    pub(crate) async fn say_anyway(&self, subject: String, body: Bytes) -> Result<(), Fail> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let sent = tokio::time::timeout(self.left(), self.client.publish(subject, body)).await;
        sent.map_or(Err(Fail::Deadline), |it| it.map_err(sending))
    }

    /// Begins to hear a subject.
    pub(crate) async fn hear(&self, subject: String) -> Result<Subscriber, Fail> {
        let heard = tokio::time::timeout(self.left(), self.client.subscribe(subject)).await;
        heard.map_or(Err(Fail::Deadline), |it| it.map_err(|_| Fail::Lost))
    }

    /// Returns when the server has taken in all that was sent before: subscriptions, above all.
    pub(crate) async fn settle(&self) -> Result<(), Fail> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.asked().insert(number, sender);
        let _forget = Forget(self, number);
        let echo = async {
            self.client
                .publish(format!("{}.{number}", self.inbox), Bytes::new())
                .await
                .map_err(sending)?;
            receiver.await.map_err(|_| Fail::Lost)
        };
        tokio::time::timeout(self.left(), echo).await.unwrap_or(Err(Fail::Deadline)).map(drop)
    }
}

impl Drop for Line {
    /// The connection ends with the last who could hear by it.
    fn drop(&mut self) {
        if let Some(task) = self.answers.get() {
            task.abort();
        }
    }
}

/// Takes a request out of the list, however it ended.
struct Forget<'a>(&'a Line, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.asked().remove(&self.1);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn sending(error: PublishError) -> Fail {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Fail::TooBig,
        PublishErrorKind::InvalidSubject => Fail::Bad("a name makes no subject"),
        _ => Fail::Lost,
    }
}
