//! Publications, written once for all, and everything else that goes to one client.

use taiwa_core::{Encoding, Message, Messages, Payload, Said};

use crate::wire::{Format, Push, Reply, Shape};

/// How things leave for a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outlet {
    /// A text message of a WebSocket for each.
    Json,
    /// A line for each, of a body or of a session's stream.
    Lines,
    /// A server-sent event for each.
    Events,
    /// A message of Protocol Buffers behind its length, in a binary message of a WebSocket or as a piece of a body or stream.
    Protobuf,
}

static JSON: Encoding =
    Encoding { name: "centrifuge-json", encode: |said| encode(Outlet::Json, Shape::Plain, said) };
static JSON_DELTA: Encoding = Encoding {
    name: "centrifuge-json-delta",
    encode: |said| encode(Outlet::Json, Shape::Delta, said),
};
static LINES: Encoding =
    Encoding { name: "centrifuge-lines", encode: |said| encode(Outlet::Lines, Shape::Plain, said) };
static LINES_DELTA: Encoding = Encoding {
    name: "centrifuge-lines-delta",
    encode: |said| encode(Outlet::Lines, Shape::Delta, said),
};
static EVENTS: Encoding = Encoding {
    name: "centrifuge-events",
    encode: |said| encode(Outlet::Events, Shape::Plain, said),
};
static EVENTS_DELTA: Encoding = Encoding {
    name: "centrifuge-events-delta",
    encode: |said| encode(Outlet::Events, Shape::Delta, said),
};
static PROTOBUF: Encoding = Encoding {
    name: "centrifuge-protobuf",
    // Whole payloads look alike with and without deltas.
    encode: |said| encode(Outlet::Protobuf, Shape::Delta, said),
};

impl Outlet {
    /// Returns how this client writes.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Json | Self::Lines | Self::Events => Format::Json,
            Self::Protobuf => Format::Protobuf,
        }
    }

    /// Returns how publications are written for this client and others like it.
    pub(crate) fn encoding(self, shape: Shape) -> &'static Encoding {
        match (self, shape) {
            (Self::Json, Shape::Plain) => &JSON,
            (Self::Json, Shape::Delta) => &JSON_DELTA,
            (Self::Lines, Shape::Plain) => &LINES,
            (Self::Lines, Shape::Delta) => &LINES_DELTA,
            (Self::Events, Shape::Plain) => &EVENTS,
            (Self::Events, Shape::Delta) => &EVENTS_DELTA,
            (Self::Protobuf, _) => &PROTOBUF,
        }
    }

    /// Writes one thing.
    pub(crate) fn message(self, reply: &Reply<'_>) -> Message {
        let mut out = Vec::new();
        if self == Self::Events {
            out.extend_from_slice(b"data: ");
        }
        self.format().write(reply, &mut out);
        match self {
            Self::Json => Message::Text(out.into()),
            Self::Lines => {
                out.push(b'\n');
                Message::Text(out.into())
            }
            Self::Events => {
                out.extend_from_slice(b"\n\n");
                Message::Text(out.into())
            }
            Self::Protobuf => Message::Binary(out.into()),
        }
    }
}

fn encode(outlet: Outlet, shape: Shape, said: &Said<'_>) -> Messages {
    let (channel, push) = match *said {
        Said::Publication(it) => (&it.channel, Push::Publication(it, shape)),
        Said::Delta(it) => match it.delta.as_ref().filter(|_| shape == Shape::Delta) {
            Some(delta) if applies(outlet, &it.payload, delta) => {
                (&it.channel, Push::Delta(it, delta))
            }
            _ => (&it.channel, Push::Publication(it, shape)),
        },
        Said::Joined(it) => (&it.channel, Push::Join(&it.member)),
        Said::Left(it) => (&it.channel, Push::Leave(&it.member)),
        _ => return Messages::None,
    };
    outlet.message(&Reply::Push { channel: channel.as_str(), push }).into()
}

/// Tells whether this client can apply a delta. In JSON it holds the text that a payload became, which for JSON alone is
/// the payload itself, and a delta must be text. A whole payload in its place is always right: what follows builds on it.
fn applies(outlet: Outlet, payload: &Payload, delta: &[u8]) -> bool {
    match outlet.format() {
        Format::Protobuf => true,
        Format::Json => matches!(payload, Payload::Json(_)) && std::str::from_utf8(delta).is_ok(),
    }
}
