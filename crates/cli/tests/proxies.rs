//! `taiwa connect` through proxies, from its arguments and from its environment.

mod support;

use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use support::{PATIENCE, Running, Server, connect, drain, peer, run, taiwa};

/// An HTTP proxy for one connection, whose only server is this one; hands out its request.
fn proxy(to: &Server) -> (String, mpsc::Receiver<String>) {
    let to = to.addr.to_string();
    let (tell, told) = mpsc::channel();
    let (url, _) = peer(move |mut stream, head| {
        tell.send(head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut server = TcpStream::connect(to).unwrap();
        let mut back = (server.try_clone().unwrap(), stream.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut back.0, &mut back.1));
        let _ = io::copy(&mut stream, &mut server);
    });
    (url.replace("ws://", "http://me:secret@"), told)
}

#[test]
fn connections_go_through_the_proxy_of_the_argument_or_the_environment() {
    let server = Server::start(&[]);
    let talk = ["connect", "ws://app.example/echo", "-m", "hello", "-1"];
    for by_argument in [true, false] {
        let (url, told) = proxy(&server);
        let mut command = taiwa(&talk);
        if by_argument {
            command.args(["--proxy", &url]);
        } else {
            command.env("http_proxy", &url);
        }
        let outcome = Running::start(command).finish().expect(0);
        assert_eq!(outcome.stdout, b"hello\n");
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
        let head = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("CONNECT app.example:80 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{head}");
    }
}

#[test]
fn a_proxy_of_the_environment_can_be_left_out() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, told) in
        [(&[][..], "proxy http://127.0.0.1"), (&["--no-proxy"], "name.invalid: ")]
    {
        let mut command = taiwa(&["connect", "ws://name.invalid/", "--connect-timeout", "50s"]);
        command.env("http_proxy", free.to_string()).args(arguments);
        let outcome = Running::start(command).finish().expect(3);
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    }
}

#[test]
fn a_refusal_of_the_proxy_is_told_with_its_body_and_without_the_password() {
    let (url, _) = peer(|mut stream, _| {
        let refusal = b"HTTP/1.1 407 Who\r\nContent-Length: 6\r\n\r\nlog in";
        stream.write_all(refusal).unwrap();
        drain(stream)
    });
    let url = url.replace("ws://", "http://me:secret@");
    let outcome = connect("wss://app.example/", &["--proxy", &url], "").expect(3);
    for part in ["407 Proxy Authentication Required\n", "log in\n"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
}

#[test]
fn a_bad_proxy_is_told_without_a_word_of_it() {
    for arguments in [
        &["--proxy", "socks4://me:secret@127.0.0.1"][..],
        &["--proxy", "http://me:sec/ret@127.0.0.1"],
        &["--proxy", "127.0.0.1:1", "--no-proxy"],
    ] {
        let arguments = [&["connect", "ws://127.0.0.1:1/"], arguments].concat();
        let outcome = run(&arguments, "").expect(2);
        assert!(
            !outcome.stderr.contains("sec") && !outcome.stderr.is_empty(),
            "{}",
            outcome.stderr
        );
    }
}
