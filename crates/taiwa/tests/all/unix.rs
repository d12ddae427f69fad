//! A client on unix sockets.

use std::io::ErrorKind;

use taiwa::{Client, Error, HandshakeMisuse, Proxy, Server, Upgrade};
use tokio::net::UnixListener;

use super::{
    authority::Authority,
    bind,
    dial::{echoes, nobody, told, witness},
    examples::printed,
    run, soon,
    tools::Folder,
};

#[tokio::test]
async fn a_unix_url_leads_to_a_socket_with_all_that_a_client_asks_for() {
    let folder = Folder::new();
    let path = folder.0.join("a b:c.sock");
    let server = Server::bind_unix(&path).await.unwrap();
    run(server.serve(|upgrade: Upgrade| witness(upgrade.subprotocol(["v2", "v1"]))));
    let encoded = path.to_str().unwrap().replace(' ', "%20").replace(':', "%3A");
    let client = Client::builder().header("x", "y").subprotocols(["v1"]).build().unwrap();
    for (url, seen) in [
        (
            format!("ws+unix:{encoded}:/chat?x=1"),
            "/chat?x=1 host=localhost tls=false authorization=- x=y ",
        ),
        (format!("ws+unix://{encoded}"), "/ host=localhost tls=false authorization=- x=y "),
        (
            format!("ws+unix://u:p@app.example{encoded}:/a:b"),
            "/a:b host=app.example tls=false authorization=Basic dTpw x=y ",
        ),
    ] {
        let (mut socket, _) = soon(client.open(&url)).await.unwrap();
        let told = told(&mut socket).await;
        assert!(told.starts_with(seen), "{told}");
        assert_eq!((socket.subprotocol(), socket.peer_addr()), (Some("v1"), None));
        echoes(&mut socket).await;
    }
}

#[tokio::test]
async fn wss_on_a_unix_socket_is_tls_for_the_name_in_the_url() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let identity = authority.server();
    let path = folder.0.join("tls.sock");
    let server = Server::bind_unix(&path).await.unwrap();
    run(server.tls(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap().serve(witness));
    let client = Client::builder().root_certificate_pem(authority.pem.as_bytes()).build().unwrap();
    let path = path.display();
    let mut socket = soon(client.connect(&format!("wss+unix:{path}:/x"))).await.unwrap();
    assert!(told(&mut socket).await.starts_with("/x host=localhost tls=true "));
    echoes(&mut socket).await;
    let error = soon(client.connect(&format!("wss+unix://other.example{path}:/"))).await;
    assert!(matches!(error, Err(Error::Tls(_))), "{error:?}");
}

#[tokio::test]
async fn a_unix_socket_needs_no_resolver_and_no_proxy() {
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    run(Server::bind_unix(&path).await.unwrap().serve(witness));
    let proxy = Proxy::parse(&nobody().await.to_string()).unwrap();
    let client = Client::builder().proxy(proxy).resolver(|host, _| async move { panic!("{host}") });
    let url = format!("ws+unix:{}", path.display());
    drop(soon(client.build().unwrap().connect(&url)).await.unwrap());
}

/// What `path` says, percent-encoded, is no file: Linux has a namespace of its own for it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_socket_begins_with_a_zero_byte() {
    let name = format!("\0taiwa-{}", std::process::id());
    let listener = UnixListener::bind(&name).unwrap();
    run(Server::from_listener(listener).unwrap().serve(witness));
    let url = format!("ws+unix:%00{}:/abstract", &name[1..]);
    let mut socket = soon(taiwa::connect(&url)).await.unwrap();
    assert!(told(&mut socket).await.starts_with("/abstract "));
}

#[tokio::test]
async fn a_missing_socket_is_named_and_a_bad_url_is_refused() {
    let folder = Folder::new();
    let path = folder.0.join("missing.sock");
    let error = soon(taiwa::connect(&format!("ws+unix:{}:/", path.display()))).await.unwrap_err();
    assert!(matches!(&error, Error::Io(it) if it.kind() == ErrorKind::NotFound), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    for (url, misuse) in [
        ("ws+unix:", HandshakeMisuse::Uri),
        ("ws+unix:/a:b", HandshakeMisuse::Uri),
        ("ws+unix:/a:/b#c", HandshakeMisuse::Fragment),
    ] {
        let error = taiwa::connect(url).await.unwrap_err();
        assert!(matches!(&error, Error::Request(it) if *it == misuse), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_redirect_stays_on_the_socket_unless_it_names_a_host() {
    let (server, addr) = bind().await;
    run(server.serve(witness));
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    run(Server::bind_unix(&path).await.unwrap().serve(move |upgrade: Upgrade| async move {
        let location = match upgrade.uri().path() {
            "/stay" => "/here?x".to_owned(),
            "/leave" => format!("ws://localhost:{}/there", addr.port()),
            _ => return witness(upgrade).await,
        };
        let response = http::Response::builder().status(302).header("location", location);
        upgrade.reject_with(response.body(bytes::Bytes::new()).unwrap()).await
    }));
    let client =
        Client::builder().redirects(1).secret_header("authorization", "s").build().unwrap();
    for (from, seen) in [
        ("/stay", "/here?x host=localhost tls=false authorization=s ".to_owned()),
        ("/leave", format!("/there host=localhost:{} tls=false authorization=- ", addr.port())),
    ] {
        let url = format!("ws+unix:{}:{from}", path.display());
        let mut socket = soon(client.connect(&url)).await.unwrap();
        let told = told(&mut socket).await;
        assert!(told.starts_with(&seen), "{told}");
    }
}

#[tokio::test]
async fn the_example_talks_with_itself_and_leaves_no_socket_behind() {
    let folder = Folder::new();
    let path = folder.0.join("example.sock");
    let there = path.clone();
    let (success, printed) = printed("unix_socket", move |it| _ = it.arg(&there)).await;
    assert_eq!(printed, "the server is asked for /echo?x=1\n対話\nclosed with 1000\n");
    assert!(success && !path.exists());
}
