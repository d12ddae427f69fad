//! Alerts, dashboard and documents name nothing that the program does not measure, and alerts come when they should.

mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{PATIENCE, Running, Server, connect, taiwa};

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging")
}

/// A Redis without a disk, killed when dropped.
struct Redis(Child, u16);

impl Redis {
    /// Starts one, if it is installed.
    fn start() -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        let started = command.stdout(Stdio::null()).spawn();
        let Ok(child) = started else {
            eprintln!("skipped: there is no redis-server; cargo xtask setup installs it");
            return None;
        };
        let redis = Self(child, port);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "redis-server does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What /metrics says of a server that has done a little of everything.
fn measured(redis: &Redis) -> String {
    let broker = format!("redis://127.0.0.1:{}", redis.1);
    let args = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--broker", &broker]].concat();
    let mut command = taiwa(&args);
    command
        .env("TAIWA_AUTH__JWT__SECRETS", "a secret of at least thirty-two bytes")
        .env("TAIWA_AUTH__ANONYMOUS", "true")
        .env("TAIWA_API__KEYS", "open-sesame");
    let server = Server::run(command);
    let line = server.await_log("the admin listener listens");
    let admin = line.split("addr=").nth(1).expect(&line).split_whitespace().next().unwrap();
    let answer = server.raw(&format!(
        "POST /api/v1/info HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-API-Key: open-sesame\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        server.addr
    ));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Dialects are told as long as somebody speaks them.
    let listener = Running::start(taiwa(&["connect", &server.ws("/chat"), "--stay"]));
    connect(&server.ws("/chat?echo=true"), &["-m", "x", "-1"], "").expect(0);
    let scrape = || {
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let end = Instant::now() + PATIENCE;
    let answer = loop {
        let answer = scrape();
        if answer.contains("dialect=\"plain\"") {
            break answer;
        }
        assert!(Instant::now() < end, "nobody speaks plain: {answer}");
        std::thread::sleep(Duration::from_millis(20));
    };
    drop(listener);
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    body.into()
}

/// The Python that `cargo xtask setup` makes, or the system's, if it has what the check needs.
fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_taiwa")).ancestors().nth(2).unwrap();
    let ours = target.join("tools/venv/bin/python");
    let python = if ours.exists() { ours } else { "python3".into() };
    let needed = "import grafana_foundation_sdk, prometheus_client, promql_parser, yaml";
    let has = Command::new(&python).args(["-c", needed]).output();
    if has.is_ok_and(|it| it.status.success()) {
        return Some(python);
    }
    eprintln!("skipped: {} lacks packages; cargo xtask setup installs them", python.display());
    None
}

/// Has the check read `packaging`, and returns what it says.
fn check(packaging: &Path, metrics: &str) -> Option<String> {
    let mut command = Command::new(python()?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/watching.py")).arg(packaging);
    let mut running = Running::start(command);
    running.feed(metrics);
    Some(running.finish().expect(0).stdout_text().to_owned())
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_measured() {
    if python().is_none() {
        return;
    }
    let Some(redis) = Redis::start() else { return };
    let metrics = measured(&redis);
    let Some(said) = check(&packaging(), &metrics) else { return };
    assert!(said.ends_with(": 0 problems\n"), "{said}");
    assert!(!said.starts_with("0 alerts") && !said.contains(" 0 expressions"), "{said}");
    // A series, a label and a value that are gone are missed.
    let without = |what: &str| {
        let kept = metrics.lines().filter(|it| !it.contains(what));
        kept.map(|it| format!("{it}\n")).collect::<String>()
    };
    for (what, missed) in [
        ("taiwa_letters_max", "no series 'taiwa_letters_max'"),
        ("dialect=", "no series 'taiwa_conversations'"),
        ("result=\"gap\"", "taiwa_resumptions_total has no result='gap'"),
    ] {
        let said = check(&packaging(), &without(what)).unwrap();
        assert!(said.contains(missed), "{what}: {said}");
    }
    let renamed = metrics.replace("{what=", "{kind=");
    let said = check(&packaging(), &renamed).unwrap();
    assert!(said.contains("no label 'what' to group by"), "{said}");
}

#[test]
fn the_documents_name_what_is_measured() {
    let Some(redis) = Redis::start() else { return };
    let metrics = measured(&redis);
    let documents = packaging().join("../docs");
    let mut named = 0;
    for file in std::fs::read_dir(documents).unwrap().map(|it| it.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        // `taiwa_name` or `taiwa_name{label="value"}`; crates are named with what is in them.
        for name in text.split('`').skip(1).step_by(2).filter(|it| it.starts_with("taiwa_")) {
            if name.contains("::") || ["taiwa_core", "taiwa_server", "taiwa_nats"].contains(&name) {
                continue;
            }
            let is_there = metrics.lines().any(|it| match name.strip_suffix('}') {
                Some(start) => it.starts_with(start),
                None => it.strip_prefix(name).is_some_and(|it| it.starts_with([' ', '{'])),
            });
            assert!(is_there, "{}: {name} is not measured", file.display());
            named += 1;
        }
    }
    assert!(named > 5, "only {named} names were found");
}

#[test]
fn each_alert_is_silent_and_told_as_its_tests_say() {
    let folder = packaging().join("prometheus");
    let has = Command::new("promtool").arg("--version").output();
    if !has.is_ok_and(|it| it.status.success()) {
        eprintln!("skipped: there is no promtool; cargo xtask setup installs it");
        return;
    }
    for args in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut command = Command::new("promtool");
        command.args(args).current_dir(&folder);
        let outcome = Running::start(command).finish();
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout_text(), outcome.stderr);
    }
}
