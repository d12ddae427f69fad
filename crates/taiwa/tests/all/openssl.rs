//! TLS with openssl's own tools at the other end.

use std::process::Command;

use rcgen::{KeyPair, date_time_ymd};
use taiwa::{Client, ClientBuilder, Error, TlsVersion, WebSocket};
use taiwa_proto::handshake::accept_key;

use super::{
    authority::{Authority, Identity, fresh},
    bind, echo, frame, handshake, run, soon,
    tools::{Folder, Tool, lacks},
};

/// Options of `openssl genpkey`.
const KEYS: [&[&str]; 3] = [
    &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    &["-algorithm", "ED25519"],
];

/// Made by openssl: it does not read an Ed25519 key as our tests would write it, with its public key.
fn key(options: &[&str]) -> KeyPair {
    let made = Command::new("openssl").arg("genpkey").args(options).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    KeyPair::from_pem(std::str::from_utf8(&made.stdout).unwrap()).unwrap()
}

/// `openssl s_server`, whose end of the WebSocket we are.
struct Server {
    tool: Tool,
    port: u16,
    connections: usize,
    _folder: Folder,
}

impl Server {
    async fn start(authority: &Authority, identity: &Identity, options: &[&str]) -> Self {
        let folder = Folder::new();
        let chain = folder.write("chain.pem", &identity.chain);
        let key = folder.write("key.pem", &identity.key);
        let ca = folder.write("ca.pem", &authority.pem);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-alpn", "http/1.1", "-CAfile", &ca]);
        // With a second certificate it says which name it was asked for.
        command.args(["-cert", &chain, "-key", &key, "-servername", "second.example"]);
        command.args(["-cert2", &chain, "-key2", &key]).args(options);
        let tool = Tool::start(&mut command);
        let said = tool.says("ACCEPT 127.0.0.1:", 1).await;
        let port = said.rsplit_once("ACCEPT 127.0.0.1:").expect("just seen").1;
        let port = port.lines().next().and_then(|it| it.parse().ok()).expect("a port");
        Self { tool, port, connections: 0, _folder: folder }
    }

    /// Connects, answers the opening handshake by hand, and hears one message.
    async fn connect(&mut self, client: &Client, host: &str) -> WebSocket {
        self.connections += 1;
        let url = format!("wss://{host}:{}/", self.port);
        let client = client.clone();
        let opening = tokio::spawn(async move { client.connect(&url).await });
        let said = self.tool.says("\\r\n\\r\n", self.connections).await;
        let key = said.rsplit_once("Sec-WebSocket-Key: ").expect("a handshake").1;
        let key = key.split("\\r").next().expect("a line");
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(key)
        );
        self.tool.say(&[response.as_bytes(), b"\x81\x02hi"].concat());
        let mut socket = soon(opening).await.unwrap().unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Some("hi".into()));
        socket
    }

    /// Connects and closes again; returns all that the server said.
    async fn visit(&mut self, client: &Client, host: &str) -> String {
        let mut socket = self.connect(client, host).await;
        self.tool.say(b"\x88\x02\x03\xe8");
        assert_eq!(soon(socket.recv()).await.unwrap(), None);
        self.tool.says("DONE", self.connections).await
    }

    async fn refused(&self, client: ClientBuilder, host: &str) -> Error {
        let url = format!("wss://{host}:{}/", self.port);
        soon(client.build().unwrap().connect(&url)).await.unwrap_err()
    }
}

fn trusting(authority: &Authority) -> ClientBuilder {
    Client::builder().root_certificate_pem(authority.pem.as_bytes())
}

#[tokio::test]
async fn each_version_and_each_kind_of_key_of_a_server_works() {
    if lacks("openssl") {
        return;
    }
    let authority = Authority::new();
    for kind in KEYS {
        for version in ["-tls1_2", "-tls1_3"] {
            let identity = authority.sign(&["localhost"], key(kind), |_| ());
            let mut server = Server::start(&authority, &identity, &[version]).await;
            let client = trusting(&authority).build().unwrap();
            let said = server.visit(&client, "localhost").await;
            for part in
                ["Hostname in TLS extension: \"localhost\"", "ALPN protocols selected: http/1.1"]
            {
                assert!(said.contains(part), "{kind:?} {version}, no {part:?}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_is_asked_for_another_name_and_must_have_it() {
    if lacks("openssl") {
        return;
    }
    let authority = Authority::new();
    let identity = authority.sign(&["inside.example"], fresh(), |_| ());
    let mut server = Server::start(&authority, &identity, &[]).await;
    let client = trusting(&authority).tls_server_name("inside.example").build().unwrap();
    let said = {
        let _socket = server.connect(&client, "127.0.0.1").await;
        server.tool.said()
    };
    assert!(said.contains("Hostname in TLS extension: \"inside.example\""), "{said}");
    assert!(said.contains(&format!("Host: 127.0.0.1:{}", server.port)), "{said}");

    let error =
        server.refused(trusting(&authority).tls_server_name("b.example"), "localhost").await;
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    let bad = Client::builder().tls_server_name("not a name").build();
    assert!(matches!(bad, Err(Error::Tls(_))));
}

#[tokio::test]
async fn the_second_connection_of_a_client_resumes_the_session_of_the_first() {
    if lacks("openssl") {
        return;
    }
    let authority = Authority::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut server = Server::start(&authority, &authority.server(), &[version]).await;
        let client = trusting(&authority).build().unwrap();
        for _ in 0..2 {
            server.visit(&client, "localhost").await;
        }
        let said = server.tool.said();
        assert_eq!(said.matches("Reused session-id").count(), 1, "{version}: {said}");
        // Another client has sessions of its own.
        let other = trusting(&authority).build().unwrap();
        let said = server.visit(&other, "localhost").await;
        assert_eq!(said.matches("Reused session-id").count(), 1, "{version}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_it() {
    if lacks("openssl") {
        return;
    }
    let authority = Authority::new();
    let stranger = Authority::new().client("mallory");
    for version in ["-tls1_2", "-tls1_3"] {
        let options = [version, "-Verify", "1", "-verify_return_error"];
        let mut server = Server::start(&authority, &authority.server(), &options).await;
        let me = authority.client("me");
        let client = trusting(&authority)
            .client_certificate_pem(me.chain.as_bytes(), me.key.as_bytes())
            .build()
            .unwrap();
        let said = server.visit(&client, "localhost").await;
        assert!(said.contains("subject=CN = me"), "{version}: {said}");

        let error = server.refused(trusting(&authority), "localhost").await;
        assert!(matches!(error, Error::Tls(_)) && !error.is_retryable(), "{version}: {error:?}");
        let client = trusting(&authority)
            .client_certificate_pem(stranger.chain.as_bytes(), stranger.key.as_bytes());
        let error = server.refused(client, "localhost").await;
        assert!(matches!(error, Error::Tls(_)), "{version}: {error:?}");
    }
    let (one, other) = (authority.client("one"), authority.client("other"));
    for (chain, key) in [(&one.chain, &other.key), (&one.key, &one.key), (&one.chain, &one.chain)] {
        let bad = Client::builder().client_certificate_pem(chain.as_bytes(), key.as_bytes());
        assert!(matches!(bad.build(), Err(Error::Tls(_))));
    }
}

#[tokio::test]
async fn a_bad_certificate_is_refused_and_the_error_says_why() {
    if lacks("openssl") {
        return;
    }
    let authority = Authority::new();
    let expired = authority.sign(&["localhost"], fresh(), |it| {
        it.not_before = date_time_ymd(2020, 1, 1);
        it.not_after = date_time_ymd(2021, 1, 1);
    });
    let early =
        authority.sign(&["localhost"], fresh(), |it| it.not_before = date_time_ymd(4000, 1, 1));
    let other_name = authority.sign(&["b.example"], fresh(), |_| ());
    let other_authority = Authority::new().server();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let self_signed = Identity { chain: made.cert.pem(), key: made.signing_key.serialize_pem() };
    let of_a_client = authority.client("localhost");
    for (identity, why) in [
        (&expired, "expired"),
        (&early, "not valid yet"),
        (&other_name, "not valid for name \"localhost\""),
        (&other_authority, "UnknownIssuer"),
        (&self_signed, "UnknownIssuer"),
        (&of_a_client, "extended key usage"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let server = Server::start(&authority, identity, &[version]).await;
            for builder in [trusting(&authority), more(&authority)] {
                let error = server.refused(builder, "localhost").await;
                assert!(matches!(error, Error::Tls(_)), "{why}: {error:?}");
                // The platform's verifier abbreviates a wrong extended key usage.
                let text = error.to_string().replace("EkuError", "extended key usage");
                assert!(text.contains(why), "{why}: {error}");
            }
            let insistent = Client::builder().danger_accept_any_certificate().build().unwrap();
            let mut server = server;
            // What was refused has said no word of a handshake.
            server.visit(&insistent, "localhost").await;
        }
    }
}

/// Believes the platform and this authority.
fn more(authority: &Authority) -> ClientBuilder {
    Client::builder().more_root_certificates_pem(authority.pem.as_bytes())
}

#[tokio::test]
async fn roots_can_be_added_to_those_of_the_platform_and_to_given_ones() {
    if lacks("openssl") {
        return;
    }
    let (one, other) = (Authority::new(), Authority::new());
    let mut server = Server::start(&one, &one.server(), &[]).await;
    for builder in [
        more(&one),
        more(&one).more_root_certificates_pem(other.pem.as_bytes()),
        trusting(&other).more_root_certificates_pem(one.pem.as_bytes()),
        trusting(&other).root_certificate_pem(one.pem.as_bytes()),
    ] {
        server.visit(&builder.build().unwrap(), "localhost").await;
    }
    for builder in [more(&one).root_certificate_pem(other.pem.as_bytes()), more(&other)] {
        assert!(matches!(server.refused(builder, "localhost").await, Error::Tls(_)));
    }
    let bad = Client::builder().more_root_certificates_pem(b"nonsense").build();
    assert!(matches!(bad, Err(Error::Tls(_))));
}

#[tokio::test]
async fn a_server_below_the_lowest_version_is_refused() {
    if lacks("openssl") {
        return;
    }
    let authority = Authority::new();
    let modern = || trusting(&authority).tls_version_min(TlsVersion::Tls13);
    let server = Server::start(&authority, &authority.server(), &["-tls1_2"]).await;
    let error = server.refused(modern(), "localhost").await;
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    let mut server = Server::start(&authority, &authority.server(), &[]).await;
    server.visit(&modern().build().unwrap(), "localhost").await;
}

/// The secrets that openssl writes of its end are those that our client writes of its own.
#[tokio::test]
async fn both_ends_log_the_same_keys() {
    if lacks("openssl") {
        return;
    }
    let authority = Authority::new();
    for (version, labels) in [("-tls1_2", 1), ("-tls1_3", 5)] {
        let folder = Folder::new();
        let theirs = folder.write("theirs", "");
        let options = [version, "-keylogfile", &theirs];
        let mut server = Server::start(&authority, &authority.server(), &options).await;
        let ours = folder.0.join("ours");
        let client = trusting(&authority).key_log_file(&ours).build().unwrap();
        server.visit(&client, "localhost").await;
        let lines = |path: &std::path::Path| {
            let text = std::fs::read_to_string(path).unwrap();
            let mut lines: Vec<String> =
                text.lines().filter(|it| !it.starts_with('#')).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&ours), lines(theirs.as_ref()), "{version}");
        assert_eq!(lines(&ours).len(), labels, "{version}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let nowhere = Client::builder().key_log_file("/does/not/exist/keys").build();
    assert!(matches!(nowhere, Err(Error::Tls(_))));
}

/// The secrets that our server writes of its end are those that openssl writes of its own.
#[tokio::test]
async fn our_server_logs_the_keys_that_s_client_has() {
    if lacks("openssl") {
        return;
    }
    let identity = Authority::new().server();
    for (version, labels) in [("-tls1_2", 1), ("-tls1_3", 5)] {
        let folder = Folder::new();
        let (ours, theirs) = (folder.0.join("ours"), folder.write("theirs", ""));
        let (server, addr) = bind().await;
        let server = server.tls(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap();
        run(server.key_log_file(&ours).unwrap().serve(echo));
        let mut command = Command::new("openssl");
        command.args(["s_client", "-ign_eof", "-connect", &addr.to_string(), version]);
        let mut client = Tool::start(command.args(["-keylogfile", &theirs]));
        client.say(&[handshake("").as_bytes(), &frame(0x88, &[3, 232])].concat());
        client.says("\\x88\\x02\\x03\\xe8", 1).await;
        let lines = |path: &std::path::Path| {
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text.lines().filter(|it| !it.starts_with('#')).map(str::to_owned);
            lines.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(lines(&ours), lines(theirs.as_ref()), "{version}");
        assert_eq!(lines(&ours).len(), labels, "{version}");
    }
    let (server, _) = bind().await;
    assert!(matches!(server.key_log_file("/does/not/exist/keys"), Err(Error::Tls(_))));
}

#[tokio::test]
async fn s_client_opens_a_websocket_to_our_server() {
    if lacks("openssl") {
        return;
    }
    let (authority, folder) = (Authority::new(), Folder::new());
    let ca = folder.write("ca.pem", &authority.pem);
    for kind in KEYS {
        let identity = authority.sign(&["localhost"], key(kind), |_| ());
        let (server, addr) = bind().await;
        run(server.tls(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap().serve(echo));
        for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-ign_eof", "-connect", &addr.to_string(), "-CAfile", &ca]);
            command.args(["-servername", "localhost", "-verify_hostname", "localhost"]);
            command.args(["-verify_return_error", "-alpn", "http/1.1", version]);
            let mut client = Tool::start(&mut command);
            client.say(&[handshake("").as_bytes(), &frame(0x81, b"hey")].concat());
            client.say(&frame(0x88, &[3, 232]));
            let said = client.says("\\x88\\x02\\x03\\xe8", 1).await;
            for part in [
                "Verification: OK",
                "ALPN protocol: http/1.1",
                "HTTP/1.1 101 Switching Protocols",
                "\\x81\\x03hey",
                name,
            ] {
                assert!(said.contains(part), "{kind:?} {version}, no {part:?}: {said}");
            }
        }
    }
}
