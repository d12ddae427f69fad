//! Tests of what the settings become: every key arrives, and the defaults are those of whoever takes them.

use std::time::Duration;

use taiwa_hub::settings::{Payloads, Recovery, Rule, Slow};
use taiwa_server::{
    apps::webhooks::{Kind, WebhookLimits},
    auth::{AuthSettings, KeySource},
    outgoing::OutgoingLimits,
};

use super::*;
use crate::{config::load::Layers, connect::NEVER};

/// Reads settings out of what would stand in a file.
pub(super) fn read(text: &str) -> Settings {
    let file = crate::config::tree::File { path: "t.toml".into(), text: text.into() };
    let layers = Layers { file: Some(file), ..Layers::default() };
    layers.load().unwrap_or_else(|it| panic!("{it:#?}")).settings
}

fn hub_of(text: &str) -> taiwa_hub::Settings {
    read(text).hub()
}

#[test]
fn the_defaults_are_those_of_whoever_takes_them() {
    let settings = Settings::default();
    let config = settings.connection();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.deadlines, Deadlines::default());
    assert_eq!(config.keepalive, Some(taiwa::Keepalive::default()));
    assert_eq!(config.deflate, Some(Deflate::default()));
    assert_eq!(settings.host(), HostLimits::default());
    assert_eq!(format!("{:?}", settings.hub()), format!("{:?}", taiwa_hub::Settings::open()));
    let auth = settings.auth().unwrap();
    assert_eq!(format!("{auth:?}"), format!("{:?}", AuthSettings::default()));
    assert_eq!(settings.outgoing(), OutgoingLimits::default());
    assert_eq!(settings.shards(), shard::Settings::default());
    let webhooks = settings.webhooks().unwrap();
    assert_eq!(webhooks.limits, WebhookLimits::default());
    assert_eq!(webhooks.source.as_deref(), Some("taiwa"));
    assert_eq!(
        format!("{:?}", settings.plain()),
        format!("{:?}", taiwa_plain::Settings::default())
    );
    assert_eq!(format!("{:?}", settings.sse()), format!("{:?}", taiwa_sse::Settings::default()));
    let theirs = taiwa_centrifuge::Settings::default();
    assert_eq!(format!("{:?}", settings.centrifuge()), format!("{theirs:?}"));
    assert_eq!(settings.phoenix(), taiwa_phoenix::Settings::default());
    assert_eq!(settings.socketio(), taiwa_socketio::Settings::default());
}

#[test]
fn every_limit_of_the_hub_can_be_set() {
    let hub = hub_of(
        "[times]\nsession_ttl = \"1s\"\napp_timeout = \"2s\"\nexpiry_grace = \"3s\"\n\
         [limits]\nshard = { sessions_max = 1, kept_max = 2, channels_max = 3 }\nuser.sessions_max = 4\n\
         session = { subscriptions_max = 5, links_max = 6, command_rate = \"7/s\", publish_rate = \"8/s\", \
         asked_max = 9, calls_max = 10, log_max = 11 }\n\
         channel = { history_max = 12, page_max = 13, presence_max = 14, identifiers_max = 15 }\n\
         publication = { payload_max = 16, tags_max = 17, name_max = 18, filter_nodes_max = 19, \
         filter_depth_max = 20, filter_max = 21, except_channels_max = 22 }\n\
         server = { answers_max = 23, answers_bytes_max = 24 }\n",
    );
    let limits = taiwa_hub::Limits::default().with(|it| {
        it.keep_max = Duration::from_secs(1);
        (it.sessions_max, it.kept_max, it.channels_max) = (1, 2, 3);
        (it.user_sessions_max, it.subscriptions_max, it.links_max) = (4, 5, 6);
        (it.commands_per_second, it.publications_per_second) = (7, 8);
        (it.asked_max, it.calls_max, it.log_bytes_max) = (9, 10, 11);
        (it.history_bytes_max, it.page_max, it.presence_max, it.identifiers_max) = (12, 13, 14, 15);
        (it.payload_bytes_max, it.tags_max, it.name_bytes_max) = (16, 17, 18);
        it.except_channels_max = 22;
        (it.answers_max, it.answers_bytes_max) = (23, 24);
        (it.filters.nodes_max, it.filters.depth_max, it.filters.bytes_max) = (19, 20, 21);
    });
    assert_eq!(hub.limits, limits);
    assert_eq!(hub.app_deadline, Duration::from_secs(2));
    assert_eq!(hub.expiry_grace, Duration::from_secs(3));
    // No number stands for two.
    let shown = format!("{limits:?}");
    for number in 2..=24 {
        assert_eq!(shown.matches(&format!(": {number},")).count().max(1), 1, "{number}: {shown}");
    }
}

#[test]
fn without_a_namespace_everything_is_open_and_with_one_nothing_else_is() {
    let channel = |it| taiwa_core::Channel::parse(it).unwrap();
    let open = hub_of("");
    for name in ["chat", "news:sport"] {
        let namespace = open.namespace(&channel(name)).unwrap();
        assert_eq!((&namespace.subscribe, &namespace.publish), (&Rule::All, &Rule::All));
    }
    let hub = hub_of("[[namespace]]\nname = \"news\"\n");
    assert_eq!(hub.namespace(&channel("news:sport")).unwrap().subscribe, Rule::Users);
    assert!(hub.namespace(&channel("other:sport")).is_none());
    let without = hub.namespace(&channel("chat")).unwrap();
    assert_eq!((&without.subscribe, &without.publish), (&Rule::Nobody, &Rule::Nobody));
    // What waits for a reader has one bound unless a namespace has its own.
    let hub = hub_of(
        "limits.connection.queue_max = 5\n[[namespace]]\n[[namespace]]\nname = \"n\"\nqueue_max = 6\n",
    );
    assert_eq!(
        (hub.without_namespace.queue_bytes_max, hub.namespaces["n"].queue_bytes_max),
        (5, 6)
    );
    assert_eq!(hub_of("limits.connection.queue_max = 5").without_namespace.queue_bytes_max, 5);
    // One with the empty name is for channels without a colon.
    let hub = hub_of("[[namespace]]\nrights.subscribe = \"all\"\n");
    assert_eq!(hub.namespace(&channel("chat")).unwrap().subscribe, Rule::All);
    assert!(hub.namespaces.is_empty());
}

#[test]
fn every_key_of_a_namespace_arrives() {
    let hub = hub_of(
        "[[namespace]]\nname = \"n\"\nhistory_size = 1\nhistory_ttl = \"2s\"\nepoch_ttl = \"3s\"\n\
         recovery = \"last\"\npositioned = true\npresence = true\njoin_leave = true\nforce_join_leave = true\n\
         delta = true\npatterns = true\npublisher = true\npayloads = \"binary\"\nidempotency_ttl = \"4s\"\n\
         slow_readers = \"keep-latest\"\nkept_max = 5\nqueue_max = 6\nsubscribers_max = 7\n\
         publish_rate = \"8/s\"\n[namespace.rights]\nsubscribe = \"named\"\npublish = \"token\"\n\
         presence = \"app\"\nhistory = \"subscribers\"\n",
    );
    let expected = taiwa_hub::Namespace {
        history_size: 1,
        history_ttl: Duration::from_secs(2),
        epoch_ttl: Duration::from_secs(3),
        recovery: Recovery::Last,
        positioned: true,
        presence: true,
        join_leave: true,
        force_join_leave: true,
        delta: true,
        patterns: true,
        publisher: true,
        payloads: Payloads::Binary,
        idempotency: Duration::from_secs(4),
        slow: Slow::KeepLatest(5),
        queue_bytes_max: 6,
        hold: Duration::from_secs(1),
        subscribers_max: 7,
        publications_per_second: 8,
        subscribe: Rule::Named,
        publish: Rule::Token,
        presence_rule: Rule::App,
        history_rule: Rule::Subscribers,
    };
    assert_eq!(format!("{:?}", hub.namespaces["n"]), format!("{expected:?}"));
}

#[test]
fn what_is_off_lasts_or_is_not_done() {
    let hub = hub_of(
        "[[namespace]]\nhistory_ttl = \"off\"\nidempotency_ttl = \"off\"\npublish_rate = \"off\"\n",
    );
    let namespace = &hub.without_namespace;
    assert_eq!((namespace.history_ttl, namespace.idempotency), (NEVER, Duration::ZERO));
    assert_eq!(namespace.publications_per_second, 0);
}

#[test]
fn keys_come_from_all_their_places() {
    let secret = "a secret of at least thirty-two bytes";
    let settings = read(&format!(
        "[auth.jwt]\nsecrets = [\"{secret}\", \"another {secret}\"]\n\
         jwks_urls = [\"https://login.example/jwks\"]\njwks_ttl = \"7s\"\nleeway = \"8s\"\n\
         audiences = [\"a\"]\nissuers = [\"i\"]\nexpiry_required = true\n\
         [limits.auth]\ntoken_max = 9\n",
    ));
    let auth = settings.auth().unwrap();
    let [KeySource::Secret(_), KeySource::Secret(_), KeySource::JwksUrl(url)] = &*auth.keys else {
        panic!("{auth:?}");
    };
    assert_eq!((&*url.url, url.cached_for.as_secs()), ("https://login.example/jwks", 7));
    assert_eq!((auth.leeway.as_secs(), auth.expiry_required), (8, true));
    assert_eq!((&*auth.audiences, &*auth.issuers), (&["a".to_owned()][..], &["i".to_owned()][..]));
    assert_eq!(auth.limits.token_bytes_max, 9);
}

#[test]
fn every_limit_of_conversations_can_be_set() {
    let host = read(
        "[limits]\nsession.waiting_max = 1\nconnection = { body_max = 2, exchanges_max = 3 }\nshard.due_max = 4\n",
    )
    .host();
    assert_eq!((host.waiting_bytes_max, host.body_bytes_max), (1, 2));
    assert_eq!((host.exchanges_max, host.due_max), (3, 4));
}

#[test]
fn every_key_of_a_dialect_arrives() {
    let settings = read(
        "shards = 3\nlimits.shard.letters_max = 4\nlimits.publication.filter_nodes_max = 5\n\
         [dialects]\nplain = { channels_max = 1, echo = false }\n\
         sse = { channels_max = 3, early_max = 4, heartbeat_every = \"5s\", retry = \"6s\", cookie = \"c\" }\n\
         [dialects.centrifuge]\nconnect_within = \"1s\"\nping_every = \"off\"\npong_within = \"3s\"\n\
         commands_max = 4\npositions_max = 6\nwaiting_max = 7\nwebtransport = false\n\
         [dialects.phoenix]\npath = \"/ws\"\ncalls = [\"a\"]\nbroadcast_from = [\"b\"]\nchannels_max = 1\n\
         silence_max = \"2s\"\npoll_window = \"3s\"\npushes_max = 4\nwaiting_max = 5\n\
         [[namespace]]\nname = \"n\"\npayloads = \"json\"\n[[namespace]]\nname = \"m\"\n",
    );
    let shards = settings.shards();
    assert_eq!((shards.shards.get(), shards.letters_max), (3, 4));
    let plain = settings.plain();
    assert_eq!((plain.channels_max, plain.echo), (1, false));
    assert_eq!(plain.json, [Box::from("n")]);
    let sse = settings.sse();
    assert_eq!((sse.channels_max, sse.early_max, sse.cookie.as_deref()), (3, 4, Some("c")));
    assert_eq!((sse.heartbeat_every.as_secs(), sse.retry.as_secs()), (5, 6));
    let centrifuge = settings.centrifuge();
    assert_eq!((centrifuge.connect_within.as_secs(), centrifuge.pong_within.as_secs()), (1, 3));
    assert_eq!((centrifuge.ping_every.as_secs(), centrifuge.commands_max), (0, 4));
    assert_eq!((centrifuge.positions_max, centrifuge.filter_nodes_max), (6, 5));
    assert_eq!((centrifuge.waiting_bytes_max, centrifuge.webtransport), (7, false));
    let phoenix = settings.phoenix();
    assert_eq!((&*phoenix.path, phoenix.channels_max), ("/ws", 1));
    assert_eq!((phoenix.calls, phoenix.broadcast_from), (vec!["a".into()], vec!["b".into()]));
    assert_eq!((phoenix.silence_max.as_secs(), phoenix.poll_window.as_secs()), (2, 3));
    assert_eq!((phoenix.pushes_max, phoenix.waiting_bytes_max), (4, 5));
}

#[test]
fn the_anonymous_are_let_in_on_loopback_or_where_it_is_said() {
    let addrs = |all: &[&str]| -> Vec<Addr> {
        all.iter().map(|it| Addr::from(it.parse::<std::net::SocketAddr>().unwrap())).collect()
    };
    let lets = |text: &str, all: &[&str]| read(text).lets_anonymous_in(&addrs(all));
    for (text, all, expected) in [
        ("", &["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"][..], true),
        ("", &["127.0.0.1:1", "192.0.2.1:1"], false),
        ("", &["0.0.0.0:1"], false),
        ("proxy_protocol = [\"127.0.0.0/8\"]", &["127.0.0.1:1"], false),
        ("auth.anonymous = true", &["0.0.0.0:1"], true),
        ("auth.anonymous = false", &["127.0.0.1:1"], false),
    ] {
        assert_eq!(lets(text, all), expected, "{text:?} {all:?}");
    }
}

#[test]
fn every_key_of_webhooks_arrives() {
    let settings = read(
        "[webhooks]\nsecrets = [\"a secret of twenty-four bytes or more\", \"another one of twenty-four bytes\"]\n\
         source = \"/one\"\ntimeout = \"1s\"\nquestions_max = 2\nrequests_max = 3\nanswer_max = 4\n\
         queue_max = 5\nqueue_bytes_max = 6\nretries_max = 7\npause_min = \"8s\"\npause_max = \"9s\"\n\
         batch_max = 10\nbatch_bytes_max = 11\n[webhooks.url]\nconnect = \"http://a/connect\"\n\
         refresh = \"http://a/refresh\"\nsubscribe = \"http://a/subscribe\"\npublish = \"http://a/publish\"\n\
         call = \"http://a/call\"\ntell = \"http://a/tell\"\ndisconnect = \"http://a/disconnect\"\n\
         occupied = \"http://a/occupied\"\nvacated = \"http://a/vacated\"\n",
    );
    let webhooks = settings.webhooks().unwrap();
    let seconds = Duration::from_secs;
    let expected = WebhookLimits {
        deadline: seconds(1),
        questions_max: 2,
        requests_max: 3,
        answer_bytes_max: 4,
        queue_max: 5,
        queue_bytes_max: 6,
        retries_max: 7,
        pause_min: seconds(8),
        pause_max: seconds(9),
        batch_max: 10,
        batch_bytes_max: 11,
    };
    assert_eq!(webhooks.limits, expected);
    assert_eq!((webhooks.secrets.len(), webhooks.source.as_deref()), (2, Some("/one")));
    for kind in Kind::ALL {
        let url = webhooks.urls.of(kind).unwrap();
        assert!(url.ends_with(&format!("/{}", kind.name())), "{url} for {}", kind.name());
    }
}

#[test]
fn keys_of_the_api_arrive_with_their_rights() {
    let file = std::env::temp_dir().join(format!("taiwa-test-api-key-{}", std::process::id()));
    std::fs::write(&file, "of-a-file\r\n").unwrap();
    let text = format!(
        "[api]\nkeys = [\"a\"]\n[[api.key]]\nsecret_file = '{}'\n[[api.key]]\nsecret = \"b\"\n\
         commands = [\"publish\"]\nchannels = [\"news:*\"]\n",
        file.display()
    );
    let keys = read(&text).api_keys().unwrap();
    let _ = std::fs::remove_file(file);
    let shown: Vec<_> = keys.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(
        shown,
        [
            "Key { name: \"api.keys[0]\", commands: None, channels: None, .. }",
            "Key { name: \"api.key[0]\", commands: None, channels: None, .. }",
            "Key { name: \"api.key[1]\", commands: Some({\"publish\"}), channels: Some([\"news:\"]), .. }",
        ]
    );
}

#[test]
fn every_key_of_socketio_arrives() {
    let settings = read(
        "[dialects.socketio]\npath = \"io\"\nnamespaces = [\"/\", \"/a\"]\ntoken = \"t\"\nping_every = \"1s\"\n\
         pong_within = \"2s\"\nupgrade_within = \"3s\"\nconnect_within = \"4s\"\npayload_max = 5\npackets_max = 6\n\
         attachments_max = 7\nattachments_bytes_max = 8\ncalls_max = 9\nchannels_max = 10\nrecovery = \"11s\"\n\
         held_max = 12\nbroadcast = [\"b*\"]\nbroadcast_echo = false\ncookie = \"io\"\n\
         echo_events = [\"e=f\", \"g\"]\necho_acks = [\"h\"]\necho_auth = \"i\"\nengine_echo = true\n",
    );
    let it = settings.socketio();
    assert_eq!((it.path, &*it.token), ("/io/", "t"));
    assert!(std::ptr::eq(it.path, settings.socketio().path), "a path is kept once");
    assert_eq!(*it.namespaces, ["/", "/a"].map(Box::from));
    let times = [it.ping_every, it.pong_within, it.upgrade_within, it.connect_within];
    assert_eq!(times.map(|it| it.as_secs()), [1, 2, 3, 4]);
    assert_eq!((it.payload_bytes_max, it.packets_max, it.attachments_max), (5, 6, 7));
    assert_eq!((it.attachments_bytes_max, it.calls_max, it.channels_max), (8, 9, 10));
    assert_eq!((it.recovery.map(|it| it.as_secs()), it.held_max), (Some(11), 12));
    assert_eq!((*it.broadcast == [Box::from("b*")], it.broadcast_echo), (true, false));
    assert_eq!((it.cookie.as_deref(), it.echo_auth.as_deref()), (Some("io"), Some("i")));
    assert_eq!(*it.echo_events, [("e", "f"), ("g", "g")].map(|(a, b)| (a.into(), b.into())));
    assert_eq!((*it.echo_acks == [Box::from("h")], it.engine_echo), (true, true));
}

#[test]
fn webtransport_is_for_socketio_where_the_server_has_it() {
    let with = |text: &str| read(text).socketio().webtransport;
    const TLS: &str = "tls.issuer = \"dev\"\n";
    assert!(with(TLS));
    assert!(!with(""), "without TLS there is no HTTP/3");
    for off in [
        "http3 = false",
        "webtransport = false",
        "limits.http3.sessions_max = 0",
        "dialects.socketio.webtransport = false",
        "proxy_protocol = [\"127.0.0.1\"]",
    ] {
        assert!(!with(&format!("{TLS}{off}\n")), "{off}");
    }
}
