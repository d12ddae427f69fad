//! `taiwa serve` behind Debian's HAProxy: it hears who its clients are, and newcomers go elsewhere before it ends.
#![cfg(target_os = "linux")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{PATIENCE, Server, connect};

/// Where Debian has it, which is not where every user's PATH leads.
const PROGRAM: &str = "/usr/sbin/haproxy";

/// HAProxy with one frontend; ended when dropped.
struct Haproxy {
    child: Child,
    addr: String,
    config: PathBuf,
}

impl Haproxy {
    /// `None`: there is none on this machine.
    fn before(name: &str, servers: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            eprintln!("skipped: there is no {PROGRAM}; cargo xtask setup installs it");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        // Whoever connects before HAProxy is ready waits in the listener that it inherits.
        let text = format!(
            "global\n  maxconn 50\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  \
             timeout server 60s\n  timeout check 5s\nlisten it\n  bind fd@0\n{servers}\n"
        );
        let config = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let config = config.join(format!("haproxy-{name}-{}.cfg", std::process::id()));
        fs::write(&config, text).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["-db", "-f"]).arg(&config).stdin(Stdio::from(OwnedFd::from(listener)));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Some(Self { child, addr, config })
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.config);
    }
}

const BEHIND: &[&str] = &["--proxy-protocol", "127.0.0.0/8", "--anonymous", "true"];

#[test]
fn the_log_names_the_client_and_not_the_proxy() {
    let server = Server::start(BEHIND);
    for header in ["send-proxy", "send-proxy-v2"] {
        let servers = format!("  server one {} {header}", server.addr);
        let Some(haproxy) = Haproxy::before(header, &servers) else { return };
        let mut client = TcpStream::connect(&haproxy.addr).unwrap();
        let us = client.local_addr().unwrap();
        let handshake = "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        client.write_all(handshake.as_bytes()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut status = [0; 12];
        client.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
        drop(client);
        let line = server.await_log("/echo");
        assert!(line.replace('"', "").contains(&format!("who={us} ")), "{us}: {line}");
        // Without the proxy, and so without its header, nobody comes in.
        let told = connect(&server.ws("/echo"), &["-m", "x", "-1"], "");
        assert_ne!(told.code, Some(0));
    }
}

#[test]
fn newcomers_go_to_another_server_once_one_is_not_ready_and_nobody_is_refused() {
    let flags = ["--admin-listen", "127.0.0.1:0", "--drain-wait", "3s", "--drain-period", "1s"];
    let start = || {
        let server = Server::start(&[BEHIND, &flags].concat());
        let line = server.await_log("the admin listener listens");
        let port = line.rsplit(':').next().unwrap().trim().to_owned();
        (server, port)
    };
    let ((first, first_admin), (second, second_admin)) = (start(), start());
    let check = "send-proxy-v2 check inter 100ms fall 2 rise 1";
    // The first gets all, as long as it is ready.
    let servers = format!(
        "  option httpchk GET /ready\n  http-check expect status 200\n  \
         server first {} {check} port {first_admin}\n  \
         server second {} {check} port {second_admin} backup",
        first.addr, second.addr
    );
    let Some(haproxy) = Haproxy::before("ready", &servers) else { return };
    let url = format!("ws://{}/echo", haproxy.addr);
    let comes = || connect(&url, &["-m", "x", "-1"], "").expect(0);
    comes();
    first.await_log("/echo");
    first.signal("-TERM");
    let end = Instant::now() + PATIENCE;
    let done = thread::spawn(move || first.finish().0);
    // Before it notices, in the moment when it does, and after it: everybody is let in.
    while !done.is_finished() {
        assert!(Instant::now() < end);
        comes();
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(done.join().unwrap(), Some(0));
    comes();
    second.await_log("/echo");
}
