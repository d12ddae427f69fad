//! Values of settings as they stand in TOML: each is text with one way to read and one to write it, or a whole number.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    admin::AdminSocket,
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

/// How often something may happen in a second; 0, written `off`, for as often as one likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u32);

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(0));
        }
        let count = text.strip_suffix("/s").and_then(|it| it.trim_end().parse().ok());
        count.filter(|it| *it > 0).map(Self).ok_or("a rate is N/s, or off")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("off"),
            count => write!(f, "{count}/s"),
        }
    }
}

/// The most of something; 0, written `off`, for as many as the other limits let be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Most(pub(crate) usize);

impl FromStr for Most {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(0) => Err("a limit of none shuts everybody out; for no limit write off"),
            Ok(most) => Ok(Self(most)),
            Err(_) if text == "off" => Ok(Self(0)),
            Err(_) => Err("a limit is a whole number, or off"),
        }
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("off"),
            most => most.fmt(f),
        }
    }
}

/// A part of all, from 0 to 1, written as `10%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl Share {
    /// All of it.
    pub(crate) const ALL: Self = Self(1.0);
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a share is 0% to 100%";
        let number = text.strip_suffix('%').ok_or(wrong)?.trim_end();
        // Not what Rust reads, too: 1e2, inf, +1.
        let plain = number.bytes().all(|it| it.is_ascii_digit() || it == b'.');
        let percent = number.parse::<f64>().ok().filter(|it| plain && (0.0..=100.0).contains(it));
        percent.map(|it| Self(it / 100.0)).ok_or(wrong)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No more digits than were written.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
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

/// Who is let in without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// Everybody, written `true`.
    Everybody,
    /// Nobody, written `false`.
    Nobody,
    /// Everybody while all of the server's listeners are on this machine.
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
        { "type": "string", "pattern": "^(off|[0-9]+ */s)$" };
    Share: "share", Text, "a share, as \"10%\"",
        { "type": "string", "pattern": "^[0-9.]+ *%$" };
    Most: "limit", Number, "a whole number, or \"off\"",
        { "type": ["string", "integer"], "minimum": 1, "pattern": "^(off|[0-9]+)$" };
    Listen: "address", Text, "an address, as \"127.0.0.1:8000\"", { "type": "string", "minLength": 1 };
    Mode: "mode", Text, "a mode, as \"660\"", { "type": "string", "pattern": "^[0-7]+$" };
    AdminSocket: "auto, off or path", Text, "auto, off or a path",
        { "type": "string", "pattern": "^(auto|off|/.*)$" };
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
            &["10/s", "4294967295/s", "off"],
            &["", "10", "0/s", "10/m", "x/s", "-1/s", "1.5/s", "4294967296/s"],
        );
        check::<Share>(
            &["0%", "0.01%", "12.5%", "100%"],
            &["", "%", "10", "101%", "-1%", "1e1%", "NaN%", "1.2.3%"],
        );
        check::<Most>(&["1", "100", "off"], &["", "0", "-1", "many"]);
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
