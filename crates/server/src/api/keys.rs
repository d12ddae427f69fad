//! [`Key`]: what a request shows, and what it may do.

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use http::{HeaderMap, header};

use super::verbs::NAMES;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// A key of the API: who shows it may do what it allows. Only its SHA-256 is kept.
///
/// ```
/// use taiwa_server::api::Key;
/// let all = Key::new("backend", "do-not-use-this-one").unwrap();
/// let few = Key::new("cron", "nor-this-one")
///     .and_then(|it| it.commands(["publish", "presence"]))
///     .and_then(|it| it.channels(["news:"]));
/// assert!(few.is_ok());
/// assert!(Key::new("cron", "").is_err(), "an empty key would let everyone in");
/// # let _ = all;
/// ```
#[derive(Clone)]
pub struct Key {
    name: Box<str>,
    digest: [u8; 32],
    commands: Option<BTreeSet<&'static str>>,
    prefixes: Option<Vec<Box<str>>>,
}

/// Why something is no key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is empty, longer than [`KEY_BYTES_MAX`], or has something else in it than visible ASCII characters.
    Text,
    /// There is no such command.
    Command(String),
    /// There is no command, or no channel, that it could be used for.
    Nothing,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => write!(f, "a key has 1 to {KEY_BYTES_MAX} visible ASCII characters"),
            Self::Command(name) => {
                write!(f, "there is no command {name:?}; they are {}", NAMES.join(", "))
            }
            Self::Nothing => f.write_str("a key without commands or channels is of no use"),
        }
    }
}

impl std::error::Error for KeyError {}

impl Key {
    /// Makes a key for all commands and channels. The name stands in the log.
    ///
    /// # Errors
    /// [`KeyError::Text`].
    pub fn new(name: &str, secret: &str) -> Result<Self, KeyError> {
        let sound = (1..=KEY_BYTES_MAX).contains(&secret.len());
        if !sound || !secret.bytes().all(|it| it.is_ascii_graphic()) {
            return Err(KeyError::Text);
        }
        let digest = hashed(secret.as_bytes());
        Ok(Self { name: name.into(), digest, commands: None, prefixes: None })
    }

    /// What those have who are asked for no key. Nobody can show it.
    pub(super) fn everyone() -> Self {
        Self { name: "".into(), digest: [0; 32], commands: None, prefixes: None }
    }

    /// Allows these commands alone. In a batch each command needs its right.
    ///
    /// # Errors
    /// [`KeyError::Command`] for a name that is none, [`KeyError::Nothing`] without any.
    pub fn commands<'a>(
        mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, KeyError> {
        let known = |name: &str| {
            let found = NAMES.iter().find(|it| **it == name).copied();
            found.ok_or_else(|| KeyError::Command(name.to_owned()))
        };
        let commands = names.into_iter().map(known).collect::<Result<BTreeSet<_>, _>>()?;
        if commands.is_empty() {
            return Err(KeyError::Nothing);
        }
        self.commands = Some(commands);
        Ok(self)
    }

    /// Allows channels alone whose name begins with one of these. Commands that are about no channel, such as
    /// `disconnect`, are then allowed only if [`Key::commands`] names them.
    ///
    /// # Errors
    /// [`KeyError::Nothing`] without any.
    pub fn channels<'a>(
        mut self,
        prefixes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, KeyError> {
        let prefixes = prefixes.into_iter().map(Box::from).collect::<Vec<_>>();
        if prefixes.is_empty() {
            return Err(KeyError::Nothing);
        }
        self.prefixes = Some(prefixes);
        Ok(self)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether it allows a command, as long as nothing is known of its channels.
    pub(super) fn allows(&self, command: &str) -> bool {
        self.commands.as_ref().is_none_or(|it| it.contains(command))
    }

    /// Returns a channel for which it does not allow a command: an empty name if the command is about none.
    pub(super) fn forbids<'a>(
        &self,
        command: &str,
        channels: Option<&[&'a str]>,
    ) -> Option<&'a str> {
        let prefixes = self.prefixes.as_ref()?;
        let Some(channels) = channels else {
            let named = self.commands.as_ref().is_some_and(|it| it.contains(command));
            return (!named).then_some("");
        };
        let outside = |name: &&&str| !prefixes.iter().any(|it| name.starts_with(&**it));
        channels.iter().find(outside).copied()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("commands", &self.commands)
            .field("channels", &self.prefixes)
            .finish_non_exhaustive()
    }
}

/// Finds the key that a request shows: as `Authorization: Bearer KEY` (RFC 6750 §2.1) or as `X-API-Key: KEY`.
///
/// How long it takes tells nothing of the keys: hashes are compared, all of them, each in constant time.
pub(super) fn shown<'a>(keys: &'a [Key], headers: &HeaderMap) -> Option<&'a Key> {
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let bearer = authorizations.find_map(|it| {
        let (scheme, token) = it.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    let shown = bearer.or_else(|| Some(headers.get("x-api-key")?.as_bytes()))?;
    if shown.len() > KEY_BYTES_MAX {
        return None;
    }
    let digest = hashed(shown);
    let same = |it: &&Key| verify_slices_are_equal(&it.digest, &digest).is_ok();
    keys.iter().filter(same).fold(None, |found, it| found.or(Some(it)))
}

fn hashed(secret: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, secret);
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}
