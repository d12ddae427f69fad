//! TLS over TCP and over QUIC, by the same certificates and rules.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::Endpoint;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::{Certificates, ClientCertificates, ClientTls, ServerTls, alpn, client_verifier};

struct Made {
    pem: String,
    key: String,
}

/// Makes a certificate that vouches for itself.
fn made(name: &str) -> Made {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Made { pem: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn server(made: &Made) -> ServerTls {
    let certificates = Certificates::new(made.pem.as_bytes(), made.key.as_bytes()).unwrap();
    ServerTls { certificates, clients: None, key_log: None }
}

fn trusting(made: &Made) -> ClientTls {
    let mut tls = ClientTls::default();
    tls.add_roots(made.pem.as_bytes()).unwrap();
    tls
}

async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), it).await.expect("in time")
}

/// Tells what was agreed on, by both ends.
async fn agreed(server: &[&[u8]], client: &[&[u8]]) -> Option<(Option<Vec<u8>>, Option<Vec<u8>>)> {
    let own = made("localhost");
    let acceptor = self::server(&own).acceptor(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepted = tokio::spawn(async move {
        let mut tls = acceptor.accept(listener.accept().await.unwrap().0).await.ok()?;
        tls.write_all(b"x").await.ok()?;
        Some(tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    });
    let connector = trusting(&own).connector().unwrap().offering(client);
    let tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
    let mut tls = soon(connector.connect("localhost", tcp)).await.ok()?;
    soon(tls.read_u8()).await.ok()?;
    let theirs = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    Some((soon(accepted).await.unwrap()?, theirs))
}

#[tokio::test]
async fn both_ends_agree_on_the_first_protocol_of_the_server_that_the_client_has() {
    let both = |it: &[u8]| Some((Some(it.to_vec()), Some(it.to_vec())));
    let (one, two) = (alpn::HTTP1, alpn::HTTP2);
    assert_eq!(agreed(&[two, one], &[one, two]).await, both(two));
    assert_eq!(agreed(&[two, one], &[one]).await, both(one));
    assert_eq!(agreed(&[one], &[two, one]).await, both(one));
    assert_eq!(agreed(&[two, one], &[]).await, Some((None, None)));
    assert_eq!(agreed(&[one], &[two]).await, None);
}

/// Serves QUIC connections until it is dropped: each gets a stream with one byte.
fn quic(tls: &ServerTls) -> (Endpoint, SocketAddr) {
    let endpoint = Endpoint::server(tls.quic(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = endpoint.local_addr().unwrap();
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            tokio::spawn(async move {
                let connection = incoming.await.ok()?;
                let mut stream = connection.open_uni().await.ok()?;
                stream.write_all(b"x").await.ok()?;
                stream.finish().ok()?;
                connection.closed().await;
                Some(())
            });
        }
    });
    (endpoint, addr)
}

/// Connects by QUIC; returns what was agreed on, and the certificates that the server showed.
async fn dial(addr: SocketAddr, tls: &ClientTls) -> Option<(Vec<u8>, usize)> {
    let connector = tls.connector().unwrap();
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let name = connector.name_of("localhost").unwrap();
    let connecting = endpoint.connect_with(connector.quic().unwrap(), addr, &name.to_str());
    let connection = soon(connecting.unwrap()).await.ok()?;
    // Without a certificate that it wants, the server ends what seemed well to the client.
    let mut stream = soon(connection.accept_uni()).await.ok()?;
    soon(stream.read_to_end(1)).await.ok()?;
    let agreed = connection.handshake_data()?.downcast::<quinn::crypto::rustls::HandshakeData>();
    let shown = connection.peer_identity()?;
    let shown = shown.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    Some((agreed.ok()?.protocol?, shown.len()))
}

#[tokio::test]
async fn quic_shows_the_certificates_of_tcp_also_after_they_were_exchanged() {
    let (old, new) = (made("localhost"), made("localhost"));
    let tls = server(&old);
    let (_endpoint, addr) = quic(&tls);
    let h3 = Some((b"h3".to_vec(), 1));
    assert_eq!(dial(addr, &trusting(&old)).await, h3);
    assert_eq!(dial(addr, &trusting(&new)).await, None);
    tls.certificates.replace(new.pem.as_bytes(), new.key.as_bytes()).unwrap();
    assert_eq!(dial(addr, &trusting(&old)).await, None);
    assert_eq!(dial(addr, &trusting(&new)).await, h3);
    let mut any = ClientTls::default();
    any.trust_anyone();
    assert_eq!(dial(addr, &any).await, h3);
}

#[tokio::test]
async fn quic_asks_clients_for_certificates_as_tcp_does() {
    let own = made("localhost");
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap().pem();
    let issuer = rcgen::Issuer::from_params(&params, &authority);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut me = rcgen::CertificateParams::new(["me".to_owned()]).unwrap();
    me.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let me = me.signed_by(&key, &issuer).unwrap().pem();
    let mut known = trusting(&own);
    known.set_identity(me.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    for (policy, without) in
        [(ClientCertificates::Required, false), (ClientCertificates::Optional, true)]
    {
        let mut tls = server(&own);
        tls.clients = Some(client_verifier(root.as_bytes(), policy).unwrap());
        let (_endpoint, addr) = quic(&tls);
        assert!(dial(addr, &known).await.is_some(), "{policy:?}");
        assert_eq!(dial(addr, &trusting(&own)).await.is_some(), without, "{policy:?}");
    }
}

#[tokio::test]
async fn quic_takes_no_early_data_from_a_client_that_comes_again() {
    let own = made("localhost");
    let (_endpoint, addr) = quic(&server(&own));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut eager = builder.with_root_certificates(roots).with_no_client_auth();
    eager.alpn_protocols = vec![alpn::HTTP3.to_vec()];
    eager.enable_early_data = true;
    let eager = quinn::crypto::rustls::QuicClientConfig::try_from(eager).unwrap();
    let eager = quinn::ClientConfig::new(Arc::new(eager));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    for _ in 0..2 {
        let connecting = endpoint.connect_with(eager.clone(), addr, "localhost").unwrap();
        let Err(connecting) = connecting.into_0rtt() else { panic!("early data is let in") };
        let connection = soon(connecting).await.unwrap();
        // Behind the handshake comes the ticket.
        let mut stream = soon(connection.accept_uni()).await.unwrap();
        soon(stream.read_to_end(1)).await.unwrap();
        connection.close(0_u32.into(), b"");
    }
}
