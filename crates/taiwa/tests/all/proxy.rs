//! Proxies that we are in these tests: what they are told, and what they may answer.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use taiwa::{Client, Deadline, Deadlines, Error, H1Fault, Proxy, ProxyFault, Upgrade};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    bind,
    dial::{echoes, nobody, resolving_to, secure_witness, told, trusting, witness},
    echo_server,
    examples::printed,
    run, soon,
};

/// What a proxy was told, one text for each connection.
pub(crate) type Heard = Arc<Mutex<Vec<String>>>;

async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if io.read_exact(&mut byte).await.is_err() {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers CONNECT, and carries bytes to `to` if the answer is 200.
async fn serve_connect(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    to: SocketAddr,
    answer: &str,
    heard: &Heard,
) {
    let head = read_head(&mut io).await;
    heard.lock().unwrap().push(head);
    io.write_all(answer.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    if answer.contains(" 200 ") {
        let mut tcp = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut io, &mut tcp).await;
    } else {
        let _ = io.shutdown().await;
        let _ = io.read_to_end(&mut Vec::new()).await;
    }
}

const OK: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy that gives everybody the same answer, and the same server.
pub(crate) async fn http_proxy(to: SocketAddr, answer: &'static str) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, heard) = (listener.local_addr().unwrap(), Heard::default());
    let ours = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let heard = Arc::clone(&ours);
            tokio::spawn(async move { serve_connect(tcp, to, answer, &heard).await });
        }
    });
    (addr, heard)
}

#[tokio::test]
async fn ws_and_wss_go_through_an_http_proxy_that_learns_host_and_port_alone() {
    let (server, plain) = bind().await;
    run(server.serve(witness));
    let (secure, authority) = secure_witness().await;
    for (url, to, place, seen) in [
        (
            "ws://me:my@app.example/a",
            plain,
            "app.example:80",
            "/a host=app.example tls=false authorization=Basic bWU6bXk= x=y",
        ),
        // The certificate is for this name: TLS is with the server, not with the proxy.
        (
            "wss://me:my@localhost/b",
            secure,
            "localhost:443",
            "/b host=localhost tls=true authorization=Basic bWU6bXk= x=y",
        ),
        (
            "ws://[2001:db8::7]:81",
            plain,
            "[2001:db8::7]:81",
            "/ host=[2001:db8::7]:81 tls=false authorization=- x=y",
        ),
    ] {
        let (addr, heard) = http_proxy(to, OK).await;
        let proxy = Proxy::parse(&format!("http://us%65r:pa%3Ass@{addr}")).unwrap();
        let client = trusting(&authority).header("x", "y").proxy(proxy).build().unwrap();
        let mut socket = soon(client.connect(url)).await.unwrap();
        assert_eq!(told(&mut socket).await, format!("{seen} proxy-authorization=-"));
        assert_eq!(socket.peer_addr(), None);
        echoes(&mut socket).await;
        let expected = format!(
            "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\
             Proxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n"
        );
        assert_eq!(heard.lock().unwrap().concat(), expected);
    }
}

#[tokio::test]
async fn an_https_proxy_is_asked_inside_of_tls() {
    let (secure, authority) = secure_witness().await;
    let identity = authority.server();
    let chain = CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, heard) = (listener.local_addr().unwrap(), Heard::default());
    let ours = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, heard) = (acceptor.clone(), Arc::clone(&ours));
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                serve_connect(tls, secure, OK, &heard).await;
            });
        }
    });
    let proxy = Proxy::parse(&format!("https://u:p@localhost:{}", addr.port())).unwrap();
    // The server's other name is not the proxy's.
    let other = trusting(&authority).tls_server_name("127.0.0.1").proxy(proxy.clone());
    let mut socket = soon(other.build().unwrap().connect("wss://app.example/x")).await.unwrap();
    assert!(told(&mut socket).await.starts_with("/x host=app.example tls=true "));
    echoes(&mut socket).await;
    assert!(heard.lock().unwrap()[0].starts_with("CONNECT app.example:443 HTTP/1.1\r\n"));

    let stranger = Client::builder().proxy(proxy).build().unwrap();
    let error = soon(stranger.connect("ws://app.example/x")).await.unwrap_err();
    let Error::Proxy(error) = error else { panic!("{error:?}") };
    assert!(matches!(error.fault(), ProxyFault::Tls(_)), "{error}");
    assert_eq!(error.proxy(), format!("https://localhost:{}", addr.port()));
}

async fn refused(proxy: &str) -> Error {
    let client = Client::builder().proxy(Proxy::parse(proxy).unwrap()).build().unwrap();
    let error = soon(client.connect("wss://app.example/")).await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(!told.contains("secret") && !told.contains("somebody"), "{told}");
    error
}

fn fault(error: &Error) -> &ProxyFault {
    let Error::Proxy(error) = error else { panic!("{error:?}") };
    error.fault()
}

#[tokio::test]
async fn a_refusal_of_the_proxy_has_its_status_headers_and_body() {
    for (answer, status, body, retryable) in [
        (
            "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 5\r\n\r\nlog in",
            407,
            "log i",
            false,
        ),
        ("HTTP/1.0 403 No\r\nProxy-Authenticate: -\r\n\r\nnever", 403, "never", false),
        (
            "HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 502 Bad\r\nProxy-Authenticate: -\r\n\
             Transfer-Encoding: chunked\r\n\r\n4\r\ndown\r\n0\r\n\r\n",
            502,
            "down",
            true,
        ),
        (
            "HTTP/1.1 302 Else\r\nProxy-Authenticate: -\r\nLocation: http://x/\r\n\r\n",
            302,
            "",
            false,
        ),
        ("HTTP/1.1 101 Switched\r\nProxy-Authenticate: -\r\n\r\n", 101, "", false),
    ] {
        let (addr, _) = http_proxy(nobody().await, answer).await;
        let error = refused(&format!("http://somebody:secret@{addr}")).await;
        let ProxyFault::Refused(response) = fault(&error) else { panic!("{error:?}") };
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.body(), body, "{status}");
        assert!(response.headers().contains_key("proxy-authenticate"));
        assert_eq!((error.is_retryable(), error.close_code()), (retryable, None), "{status}");
        let start = format!("proxy http://{addr}: refused with status {status}");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}

#[tokio::test]
async fn what_a_proxy_answers_wrongly_is_told_apart() {
    let long: &'static str = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000)).leak();
    for (answer, expected) in
        [("SSH-2.0-x\r\n\r\n", H1Fault::StartLine), (long, H1Fault::HeadTooLong)]
    {
        let (addr, _) = http_proxy(silence().await, answer).await;
        let error = refused(&format!("http://somebody:secret@{addr}")).await;
        assert!(matches!(fault(&error), ProxyFault::Http(it) if *it == expected), "{error}");
    }
    let (addr, _) = http_proxy(nobody().await, "").await;
    let error = refused(&format!("http://somebody:secret@{addr}")).await;
    assert!(matches!(fault(&error), ProxyFault::Io(_)), "{error}");
    let error = refused(&format!("http://somebody:secret@{}", nobody().await)).await;
    assert!(matches!(fault(&error), ProxyFault::Io(_)) && error.is_retryable(), "{error}");
}

/// Takes connections in and says nothing.
async fn silence() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            kept.push(tcp);
        }
    });
    addr
}

#[tokio::test]
async fn a_silent_proxy_is_late() {
    let silent = silence().await;
    let handshake = Some(Duration::from_millis(300));
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let proxy = Proxy::parse(&format!("{scheme}://{silent}")).unwrap();
        let deadlines = Deadlines { handshake, ..Deadlines::default() };
        let client = Client::builder().proxy(proxy).deadlines(deadlines).build().unwrap();
        let error = soon(client.connect("ws://192.0.2.7/")).await.unwrap_err();
        assert!(matches!(error, Error::Late(Deadline::Handshake)), "{scheme}: {error:?}");
    }
}

#[tokio::test]
async fn what_is_excepted_goes_around_the_proxy() {
    let (server, addr) = bind().await;
    run(server.serve(witness));
    let proxy =
        Proxy::parse(&nobody().await.to_string()).unwrap().except("127.0.0.0/8, app.example");
    let client = resolving_to(vec![addr]).proxy(proxy).build().unwrap();
    for host in ["127.0.0.1", "app.example", "deep.app.example"] {
        let url = format!("ws://{host}:{}/", addr.port());
        let socket = soon(client.connect(&url)).await.unwrap();
        assert_eq!(socket.peer_addr(), Some(addr));
    }
    let error = soon(client.connect(&format!("ws://other.example:{}/", addr.port()))).await;
    assert!(matches!(error, Err(Error::Proxy(_))), "{error:?}");
}

#[tokio::test]
async fn each_redirect_chooses_its_own_way() {
    let (server, there) = bind().await;
    run(server.serve(witness));
    let (server, here) = bind().await;
    run(server.serve(move |upgrade: Upgrade| async move {
        let location = format!("ws://app.example:{}/there", there.port());
        let response = http::Response::builder().status(307).header("location", location);
        upgrade.reject_with(response.body(bytes::Bytes::new()).unwrap()).await
    }));
    let (proxy, heard) = http_proxy(there, OK).await;
    let proxy = Proxy::parse(&proxy.to_string()).unwrap().except("127.0.0.1");
    let client = Client::builder().proxy(proxy).redirects(1).build().unwrap();
    let mut socket = soon(client.connect(&format!("ws://{here}/"))).await.unwrap();
    assert!(told(&mut socket).await.starts_with("/there "));
    assert_eq!(heard.lock().unwrap().len(), 1);
}

const VARIABLES: [&str; 9] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "REQUEST_METHOD",
];

/// A program of its own, since the environment belongs to all tests of this one.
#[tokio::test]
async fn the_example_goes_through_the_proxy_of_its_environment_or_its_argument() {
    let echo = echo_server().await;
    let (proxy, heard) = http_proxy(echo, OK).await;
    let (refusing, _) = http_proxy(echo, "HTTP/1.1 403 No\r\n\r\nstay here").await;
    let closed = nobody().await;
    let good = format!("http://u:secret@{proxy}");
    let done = "対話\nclosed with 1000\n";
    for (variables, arguments, success, end) in [
        (vec![("http_proxy", good.clone())], vec!["ws://app.example/".to_owned()], true, done),
        (vec![("ALL_PROXY", good.clone())], vec!["ws://app.example/".to_owned()], true, done),
        (vec![], vec!["ws://app.example/".to_owned(), good.clone()], true, done),
        // Loopback goes around a proxy of the environment, not around one that was asked for.
        (
            vec![("http_proxy", format!("http://{closed}"))],
            vec![format!("ws://{echo}/")],
            true,
            done,
        ),
        (vec![], vec![format!("ws://{echo}/"), format!("http://{closed}")], false, ")\n"),
        (
            vec![("http_proxy", refusing.to_string())],
            vec!["ws://app.example/".to_owned()],
            false,
            "403 Forbidden\nstay here\n",
        ),
        (vec![("http_proxy", "gopher://x".into())], vec!["ws://app.example/".into()], false, "\n"),
    ] {
        let case = format!("{variables:?} {arguments:?}");
        let prepare = move |command: &mut std::process::Command| {
            VARIABLES.iter().for_each(|it| _ = command.env_remove(it));
            command.envs(variables).args(arguments);
        };
        let (succeeded, printed) = printed("proxy", prepare).await;
        assert_eq!(succeeded, success, "{case}: {printed}");
        assert!(printed.ends_with(end) && !printed.contains("secret"), "{case}: {printed}");
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.iter().all(|it| it.starts_with("CONNECT app.example:80 HTTP/1.1\r\n")));
}

/// A SOCKS proxy without authentication, that gives one reply after the other, and one server.
async fn socks_proxy(
    to: SocketAddr,
    replies: &'static [u8],
) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let ours = Arc::clone(&heard);
    tokio::spawn(async move {
        for reply in replies {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut greeting = [0; 3];
            tcp.read_exact(&mut greeting).await.unwrap();
            assert_eq!(greeting, [5, 1, 0]);
            tcp.write_all(&[5, 0]).await.unwrap();
            let mut request = vec![0; 300];
            let len = tcp.read(&mut request).await.unwrap();
            request.truncate(len);
            ours.lock().unwrap().push(request);
            tcp.write_all(&[5, *reply, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            if *reply == 0 {
                let mut server = TcpStream::connect(to).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut tcp, &mut server).await });
            }
        }
    });
    (addr, heard)
}

#[tokio::test]
async fn socks5_names_one_address_after_the_other_and_socks5h_the_name() {
    let (secure, authority) = secure_witness().await;
    let addresses = || vec!["[2001:db8::7]:443".parse().unwrap(), ([192, 0, 2, 7], 443).into()];
    let v6 = [&[5, 1, 0, 4, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7, 1, 187]].concat();
    let v4 = vec![5, 1, 0, 1, 192, 0, 2, 7, 1, 187];
    let name = [&[5, 1, 0, 3, 9][..], b"localhost", &[1, 187]].concat();
    for (scheme, replies, expected) in [
        ("socks5", &[4, 0][..], vec![v6.clone(), v4.clone()]),
        ("socks5", &[0], vec![v6.clone()]),
        ("socks5h", &[0], vec![name.clone()]),
    ] {
        let (addr, heard) = socks_proxy(secure, replies).await;
        let proxy = Proxy::parse(&format!("{scheme}://{addr}")).unwrap();
        let client = resolving_to(addresses()).root_certificate_pem(authority.pem.as_bytes());
        let client = client.proxy(proxy).build().unwrap();
        let mut socket = soon(client.connect("wss://localhost/")).await.unwrap();
        assert!(told(&mut socket).await.contains(" tls=true "));
        echoes(&mut socket).await;
        assert_eq!(*heard.lock().unwrap(), expected, "{scheme}");
    }
    for (scheme, replies, retryable) in
        [("socks5", &[1, 5][..], true), ("socks5h", &[2], false), ("socks5", &[8, 8], false)]
    {
        let (addr, heard) = socks_proxy(secure, replies).await;
        let proxy = Proxy::parse(&format!("{scheme}://{addr}")).unwrap();
        let client = resolving_to(addresses()).proxy(proxy).build().unwrap();
        let error = soon(client.connect("wss://localhost/")).await.unwrap_err();
        let last = *replies.last().unwrap();
        assert!(matches!(fault(&error), ProxyFault::SocksRefused(it) if *it == last), "{error}");
        assert_eq!(error.is_retryable(), retryable, "{error}");
        assert_eq!(heard.lock().unwrap().len(), replies.len());
    }
}
