//! [`Kind`]: what a program is asked or told.

use taiwa_core::Question;

/// What a program is asked or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Asked who a client is, and whether it may come in.
    Connect,
    /// Asked whether a client whose rights end may stay.
    Refresh,
    /// Asked whether a client may hear a channel.
    Subscribe,
    /// Asked whether a client may publish, and what.
    Publish,
    /// Asked by a client for something.
    Call,
    /// Told what a client says to it alone.
    Tell,
    /// Told that a session is over.
    Disconnect,
    /// Told that a channel has its first subscriber.
    Occupied,
    /// Told that a channel has lost its last subscriber.
    Vacated,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Refresh,
        Self::Subscribe,
        Self::Publish,
        Self::Call,
        Self::Tell,
        Self::Disconnect,
        Self::Occupied,
        Self::Vacated,
    ];

    /// Returns its name in settings and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Call => "call",
            Self::Tell => "tell",
            Self::Disconnect => "disconnect",
            Self::Occupied => "occupied",
            Self::Vacated => "vacated",
        }
    }

    /// Returns the `type` of its CloudEvent.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Connect => "dev.taiwa.connect.v1",
            Self::Refresh => "dev.taiwa.refresh.v1",
            Self::Subscribe => "dev.taiwa.subscribe.v1",
            Self::Publish => "dev.taiwa.publish.v1",
            Self::Call => "dev.taiwa.call.v1",
            Self::Tell => "dev.taiwa.tell.v1",
            Self::Disconnect => "dev.taiwa.disconnect.v1",
            Self::Occupied => "dev.taiwa.occupied.v1",
            Self::Vacated => "dev.taiwa.vacated.v1",
        }
    }

    pub(crate) fn of(question: &Question) -> Option<Self> {
        Some(match question {
            Question::Connect { .. } => Self::Connect,
            Question::Refresh { .. } => Self::Refresh,
            Question::Subscribe { .. } => Self::Subscribe,
            Question::Publish { .. } => Self::Publish,
            Question::Call { .. } => Self::Call,
            Question::Tell { .. } => Self::Tell,
            Question::Disconnected { .. } => Self::Disconnect,
            Question::Occupied(_) => Self::Occupied,
            Question::Vacated(_) => Self::Vacated,
            _ => return None,
        })
    }

    /// Returns whether somebody waits for the answer.
    pub(super) fn is_question(self) -> bool {
        !matches!(self, Self::Tell | Self::Disconnect | Self::Occupied | Self::Vacated)
    }
}
