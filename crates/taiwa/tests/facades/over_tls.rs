//! `compat::tungstenite` over TLS, and with its halves in two tasks.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer,
};
use taiwa::compat::tungstenite::{
    Connector, MaybeTlsStream, accept_async, connect_async, connect_async_tls_with_config,
    tungstenite::{Error, Message, error::UrlError},
};
use tokio::{net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;

/// Serves echo by the facade over TLS; returns the URL and settings that trust it.
async fn server() -> (String, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let (sink, stream) = accept_async(tls).await.unwrap().split();
                let _ = stream.forward(sink).await;
            });
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    (url, Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), it).await.expect("in time")
}

#[tokio::test]
async fn tls_is_done_by_the_connector_that_is_given() {
    let (url, config) = server().await;
    let connect = |connector| connect_async_tls_with_config(&url, None, true, connector);
    let plain = soon(connect(Some(Connector::Plain))).await;
    assert!(matches!(plain, Err(Error::Url(UrlError::TlsFeatureNotEnabled))));
    // The roots of the platform do not know the certificate.
    assert!(matches!(soon(connect_async(&url)).await, Err(Error::Io(_))));

    let (mut socket, response) = soon(connect(Some(Connector::Rustls(config)))).await.unwrap();
    assert_eq!(response.status(), 101);
    assert!(matches!(socket.get_ref(), MaybeTlsStream::Rustls(_)));
    soon(socket.send(Message::text("hello"))).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("hello"));
    soon(socket.close(None)).await.unwrap();
    assert!(matches!(soon(socket.next()).await, Some(Ok(Message::Close(None)))));
}

#[tokio::test]
async fn halves_in_tasks_of_their_own_wake_each_other() {
    let (url, config) = server().await;
    let connected =
        connect_async_tls_with_config(url, None, false, Some(Connector::Rustls(config)));
    let (mut sink, mut stream) = soon(connected).await.unwrap().0.split();
    // More than the transport holds: the echo stands still while nobody reads it.
    let sending = tokio::spawn(async move {
        for number in 0..200u8 {
            sink.send(Message::binary(vec![number; 100_000])).await.unwrap();
        }
        sink
    });
    for number in 0..200u8 {
        let message = soon(stream.next()).await.unwrap().unwrap();
        assert_eq!(message.into_data(), vec![number; 100_000]);
    }
    drop(soon(sending).await.unwrap());
}
