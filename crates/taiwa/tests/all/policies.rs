//! What a server asks of every handshake: a subprotocol, a page that may connect.

use bytes::Bytes;
use http_body_util::Full;
use taiwa::{Client, Error, Origin, Origins, Rejection, Sockets, SubprotocolPolicy, Upgrade};
use tokio::io::AsyncWriteExt;

use super::{bind, echo, handshake, request, rest, run, soon};

/// Returns the status and the subprotocol that a server answers to these lines.
async fn answer(addr: std::net::SocketAddr, lines: &str) -> (String, Option<String>) {
    let (_tcp, head) = request(addr, &handshake(lines)).await;
    let agreed = head.lines().find_map(|it| it.strip_prefix("Sec-WebSocket-Protocol: "));
    (head.split(' ').nth(1).unwrap().to_owned(), agreed.map(str::to_owned))
}

#[tokio::test]
async fn a_server_agrees_on_one_of_its_subprotocols_in_the_clients_order() {
    for (policy, without) in
        [(SubprotocolPolicy::Optional, "101"), (SubprotocolPolicy::Required, "400")]
    {
        let (server, addr) = bind().await;
        let server = server.subprotocols(["v2.json", "v1.json"]).subprotocol_policy(policy);
        run(server.serve(echo));
        for (offer, status, agreed) in [
            ("Sec-WebSocket-Protocol: v1.json, v2.json\r\n", "101", Some("v1.json")),
            ("Sec-WebSocket-Protocol: v3.json, v2.json\r\n", "101", Some("v2.json")),
            (
                "Sec-WebSocket-Protocol: v3.json\r\nSec-WebSocket-Protocol: v2.json\r\n",
                "101",
                Some("v2.json"),
            ),
            ("Sec-WebSocket-Protocol: V2.JSON\r\n", without, None),
            ("Sec-WebSocket-Protocol: v3.json\r\n", without, None),
            ("", without, None),
            ("Sec-WebSocket-Protocol: v1.json, v1.json\r\n", "400", None),
        ] {
            let expected = (status.to_owned(), agreed.map(str::to_owned));
            assert_eq!(answer(addr, offer).await, expected, "{policy:?} {offer:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_for_want_of_a_subprotocol_says_so_on_new_and_on_used_connections() {
    let (server, addr) = bind().await;
    let server = server.subprotocols(["v1"]).subprotocol_policy(SubprotocolPolicy::Required);
    let server = server.http(|_| async { http::Response::new(Full::new(Bytes::from("page"))) });
    run(server.serve(|_: Upgrade| async { Err("the closure is not asked") }));
    let client = Client::builder().subprotocols(["v2"]).build().unwrap();
    let Err(Error::Refused(response)) = soon(client.connect(&format!("ws://{addr}/"))).await else {
        panic!("it is refused");
    };
    assert_eq!(response.status(), 400);
    let text = "No subprotocol in Sec-WebSocket-Protocol is spoken here.\n";
    assert_eq!(response.body(), text);
    let (mut tcp, head) = request(addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    tcp.write_all(handshake("").as_bytes()).await.unwrap();
    let rest = String::from_utf8(rest(&mut tcp).await).unwrap();
    assert!(rest.contains("HTTP/1.1 400 ") && rest.ends_with(text), "{rest}");
}

#[test]
fn the_policy_holds_behind_other_http_servers_too() {
    let sockets = Sockets::builder().subprotocols(["v1"]);
    let sockets = sockets.subprotocol_policy(SubprotocolPolicy::Required).build();
    let opening = |offer: &str| {
        let request = http::Request::get("/")
            .header("host", "a.example")
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", offer);
        sockets.upgrade(&mut request.body(()).unwrap()).map(drop).unwrap_err()
    };
    assert_eq!(opening("v2").status(), 400);
    // It comes as far as the transport, which nobody has.
    assert_eq!(opening("v2, v1"), Rejection::NotUpgradable);
}

#[tokio::test]
async fn a_closure_may_choose_for_itself_and_without_a_list_the_policy_asks_nothing() {
    let (server, addr) = bind().await;
    run(server.subprotocols(["v1"]).serve(|upgrade: Upgrade| echo(upgrade.subprotocol(["v2"]))));
    let both = answer(addr, "Sec-WebSocket-Protocol: v1, v2\r\n").await;
    assert_eq!(both, ("101".into(), Some("v2".into())));
    let (server, addr) = bind().await;
    run(server.subprotocol_policy(SubprotocolPolicy::Required).serve(echo));
    assert_eq!(answer(addr, "Sec-WebSocket-Protocol: v1\r\n").await, ("101".into(), None));
}

#[tokio::test]
async fn pages_are_let_in_by_scheme_host_and_port_and_by_a_star_for_what_lies_below() {
    let (server, addr) = bind().await;
    let list = ["https://app.example", "https://*.pages.example", "tauri://localhost"];
    let list = list.map(|it| Origin::parse(it).unwrap()).to_vec();
    run(server.origins(Origins::List(list)).serve(echo));
    for (origin, status) in [
        ("https://app.example", "101"),
        ("HTTPS://APP.example:443", "101"),
        ("http://app.example", "403"),
        ("https://app.example:8443", "403"),
        ("https://app.example/", "403"),
        ("https://a.b.pages.example", "101"),
        ("https://pages.example", "403"),
        ("https://evil-pages.example", "403"),
        ("http://a.pages.example", "403"),
        ("tauri://localhost", "101"),
        ("http://a.example", "403"), // the same host, which a list does not mean
        ("null", "403"),
        ("file://", "403"),
        ("", "403"),
    ] {
        let (got, _) = answer(addr, &format!("Origin: {origin}\r\n")).await;
        assert_eq!(got, status, "{origin:?}");
    }
    assert_eq!(answer(addr, "").await.0, "101", "no browser");
    let (server, addr) = bind().await;
    run(server.origins(Origins::Any).serve(echo));
    assert_eq!(answer(addr, "Origin: null\r\n").await.0, "101");
}
