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

/// Runs a server that wants certificates by `root`; returns its port.
fn demanding(root: String, certificate: String, key: String) -> u16 {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = ::taiwa::Server::bind("127.0.0.1:0").await.unwrap();
            tell.send(server.local_addr().unwrap().port()).unwrap();
            let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
            let policy = ::taiwa::ClientCertificates::Required;
            let server = server.client_certificates(root.as_bytes(), policy).unwrap();
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
    let port = demanding(root.clone(), certificate, key);
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
