//! The user's program, which decides.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Channel, Client, Connect, Disconnect, Payload, Publish, Refusal, Secret, User};

/// Decides who may connect, subscribe and publish, and answers calls: built-in rules, Rust closures, HTTP webhooks.
///
/// Asked from a shard, which never waits: what can't be said at once is said later.
pub trait App: Send + Sync {
    /// Answers a question, or says that the answer will come. Exactly the [`Answer`] of the question's kind, or a
    /// refusal, is expected; anything else is [`RefusalKind::Unavailable`](crate::RefusalKind::Unavailable).
    fn ask(&self, question: Question) -> Asked;
}

/// An answer that will come. It has a deadline: the asker waits no longer than its settings say.
pub type Later = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send>>;

/// What comes of a question.
pub enum Asked {
    /// The answer.
    Now(Result<Answer, Refusal>),
    /// It will come; driven outside the shard.
    Later(Later),
}

/// What the hub wants to know of the app. `who` is the session; its user is known except in the first one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Question {
    /// May this client come in, and who is it? Answered with [`Answer::Admission`].
    Connect {
        /// The session, without user.
        who: Arc<Client>,
        /// What the client says.
        connect: Box<Connect>,
    },
    /// Its rights end: may it stay? Answered with [`Answer::Admission`] of the same user.
    Refresh {
        /// The session.
        who: Arc<Client>,
        /// The client's fresh token; without one the server asks by itself.
        token: Option<Secret>,
    },
    /// May it hear this channel? Answered with [`Answer::Authorization`].
    Subscribe {
        /// The session.
        who: Arc<Client>,
        /// Which channel.
        channel: Channel,
        /// The client's token for the channel.
        token: Option<Secret>,
        /// What the client says about it.
        data: Option<Payload>,
    },
    /// May it say this? Answered with [`Answer::Publish`], which may be changed.
    Publish {
        /// The session.
        who: Arc<Client>,
        /// What it wants to say.
        publish: Box<Publish>,
    },
    /// Answered with [`Answer::Payload`].
    Call {
        /// The session.
        who: Arc<Client>,
        /// What is called.
        method: Arc<str>,
        /// With what.
        payload: Payload,
    },
    /// Something said to the app alone. Answered with [`Answer::Noted`].
    Tell {
        /// The session.
        who: Arc<Client>,
        /// What.
        payload: Payload,
    },
    /// A session is over. Answered with [`Answer::Noted`].
    Disconnected {
        /// The session.
        who: Arc<Client>,
        /// Why, if the hub sent it away.
        why: Option<Disconnect>,
    },
    /// A channel has its first subscriber. Answered with [`Answer::Noted`].
    Occupied(Channel),
    /// A channel has no subscriber any more. Answered with [`Answer::Noted`].
    Vacated(Channel),
}

/// The app's answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The client comes in.
    Admission(Box<Admission>),
    /// The subscription is allowed.
    Authorization(Box<Authorization>),
    /// This is what is to be published.
    Publish(Box<Publish>),
    /// The answer to a call.
    Payload(Payload),
    /// The app has heard it.
    Noted,
    /// Instead of any other answer: the session must end. Where no session asked it is as good as [`Answer::Noted`].
    Disconnect(Disconnect),
}

/// How a client comes in.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Whose it is; `None` for the anonymous.
    pub user: Option<User>,
    /// What others see of the connection in presence, a JSON text.
    pub info: Option<Bytes>,
    /// What the client is told.
    pub data: Option<Payload>,
    /// Channels that the server subscribes it to.
    pub channels: Vec<(Channel, Authorization)>,
    /// After which time its rights end unless they are refreshed.
    pub expires: Option<Duration>,
    /// Whether the client refreshes by a fresh token; otherwise the server asks the app again.
    pub client_refreshes: bool,
    /// What the app remembers about the session and is told with each question, a JSON text; no client sees it.
    pub meta: Option<Bytes>,
}

/// How a client may hear a channel.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    /// What others see of the subscription in presence, a JSON text.
    pub info: Option<Bytes>,
    /// What the client is told.
    pub data: Option<Payload>,
    /// After which time the right ends unless it is refreshed.
    pub expires: Option<Duration>,
    /// Whether a token of the client must refresh it; otherwise the server asks the app again.
    pub client_refreshes: bool,
    /// Overrides the namespace's rule on coming and going, for this subscription.
    pub join_leave: Option<bool>,
}
