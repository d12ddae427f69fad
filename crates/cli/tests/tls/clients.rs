//! Clients that must show who they are, and secrets that are written down for debugging.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::{
    support::{Folder, Server, run},
    tool,
};

/// Makes an authority, and a certificate by it, in files; returns the names of its own, the certificate's and the key's.
fn authority(folder: &Folder, name: &str) -> [String; 3] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::from_params(&params, &key);
    let own = rcgen::KeyPair::generate().unwrap();
    let mut me = rcgen::CertificateParams::new(["ada.example".to_owned()]).unwrap();
    me.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let me = me.signed_by(&own, &issuer).unwrap().pem();
    let files = [("ca.pem", root), ("pem", me), ("key", own.serialize_pem())];
    files.map(|(end, text)| folder.write(&format!("{name}.{end}"), &text))
}

#[test]
fn who_shows_no_good_certificate_is_refused_where_they_are_asked_for() {
    let folder = Folder::new("tls-clients");
    let ([ca, cert, key], [_, other, other_key]) =
        (authority(&folder, "known"), authority(&folder, "strange"));
    let server = Server::start(&["--tls", "dev", "--set", &format!("tls.client_ca={ca}")]);
    let url = format!("wss://{}/echo", server.addr);
    for http in ["--http1.1", "--http2", "--http3"] {
        let says = |more: &[&str]| {
            run(&[&["connect", "-k", http, &url, "-m", "hi", "-1"], more].concat(), "")
        };
        let fine = says(&["--cert", &cert, "--key", &key]);
        assert_eq!(fine.expect(0).stdout, b"hi\n", "{http}");
        assert_ne!(says(&[]).code, Some(0), "{http}");
        assert_ne!(says(&["--cert", &other, "--key", &other_key]).code, Some(0), "{http}");
    }
}

#[test]
fn the_api_on_an_address_of_its_own_asks_programs_as_the_settings_say() {
    let folder = Folder::new("tls-clients-api");
    let ([ca, cert, key], [_, other, other_key]) =
        (authority(&folder, "known"), authority(&folder, "strange"));
    let ca = format!("tls.client_ca={ca}");
    for (asked, clients, without_one) in [
        ("as-clients", "required", false),
        ("as-clients", "optional", true),
        ("required", "optional", false),
        ("optional", "required", true),
        ("off", "required", true),
    ] {
        let settings = [ca.clone(), "api.keys=secret".into(), "api.listen=127.0.0.1:0".into()];
        let rules = [
            format!("api.client_certificates={asked}"),
            format!("tls.client_certificates={clients}"),
        ];
        let args = settings.iter().chain(&rules).flat_map(|it| ["--set", it]);
        let server = Server::start(&["--tls", "dev"].into_iter().chain(args).collect::<Vec<_>>());
        let line = server.await_log("the API listens");
        let addr = line.split("addr=").nth(1).and_then(|it| it.split_whitespace().next());
        let url = format!("https://{}/api/v1/channels", addr.expect("it tells where"));
        let says = |more: &[&str]| {
            let key =
                ["--silent", "--insecure", "--fail", "--max-time", "60", "-H", "X-API-Key: secret"];
            let body = ["-H", "Content-Type: application/json", "--data", "{}", &url];
            tool("curl", &[&key[..], &body, more].concat()).map(|it| it.0)
        };
        let Some(shown) = says(&["--cert", &cert, "--key", &key]) else { return };
        assert!(shown, "{asked} {clients}");
        assert_eq!(says(&[]), Some(without_one), "{asked} {clients}");
        let strange = says(&["--cert", &other, "--key", &other_key]);
        // Who is not asked shows none.
        assert_eq!(strange, Some(asked == "off"), "{asked} {clients}");
    }
    let refused = ["serve", "--tls", "dev", "--listen", "127.0.0.1:0"];
    let refused = run(&[&refused[..], &["--set", "api.client_certificates=required"]].concat(), "");
    let why = "api.client_certificates: this counts with tls.client_ca and api.listen alone";
    assert!(refused.expect(2).stderr.contains(why));
}

/// A webhook that lets everybody in, and says what it was asked. It ends with the test.
fn webhook() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (asked, questions) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut bytes, mut piece) = (vec![], [0; 4096]);
            let whole = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.to_ascii_lowercase();
                let length = length.split_once("content-length: ")?.1.lines().next()?.parse();
                (body.len() >= length.unwrap()).then(|| body.to_owned())
            };
            let body = loop {
                if let Some(body) = whole(&bytes) {
                    break body;
                }
                let n = stream.read(&mut piece).unwrap();
                assert!(n > 0, "half a question");
                bytes.extend_from_slice(&piece[..n]);
            };
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
                Content-Length: 13\r\n\r\n{\"result\":{}}";
            stream.write_all(answer.as_bytes()).unwrap();
            if asked.send(body).is_err() {
                return;
            }
        }
    });
    (addr, questions)
}

#[test]
fn who_decides_is_told_what_a_client_has_shown_by_any_version_and_transport() {
    let folder = Folder::new("tls-told");
    let ([ca, cert, key], [_, other, other_key]) =
        (authority(&folder, "told"), authority(&folder, "strange"));
    let (hook, questions) = webhook();
    let server = Server::start(&[
        "--tls",
        "dev",
        "--set",
        &format!("tls.client_ca={ca}"),
        "--set",
        "tls.client_certificates=optional",
        "--set",
        &format!("webhooks.url.connect=http://{hook}/"),
    ]);
    let der = pem_bytes(&fs::read_to_string(&cert).unwrap());
    let told = || -> serde_json::Value {
        let question = questions.recv_timeout(Duration::from_secs(20)).expect("it is asked");
        serde_json::from_str::<serde_json::Value>(&question).unwrap()["data"]["certificate"].take()
    };
    let is_told = |by: &str| {
        let certificate = told();
        assert_eq!(certificate["names"], serde_json::json!(["ada.example"]), "{by}");
        assert_eq!(certificate["der"], der, "{by}");
        assert_eq!(certificate["sha256"].as_str().unwrap().len(), 64, "{by}");
    };
    let url = format!("wss://{}/news?echo=true", server.addr);
    for http in ["--http1.1", "--http2", "--http3"] {
        let says = |more: &[&str]| {
            run(&[&["connect", "-k", http, &url, "-m", "hi", "-1"], more].concat(), "")
        };
        says(&["--cert", &cert, "--key", &key]).expect(0);
        is_told(http);
        says(&[]).expect(0);
        assert!(told().is_null(), "{http}");
        assert_ne!(says(&["--cert", &other, "--key", &other_key]).code, Some(0), "{http}");
    }
    for http in ["--http1.1", "--http2"] {
        let url = format!("https://{}/sse/news", server.addr);
        let curl = ["-skN", http, "--max-time", "20", "--cert", &cert, "--key", &key, &url];
        let curl = Command::new("curl").args(curl).stdout(Stdio::null()).spawn();
        let Ok(mut curl) = curl else {
            return eprintln!("skipped: curl is not installed (cargo xtask setup)");
        };
        is_told(http);
        curl.kill().unwrap();
        curl.wait().unwrap();
    }
}

/// Returns the base64 of what is in a PEM text.
fn pem_bytes(pem: &str) -> String {
    pem.lines().filter(|it| !it.starts_with("-----")).collect()
}

#[test]
fn secrets_are_written_down_where_the_settings_say_and_that_is_warned_of() {
    let folder = Folder::new("tls-key-log");
    let log = folder.0.join("keys.log");
    let set = format!("tls.key_log={}", log.display());
    let server = Server::start(&["--tls", "dev", "--set", &set]);
    assert!(server.await_log("tls.key_log").contains("WARN"));
    let url = format!("wss://{}/echo", server.addr);
    let mut lines = 0;
    for http in ["--http1.1", "--http3"] {
        run(&["connect", "-k", http, &url, "-m", "hi", "-1"], "").expect(0);
        let text = fs::read_to_string(&log).unwrap();
        let more = text.lines().skip(lines).filter(|it| it.contains("TRAFFIC_SECRET_0")).count();
        assert_eq!(more, 2, "{http}: {text}");
        lines = text.lines().count();
    }
    let bad = ["serve", "--listen", "127.0.0.1:0", "--set"];
    for (set, more, why) in [
        ("tls.key_log=/no/such/file", &["--tls", "dev"][..], "tls.key_log"),
        ("tls.client_ca=/no/such/file", &["--tls", "dev"], "tls.client_ca"),
        ("tls.client_ca=/no/such/file", &[], "counts with TLS alone"),
    ] {
        let refused = run(&[&bad[..], &[set], more].concat(), "");
        assert_eq!(refused.code, Some(2), "{set}: {}", refused.stderr);
        assert!(refused.stderr.contains(why), "{set}: {}", refused.stderr);
    }
}
