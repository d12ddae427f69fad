//! Values of settings as they stand in TOML: each is text with one way to read and one to write it, or a whole number.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    args::{Allow, Proxies, Size, Time},
    listen::{Listen, Mode},
};

/// Text that nobody is shown: not by `Debug`, not when it is written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "********";

impl Secret {
    /// Returns the text itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Err("a secret is not empty") } else { Ok(text.into()) }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// How often something may happen: a bucket of `burst` tokens that fills up with `count` tokens in `per`. Written
/// `10/s`, `100/m burst 20`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) Option<Bucket>);

/// The bucket of a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) count: u32,
    pub(crate) per: Duration,
    pub(crate) burst: u32,
}

const PERIODS: [(&str, Duration); 3] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(60 * 60)),
];

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "a rate is N/s, N/m or N/h, with `burst N` behind it if need be, or off";
        if text == "off" {
            return Ok(Self(None));
        }
        let (rate, burst) = match text.split_once(" burst ") {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let (count, per) = rate.split_once('/').ok_or(SHAPE)?;
        let number = |it: &str| it.trim().parse().ok().filter(|it| *it > 0).ok_or(SHAPE);
        let count = number(count)?;
        let burst = burst.map_or(Ok(count), number)?;
        let (_, per) = PERIODS.iter().find(|it| it.0 == per.trim()).ok_or(SHAPE)?;
        Ok(Self(Some(Bucket { count, per: *per, burst })))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Bucket { count, per, burst }) = self.0 else { return f.write_str("off") };
        let unit = PERIODS.iter().find(|it| it.1 == per).map_or("?", |it| it.0);
        write!(f, "{count}/{unit}")?;
        if burst == count { Ok(()) } else { write!(f, " burst {burst}") }
    }
}

/// An address of a program that is asked over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url(http::Uri);

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: http::Uri = text.parse().map_err(|_| "this is no URL")?;
        match (uri.scheme_str(), uri.authority()) {
            // Errors and logs name URLs, and must not tell a password.
            (_, Some(it)) if it.as_str().contains('@') => Err("a URL holds no user and password"),
            (Some("http" | "https"), Some(_)) => Ok(Self(uri)),
            _ => Err("a URL begins with http:// or https://"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The most of something; `None`, written `off`, for as many as the other limits let be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Most(pub(crate) Option<u32>);

impl FromStr for Most {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(0) => Err("a limit of none shuts everybody out; for no limit write off"),
            Ok(most) => Ok(Self(Some(most))),
            Err(_) if text == "off" => Ok(Self(None)),
            Err(_) => Err("a limit is a whole number up to 4294967295, or off"),
        }
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(most) => most.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// Who is let in without a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// Everybody, written `true`.
    Everybody,
    /// Nobody, written `false`.
    Nobody,
    /// Everybody while all of the server's listeners are on this machine.
    #[default]
    Loopback,
}

impl FromStr for Anonymous {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "true" => Ok(Self::Everybody),
            "false" => Ok(Self::Nobody),
            "loopback" => Ok(Self::Loopback),
            _ => Err("this is true, false or \"loopback\""),
        }
    }
}

impl fmt::Display for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everybody => "true",
            Self::Nobody => "false",
            Self::Loopback => "loopback",
        })
    }
}

/// Reads any scalar as the text that stands for it, so that `64`, `"64"` and `"64KiB"` go one way.
struct Scalar<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        self.visit_str(if value { "true" } else { "false" })
    }
}

/// How a form is written in TOML.
enum Written {
    Text,
    /// A number if it is one, otherwise text.
    Number,
    /// A truth value if it is one, otherwise text.
    Truth,
}

fn write<S: Serializer>(text: &str, as_: &Written, serializer: S) -> Result<S::Ok, S::Error> {
    match (as_, text.parse::<u64>(), text.parse::<bool>()) {
        (Written::Number, Ok(number), _) => serializer.serialize_u64(number),
        (Written::Truth, _, Ok(value)) => serializer.serialize_bool(value),
        _ => serializer.serialize_str(text),
    }
}

/// Gives a type that is read from text a place in the tree of settings. The name of the form stands as `title` in the
/// schema, and from there in the page of all settings.
macro_rules! form {
    ($($type:ty: $title:literal, $written:ident, $expected:literal, $schema:tt;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let visitor = Scalar::<Self>(std::marker::PhantomData, $expected);
                match Written::$written {
                    Written::Text => deserializer.deserialize_str(visitor),
                    Written::Number | Written::Truth => deserializer.deserialize_any(visitor),
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                write(&self.to_string(), &Written::$written, serializer)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("title".into(), $title.into());
                schema
            }
        }
    )*};
}

form! {
    Size: "size", Number, "a size, as \"64KiB\"",
        { "type": ["string", "integer"], "minimum": 0, "pattern": "^[0-9]+ *([kKmMgG]?i?[bB])?$" };
    Time: "time", Text, "a time, as \"30s\"",
        { "type": "string", "pattern": "^(off|( *[0-9]+ *[a-zA-Zµ]+)+)$" };
    Rate: "rate", Text, "a rate, as \"10/s\"",
        { "type": "string", "pattern": "^(off|[0-9]+ */ *[smh]( burst [0-9]+)?)$" };
    Most: "limit", Number, "a whole number, or \"off\"",
        { "type": ["string", "integer"], "minimum": 1, "pattern": "^(off|[0-9]+)$" };
    Listen: "address", Text, "an address, as \"127.0.0.1:8000\"", { "type": "string", "minLength": 1 };
    Mode: "mode", Text, "a mode, as \"660\"", { "type": "string", "pattern": "^[0-7]+$" };
    Proxies: "network", Text, "a network, as \"10.0.0.0/8\"", { "type": "string", "minLength": 1 };
    Allow: "origin", Text, "an origin, as \"https://app.example\"", { "type": "string", "minLength": 1 };
    Url: "URL", Text, "a URL, as \"https://app.example/hook\"", { "type": "string", "pattern": "^https?://" };
    Secret: "secret", Text, "text", { "type": "string", "minLength": 1, "writeOnly": true };
    Anonymous: "true, false or loopback", Truth, "true, false or \"loopback\"",
        { "enum": [true, false, "loopback"] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromStr + fmt::Display>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(text.parse::<T>().ok().map(|it| it.to_string()).as_deref(), Some(*text));
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        check::<Rate>(
            &["10/s", "100/m", "5/h", "10/s burst 20", "off"],
            &["", "10", "0/s", "10/d", "x/s", "10/s burst", "10/s burst 0", "-1/s", "1.5/s"],
        );
        check::<Most>(&["1", "4294967295", "off"], &["", "0", "-1", "4294967296", "many"]);
        check::<Url>(
            &["http://127.0.0.1:3000/hook", "https://app.example/a?b=c"],
            &["", "/hook", "ftp://a/", "http://", "http://user:pass@host/", "a b"],
        );
        check::<Anonymous>(&["true", "false", "loopback"], &["", "yes", "localhost"]);
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret: Secret = "opensesame".parse().unwrap();
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("sesame"), "{shown}");
        assert_eq!(secret.reveal(), "opensesame");
        assert!("".parse::<Secret>().is_err());
    }
}
