//! `--tls dev`: certificates that the program makes for itself.

use std::{fs, path::PathBuf};

use super::{
    awaits, connect, echoes,
    support::{Folder, Server, run},
    tool,
};

const CERTIFICATE: &str = "dev-cert.pem";
const KEY: &str = "dev-key.pem";

/// A server with certificates of its own, kept in a folder.
fn start(folder: &Folder, more: &[&str]) -> (Server, PathBuf) {
    let state = folder.0.join("state");
    let set = format!("tls.folder={}", state.display());
    let server = Server::start(&[&["--tls", "dev", "--set", &set], more].concat());
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    (server, state)
}

/// The text between the quotes behind `hash=`.
fn hash_in(line: &str) -> String {
    line.split("hash=\"").nth(1).and_then(|it| it.split('"').next()).expect(line).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_certificate_trusts_it_by_each_of_its_names() {
    let folder = Folder::new("tls-dev-names");
    let (server, state) = start(&folder, &["--tls-name", "Chat.Example"]);
    let pem = fs::read_to_string(state.join(CERTIFICATE)).unwrap();
    let port = server.addr.rsplit_once(':').unwrap().1;
    for host in ["127.0.0.1", "localhost"] {
        let mut socket = connect(&format!("{host}:{port}"), &pem).await.unwrap();
        echoes(&mut socket, host).await;
    }
    let named = |name: &str| {
        let client = taiwa::Client::builder().root_certificate_pem(pem.as_bytes());
        client.tls_server_name(name).build().unwrap()
    };
    let url = format!("wss://{}/echo", server.addr);
    let _ = named("chat.example").connect(&url).await.unwrap();
    let _ = named("::1").connect(&url).await.unwrap();
    let other = named("other.example").connect(&url).await;
    assert!(matches!(other, Err(taiwa::Error::Tls(_))));
    assert!(matches!(taiwa::connect(&url).await, Err(taiwa::Error::Tls(_))), "nobody vouches");
}

#[test]
fn a_page_is_told_the_hash_of_a_certificate_that_browsers_take() {
    let folder = Folder::new("tls-dev-hash");
    let (server, state) = start(&folder, &[]);
    let hash = hash_in(&server.await_log("a certificate for development"));
    let snippet = server.await_log("for a page: ");
    let url = format!("new WebTransport(\"{}\"", server.url);
    assert!(snippet.contains(&url), "{snippet}");
    assert!(snippet.contains(&format!("atob(\"{hash}\")")), "{snippet}");
    let file = state.join(CERTIFICATE);
    let file = file.to_str().unwrap();
    let Some((_, text)) = tool("openssl", &["x509", "-in", file, "-noout", "-text"]) else {
        return;
    };
    for part in ["Version: 3", "NIST CURVE: P-256", "IP Address:127.0.0.1", "DNS:localhost"] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    // 14 days are what browsers allow; our own default is ten.
    for (days, ends) in [(9, false), (10, true)] {
        let seconds = format!("{}", days * 24 * 60 * 60);
        let args = ["x509", "-in", file, "-noout", "-checkend", &seconds];
        assert_eq!(tool("openssl", &args).unwrap().0, !ends, "{days} days");
    }
    let sha = tool("openssl", &["x509", "-in", file, "-noout", "-fingerprint", "-sha256"]);
    let hex = sha.unwrap().1.trim().rsplit_once('=').unwrap().1.replace(':', "");
    let told = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &hash).unwrap();
    assert_eq!(hex, told.iter().map(|it| format!("{it:02X}")).collect::<String>());
    let curl = server.await_log("curl");
    let args: Vec<&str> = curl.split("curl ").nth(1).unwrap().split(' ').collect();
    let Some((fine, page)) = tool("curl", &[&["--silent", "--fail"], &*args].concat()) else {
        return;
    };
    assert!(fine && page.contains("<html"), "{page}");
    let told = server.await_log("taiwa connect");
    let with: Vec<&str> = told.split("taiwa ").nth(1).unwrap().split(' ').collect();
    let url = format!("{}echo", with.last().unwrap());
    let with = [&with[..with.len() - 1], &[&*url, "-m", "hi", "-1"]].concat();
    assert_eq!(run(&with, "").expect(0).stdout, b"hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_renewed_while_the_server_runs_and_connections_go_on() {
    let folder = Folder::new("tls-dev-renewed");
    let (server, state) = start(&folder, &["--set", "tls.dev_life=6s"]);
    let first = fs::read_to_string(state.join(CERTIFICATE)).unwrap();
    let hash = hash_in(&server.await_log("a certificate for development"));
    let mut open = connect(&server.addr, &first).await.unwrap();
    echoes(&mut open, "before").await;
    let second = server.await_log("a certificate for development");
    assert_ne!(hash_in(&second), hash);
    let second = awaits(&state.join(CERTIFICATE), |it| (it != first).then(|| it.to_owned())).await;
    echoes(&mut connect(&server.addr, &second).await.unwrap(), "new").await;
    assert!(matches!(connect(&server.addr, &first).await, Err(taiwa::Error::Tls(_))));
    echoes(&mut open, "after").await;
}

#[test]
fn it_is_kept_for_the_next_start_unless_it_would_not_do() {
    let folder = Folder::new("tls-dev-kept");
    let read = |state: &PathBuf| fs::read_to_string(state.join(CERTIFICATE)).unwrap();
    let (server, state) = start(&folder, &[]);
    let first = read(&state);
    drop(server);
    #[cfg(unix)]
    for (file, expected) in [(CERTIFICATE, 0o600), (KEY, 0o600), ("", 0o700)] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(state.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{file:?}");
    }
    drop(start(&folder, &[]));
    assert_eq!(read(&state), first);
    // Another name.
    drop(start(&folder, &["--tls-name", "chat.example"]));
    let second = read(&state);
    assert_ne!(second, first);
    // A shorter life.
    drop(start(&folder, &["--set", "tls.dev_life=1h"]));
    assert_ne!(read(&state), second);
    // Nonsense, or a key of another certificate.
    for (file, text) in [(CERTIFICATE, "nonsense"), (KEY, "nonsense"), (CERTIFICATE, &*first)] {
        fs::write(state.join(file), text).unwrap();
        let (server, _) = start(&folder, &[]);
        assert_ne!(read(&state), text);
        let ca = state.join(CERTIFICATE);
        let url = format!("wss://{}/echo", server.addr);
        let args = ["connect", "--cacert", ca.to_str().unwrap(), &url, "-m", "x", "-1"];
        assert_eq!(run(&args, "").expect(0).stdout, b"x\n", "{file}");
    }
}

#[test]
fn without_a_folder_it_lives_in_memory_and_whoever_connects_is_told_so() {
    let server = Server::start(&["--tls", "dev"]);
    let told = server.await_log("taiwa connect");
    assert!(told.contains("--insecure"), "{told}");
    let url = format!("wss://{}/echo", server.addr);
    assert_eq!(run(&["connect", &url, "-m", "x", "-1"], "").code, Some(4));
    assert_eq!(run(&["connect", "-k", &url, "-m", "x", "-1"], "").expect(0).stdout, b"x\n");
}

#[test]
fn settings_that_make_no_sense_are_told() {
    for (args, why) in [
        (&["--tls-cert", "x", "--tls-key", "x"][..], "tls.cert"),
        (&["--set", "tls.dev_life=15days"], "14 days"),
        (&["--set", "tls.dev_life=1s"], "tls.dev_life"),
        (&["--tls-name", "no name"], "tls.names"),
        (&["--tls-name", "*.127.0.0.1"], "tls.names"),
        (&["--set", "tls.folder=/proc/none"], "tls.folder"),
    ] {
        let args = [&["serve", "--listen", "127.0.0.1:0", "--tls", "dev"], args].concat();
        let refused = run(&args, "");
        assert_eq!(refused.code, Some(2), "{args:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
}
