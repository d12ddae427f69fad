//! The scripts that run in the server, each one step.

use std::sync::LazyLock;

use redis::Cmd;

use crate::reply::command;

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

/// The names by which servers know the scripts.
static NAMES: LazyLock<Vec<String>> =
    LazyLock::new(|| SOURCES.iter().map(|it| redis::Script::new(it).get_hash().into()).collect());

/// Writes the command that runs a script.
pub(crate) fn run(script: Script, keys: &[String], arguments: &[&[u8]]) -> Cmd {
    let count = keys.len().to_string();
    let mut parts: Vec<&[u8]> =
        vec![b"EVALSHA", NAMES[script as usize].as_bytes(), count.as_bytes()];
    parts.extend(keys.iter().map(String::as_bytes));
    parts.extend_from_slice(arguments);
    command(&parts)
}

/// Writes the command that loads a script.
pub(crate) fn load(source: &str) -> Cmd {
    command(&[b"SCRIPT", b"LOAD", source.as_bytes()])
}
