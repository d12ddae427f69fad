//! Socket.IO: what a client says, and what it is told, whichever parser wrote it.

use bytes::Bytes;

use taiwa_core::{Message, Messages};

use super::{
    Args, Fault,
    args::Count,
    attached,
    engine::Revision,
    text::{self, Header},
};

/// What a client says in one of its namespaces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Packet {
    /// Its name; with what stands behind a question mark in it, for clients of revision 3.
    pub(crate) namespace: Box<str>,
    pub(crate) said: Said,
}

/// What it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    /// It wants to come in, and brings a JSON object.
    Connect(Option<Bytes>),
    Disconnect,
    /// Something happened; with a number it wants an answer.
    Event {
        id: Option<u64>,
        /// A JSON text: a string, or a number.
        name: Bytes,
        count: Count,
        args: Args,
    },
    /// The answer to an event.
    Ack {
        id: u64,
        count: Count,
        args: Args,
    },
}

/// What a client is told in one of its namespaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply<'a> {
    /// It is in; what follows is an object, which clients of revision 3 do not get.
    Connect(&'a str),
    /// It may not come in, and why.
    ConnectError {
        message: &'a str,
        details: Option<&'a Bytes>,
    },
    Disconnect,
    Event {
        id: Option<u64>,
        /// A JSON text.
        name: &'a str,
        args: &'a Args,
        /// One more argument behind all.
        offset: Option<&'a str>,
    },
    Ack {
        id: u64,
        args: &'a Args,
    },
}

/// Puts packets together whose attachments come in messages of their own.
#[derive(Debug, Default)]
pub(crate) struct Assembly(Option<Box<(Header, Vec<Bytes>, usize)>>);

/// How many attachments there may be, and how many bytes they may have together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) attachments_max: usize,
    pub(crate) bytes_max: usize,
}

impl Assembly {
    /// Tells whether attachments are to come.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.is_some()
    }

    /// Takes one message, and returns a packet if it is whole.
    ///
    /// # Errors
    ///
    /// A fault if it is no packet, or belongs to none.
    pub(crate) fn take(
        &mut self,
        message: Message,
        bounds: Bounds,
    ) -> Result<Option<Packet>, Fault> {
        match (message, &mut self.0) {
            (Message::Text(_), Some(_)) => Err(Fault("text before all attachments of a packet")),
            (Message::Binary(_), None) => Err(Fault("an attachment of no packet")),
            (Message::Text(text), None) => {
                let header = text::read(&text)?;
                match header.attachments {
                    0 => header.whole(vec![]).map(Some),
                    many if many > bounds.attachments_max => Err(Fault("too many attachments")),
                    _ => {
                        self.0 = Some(Box::new((header, vec![], 0)));
                        Ok(None)
                    }
                }
            }
            (Message::Binary(bytes), Some(begun)) => {
                let (header, all, len) = &mut **begun;
                *len += bytes.len();
                if *len > bounds.bytes_max {
                    return Err(Fault("too large attachments"));
                }
                all.push(bytes);
                if all.len() < header.attachments {
                    return Ok(None);
                }
                let (header, all, _) = *self.0.take().expect("looked at above");
                header.whole(all).map(Some)
            }
        }
    }
}

impl Header {
    fn whole(self, attachments: Vec<Bytes>) -> Result<Packet, Fault> {
        let said = match self.said {
            Said::Event { id, name, count, args } => {
                let args = attached::joined(args, attachments)?;
                Said::Event { id, name, count, args }
            }
            Said::Ack { id, count, args } => {
                Said::Ack { id, count, args: attached::joined(args, attachments)? }
            }
            other => other,
        };
        Ok(Packet { namespace: self.namespace, said })
    }
}

impl Reply<'_> {
    /// Writes it as text, each attachment in a message of its own.
    pub(crate) fn text(&self, revision: Revision, namespace: &str) -> Messages {
        let mut out = String::from("4");
        let mut rest = Vec::new();
        let in_namespace = |out: &mut String| {
            if namespace != "/" {
                *out += namespace;
                out.push(',');
            }
        };
        match *self {
            Self::Connect(object) => {
                out.push('0');
                in_namespace(&mut out);
                if revision == Revision::V4 {
                    out += object;
                }
            }
            Self::Disconnect => {
                out.push('1');
                in_namespace(&mut out);
            }
            Self::ConnectError { message, details } => {
                out.push('4');
                in_namespace(&mut out);
                text::error(&mut out, revision, message, details);
            }
            Self::Event { id, name, args, offset } => {
                text::kind(&mut out, '2', '5', args);
                in_namespace(&mut out);
                out.extend(id.map(|it| it.to_string()));
                out.push('[');
                out += name;
                rest = attached::written(args, if args.is_empty() { "" } else { "," });
                if let Some(offset) = offset {
                    rest.extend_from_slice(format!(",\"{offset}\"").as_bytes());
                }
                rest.push(b']');
            }
            Self::Ack { id, args } => {
                text::kind(&mut out, '3', '6', args);
                in_namespace(&mut out);
                out += &id.to_string();
                rest = attached::written(args, "[");
                rest.push(b']');
            }
        }
        let mut whole = out.into_bytes();
        whole.extend_from_slice(&rest);
        let first = Message::Text(whole.into());
        let (Self::Event { args, .. } | Self::Ack { args, .. }) = self else {
            return Messages::One(first);
        };
        if args.attachments.is_empty() {
            return Messages::One(first);
        }
        let attached = args.attachments.iter().map(|it| revision.wrapped(it.clone()));
        Messages::Several(std::iter::once(first).chain(attached).collect())
    }
}
