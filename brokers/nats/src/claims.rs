//! Statements with an identifier: who says one claims it first.

use std::time::{Duration, Instant};

use bytes::Bytes;
use taiwa_core::{Accepted, Channel, Position, Statement};

use crate::{
    Inner,
    history::What,
    line::Fail,
    random, since_1970,
    streams::{Kind, Stream, Which},
    subject::escape,
    wire::{Claim, Part, Stage},
};

/// The longest identifier as a token of a subject, in bytes.
const ID_BYTES_MAX: usize = 512;

/// What comes of the attempt to claim.
enum Turn {
    /// It is ours, under this number. `taken_over` if somebody had claimed it who did not come to an end.
    Ours { seq: u64, taken_over: bool },
    /// It was said.
    Said(Option<Position>),
}

impl Inner {
    /// Says a statement with an identifier, unless it was said.
    pub(crate) async fn say_once(
        &self,
        statement: &Statement,
        part: Part,
    ) -> Result<Accepted, Fail> {
        let (id, window) = statement.id.as_ref().expect("the caller has looked that there is one");
        let stream = self.streams.open(Kind::Claims { age: *window }).await?;
        let mut subject = stream.root.clone();
        escape(statement.channel.as_str(), &mut subject);
        subject.push('.');
        let length = subject.len();
        escape(id, &mut subject);
        if !(1..=ID_BYTES_MAX).contains(&(subject.len() - length)) {
            return Err(Fail::Bad(
                "the identifier of the publication is empty, or too long for the broker",
            ));
        }
        let (seq, taken_over) = match self.claim(&stream, &subject, *window).await? {
            Turn::Said(position) => return Ok(Accepted { position, repeated: true, nodes: None }),
            Turn::Ours { seq, taken_over } => (seq, taken_over),
        };
        let told = if taken_over {
            self.find(&statement.channel, statement, &part.id).await
        } else {
            Ok(None)
        };
        let done = match told {
            Ok(Some(position)) => {
                Ok(Accepted { position: Some(position), repeated: true, nodes: None })
            }
            Ok(None) => self
                .say_parts(&statement.channel, statement.keep, vec![part])
                .await
                .map(|first| Accepted { position: first, repeated: false, nodes: None }),
            Err(fail) => Err(fail),
        };
        let (stage, position) = match &done {
            Ok(accepted) => (Stage::Said, accepted.position),
            Err(fail) if fail.is_certain() => (Stage::Free, None),
            // It may have been said: whoever tries again looks into the history.
            Err(_) => return done,
        };
        // If this comes to nothing the claim is taken over, later, by somebody who finds the statement in the history.
        let _ =
            self.streams.put(&stream, &subject, Some(seq), self.claim_of(stage, position)).await;
        done
    }

    async fn claim(&self, stream: &Stream, subject: &str, window: Duration) -> Result<Turn, Fail> {
        let until = Instant::now() + self.line.left();
        let (mut expected, mut taken_over) = (0, false);
        while Instant::now() < until {
            let ours = self.claim_of(Stage::Saying, None);
            match self.streams.put(stream, subject, Some(expected), ours).await {
                Ok(seq) => return Ok(Turn::Ours { seq, taken_over }),
                Err(Fail::Conflict) => {}
                Err(fail) => return Err(fail),
            }
            (expected, taken_over) = (0, false);
            let Some(kept) = self.streams.get(stream, Which::Last(subject)).await? else {
                continue;
            };
            let claim = Claim::decode(&kept.body)
                .ok_or_else(|| Fail::Server("a claim that is not ours".into()))?;
            let age = Duration::from_millis(since_1970().saturating_sub(claim.at));
            match claim.stage {
                Stage::Said if age < window => return Ok(Turn::Said(claim.position)),
                Stage::Said | Stage::Free => expected = kept.seq,
                // Statements of one channel go out one after the other: it is none of ours that goes on.
                Stage::Saying if claim.node == self.node || self.is_over(&claim, age) => {
                    (expected, taken_over) = (kept.seq, true);
                }
                Stage::Saying => tokio::time::sleep(Duration::from_millis(2 + random() % 20)).await,
            }
        }
        Err(Fail::Deadline)
    }

    /// Whether who claimed it can't say it any more.
    fn is_over(&self, claim: &Claim, age: Duration) -> bool {
        age > self.settings.deadline * 2 || self.is_gone(claim.node)
    }

    fn claim_of(&self, stage: Stage, position: Option<Position>) -> Bytes {
        Claim { stage, node: self.node, at: since_1970(), position }.encode()
    }

    /// Looks for a statement in the history.
    async fn find(
        &self,
        channel: &Channel,
        statement: &Statement,
        id: &Bytes,
    ) -> Result<Option<Position>, Fail> {
        if statement.keep.size == 0 {
            return Ok(None);
        }
        let (position, entries) = self.collect(channel, statement.keep, |_| 1).await?;
        let found = entries.iter().rev().find(|it| it.1.id == *id);
        Ok(found.map(|it| Position { epoch: position.epoch, offset: it.0 }))
    }

    /// Says statements of one channel together. Returns the position of the first, if the channel has positions.
    pub(crate) async fn say_parts(
        &self,
        channel: &Channel,
        keep: taiwa_core::Keep,
        parts: Vec<Part>,
    ) -> Result<Option<Position>, Fail> {
        if keep.size == 0 {
            self.say_live(channel, parts).await?;
            return Ok(None);
        }
        let count = parts.len() as u64;
        let known = self.write(channel, keep, &What::Say(parts)).await?;
        Ok(Some(Position { epoch: known.epoch, offset: known.next - count }))
    }
}
