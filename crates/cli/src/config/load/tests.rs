//! Tests of what is read, from where, and of what is told when it is wrong.

use std::time::Duration;

use super::*;
use crate::{
    args::{Size, Time},
    config::{settings::Level, values::Anonymous, write},
};

/// Builds layers of a file's text, variables and flags by path.
fn layers(text: &str, variables: &[(&str, &str)], flags: &[(&str, &[&str])]) -> Layers {
    let owned = |it: &&str| (*it).to_owned();
    Layers {
        file: Some(File { path: "t.toml".into(), text: text.into() }),
        variables: variables.iter().map(|it| (it.0.into(), it.1.into())).collect(),
        flags: flags
            .iter()
            .map(|(path, values)| Given {
                flag: format!("--{path}"),
                path: (*path).into(),
                said: match values {
                    [text] => Said::Text((*text).into()),
                    _ => Said::Items(values.iter().map(owned).collect()),
                },
            })
            .collect(),
    }
}

#[track_caller]
fn good(text: &str, variables: &[(&str, &str)], flags: &[(&str, &[&str])]) -> Loaded {
    layers(text, variables, flags).load().unwrap_or_else(|it| panic!("{it:#?}"))
}

/// Checks that a file is refused with just these problems.
#[track_caller]
fn bad(text: &str, problems: &[&str]) {
    bad_layers(&layers(text, &[], &[]), problems);
}

#[track_caller]
fn bad_layers(layers: &Layers, problems: &[&str]) {
    let told = layers.load().expect_err("this is wrong");
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told, problems);
}

#[test]
fn nothing_gives_the_defaults() {
    let loaded = Layers::default().load().unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.origins.is_empty() && loaded.strangers.is_empty());
    assert_eq!(good("", &[], &[]).settings, Settings::default());
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let file = "[times]\nclose_timeout = \"1s\"\n";
    let variable = [("TAIWA_TIMES__CLOSE_TIMEOUT", "2s")];
    let flag = [("times.close_timeout", &["3s"][..])];
    let path = "times.close_timeout";
    let from_file = Origin::File { path: "t.toml".into(), line: 2, column: 17 };
    let from_variable = Origin::Variable("TAIWA_TIMES__CLOSE_TIMEOUT".into());
    let from_flag = Origin::Flag("--times.close_timeout".into());
    for (loaded, seconds, origin) in [
        (good("", &[], &[]), 5, None),
        (good(file, &[], &[]), 1, Some(from_file)),
        (good("", &variable, &[]), 2, Some(from_variable.clone())),
        (good(file, &variable, &[]), 2, Some(from_variable)),
        (good("", &[], &flag), 3, Some(from_flag.clone())),
        (good(file, &[], &flag), 3, Some(from_flag.clone())),
        (good("", &variable, &flag), 3, Some(from_flag.clone())),
        (good(file, &variable, &flag), 3, Some(from_flag)),
    ] {
        let time = loaded.settings.times.close_timeout;
        assert_eq!(
            (time.0, loaded.origins.get(path)),
            (Some(Duration::from_secs(seconds)), origin.as_ref())
        );
        // Its neighbours stay as they are.
        assert_eq!(loaded.settings.times.write_timeout, Settings::default().times.write_timeout);
    }
}

#[test]
fn variables_are_read_by_the_kind_of_their_key() {
    let settings = good(
        "",
        &[
            ("TAIWA_LISTEN", "127.0.0.1:1, unix:/tmp/x"),
            ("TAIWA_ORIGINS", "[\"https://a.example\"]"),
            ("TAIWA_LIMITS__CONNECTION__MESSAGE_MAX", "64KiB"),
            ("TAIWA_LIMITS__CONNECTION__OUTBOX_MAX", "65536"),
            ("TAIWA_LIMITS__CONNECTION__FRAGMENTS_MAX", "7"),
            ("TAIWA_AUTH__ANONYMOUS", "false"),
            ("TAIWA_API__KEYS", "['first', 'second']"),
            ("TAIWA_AUTH__JWT__SECRETS", "a secret, with a comma, of thirty-two bytes"),
            ("TAIWA_NAMESPACE", "[{ name = 'a', presence = true, rights.publish = 'all' }]"),
            ("TAIWA_TIMES__CLOSE_TIMEOUT", ""),
            ("OTHER__KEY", "x"),
        ],
        &[],
    )
    .settings;
    assert_eq!(settings.listen.len(), 2);
    assert_eq!(settings.origins[0].to_string(), "https://a.example");
    assert_eq!(settings.limits.connection.message_max, Size(64 << 10));
    assert_eq!(settings.limits.connection.outbox_max, Size(64 << 10));
    assert_eq!(settings.limits.connection.fragments_max, 7);
    assert_eq!(settings.auth.anonymous, Anonymous::Nobody);
    assert_eq!(settings.api.keys[1].reveal(), "second");
    assert!(settings.auth.jwt.secrets[0].reveal().ends_with("bytes"));
    assert_eq!((&*settings.namespace[0].name, settings.namespace[0].presence), ("a", true));
    assert_eq!(settings.times.close_timeout, Settings::default().times.close_timeout);
}

#[test]
fn the_old_name_of_a_variable_yields_to_the_new_one() {
    let level = |variables: &[_]| good("", variables, &[]).settings.log.level;
    assert_eq!(level(&[("TAIWA_LOG", "debug")]), Level::Debug);
    assert_eq!(level(&[("TAIWA_LOG", "debug"), ("TAIWA_LOG__LEVEL", "warn")]), Level::Warn);
    assert_eq!(level(&[("TAIWA_LOG__LEVEL", "warn"), ("TAIWA_LOG", "debug")]), Level::Warn);
}

#[test]
fn lists_are_taken_whole() {
    let loaded = good("listen = [\"a:1\", \"b:2\"]", &[], &[("listen", &["c:3", "d:4"])]);
    let shown: Vec<_> = loaded.settings.listen.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["c:3", "d:4"]);
}

#[test]
fn every_problem_of_a_file_is_told_with_its_place() {
    bad(
        "lissten = []\n[times]\nsession_ttl = 30\nclose_timeout = \"soon\"\n[limits]\nserver.connections_max = \"many\"\n",
        &[
            "t.toml:1:1: lissten: there is no such key; did you mean listen?",
            "t.toml:3:15: times.session_ttl: time unit needed, for example 30sec or 30ms",
            "t.toml:4:17: times.close_timeout: expected number at 0",
            "t.toml:6:26: limits.server.connections_max: invalid type: string \"many\", expected a whole number",
        ],
    );
    bad(
        "[[namespace]]\nname = \"a\"\n[[namespace]]\nname = \"a:b\"\nhistory = 3\n[namespace.rights]\npublsh = \"all\"\nsubscribe = \"some\"\n",
        &[
            "t.toml:5:1: namespace[1].history: there is no such key; did you mean history_size?",
            "t.toml:7:1: namespace[1].rights.publsh: there is no such key; did you mean publish?",
            "t.toml:8:13: namespace[1].rights.subscribe: unknown variant `some`, expected one of `all`, `authenticated`, \
             `subscribers`, `named`, `token`, `app`, `none`",
        ],
    );
}

#[test]
fn numbers_that_do_not_fit_are_told() {
    bad(
        "shards = 0\n[compression]\nlevel = 300\n[limits]\nsession.asked_max = 70000\nconnection.fragments_max = -1\n\
         connection.headers_max = 1.5\n",
        &[
            "t.toml:1:10: shards: invalid value: integer `0`, expected a whole number from 1 on",
            "t.toml:3:9: compression.level: invalid value: integer `300`, expected a whole number up to 255",
            "t.toml:5:21: limits.session.asked_max: invalid value: integer `70000`, expected a whole number up to 65535",
            "t.toml:6:28: limits.connection.fragments_max: invalid value: integer `-1`, expected a whole number up to \
             4294967295",
            "t.toml:7:26: limits.connection.headers_max: invalid type: floating point `1.5`, expected a whole number",
        ],
    );
}

#[test]
fn no_file_and_no_variable_makes_it_panic_or_go_on_for_ever() {
    let whole = write::example().replace("\n#", "\n").replace("\n ", "\n# ");
    let pieces = [
        "[", "]", "[[", "=", "\"", "{", "}", "\n", "対", "1", "-", ".", "#", "'''", "true", ",",
        "\0",
    ];
    let mut state = 1_u64;
    let mut random = |below: usize| {
        // xorshift64: a seed is all it needs.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut refused = 0;
    for round in 0..100 {
        let mut lines: Vec<_> = whole.lines().collect();
        for _ in 0..random(4) {
            let (from, to) = (random(lines.len()), random(lines.len()));
            lines.swap(from, to);
        }
        let mut text = lines.join("\n");
        for _ in 0..random(4) {
            let at = random(text.len());
            let at = (at..=text.len()).find(|it| text.is_char_boundary(*it)).unwrap_or(0);
            text.insert_str(at, pieces[random(pieces.len())]);
        }
        let variable = text.get(..random(40)).unwrap_or("[").to_owned();
        let variables = [("TAIWA_NAMESPACE", &*variable), ("TAIWA_API__KEYS", &*variable)];
        let Err(problems) = layers(&text, &variables, &[]).load() else { continue };
        refused += 1;
        assert!((1..=PROBLEMS_MAX).contains(&problems.len()), "{round}");
        let mut told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), problems.len(), "{round}: {problems:#?}");
        assert!(problems.iter().all(|it| it.origin.is_some()), "{round}: {problems:#?}");
    }
    assert!(refused > 70, "{refused}");
}

#[test]
fn tables_are_tables() {
    bad("tls = true", &["t.toml:1:1: tls: this is a table, written [tls]"]);
    bad(
        "[namespace]\nname = \"a\"",
        &["t.toml:1:2: namespace: this is a table, written [[namespace]]"],
    );
    let flags = layers("", &[], &[("tls", &["x"])]);
    bad_layers(&flags, &["--tls: tls: this is a table; set one of its keys"]);
}

#[test]
fn every_error_of_syntax_is_told_with_its_place() {
    let told = layers("a = \n[b\nc = 1", &[], &[]).load().expect_err("this is no TOML");
    let places: Vec<_> = told.iter().map(|it| it.origin.as_ref().unwrap().place().0).collect();
    assert!(places.contains(&1) && places.contains(&2), "{told:?}");
}

#[test]
fn problems_of_variables_and_flags_name_them() {
    let layers = layers(
        "",
        &[("TAIWA_TIMES__CLOSE_TIMEUOT", "1s"), ("TAIWA_LIMITS__CONNECTION__PONGS_MAX", "x")],
        &[("compression.levle", &["1"]), ("times.pong_within", &["5"])],
    );
    bad_layers(
        &layers,
        &[
            "env TAIWA_TIMES__CLOSE_TIMEUOT: there is no such key; did you mean TAIWA_TIMES__CLOSE_TIMEOUT?",
            "env TAIWA_LIMITS__CONNECTION__PONGS_MAX: limits.connection.pongs_max: invalid type: string \"x\", \
             expected a whole number up to 4294967295",
            "--compression.levle: compression.levle: there is no such key; did you mean compression.level?",
            "--times.pong_within: times.pong_within: time unit needed, for example 5sec or 5ms",
        ],
    );
}

#[test]
fn a_variable_that_may_be_anothers_is_only_told() {
    let loaded = good("", &[("TAIWA_PORT_8000_TCP", "x"), ("TAIWA_LISTN", "x")], &[]);
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(
        loaded.strangers,
        [
            "TAIWA_LISTN sets nothing; did you mean TAIWA_LISTEN?",
            "TAIWA_PORT_8000_TCP sets nothing"
        ]
    );
}

#[test]
fn what_makes_no_sense_together_is_told_with_its_place() {
    bad("[tls]\ncert = \"x\"", &["t.toml:2:8: tls.cert: a certificate needs its tls.key"]);
    let told = layers("[tls]\ncert = \"/no/such\"\nkey = \"/no/such\"", &[], &[]).load();
    let told = told.expect_err("there is no such file")[0].to_string();
    assert!(told.starts_with("t.toml:2:8: tls.cert: ") && told.contains("/no/such"), "{told}");
    bad(
        "[auth.jwt]\nsecrets = [\"a secret of at least thirty-two bytes\", \"short\"]",
        &["t.toml:2:53: auth.jwt.secrets[1]: a secret for tokens must have 32 bytes or more"],
    );
    bad(
        "[auth.jwt]\njwks_urls = [\"http://login.example/\"]",
        &[
            "t.toml:2:14: auth.jwt.jwks_urls[0]: the URL of a JWK set must be https: over http anyone on the way could \
           change the keys",
        ],
    );
    bad(
        "[rights]\ncall = \"subscribers\"",
        &["t.toml:2:8: rights.call: there is no channel here; say all, authenticated, app or none"],
    );
    bad("shards = 65", &["t.toml:1:10: shards: there are at most 64"]);
    bad("[compression]\nlevel = 10", &["t.toml:2:9: compression.level: this is 1 to 9"]);
    bad("listen = []", &["t.toml:1:10: listen: nobody could connect: name at least one address"]);
    bad(
        "[[namespace]]\nname = \"a\"\n[[namespace]]\nname = \"a\"\nrecovery = \"stream\"\n",
        &[
            "t.toml:4:8: namespace[1].name: there is another namespace with this name",
            "t.toml:5:12: namespace[1].recovery: without a history_size there is nothing to recover",
        ],
    );
    bad(
        "[api]\nlisten = [\"a:1\"]",
        &["t.toml:2:10: api.listen: without api.keys there is no API"],
    );
    for (text, expected) in [
        ("broker = \"amqp://a\"", "t.toml:1:10: broker: this begins with redis://"),
        ("broker = \"redis://\"", "t.toml:1:10: broker: a URL has a host"),
        ("broker = \"nats://a/b\"", "t.toml:1:10: broker: the address of NATS has hosts"),
        ("[cluster]\nprefix = \"a b\"", "t.toml:2:10: cluster.prefix: this is 1 to 64 letters"),
        ("[cluster]\nprefix = \"\"", "t.toml:2:10: cluster.prefix: this is 1 to 64 letters"),
        ("[cluster]\nrequests_max = 0", "t.toml:2:16: cluster.requests_max: nothing could ever"),
        ("[cluster]\ndeadline = \"off\"", "t.toml:2:12: cluster.deadline: this is a time"),
        ("[cluster]\nsilence = \"off\"", "t.toml:2:11: cluster.silence: this is a time"),
    ] {
        let told = layers(text, &[], &[]).load().expect_err(text);
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].starts_with(expected), "{text}: {told:?}");
    }
    for (text, expected) in [
        ("", "t.toml:1:1: api.key[0]: a key has either a secret or a secret_file"),
        (
            "secret = \"a b\"",
            "t.toml:2:10: api.key[0].secret: a key has 1 to 512 visible ASCII characters",
        ),
        (
            "secret = \"a\"\nchannels = [\"x*\", \"news\"]",
            "t.toml:3:19: api.key[0].channels[1]: channels are written as the beginning of a name and *",
        ),
        (
            "secret = \"a\"\n[[api.key]]\nsecret = \"a\"",
            "t.toml:4:10: api.key[1].secret: another key has the same secret",
        ),
    ] {
        bad(&format!("[[api.key]]\n{text}"), &[expected]);
    }
}

#[test]
fn the_path_of_a_socket_is_one() {
    for path in ["socket", "/a*", ""] {
        bad(
            &format!("[dialects.phoenix]\npath = \"{path}\""),
            &["t.toml:2:8: dialects.phoenix.path: a path begins with / and has no *, ? or #"],
        );
    }
}

#[test]
fn no_problem_tells_a_secret() {
    for (text, variables) in [
        ("[auth.jwt]\nsecrets = [[\"opensesame\"]]", &[][..]),
        ("[auth.jwt]\nsecrets = [\"opensesame\"]", &[]),
        ("[auth.jwt]\nsecrets = { opensesame = 1 }", &[]),
        ("[webhooks]\nurl.connect = \"http://u:opensesame@a/\"", &[]),
        ("[api]\nkeys = [\"x\", [\"opensesame\"]]", &[]),
        ("[api]\nkeys = [opensesame]", &[]),
        ("[api]\nkeys = \"opensesame", &[]),
        ("[api]\nkeys = \"\\opensesame\"", &[]),
        ("[api]\nkeys = opensesame = 3", &[]),
        ("[webhooks]\nsecrets = opensesame", &[]),
        ("[[api.key]]\nsecret = [\"opensesame\"]", &[]),
        ("[[api.key]]\nsecret = \"open sesame\"", &[]),
        ("[api]\nkey = [\"opensesame\"]", &[]),
        ("[api]\nkey = \"opensesame\"", &[]),
        ("[api]\nkeys = [\"opensesame\"]\n[[api.key]]\nsecret = \"opensesame\"", &[]),
        ("", &[("TAIWA_API__KEY", "opensesame")]),
        ("", &[("TAIWA_API__KEYS", "[\"opensesame\", {opensesame")]),
        ("", &[("TAIWA_AUTH__JWT__SECRETS", "opensesame")]),
        ("", &[("TAIWA_AUTH__JWT__SECRTE", "opensesame")]),
    ] {
        let told = layers(text, variables, &[]).load().expect_err(text);
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert!(!told.is_empty() && !told.concat().contains("sesame"), "{told:?}");
    }
}

#[test]
fn a_time_may_be_off() {
    let times =
        good("[times]\nwrite_timeout = \"off\"\nping_after = \"off\"", &[], &[]).settings.times;
    assert_eq!((times.write_timeout, times.ping_after), (Time(None), Time(None)));
}
