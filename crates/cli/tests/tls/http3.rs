//! Whether HTTP/3 is announced, as curl sees it, and what its UDP port has to do with the others.

use std::{
    net::{TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
};

use super::{
    support::{Folder, Running, Server, connect, free_addr, taiwa},
    tool,
};

/// A server whose port is nobody's by chance: not of TCP, and not of UDP.
fn start(args: &[&str]) -> Server {
    let addr = free_addr();
    let args = [&["serve", "--listen", &addr, "--tls", "dev"], args].concat();
    Server::run(taiwa(&args))
}

/// The head of the page's response, by HTTP/1.1.
fn head(server: &Server) -> Option<String> {
    let url = format!("https://{}/", server.addr);
    let asked = tool("curl", &["--silent", "--insecure", "--http1.1", "--head", &url]);
    asked.map(|(fine, text)| {
        assert!(fine, "{text}");
        text.to_lowercase()
    })
}

#[test]
fn with_tls_it_is_announced_and_its_udp_port_is_taken() {
    let server = start(&[]);
    let Some(head) = head(&server) else { return };
    let port = server.addr.rsplit(':').next().expect("there is one");
    assert!(head.contains(&format!("alt-svc: h3=\":{port}\"; ma=86400")), "{head}");
    assert!(UdpSocket::bind(&server.addr).is_err(), "somebody has it");
}

#[test]
fn it_has_a_switch() {
    let server = start(&["--http3", "false"]);
    let Some(head) = head(&server) else { return };
    assert!(!head.contains("alt-svc"), "{head}");
    assert!(UdpSocket::bind(&server.addr).is_ok(), "nobody has it");
}

#[test]
fn a_udp_port_that_is_taken_is_an_address_that_is_taken() {
    let addr = free_addr();
    let _there = UdpSocket::bind(&addr).unwrap();
    let folder = Folder::new("udp-taken");
    let path = folder.0.join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    let mut command = taiwa(&["serve", "--listen", &addr, "--tls", "dev"]);
    command.env("NOTIFY_SOCKET", &path);
    let ended = Running::start(command).finish();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let why = format!("can't have UDP port {addr}");
    assert!(ended.stderr.contains(&why), "{}", ended.stderr);
    // Nobody was told that clients can come.
    assert_eq!(ended.stdout_text(), "");
    let told = manager.recv(&mut [0; 512]).unwrap_err();
    assert_eq!(told.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_udp_socket_of_the_service_manager_is_served_beside_its_tcp_socket() {
    let addr = free_addr();
    let tcp = TcpListener::bind(&addr).unwrap();
    let udp = UdpSocket::bind(&addr).unwrap();
    let there = udp.try_clone().unwrap();
    let mut command = Command::new("/bin/sh");
    let script =
        "exec 3<&0 4<&1; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\" </dev/null >/dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_taiwa"), "serve", "--tls", "dev"]);
    command.args(["--listen", "activation"]).env_remove("TAIWA_LOG").env_remove("TAIWA_CONFIG");
    command.stdin(Stdio::from(OwnedFd::from(tcp))).stdout(Stdio::from(OwnedFd::from(udp)));
    let mut server = Ended(command.stderr(Stdio::null()).spawn().unwrap());
    // Who gave them away does not hear them any more.
    drop(command);
    let url = format!("wss://{addr}/echo");
    for http in ["--http1.1", "--http3"] {
        let said = connect(&url, &["-m", "x", "-1", "--insecure", http], "").expect(0);
        assert_eq!(said.stdout_text(), "x\n", "{http}");
    }
    assert_eq!(server.0.try_wait().unwrap(), None, "it goes on");
    drop(server);
    assert_eq!(there.local_addr().unwrap().to_string(), addr, "it belongs to who made it");
}

/// A process, ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_port_may_be_announced() {
    let server = start(&["--http3-port", "443"]);
    let Some(head) = head(&server) else { return };
    assert!(head.contains("alt-svc: h3=\":443\""), "{head}");
}
