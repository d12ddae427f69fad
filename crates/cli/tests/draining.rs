//! The end of `taiwa serve`, and what a service manager is told: clients leave one after the other, the next process gets
//! newcomers, limits and watchdogs.
#![cfg(target_os = "linux")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{linux::net::SocketAddrExt, unix::net::UnixDatagram},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{PATIENCE, Server, connect, drain, run, taiwa};

/// Reads a Close frame of a server: code and reason. Whatever stands before it is skipped.
fn close_frame_of(stream: TcpStream) -> (u16, String) {
    let all = drain(stream);
    let at = all.iter().position(|it| *it == 0x88).unwrap_or_else(|| panic!("{all:?}"));
    let (code, reason) = all[at + 2..].split_at(2);
    (u16::from_be_bytes(code.try_into().unwrap()), String::from_utf8(reason.to_vec()).unwrap())
}

/// Waits for the end of a stream and answers its Close frame.
fn leaves(mut stream: TcpStream) -> thread::JoinHandle<(Instant, u16)> {
    thread::spawn(move || {
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        let at = Instant::now();
        assert_eq!(head[0], 0x88, "{head:?}");
        // An empty Close frame, masked with zeros.
        let _ = stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]);
        drain(stream);
        (at, u16::from_be_bytes([head[2], head[3]]))
    })
}

fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Starts a server whose admin listener has an address of its own, and returns that.
fn start_with_admin(args: &[&str]) -> (Server, String) {
    let server = Server::start(&[&["--admin-listen", "127.0.0.1:0"], args].concat());
    let line = server.await_log("the admin listener listens");
    let addr = line.split("addr=").nth(1).unwrap().trim().to_owned();
    (server, addr)
}

#[test]
fn after_sigterm_clients_leave_one_after_the_other_and_nobody_comes_in() {
    let (server, admin) = start_with_admin(&["--drain-period", "4s", "--set", "shards=1"]);
    let clients = (0..4).map(|_| server.open("/chat")).collect::<Vec<_>>();
    assert!(get(&admin, "/ready").starts_with("HTTP/1.1 200 "));
    let began = Instant::now();
    server.signal("-TERM");
    let left = clients.into_iter().map(leaves).collect::<Vec<_>>();
    server.await_log("clients leave");
    assert!(get(&admin, "/ready").starts_with("HTTP/1.1 503 "));
    assert!(get(&admin, "/health").starts_with("HTTP/1.1 200 "));
    let refused = connect(&server.ws("/chat"), &["-m", "x", "-1"], "").expect(5);
    assert!(refused.stderr.contains("503 "), "{}", refused.stderr);
    let answer = get(&server.addr, "/sse/chat").to_lowercase();
    assert!(
        answer.starts_with("http/1.1 503 ") && answer.contains("\r\nretry-after: "),
        "{answer}"
    );
    let mut times = vec![];
    for client in left {
        let (at, code) = client.join().unwrap();
        assert_eq!(code, 1012);
        times.push(at.duration_since(began));
    }
    times.sort();
    for (number, time) in times.iter().enumerate() {
        let expected = Duration::from_secs(number as u64);
        let late = time.checked_sub(expected).unwrap_or_else(|| panic!("too early: {times:?}"));
        assert!(late < Duration::from_secs(3), "{times:?}");
    }
    assert_eq!(server.finish(), (Some(0), Vec::new()));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn load_balancers_may_notice_before_anything_else_happens() {
    let (server, admin) = start_with_admin(&["--drain-wait", "2s", "--drain-period", "off"]);
    let client = server.open("/chat");
    let began = Instant::now();
    server.signal("-TERM");
    server.await_log("not ready, waiting");
    assert!(get(&admin, "/ready").starts_with("HTTP/1.1 503 "));
    connect(&server.ws("/echo"), &["-m", "x", "-1"], "").expect(0);
    let (at, code) = leaves(client).join().unwrap();
    assert_eq!(code, 1012);
    assert!(at.duration_since(began) >= Duration::from_secs(2), "{:?}", at.duration_since(began));
    assert_eq!(server.finish().0, Some(0));
}

#[test]
fn a_second_signal_ends_the_drain_and_sigint_begins_none() {
    for (first, second) in [("-TERM", Some("-TERM")), ("-TERM", Some("-INT")), ("-INT", None)] {
        let server = Server::start(&["--drain-period", "1h"]);
        let clients = (0..3).map(|_| server.open("/chat")).collect::<Vec<_>>();
        server.signal(first);
        if let Some(second) = second {
            server.await_log("clients leave");
            server.signal(second);
        }
        // Some of them answer; the end does not wait for the others.
        let code = if second.is_some() { 1012 } else { 1001 };
        let mut clients = clients.into_iter();
        let codes =
            [close_frame_of(clients.next().unwrap()), close_frame_of(clients.next().unwrap())];
        assert!(codes.iter().any(|it| it.0 == code), "{codes:?}");
        assert!(codes.iter().all(|it| it.1 == "the server goes away"), "{codes:?}");
        drop(clients);
        let (exit, _) = server.finish();
        assert!(matches!(exit, Some(0 | 143 | 130)), "{first} {second:?}: {exit:?}");
    }
}

#[test]
fn two_processes_share_a_port_and_the_second_gets_all_who_come_when_the_first_drains() {
    let shared = |addr: &str| {
        let mut command = taiwa(&["serve", "--listen", addr, "--reuse-port", "true"]);
        command.args(["--drain-period", "2s", "--set", "shards=1"]).stdin(Stdio::null());
        Server::run(command)
    };
    let first = shared("127.0.0.1:0");
    let clients = [first.open("/chat"), first.open("/chat")];
    let second = shared(&first.addr);
    assert_eq!(first.addr, second.addr);
    first.signal("-TERM");
    first.await_log("clients leave");
    let left = clients.map(leaves);
    // The one that is told last is still there, and has left the port already.
    let end = Instant::now() + PATIENCE;
    let mut in_a_row = 0;
    while in_a_row < 20 {
        assert!(Instant::now() < end, "newcomers still reach the first");
        let came_in = connect(&second.ws("/echo"), &["-m", "x", "-1"], "").code == Some(0);
        in_a_row = if came_in { in_a_row + 1 } else { 0 };
    }
    for client in left {
        assert_eq!(client.join().unwrap().1, 1012);
    }
    assert_eq!(first.finish().0, Some(0));
    connect(&second.ws("/echo"), &["-m", "x", "-1"], "").expect(0);
    second.signal("-TERM");
    assert_eq!(second.finish().0, Some(0));
}

/// A socket for what a service manager is told, below a folder of its own.
struct Supervisor {
    socket: UnixDatagram,
    name: String,
}

impl Supervisor {
    fn at_path(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("notify-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::new(socket, path.to_str().unwrap().to_owned())
    }

    fn abstract_one() -> Self {
        let name = format!("taiwa-notify-{}", std::process::id());
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        Self::new(UnixDatagram::bind_addr(&addr).unwrap(), format!("@{name}"))
    }

    fn new(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, name }
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = taiwa(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
        command.env("NOTIFY_SOCKET", &self.name).envs(environment.iter().copied());
        command.stdin(Stdio::null());
        Server::run(command)
    }

    /// Waits for something that begins so.
    #[track_caller]
    fn hears(&self, beginning: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut heard = vec![];
        while Instant::now() < end {
            let mut bytes = [0; 4096];
            let Ok(len) = self.socket.recv(&mut bytes) else { break };
            let text = String::from_utf8(bytes[..len].to_vec()).unwrap();
            if text.starts_with(beginning) {
                return text;
            }
            heard.push(text);
        }
        panic!("no {beginning} but {heard:?}");
    }
}

#[test]
fn the_service_manager_is_told_of_the_beginning_a_reload_and_the_end() {
    for supervisor in [Supervisor::at_path("told"), Supervisor::abstract_one()] {
        let server = supervisor.run(&["--drain-wait", "1s", "--drain-period", "2s"], &[]);
        let ready = supervisor.hears("READY=1");
        assert_eq!(ready, format!("READY=1\nSTATUS=listening on {}", server.addr));
        server.signal("-HUP");
        supervisor.hears("RELOADING=1");
        assert_eq!(supervisor.hears("READY=1"), ready);
        server.signal("-TERM");
        let stopping = supervisor.hears("STOPPING=1");
        assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=18000000\nSTATUS=clients leave");
        assert_eq!(server.finish().0, Some(0));
    }
}

#[test]
fn the_watchdog_hears_of_us_as_long_as_the_shards_turn() {
    let supervisor = Supervisor::at_path("watchdog");
    let server = supervisor.run(&[], &[("WATCHDOG_USEC", "400000")]);
    supervisor.hears("WATCHDOG=1");
    let began = Instant::now();
    for _ in 0..5 {
        supervisor.hears("WATCHDOG=1");
    }
    // Twice in the interval; a busy machine may be late.
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    // As if it hung: all its threads stand still, and so does what the manager hears.
    server.signal("-STOP");
    supervisor.socket.set_read_timeout(Some(Duration::from_millis(1000))).unwrap();
    let mut bytes = [0; 64];
    let mut more = 0;
    while supervisor.socket.recv(&mut bytes).is_ok() {
        more += 1;
        assert!(more < 4, "it stands still");
    }
    supervisor.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    server.signal("-CONT");
    supervisor.hears("WATCHDOG=1");
}

#[test]
fn a_watchdog_of_another_process_and_a_manager_that_is_gone_change_nothing() {
    let supervisor = Supervisor::at_path("gone");
    let other = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let server = supervisor.run(&[], &other);
    supervisor.hears("READY=1");
    supervisor.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(supervisor.socket.recv(&mut [0; 64]).is_err(), "nobody asked this process");
    drop(server);
    for name in ["/nowhere/at/all", "vsock:2:1", "@taiwa-nobody-listens-here"] {
        let mut command = taiwa(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "100000").stdin(Stdio::null());
        let server = Server::run(command);
        server.await_log("can't reach the service manager");
        connect(&server.ws("/echo"), &["-m", "x", "-1"], "").expect(0);
    }
}

#[test]
fn sockets_that_no_setting_takes_are_told() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new("/bin/sh");
    let script = "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" </dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_taiwa"), "serve", "--listen", "127.0.0.1:0"]);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(tcp)));
    let server = Server::run(command);
    server.await_log("no setting takes them");
}

#[test]
fn the_limit_of_open_files_is_raised_and_too_low_a_one_is_told() {
    let limited = |soft: &str, hard: &str, connections: &str| {
        let mut command = Command::new("/bin/sh");
        let script = format!("ulimit -S -n {soft} && ulimit -H -n {hard} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_taiwa"), "serve"]);
        command.args(["--listen", "127.0.0.1:0", "--connections-max", connections]);
        command.stdin(Stdio::null());
        Server::run(command)
    };
    let server = limited("256", "1000", "900");
    let line = server.await_log("the limit of open files is raised");
    assert!(line.contains("before=256") && line.contains("after=1000"), "{line}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let line = limits.lines().find(|it| it.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("1000"), "{line}");
    let server = limited("256", "1000", "10000");
    let line = server.await_log("limits.server.connections_max is 10000");
    assert!(line.contains("takes 10064 open files") && line.contains("may have 1000"), "{line}");
}

#[test]
fn times_of_a_drain_are_checked() {
    let outcome = run(&["serve", "--drain-period", "soon"], "").expect(2);
    assert!(outcome.stderr.contains("drain"), "{}", outcome.stderr);
}
