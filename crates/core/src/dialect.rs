//! The one shape of all rooms.

use std::time::Instant;

use bytes::Bytes;

use crate::{Conversation, Framing, Message, Refusal, Request, Response};

/// A language that some clients speak, such as Phoenix Channels or MQTT.
pub trait Dialect: Send + Sync {
    /// Returns the name under which it is configured, logged and measured.
    fn name(&self) -> &'static str;

    /// Returns where its clients come in.
    fn doors(&self) -> &[Door];

    /// Tells for which conversation a request is, also one that wants to become a WebSocket.
    fn addressee(&self, request: &Request) -> Addressee {
        let _ = request;
        Addressee::New
    }

    /// Begins a conversation with a client at one of the doors. It hears of its first line, or request, by
    /// [`Conversation::receive`] next.
    ///
    /// # Errors
    ///
    /// A refusal is told as an HTTP response, by [`Dialect::turn_away`].
    fn open(&self, knock: &Knock<'_>, now: Instant) -> Result<Box<dyn Conversation>, Refusal>;

    /// Returns headers, such as `set-cookie`, for the response to the opening handshake of a WebSocket with which a conversation
    /// began: none by default. Asked after [`Dialect::open`], with the same knock. To requests the conversation gives headers
    /// with its answers.
    fn welcome(&self, knock: &Knock<'_>) -> Vec<(&'static str, String)> {
        let _ = knock;
        vec![]
    }

    /// Tells whether the WebSocket or session with which a conversation begins opens when that says so, by
    /// [`Action::Open`](crate::Action::Open), so that its client knows by the opening that it is in. Until then what is said on the
    /// line waits; a conversation that ends before has its line opened and closed at once, with its code. By default it opens
    /// before the conversation hears of it.
    fn opens_later(&self) -> bool {
        false
    }

    /// Tells how messages lie on the stream of a session of WebTransport that begins with this request. Asked for sessions alone;
    /// with `None`, which is the default, there are none.
    fn framing(&self, request: &Request) -> Option<Box<dyn Framing>> {
        let _ = request;
        None
    }

    /// Returns what tells for which conversation a session of WebTransport is by the first message on its stream, where clients
    /// say so there, and not in their request; the conversation does not hear that message. With `None`, which is the default,
    /// [`Dialect::addressee`] tells it.
    fn introduction(&self, request: &Request) -> Option<fn(&Message) -> Addressee> {
        let _ = request;
        None
    }

    /// Says in the words of this dialect why a request reaches no conversation: it was refused by [`Dialect::open`] or
    /// [`Dialect::addressee`], what it looks for is not there ([`RefusalKind::NotFound`](crate::RefusalKind::NotFound)), or the server is full. Only a
    /// [`Response::Whole`] is an answer; `None`, which all requests get by default, is a line of text with the status 400, 401, 403, 404, 429 or 503 by its kind.
    fn turn_away(&self, request: &Request, why: &Refusal) -> Option<Response> {
        let _ = (request, why);
        None
    }
}

/// Where clients of a dialect come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Door {
    /// The path. If it ends with `*`, all that begin with the rest. Of several doors the longest path counts; of doors
    /// with the same path, one whose subprotocol the client offered counts before one without.
    pub path: &'static str,
    /// What the client must offer one of as subprotocol; an empty list takes everyone, and agrees on none. The first one
    /// that the client offered is agreed on.
    pub subprotocols: &'static [&'static str],
    /// How one comes in.
    pub transports: &'static [Transport],
}

/// How bytes reach a client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket, whatever the version of HTTP below it.
    WebSocket,
    /// HTTP requests, answered whole, as polls or as streams.
    Http,
    /// A session of WebTransport, on whose first bidirectional stream messages lie as [`Dialect::framing`] says. To a
    /// conversation it is as a WebSocket.
    WebTransport,
}

/// For whom a request is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Addressee {
    /// For a new conversation.
    New,
    /// For the conversation that was given this [`Knock::address`].
    Known(Box<str>),
    /// For that if it is still there, otherwise for a new one.
    KnownOrNew(Box<str>),
    /// For none: the server answers with this status and text, or what [`Dialect::turn_away`] says of a refusal of this text.
    Nobody(u16, &'static str),
}

/// A client at the door.
pub struct Knock<'a> {
    /// How it comes in.
    pub transport: Transport,
    /// The request that it came with; a WebSocket's has an empty body.
    pub request: &'a Request,
    /// The subprotocol that was agreed on.
    pub subprotocol: Option<&'a str>,
    /// The name by which later requests find this conversation, on whatever node they arrive: signed, of visible ASCII
    /// characters without `"`, `&`, `\`, at most 128 of them. As secret as a token. Empty if a WebSocket opens the
    /// conversation: what a dialect lets join later begins with a request.
    pub address: &'a str,
    /// Random bits of this conversation alone, for identifiers and jitter of the dialect. The session's identifier is told by
    /// [`Connected`](crate::Connected).
    pub random: u128,
}

impl Knock<'_> {
    /// Returns the value of a name in the query, with `+` and percent-encoding undone; the first if there are several.
    /// What is not UTF-8 then is `None`.
    pub fn query(&self, name: &str) -> Option<String> {
        self.queries(name).next()
    }

    /// Returns all values of a name in the query, in order.
    pub fn queries(&self, name: &str) -> impl Iterator<Item = String> {
        self.request.queries(name)
    }

    /// Returns the path with percent-encoding undone, if it is UTF-8 then.
    pub fn path(&self) -> Option<String> {
        undone(self.request.path.bytes())
    }
}

fn decoded(text: &str) -> Option<String> {
    undone(text.bytes().map(|it| if it == b'+' { b' ' } else { it }))
}

/// Undoes percent-encoding (RFC 3986 §2.1); a percent sign without two digits behind it stands for itself.
fn undone(mut bytes: impl Iterator<Item = u8> + Clone) -> Option<String> {
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || char::from(ahead.next()?).to_digit(16);
        match (byte == b'%').then(|| Some(digit()? << 4 | digit()?)).flatten() {
            Some(value) => {
                out.push(value as u8);
                bytes = ahead;
            }
            None => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

impl Request {
    /// Makes a `GET` of a path with its query, without headers and body, for a WebSocket or for tests.
    pub fn get(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: "GET".into(),
            path: path.into(),
            query: query.into(),
            headers: Box::default(),
            body: Bytes::new(),
        }
    }

    /// Returns all values of a name in the query, in order, as [`Knock::query`] reads them.
    pub fn queries(&self, name: &str) -> impl Iterator<Item = String> {
        self.query.split('&').filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key)? == name).then(|| decoded(value))?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, name: &str, expected: &[&str]) {
        let request = Request::get(target);
        let (transport, subprotocol) = (Transport::WebSocket, None);
        let knock = Knock { transport, request: &request, subprotocol, address: "", random: 0 };
        assert_eq!(knock.queries(name).collect::<Vec<_>>(), expected, "{target}");
    }

    #[test]
    fn queries_are_decoded() {
        check("/x?channel=a&channel=b%20c+d&other=1", "channel", &["a", "b c d"]);
        check("/x?%63hannel=%E5%AF%BE&&=", "channel", &["対"]);
        check("/x?channel=%&channel=%4&channel=100%25", "channel", &["%", "%4", "100%"]);
        check("/x?channel=%ff&channel", "channel", &[""]);
        check("/x", "channel", &[]);
    }
}
