//! The words that all parts of the house share: no I/O, no clock, no runtime.
//!
//! A [`Dialect`] turns what one kind of client says into [`Command`]s, and what the hub says into [`Message`]s. An
//! [`App`] decides what the hub may do. Neither knows the other, a socket or a time that it was not given.

mod channel;
mod payload;
mod publication;
mod identity;
mod delivery;
mod command;
mod conversation;
mod dialect;
mod framing;
mod refusal;
mod app;
mod cluster;
#[cfg(feature = "scenes")]
pub mod scenes;

pub use app::{Admission, Answer, App, Asked, Authorization, Later, Question};
pub use channel::{CHANNEL_BYTES_MAX, Channel, Pattern, Syntax};
pub use cluster::{
    Accepted, Broker, Cluster, Ears, Entry, Heard, Keep, Log, Look, NodeId, NodeRegistry,
    PresenceStore, Present, SessionStore, State, Statement, Then,
};
pub use command::{
    Command, Connect, Connected, Filter, History, Page, Publish, Published, Recovered, Reply,
    Resume, Resumed, Subscribe, Subscribed, Target, Unsubscribed,
};
pub use conversation::{
    Action, Actions, CallId, Conversation, Event, Exchange, Input, Line, Link, Message, Polled,
    Request, Response, Token,
};
pub use delivery::{Delivery, Encoding, Messages, Said};
pub use dialect::{Addressee, Dialect, Door, Knock, Transport};
pub use framing::{Framing, Unframed};
pub use identity::{
    About, Certificate, Change, Client, Member, ResumeKey, Secret, SessionId, User,
};
pub use payload::{Arguments, Mixed, Payload};
pub use publication::{Position, Publication, Tags};
pub use refusal::{Disconnect, Refusal, RefusalKind};
