//! What every room has words for, as a client says and hears it.

use serde_json::Value;
use taiwa_conformance::house::{House, Who};
use taiwa_core::Message;

/// What a client wants when it comes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    /// What it wants to hear.
    pub(crate) channel: &'a str,
    /// Who it says it is.
    pub(crate) token: Option<&'a str>,
    /// What it was told when it was here before, as [`Guest::past`] gives it.
    pub(crate) past: Option<&'a str>,
}

/// A client that has come, in one of the rooms.
pub(crate) trait Guest {
    /// Returns what it has heard in its channel since it was asked last, as JSON. Answers what the server asks meanwhile.
    fn hears(&mut self, house: &mut House) -> Vec<String>;
    /// Says something in its channel: JSON.
    fn says(&mut self, house: &mut House, json: &str);
    /// Hears its channel no longer, but stays.
    fn unsubscribes(&mut self, house: &mut House);
    /// Says what has no meaning.
    fn babbles(&mut self, house: &mut House);
    /// Goes without a word.
    fn vanishes(&mut self, house: &mut House);
    /// Returns what lets it go on where it is, another time.
    fn past(&self) -> Option<String>;
    /// Returns the last that it was told, if it was sent away.
    fn last_words(&mut self, house: &mut House) -> Option<String>;
    /// Reads nothing more of what it is sent.
    fn stalls(&mut self, house: &mut House);
}

/// A room, and how far its language reaches.
pub(crate) struct Room {
    /// What it is called in complaints.
    pub(crate) name: &'static str,
    /// Lets a client come.
    pub(crate) come: fn(&mut House, Wish) -> Box<dyn Guest>,
    /// Whether its clients can publish.
    pub(crate) publishes: bool,
    /// Whether they can leave a channel and stay.
    pub(crate) unsubscribes: bool,
    /// Whether they come back to where they were.
    pub(crate) resumes: bool,
    /// What a client is told that is refused, whose words have no meaning, that is too slow, that says nothing for ten minutes, and that the
    /// API sends away with the code 4123. `None` where it may stay.
    pub(crate) refused: Option<&'static str>,
    pub(crate) babbling: Option<&'static str>,
    pub(crate) slow: Option<&'static str>,
    pub(crate) silent: Option<&'static str>,
    pub(crate) closed: Option<&'static str>,
}

/// Returns what a message says.
pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.as_bytes()).into_owned()
}

/// Returns what a value is, as JSON, if it is there.
pub(crate) fn json(value: Option<&Value>) -> Option<String> {
    value.map(Value::to_string)
}

/// Returns the close code of a WebSocket that the server closed.
pub(crate) fn close_code(house: &House, who: Who) -> Option<String> {
    house.end(who).map(|it| it.code.to_string())
}
