//! How `taiwa connect` opens: redirects, client certificates, another name.

mod support;

use std::{io::Write, path::PathBuf, sync::mpsc, thread};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{PATIENCE, Server, connect, drain, peer, taiwa};

/// Redirects one client, and hands out its request.
fn redirecting(location: String) -> (String, mpsc::Receiver<String>) {
    peer(move |mut stream, head| {
        let response = format!(
            "HTTP/1.1 307 There\r\nLocation: {location}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(response.as_bytes()).unwrap();
        drop(stream);
        head
    })
}

#[test]
fn redirects_are_followed_when_asked_for() {
    let server = Server::start(&[]);
    let there = format!("http://{}/echo", server.addr);
    let once = || redirecting(there.clone()).0;
    // A URL of http is as good without any redirect.
    assert_eq!(connect(&there, &["-m", "hello", "-1"], "").expect(0).stdout, b"hello\n");
    let args = ["-m", "hello", "-1"];
    let outcome = connect(&once(), &args, "").expect(5);
    assert!(outcome.stderr.contains(&format!("Location: {there}\n")), "{}", outcome.stderr);
    let outcome = connect(&once(), &[&args[..], &["-L", "-v"]].concat(), "").expect(0);
    assert_eq!(outcome.stdout, b"hello\n");
    assert!(outcome.stderr.contains(&format!("* at ws://{}/echo", server.addr)));
    let none = [&args[..], &["-L", "--redirects-max", "0"]].concat();
    connect(&once(), &none, "").expect(5);

    let twice = redirecting(once()).0;
    let outcome = connect(&twice, &["-L", "--redirects-max", "1"], "").expect(5);
    assert!(outcome.stderr.contains("more than the 1 allowed"), "{}", outcome.stderr);
}

#[test]
fn a_refusal_behind_a_redirect_names_who_refused_and_saw_no_credentials() {
    let (refusing, request) = peer(|mut stream, head| {
        stream.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").unwrap();
        drain(stream);
        head
    });
    let (url, _first) = redirecting(refusing.clone());
    let url = url.replace("ws://", "ws://me:pw@");
    let args = ["-L", "-b", "a=b", "-H", "Authorization: Bearer x", "-H", "X-Plain: y"];
    let outcome = connect(&url, &args, "").expect(5);
    let told = format!("{refusing}: refused with 401");
    assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
    let request = request.recv_timeout(PATIENCE).unwrap().to_ascii_lowercase();
    assert!(request.contains("x-plain: y"), "{request}");
    assert!(!request.contains("authorization") && !request.contains("cookie"), "{request}");
}

/// Runs a server that wants certificates by `root`, if there is one; returns its port.
fn greeting(root: Option<String>, certificate: String, key: String) -> u16 {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = ::taiwa::Server::bind("127.0.0.1:0").await.unwrap();
            tell.send(server.local_addr().unwrap().port()).unwrap();
            let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
            let mut server = server.http3(::taiwa::Http3::default());
            if let Some(root) = root {
                let policy = ::taiwa::ClientCertificates::Required;
                server = server.client_certificates(root.as_bytes(), policy).unwrap();
            }
            let greet = |upgrade: ::taiwa::Upgrade| async {
                let mut socket = upgrade.accept().await?;
                socket.send("welcome").await
            };
            server.serve(greet).await.unwrap();
        });
    });
    told.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_version_of_http_is_chosen_or_forced_and_told_with_its_reason() {
    let folder = std::env::temp_dir().join(format!("taiwa-test-version-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let root = folder.join("root.pem");
    std::fs::write(&root, made.cert.pem()).unwrap();
    let port = greeting(None, made.cert.pem(), made.signing_key.serialize_pem());
    let url = format!("wss://localhost:{port}/");
    let args = ["--cacert", root.to_str().unwrap(), "-1", "-v"];
    for (flag, told) in [
        (None, "* HTTP/2.0: chosen by the server\n< HTTP/2.0 200 OK\n"),
        (Some("--http2"), "* HTTP/2.0: asked for\n< HTTP/2.0 200 OK\n"),
        (Some("--http3"), "* HTTP/3.0: asked for\n< HTTP/3.0 200 OK\n"),
        (Some("--http1.1"), "* HTTP/1.1: asked for\n< HTTP/1.1 101 Switching Protocols\n"),
    ] {
        let all: Vec<_> = args.into_iter().chain(flag).collect();
        let outcome = connect(&url, &all, "").expect(0);
        assert_eq!(outcome.stdout, b"welcome\n");
        assert!(outcome.stderr.contains(told), "{flag:?}: {}", outcome.stderr);
    }
    // HTTP/3 at a place that says nothing: what was raced is told.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = format!("localhost:{}", silent.local_addr().unwrap().port());
    let alt_svc = format!("--alt-svc=h3=\"{at}\"");
    let outcome = connect(&url, &[&args[..], &[&alt_svc]].concat(), "").expect(0);
    assert_eq!(outcome.stdout, b"welcome\n");
    let mut rest = outcome.stderr.as_str();
    for told in [
        &format!("HTTP/3 is tried at {at} (UDP)\n"),
        "TCP is tried\n",
        "HTTP/2.0 is ready for a WebSocket\n",
        "* HTTP/2.0: chosen by the server\n",
    ] {
        let (_, behind) = rest.split_once(told).unwrap_or_else(|| panic!("{told}: {rest}"));
        rest = behind;
    }
    connect(&url, &[&alt_svc, "--http2"], "").expect(2);
    connect(&url, &["--alt-svc", "nonsense"], "").expect(2);
    connect(&url, &["--http2", "--http1.1"], "").expect(2);
    connect(&url, &["--http3", "--http2"], "").expect(2);
    connect(&url.replace("wss:", "ws:"), &["--http3"], "").expect(2);
    let _ = std::fs::remove_dir_all(folder);

    let server = Server::start(&[]);
    let there = format!("ws://{}/echo", server.addr);
    let args = ["-m", "hello", "-1", "-v"];
    let outcome = connect(&there, &args, "").expect(0);
    let told = "* HTTP/1.1: no TLS, so no other version was offered\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    let outcome = connect(&there, &[&args[..], &["--http2"]].concat(), "").expect(0);
    assert_eq!(outcome.stdout, b"hello\n");
    assert!(outcome.stderr.contains("* HTTP/2.0: asked for\n"), "{}", outcome.stderr);
}

#[test]
fn a_certificate_is_shown_and_another_name_asked_for() {
    let folder = std::env::temp_dir().join(format!("taiwa-test-opening-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, content: &str| {
        let path: PathBuf = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let identity = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = identity("inside.example");
    let port = greeting(Some(root.clone()), certificate, key);
    let (certificate, key) = identity("me.example");
    let (root, certificate, key) =
        (write("root.pem", &root), write("me.pem", &certificate), write("me.key", &key));

    let url = format!("wss://127.0.0.1:{port}/");
    let keys = folder.join("keys.txt");
    let all = ["--cacert", &root, "--sni", "inside.example", "--cert", &certificate, "--key", &key];
    let mut command = taiwa(&[&["connect", &url, "-1"], &all[..]].concat());
    command.env("SSLKEYLOGFILE", &keys);
    let outcome = support::Running::start(command).finish().expect(0);
    assert_eq!(outcome.stdout, b"welcome\n");
    assert!(std::fs::read_to_string(keys).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
    let without_certificate = connect(&url, &all[..4], "").expect(4);
    assert!(without_certificate.stderr.contains("TLS"), "{}", without_certificate.stderr);
    let without_name = connect(&url, &["--cacert", &root], "").expect(4);
    assert!(without_name.stderr.contains("not valid for name"), "{}", without_name.stderr);
    let _ = std::fs::remove_dir_all(folder);
}
