//! Several certificates, each for its names: by files that are exchanged under a running server.

use std::path::Path;

use super::{
    connect,
    support::{Folder, PATIENCE, Server, run, taiwa},
};

/// Writes a certificate for a name, with its key in the same file; returns it.
fn write(folder: &Folder, file: &str, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let pem = made.cert.pem();
    folder.write(file, &format!("{pem}{}", made.signing_key.serialize_pem()));
    pem
}

/// Returns whether who asks for a name is shown this certificate.
async fn shows(server: &Server, name: &str, pem: &str) -> bool {
    let client = taiwa::Client::builder().root_certificate_pem(pem.as_bytes());
    let client = client.tls_server_name(name).build().unwrap();
    let url = format!("wss://{}/echo", server.addr);
    match tokio::time::timeout(PATIENCE, client.connect(&url)).await.expect("in time") {
        Ok(_) => true,
        Err(taiwa::Error::Tls(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

fn settings(folder: &Folder, more: &str, files: &[&str]) -> String {
    let path = |it: &&str| folder.0.join(Path::new(it)).to_str().unwrap().to_owned();
    let tables = files.iter().map(|it| {
        let path = path(it);
        format!("[[tls.certificate]]\ncert = {path:?}\nkey = {path:?}\n")
    });
    format!("[tls]\nreload = \"100ms\"\n{more}\n{}", tables.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_has_its_certificate_and_a_bad_pair_keeps_its_old_one() {
    let folder = Folder::new("tls-names");
    let first = write(&folder, "first.pem", "first.example");
    let second = write(&folder, "second.pem", "second.example");
    let file = folder.write("t.toml", &settings(&folder, "", &["first.pem", "second.pem"]));
    let mut command = taiwa(&["serve", "--listen", "127.0.0.1:0", "--config", &file]);
    command.stdin(std::process::Stdio::null());
    let server = Server::run(command);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let mut open = connect_as(&server, "first.example", &first).await;
    assert!(shows(&server, "second.example", &second).await);
    assert!(!shows(&server, "second.example", &first).await);
    // One is broken and the other one new: found by looking.
    folder.write("first.pem", "nonsense");
    let newer = write(&folder, "second.pem", "second.example");
    server.await_log("the old certificate stays");
    let end = std::time::Instant::now() + PATIENCE;
    while !shows(&server, "second.example", &newer).await {
        assert!(std::time::Instant::now() < end, "the new one is never shown");
    }
    assert!(shows(&server, "first.example", &first).await);
    super::echoes(&mut open, "still there").await;
    // A third one by SIGHUP, and `tls.cert` before them all.
    let third = write(&folder, "third.pem", "third.example");
    let path = folder.0.join("third.pem");
    let more = format!("cert = {path:?}\nkey = {path:?}");
    folder.write("t.toml", &settings(&folder, &more, &["second.pem"]));
    server.signal("-HUP");
    server.await_log("new connections see the new certificate");
    assert!(shows(&server, "third.example", &third).await);
    assert!(shows(&server, "second.example", &newer).await);
    assert!(!shows(&server, "first.example", &first).await);
    super::echoes(&mut open, "still there").await;
    // Bad settings change nothing.
    folder.write("t.toml", &settings(&folder, "", &["second.pem", "none.pem"]));
    server.signal("-HUP");
    let told = server.await_log("the old settings stay");
    assert!(told.contains("tls.certificate[1].cert") && told.contains("none.pem"), "{told}");
    assert!(shows(&server, "third.example", &third).await);
    // That there is TLS at all is for the next start.
    folder.write("t.toml", "");
    server.signal("-HUP");
    let told = server.await_log("these need a restart");
    assert!(told.contains("tls.cert"), "{told}");
    assert!(shows(&server, "third.example", &third).await);
}

async fn connect_as(server: &Server, name: &str, pem: &str) -> taiwa::WebSocket {
    assert!(connect(&server.addr, pem).await.is_err(), "not by its address");
    let client = taiwa::Client::builder().root_certificate_pem(pem.as_bytes());
    let client = client.tls_server_name(name).build().unwrap();
    client.connect(&format!("wss://{}/echo", server.addr)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_of_flags_stand_before_those_of_the_file_and_are_looked_at_again() {
    let folder = Folder::new("tls-names-flags");
    let [mut pems, names] = [[const { String::new() }; 3], ["a", "b", "c"].map(String::from)];
    for (name, pem) in names.iter().zip(&mut pems) {
        *pem = write(&folder, &format!("{name}.pem"), &format!("{name}.example"));
    }
    let file = folder.write("t.toml", &settings(&folder, "", &["c.pem"]));
    let [a, b] = ["a.pem", "b.pem"].map(|it| folder.0.join(it).to_str().unwrap().to_owned());
    let mut command = taiwa(&["serve", "--listen", "127.0.0.1:0", "--config", &file]);
    command.args(["--tls-cert", &a, "--tls-key", &a, "--tls-cert", &b, "--tls-key", &b]);
    command.stdin(std::process::Stdio::null());
    let server = Server::run(command);
    for (name, pem) in names.iter().zip(&pems) {
        assert!(shows(&server, &format!("{name}.example"), pem).await, "{name}");
    }
    assert!(!shows(&server, "b.example", &pems[0]).await);
    let newer = write(&folder, "b.pem", "b.example");
    let end = std::time::Instant::now() + PATIENCE;
    while !shows(&server, "b.example", &newer).await {
        assert!(std::time::Instant::now() < end, "the new one is never shown");
    }
    assert!(shows(&server, "c.example", &pems[2]).await);

    let refused =
        run(&["serve", "--tls-cert", &a, "--tls-cert", &b, "--tls-key", &a], "").expect(2);
    let why = "--tls-cert is given 2 times, --tls-key 1: each certificate needs its own key";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
}

#[test]
fn half_a_pair_is_refused() {
    let folder = Folder::new("tls-names-half");
    for (text, why) in [
        ("[[tls.certificate]]\ncert = \"/x\"\n", "key"),
        (
            "[[tls.certificate]]\ncert = \"/no/such\"\nkey = \"/no/such\"\n",
            "tls.certificate[0].cert",
        ),
        ("[tls]\ncert = \"/no/such\"\n", "tls.key"),
    ] {
        let file = folder.write("t.toml", text);
        let refused = run(&["config", "check", &file], "");
        assert_eq!(refused.code, Some(2), "{text}: {}", refused.stderr);
        assert!(refused.stderr.contains(why), "{text}: {}", refused.stderr);
    }
}
