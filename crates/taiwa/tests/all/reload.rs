//! Certificates that are exchanged while a server runs, and those that clients show.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use taiwa::{Certificates, Client, ClientCertificates, Error, Server, Upgrade, WebSocket};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};
use tokio_rustls::TlsConnector;

use super::{
    authority::{Authority, Identity, fresh},
    bind, echo, handshake, run, soon,
    tools::Folder,
};

impl Identity {
    fn certificates(&self) -> Certificates {
        Certificates::new(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }

    fn replaces(&self, certificates: &Certificates) -> Result<(), Error> {
        certificates.replace(self.chain.as_bytes(), self.key.as_bytes())
    }
}

/// Opens a WebSocket if the server's certificate is by this authority.
async fn connect(addr: SocketAddr, authority: &Authority) -> Result<WebSocket, Error> {
    let client = Client::builder().root_certificate_pem(authority.pem.as_bytes()).build().unwrap();
    soon(client.connect(&format!("wss://localhost:{}/", addr.port()))).await
}

/// Tells by whom the certificate is that the server shows.
async fn shows(addr: SocketAddr, authority: &Authority) -> bool {
    match connect(addr, authority).await {
        Ok(mut socket) => {
            echoes(&mut socket).await;
            true
        }
        Err(Error::Tls(_)) => false,
        Err(other) => panic!("{other:?}"),
    }
}

async fn echoes(socket: &mut WebSocket) {
    soon(socket.send("x")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_ones_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let certificates = old.server().certificates();
    let (server, addr) = bind().await;
    run(server.tls_reloading(certificates.clone()).serve(echo));
    let mut open = connect(addr, &old).await.unwrap();
    assert!(!shows(addr, &new).await);
    new.server().replaces(&certificates).unwrap();
    assert!(shows(addr, &new).await);
    assert!(!shows(addr, &old).await);
    echoes(&mut open).await;
    assert!(soon(open.close(taiwa::CloseCode::NORMAL, "")).await.unwrap().clean);
}

#[tokio::test]
async fn a_bad_pair_is_refused_and_what_was_shown_stays() {
    let authority = Authority::new();
    let (good, other) = (authority.server(), authority.server());
    let certificates = good.certificates();
    let (server, addr) = bind().await;
    run(server.tls_reloading(certificates.clone()).serve(echo));
    for (chain, key) in [
        (&*good.chain, &*other.key),
        (&good.key, &good.key),
        (&good.chain, &good.chain),
        ("", ""),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &good.key),
    ] {
        let refused = certificates.replace(chain.as_bytes(), key.as_bytes());
        let Err(error @ Error::Tls(_)) = refused else { panic!("{refused:?}") };
        let middle = good.key.lines().nth(1).unwrap();
        assert!(!format!("{error} {error:?} {certificates:?}").contains(middle));
        assert!(Certificates::new(chain.as_bytes(), key.as_bytes()).is_err());
    }
    assert!(shows(addr, &authority).await);
}

#[tokio::test]
async fn files_are_read_again_when_asked_to() {
    let (old, new) = (Authority::new(), Authority::new());
    let (first, second) = (old.server(), new.server());
    let folder = Folder::new();
    let chain = folder.write("chain.pem", &first.chain);
    let key = folder.write("key.pem", &first.key);
    let certificates = Certificates::from_files(&chain, &key).unwrap();
    let (server, addr) = bind().await;
    run(server.tls_reloading(certificates.clone()).serve(echo));
    assert!(!certificates.reload().unwrap(), "nothing has changed");
    folder.write("chain.pem", &second.chain);
    assert!(matches!(certificates.reload(), Err(Error::Tls(_))), "the key is of the old one");
    assert!(shows(addr, &old).await);
    folder.write("key.pem", &second.key);
    assert!(certificates.reload().unwrap());
    assert!(shows(addr, &new).await);
    std::fs::remove_file(&key).unwrap();
    let Err(Error::Io(error)) = certificates.reload() else { panic!("it is gone") };
    assert!(error.to_string().contains("key.pem"), "{error}");
    assert!(shows(addr, &new).await);
    assert!(matches!(Certificates::from_files(&chain, &key), Err(Error::Io(_))));
    assert!(!first.certificates().reload().unwrap(), "from no files");
    // Other files.
    let other = folder.write("other.pem", &format!("{}{}", first.chain, first.key));
    assert!(certificates.reload_from(&chain, &other).is_err(), "they don't fit each other");
    assert!(shows(addr, &new).await);
    assert!(certificates.reload_from(&other, &other).unwrap());
    assert!(shows(addr, &old).await);
    assert!(!certificates.reload().unwrap(), "of the other files");
    // Both in one file.
    let both = folder.write("both.pem", &format!("{}{}", first.chain, first.key));
    Certificates::from_files(&both, &both).unwrap();
}

#[tokio::test]
async fn files_are_watched_when_asked_to_and_what_stays_bad_is_told_once() {
    let (old, new) = (Authority::new(), Authority::new());
    let (first, second) = (old.server(), new.server());
    let folder = Folder::new();
    let chain = folder.write("chain.pem", &first.chain);
    let key = folder.write("key.pem", &first.key);
    let certificates = Certificates::from_files(chain, key).unwrap();
    let certificates = certificates.check_every(Duration::ZERO);
    let (server, addr) = bind().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let serving = server.tls_reloading(certificates).serve(echo);
    run(serving.on_error(move |who, error| {
        // The handshakes that fail here do so on purpose.
        if who.is_none() {
            hear.lock().unwrap().push(error.to_string());
        }
    }));
    let mut open = connect(addr, &old).await.unwrap();
    folder.write("chain.pem", &second.chain);
    soon(async {
        while heard.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Three more looks at the same files.
    sleep(Duration::from_millis(350)).await;
    assert_eq!(heard.lock().unwrap().len(), 1, "{heard:?}");
    assert!(heard.lock().unwrap()[0].starts_with("TLS: "), "{heard:?}");
    assert!(shows(addr, &old).await);
    folder.write("key.pem", &second.key);
    soon(async {
        while !shows(addr, &new).await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(heard.lock().unwrap().len(), 1, "{heard:?}");
    echoes(&mut open).await;
}

#[tokio::test]
async fn clients_see_the_certificate_of_the_name_that_they_ask_for() {
    let authority = Authority::new();
    let sign = |names: &[&str]| authority.sign(names, fresh(), |_| ());
    let certificates = sign(&["localhost"]).certificates();
    let insert = |name: &str, names: &[&str]| {
        let made = sign(names);
        certificates.insert(name, made.chain.as_bytes(), made.key.as_bytes())
    };
    insert("One.Example", &["one.example"]).unwrap();
    insert("*.two.example", &["*.two.example"]).unwrap();
    for (name, names) in [
        ("one.example", &["two.example"][..]),
        ("*.one.example", &["one.example"]),
        ("one.example", &["*.one.example"]),
        ("", &["one.example"]),
        ("*.", &["one.example"]),
    ] {
        assert!(matches!(insert(name, names), Err(Error::Tls(_))), "{name:?} {names:?}");
    }
    let (server, addr) = bind().await;
    run(server.tls_reloading(certificates.clone()).serve(echo));
    for (name, expected) in [
        ("localhost", true),
        ("one.example", true),
        ("a.two.example", true),
        ("two.example", false),
        ("a.b.two.example", false),
        ("a.one.example", false),
    ] {
        assert_eq!(tls(addr, &authority, name, None).await.is_ok(), expected, "{name}");
    }
    assert!(certificates.remove("ONE.example"));
    assert!(!certificates.remove("one.example"));
    assert!(tls(addr, &authority, "one.example", None).await.is_err());
    assert!(tls(addr, &authority, "localhost", None).await.is_ok());
}

#[tokio::test]
async fn several_files_are_shown_by_the_names_in_them_and_a_bad_pair_keeps_its_old_one() {
    let authority = Authority::new();
    let folder = Folder::new();
    let write = |file: &str, names: &[&str]| {
        let made = authority.sign(names, fresh(), |_| ());
        folder.write(file, &format!("{}{}", made.chain, made.key))
    };
    let first = write("first.pem", &["localhost"]);
    let second = write("second.pem", &["One.Example", "*.two.example"]);
    let third = write("third.pem", &["one.example", "three.example"]);
    let both = |it: &String| (it.clone(), it.clone());
    let certificates =
        Certificates::from_several_files([&first, &second, &third].map(both)).unwrap();
    let (server, addr) = bind().await;
    let watched = certificates.clone().check_every(Duration::ZERO);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let serving = server.tls_reloading(watched).serve(echo).on_error(move |who, error| {
        if who.is_none() {
            hear.lock().unwrap().push(error.to_string());
        }
    });
    run(serving);
    let shown = async |names: &[(&'static str, bool)]| {
        for (name, expected) in names {
            assert_eq!(tls(addr, &authority, name, None).await.is_ok(), *expected, "{name}");
        }
    };
    let before = [
        ("localhost", true),
        ("ONE.example", true),
        ("a.two.example", true),
        ("two.example", false),
        ("three.example", true),
        ("four.example", false),
    ];
    shown(&before).await;
    assert!(!certificates.reload().unwrap(), "nothing has changed");
    // One is no good, and another one is new: that one counts.
    folder.write("second.pem", "nonsense");
    write("third.pem", &["four.example"]);
    assert!(matches!(certificates.reload(), Err(Error::Tls(_))));
    shown(&[("one.example", true), ("three.example", false), ("four.example", true)]).await;
    soon(async {
        while heard.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    sleep(Duration::from_millis(350)).await;
    assert_eq!(heard.lock().unwrap().len(), 1, "{heard:?}");
    // Found by looking at the files, without a call.
    write("second.pem", &["five.example"]);
    soon(async {
        while tls(addr, &authority, "five.example", None).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Other files: all of them or none.
    folder.write("bad.pem", "nonsense");
    let bad = folder.0.join("bad.pem").to_str().unwrap().to_owned();
    assert!(certificates.reload_from_several([&third, &bad].map(both)).is_err());
    shown(&[("localhost", true), ("five.example", true)]).await;
    assert!(certificates.reload_from_several([&third, &first].map(both)).unwrap());
    shown(&[("localhost", true), ("five.example", false), ("four.example", true)]).await;
    let none: [(&str, &str); 0] = [];
    assert!(certificates.reload_from_several(none).is_err());
    assert!(matches!(Certificates::from_several_files(none), Err(Error::Tls(_))));
}

#[tokio::test]
async fn the_answer_to_a_challenge_is_for_acme_servers_alone() {
    let authority = Authority::new();
    let certificates = authority.server().certificates();
    let (server, addr) = bind().await;
    run(server.tls_reloading(certificates.clone()).serve(echo));
    let answer = authority.sign(&["one.example"], fresh(), |_| ());
    let asks = async |name: &'static str, protocols: &[&[u8]]| {
        let mut config = tls_config(&authority);
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        let tcp = TcpStream::connect(addr).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let mut tls = soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.ok()?;
        let agreed = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let shown = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        if agreed.as_deref() == Some(b"acme-tls/1") {
            // The server has no more to say, not even how it ends.
            let mut byte = [0];
            let read = soon(tokio::io::AsyncReadExt::read(&mut tls, &mut byte)).await;
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        }
        Some((agreed, shown))
    };
    let acme: &[&[u8]] = &[b"acme-tls/1"];
    assert_eq!(asks("one.example", acme).await, None);
    certificates
        .insert_challenge("ONE.example", answer.chain.as_bytes(), answer.key.as_bytes())
        .unwrap();
    let der = CertificateDer::from_pem_slice(answer.chain.as_bytes()).unwrap().to_vec();
    assert_eq!(asks("one.example", acme).await, Some((Some(b"acme-tls/1".to_vec()), der)));
    assert_eq!(asks("two.example", acme).await, None);
    // Who asks for more than that is no ACME server.
    assert_eq!(asks("one.example", &[b"acme-tls/1", b"http/1.1"]).await, None);
    assert_eq!(asks("one.example", &[]).await, None);
    assert!(asks("localhost", &[b"acme-tls/1", b"http/1.1"]).await.is_some());
    assert!(certificates.remove_challenge("one.Example"));
    assert!(!certificates.remove_challenge("one.example"));
    assert_eq!(asks("one.example", acme).await, None);
}

fn tls_config(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// Does a TLS handshake by hand, and a request, so that tickets arrive.
async fn tls(
    addr: SocketAddr,
    authority: &Authority,
    name: &'static str,
    config: Option<&Arc<ClientConfig>>,
) -> std::io::Result<(Option<HandshakeKind>, Option<Vec<u8>>)> {
    let config = config.cloned().unwrap_or_else(|| Arc::new(tls_config(authority)));
    let tcp = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name).unwrap();
    let mut tls = soon(TlsConnector::from(config).connect(name, tcp)).await?;
    tls.write_all(handshake("").as_bytes()).await?;
    let mut answer = [0; 12];
    soon(tokio::io::AsyncReadExt::read_exact(&mut tls, &mut answer)).await?;
    assert_eq!(&answer, b"HTTP/1.1 101");
    let session = tls.get_ref().1;
    assert_eq!(session.tls13_tickets_received(), 1, "each connection brings one");
    Ok((session.handshake_kind(), session.alpn_protocol().map(<[u8]>::to_vec)))
}

#[tokio::test]
async fn sessions_resume_by_tickets_also_past_a_new_certificate_and_alpn_stays() {
    let authority = Authority::new();
    let certificates = authority.server().certificates();
    let (server, addr) = bind().await;
    run(server.http2(None).tls_reloading(certificates.clone()).serve(echo));
    let mut config = tls_config(&authority);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let alpn = Some(b"http/1.1".to_vec());
    let (first, agreed) = tls(addr, &authority, "localhost", Some(&config)).await.unwrap();
    assert_eq!((first.unwrap(), &agreed), (HandshakeKind::Full, &alpn));
    authority.server().replaces(&certificates).unwrap();
    let (second, agreed) = tls(addr, &authority, "localhost", Some(&config)).await.unwrap();
    assert_eq!((second.unwrap(), &agreed), (HandshakeKind::Resumed, &alpn));
    // Who offers something else alone is refused.
    let mut other = tls_config(&authority);
    other.alpn_protocols = vec![b"h2".to_vec()];
    assert!(tls(addr, &authority, "localhost", Some(&Arc::new(other))).await.is_err());
}

/// Tells the client's own certificate as the server sees it, in numbers.
async fn tell(upgrade: Upgrade) -> Result<(), Error> {
    let seen: Vec<Vec<u8>> = upgrade.peer_certificates().map(<[u8]>::to_vec).collect();
    let mut socket = upgrade.accept().await?;
    socket.send(format!("{seen:?}")).await
}

#[tokio::test]
async fn clients_show_certificates_when_they_must_or_may() {
    let (ours, theirs, strange) = (Authority::new(), Authority::new(), Authority::new());
    let certificates = ours.server().certificates();
    let (known, unknown) = (theirs.client("Ada"), strange.client("Eve"));
    let der = CertificateDer::from_pem_slice(known.chain.as_bytes()).unwrap().to_vec();
    for (policy, without) in
        [(ClientCertificates::Required, false), (ClientCertificates::Optional, true)]
    {
        let (server, addr) = bind().await;
        let server = server.client_certificates(theirs.pem.as_bytes(), policy).unwrap();
        run(server.tls_reloading(certificates.clone()).serve(tell));
        let told = async |identity: Option<&Identity>| {
            let client = Client::builder().root_certificate_pem(ours.pem.as_bytes());
            let client = match identity {
                Some(it) => client.client_certificate_pem(it.chain.as_bytes(), it.key.as_bytes()),
                None => client,
            };
            let client = client.build().unwrap();
            let url = format!("wss://localhost:{}/", addr.port());
            // Twice: the second session may be a resumed one, and the certificate is known all the same.
            let _ = soon(client.connect(&url)).await;
            let mut socket = soon(client.connect(&url)).await.ok()?;
            let told = soon(socket.recv()).await.unwrap().unwrap();
            Some(told.as_text().unwrap().to_owned())
        };
        assert_eq!(told(Some(&known)).await, Some(format!("{:?}", [&der])), "{policy:?}");
        assert_eq!(told(None).await, without.then(|| "[]".to_owned()), "{policy:?}");
        assert_eq!(told(Some(&unknown)).await, None, "{policy:?}");
    }
}

#[tokio::test]
async fn client_certificates_without_tls_are_a_mistake_that_is_told() {
    let authority = Authority::new();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let required = ClientCertificates::Required;
    let server = server.client_certificates(authority.pem.as_bytes(), required).unwrap();
    let error = soon(server.serve(echo).into_future()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    assert!(matches!(server.client_certificates(b"", required), Err(Error::Tls(_))));
}
