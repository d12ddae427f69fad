//! wss.

use std::time::Duration;

use taiwa::{Client, Error, Limits, Upgrade};
use tokio::{sync::mpsc, time::sleep};

use super::{bind, echo, run, soon};

pub(super) struct Certificate {
    pub(super) certificate: String,
    pub(super) key: String,
}

pub(super) fn certificate() -> Certificate {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    Certificate { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

#[tokio::test]
async fn echo_works_over_tls_with_a_root_of_our_own() {
    let Certificate { certificate, key } = certificate();
    let (server, addr) = bind().await;
    let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
    run(server.serve(|upgrade: Upgrade| {
        assert!(upgrade.is_tls());
        echo(upgrade)
    }));
    let client = Client::builder().root_certificate_pem(certificate.as_bytes()).build().unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("wss://{host}:{}/", addr.port());
        let mut socket = soon(client.connect(&url)).await.unwrap();
        for len in [3, 100_000] {
            soon(socket.send(vec![7; len])).await.unwrap();
            assert_eq!(soon(socket.recv()).await.unwrap(), Some(vec![7; len].into()));
        }
        let closed = soon(socket.close(taiwa::CloseCode::NORMAL, "")).await.unwrap();
        assert!(closed.clean);
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_unless_the_caller_insists() {
    let Certificate { certificate, key } = certificate();
    let (server, addr) = bind().await;
    run(server.tls(certificate.as_bytes(), key.as_bytes()).unwrap().serve(echo));
    let url = format!("wss://localhost:{}/", addr.port());
    let error = soon(taiwa::connect(&url)).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    let client = Client::builder().danger_accept_any_certificate().build().unwrap();
    let mut socket = soon(client.connect(&url)).await.unwrap();
    socket.send("x").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
}

#[tokio::test]
async fn a_certificate_and_a_key_that_do_not_fit_are_refused() {
    let (one, other) = (certificate(), certificate());
    for (certificate, key) in
        [(&one.certificate, &other.key), (&one.key, &one.key), (&one.certificate, &one.certificate)]
    {
        let (server, _) = bind().await;
        let refused = server.tls(certificate.as_bytes(), key.as_bytes());
        assert!(matches!(refused, Err(Error::Tls(_))));
    }
}

#[tokio::test]
async fn what_was_sent_arrives_although_nobody_touches_the_socket_any_more() {
    let Certificate { certificate, key } = certificate();
    let (server, addr) = bind().await;
    let limits = Limits { message_bytes_max: 16 << 20, ..Limits::default() };
    let server = server.limits(limits).tls(certificate.as_bytes(), key.as_bytes()).unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            // Long enough for the buffers of the kernel to be full.
            sleep(Duration::from_millis(200)).await;
            tell.send(socket.recv().await?.unwrap().into_bytes().len()).unwrap();
            Ok::<(), Error>(())
        }
    }));
    let client = Client::builder().danger_accept_any_certificate().build().unwrap();
    let mut socket = soon(client.connect(&format!("wss://{addr}/"))).await.unwrap();
    soon(socket.send(vec![7; 12 << 20])).await.unwrap();
    assert_eq!(soon(told.recv()).await, Some(12 << 20));
    drop(socket);
}
