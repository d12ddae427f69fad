//! Values of arguments: sizes, times, levels.

use std::{fmt, num::ParseIntError, str::FromStr, time::Duration};

use taiwa::{Network, Origin};

/// A number of bytes, written `1MiB`, `64KiB`, `1MB` or `1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "kib" => 1 << 10,
            "mb" => 1000 * 1000,
            "mib" => 1 << 20,
            "gb" => 1000 * 1000 * 1000,
            "gib" => 1 << 30,
            _ => return Err("a unit is B, KB, KiB, MB, MiB, GB or GiB".into()),
        };
        let number: usize = number.parse().map_err(|it: ParseIntError| it.to_string())?;
        let bytes = number.checked_mul(unit).ok_or("more than memory can hold")?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => n.fmt(f),
        }
    }
}

/// A time span, written `30s` or `1m 30s`; `None` is written `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Option<Duration>);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        match humantime::parse_duration(text) {
            Ok(time) if time.is_zero() => Err("no time at all; for no limit write off".into()),
            Ok(time) if time > YEAR => Err("more than a year; for no limit write off".into()),
            Ok(time) => Ok(Self(Some(time))),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Far from where adding to the clock could overflow.
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => humantime::format_duration(time).fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// Whose pages may connect beside those of this very host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allow {
    /// All pages, written `any`.
    Any,
    /// The pages of one origin.
    Of(Origin),
}

impl FromStr for Allow {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self::Any),
            _ => Origin::parse(text)
                .map(Self::Of)
                .ok_or("an origin is SCHEME://HOST or SCHEME://HOST:PORT, or any"),
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Of(origin) => origin.fmt(f),
        }
    }
}

/// Where proxies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proxies(pub(crate) Network);

impl FromStr for Proxies {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Network::parse(text)
            .map(Self)
            .ok_or("a network is ADDRESS/BITS with no bits set behind these, ADDRESS, or unix")
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
