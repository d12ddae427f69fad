//! Streams of JetStream: made on first use, written only if nobody else was faster, read by number or by subject.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::line::{Fail, Line};

/// "stream name already in use with a different configuration": it has another life than the one we tried to begin.
const NAME_IN_USE: u64 = 10_058;
/// "wrong last sequence".
const WRONG_LAST: u64 = 10_071;
/// "no message found".
const NO_MESSAGE: u64 = 10_057;
const NOT_FOUND: u64 = 10_059;

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// What a stream is for. Each is one stream, of which all nodes know the name.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Kind {
    /// Parcels of channels, of such an age.
    History { age: Duration },
    /// Claims, of such an age.
    Claims { age: Duration },
    /// On which nodes users are.
    Users,
    /// Sessions whose node may die.
    Sessions { age: Duration },
    /// What all nodes know.
    Cluster,
}

/// How long the nodes of a user are kept without being written again.
pub(crate) const USERS_AGE: Duration = Duration::from_hours(1);

/// One stream in one of its lives.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Stream {
    pub(crate) kind: Kind,
    name: String,
    /// Begins its subjects, with a number drawn when it was made. A stream that was lost and made anew counts its messages from
    /// one again; by this number nobody takes one of them for one of before.
    pub(crate) root: String,
    /// Whether this node made it.
    pub(crate) made: bool,
    /// How many messages of a subject it keeps, as far as this node knows.
    pub(crate) size: u64,
}

/// A message as it is kept.
pub(crate) struct Kept {
    pub(crate) seq: u64,
    pub(crate) body: Bytes,
}

/// Which message.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    /// The last one of a subject.
    Last(&'a str),
    /// The one with this number.
    Seq(u64),
}

/// All streams that this node knows.
pub(crate) struct Streams {
    line: Arc<Line>,
    prefix: String,
    files: bool,
    streams_max: usize,
    open: Mutex<HashMap<Kind, Arc<Stream>>>,
}

impl Streams {
    pub(crate) fn new(line: Arc<Line>, prefix: String, files: bool, streams_max: usize) -> Self {
        Self { line, prefix, files, streams_max, open: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Kind, Arc<Stream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows none any more: they are looked for, or made, when they are needed.
    pub(crate) fn forget_all(&self) -> HashMap<Kind, Arc<Stream>> {
        std::mem::take(&mut *self.known())
    }

    /// Whether a stream lives another life than it did before.
    pub(crate) fn is_another(&self, kind: Kind, before: &HashMap<Kind, Arc<Stream>>) -> bool {
        let now = self.known().get(&kind).cloned();
        matches!((now, before.get(&kind)), (Some(now), Some(before)) if now.root != before.root)
    }

    /// Does not know this life of it any more.
    pub(crate) fn forget(&self, stream: &Stream) {
        let mut known = self.known();
        if known.get(&stream.kind).is_some_and(|it| **it == *stream) {
            known.remove(&stream.kind);
        }
    }

    /// Returns the stream, which is made if there is none.
    pub(crate) async fn open(&self, kind: Kind) -> Result<Arc<Stream>, Fail> {
        self.open_for(kind, 1).await
    }

    /// Returns it, or makes one that keeps so many messages of each subject.
    pub(crate) async fn open_for(&self, kind: Kind, size: u64) -> Result<Arc<Stream>, Fail> {
        {
            let known = self.known();
            if let Some(stream) = known.get(&kind) {
                return Ok(stream.clone());
            }
            let several = matches!(kind, Kind::History { .. } | Kind::Claims { .. });
            if several && known.len() >= self.streams_max {
                return Err(Fail::Limit(
                    "more kinds of retention than the broker may have streams",
                ));
            }
        }
        let stream = Arc::new(self.make(kind, size).await?);
        Ok(self.known().entry(kind).or_insert(stream).clone())
    }

    async fn make(&self, kind: Kind, size: u64) -> Result<Stream, Fail> {
        let class = class(kind);
        let name = format!("{}-{}", self.prefix, class);
        let born = format!("{}.{}.{:016x}", self.prefix, class, crate::random());
        let config = self.config(kind, size, &name, &born);
        let answer = self.api("STREAM.CREATE", &name, &config).await?;
        let (root, size, made) = match error_code(&answer) {
            None => (born, size, true),
            Some(NAME_IN_USE) => {
                let answer = self.api("STREAM.INFO", &name, &Value::Null).await?;
                let config = &answer["config"];
                let subject = config["subjects"][0].as_str();
                let root = subject.and_then(|it| it.strip_suffix(".>"));
                let Some(root) = root.filter(|it| it.starts_with(&born[..born.len() - 16])) else {
                    return Err(Fail::Server(format!("the stream {name} is not ours")));
                };
                (root.to_owned(), config["max_msgs_per_subject"].as_u64().unwrap_or(0), false)
            }
            Some(_) => return Err(refused(&answer)),
        };
        Ok(Stream { kind, name, root: root + ".", made, size })
    }

    fn config(&self, kind: Kind, size: u64, name: &str, root: &str) -> Value {
        let (per_subject, age) = match kind {
            Kind::History { age } => (size, age),
            Kind::Claims { age } => (1, age),
            Kind::Users => (1, USERS_AGE),
            Kind::Sessions { age } => (1, age),
            Kind::Cluster => (1, Duration::ZERO),
        };
        let files = self.files && kind != Kind::Users;
        let nanoseconds = |it: Duration| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX >> 1);
        // Of a shorter time the server says no; we look at the age of what we read, too.
        let age = if age.is_zero() { 0 } else { nanoseconds(age).max(100_000_000) };
        let mut config = json!({
            "name": name,
            "subjects": [format!("{root}.>")],
            "retention": "limits",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_msgs_per_subject": per_subject,
            "max_age": age,
            "discard": "old",
            "storage": if files { "file" } else { "memory" },
            "num_replicas": 1,
            // We send no identifiers of messages.
            "duplicate_window": 100_000_000,
            "allow_direct": true,
        });
        if matches!(kind, Kind::History { .. }) {
            config["republish"] = json!({"src": format!("{root}.*"), "dest": format!("{}.l.{{{{wildcard(1)}}}}", self.prefix)});
        }
        config
    }

    /// Writes a message; with a number, only if the last one of the subject has it, where 0 is none. Returns its own.
    ///
    /// [`Fail::Nobody`] means that the stream is no more; it is forgotten then.
    pub(crate) async fn put(
        &self,
        stream: &Stream,
        subject: &str,
        expected: Option<u64>,
        body: Bytes,
    ) -> Result<u64, Fail> {
        let headers = expected.map(|it| {
            let mut headers = HeaderMap::new();
            headers.insert(EXPECTED, it.to_string());
            headers
        });
        let answer = self.line.request(subject.to_owned(), headers, body).await;
        let answer = parse(&self.or_forget(stream, answer)?)?;
        match (error_code(&answer), answer["seq"].as_u64()) {
            (None, Some(seq)) => Ok(seq),
            (Some(WRONG_LAST), _) => Err(Fail::Conflict),
            _ => Err(refused(&answer)),
        }
    }

    /// Reads a message.
    pub(crate) async fn get(
        &self,
        stream: &Stream,
        which: Which<'_>,
    ) -> Result<Option<Kept>, Fail> {
        let (body, seq) = match which {
            Which::Last(subject) => (json!({"last_by_subj": subject}), None),
            Which::Seq(seq) => (json!({"seq": seq}), Some(seq)),
        };
        let subject = format!("$JS.API.DIRECT.GET.{}", stream.name);
        let answer = self.line.request(subject, None, body.to_string().into()).await;
        let answer = self.or_forget(stream, answer)?;
        if answer.status == Some(StatusCode::NOT_FOUND) {
            return Ok(None);
        }
        if let Some(status) = answer.status {
            return Err(Fail::Server(format!("{status}")));
        }
        let seq =
            seq.or_else(|| sequence(&answer)).ok_or_else(|| Fail::Server("no number".into()))?;
        Ok(Some(Kept { seq, body: answer.payload }))
    }

    /// Lets the stream keep so many messages of each subject, if it keeps fewer.
    pub(crate) async fn widen(&self, stream: &Stream, size: u64) -> Result<(), Fail> {
        // Another node may have done more meanwhile.
        let answer = self.api("STREAM.INFO", &stream.name, &Value::Null).await?;
        if error_code(&answer).is_none()
            && answer["config"]["max_msgs_per_subject"].as_u64() < Some(size)
        {
            let mut config = answer["config"].clone();
            config["max_msgs_per_subject"] = size.into();
            let answer = self.api("STREAM.UPDATE", &stream.name, &config).await?;
            if error_code(&answer).is_some() {
                return Err(refused(&answer));
            }
        }
        self.forget(stream);
        Ok(())
    }

    /// Deletes just this message; tells whether it was there.
    pub(crate) async fn delete(&self, stream: &Stream, seq: u64) -> Result<bool, Fail> {
        let answer = self
            .api("STREAM.MSG.DELETE", &stream.name, &json!({"seq": seq, "no_erase": true}))
            .await?;
        match error_code(&answer) {
            None => Ok(true),
            Some(NO_MESSAGE | NOT_FOUND) => Ok(false),
            Some(_) => Err(refused(&answer)),
        }
    }

    /// Drops all messages of a subject but the last ones.
    pub(crate) async fn purge(
        &self,
        stream: &Stream,
        subject: &str,
        keep: u64,
    ) -> Result<(), Fail> {
        let answer = self
            .api("STREAM.PURGE", &stream.name, &json!({"filter": subject, "keep": keep}))
            .await?;
        if error_code(&answer).is_some() { Err(refused(&answer)) } else { Ok(()) }
    }

    async fn api(&self, verb: &str, name: &str, body: &Value) -> Result<Value, Fail> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        parse(&self.line.request(format!("$JS.API.{verb}.{name}"), None, body).await?)
    }

    /// JetStream does not answer for a stream that it does not have, or says that nobody listens.
    fn or_forget(&self, stream: &Stream, answer: Result<Message, Fail>) -> Result<Message, Fail> {
        if matches!(answer, Err(Fail::Nobody | Fail::Deadline)) {
            self.forget(stream);
        }
        answer
    }
}

/// The number of a message that JetStream hands out.
pub(crate) fn sequence(message: &Message) -> Option<u64> {
    message.headers.as_ref()?.get("Nats-Sequence")?.as_str().parse().ok()
}

/// What stands in names and subjects for a kind.
fn class(kind: Kind) -> String {
    match kind {
        Kind::History { age } => format!("h-{}", age.as_millis()),
        Kind::Claims { age } => format!("i-{}", age.as_millis()),
        Kind::Users => "u".into(),
        Kind::Sessions { .. } => "s".into(),
        Kind::Cluster => "c".into(),
    }
}

fn parse(answer: &Message) -> Result<Value, Fail> {
    serde_json::from_slice(&answer.payload).map_err(|_| Fail::Server("no JSON".into()))
}

fn error_code(answer: &Value) -> Option<u64> {
    let error = answer.get("error")?;
    Some(error["err_code"].as_u64().unwrap_or(0))
}

fn refused(answer: &Value) -> Fail {
    Fail::Server(
        answer["error"]["description"].as_str().unwrap_or("an answer without sense").to_owned(),
    )
}
