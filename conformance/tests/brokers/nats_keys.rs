//! How NATS is told who we are where that is signed: `.creds` files of operators, accounts and users, and certificates.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as Key};
use taiwa_nats::{Credentials, Error, Settings, connect};

use crate::{
    nats::{JETSTREAM, Server},
    nats_alone::everything_works,
};

/// Writes a JSON Web Token as NATS has them: who signs it, whom it is about, and what it says.
fn token(signer: &KeyPair, subject: &KeyPair, name: &str, says: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let head = part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let (signer_name, subject) = (signer.public_key(), subject.public_key());
    let body = part(&format!(
        r#"{{"jti":"{name}","iat":1700000000,"iss":"{signer_name}","name":"{name}","sub":"{subject}","nats":{says}}}"#
    ));
    let signed = format!("{head}.{body}");
    let signature = signer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn creds(path: &Path, token: &str, user: &KeyPair) {
    let seed = user.seed().unwrap();
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    fs::write(path, text).unwrap();
}

/// An account may have JetStream.
const ACCOUNT: &str = r#"{"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,
    "leaf":-1,"mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1},"type":"account","version":2}"#;
/// A user has the rights that the README names.
const USER: &str = r#"{"pub":{"allow":["taiwa.>","$JS.API.>","_INBOX.>"]},"sub":{"allow":["taiwa.>","_INBOX.>"]},
    "subs":-1,"data":-1,"payload":-1,"type":"user","version":2}"#;

#[tokio::test]
async fn a_credentials_file_opens_and_one_of_a_stranger_does_not() {
    let operator = KeyPair::new_operator();
    let [system, account, foreign] =
        [KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_account()];
    let (user, eve) = (KeyPair::new_user(), KeyPair::new_user());
    let (mut good, mut bad) = (None, None);
    let server = Server::begin(|folder| {
        let of_operator =
            token(&operator, &operator, "operator", r#"{"type":"operator","version":2}"#);
        let nothing = r#"{"limits":{"subs":-1,"conn":-1},"type":"account","version":2}"#;
        let of_system = token(&operator, &system, "SYS", nothing);
        let of_account = token(&operator, &account, "chat", ACCOUNT);
        fs::write(folder.join("operator.jwt"), of_operator).unwrap();
        let [yes, no] = ["yes.creds", "no.creds"].map(|it| folder.join(it));
        creds(&yes, &token(&account, &user, "taiwa", USER), &user);
        // Signed as well as the other one, by an account for which the operator does not vouch.
        creds(&no, &token(&foreign, &eve, "eve", USER), &eve);
        (good, bad) = (Some(yes), Some(no));
        let (sys, acc) = (system.public_key(), account.public_key());
        format!(
            "{JETSTREAM}operator: {:?}\nsystem_account: {sys}\nresolver: MEMORY\n\
             resolver_preload: {{ {sys}: {of_system}, {acc}: {of_account} }}\n",
            folder.join("operator.jwt"),
        )
    });
    let Some(server) = server.await else { return };
    let with = |credentials| Settings { credentials, ..server.settings() };
    let file = |path: &Option<std::path::PathBuf>| Credentials::File(path.clone().unwrap());
    everything_works(with(file(&good))).await;
    for wrong in [file(&bad), Credentials::None, Credentials::Nkey(user.seed().unwrap())] {
        let Err(why) = connect(with(wrong)).await else { panic!("it let anybody in") };
        let told = format!("{why} {why:?}");
        assert!(matches!(why, Error::Connect(_)), "{told}");
        assert!(!told.contains(&user.seed().unwrap()), "{told}");
    }
    let missing = Credentials::File("/nowhere/at/all.creds".into());
    assert!(matches!(connect(with(missing)).await, Err(Error::Settings(_))));
}

#[tokio::test]
async fn a_certificate_opens_and_one_of_a_stranger_does_not() {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap()
    };
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let mut files = None;
    let server = Server::begin(|folder| {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let made = |name: &str, by: &CertifiedIssuer<'_, Key>| {
            let key = Key::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let pem = params.signed_by(&key, by).unwrap().pem();
            let (cert, key_file) = (format!("{name}.pem"), format!("{name}.key"));
            (write(&cert, pem), write(&key_file, key.serialize_pem()))
        };
        let (cert, key) = made("localhost", &ours);
        let ca = write("ca.pem", ours.pem());
        let lines = format!(
            "{JETSTREAM}tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true }}\n"
        );
        files = Some((ca, made("node", &ours), made("eve", &theirs)));
        lines
    });
    let Some(server) = server.await else { return };
    let (ca, node, eve) = files.unwrap();
    let mut settings = Settings::parse(&format!("tls://localhost:{}", server.port)).unwrap();
    settings.ca_file = Some(ca);
    for wrong in [None, Some(eve)] {
        let Err(why) = connect(Settings { certificate: wrong, ..settings.clone() }).await else {
            panic!("it let anybody in")
        };
        assert!(matches!(why, Error::Connect(_)), "{why}");
    }
    everything_works(Settings { certificate: Some(node), ..settings }).await;
}
