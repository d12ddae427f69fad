//! Publications, written once for all clients of a kind, and everything else that goes to one client.

use taiwa_core::{Encoding, Messages, Publication, Said};

use crate::wire::{Args, Reply, Revision, quoted};

/// How packets are written for a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outlet {
    /// As text with attachments behind it.
    Text(Revision),
    /// As one map of MessagePack.
    Msgpack,
}

static TEXT: Encoding =
    Encoding { name: "socketio", encode: |said| encode(Outlet::Text(Revision::V4), said) };
static TEXT_V3: Encoding =
    Encoding { name: "socketio-v3", encode: |said| encode(Outlet::Text(Revision::V3), said) };
static MSGPACK: Encoding =
    Encoding { name: "socketio-msgpack", encode: |said| encode(Outlet::Msgpack, said) };

impl Outlet {
    /// Returns how publications are written for this client and others like it.
    pub(crate) fn encoding(self) -> &'static Encoding {
        match self {
            Self::Text(Revision::V4) => &TEXT,
            Self::Text(Revision::V3) => &TEXT_V3,
            Self::Msgpack => &MSGPACK,
        }
    }

    /// Writes one thing.
    pub(crate) fn messages(self, namespace: &str, reply: &Reply<'_>) -> Messages {
        match self {
            Self::Text(revision) => reply.text(revision, namespace),
            Self::Msgpack => Messages::One(Revision::V4.wrapped(reply.msgpack(namespace))),
        }
    }

    /// Writes a publication, with where the client stands then as one more argument.
    pub(crate) fn publication(self, it: &Publication, offset: Option<&str>) -> Messages {
        let args = Args::of(&it.payload, it.is_list);
        let name = quoted(it.event.as_deref().unwrap_or("message"));
        let event = Reply::Event { id: None, name: &name, args: &args, offset };
        self.messages(namespace_of(it.channel.as_str()), &event)
    }
}

/// Tells to which namespace a channel belongs: `/chat` and `/chat:room` to `/chat`, and what does not begin with `/` to the
/// main one.
pub(crate) fn namespace_of(channel: &str) -> &str {
    match channel.strip_prefix('/') {
        Some(rest) => &channel[..1 + rest.find(':').unwrap_or(rest.len())],
        None => "/",
    }
}

fn encode(outlet: Outlet, said: &Said<'_>) -> Messages {
    match said {
        Said::Publication(it) | Said::Delta(it) => outlet.publication(it, None),
        // Who comes and goes is not told.
        _ => Messages::None,
    }
}
