//! Who takes part: ours, and the rivals without whom a figure says nothing.

use std::{
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bench_order::Over;
use serde_json::Value;

use crate::{
    broker,
    certificate::Certificate,
    options::Options,
    server::{Between, Role, Server, Task},
    tongue::Tongue,
};

const NO_CHANNELS: &str = "it has no channels";
const LIBRARIES: &str = "the row is about libraries";
const ONE_NODE: &str = "the row is about two nodes";
const TWO_NODES: &str = "it takes part as two nodes alone";
const NOT_LARGE: &str = "its server here has no way to handle it";
const DATAGRAMS_ALONE: &str = "it takes part for its datagrams alone";
/// How clients come to most.
const CLEAR: &[Over] = &[Over::Http1Clear];
const CHANNELS_ALONE: &str = "it takes part for its channels alone";

const PLAIN_SLOW: &str = "plain clients take part for it";
const NPM_SLOW: &str = "npm's socket.io takes part for it";
const SLOW_ALONE: &str = "it takes part with a slow reader alone";
const YARDSTICK: &str = "a yardstick for echo and fan-out";
pub(crate) const ONE_SHARD: &str = "taiwa serve, 1 shard";
pub(crate) const TWO_SHARDS: &str = "taiwa serve, 2 shards";
/// The defaults of `limits.connection.outbox_max` and `queue_max` (docs/configuration.md).
const UNREAD_MAX: u64 = 2 << 20;
/// The default of `backpressureLimit` (bun.sh/docs/api/websockets).
const BUN_UNREAD_MAX: u64 = 16 << 20;

/// Returns all servers.
///
/// # Errors
/// One is not installed: a table without a rival is a defect.
pub(crate) fn all(options: &Options) -> Result<Vec<Server>, String> {
    let mut servers = ours(options);
    servers.extend(crates(options)?);
    servers.push(bun(&options.bench)?);
    servers.extend(node(&options.bench)?);
    servers.push(picows(options)?);
    servers.extend(yardsticks(options));
    let certificate = Arc::new(Certificate::make()?);
    for server in &mut servers {
        server.certificate = Some(Arc::clone(&certificate));
    }
    servers.retain(|it| {
        options.only_servers.is_empty() || options.only_servers.iter().any(|name| name == it.name)
    });
    match servers.iter().find(|it| !it.program.is_file()) {
        Some(server) => Err(format!("{} is not built", server.name)),
        None => Ok(servers),
    }
}

fn ours(options: &Options) -> Vec<Server> {
    let library = Server {
        name: "taiwa",
        version: format!("taiwa {}", options.taiwa_version),
        role: Role::Ours,
        program: options.servers.join("bench-taiwa"),
        over: &Over::ALL,
        refuses: |task| has_channels(task).then_some(NO_CHANNELS),
        ..unsaid()
    };
    // One client publishes more here than any is to on a server of strangers, and there are more of them.
    let args = "serve --listen 127.0.0.1:0 --connections-max 19000 --message-max 16MiB --set limits.session.command_rate=off \
                --set limits.session.publish_rate=off";
    let serve = Server {
        name: "taiwa serve",
        path: "/echo",
        over: &[Over::Http1Clear, Over::Http1, Over::Http2Clear, Over::Http2, Over::Http3],
        program: options.taiwa.clone(),
        args: args.split_whitespace().map(str::to_owned).collect(),
        wants_task: false,
        unread_max: Some(UNREAD_MAX),
        refuses: |task| match task {
            Task::Publish | Task::SlowReader => None,
            task if is_echo(task) => None,
            Task::Resume => Some("plain clients don't ask for what they missed"),
            task if is_across(task) => Some(ONE_NODE),
            _ => Some(LIBRARIES),
        },
        ..library.clone()
    };
    let centrifuge = Server {
        name: "taiwa serve, centrifuge",
        tongue: Tongue::Centrifuge,
        refuses: |task| match task {
            Task::Publish | Task::Resume => None,
            task if is_echo(task) => Some("nothing is echoed in this dialect"),
            task if is_across(task) => Some(ONE_NODE),
            Task::SlowReader => Some(PLAIN_SLOW),
            _ => Some(LIBRARIES),
        },
        ..serve.clone()
    };
    // Two nodes have a history of 100 messages and presence, too, but where nothing is to be kept.
    let two = |name, one: &Server, broker| Server {
        name,
        between: Some(Between {
            broker,
            keeps_nothing: &[
                "--set",
                "namespace=[{ rights = { subscribe = \"all\", publish = \"all\" } }]",
            ],
        }),
        refuses: |task| (!is_across(task)).then_some(TWO_NODES),
        ..one.clone()
    };
    let clusters = [
        two("taiwa serve, Redis", &serve, broker::Kind::Redis),
        two("taiwa serve, centrifuge, Redis", &centrifuge, broker::Kind::Redis),
        two("taiwa serve, NATS", &serve, broker::Kind::Nats),
        two("taiwa serve, centrifuge, NATS", &centrifuge, broker::Kind::Nats),
    ];
    let more = of_socket_io(&serve).into_iter().chain(of_shards(&serve)).chain(of_slow(&serve));
    let more: Vec<Server> = more.chain(clusters).collect();
    [library, serve, centrifuge].into_iter().chain(more).collect()
}

/// The binary with one shard and with two.
fn of_shards(serve: &Server) -> [Server; 2] {
    let one = |name, shards: usize| {
        let more = ["--set".into(), format!("shards={shards}")];
        let args = serve.args.iter().cloned().chain(more).collect();
        Server { name, args, shards: Some(shards), ..serve.clone() }
    };
    [one(ONE_SHARD, 1), one(TWO_SHARDS, 2)]
}

/// The binary with each rule for slow readers but the default: with the history that it has without any namespace.
fn of_slow(serve: &Server) -> [Server; 3] {
    let one = |name, rule: &str| {
        let namespace = format!(
            "namespace=[{{ history_size = 100, rights = {{ subscribe = \"all\", publish = \"all\" }}, \
             slow_readers = \"{rule}\" }}]"
        );
        let args = serve.args.iter().cloned().chain(["--set".into(), namespace]).collect();
        let refuses = |task| (task != Task::SlowReader).then_some(SLOW_ALONE);
        Server { name, args, refuses, ..serve.clone() }
    };
    [
        one("taiwa serve, drop-oldest", "drop-oldest"),
        one("taiwa serve, keep-latest", "keep-latest"),
        one("taiwa serve, pause", "pause"),
    ]
}

/// The binary for clients of Socket.IO: as npm's server is by default, and as it is with `connectionStateRecovery`.
fn of_socket_io(serve: &Server) -> [Server; 2] {
    let one = |name, more: &[&str]| Server {
        name,
        tongue: Tongue::SocketIoPage,
        path: "/",
        args: serve.args.iter().cloned().chain(more.iter().map(ToString::to_string)).collect(),
        refuses: |task| match task {
            Task::Publish | Task::SocketIo => None,
            Task::SlowReader => Some(PLAIN_SLOW),
            Task::Resume => Some("clients of centrifuge take part for it"),
            task if is_across(task) => Some(ONE_NODE),
            _ => Some(CHANNELS_ALONE),
        },
        ..serve.clone()
    };
    [
        one("taiwa serve, socket.io", &["--set", "dialects.socketio.recovery=off"]),
        one("taiwa serve, socket.io, recovery", &[]),
    ]
}

/// The server that Python runs.
fn picows(options: &Options) -> Result<Server, String> {
    let named = fs::read_to_string(options.bench.join("requirements.txt"));
    let named = named.map_err(|it| format!("bench/requirements.txt: {it}"))?;
    let version = named.lines().find_map(|it| it.strip_prefix("picows=="));
    let script = options.bench.join("servers/picows/server.py");
    Ok(Server {
        name: "picows",
        version: format!("picows {}", version.ok_or("picows is not in bench/requirements.txt")?),
        program: options.python.clone(),
        args: vec![script.to_string_lossy().into_owned()],
        refuses: |task| match task {
            Task::Echo | Task::EchoForward | Task::EchoLarge | Task::FanOut => None,
            Task::EchoDeflate | Task::FanOutDeflate => Some("it has no permessage-deflate"),
            Task::Take | Task::Give => Some(NOT_LARGE),
            _ => Some(NO_CHANNELS),
        },
        ..unsaid()
    })
}

/// The least that can be done, in two ways: they take part where that means something.
fn yardsticks(options: &Options) -> [Server; 2] {
    let epoll = Server {
        name: "limit on epoll",
        version: "our own yardsticks, which check nothing".into(),
        role: Role::Yardstick,
        program: options.servers.join("bench-limits"),
        refuses: |task| match task {
            Task::Echo | Task::EchoForward | Task::EchoLarge | Task::FanOut | Task::Publish => None,
            _ => Some(YARDSTICK),
        },
        ..unsaid()
    };
    let program = options.servers.join("bench-limits-uring");
    let refused = match Command::new(&program).arg("probe").output() {
        Ok(it) if it.status.success() => None,
        Ok(it) => Some(String::from_utf8_lossy(&it.stderr).trim().to_owned()),
        Err(why) => Some(why.to_string()),
    };
    if let Some(why) = &refused {
        println!(
            "limit on io_uring is skipped: the kernel refuses it, or is older than Linux 6.12: {why}"
        );
    }
    let uring = Server {
        name: "limit on io_uring",
        role: Role::SecondYardstick,
        program,
        refuses: match refused {
            Some(_) => |_| Some("io_uring is refused here"),
            None => |task| match task {
                Task::Echo | Task::EchoForward | Task::FanOut | Task::Publish => None,
                _ => Some(YARDSTICK),
            },
        },
        ..epoll.clone()
    };
    [epoll, uring]
}

/// A rival with plain clients, of which nothing else is said.
fn unsaid() -> Server {
    Server {
        name: "",
        version: String::new(),
        role: Role::Rival,
        path: "/",
        tongue: Tongue::Plain,
        program: PathBuf::new(),
        args: vec![],
        wants_task: true,
        between: None,
        over: CLEAR,
        certificate: None,
        shards: None,
        unread_max: None,
        refuses: |_| None,
    }
}

fn is_echo(task: Task) -> bool {
    matches!(task, Task::Echo | Task::EchoForward | Task::EchoDeflate | Task::EchoLarge)
}

fn has_datagrams(task: Task) -> bool {
    matches!(task, Task::Datagrams | Task::DatagramsTake)
}

fn has_channels(task: Task) -> bool {
    matches!(task, Task::Publish | Task::Resume | Task::SlowReader) || is_across(task)
}

fn is_across(task: Task) -> bool {
    matches!(task, Task::Across | Task::AcrossKept)
}

/// The rivals that this workspace builds.
fn crates(options: &Options) -> Result<Vec<Server>, String> {
    let lock = options.bench.join("Cargo.lock");
    let lock = fs::read_to_string(lock).map_err(|it| format!("Cargo.lock: {it}"))?;
    let rival = |name, krate: &str, args: &[&str]| {
        let version =
            locked_version(&lock, krate).ok_or(format!("{krate} is not in bench/Cargo.lock"))?;
        Ok(Server {
            name,
            version: format!("{krate} {version}"),
            program: options.servers.join(format!("bench-{krate}")),
            args: args.iter().map(ToString::to_string).collect(),
            refuses: |task| match task {
                Task::FanOutDeflate | Task::EchoDeflate => Some("it has no permessage-deflate"),
                task => has_channels(task).then_some(NO_CHANNELS),
            },
            ..unsaid()
        })
    };
    let small = &["--read-buffer=4096"];
    [
        rival("fastwebsockets", "fastwebsockets", &[]),
        rival("tokio-tungstenite", "tokio-tungstenite", &[]),
        rival("tokio-tungstenite, 4 KiB", "tokio-tungstenite", small),
        rival("tokio-websockets", "tokio-websockets", &[]),
        rival("axum", "axum", &[]).map(of_http2),
        rival("sockudo-ws", "sockudo-ws", &[]).map(of_http2),
        rival("yawc", "yawc", &[]).map(of_http2),
        rival("wtransport", "wtransport", &[]).map(|it| Server {
            over: &[Over::WebTransport],
            refuses: |task| (!has_datagrams(task)).then_some(DATAGRAMS_ALONE),
            ..it
        }),
        rival("socketioxide", "socketioxide", &[]).map(|it| Server {
            tongue: Tongue::SocketIo,
            refuses: |task| match task {
                Task::Publish | Task::SocketIo => None,
                Task::SlowReader => Some(NPM_SLOW),
                Task::Resume => Some("it keeps nothing for who comes back"),
                task if is_across(task) => Some(ONE_NODE),
                _ => Some(CHANNELS_ALONE),
            },
            ..it
        }),
    ]
    .into_iter()
    .collect()
}

/// Those that have WebSockets over HTTP/2.
fn of_http2(it: Server) -> Server {
    Server {
        over: &[Over::Http1Clear, Over::Http1, Over::Http2Clear, Over::Http2],
        refuses: |task| match task {
            Task::FanOutDeflate | Task::EchoDeflate => Some("its server here does not compress"),
            Task::Take | Task::Give => Some(NOT_LARGE),
            task => has_channels(task).then_some(NO_CHANNELS),
        },
        ..it
    }
}

/// The program of the package `bun` lies in another package, of which npm installs the one that fits this machine;
/// if npm runs install scripts it is moved into `bun` itself.
fn bun(bench: &Path) -> Result<Server, String> {
    let modules = bench.join("node_modules");
    let others = fs::read_dir(modules.join("@oven")).into_iter().flatten().flatten();
    let programs = iter::once(modules.join("bun/bin/bun.exe"))
        .chain(others.map(|it| it.path().join("bin/bun")));
    let answering = |program: PathBuf| {
        let output = Command::new(&program).arg("--version").output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| (program, version.trim().to_owned()))
    };
    let mut answering = programs.filter_map(answering);
    let (program, version) =
        answering.next().ok_or("bun is not installed, or does not run here")?;
    Ok(Server {
        name: "bun",
        version: format!("bun {version}"),
        program,
        args: vec![script(bench, "bun")],
        over: &[Over::Http1Clear, Over::Http1],
        unread_max: Some(BUN_UNREAD_MAX),
        refuses: |task| match task {
            Task::Resume => Some("it keeps nothing for who comes back"),
            task => is_across(task).then_some(ONE_NODE),
        },
        ..unsaid()
    })
}

/// The servers that node runs.
fn node(bench: &Path) -> Result<Vec<Server>, String> {
    // The program itself: some are found through a script of theirs.
    let output = Command::new("node").args(["-p", "process.execPath"]).output();
    let output = output.map_err(|it| format!("node does not run: {it}"))?;
    let program = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let version = |package: &str| {
        let json = bench.join("node_modules").join(package).join("package.json");
        let json = fs::read(json).map_err(|it| format!("{package} is not installed: {it}"))?;
        let json: Value = serde_json::from_slice(&json).map_err(|it| it.to_string())?;
        Ok::<_, String>(format!("{package} {}", json["version"].as_str().unwrap_or("?")))
    };
    let ws = Server {
        name: "ws",
        version: version("ws")?,
        program,
        args: vec![script(bench, "ws")],
        refuses: |task| match task {
            Task::Publish | Task::SlowReader => None,
            task if is_across(task) => Some(ONE_NODE),
            Task::Resume => Some("it keeps nothing for who comes back"),
            _ => Some(CHANNELS_ALONE),
        },
        ..unsaid()
    };
    let socket_io = Server {
        name: "socket.io",
        version: version("socket.io")?,
        tongue: Tongue::SocketIo,
        args: vec![script(bench, "socket.io")],
        refuses: |task| match task {
            Task::Publish | Task::Resume | Task::SocketIo | Task::SlowReader => None,
            task if is_across(task) => Some(ONE_NODE),
            _ => Some(CHANNELS_ALONE),
        },
        ..ws.clone()
    };
    let recovering = Server {
        name: "socket.io, recovery",
        args: vec![script(bench, "socket.io"), "resume".into()],
        wants_task: false,
        refuses: |task| match task {
            Task::Publish | Task::SocketIo => None,
            Task::Resume | Task::SlowReader => Some("it is socket.io there"),
            task if is_across(task) => Some(ONE_NODE),
            _ => Some(CHANNELS_ALONE),
        },
        ..socket_io.clone()
    };
    let two = |name, adapter: &str, refuses| {
        let version = format!("{} on {}", version(adapter)?, version("redis")?);
        let script = bench.join("servers/socket.io/cluster.mjs").to_string_lossy().into_owned();
        let args = vec![script, adapter.into()];
        let between = Some(Between { broker: broker::Kind::Redis, keeps_nothing: &[] });
        Ok::<_, String>(Server { name, version, args, between, refuses, ..socket_io.clone() })
    };
    let redis = two("socket.io, Redis adapter", "@socket.io/redis-adapter", |task| match task {
        Task::Across => None,
        Task::AcrossKept => Some("it keeps nothing for who comes back"),
        _ => Some(TWO_NODES),
    })?;
    let streams = two("socket.io, Streams adapter", "@socket.io/redis-streams-adapter", |task| {
        (!is_across(task)).then_some(TWO_NODES)
    })?;
    Ok(vec![ws, socket_io, recovering, redis, streams])
}

fn script(bench: &Path, server: &str) -> String {
    bench.join("servers").join(server).join("server.mjs").to_string_lossy().into_owned()
}

/// Finds the newest version of a crate: axum has an older tokio-tungstenite of its own.
fn locked_version(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.rsplit_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"ab\"\nversion = \"1.1\"\n\n[[package]]\nname = \"ab\"\nversion = \"1.2\"\n\n[[package]]\nname = \"b\"\n";
        assert_eq!(locked_version(lock, "ab"), Some("1.2".into()));
        assert_eq!(locked_version(lock, "b"), None);
    }
}
