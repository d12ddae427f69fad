//! How what is for other nodes is written: the only place of the hub that knows serde.
//!
//! Publications travel through a broker as bodies of statements, everything else as letters from node to node. Both begin
//! with the version of this format: what has another one is not read.

mod member;
mod orders;
mod saved;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taiwa_core::{
    Arguments, Channel, Link, Member, Mixed, NodeId, Payload, Position, Publication, Publish,
    Refusal, RefusalKind, SessionId, Tags,
};

use crate::{letter::Task, order::Done};

pub(crate) use member::{Names, Seen};
pub(crate) use saved::{Logged, Saved, SavedLink, SavedSubscription, left};

/// Of the format. Nodes of another version are not understood, and do not understand.
const VERSION: u8 = 2;

/// What is said in a channel, as all nodes hear it.
#[derive(Debug)]
pub(crate) enum Body {
    /// A publication.
    Said(Box<Spoken>),
    /// What was said before is forgotten.
    Forgotten,
    /// Somebody came or went.
    Changed(Move),
}

/// Somebody who came or went.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    /// Which node says so.
    pub(crate) node: NodeId,
    pub(crate) link: Link,
    pub(crate) member: Arc<Member>,
    pub(crate) joined: bool,
    /// Whether it is the first, or the last, session of its user.
    pub(crate) of_user: bool,
}

/// A publication with what is needed to deliver it.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) publication: Publication,
    /// Who said it; 0 for nobody.
    pub(crate) origin: SessionId,
    pub(crate) except: Vec<SessionId>,
    /// Who subscribes to one of these is not to hear it.
    pub(crate) except_channels: Vec<Channel>,
    pub(crate) receipt: Option<Receipt>,
}

/// Who wants to know to how many a publication was delivered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Receipt {
    pub(crate) node: u64,
    pub(crate) shard: u16,
    pub(crate) ticket: u64,
}

/// What nodes say to each other.
#[derive(Debug)]
pub(crate) enum FarText {
    /// A part of an order. The answer goes to that ticket of that shard of the sender.
    Task(u16, u64, Box<Task>),
    /// Back.
    TaskDone(u64, Result<Done, Refusal>),
    /// Back: a publication was delivered to so many.
    Delivered(u64, u64),
    /// Give a session up, with what is needed to go on with it, to who knows its secret and is the same user.
    Release { from: u16, ticket: u64, session: SessionId, secret: u128, user: Option<Box<str>> },
    /// Back: what was saved of it; nothing, if it is not there.
    Released(u64, Option<Bytes>),
}

#[derive(Deserialize, Serialize)]
enum BodyWire<'a> {
    Forgotten,
    Said(#[serde(borrow)] Box<SpokenWire<'a>>),
    Changed {
        node: u64,
        link: u16,
        #[serde(borrow)]
        member: Seen<'a>,
        joined: bool,
        of_user: bool,
    },
}

#[derive(Deserialize, Serialize)]
struct SpokenWire<'a> {
    at: u64,
    #[serde(borrow)]
    payload: PayloadWire<'a>,
    event: Option<&'a str>,
    key: Option<&'a str>,
    #[serde(borrow)]
    tags: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    publisher: Option<Seen<'a>>,
    origin: Option<u128>,
    except: Vec<u128>,
    except_channels: Vec<&'a str>,
    receipt: Option<Receipt>,
    volatile: bool,
    is_list: bool,
}

#[derive(Deserialize, Serialize)]
enum PayloadWire<'a> {
    Json(&'a [u8]),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Mixed(#[serde(borrow)] Vec<&'a [u8]>, #[serde(borrow)] Vec<&'a [u8]>),
    /// Several arguments, as a JSON array. Nodes that know no such thing leave this order alone, and read all others.
    List(&'a [u8]),
    /// The same with attachments.
    MixedList(#[serde(borrow)] Vec<&'a [u8]>, #[serde(borrow)] Vec<&'a [u8]>),
}

#[derive(Deserialize, Serialize)]
enum FarWire<'a> {
    Task(u16, u64, #[serde(borrow)] orders::TaskWire<'a>),
    TaskDone(u64, #[serde(borrow)] Result<orders::DoneWire<'a>, orders::RefusalWire<'a>>),
    Delivered(u64, u64),
    Release { from: u16, ticket: u64, session: u128, secret: u128, user: Option<&'a str> },
    Released(u64, Option<&'a [u8]>),
}

impl<'a> PayloadWire<'a> {
    fn of(payload: &'a Payload) -> Option<Self> {
        Some(match payload {
            Payload::Json(it) => Self::Json(it),
            Payload::Text(it) => Self::Text(it),
            Payload::Binary(it) => Self::Binary(it),
            Payload::Mixed(it) => Self::Mixed(slices(&it.pieces), slices(&it.attachments)),
            _ => return None,
        })
    }

    fn of_args(args: &'a Arguments) -> Option<Self> {
        Some(match Self::of(&args.payload)? {
            Self::Json(it) if args.is_list => Self::List(it),
            Self::Mixed(pieces, it) if args.is_list => Self::MixedList(pieces, it),
            one => one,
        })
    }

    fn args(self, whole: &Bytes) -> Option<Arguments> {
        let is_list = matches!(self, Self::List(_) | Self::MixedList(..));
        Some(Arguments { payload: self.payload(whole)?, is_list })
    }

    /// Makes a payload that shares the memory of `whole`, which it was read from.
    fn payload(self, whole: &Bytes) -> Option<Payload> {
        let text = |it: &[u8]| std::str::from_utf8(it).is_ok().then(|| whole.slice_ref(it));
        Some(match self {
            Self::Json(it) | Self::List(it) => Payload::Json(text(it)?),
            Self::Text(it) => Payload::Text(text(it)?),
            Self::Binary(it) => Payload::Binary(whole.slice_ref(it)),
            Self::Mixed(pieces, attachments) | Self::MixedList(pieces, attachments) => {
                let pieces = pieces.into_iter().map(text).collect::<Option<Box<[_]>>>()?;
                if pieces.len() != attachments.len() + 1 {
                    return None;
                }
                let attachments = attachments.into_iter().map(|it| whole.slice_ref(it)).collect();
                Payload::Mixed(Arc::new(Mixed { pieces, attachments }))
            }
        })
    }
}

fn slices(all: &[Bytes]) -> Vec<&[u8]> {
    all.iter().map(|it| &it[..]).collect()
}

fn unwritten() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "this can't be told to other nodes")
}

/// Writes a publication for all nodes. `named` says whether subscribers are told who said it.
pub(crate) fn write_publish(
    publish: &Publish,
    publisher: Option<&Member>,
    named: bool,
    receipt: Option<Receipt>,
    unix_ms: u64,
) -> Result<Bytes, Refusal> {
    let wire = BodyWire::Said(Box::new(SpokenWire {
        at: unix_ms,
        payload: PayloadWire::of(&publish.payload).ok_or_else(unwritten)?,
        event: publish.event.as_deref(),
        key: publish.key.as_deref(),
        tags: publish.tags.iter().collect(),
        publisher: publisher.filter(|_| named).map(Seen::of),
        origin: publisher.map(|it| it.client.session.0),
        except: publish.except.iter().map(|it| it.0).collect(),
        except_channels: publish.except_channels.iter().map(Channel::as_str).collect(),
        receipt,
        volatile: publish.volatile,
        is_list: publish.is_list,
    }));
    write(&wire, publish.payload.len() + 128)
}

/// Writes what was said before, for the log of a session.
pub(crate) fn write_publication(publication: &Publication) -> Option<Bytes> {
    let wire = BodyWire::Said(Box::new(SpokenWire {
        at: publication.at,
        payload: PayloadWire::of(&publication.payload)?,
        event: publication.event.as_deref(),
        key: publication.key.as_deref(),
        tags: publication.tags.iter().collect(),
        publisher: publication.publisher.as_deref().map(Seen::of),
        origin: None,
        except: vec![],
        except_channels: vec![],
        receipt: None,
        volatile: publication.volatile,
        is_list: publication.is_list,
    }));
    write(&wire, publication.payload.len() + 128).ok()
}

/// Writes for all nodes that what was said before is forgotten.
pub(crate) fn write_forgotten() -> Result<Bytes, Refusal> {
    write(&BodyWire::Forgotten, 2)
}

/// Writes for all nodes that somebody came or went.
pub(crate) fn write_change(it: &Move) -> Result<Bytes, Refusal> {
    let Move { node, link, member, joined, of_user } = it;
    let (node, link, member) = (node.0, link.0, Seen::of(member));
    write(&BodyWire::Changed { node, link, member, joined: *joined, of_user: *of_user }, 128)
}

/// Reads what was said in a channel; `None` if it is not of this format.
pub(crate) fn read_body(
    channel: &Channel,
    position: Option<Position>,
    body: &Bytes,
    names: &Names,
) -> Option<Body> {
    Some(match read(body)? {
        BodyWire::Forgotten => Body::Forgotten,
        BodyWire::Changed { node, link, member, joined, of_user } => {
            let (node, link) = (NodeId(node), Link(link));
            let member = Arc::new(member.member(body, names));
            Body::Changed(Move { node, link, member, joined, of_user })
        }
        BodyWire::Said(it) => {
            let publisher = it.publisher.map(|it| Arc::new(it.member(body, names)));
            let tags = it.tags.into_iter().map(|(key, value)| (key.into(), value.into()));
            let publication = Publication {
                channel: channel.clone(),
                event: it.event.map(Into::into),
                payload: it.payload.payload(body)?,
                position,
                delta: None,
                key: it.key.map(Into::into),
                tags: Tags::new(tags),
                publisher,
                at: it.at,
                volatile: it.volatile,
                is_list: it.is_list,
            };
            let except_channels =
                it.except_channels.into_iter().map(Channel::parse).collect::<Option<_>>()?;
            let except = it.except.into_iter().map(SessionId).collect();
            let (origin, receipt) = (SessionId(it.origin.unwrap_or(0)), it.receipt);
            Body::Said(Box::new(Spoken { publication, origin, except, except_channels, receipt }))
        }
    })
}

impl FarText {
    /// Writes a letter for a shard of another node.
    pub(crate) fn write(&self, shard: u16) -> Result<Bytes, Refusal> {
        let wire = match self {
            Self::Task(from, ticket, task) => {
                FarWire::Task(*from, *ticket, orders::TaskWire::of(task).ok_or_else(unwritten)?)
            }
            Self::TaskDone(ticket, result) => {
                let result = match result {
                    Ok(done) => Ok(orders::DoneWire::of(done).ok_or_else(unwritten)?),
                    Err(refusal) => Err(orders::RefusalWire::of(refusal)),
                };
                FarWire::TaskDone(*ticket, result)
            }
            Self::Delivered(ticket, count) => FarWire::Delivered(*ticket, *count),
            Self::Release { from, ticket, session, secret, user } => FarWire::Release {
                from: *from,
                ticket: *ticket,
                session: session.0,
                secret: *secret,
                user: user.as_deref(),
            },
            Self::Released(ticket, saved) => FarWire::Released(*ticket, saved.as_deref()),
        };
        write_to(shard, &wire)
    }

    /// Reads one; `None` if it is not of this format.
    pub(crate) fn read(letter: &Bytes, names: &Names) -> Option<Self> {
        if letter.len() < 3 || letter[0] != VERSION {
            return None;
        }
        Some(match postcard::from_bytes(&letter[3..]).ok()? {
            FarWire::Task(from, ticket, task) => {
                Self::Task(from, ticket, Box::new(task.task(letter)?))
            }
            FarWire::TaskDone(ticket, Ok(done)) => {
                Self::TaskDone(ticket, Ok(done.done(letter, names)?))
            }
            FarWire::TaskDone(ticket, Err(refusal)) => {
                Self::TaskDone(ticket, Err(refusal.refusal()))
            }
            FarWire::Delivered(ticket, count) => Self::Delivered(ticket, count),
            FarWire::Release { from, ticket, session, secret, user } => Self::Release {
                from,
                ticket,
                session: SessionId(session),
                secret,
                user: user.map(Into::into),
            },
            FarWire::Released(ticket, saved) => {
                Self::Released(ticket, saved.map(|it| letter.slice_ref(it)))
            }
        })
    }
}

/// Tells for which shard a letter is, of so many; `None` if it is not of this format.
pub fn shard_of(letter: &[u8], shards: u16) -> Option<u16> {
    match letter {
        [VERSION, low, high, ..] => Some(u16::from_le_bytes([*low, *high]) % shards.max(1)),
        _ => None,
    }
}

fn write(wire: &impl Serialize, room: usize) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::with_capacity(room);
    bytes.push(VERSION);
    postcard::to_extend(wire, bytes).map(Bytes::from).map_err(|_| unwritten())
}

fn write_to(shard: u16, wire: &impl Serialize) -> Result<Bytes, Refusal> {
    let [low, high] = shard.to_le_bytes();
    let bytes = vec![VERSION, low, high];
    postcard::to_extend(wire, bytes).map(Bytes::from).map_err(|_| unwritten())
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Option<T> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
