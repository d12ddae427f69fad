//! What stands in the fields of requests and answers: names, sessions, positions, JSON, payloads.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use taiwa_core::{CHANNEL_BYTES_MAX, Channel, Link, Payload, Position, SessionId};

use super::problem::{Code, Problem};

/// RFC 4648 §4, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Any JSON value, its text kept as it was written.
#[derive(Clone, Debug)]
pub(super) struct Json(Box<RawValue>);

impl Json {
    /// Accepts bytes that are a JSON text.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }

    pub(super) fn into_bytes(self) -> Bytes {
        let text: Box<str> = self.0.into();
        String::from(text).into()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

/// Reads a field that is there: `null` is a value like others, and none of a text.
pub(super) fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a whole number, however it is written: to JSON Schema 2020-12 (Core §4.2.3) `1.0` is an integer.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let Whole(number) = Whole::deserialize(deserializer)?;
    T::try_from(number).map_err(|_| de::Error::custom(format_args!("{number} is too large")))
}

/// Reads a whole number, if there is one.
pub(super) fn perhaps_whole<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|it| it.0))
}

struct Whole(u64);

/// Numbers below this are exact in every client.
const EXACT: u64 = 1 << 53;

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let exact = |it: &f64| it.fract() == 0.0 && (0.0..EXACT as f64).contains(it);
        let whole = number.as_u64().or_else(|| Some(number.as_f64().filter(exact)? as u64));
        let wrong = || de::Error::custom(format_args!("{number} is no whole number from 0 on"));
        whole.map(Self).ok_or_else(wrong)
    }
}

/// Reads an offset, which is always exact.
fn offset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let offset = whole(deserializer)?;
    if offset < EXACT { Ok(offset) } else { Err(de::Error::custom("an offset is below 2^53")) }
}

/// The name of a channel.
#[derive(Clone, Debug)]
pub(super) struct ChannelName(pub(super) Channel);

impl JsonSchema for ChannelName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ChannelName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": CHANNEL_BYTES_MAX,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
            "examples": ["news:sport"],
        })
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let wrong = "a channel's name has 1 to 1024 bytes and no control characters";
        Channel::parse(&name).map(Self).ok_or_else(|| de::Error::custom(wrong))
    }
}

impl Serialize for ChannelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// A session, as 32 hexadecimal digits; one link of it, as the digits, a point and its number. So Socket.IO's clients name
/// themselves.
#[derive(Clone, Copy)]
pub(super) struct SessionName(pub(super) SessionId, pub(super) Option<Link>);

impl SessionName {
    /// Names a link; the first one has the name of its session.
    pub(super) fn of_link(session: SessionId, link: Link) -> Self {
        Self(session, Some(link).filter(|it| *it != Link::default()))
    }
}

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            None => write!(f, "{}", self.0),
            Some(link) => write!(f, "{}.{}", self.0, link.0),
        }
    }
}

impl From<SessionId> for SessionName {
    fn from(session: SessionId) -> Self {
        Self(session, None)
    }
}

impl JsonSchema for SessionName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SessionName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f]{32}(\\.[0-9]{1,4})?$" })
    }
}

impl<'de> Deserialize<'de> for SessionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let (session, link) = text.split_once('.').map_or((&*text, None), |(it, n)| (it, Some(n)));
        let number = |it: &str| {
            let digits = (1..=4).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_digit());
            it.parse().ok().filter(|_| digits).map(|it| Some(Link(it)))
        };
        let link = link.map_or(Some(None), number);
        let named = SessionId::from_str(session).ok().zip(link);
        let wrong = || {
            let text = "a session is named by 32 hexadecimal digits, a link of it by `.` and its number behind them";
            de::Error::custom(text)
        };
        named.map(|(session, link)| Self(session, link)).ok_or_else(wrong)
    }
}

impl Serialize for SessionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A place in a channel's history.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Which life of the history this is, as it was told: another one means that everything before is lost.
    #[schemars(regex(pattern = "^[0-9a-f]{1,16}$"))]
    epoch: Epoch,
    /// How many publications the epoch had up to and with this one; 0 is before the first.
    #[serde(deserialize_with = "offset")]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    offset: u64,
}

/// A number of 64 bits does not fit into every client's numbers: it travels as text, as in the Centrifuge dialect.
#[derive(Clone, Copy, Debug)]
struct Epoch(u64);

impl JsonSchema for Epoch {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Epoch".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let digits = text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        let epoch = u64::from_str_radix(&text, 16).ok().filter(|_| digits);
        epoch.map(Self).ok_or_else(|| de::Error::custom("an epoch has 1 to 16 hexadecimal digits"))
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:x}", self.0))
    }
}

impl From<Position> for Place {
    fn from(at: Position) -> Self {
        Self { epoch: Epoch(at.epoch), offset: at.offset }
    }
}

impl From<Place> for Position {
    fn from(at: Place) -> Self {
        Self { epoch: at.epoch.0, offset: at.offset }
    }
}

/// The fields of which one is the payload, and whether there are bytes in its JSON.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) data: Option<Json>,
    pub(super) text: Option<String>,
    pub(super) base64: Option<String>,
    pub(super) binary: bool,
}

/// Makes a payload of the one of the fields that is there.
pub(super) fn payload(parts: Parts, bytes_max: usize) -> Result<Payload, Problem> {
    let Parts { data, text, base64, binary } = parts;
    let (field, payload) = match (data, text, base64) {
        (Some(json), None, None) if binary => ("data", attached(json.into_bytes())),
        (Some(json), None, None) => ("data", Payload::Json(json.into_bytes())),
        (None, Some(text), None) => ("text", Payload::Text(text.into())),
        (None, None, Some(base64)) => {
            let bytes = BASE64.decode(base64);
            let wrong = |_| Problem::invalid("base64", "this is no base64 (RFC 4648 §4)");
            ("base64", Payload::Binary(bytes.map_err(wrong)?.into()))
        }
        _ => {
            let wrong = "a payload is exactly one of data (JSON), text and base64";
            return Err(Problem::invalid("data", wrong));
        }
    };
    if payload.len() > bytes_max {
        let text =
            format!("a payload has at most {bytes_max} bytes; this one has {}", payload.len());
        return Err(Problem::new(Code::TooLarge, text).at(field));
    }
    Ok(payload)
}

/// Takes bytes out of JSON: what stands there as `{"base64": "…"}`.
fn attached(json: Bytes) -> Payload {
    let mut found = vec![];
    if let Ok(text) = std::str::from_utf8(&json) {
        find_bytes(text, 0, &mut found);
    }
    if found.is_empty() {
        return Payload::Json(json);
    }
    let (mut pieces, mut attachments, mut from) = (vec![], vec![], 0);
    for (object, bytes) in found {
        let object = json.slice_ref(object.as_bytes());
        let at = object.as_ptr() as usize - json.as_ptr() as usize;
        pieces.push(json.slice(from..at));
        attachments.push(bytes);
        from = at + object.len();
    }
    pieces.push(json.slice(from..));
    let mixed = taiwa_core::Mixed { pieces: pieces.into(), attachments: attachments.into() };
    Payload::Mixed(Arc::new(mixed))
}

/// Deeper than this nobody looks: the hub refuses JSON that is.
const DEPTH_MAX: usize = 128;

/// Finds the objects that stand for bytes, in order.
fn find_bytes<'a>(json: &'a str, depth: usize, found: &mut Vec<(&'a str, Bytes)>) {
    let mut inner = |it: &'a RawValue| find_bytes(it.get(), depth + 1, found);
    match json.as_bytes().first() {
        _ if depth > DEPTH_MAX => {}
        Some(b'[') => {
            if let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(json) {
                all.into_iter().for_each(inner);
            }
        }
        Some(b'{') => {
            let Ok(Members(all)) = serde_json::from_str::<Members<'_>>(json) else { return };
            match &all[..] {
                [(name, value)] if name == "base64" => {
                    let text = serde_json::from_str::<Cow<'_, str>>(value.get());
                    match text.ok().and_then(|it| BASE64.decode(&*it).ok()) {
                        Some(bytes) => found.push((json, bytes.into())),
                        None => inner(value),
                    }
                }
                all => all.iter().for_each(|(_, it)| inner(it)),
            }
        }
        _ => {}
    }
}

/// The members of an object, in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> de::Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = vec![];
                while let Some(member) = map.next_entry::<String, &RawValue>()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// A payload: exactly one of the fields is there.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Content {
    /// A JSON value.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Bytes, in base64 (RFC 4648 §4).
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// JSON with binary attachments.
    #[serde(skip_serializing_if = "Option::is_none")]
    mixed: Option<Mixed>,
}

/// JSON with binary attachments, as clients of Socket.IO send and receive it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Mixed {
    /// The JSON text in pieces, one more than there are attachments: where two pieces meet stands the attachment of
    /// that number.
    pieces: Vec<String>,
    /// The attachments, each in base64.
    attachments: Vec<String>,
}

impl From<&Payload> for Content {
    fn from(payload: &Payload) -> Self {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        match payload {
            Payload::Json(json) => match Json::parse(json) {
                Some(data) => Self { data: Some(data), ..Self::default() },
                // A client said that it is JSON, and it is not.
                None => Self { text: Some(text(json)), ..Self::default() },
            },
            Payload::Text(it) => Self { text: Some(text(it)), ..Self::default() },
            Payload::Mixed(it) => {
                let pieces = it.pieces.iter().map(text).collect();
                let attachments = it.attachments.iter().map(|it| BASE64.encode(it)).collect();
                Self { mixed: Some(Mixed { pieces, attachments }), ..Self::default() }
            }
            Payload::Binary(it) => Self { base64: Some(BASE64.encode(it)), ..Self::default() },
            // A kind that came later than this page.
            _ => Self::default(),
        }
    }
}
