//! Names of channels, and patterns that stand for many of them.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The longest name of a channel, in bytes. Longer ones are refused at the door.
///
/// MQTT alone would allow 65,535; a name is a key of maps and stands in every message, so it is bounded for all.
pub const CHANNEL_BYTES_MAX: usize = 1024;

/// The name of a channel, checked once at the door and cheap to copy afterwards.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Accepts a name of 1 to [`CHANNEL_BYTES_MAX`] bytes without control characters.
    ///
    /// ```
    /// use taiwa_core::Channel;
    /// assert_eq!(Channel::parse("news:sport").unwrap().as_str(), "news:sport");
    /// assert!(Channel::parse("").is_none() && Channel::parse("a\nb").is_none());
    /// ```
    pub fn parse(name: &str) -> Option<Self> {
        fits(name).then(|| Self(name.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the first `:`, which names the namespace; `None` means the default one.
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once(':').map(|(namespace, _)| namespace)
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fits(name: &str) -> bool {
    (1..=CHANNEL_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// A pattern that stands for many channels.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern {
    text: Arc<str>,
    syntax: Syntax,
}

/// How a [`Pattern`] is read.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Syntax {
    /// Levels between `/`, where `+` stands for one level and a last `#` for any number of them (MQTT 5 §4.7).
    Levels,
    /// Words between `.` or `:`, where `*` stands for one word and a last `**` for one or more.
    Words,
    /// Everything that begins so; the empty one stands for all channels (ZMTP subscriptions).
    Prefix,
}

impl Pattern {
    /// Accepts a pattern of at most [`CHANNEL_BYTES_MAX`] bytes without control characters, not empty unless it is a
    /// [`Syntax::Prefix`], with its wildcards where the syntax allows them.
    ///
    /// ```
    /// use taiwa_core::{Pattern, Syntax};
    /// assert!(Pattern::parse("a/+/c", Syntax::Levels).is_some());
    /// assert!(Pattern::parse("a/#/c", Syntax::Levels).is_none(), "the hash is the last level");
    /// ```
    pub fn parse(text: &str, syntax: Syntax) -> Option<Self> {
        let shaped = match syntax {
            Syntax::Levels => {
                let last = text.split('/').count() - 1;
                let sound = |(i, level): (usize, &str)| match level {
                    "#" => i == last,
                    "+" => true,
                    _ => !level.contains(['+', '#']),
                };
                fits(text) && text.split('/').enumerate().all(sound)
            }
            Syntax::Words => {
                let last = text.split(['.', ':']).count() - 1;
                let sound = |(i, word): (usize, &str)| match word {
                    "**" => i == last,
                    "*" => true,
                    _ => !word.contains('*'),
                };
                fits(text) && text.split(['.', ':']).enumerate().all(sound)
            }
            Syntax::Prefix => text.is_empty() || fits(text),
        };
        shaped.then(|| Self { text: text.into(), syntax })
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns how it is read.
    pub fn syntax(&self) -> Syntax {
        self.syntax
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_once() {
        for (name, fits) in [
            ("a", true),
            ("", false),
            ("対話", true),
            ("a\u{7f}", false),
            ("a/b//c", true),
            (&"x".repeat(CHANNEL_BYTES_MAX), true),
            (&"x".repeat(CHANNEL_BYTES_MAX + 1), false),
        ] {
            assert_eq!(Channel::parse(name).is_some(), fits, "{name:?}");
        }
        assert_eq!(Channel::parse("news:a:b").unwrap().namespace(), Some("news"));
        assert_eq!(Channel::parse("news").unwrap().namespace(), None);
    }

    #[test]
    fn wildcards_stand_where_their_syntax_allows_them() {
        for (text, syntax, fits) in [
            ("a/+/#", Syntax::Levels, true),
            ("#", Syntax::Levels, true),
            ("a/b+/c", Syntax::Levels, false),
            ("a//+", Syntax::Levels, true),
            ("", Syntax::Levels, false),
            ("ticks.*.eur", Syntax::Words, true),
            ("news:**", Syntax::Words, true),
            ("news:**:x", Syntax::Words, false),
            ("n*", Syntax::Words, false),
            ("", Syntax::Prefix, true),
            ("a*#+", Syntax::Prefix, true),
        ] {
            assert_eq!(Pattern::parse(text, syntax).is_some(), fits, "{text:?} {syntax:?}");
        }
    }
}
