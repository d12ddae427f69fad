//! The parser of `socket.io-msgpack-parser`: a packet is one map, attachments stand in it as what they are.

use bytes::Bytes;

use taiwa_core::Message;

use super::{
    Args, Bounds, Fault, Packet, Reply, Said,
    args::Count,
    msgpack_json::{Json, Reader},
    quoted,
    text::RESERVED,
};

mod write;

use write::Writer;

const CONNECT: i64 = 0;
const DISCONNECT: i64 = 1;
const EVENT: i64 = 2;
const ACK: i64 = 3;
const CONNECT_ERROR: i64 = 4;

/// Numbers from here on are none of JavaScript's.
const NUMBER_END: i64 = 1 << 53;

impl Packet {
    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// A fault if it is none.
    pub(crate) fn msgpack(message: &Message, bounds: Bounds) -> Result<Self, Fault> {
        let Message::Binary(bytes) = message else {
            return Err(Fault("text from a client that writes MessagePack"));
        };
        let mut reader = Reader::new(bytes.clone());
        let (mut kind, mut namespace, mut id, mut data) = (None, None, None, None);
        for _ in 0..reader.map()? {
            match &*reader.text()? {
                "type" => kind = reader.integer()?,
                "nsp" => namespace = Some(reader.text()?),
                "id" => id = reader.integer()?,
                "data" => data = Some(reader.value()?),
                _ => drop(reader.value()?),
            }
        }
        reader.end()?;
        let data = data.filter(|it| !Reader::new(it.clone()).is_undefined());
        let id = id.map(|it| (0..NUMBER_END).contains(&it).then_some(it as u64));
        let id = id.map(|it| it.ok_or(Fault("no number"))).transpose()?;
        let said = match (kind, data) {
            (Some(CONNECT), None) => Said::Connect(None),
            (Some(CONNECT), Some(data)) => Said::Connect(Some(object(data)?)),
            (Some(DISCONNECT), None) => Said::Disconnect,
            (Some(EVENT), Some(data)) => event(id, data, bounds)?,
            (Some(ACK), Some(data)) => {
                let id = id.ok_or(Fault("an answer to nothing"))?;
                let mut reader = Reader::new(data);
                let many = reader.array()?;
                let (count, args) = rest(&mut reader, many, bounds)?;
                Said::Ack { id, count, args }
            }
            _ => return Err(Fault("no such packet")),
        };
        Ok(Self { namespace: namespace.ok_or(Fault("no namespace"))?.into(), said })
    }
}

fn object(data: Bytes) -> Result<Bytes, Fault> {
    Reader::new(data.clone()).map().map_err(|_| Fault("no object in a CONNECT packet"))?;
    let mut json = Json::default();
    Reader::new(data).json(&mut json, 0)?;
    if !json.attachments.is_empty() {
        return Err(Fault("binary data in a CONNECT packet"));
    }
    Ok(json.last.into())
}

fn event(id: Option<u64>, data: Bytes, bounds: Bounds) -> Result<Said, Fault> {
    let mut reader = Reader::new(data);
    let many = reader.array()?.checked_sub(1).ok_or(Fault("an event without a name"))?;
    let name = match reader.integer() {
        Ok(Some(number)) => number.to_string(),
        _ => quoted(&reader.text().map_err(|_| Fault("an event without a name"))?),
    };
    if RESERVED.iter().any(|it| quoted(it) == name) {
        return Err(Fault("a reserved name of an event"));
    }
    let (count, args) = rest(&mut reader, many, bounds)?;
    Ok(Said::Event { id, name: name.into(), count, args })
}

/// Reads elements of an array, as texts of JSON side by side.
fn rest(reader: &mut Reader, many: usize, bounds: Bounds) -> Result<(Count, Args), Fault> {
    let mut json = Json::default();
    for number in 0..many {
        if number > 0 {
            json.last.push(b',');
        }
        reader.json(&mut json, 0)?;
        if json.attachments.len() > bounds.attachments_max {
            return Err(Fault("too many attachments"));
        }
    }
    if json.attachments.iter().map(Bytes::len).sum::<usize>() > bounds.bytes_max {
        return Err(Fault("too large attachments"));
    }
    let count = match many {
        0 => Count::None,
        1 => Count::One,
        _ => Count::Several,
    };
    let Json { mut pieces, last, attachments } = json;
    pieces.push(last.into());
    Ok((count, Args { pieces, attachments }))
}

impl Reply<'_> {
    /// Writes it as one map.
    pub(crate) fn msgpack(&self, namespace: &str) -> Bytes {
        let mut writer = Writer::default();
        let (kind, has_data, id) = match *self {
            Self::Connect(_) => (CONNECT, true, None),
            Self::Disconnect => (DISCONNECT, false, None),
            Self::ConnectError { .. } => (CONNECT_ERROR, true, None),
            Self::Event { id, .. } => (EVENT, true, id),
            Self::Ack { id, .. } => (ACK, true, Some(id)),
        };
        writer.map(2 + usize::from(has_data) + usize::from(id.is_some()));
        writer.text("type");
        writer.integer(kind as u64);
        writer.text("nsp");
        writer.text(namespace);
        if has_data {
            writer.text("data");
        }
        match *self {
            Self::Connect(object) => writer.json(object.as_bytes()),
            Self::ConnectError { message, details } => {
                writer.map(1 + usize::from(details.is_some()));
                writer.text("message");
                writer.text(message);
                if let Some(details) = details {
                    writer.text("data");
                    writer.json(details);
                }
            }
            Self::Event { name, args, offset, .. } => {
                writer.array(Some(name), args, offset);
            }
            Self::Ack { args, .. } => writer.array(None, args, None),
            Self::Disconnect => {}
        }
        if let Some(id) = id {
            writer.text("id");
            writer.integer(id);
        }
        writer.0.into()
    }
}

#[cfg(test)]
mod tests;
