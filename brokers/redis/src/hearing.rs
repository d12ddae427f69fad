//! What subscriptions bring.

use std::time::Instant;

use bytes::Bytes;
use taiwa_core::{Channel, Heard, NodeId};

use crate::{
    ask::Gauge,
    keys::Keys,
    wire::{self, Broken, Value},
    work::Work,
};

/// The names in Redis of what every node hears.
pub(crate) struct Names {
    pub(crate) changes: Vec<u8>,
    pub(crate) letters: Vec<u8>,
    pub(crate) patterns: Vec<u8>,
}

impl Names {
    pub(crate) fn new(keys: &Keys, node: NodeId) -> Self {
        let (changes, letters) = (keys.changes().into(), keys.letters(node).into());
        Self { changes, letters, patterns: keys.patterns().into() }
    }
}

impl Work {
    /// Takes what the server says without being asked.
    pub(crate) fn hear(&mut self, push: &[Value]) {
        let [kind, Value::Text(name), Value::Text(message)] = push else { return };
        if kind.text() != Some(b"message") {
            return;
        }
        if self.brought(name, message).is_err() {
            // Whoever may write to the server may also write nonsense.
            tracing::debug!(name = %String::from_utf8_lossy(name), "redis brought something strange");
        }
    }

    fn brought(&mut self, name: &[u8], message: &Bytes) -> Result<(), Broken> {
        if let Some(place) = self.subscribed.get_mut(name) {
            let (known, body) = wire::message(message)?;
            place.known = known.or(place.known);
            let (channel, position) = (place.channel.clone(), known.map(|it| it.position));
            self.heard(Heard { channel, position, body, by_pattern: false });
        } else if name == self.names.letters {
            let (from, letter) = message.split_at_checked(16).ok_or(Broken::Syntax)?;
            let from = node(from)?;
            Gauge::count(&self.shared.gauge.letters);
            let letter = wire::kept(&message.slice_ref(letter));
            if let Some(ears) = &self.ears {
                ears.letter(from, letter);
            }
        } else if name == self.names.changes {
            let (what, of) = message.split_first().ok_or(Broken::Syntax)?;
            let of = node(of)?;
            let change = match what {
                _ if of == self.shared.node => None,
                b'c' => self.peers.come(of, Instant::now()),
                b'g' => self.peers.go(of),
                _ => return Err(Broken::Syntax),
            };
            self.changed(change);
        } else if name == self.names.patterns && self.patterns {
            let (channel, message) = wire::uncounted(message)?;
            let channel = Channel::parse(channel).ok_or(Broken::Syntax)?;
            let (known, body) = wire::message(&message)?;
            let position = known.map(|it| it.position);
            self.heard(Heard { channel, position, body, by_pattern: true });
        }
        Ok(())
    }

    fn heard(&self, heard: Heard) {
        Gauge::count(&self.shared.gauge.heard);
        if let Some(ears) = &self.ears {
            ears.heard(heard);
        }
    }
}

fn node(text: &[u8]) -> Result<NodeId, Broken> {
    std::str::from_utf8(text).ok().and_then(|it| it.parse().ok()).ok_or(Broken::Syntax)
}
