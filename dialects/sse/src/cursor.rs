//! What a client has heard, as one identifier: `Last-Event-ID` is one for all channels of a stream.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use taiwa_core::{Channel, Position};

/// Longer identifiers are none of ours: 256 channels would fit.
const ID_BYTES_MAX: usize = 8192;

/// Offsets stay below it, so that a number of JavaScript holds them.
const OFFSET_END: u64 = 1 << 53;

/// No history has this epoch: the answer is that something was lost.
const UNKNOWN: Position = Position { epoch: 0, offset: 0 };

/// The channels of a client, and where it stands in each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor(Box<[(Channel, Option<Position>)]>);

impl Cursor {
    /// Reads an identifier that [`Cursor::id`] has written, for these channels. What it says of other channels is
    /// forgotten; a channel of which it says nothing begins with what is said from now on. In an identifier that can't
    /// be understood all channels stand where no history is.
    pub(crate) fn read(channels: Vec<Channel>, id: Option<&str>) -> Self {
        let single = channels.len() == 1;
        let places = id.map(|id| {
            let id = Some(id).filter(|it| it.len() <= ID_BYTES_MAX)?;
            match id.strip_prefix('~') {
                Some(id) => vector(id),
                None => position(id).filter(|_| single).map(|it| vec![(hash(&channels[0]), it)]),
            }
        });
        let found = |channel: &Channel| match &places {
            None => None,
            Some(None) => Some(UNKNOWN),
            Some(Some(places)) => {
                let hash = hash(channel);
                places.iter().find(|it| it.0 == hash).map(|it| it.1)
            }
        };
        Self(channels.into_iter().map(|it| (it.clone(), found(&it))).collect())
    }

    /// Writes the identifier: of one channel `epoch-offset`, of several a `~` and, in base64url, for each channel that
    /// has a position, its hash in four bytes, the epoch in eight, and the offset in seven.
    pub(crate) fn id(&self) -> Option<String> {
        if let [(_, position)] = &*self.0 {
            return position.map(id);
        }
        let mut bytes = vec![];
        for (channel, position) in &self.0 {
            if let Some(Position { epoch, offset }) = position {
                bytes.extend(hash(channel).to_be_bytes());
                bytes.extend(epoch.to_be_bytes());
                bytes.extend(&offset.to_be_bytes()[1..]);
            }
        }
        (!bytes.is_empty()).then(|| format!("~{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Notes that the client hears this, if it is of a channel of its own.
    pub(crate) fn advance(&mut self, channel: &Channel, position: Option<Position>) {
        if position.is_some() {
            self.stand(channel, position);
        }
    }

    /// Notes where the client stands in a channel of its own, if that has positions.
    pub(crate) fn stand(&mut self, channel: &Channel, position: Option<Position>) {
        if let Some(place) = self.0.iter_mut().find(|it| it.0 == *channel) {
            place.1 = position;
        }
    }

    /// Goes through the channels, and where the client stands in each.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &(Channel, Option<Position>)> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Writes the identifier of one channel's client.
pub(crate) fn id(position: Position) -> String {
    format!("{}-{}", position.epoch, position.offset)
}

fn position(id: &str) -> Option<Position> {
    let number = |it: &str| {
        // `parse` would take a plus sign.
        it.bytes().all(|it| it.is_ascii_digit()).then(|| it.parse::<u64>().ok())?
    };
    let (epoch, offset) = id.split_once('-')?;
    Some(Position { epoch: number(epoch)?, offset: number(offset).filter(|it| *it < OFFSET_END)? })
}

fn vector(id: &str) -> Option<Vec<(u32, Position)>> {
    let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
    let mut places = vec![];
    for place in bytes.chunks(19) {
        let (hash, rest) = place.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let rest: [u8; 7] = rest.try_into().ok()?;
        let offset = rest.iter().fold(0, |all, it| all << 8 | u64::from(*it));
        let position = Position { epoch: u64::from_be_bytes(*epoch), offset };
        places.push((u32::from_be_bytes(*hash), position));
        if offset >= OFFSET_END {
            return None;
        }
    }
    Some(places)
}

/// FNV-1a. Should two names of one client ever meet in it, their epochs differ, and a gap is told.
fn hash(channel: &Channel) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    channel.as_str().bytes().fold(0x811c_9dc5, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(names: &[&str]) -> Vec<Channel> {
        names.iter().map(|it| Channel::parse(it).unwrap()).collect()
    }

    fn at(epoch: u64, offset: u64) -> Option<Position> {
        Some(Position { epoch, offset })
    }

    #[track_caller]
    fn check(names: &[&str], id: Option<&str>, expected: &[Option<Position>]) {
        let cursor = Cursor::read(channels(names), id);
        assert_eq!(cursor.iter().map(|it| it.1).collect::<Vec<_>>(), expected, "{id:?}");
    }

    #[test]
    fn an_identifier_survives_the_way_to_the_client_and_back() {
        let mut cursor = Cursor::read(channels(&["a", "b", "c"]), None);
        assert_eq!(cursor.id(), None);
        let last = OFFSET_END - 1;
        cursor.advance(&channels(&["c"])[0], at(u64::MAX, last));
        cursor.advance(&channels(&["a"])[0], at(7, 3));
        cursor.advance(&channels(&["a"])[0], None);
        cursor.advance(&channels(&["other"])[0], at(1, 1));
        let id = cursor.id();
        check(&["b", "c", "a", "d"], id.as_deref(), &[None, at(u64::MAX, last), at(7, 3), None]);
        check(&["a"], id.as_deref(), &[at(7, 3)]);
        check(&["a"], Some("7-3"), &[at(7, 3)]);
        check(&["a", "b"], None, &[None, None]);
    }

    #[test]
    fn an_identifier_of_nobody_stands_where_no_history_is() {
        let long = format!("~{}", "A".repeat(ID_BYTES_MAX));
        let one_more = format!("{}-{OFFSET_END}", 1);
        for id in ["", "7", "7-", "-3", "+7-3", "7-3-1", "x-y", "~!", "~AAAA", &long, &one_more] {
            check(&["a"], Some(id), &[Some(UNKNOWN)]);
        }
        check(&["a", "b"], Some("7-3"), &[Some(UNKNOWN); 2]);
        check(&["a", "b"], Some("~"), &[None, None]);
        let beyond = format!("~{}", URL_SAFE_NO_PAD.encode([0xff; 19]));
        check(&["a"], Some(&beyond), &[Some(UNKNOWN)]);
    }
}
