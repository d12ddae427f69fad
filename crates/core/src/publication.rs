//! What travels through a channel.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Channel, Member, Payload};

/// A place in a channel's history: without the epoch an offset means nothing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Position {
    /// Which life of the history this is, random at its birth and never 0: another epoch means that everything before is lost.
    pub epoch: u64,
    /// How many publications the epoch had up to and with this one; 0 is before the first. Below 2^53, so that a
    /// number of JavaScript holds it.
    pub offset: u64,
}

/// One thing said to everyone in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Where it was said.
    pub channel: Channel,
    /// The name that the publisher gave it, for dialects in which publications have one.
    pub event: Option<Arc<str>>,
    /// What was said.
    pub payload: Payload,
    /// Where it lies in the channel's history, if the channel has positions.
    pub position: Option<Position>,
    /// The change of the payload's bytes from the publication before it, as a Fossil delta, if the channel makes them and
    /// both payloads are of one kind.
    pub delta: Option<Bytes>,
    /// What it is about: where only the latest of a key is kept, it replaces an older one of the same key.
    pub key: Option<Arc<str>>,
    /// Short facts about it by which subscribers can choose.
    pub tags: Tags,
    /// Who said it; `None` for the server itself and for clients that stay unnamed.
    pub publisher: Option<Arc<Member>>,
    /// When it was said, in milliseconds of Unix time.
    pub at: u64,
    /// Only for who can take it at once: whoever has no line for the moment, or something waiting on it, goes without.
    pub volatile: bool,
    /// The payload is a list of arguments: a JSON array, or JSON with attachments that is one, whose elements the publisher said side by side.
    pub is_list: bool,
}

impl Publication {
    /// Returns how many bytes it takes in a history or a queue, its own overhead included.
    pub fn weight(&self) -> usize {
        let tags: usize = self.tags.0.iter().map(|(key, value)| key.len() + value.len() + 32).sum();
        size_of::<Self>()
            + self.payload.len()
            + self.event.as_ref().map_or(0, |it| it.len())
            + self.delta.as_ref().map_or(0, Bytes::len)
            + self.key.as_ref().map_or(0, |it| it.len())
            + tags
    }
}

/// Short facts about a publication, sorted by key, each key once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tags(Arc<[(Box<str>, Box<str>)]>);

impl Tags {
    /// Sorts them; of equal keys the last counts.
    pub fn new(tags: impl IntoIterator<Item = (String, String)>) -> Self {
        let sorted = tags.into_iter().collect::<std::collections::BTreeMap<_, _>>();
        if sorted.is_empty() {
            return Self::default();
        }
        Self(sorted.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(it, _)| (**it).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Goes through them in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_by_key_and_the_last_of_equals_counts() {
        let tags =
            Tags::new([("b", "1"), ("a", "2"), ("b", "3")].map(|(k, v)| (k.into(), v.into())));
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!((tags.get("b"), tags.get("c")), (Some("3"), None));
        assert!(Tags::default().is_empty() && Tags::new([]).is_empty());
    }
}
