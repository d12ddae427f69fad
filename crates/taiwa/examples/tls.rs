//! Both ends over TLS, each with a certificate by an authority of our own: `cargo run --example tls`.
//!
//! With SSLKEYLOGFILE=keys.txt in the environment, Wireshark can read what was captured.

use std::error::Error;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use taiwa::{Client, ClientCertificates, CloseCode, Server, TlsVersion, Upgrade};

/// The authority's certificate and its hand.
fn authority() -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Example authority");
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok((certificate, Issuer::new(params, key)))
}

/// A certificate for one name, and its key.
fn identity(
    name: &str,
    issuer: &Issuer<'static, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

async fn greet(upgrade: Upgrade) -> Result<(), taiwa::Error> {
    let certificates = upgrade.peer_certificates().len();
    let mut socket = upgrade.accept().await?;
    while let Some(message) = socket.recv().await? {
        let name = message.as_text().unwrap_or("stranger");
        socket.send(format!("Hello {name}, you have shown {certificates} certificate")).await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (root, issuer) = authority()?;

    let (certificate, key) = identity("server.example", &issuer)?;
    let server = Server::bind("127.0.0.1:0")
        .await?
        .tls(certificate.as_bytes(), key.as_bytes())?
        .client_certificates(root.as_bytes(), ClientCertificates::Required)?;
    let url = format!("wss://{}/", server.local_addr()?);
    tokio::spawn(server.serve(greet).into_future());

    let (certificate, key) = identity("client.example", &issuer)?;
    let client = Client::builder()
        .root_certificate_pem(root.as_bytes())
        .client_certificate_pem(certificate.as_bytes(), key.as_bytes())
        .tls_server_name("server.example")
        .tls_version_min(TlsVersion::Tls13)
        .key_log()
        .build()?;
    let mut socket = client.connect(&url).await?;
    socket.send("client").await?;
    if let Some(answer) = socket.recv().await? {
        println!("{}", answer.as_text().unwrap_or("(binary)"));
    }
    socket.close(CloseCode::NORMAL, "").await?;
    Ok(())
}
