//! What subscriptions bring.

use std::time::Instant;

use bytes::Bytes;
use redis::PushKind;
use taiwa_core::{Channel, Heard, NodeId};

use crate::{
    ask::Gauge,
    dial::Pushed,
    keys::Keys,
    reply::Reply,
    said::{self, Broken},
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
    /// Takes what a server says without being asked.
    pub(crate) fn push(&mut self, pushed: Pushed) {
        let line = pushed.line;
        if !self.net.servers.iter().any(|it| it.has_line(line)) {
            // Of a connection that is not ours yet, or not any more.
            return;
        }
        if pushed.it.kind == PushKind::Disconnection {
            let why = std::io::ErrorKind::UnexpectedEof;
            return self.lose_server(line, &std::io::Error::from(why).into());
        }
        let Some(name) = pushed.it.data.first().and_then(Reply::text) else { return };
        match pushed.it.kind {
            PushKind::Message | PushKind::SMessage => {
                let Some(message) = pushed.it.data.get(1).and_then(Reply::body) else { return };
                if self.brought(name, &message).is_err() {
                    // Whoever may write to the server may also write nonsense.
                    let name = String::from_utf8_lossy(name);
                    tracing::debug!(%name, "redis brought something strange");
                }
            }
            PushKind::Subscribe | PushKind::SSubscribe => {
                let (lapsed, waited) = self.net.is_heard(name, line);
                self.missed |= lapsed;
                for item in
                    waited.map(|it| self.net.release(it, Instant::now())).into_iter().flatten()
                {
                    self.lose(item.what);
                }
            }
            PushKind::SUnsubscribe if self.net.is_unheard(name, line) => {
                // Its slot has moved.
                self.look_again();
            }
            _ => {}
        }
    }

    fn brought(&mut self, name: &[u8], message: &Bytes) -> Result<(), Broken> {
        let Some(place) = self.net.names.get_mut(name) else { return Ok(()) };
        if let Some(channel) = &place.channel {
            let (known, body) = said::message(message)?;
            place.known = known.or(place.known);
            let (channel, position) = (channel.clone(), known.map(|it| it.position));
            self.heard(Heard { channel, position, body, by_pattern: false });
        } else if name == self.fixed.letters {
            let (from, letter) = message.split_at_checked(16).ok_or(Broken)?;
            let from = node(from)?;
            Gauge::count(&self.shared.gauge.letters);
            let letter = message.slice_ref(letter);
            if let Some(ears) = &self.ears {
                ears.letter(from, letter);
            }
        } else if name == self.fixed.changes {
            let (what, of) = message.split_first().ok_or(Broken)?;
            let of = node(of)?;
            let change = match what {
                _ if of == self.shared.node => None,
                b'c' => self.peers.come(of, Instant::now()),
                b'g' => self.peers.go(of),
                _ => return Err(Broken),
            };
            self.changed(change);
        } else if name == self.fixed.patterns && self.patterns {
            let (channel, message) = said::uncounted(message)?;
            let channel = Channel::parse(channel).ok_or(Broken)?;
            let (known, body) = said::message(&message)?;
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
    std::str::from_utf8(text).ok().and_then(|it| it.parse().ok()).ok_or(Broken)
}
