//! What stands in our messages: bytes only, no I/O.

use bytes::{BufMut, Bytes, BytesMut};
use taiwa_core::{Entry, Link, NodeId, Position, SessionId, User};

/// Says of which layout a parcel is; a node that meets another one ignores it.
const VERSION: u8 = 1;
/// How many messages before it a parcel names.
pub(crate) const BEFORE_MAX: usize = 16;

/// One message of a channel: statements of one node that were said together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Parcel {
    /// 0 if the channel keeps no history.
    pub(crate) epoch: u64,
    /// The offset of the first part; of a parcel without parts the next one to be given.
    pub(crate) first: u64,
    /// When it was said, in milliseconds of Unix time.
    pub(crate) at: u64,
    /// The messages before it, the newest first: their numbers in the stream, and how many parts they have.
    pub(crate) before: Vec<(u64, u64)>,
    pub(crate) parts: Vec<Part>,
}

/// One statement.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Part {
    pub(crate) to_patterns: bool,
    /// What it was claimed by; empty without an identifier.
    pub(crate) id: Bytes,
    pub(crate) body: Bytes,
}

impl Part {
    /// About what it takes in a message.
    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.id.len() + 16
    }
}

impl Parcel {
    /// Where the channel stands behind it.
    pub(crate) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: (self.first + self.parts.len() as u64).saturating_sub(1),
        }
    }

    /// Its parts, and where each lies.
    pub(crate) fn parts_with_positions(self) -> impl Iterator<Item = (Option<Position>, Part)> {
        let epoch = self.epoch;
        let position = move |offset| (epoch != 0).then_some(Position { epoch, offset });
        (self.first..).map(position).zip(self.parts)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let parts: usize = self.parts.iter().map(Part::weight).sum();
        let mut out = BytesMut::with_capacity(40 + self.before.len() * 6 + parts);
        out.put_u8(VERSION);
        out.put_u64(self.epoch);
        put_number(&mut out, self.first);
        put_number(&mut out, self.at);
        put_number(&mut out, self.before.len() as u64);
        let mut above = 0;
        for &(seq, count) in &self.before {
            // The first stands as it is, the others as their distance to the one behind them.
            put_number(&mut out, if above == 0 { seq } else { above - seq });
            put_number(&mut out, count);
            above = seq;
        }
        put_number(&mut out, self.parts.len() as u64);
        for part in &self.parts {
            out.put_u8(u8::from(part.to_patterns));
            put_bytes(&mut out, &part.id);
            put_bytes(&mut out, &part.body);
        }
        out.freeze()
    }

    /// Reads what [`Parcel::encode`] wrote; `None` for anything else.
    pub(crate) fn decode(message: &Bytes) -> Option<Self> {
        let mut from = Scan::of(message);
        if from.byte()? != VERSION {
            return None;
        }
        let (epoch, first, at) = (from.u64()?, from.number()?, from.number()?);
        let count = from.number()?;
        if count > BEFORE_MAX as u64 || (epoch != 0 && first == 0) || first >= 1 << 53 {
            return None;
        }
        let mut before = Vec::with_capacity(count as usize);
        let mut above = 0_u64;
        for _ in 0..count {
            let seq = from.number()?;
            above = if above == 0 { seq } else { above.checked_sub(seq)? };
            if above == 0 {
                return None;
            }
            before.push((above, from.number()?));
        }
        let mut parts = Vec::new();
        for _ in 0..from.number()? {
            let to_patterns = from.byte()? & 1 != 0;
            parts.push(Part { to_patterns, id: from.bytes()?, body: from.bytes()? });
        }
        from.is_at_end().then_some(Self { epoch, first, at, before, parts })
    }
}

/// Who says, or has said, a statement with an identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    pub(crate) stage: Stage,
    pub(crate) node: NodeId,
    /// When it was written, in milliseconds of Unix time.
    pub(crate) at: u64,
    /// Where the statement lies, if it lies somewhere.
    pub(crate) position: Option<Position>,
}

/// How far a claim got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Nobody says it: it was refused.
    Free,
    /// Its node is saying it.
    Saying,
    /// It was said.
    Said,
}

impl Claim {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(40);
        out.put_u8(self.stage as u8);
        out.put_u64(self.node.0);
        put_number(&mut out, self.at);
        let position = self.position.unwrap_or_default();
        out.put_u64(position.epoch);
        put_number(&mut out, position.offset);
        out.freeze()
    }

    pub(crate) fn decode(message: &Bytes) -> Option<Self> {
        let mut from = Scan::of(message);
        let stage = match from.byte()? {
            0 => Stage::Free,
            1 => Stage::Saying,
            2 => Stage::Said,
            _ => return None,
        };
        let (node, at) = (NodeId(from.u64()?), from.number()?);
        let position = Position { epoch: from.u64()?, offset: from.number()? };
        let position = (position.epoch != 0).then_some(position);
        from.is_at_end().then_some(Self { stage, node, at, position })
    }
}

/// Writes the nodes on which a user is in a channel.
pub(crate) fn encode_nodes(nodes: &[NodeId]) -> Bytes {
    let mut out = BytesMut::with_capacity(nodes.len() * 8);
    nodes.iter().for_each(|it| out.put_u64(it.0));
    out.freeze()
}

/// Reads them.
pub(crate) fn decode_nodes(message: &Bytes) -> Vec<NodeId> {
    message.as_chunks().0.iter().map(|it| NodeId(u64::from_be_bytes(*it))).collect()
}

/// Writes a member of a channel.
pub(crate) fn put_entry(out: &mut BytesMut, entry: &Entry) {
    out.put_u128(entry.session.0);
    out.put_u16(entry.link.0);
    out.put_u8(u8::from(entry.user.is_some()));
    put_bytes(out, entry.user.as_ref().map_or(&[], |it| it.as_str().as_bytes()));
    put_bytes(out, &entry.body);
}

/// Reads bytes from their beginning on, sharing them.
pub(crate) struct Scan<'a> {
    whole: &'a Bytes,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn of(whole: &'a Bytes) -> Self {
        Self { whole, at: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.whole.len()
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.whole.slice(self.at..)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let it = *self.whole.get(self.at)?;
        self.at += 1;
        Some(it)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let it = *self.whole.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(it)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    /// A number as LEB128, of at most ten bytes.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.number()?).ok()?;
        let end = self.at.checked_add(length).filter(|it| *it <= self.whole.len())?;
        let it = self.whole.slice(self.at..end);
        self.at = end;
        Some(it)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(crate) fn entry(&mut self) -> Option<Entry> {
        let (session, link) = (SessionId(self.u128()?), Link(self.u16()?));
        let named = self.byte()? != 0;
        let user = self.text()?;
        let user = named.then(|| User(user.into()));
        Some(Entry { session, link, user, body: self.bytes()? })
    }
}

/// Writes a number as LEB128.
pub(crate) fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Writes bytes behind their length.
pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests;
