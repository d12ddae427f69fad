//! The scripts that run in the server, each one step.

use crate::wire;

macro_rules! scripts {
    ($($name:ident $file:literal;)*) => {
        /// A script of ours.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Script {
            $($name,)*
        }

        /// All of them, in the order of their numbers.
        pub(crate) const SOURCES: &[&str] = &[$(include_str!(concat!("scripts/", $file, ".lua")),)*];
    };
}

scripts! {
    Publish "publish";
    Tell "tell";
    Come "come";
    Go "go";
    Who "who";
    Counts "counts";
    Beat "beat";
    Hold "hold";
}

/// The names by which the server knows the scripts: it said so when they were loaded.
#[derive(Clone, Debug)]
pub(crate) struct Loaded(pub(crate) Vec<Vec<u8>>);

impl Loaded {
    /// Writes the command that runs a script.
    pub(crate) fn command(&self, script: Script, keys: &[String], arguments: &[&[u8]]) -> Vec<u8> {
        let count = keys.len().to_string();
        let mut parts: Vec<&[u8]> = vec![b"EVALSHA", &self.0[script as usize], count.as_bytes()];
        parts.extend(keys.iter().map(String::as_bytes));
        parts.extend_from_slice(arguments);
        wire::command(&parts)
    }
}

/// Writes the command that loads a script.
pub(crate) fn load(source: &str) -> Vec<u8> {
    wire::command(&[b"SCRIPT", b"LOAD", source.as_bytes()])
}
