//! What stands in the fields of requests and answers: names, sessions, positions, JSON, payloads.

use std::{borrow::Cow, fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use taiwa_core::{CHANNEL_BYTES_MAX, Channel, Payload, Position, SessionId};

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

/// A session, as 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub(super) struct SessionName(pub(super) SessionId);

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
        json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f]{32}$" })
    }
}

impl<'de> Deserialize<'de> for SessionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let wrong = |()| de::Error::custom("a session is named by 32 hexadecimal digits");
        SessionId::from_str(&text).map(Self).map_err(wrong)
    }
}

impl Serialize for SessionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
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

/// Makes a payload of the one of three fields that is there.
pub(super) fn payload(
    json: Option<Json>,
    text: Option<String>,
    base64: Option<String>,
    bytes_max: usize,
) -> Result<Payload, Problem> {
    let (field, payload) = match (json, text, base64) {
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

/// JSON with binary attachments, as clients of Socket.IO send it.
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
