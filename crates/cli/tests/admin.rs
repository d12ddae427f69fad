//! `taiwa admin`: a server on this machine is looked into and told what to do over its unix socket.
#![cfg(unix)]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Folder, Outcome, PATIENCE, Running, Server, connect, taiwa};

/// A folder with the sockets of the servers of one test.
struct Place(Folder);

impl Place {
    fn new(name: &str) -> Self {
        Self(Folder::new(name))
    }

    fn path(&self) -> &str {
        self.0.0.to_str().unwrap()
    }

    fn serve(&self, args: &[&str]) -> Server {
        let socket = format!("admin.socket={}", self.path());
        Server::start(&[&["--set", &socket], args].concat())
    }

    fn run(&self, args: &[&str], input: &str) -> Outcome {
        let mut running = Running::start(self.command(args));
        running.feed(input);
        running.finish()
    }

    fn command(&self, args: &[&str]) -> Command {
        taiwa(&[&["admin", "--socket", self.path()], args].concat())
    }

    fn json(&self, args: &[&str]) -> Value {
        let outcome = self.run(&[&["--json"], args].concat(), "").expect(0);
        serde_json::from_slice(&outcome.stdout).unwrap_or_else(|it| panic!("{it}: {outcome:?}"))
    }

    /// Waits until so many sessions are there, and returns them.
    fn sessions(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let listed = self.json(&["sessions"])["sessions"].as_array().unwrap().clone();
            if listed.len() == count {
                return listed;
            }
            assert!(Instant::now() < end, "never {count} sessions: {listed:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Reads a small frame of a server.
fn frame(stream: &mut TcpStream) -> String {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload).unwrap();
    String::from_utf8(payload).unwrap()
}

#[test]
fn sessions_and_channels_are_listed_shown_and_published_to() {
    let place = Place::new("admin-lists");
    let server = place.serve(&[]);
    let mut ada = server.open("/news");
    let listed = place.sessions(1);
    // It is connected before it hears.
    let end = Instant::now() + PATIENCE;
    while place.json(&["channels"])["channels"] == Value::Array(vec![]) {
        assert!(Instant::now() < end, "it never came");
    }
    let id = listed[0]["session"].as_str().unwrap();

    let table = place.run(&["sessions"], "").expect(0);
    let lines: Vec<_> = table.stdout_text().lines().collect();
    assert!(lines[0].starts_with("SESSION ") && lines[1].starts_with(id), "{lines:?}");
    assert!(lines[1].contains("plain") && lines[1].ends_with("127.0.0.1"), "{lines:?}");
    let table = place.run(&["channels", "ne"], "").expect(0);
    assert_eq!(table.stdout_text(), "CHANNEL  SUBSCRIBERS\nnews     1\n");
    assert_eq!(place.json(&["channels", "x"])["channels"], Value::Array(vec![]));

    for (args, input, expected) in [
        (&["publish", "news", "{\"a\": 1}"][..], "", "{\"a\":1}"),
        (&["publish", "news", "--text", "12"], "", "12"),
        (&["publish", "news"], "from stdin\n", "from stdin"),
        (&["publish", "news", "--lines"], "1\ntwo\n", "1"),
    ] {
        let outcome = place.run(args, input).expect(0);
        assert_eq!(outcome.stdout_text(), "", "{args:?}");
        assert_eq!(frame(&mut ada), expected, "{args:?}");
    }
    assert_eq!(frame(&mut ada), "two");
    let shown = place.json(&["publish", "news", "x"]);
    assert_eq!(shown["position"]["offset"], 6, "{shown}");

    let shown = place.json(&["session", id]);
    assert_eq!((&shown["session"], &shown["channels"][0]), (&listed[0]["session"], &"news".into()));
    assert_eq!(shown["connected"], true);
    let shown = place.run(&["session", id], "").expect(0);
    assert!(shown.stdout_text().ends_with("channels: 1\n  news\n"), "{}", shown.stdout_text());
    let shown = place.run(&["channel", "news"], "").expect(0);
    let text = shown.stdout_text();
    assert!(text.contains("subscribers  1\nhistory      at 6, epoch "), "{text}");
    assert!(text.contains(id), "who is in it: {text}");

    let info = place.json(&["info"]);
    assert_eq!((&info["sessions"], &info["server"]["pid"]), (&1.into(), &server.child.id().into()));
    assert_eq!(info["server"]["listens"][0], server.addr.as_str());
    let nodes = place.json(&["nodes"]);
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(1), "{nodes}");
    assert_eq!(nodes["nodes"][0]["sessions"], 1);
}

#[test]
fn sessions_are_sent_away_by_name_by_user_or_all() {
    let place = Place::new("admin-kick");
    let secret = "a secret of at least thirty-two bytes";
    let mut command = taiwa(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(["--set", &format!("admin.socket={}", place.path())]);
    command.env("TAIWA_AUTH__JWT__SECRETS", secret);
    let server = Server::run(command);
    let come = |path: &str| Running::start(taiwa(&["connect", &server.ws(path), "--stay"]));
    let mut make = taiwa(&["token", "make", "--user", "ada"]);
    make.env("TAIWA_AUTH__JWT__SECRETS", secret);
    let token = Running::start(make).finish().expect(0).stdout_text().trim().to_owned();

    let gone = come("/a");
    let id = place.sessions(1)[0]["session"].as_str().unwrap().to_owned();
    let kicked = place.run(&["kick", &id, "--reason", "be off", "--code", "4321"], "").expect(0);
    assert_eq!(kicked.stdout_text(), "1 session was sent away\n");
    let told = gone.finish_with_open_stdin().stderr;
    assert!(told.contains("4321") && told.contains("be off"), "{told}");

    let (ada, nobody) = (come(&format!("/a?token={token}")), come("/a"));
    place.sessions(2);
    assert_eq!(place.json(&["sessions", "--user", "ada"])["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["kick", "--user", "ada"])["affected"], 1);
    assert!(ada.finish_with_open_stdin().stderr.contains("4000"));
    place.sessions(1);
    assert_eq!(place.json(&["kick", "--all"])["affected"], 1);
    assert!(nobody.finish_with_open_stdin().stderr.contains("4000"));

    // Who is gone is no error; what is no name is, and so is nobody, or two.
    let none = place.run(&["kick", "--user", "bob"], "").expect(0);
    assert_eq!(none.stdout_text(), "0 sessions were sent away\n");
    let wrong = place.run(&["kick", "xyz"], "").expect(5);
    assert!(wrong.stderr.contains("session"), "{}", wrong.stderr);
    place.run(&["kick"], "").expect(2);
    place.run(&["kick", &id, "--all"], "").expect(2);
    let gone = place.run(&["session", &id], "").expect(5);
    assert!(gone.stderr.contains("there is no such session"), "{}", gone.stderr);
}

#[test]
fn settings_are_read_again_and_what_is_wrong_is_told() {
    let place = Place::new("admin-reload");
    let file = place.0.write("t.toml", "");
    let server = place.serve(&["--config", &file]);
    let _stays = server.open("/stay");
    assert_eq!(place.run(&["reload"], "").expect(0).stdout_text(), "no setting has changed\n");
    place.0.write("t.toml", "limits.publication.payload_max = 8\nshards = 3\n");
    let told = place.run(&["reload"], "").expect(0);
    assert_eq!(
        told.stdout_text(),
        "changed: limits.publication.payload_max\nthese need a restart: shards\n"
    );
    // Its own API has the new limit, too.
    let refused = place.run(&["publish", "a", "123456789"], "").expect(5);
    assert!(refused.stderr.contains("8 bytes"), "{}", refused.stderr);
    place.0.write("t.toml", "[log]\nlevl = \"info\"\nformat = 3\n");
    let refused = place.run(&["reload"], "").expect(5);
    let lines: Vec<_> = refused.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("t.toml:2:1: log.levl: there is no such key; did you mean level?"));
    assert!(lines[1].contains("t.toml:3:10: log.format: "), "{lines:?}");
    server.await_log("taiwa admin: the old settings stay:");
    place.sessions(1);
}

#[test]
fn drain_lets_clients_leave_and_ends_the_server() {
    let place = Place::new("admin-drain");
    let server = place.serve(&["--drain-period", "200ms"]);
    let mut client = server.open("/a");
    assert_eq!(place.run(&["drain"], "").expect(0).stdout_text(), "clients leave\n");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.first(), Some(&0x88), "a Close frame: {rest:?}");
    assert_eq!(server.finish().0, Some(0));
    assert!(fs::read_dir(place.path()).unwrap().next().is_none(), "the socket is gone");
    let none = place.run(&["info"], "").expect(3);
    assert!(none.stderr.contains("no server of yours runs here"), "{}", none.stderr);
}

#[test]
fn two_servers_have_two_sockets_which_nobody_else_can_open() {
    let place = Place::new("admin-two");
    let (one, two) = (place.serve(&[]), place.serve(&[]));
    let socket = |server: &Server| format!("{}/{}.sock", place.path(), server.child.id());
    for server in [&one, &two] {
        let mode = fs::metadata(socket(server)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let several = place.run(&["info"], "").expect(2);
    for server in [&one, &two] {
        assert!(several.stderr.contains(&socket(server)), "{}", several.stderr);
        assert!(several.stderr.contains(&server.addr), "{}", several.stderr);
    }
    let _client = one.open("/only-here");
    let end = Instant::now() + PATIENCE;
    let channels = |server: &Server| {
        let args = ["admin", "--socket", &socket(server), "channels"];
        Running::start(taiwa(&args)).finish().expect(0).stdout_text().to_owned()
    };
    while !channels(&one).contains("only-here") {
        assert!(Instant::now() < end, "it never came");
    }
    assert!(!channels(&two).contains("only-here"));
}

#[test]
fn without_settings_the_socket_is_in_a_folder_of_the_users_own() {
    let place = Place::new("admin-usual");
    let run = place.0.0.join("run");
    fs::create_dir(&run).unwrap();
    let with = |mut command: Command| {
        command.env("XDG_RUNTIME_DIR", &run).env_remove("RUNTIME_DIRECTORY");
        command
    };
    let server = Server::run(with(taiwa(&["serve", "--listen", "127.0.0.1:0"])));
    let line = server.await_log("taiwa admin is heard");
    let folder = run.join("taiwa");
    assert!(line.contains(folder.to_str().unwrap()), "{line}");
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let asked = taiwa(&["admin", "--socket", folder.to_str().unwrap(), "info"]);
    Running::start(asked).finish().expect(0);
    // A server that was killed leaves its socket to the next one to remove.
    let left = folder.join(format!("{}.sock", server.child.id()));
    server.signal("-KILL");
    server.finish();
    assert!(left.exists());
    let next = Server::run(with(taiwa(&["serve", "--listen", "127.0.0.1:0"])));
    next.await_log("taiwa admin is heard");
    assert!(!left.exists(), "it was removed");
    // There may be none.
    let mut off = taiwa(&["serve", "--listen", "127.0.0.1:0", "--set", "admin.socket=off"]);
    off.env("XDG_RUNTIME_DIR", &run);
    let off = Server::run(off);
    assert!(!folder.join(format!("{}.sock", off.child.id())).exists());
}

#[test]
fn a_place_that_is_asked_for_must_be_had() {
    let place = Place::new("admin-place");
    let socket = place.0.0.join("a.sock");
    let arg = format!("admin.socket={}", socket.display());
    let server = Server::start(&["--set", &arg]);
    let refused = support::run(&["serve", "--listen", "127.0.0.1:0", "--set", &arg], "").expect(3);
    assert!(refused.stderr.contains("another server listens"), "{}", refused.stderr);
    let arg = "admin.socket=/no/such/folder/a.sock";
    support::run(&["serve", "--listen", "127.0.0.1:0", "--set", arg], "").expect(3);
    let bad = support::run(&["config", "show", "--set", "admin.socket=a.sock"], "").expect(2);
    assert!(bad.stderr.contains("a path that begins with /"), "{}", bad.stderr);
    drop(server);
}

#[test]
fn every_failure_has_its_exit_code_and_says_what_is_wrong() {
    let place = Place::new("admin-codes");
    let ask = |socket: &Path| {
        Running::start(taiwa(&["admin", "--socket", socket.to_str().unwrap(), "info"])).finish()
    };
    let none = ask(&place.0.0.join("none.sock")).expect(3);
    assert!(none.stderr.contains("no server is there"), "{}", none.stderr);
    // One that has died, and one that is something else.
    let dead = place.0.0.join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    assert!(ask(&dead).expect(3).stderr.contains("has ended"));
    let other = place.0.0.join("other.sock");
    let listener = UnixListener::bind(&other).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    assert!(ask(&other).expect(7).stderr.contains("no answer of taiwa"));
    support::run(&["admin"], "").expect(2);
    support::run(&["admin", "sessions", "--limit", "0"], "").expect(2);
    support::run(&["admin", "kick", "--all", "--code", "1000"], "").expect(2);
    // A channel that can't be.
    let server = place.serve(&["--set", "namespace=[{ name = \"n\" }]"]);
    let args = ["admin", "--socket", &format!("{}/{}.sock", place.path(), server.child.id())];
    let refused = Running::start(taiwa(&[&args[..], &["publish", "x:y", "1"]].concat())).finish();
    assert!(refused.expect(5).stderr.contains("there is no such namespace"));
    let refused = Running::start(taiwa(&[&args[..], &["channel", "x:y"]].concat())).finish();
    assert!(refused.expect(5).stderr.contains("there is no such namespace"));
    // No page and no other program on this machine reaches it by TCP.
    let tcp = server.raw("POST /admin/v1/drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(tcp.starts_with("HTTP/1.1 405"), "{tcp}");
    connect(&server.ws("/n"), &["-1", "--linger", "10ms"], "");
}

#[test]
fn another_user_is_refused() {
    // Only root can become somebody else.
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|it| it.stdout == b"0\n");
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    if !is_root || !has_setpriv {
        eprintln!("skipped: it takes root and setpriv to become another user");
        return;
    }
    let place = Place::new("admin-user");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = place.serve(&[]);
    let socket = format!("{}/{}.sock", place.path(), server.child.id());
    // The program itself may lie where nobody else can read.
    let program = place.0.0.join("taiwa");
    fs::copy(env!("CARGO_BIN_EXE_taiwa"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(&program).args(["admin", "--socket", &socket, "info"]);
    let refused = Running::start(command).finish().expect(5);
    assert!(refused.stderr.contains("permission denied"), "{}", refused.stderr);
}
