//! The flags of `taiwa serve`: a short name for some of the settings, and `--set` for each of them.

use std::path::PathBuf;

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, builder::PossibleValue,
    error::ErrorKind, parser::ValueSource, value_parser,
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
    /// By two flags that were repeated: tables of what stands in them, to come before those of the file.
    Tables(Vec<[(&'static str, String); 2]>),
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
            ("http1", "TRUTH", "http1"),
            ("http2", "TRUTH", "http2"),
            ("http3", "TRUTH", "http3"),
            ("http3-port", "PORT", "http3_port"),
            ("broker", "URL", "broker"),
            ("tls", "ISSUER", "tls.issuer"),
            ("tls-cert", "FILE", "tls.cert"),
            ("tls-key", "FILE", "tls.key"),
            ("tls-name", "NAME", "tls.names"),
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

/// Two flags that make a pair each time they are given: the first pair is a setting of its own, the others are tables of a list.
const CERTIFICATES: [&str; 2] = ["tls-cert", "tls-key"];
/// The list of the other pairs.
const MORE_CERTIFICATES: &str = "tls.certificate";

fn arg(flag: &'static str, value_name: &'static str, key: &Key) -> Arg {
    let is_list = matches!(key.kind, Kind::List(_));
    let sentence = key.doc.strip_suffix('.').unwrap_or(&key.doc);
    let help = match CERTIFICATES.contains(&flag) {
        true => format!("{sentence}. Repeat with its other half for certificates of other names"),
        false if is_list => format!("{sentence}. Repeat for more"),
        false => sentence.to_owned(),
    };
    let is_repeated = is_list || CERTIFICATES.contains(&flag);
    let action = if is_repeated { ArgAction::Append } else { ArgAction::Set };
    let mut arg = Arg::new(flag).long(flag).value_name(value_name).help(help).action(action);
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
                _ if CERTIFICATES.contains(flag) => Said::Text(values.next().unwrap_or_default()),
                _ => Said::Text(values.next_back().unwrap_or_default()),
            };
            Given { flag: format!("--{flag}"), path: (*path).to_owned(), said }
        });
        let given = set.chain(named).chain(more_certificates(matches)?).collect();
        Ok(Self { file: matches.get_one("config").cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the pairs of certificate and key behind the first.
fn more_certificates(matches: &ArgMatches) -> Result<Option<Given>, clap::Error> {
    let values = |flag| {
        let values = matches.try_get_many::<String>(flag).ok().flatten();
        values.unwrap_or_default().cloned().collect::<Vec<_>>()
    };
    let [certs, keys] = CERTIFICATES.map(values);
    if certs.len().max(keys.len()) < 2 {
        return Ok(None);
    }
    if certs.len() != keys.len() {
        let counts = format!("--tls-cert is given {} times, --tls-key {}", certs.len(), keys.len());
        let why = format!("{counts}: each certificate needs its own key, in the same order\n");
        return Err(clap::Error::raw(ErrorKind::WrongNumberOfValues, why));
    }
    let pairs = certs.into_iter().zip(keys).skip(1);
    let tables = pairs.map(|(cert, key)| [("cert", cert), ("key", key)]).collect();
    let flag = CERTIFICATES.map(|it| format!("--{it}")).join(" and ");
    Ok(Some(Given { flag, path: MORE_CERTIFICATES.to_owned(), said: Said::Tables(tables) }))
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
    #[track_caller]
    fn read(args: &[&str]) -> Result<Vec<Given>, String> {
        let matches = augment(Command::new("serve"), |_| true)
            .try_get_matches_from([&["serve"], args].concat())
            .expect("clap takes them");
        Flags::from_arg_matches(&matches).map(|it| it.given).map_err(|it| it.to_string())
    }

    #[test]
    fn certificates_beside_the_first_become_tables() {
        let text = |flag: &str, path: &str, text: &str| Given {
            flag: flag.to_owned(),
            path: path.to_owned(),
            said: Said::Text(text.to_owned()),
        };
        let first = [text("--tls-cert", "tls.cert", "a"), text("--tls-key", "tls.key", "b")];
        assert_eq!(read(&["--tls-cert", "a", "--tls-key", "b"]).unwrap(), first);
        // Its other half may stand in the file.
        assert_eq!(read(&["--tls-cert", "a"]).unwrap(), first[..1]);
        let pairs = ["--tls-cert", "a", "--tls-key", "b", "--tls-key", "d", "--tls-cert", "c"];
        let given = read(&pairs).unwrap();
        assert_eq!(given[..2], first);
        let table = [("cert", "c".to_owned()), ("key", "d".to_owned())];
        assert_eq!(given[2].said, Said::Tables(vec![table]));
        assert_eq!(given[2].path, "tls.certificate");
        for (args, counts) in [
            (&pairs[..6], "--tls-cert is given 1 times, --tls-key 2"),
            (&["--tls-cert", "a", "--tls-cert", "b"], "--tls-cert is given 2 times, --tls-key 0"),
        ] {
            let why = read(args).unwrap_err();
            assert!(why.contains(counts), "{why}");
        }
    }
}
