//! Commands and replies: one form in memory for both encodings, in the words of the protocol's published schema.

use std::{num::NonZeroU32, sync::Arc};

use bytes::Bytes;

use taiwa_core::{Member, Payload, Position, Publication, SessionId};

mod reply;
mod payload;
mod json;
mod protobuf;

/// How a client writes and reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// Objects, one a line, in text messages; payloads are JSON values in them.
    Json,
    /// Messages of Protocol Buffers, each after its length, in binary messages; payloads are bytes.
    Protobuf,
}

/// How much one frame may hold. Passing a limit is a [`Fault`], which ends the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many commands; a client that subscribes to many channels at once sends one for each.
    pub(crate) commands_max: usize,
    /// How many channels of an earlier connection a connect command names.
    pub(crate) subs_max: usize,
    /// How many nodes a tag filter has.
    pub(crate) filter_nodes_max: usize,
}

/// Why a frame is not one. The client must go with code 3501.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It can't be read.
    Malformed,
    /// A command that wants a reply has no number.
    NoId,
    /// A command asks for nothing that we know.
    NoRequest,
    /// There is too much of this in it.
    Limit(&'static str),
}

/// One thing that a client says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Answers our ping.
    Pong,
    /// Something for the app, which nobody answers.
    Send(Payload),
    /// Something that wants a reply of the same number.
    Request(NonZeroU32, Request),
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Connect(ConnectRequest),
    Subscribe(Box<SubscribeRequest>),
    Unsubscribe {
        channel: String,
    },
    Publish {
        channel: String,
        data: Option<Payload>,
    },
    Presence {
        channel: String,
    },
    PresenceStats {
        channel: String,
    },
    History(HistoryRequest),
    Ping,
    Rpc {
        method: String,
        data: Payload,
    },
    Refresh {
        token: String,
    },
    SubRefresh {
        channel: String,
        token: String,
    },
    /// Something of the newest clients that we do not offer, such as subscriptions to maps.
    NotOffered,
}

/// The first command of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ConnectRequest {
    pub(crate) token: String,
    pub(crate) data: Option<Payload>,
    /// Where the client stands in the channels to which an earlier connection was subscribed by the server.
    pub(crate) subs: Vec<(String, StreamPosition)>,
    pub(crate) name: String,
    pub(crate) version: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SubscribeRequest {
    pub(crate) channel: String,
    pub(crate) token: String,
    pub(crate) data: Option<Payload>,
    /// Where to go on from.
    pub(crate) recover: Option<StreamPosition>,
    pub(crate) positioned: bool,
    pub(crate) recoverable: bool,
    pub(crate) join_leave: bool,
    /// Which kind of deltas the client can apply; `fossil` is the only one in use.
    pub(crate) delta: String,
    pub(crate) tf: Option<FilterNode>,
    pub(crate) flag: i64,
}

impl SubscribeRequest {
    /// Of [`flag`](Self::flag): a position that can't be recovered is answered by error 112.
    pub(crate) const REJECT_UNRECOVERED: i64 = 2;
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HistoryRequest {
    pub(crate) channel: String,
    /// How many publications: none for 0, all that there are below 0.
    pub(crate) limit: i32,
    pub(crate) since: Option<StreamPosition>,
    pub(crate) reverse: bool,
}

/// A position as clients hold it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct StreamPosition {
    pub(crate) offset: u64,
    pub(crate) epoch: String,
}

impl StreamPosition {
    /// Returns ours; `None` if the epoch is none that we ever write, so that it can't be the channel's.
    pub(crate) fn position(&self) -> Option<Position> {
        let epoch = u64::from_str_radix(&self.epoch, 16).ok()?;
        (epoch_text(epoch) == self.epoch).then_some(Position { epoch, offset: self.offset })
    }
}

/// Writes an epoch, as short as it goes without a table.
pub(crate) fn epoch_text(epoch: u64) -> String {
    format!("{epoch:x}")
}

/// One node of a filter on tags: a comparison where `op` is empty, otherwise `and`, `or`, `not` of its nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FilterNode {
    pub(crate) op: String,
    pub(crate) key: String,
    pub(crate) cmp: String,
    pub(crate) val: String,
    pub(crate) vals: Vec<String>,
    pub(crate) nodes: Vec<FilterNode>,
}

/// What a client that can only listen on its connection sends beside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EmulationRequest {
    pub(crate) session: String,
    /// One frame of commands.
    pub(crate) data: Bytes,
}

/// One thing that we say.
#[derive(Clone, Debug)]
pub(crate) enum Reply<'a> {
    /// Asks for a [`Command::Pong`].
    Ping,
    Error {
        id: NonZeroU32,
        error: Error<'a>,
    },
    Done {
        id: NonZeroU32,
        outcome: Outcome<'a>,
    },
    /// What nobody asked for, and the channel in which it happened, if in one.
    Push {
        channel: &'a str,
        push: Push<'a>,
    },
}

/// Why a [`Request`] is not met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Error<'a> {
    pub(crate) code: u32,
    pub(crate) message: &'a str,
    pub(crate) temporary: bool,
}

/// What became of a [`Request`].
#[derive(Clone, Debug)]
pub(crate) enum Outcome<'a> {
    Connect(ConnectResult<'a>),
    Subscribe(SubscribeResult<'a>),
    Unsubscribe,
    Publish,
    Presence(&'a [Arc<Member>]),
    PresenceStats { clients: usize, users: usize },
    History { publications: &'a [Arc<Publication>], position: Position },
    Ping,
    Rpc(&'a Payload),
    Refresh { client: SessionId, version: &'a str, ttl: Option<u32> },
    SubRefresh { ttl: Option<u32> },
}

#[derive(Clone, Debug)]
pub(crate) struct ConnectResult<'a> {
    pub(crate) client: SessionId,
    pub(crate) version: &'a str,
    /// After how many seconds the client must show a fresh token.
    pub(crate) ttl: Option<u32>,
    pub(crate) data: Option<&'a Payload>,
    pub(crate) subs: Vec<(&'a str, SubscribeResult<'a>)>,
    /// In seconds.
    pub(crate) ping: u32,
    /// What a client that can only listen puts into its [`EmulationRequest`]s.
    pub(crate) session: &'a str,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SubscribeResult<'a> {
    pub(crate) ttl: Option<u32>,
    pub(crate) recoverable: bool,
    pub(crate) positioned: bool,
    pub(crate) position: Option<Position>,
    pub(crate) publications: &'a [Arc<Publication>],
    pub(crate) recovered: bool,
    pub(crate) was_recovering: bool,
    pub(crate) data: Option<&'a Payload>,
    pub(crate) shape: Shape,
}

/// How the payloads of a subscription are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Shape {
    /// As they are.
    #[default]
    Plain,
    /// Fit for deltas: in JSON as strings of JSON texts.
    Delta,
}

/// What nobody asked for.
#[derive(Clone, Debug)]
pub(crate) enum Push<'a> {
    Publication(&'a Publication, Shape),
    /// To a subscription of many channels, so that the channel stands beside the payload.
    Matched(&'a Publication),
    /// The change from the publication before it. It must have one, and what it is a change of must be a text in JSON.
    Delta(&'a Publication, &'a [u8]),
    Join(&'a Member),
    Leave(&'a Member),
    Unsubscribe {
        code: u32,
        reason: &'a str,
    },
    Message(&'a Payload),
    Subscribe(SubscribeResult<'a>),
    Disconnect {
        code: u32,
        reason: &'a str,
        reconnect: bool,
    },
    Refresh {
        ttl: Option<u32>,
    },
}

impl Format {
    /// Reads all commands of one frame.
    ///
    /// # Errors
    ///
    /// A fault if one of them is none; then none of them counts.
    pub(crate) fn commands(self, frame: &Bytes, limits: &Limits) -> Result<Vec<Command>, Fault> {
        let commands = match self {
            Self::Json => json::commands(frame, limits),
            Self::Protobuf => protobuf::commands(frame, limits),
        }?;
        if commands.is_empty() { Err(Fault::Malformed) } else { Ok(commands) }
    }

    /// Reads the body of a request to the emulation endpoint.
    ///
    /// # Errors
    ///
    /// A fault if it is none.
    pub(crate) fn emulation(self, body: &Bytes) -> Result<EmulationRequest, Fault> {
        match self {
            Self::Json => json::emulation(body),
            Self::Protobuf => protobuf::emulation(body),
        }
    }

    /// Writes a reply: an object without the end of its line, or a message behind its length.
    pub(crate) fn write(self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write(reply, out),
            Self::Protobuf => protobuf::write(reply, out),
        }
    }
}

#[cfg(test)]
mod tests;
