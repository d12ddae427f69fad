//! One node of a world.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use taiwa_core::{
    Accepted, Broker, Channel, Ears, Entry, Heard, Keep, Log, Look, NodeId, NodeRegistry, Page,
    PresenceStore, Refusal, RefusalKind, SessionId, SessionStore, Statement, Then,
};

use crate::{
    World,
    world::{Job, Things},
};

/// The longest letter, in bytes.
const LETTER_BYTES_MAX: usize = 512 * 1024;

/// One node of a [`World`]: all four of the traits by which nodes meet.
pub struct Memory {
    world: Arc<World>,
    node: NodeId,
}

impl Memory {
    pub(crate) fn new(world: Arc<World>, node: NodeId) -> Self {
        Self { world, node }
    }

    /// Does something in the world unless the node is cut off or gone, and tells what came of it.
    fn ask<T: Send + 'static>(
        &self,
        then: Then<T>,
        act: impl FnOnce(&mut Things) -> Result<T, Refusal>,
    ) {
        let mut things = self.world.lock();
        let up = things.nodes.get(&self.node).map(|it| !it.cut);
        let result = match up {
            Some(true) => act(&mut things),
            _ => Err(Refusal::new(RefusalKind::Unavailable, "the broker can't be reached")),
        };
        let Some(place) = things.nodes.get_mut(&self.node) else {
            drop(things);
            return then(result);
        };
        place.requests += 1;
        place.refused += u64::from(result.is_err());
        place.tell(Job::Then(Box::new(move || then(result))));
        drop(things);
        self.world.tell();
    }
}

impl Broker for Memory {
    fn publish(&self, statement: Statement, then: Then<Accepted>) {
        self.ask(then, |things| {
            let Statement { channel, body, keep, id, to_patterns } = statement;
            let now = things.now();
            let epoch = things.random();
            let past = things.pasts.entry(channel.clone()).or_default();
            if let Some(repeated) = id.as_ref().and_then(|(id, _)| past.repeated(id, now)) {
                return Ok(repeated);
            }
            let position = (keep.size > 0).then(|| past.say(body.clone(), keep, now, || epoch));
            let accepted = Accepted { position, ..Default::default() };
            if let Some((id, window)) = id {
                past.remember(id, now + window, accepted);
            }
            let heard = Heard { channel, position, body, by_pattern: false };
            Ok(Accepted { nodes: Some(things.bring(&heard, to_patterns)), ..accepted })
        });
    }

    fn subscribe(&self, channel: &Channel, keep: Keep, limit: usize, then: Then<Log>) {
        self.ask(then, |things| {
            if let Some(place) = things.nodes.get_mut(&self.node) {
                place.subscribed.insert(channel.clone());
            }
            if keep.size == 0 {
                return Ok(Log::default());
            }
            let (now, epoch) = (things.now(), things.random());
            let past = things.pasts.entry(channel.clone()).or_default();
            Ok(past.newest(keep, limit, now, || epoch))
        });
    }

    fn unsubscribe(&self, channel: &Channel) {
        if let Some(place) = self.world.lock().nodes.get_mut(&self.node) {
            place.subscribed.remove(channel);
        }
    }

    fn read(&self, channel: &Channel, keep: Keep, page: Page, then: Then<Log>) {
        self.ask(then, |things| {
            if keep.size == 0 {
                return Ok(Log::default());
            }
            let (now, epoch) = (things.now(), things.random());
            let past = things.pasts.entry(channel.clone()).or_default();
            Ok(past.read(keep, page, now, || epoch))
        });
    }

    fn forget(&self, channel: &Channel, _keep: Keep, then: Then<()>) {
        self.ask(then, |things| {
            if let Some(past) = things.pasts.get_mut(channel) {
                past.forget();
            }
            Ok(())
        });
    }

    fn hear_patterns(&self, wanted: bool, then: Then<()>) {
        self.ask(then, |things| {
            if let Some(place) = things.nodes.get_mut(&self.node) {
                place.patterns = wanted;
            }
            Ok(())
        });
    }
}

impl PresenceStore for Memory {
    fn come(&self, channel: &Channel, entry: Entry, then: Then<bool>) {
        self.ask(then, |things| {
            let members = things.members.entry(channel.clone()).or_default();
            Ok(members.come(self.node, entry))
        });
    }

    fn go(&self, channel: &Channel, entry: Entry, then: Then<bool>) {
        self.ask(then, |things| {
            let members = things.members.get_mut(channel);
            Ok(members.is_some_and(|it| it.go(self.node, &entry)))
        });
    }

    fn who(&self, channel: &Channel, limit: usize, then: Then<Vec<(NodeId, Entry)>>) {
        self.ask(then, |things| {
            Ok(things.members.get(channel).map_or_else(Vec::new, |it| it.list(limit)))
        });
    }

    fn counts(&self, channel: &Channel, then: Then<(usize, usize)>) {
        self.ask(then, |things| Ok(things.members.get(channel).map_or((0, 0), |it| it.counts())));
    }
}

impl SessionStore for Memory {
    fn save(&self, session: SessionId, body: Bytes, ttl: Duration, then: Then<()>) {
        self.ask(then, |things| {
            let now = things.now();
            things.sessions.retain(|_, (until, _)| *until > now);
            things.sessions.insert(session, (now + ttl, body));
            Ok(())
        });
    }

    fn take(&self, session: SessionId, then: Then<Option<Bytes>>) {
        self.ask(then, |things| {
            let now = things.now();
            let kept = things.sessions.remove(&session).filter(|(until, _)| *until > now);
            Ok(kept.map(|(_, body)| body))
        });
    }

    fn drop_session(&self, session: SessionId) {
        self.take(session, Box::new(|_| {}));
    }
}

impl NodeRegistry for Memory {
    fn node(&self) -> NodeId {
        self.node
    }

    fn secret(&self) -> [u8; 32] {
        self.world.lock().secret
    }

    fn begin(&self, ears: Arc<dyn Ears>) {
        self.world.lock().begin(self.node, ears);
        self.world.tell();
    }

    fn nodes(&self) -> Vec<NodeId> {
        let things = self.world.lock();
        things.nodes.get(&self.node).map_or_else(Vec::new, |it| it.known.iter().copied().collect())
    }

    fn send(&self, to: NodeId, letter: Bytes, then: Then<()>) {
        self.ask(then, |things| {
            if letter.len() > LETTER_BYTES_MAX {
                return Err(Refusal::new(RefusalKind::Limit, "the letter is too long"));
            }
            let known = things.nodes.get(&self.node).is_some_and(|it| it.known.contains(&to));
            let Some(place) = things.nodes.get_mut(&to).filter(|_| known) else {
                return Err(Refusal::new(RefusalKind::NotFound, "the node is gone"));
            };
            if !place.cut {
                place.tell(Job::Letter(self.node, letter));
            }
            Ok(())
        });
    }

    fn look(&self) -> Look {
        self.world.lock().look(self.node)
    }

    fn leave(&self, then: Then<()>) {
        let answers = self.world.lock().remove(self.node);
        answers.into_iter().for_each(|answer| answer());
        then(Ok(()));
        self.world.tell();
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("node", &self.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
