//! Connection state recovery: what a client is told so that it can go on where it was lost.

use std::{
    collections::VecDeque,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use taiwa_core::{Channel, Link, Position, Publication, ResumeKey, SessionId};

/// So many channels an offset tells of. Who hears more can't be taken over from a node that has died.
const PLACES_MAX: usize = 16;

/// So long namespaces of a session that goes on wait for their clients to ask for them.
pub(super) const HELD_WITHIN: Duration = Duration::from_secs(20);

/// What is known of a session that is kept.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) ttl: Duration,
    /// What takes the session up, as the client knows it.
    pub(super) told: Option<ResumeKey>,
    /// What does so now: another one if the session moved.
    pub(super) key: Option<ResumeKey>,
    /// The number of the newest entry of the session's log that was said.
    number: u64,
    /// Where the client stands. Of channels that a resumed session brought along the names are not known.
    places: Vec<(Option<Channel>, Position)>,
    /// What was said in namespaces that the client is not told to be in.
    pub(super) held: VecDeque<(Link, Arc<Publication>, u64)>,
    /// After this nobody waits for it.
    pub(super) held_until: Option<Instant>,
    /// Up to where everything had been said when the client was asked whether it is there.
    asked_at: u64,
    read: u64,
}

/// The private name of a socket: who knows it can take it up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pid {
    pub(super) key: ResumeKey,
    pub(super) link: Link,
}

/// Where a client stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Offset {
    /// What takes the session up, if that is another one than its private name says.
    pub(super) key: Option<ResumeKey>,
    /// The number of the last publication in its namespace.
    pub(super) number: u64,
    /// What has a number behind this one may be missing in other namespaces, where it waited; as a rule the same.
    pub(super) floor: u64,
    pub(super) positions: Vec<Position>,
}

impl Recovery {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            told: None,
            key: None,
            number: 0,
            places: vec![],
            held: VecDeque::new(),
            held_until: None,
            asked_at: 0,
            read: 0,
        }
    }

    /// Goes on where a client stood.
    pub(super) fn stand(&mut self, offset: Offset) {
        self.number = offset.number;
        self.places = offset.positions.into_iter().map(|it| (None, it)).collect();
    }

    /// Notes where a channel stands.
    pub(super) fn at(&mut self, channel: &Channel, position: Option<Position>) {
        let Some(position) = position else { return };
        let same = |it: &&mut (Option<Channel>, Position)| match &it.0 {
            Some(it) => it == channel,
            None => false,
        };
        let known = self.places.iter_mut().find(same);
        let place = match known {
            Some(place) => Some(place),
            None => {
                self.places.iter_mut().find(|it| it.0.is_none() && it.1.epoch == position.epoch)
            }
        };
        match place {
            Some(place) => *place = (Some(channel.clone()), position),
            None => {
                if self.places.is_empty() {
                    self.places.reserve_exact(1);
                }
                self.places.push((Some(channel.clone()), position));
            }
        }
    }

    pub(super) fn forget(&mut self, channel: &Channel) {
        self.places.retain(|it| it.0.as_ref() != Some(channel));
    }

    /// Notes what the client hears now.
    pub(super) fn heard(&mut self, publication: &Publication, number: u64) {
        self.number = self.number.max(number);
        self.at(&publication.channel, publication.position);
    }

    /// Writes where the client stands; `None` if its session is not kept.
    pub(super) fn offset(&self) -> Option<String> {
        let key = self.key?;
        let positions = match self.places.len() {
            0..=PLACES_MAX => self.places.iter().map(|it| it.1).collect(),
            _ => vec![],
        };
        let key = (self.told != Some(key)).then_some(key);
        let held = self.held.iter().map(|it| it.2).filter(|it| *it > 0).min();
        let floor = held.map_or(self.number, |it| self.number.min(it - 1));
        Some(Offset { key, number: self.number, floor, positions }.to_string())
    }

    /// Notes that the client was asked whether it is there, after it was told everything up to this number.
    pub(super) fn ask(&mut self, number: u64) {
        self.asked_at = number;
    }

    /// Takes its answer, and tells up to where it surely has everything, if that is news.
    pub(super) fn answered(&mut self) -> Option<u64> {
        let news = self.asked_at > self.read;
        self.read = self.read.max(self.asked_at);
        news.then_some(self.read)
    }
}

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:x}", self.key, self.link.0)
    }
}

impl FromStr for Pid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (key, link) = text.split_once('-').ok_or(())?;
        let digits = link.bytes().all(|it| it.is_ascii_hexdigit());
        let link = u16::from_str_radix(link, 16).ok().filter(|_| digits).ok_or(())?;
        Ok(Self { key: key.parse()?, link: Link(link) })
    }
}

/// Written as base64url of: a byte of flags, 1 for a key and 2 for a floor of its own; these; the number; for each channel its epoch in eight bytes and its offset. Numbers are
/// in groups of seven bits, the lowest first.
impl std::fmt::Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has_floor = self.floor != self.number;
        let mut bytes = vec![u8::from(self.key.is_some()) | u8::from(has_floor) << 1];
        if let Some(key) = self.key {
            bytes.extend(key.session.0.to_be_bytes());
            bytes.extend(key.secret.to_be_bytes());
        }
        if has_floor {
            grouped(&mut bytes, self.floor);
        }
        grouped(&mut bytes, self.number);
        for Position { epoch, offset } in &self.positions {
            bytes.extend(epoch.to_be_bytes());
            grouped(&mut bytes, *offset);
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Offset {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ())?;
        let (flags, mut rest) = bytes.split_first().filter(|it| *it.0 <= 3).ok_or(())?;
        let mut key = None;
        if flags & 1 != 0 {
            let (session, behind) = rest.split_first_chunk().ok_or(())?;
            let (secret, behind) = behind.split_first_chunk().ok_or(())?;
            let session = SessionId(u128::from_be_bytes(*session));
            key = Some(ResumeKey { session, secret: u128::from_be_bytes(*secret) });
            rest = behind;
        }
        let floor = if flags & 2 != 0 { Some(number(&mut rest).ok_or(())?) } else { None };
        let number = number(&mut rest).ok_or(())?;
        let floor = floor.unwrap_or(number);
        let mut positions = vec![];
        while !rest.is_empty() {
            let (epoch, behind) = rest.split_first_chunk().ok_or(())?;
            rest = behind;
            let offset = self::number(&mut rest).ok_or(())?;
            positions.push(Position { epoch: u64::from_be_bytes(*epoch), offset });
            if positions.len() > PLACES_MAX {
                return Err(());
            }
        }
        Ok(Self { key, number, floor, positions })
    }
}

fn grouped(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut all = 0_u64;
    for group in 0..8 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        all |= u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Some(all);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ResumeKey = ResumeKey { session: SessionId(7), secret: u128::MAX };

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch, offset }
    }

    #[track_caller]
    fn check(offset: Offset) {
        assert_eq!(offset.to_string().parse(), Ok(offset));
    }

    #[test]
    fn an_offset_survives_the_way_to_the_client_and_back() {
        check(Offset::default());
        let number = (1 << 53) - 1;
        check(Offset { key: Some(KEY), number, floor: 3, positions: vec![] });
        let positions = (0..16).map(|it| at(u64::MAX - it, 1 << (3 * it))).collect();
        check(Offset { key: None, number: 300, floor: 300, positions });
    }

    #[test]
    fn an_offset_of_nobody_is_none() {
        for text in
            ["", "AA", "hello", "AA==", "Ag0", "AAB", "AACA", "Af8", "AP__________8", "AAAAAAA"]
        {
            let read = text.parse::<Offset>();
            assert!(text == "AA" || read.is_err(), "{text} {read:?}");
        }
        let many = Offset { positions: vec![at(1, 1); 17], ..Offset::default() };
        assert!(many.to_string().parse::<Offset>().is_err());
    }

    #[test]
    fn a_private_name_survives_the_way_to_the_client_and_back() {
        let pid = Pid { key: KEY, link: Link(31) };
        assert_eq!(pid.to_string().parse(), Ok(pid));
        for text in ["", "-0", "00-0", &KEY.to_string(), &format!("{KEY}-"), &format!("{KEY}-+1")] {
            assert_eq!(text.parse::<Pid>(), Err(()), "{text}");
        }
    }

    #[test]
    fn places_are_told_for_all_channels_or_for_none() {
        let mut recovery = Recovery::new(Duration::ZERO);
        assert_eq!(recovery.offset(), None, "nothing is kept yet");
        recovery.key = Some(KEY);
        recovery.stand(Offset { number: 4, floor: 4, positions: vec![at(9, 1)], key: None });
        let channel = |it: usize| Channel::parse(&it.to_string()).unwrap();
        // A channel without a name is known by its epoch, one with a name by that.
        recovery.at(&channel(0), Some(at(9, 2)));
        recovery.at(&channel(0), Some(at(10, 1)));
        recovery.at(&channel(1), None);
        let told = |it: &Recovery| it.offset().unwrap().parse::<Offset>().unwrap();
        let positions = vec![at(10, 1)];
        assert_eq!(told(&recovery), Offset { key: Some(KEY), number: 4, floor: 4, positions });
        recovery.told = Some(KEY);
        assert_eq!(told(&recovery).key, None);
        (1..17).for_each(|it| recovery.at(&channel(it), Some(at(20 + it as u64, 1))));
        assert_eq!(told(&recovery).positions, []);
        recovery.forget(&channel(3));
        assert_eq!(told(&recovery).positions.len(), 16);
    }
}
