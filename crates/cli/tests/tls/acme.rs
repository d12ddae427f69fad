//! `--tls acme`, with Debian's pebble as the ACME server and pebble-challtestsrv as its resolver: each name is this machine.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use taiwa::{Client, WebSocket};
use tokio::time::timeout;

use super::{
    awaits, echoes,
    support::{Folder, PATIENCE, Server, free_addr, run, taiwa},
    tool,
};

const NAMES: [&str; 2] = ["chat.example", "www.chat.example"];
const LONG: u64 = 90 * 24 * 60 * 60;
const CERTIFICATE: &str = "acme-cert.pem";

/// Ports that nobody listens on now.
fn ports<const N: usize>() -> [u16; N] {
    [(); N].map(|()| {
        let addr: std::net::SocketAddr = free_addr().parse().unwrap();
        addr.port()
    })
}

/// The key by which accounts are bound to those that pebble knows, and its name.
const BINDING: [&str; 2] =
    ["kid-1", "TftiSLJz8pt6Nc0i2oI4qlGtN9uTJJrCIW1rRPCCPI-JP8Zxmgl5db_WV933aoHQ"];

/// An ACME server, and where it looks for the server whose names are to be seen.
struct Pebble {
    children: Vec<Child>,
    folder: Folder,
    directory: String,
    /// In which those who made the certificates are asked for.
    management: String,
    ca: String,
    tls_port: u16,
    http_port: u16,
}

impl Pebble {
    /// `None`: there is none on this machine.
    fn start(name: &str, life: u64) -> Option<Self> {
        Self::configured(name, life, serde_json::json!({}))
    }

    /// One whose accounts must be bound to others.
    fn bound(name: &str) -> Option<Self> {
        let [id, key] = BINDING;
        let more = serde_json::json!({
            "externalAccountBindingRequired": true, "externalAccountMACKeys": { id: key },
        });
        Self::configured(name, LONG, more)
    }

    fn configured(name: &str, life: u64, more: serde_json::Value) -> Option<Self> {
        let here = |program| Command::new(program).arg("-h").output().is_ok();
        if !here("pebble") || !here("pebble-challtestsrv") || !here("curl") {
            eprintln!("skipped: there is no pebble, or no curl; cargo xtask setup installs them");
            return None;
        }
        let folder = Folder::new(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca = folder.write("pebble.pem", &made.cert.pem());
        let key = folder.write("pebble.key", &made.signing_key.serialize_pem());
        let [api, management, dns, tls_port, http_port] = ports();
        let mut config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{api}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": ca, "privateKey": key, "httpPort": http_port, "tlsPort": tls_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": life,
        }});
        let settings = config["pebble"].as_object_mut().expect("a table");
        settings.extend(more.as_object().expect("a table").clone());
        let config = folder.write("pebble.json", &config.to_string());
        let dns = format!("127.0.0.1:{dns}");
        let mut resolver = Command::new("pebble-challtestsrv");
        resolver.args(["-dns01", &dns, "-defaultIPv6", "", "-management", "", "-http01", ""]);
        resolver.args(["-https01", "", "-tlsalpn01", ""]);
        let mut pebble = Command::new("pebble");
        pebble.args(["-strict", "-config", &config, "-dnsserver", &dns]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "5");
        let quiet = |mut it: Command| {
            it.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let it = Self {
            children: vec![quiet(resolver), quiet(pebble)],
            folder,
            directory: format!("https://localhost:{api}/dir"),
            management: format!("https://localhost:{management}"),
            ca,
            tls_port,
            http_port,
        };
        let end = Instant::now() + PATIENCE;
        while it.fetch(&it.directory).is_none() {
            assert!(Instant::now() < end, "pebble does not answer");
            sleep(Duration::from_millis(20));
        }
        Some(it)
    }

    fn fetch(&self, url: &str) -> Option<String> {
        let got = tool("curl", &["--silent", "--fail", "--cacert", &self.ca, url]);
        got.filter(|it| it.0).map(|it| it.1)
    }

    /// Those who vouch for what it signs.
    fn root(&self) -> String {
        self.fetch(&format!("{}/roots/0", self.management)).expect("a root")
    }

    /// Serves where it looks for its names.
    fn server(&self, more: &[&str]) -> Server {
        let state = self.folder.0.join("state");
        let mut command = taiwa(&["serve", "--tls", "acme", "--set", "tls.acme.terms_agreed=true"]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.tls_port)]);
        command.args(["--set", &format!("tls.folder={}", state.display())]);
        command.args(["--set", &format!("tls.acme.directory={}", self.directory)]);
        command.args(["--set", &format!("tls.acme.ca_file={}", self.ca)]);
        command.args(["--set", "tls.acme.contact=mailto:ops@chat.example"]);
        command.args(NAMES.iter().flat_map(|it| ["--tls-name", *it]));
        command.args(more).stdin(Stdio::null());
        Server::run(command)
    }

    fn kept(&self, file: &str) -> std::path::PathBuf {
        self.folder.0.join("state").join(file)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Opens a WebSocket as a client does that knows the server by its name.
async fn connect(server: &Server, root: &str, name: &str) -> Result<WebSocket, taiwa::Error> {
    let client = Client::builder().root_certificate_pem(root.as_bytes()).tls_server_name(name);
    let client = client.build().unwrap();
    let url = format!("wss://{}/echo", server.addr);
    timeout(PATIENCE, client.connect(&url)).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_comes_by_tls_alpn_01_and_is_renewed_under_its_connections() {
    let Some(pebble) = Pebble::start("tls-acme-alpn", 24) else { return };
    let server = pebble.server(&[]);
    server.await_log("new connections see the new certificate");
    let root = pebble.root();
    let mut open = connect(&server, &root, NAMES[0]).await.unwrap();
    echoes(&mut open, "first").await;
    echoes(&mut connect(&server, &root, NAMES[1]).await.unwrap(), "second").await;
    assert!(connect(&server, &root, "other.example").await.is_err());
    let first = fs::read_to_string(pebble.kept(CERTIFICATE)).unwrap();
    assert!(first.matches("BEGIN CERTIFICATE").count() > 1, "the whole chain: {first}");
    // Two thirds of 24 s.
    let second = awaits(&pebble.kept(CERTIFICATE), |it| {
        (it != first && it.ends_with("-----\n")).then(|| it.to_owned())
    })
    .await;
    assert_ne!(first, second);
    echoes(&mut open, "still there").await;
    echoes(&mut connect(&server, &root, NAMES[0]).await.unwrap(), "renewed").await;
    #[cfg(unix)]
    for file in [CERTIFICATE, "acme-key.pem", "acme-account.json"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(pebble.kept(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_comes_by_http_01_and_is_kept_for_the_next_start() {
    let Some(pebble) = Pebble::start("tls-acme-http", LONG) else { return };
    let http = format!("127.0.0.1:{}", pebble.http_port);
    let listen = format!("tls.acme.http_listen={http}");
    let options = ["--set", "tls.acme.challenge=http-01", "--set", &listen];
    let server = pebble.server(&options);
    server.await_log("new connections see the new certificate");
    let root = pebble.root();
    echoes(&mut connect(&server, &root, NAMES[0]).await.unwrap(), "first").await;
    // Pages go to where TLS is.
    let args = ["--silent", "--include", "--header", "Host: chat.example"];
    let url = format!("http://{http}/page?x");
    let (_, head) = tool("curl", &[&args[..], &[&url]].concat()).unwrap();
    let location = format!("location: https://chat.example:{}/page?x", pebble.tls_port);
    assert!(head.starts_with("HTTP/1.1 308") && head.contains(&location), "{head}");
    let (first, account) = (
        fs::read_to_string(pebble.kept(CERTIFICATE)).unwrap(),
        fs::read_to_string(pebble.kept("acme-account.json")).unwrap(),
    );
    drop(server);
    // It would fail: by this way the server asks at a port where nobody is.
    let server = pebble.server(&[]);
    echoes(&mut connect(&server, &root, NAMES[0]).await.unwrap(), "again").await;
    assert_eq!(fs::read_to_string(pebble.kept(CERTIFICATE)).unwrap(), first);
    drop(server);
    // For more names there must be another one, from the same account.
    let server = pebble.server(&[&options[..], &["--tls-name", "third.example"]].concat());
    server.await_log("new connections see the new certificate");
    echoes(&mut connect(&server, &root, "third.example").await.unwrap(), "third").await;
    assert_eq!(fs::read_to_string(pebble.kept("acme-account.json")).unwrap(), account);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_ours_is_told_in_the_servers_words_and_tried_again_later() {
    let Some(pebble) = Pebble::start("tls-acme-refused", LONG) else { return };
    let http = format!("tls.acme.http_listen=127.0.0.1:{}", ports::<1>()[0]);
    let server = pebble.server(&["--set", "tls.acme.challenge=http-01", "--set", &http]);
    let told = server.await_log("no certificate came");
    assert!(told.contains("chat.example") && told.contains("acme:error:"), "{told}");
    server.await_log("a certificate is shown that nobody trusts");
    server.await_log("the next try is in 2m");
    assert!(connect(&server, &pebble.root(), NAMES[0]).await.is_err());
    // The server serves all the same.
    let url = format!("wss://{}/echo", server.addr);
    assert_eq!(run(&["connect", "-k", &url, "-m", "x", "-1"], "").expect(0).stdout, b"x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_one_that_the_server_knows() {
    let Some(pebble) = Pebble::bound("tls-acme-bound") else { return };
    let [id, key] = BINDING;
    let id = format!("tls.acme.eab_key_id={id}");
    let options = ["--set", &id, "--set", &format!("tls.acme.eab_key={key}")];
    let server = pebble.server(&options);
    server.await_log("new connections see the new certificate");
    echoes(&mut connect(&server, &pebble.root(), NAMES[0]).await.unwrap(), "bound").await;
    // The key is told to nobody.
    let account = fs::read_to_string(pebble.kept("acme-account.json")).unwrap();
    assert!(!account.contains(key), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_key_no_account_is_made_and_the_servers_words_are_told() {
    let Some(pebble) = Pebble::bound("tls-acme-unbound") else { return };
    let id = format!("tls.acme.eab_key_id={}", BINDING[0]);
    let wrong = format!("tls.acme.eab_key={}", BINDING[1].to_lowercase());
    for (options, why) in [
        (&[][..], "externalAccountRequired"),
        (&["--set", &id[..], "--set", &wrong[..]], "acme:error:"),
    ] {
        let server = pebble.server(options);
        let told = server.await_log("no certificate came");
        assert!(told.contains(why) && !told.contains(&wrong), "{told}");
        server.await_log("the next try is in 2m");
        assert!(!pebble.kept("acme-account.json").exists());
    }
}

#[test]
fn settings_that_make_no_sense_are_told() {
    let good =
        ["--tls-name", "a.example", "--set", "tls.folder=x", "--set", "tls.acme.terms_agreed=true"];
    let [name, value, set, folder, _, terms] = good;
    for (args, why) in [
        (&[set, folder, set, terms][..], "tls.names"),
        (&[name, value, set, terms], "tls.folder"),
        (&[name, value, set, folder], "tls.acme.terms_agreed"),
        (&[name, "*.a.example", set, folder, set, terms], "tls.names[0]"),
        (&[name, "127.0.0.1", set, folder, set, terms], "tls.names[0]"),
        (&[&good[..], &[set, "tls.acme.directory=http://a.example/"]].concat(), "https"),
        (&[&good[..], &[set, "tls.acme.challenge=http-01"]].concat(), "tls.acme.http_listen"),
        (&[&good[..], &[set, "tls.client_ca=x"]].concat(), "tls.client_ca"),
        (&[&good[..], &[set, "tls.acme.challenge=dns-01"]].concat(), "tls.acme.challenge"),
        (&[&good[..], &[set, "tls.acme.eab_key=x"]].concat(), "tls.acme.eab_key"),
        (
            &[&good[..], &[set, "tls.acme.eab_key=%", set, "tls.acme.eab_key_id=x"]].concat(),
            "base64url",
        ),
        (&[&good[..], &[set, "tls.acme.ca_file=/no/such"]].concat(), "tls.acme.ca_file"),
        (&[&good[..], &["--tls-cert", "x", "--tls-key", "x"]].concat(), "tls.cert"),
    ] {
        let args = [&["serve", "--listen", "127.0.0.1:0", "--tls", "acme"], args].concat();
        let refused = run(&args, "");
        assert_eq!(refused.code, Some(2), "{args:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
}
