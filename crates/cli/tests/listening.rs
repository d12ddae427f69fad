//! `taiwa serve` on unix sockets, on sockets it is handed, behind proxies, and with certificates that change.
#![cfg(unix)]

mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{PATIENCE, Server, connect, run, taiwa};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("taiwa-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Says `hello` to the echo behind a unix socket.
#[track_caller]
fn echoes(path: &str) {
    let url = format!("ws+unix:{path}:/echo");
    assert_eq!(connect(&url, &["-m", "hello", "-1"], "").expect(0).stdout, b"hello\n");
}

#[test]
fn a_unix_socket_is_served_and_gone_when_the_server_is() {
    let folder = Folder::new("unix");
    let path = folder.path("a.sock");
    let listen = format!("unix:{path}");
    let mut command = taiwa(&["serve", "--listen", &listen, "--unix-mode", "600"]);
    command.stdin(Stdio::null());
    let server = Server::run(command);
    assert_eq!(server.url, listen);
    echoes(&path);
    server.await_log("who=unix: dialect=\"plain\" path=\"/echo\"");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = run(&["serve", "--listen", &listen], "").expect(3);
    assert!(refused.stderr.contains(&format!("can't listen on {listen}")), "{}", refused.stderr);
    echoes(&path);
    server.signal("-TERM");
    assert_eq!(server.finish().0, Some(0));
    assert!(!Path::new(&path).exists());
}

#[test]
fn the_line_on_stdout_names_the_first_tcp_address_of_several_places() {
    let folder = Folder::new("both");
    let path = folder.path("a.sock");
    let server = Server::start(&["--listen", &format!("unix:{path}")]);
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    echoes(&path);
    assert_eq!(connect(&server.ws("/echo"), &["-m", "x", "-1"], "").expect(0).stdout, b"x\n");
}

#[test]
fn the_socket_of_a_server_that_was_killed_is_taken_over() {
    let folder = Folder::new("killed");
    let path = folder.path("a.sock");
    let first = Server::start(&["--listen", &format!("unix:{path}")]);
    // Killed when dropped: nothing is cleaned up.
    drop(first);
    assert!(Path::new(&path).exists());
    let _second = Server::start(&["--listen", &format!("unix:{path}")]);
    echoes(&path);
}

#[test]
fn sockets_of_the_service_manager_are_served() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = tcp.local_addr().unwrap();
    let mut command = Command::new("/bin/sh");
    let script = "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" </dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_taiwa"), "serve", "--listen", "activation"]);
    command.env_remove("TAIWA_LOG").stdin(Stdio::from(OwnedFd::from(tcp)));
    let server = Server::run(command);
    assert_eq!(server.url, format!("http://{addr}/"));
    assert_eq!(connect(&server.ws("/echo"), &["-m", "x", "-1"], "").expect(0).stdout, b"x\n");
    drop(server);
    let nothing = run(&["serve", "--listen", "activation"], "").expect(3);
    assert!(nothing.stderr.contains("no sockets were handed over"), "{}", nothing.stderr);
}

#[test]
fn behind_a_proxy_the_log_names_the_client_and_nobody_else_comes_in() {
    let server = Server::start(&["--proxy-protocol", "127.0.0.0/8", "--anonymous", "true"]);
    let handshake = "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let mut stream = TcpStream::connect(&server.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let header = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n";
    stream.write_all(format!("{header}{handshake}").as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    drop(stream);
    server.await_log("who=192.0.2.1:56324 dialect=\"plain\" path=\"/echo\"");
    let refused = connect(&server.ws("/echo"), &["-m", "x", "-1"], "");
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    server.await_log("PROXY protocol: no header");
    for bad in ["10.0.0.1/8", "localhost", ""] {
        run(&["serve", "--listen", "127.0.0.1:0", "--proxy-protocol", bad], "").expect(2);
    }
}

#[test]
fn sighup_shows_a_new_certificate_and_keeps_the_old_one_if_that_is_no_good() {
    let folder = Folder::new("hangup");
    let made = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (old, new) = (made(), made());
    let cert = folder.write("cert.pem", &old.cert.pem());
    let key = folder.write("key.pem", &old.signing_key.serialize_pem());
    let trusted_old = folder.write("old.pem", &old.cert.pem());
    let trusted_new = folder.write("new.pem", &new.cert.pem());
    let server = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let url = format!("wss://{}/echo", server.addr);
    let opens = |root: &str| connect(&url, &["-m", "x", "-1", "--cacert", root], "").code;
    assert_eq!((opens(&trusted_old), opens(&trusted_new)), (Some(0), Some(4)));
    server.signal("-HUP");
    server.await_log("SIGHUP: the certificate has not changed");
    folder.write("cert.pem", &new.cert.pem());
    server.signal("-HUP");
    server.await_log("SIGHUP: the old settings stay: --tls-cert: tls.cert: TLS: ");
    assert_eq!((opens(&trusted_old), opens(&trusted_new)), (Some(0), Some(4)));
    folder.write("key.pem", &new.signing_key.serialize_pem());
    server.signal("-HUP");
    server.await_log("SIGHUP: new connections see the new certificate");
    assert_eq!((opens(&trusted_old), opens(&trusted_new)), (Some(4), Some(0)));
    server.signal("-TERM");
    assert_eq!(server.finish().0, Some(0));
    let outcome = run(&["serve", "--tls-cert", "/no/such", "--tls-key", &key], "").expect(2);
    assert!(outcome.stderr.contains("/no/such"), "{}", outcome.stderr);
}

#[test]
fn certificates_are_looked_at_by_themselves_if_that_is_set() {
    let folder = Folder::new("reload");
    let made = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (old, new) = (made(), made());
    let cert = folder.write("cert.pem", &old.cert.pem());
    let key = folder.write("key.pem", &old.signing_key.serialize_pem());
    let trusted_new = folder.write("new.pem", &new.cert.pem());
    let server =
        Server::start(&["--tls-cert", &cert, "--tls-key", &key, "--set", "tls.reload=50ms"]);
    let url = format!("wss://{}/echo", server.addr);
    let opens = || connect(&url, &["-m", "x", "-1", "--cacert", &trusted_new], "").code;
    assert_eq!(opens(), Some(4));
    folder.write("key.pem", &new.signing_key.serialize_pem());
    server.await_log("tls.reload: the old certificate stays: TLS: ");
    folder.write("cert.pem", &new.cert.pem());
    server.await_log("tls.reload: new connections see the new certificate");
    assert_eq!(opens(), Some(0));
}
