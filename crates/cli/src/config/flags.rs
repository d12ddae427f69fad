//! The flags of `taiwa serve`: a short name for some of the settings, and `--set` for each of them.

use std::path::PathBuf;

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, builder::PossibleValue,
    parser::ValueSource, value_parser,
};
use serde_json::Value;

use super::keys::{self, Key, Kind};

/// A setting that was given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// As people know it: `--listen`.
    pub(crate) flag: String,
    pub(crate) path: String,
    pub(crate) said: Said,
}

/// How a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// As in a variable: a list has commas.
    Text(String),
    /// By a flag that was repeated for each item of a list.
    Items(Vec<String>),
}

/// What the command line says about settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// The file to read.
    pub(crate) file: Option<PathBuf>,
    /// In the order of their weight: later ones win.
    pub(crate) given: Vec<Given>,
}

/// A flag, what its value is called, and the path that it sets.
type Short = (&'static str, &'static str, &'static str);

/// Flags with a short name, by heading.
const FLAGS: &[(Option<&str>, &[Short])] = &[
    (
        None,
        &[
            ("listen", "ADDR", "listen"),
            ("unix-mode", "MODE", "unix_mode"),
            ("reuse-port", "TRUTH", "reuse_port"),
            ("proxy-protocol", "NETWORK", "proxy_protocol"),
            ("broker", "URL", "broker"),
            ("tls-cert", "FILE", "tls.cert"),
            ("tls-key", "FILE", "tls.key"),
            ("origin", "ORIGIN", "origins"),
            ("anonymous", "WHO", "auth.anonymous"),
            ("admin-listen", "ADDR", "admin.listen"),
            ("log", "LEVEL", "log.level"),
            ("log-format", "FORMAT", "log.format"),
        ],
    ),
    (
        Some("Limits (sizes: 1MiB, 64KiB, 1000)"),
        &[
            ("message-max", "SIZE", "limits.connection.message_max"),
            ("fragments-max", "N", "limits.connection.fragments_max"),
            ("outbox-max", "SIZE", "limits.connection.outbox_max"),
            ("queue-max", "SIZE", "limits.connection.queue_max"),
            ("pongs-max", "N", "limits.connection.pongs_max"),
            ("handshake-max", "SIZE", "limits.connection.handshake_max"),
            ("headers-max", "N", "limits.connection.headers_max"),
            ("connections-max", "N", "limits.server.connections_max"),
            ("channels-max", "N", "limits.shard.channels_max"),
        ],
    ),
    (
        Some("Times (30s, 500ms, 1m 30s; off for no limit)"),
        &[
            ("handshake-timeout", "TIME", "times.handshake_timeout"),
            ("close-timeout", "TIME", "times.close_timeout"),
            ("write-timeout", "TIME", "times.write_timeout"),
            ("message-timeout", "TIME", "times.message_timeout"),
            ("slow-after", "TIME", "times.slow_after"),
            ("ping-after", "TIME", "times.ping_after"),
            ("pong-within", "TIME", "times.pong_within"),
            ("drain-wait", "TIME", "times.drain_wait"),
            ("drain-period", "TIME", "times.drain_period"),
        ],
    ),
    (
        Some("Compression (permessage-deflate, RFC 7692)"),
        &[
            ("compress", "WHO", "compression.mode"),
            ("compress-min", "SIZE", "compression.min"),
            ("compress-level", "N", "compression.level"),
            ("compress-window", "BITS", "compression.window"),
        ],
    ),
];

/// Returns the flag that sets a path, if it has a short name.
pub(crate) fn flag_of(path: &str) -> Option<&'static str> {
    FLAGS.iter().flat_map(|it| it.1).find(|it| it.2 == path).map(|it| it.0)
}

/// Makes a type of fewer flags.
macro_rules! narrowed {
    ($(#[$doc:meta])* $name:ident, $wanted:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name(pub(crate) Flags);

        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                augment(command, $wanted)
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Flags::from_arg_matches(matches).map(Self)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0.update_from_arg_matches(matches)
            }
        }
    };
}

narrowed! {
    /// The flags of `taiwa serve` without `--origin`, which means something else to `taiwa config show`.
    ShownFlags, |flag| flag != "origin"
}

narrowed! {
    /// `--config` and `--set` alone.
    FewFlags, |_| false
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        augment(command, |_| true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn augment(mut command: Command, wanted: impl Fn(&str) -> bool) -> Command {
    command = command.arg(
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(
                "Read settings from this file, in TOML. Default: what TAIWA_CONFIG names, or else taiwa.toml in \
                 the working directory if it is there",
            ),
    );
    command = command.arg(
        Arg::new("set")
            .long("set")
            .value_name("KEY=VALUE")
            .action(ArgAction::Append)
            .value_parser(setting)
            .help(
                "Set what has no flag of its own, as times.session_ttl=5m. Repeat for more; `taiwa config docs` \
                 explains all keys",
            ),
    );
    for (heading, flags) in FLAGS {
        command = command.next_help_heading(*heading);
        for (flag, value_name, path) in flags.iter().filter(|it| wanted(it.0)) {
            command = command.arg(arg(flag, value_name, keys::all().expect_key(path)));
        }
    }
    command.next_help_heading(None)
}

fn arg(flag: &'static str, value_name: &'static str, key: &Key) -> Arg {
    let is_list = matches!(key.kind, Kind::List(_));
    let sentence = key.doc.strip_suffix('.').unwrap_or(&key.doc);
    let help = if is_list { format!("{sentence}. Repeat for more") } else { sentence.to_owned() };
    let mut arg = Arg::new(flag).long(flag).value_name(value_name).help(help).action(if is_list {
        ArgAction::Append
    } else {
        ArgAction::Set
    });
    if !key.choices.is_empty() {
        let choices = key.choices.iter().map(|it| {
            let doc = it.doc.strip_suffix('.').unwrap_or(&it.doc).to_owned();
            PossibleValue::new(it.word.clone()).help(doc)
        });
        arg = arg.value_parser(choices.collect::<Vec<_>>());
    }
    match &key.default {
        Some(Value::Array(items)) => {
            arg.default_values(items.iter().map(plain)).hide_default_value(items.is_empty())
        }
        Some(default) => arg.default_value(plain(default)),
        None => arg,
    }
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
        None => Err("a setting is KEY=VALUE, as log.level=debug".into()),
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let set = matches.get_many::<(String, String)>("set").unwrap_or_default();
        let set = set.map(|(path, value)| Given {
            flag: format!("--set {path}"),
            path: path.clone(),
            said: Said::Text(value.clone()),
        });
        let flags = FLAGS.iter().flat_map(|it| it.1);
        // One that was not wanted is not known.
        let flags = flags.filter(|it| matches.try_contains_id(it.0).is_ok());
        let flags = flags.filter(|it| matches.value_source(it.0) == Some(ValueSource::CommandLine));
        let named = flags.map(|(flag, _, path)| {
            let mut values = matches.get_many::<String>(flag).unwrap_or_default().cloned();
            let said = match keys::all().expect_key(path).kind {
                Kind::List(_) => Said::Items(values.collect()),
                _ => Said::Text(values.next_back().unwrap_or_default()),
            };
            Given { flag: format!("--{flag}"), path: (*path).to_owned(), said }
        });
        Ok(Self { file: matches.get_one("config").cloned(), given: set.chain(named).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_name_leads_to_a_setting_of_its_own() {
        let paths: Vec<_> = FLAGS.iter().flat_map(|it| it.1).map(|it| it.2).collect();
        for (number, path) in paths.iter().enumerate() {
            let _ = keys::all().expect_key(path);
            assert!(!paths[..number].contains(path), "{path}");
        }
    }
}
