//! Opening handshakes, good and bad, from either end.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{
    lib::{
        accept_async, accept_hdr_async, client_async,
        tungstenite::{
            ClientRequestBuilder,
            client::IntoClientRequest,
            handshake::{
                client::generate_key,
                derive_accept_key,
                server::{ErrorResponse, Request, Response},
            },
            http,
        },
    },
    told,
};

const GOOD: [&str; 6] = [
    "GET /chat?a=b HTTP/1.1",
    "Host: localhost",
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Requests: the good one, and those with one line changed.
fn heads() -> Vec<String> {
    let changed = |at: usize, line: &str| {
        let mut lines = GOOD.map(str::to_owned).to_vec();
        lines[at] = line.to_owned();
        lines.retain(|it| !it.is_empty());
        lines.join("\r\n") + "\r\n\r\n"
    };
    let many = |count: usize| {
        let more: String = (0..count).map(|it| format!("X-{it}: {it}\r\n")).collect();
        format!("{}\r\n{more}\r\n", GOOD.join("\r\n"))
    };
    let mut heads = vec![GOOD.join("\r\n") + "\r\n\r\n", many(118), many(119)];
    for (at, line) in [
        (0, "POST /chat HTTP/1.1"),
        (0, "GET /chat HTTP/1.0"),
        (0, "GET /chat HTTP/2.0"),
        (0, "GET chat HTTP/1.1"),
        (0, "HELLO"),
        (1, ""),
        (1, "Ho st: x"),
        (2, ""),
        (2, "Connection: close"),
        (3, ""),
        (3, "Upgrade: h2c"),
        (4, ""),
        (4, "Sec-WebSocket-Version: 8"),
        (5, ""),
        (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="),
        (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=a"),
        (5, "Sec-WebSocket-Key: ????????????????????????"),
    ] {
        heads.push(changed(at, line));
    }
    heads.push(GOOD.join("\r\n") + "\r\n\r\njunk");
    heads.push(GOOD.join("\r\n"));
    heads.push(String::new());
    heads.push(format!("GET /{} HTTP/1.1\r\n", "x".repeat(70_000)));
    heads
}

#[allow(clippy::result_large_err)]
pub(crate) async fn servers() -> Vec<String> {
    let mut told = Vec::new();
    for head in heads() {
        let (io, mut peer) = duplex(1 << 20);
        peer.write_all(head.as_bytes()).await.expect("there is room");
        peer.shutdown().await.expect("it is open");
        told.push(format!("{}: {}", head.len(), told::result(accept_async(io).await)));
        told.push(text(peer).await);
    }
    type Decision = fn(&Request, Response) -> Result<Response, ErrorResponse>;
    let decisions: [Decision; 4] = [
        |request, mut response| {
            let path = request.uri().to_string().parse().expect("a value");
            response.headers_mut().append("X-Path", path);
            response.headers_mut().append("X-Path", "twice".parse().expect("a value"));
            Ok(response)
        },
        |request, _| {
            let mut refusal = ErrorResponse::new(Some(format!("not {}", request.uri())));
            *refusal.status_mut() = http::StatusCode::FORBIDDEN;
            Err(refusal)
        },
        |_, _| {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            Err(refusal)
        },
        |_, _| Err(ErrorResponse::new(None)),
    ];
    for decision in decisions {
        let (io, mut peer) = duplex(1 << 20);
        peer.write_all((GOOD.join("\r\n") + "\r\n\r\n").as_bytes()).await.expect("there is room");
        told.push(told::result(accept_hdr_async(io, decision).await));
        told.push(text(peer).await);
    }
    told
}

async fn text(mut peer: tokio::io::DuplexStream) -> String {
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.expect("text");
    answer
}

/// Answers a client with `lines`, in which `{accept}` stands for what it wants to read.
async fn client(url: &str, subprotocols: &str, lines: &[&str]) -> String {
    let (io, mut peer) = duplex(1 << 20);
    let mut request = url.into_client_request().expect("a URL");
    if !subprotocols.is_empty() {
        let subprotocols = subprotocols.parse().expect("a value");
        request.headers_mut().insert("sec-websocket-protocol", subprotocols);
        request.headers_mut().insert("origin", "http://a".parse().expect("a value"));
    }
    let key = request.headers()["sec-websocket-key"].to_str().expect("text").to_owned();
    let answer = async {
        let mut asked = vec![0; 1 << 10];
        let len = peer.read(&mut asked).await.expect("a request, or nothing");
        asked.truncate(len);
        let accept = derive_accept_key(key.as_bytes());
        let answer = lines.join("\r\n").replace("{accept}", &accept);
        // Who asked for nothing is gone.
        let written = peer.write_all(answer.as_bytes()).await;
        assert_eq!(written.is_ok(), len != 0);
        let _ = peer.shutdown().await;
        String::from_utf8(asked).expect("text").replace(&key, "{key}")
    };
    let (opened, asked) = tokio::join!(client_async(request, io), answer);
    let headers = opened.as_ref().ok().map(|(_, response)| {
        response.headers().iter().filter(|it| it.0 != "sec-websocket-accept").count()
    });
    format!("{asked}: {} {headers:?}", told::result(opened))
}

pub(crate) async fn clients() -> Vec<String> {
    const START: &str = "HTTP/1.1 101 Switching Protocols";
    const UPGRADE: &str = "Upgrade: websocket";
    const CONNECTION: &str = "Connection: upgrade";
    const ACCEPT: &str = "Sec-WebSocket-Accept: {accept}";
    const ANY: &str = "Sec-WebSocket-Protocol: a";
    let (url, end) = ("ws://localhost:1/a?b", "\r\n");
    let mut told = Vec::new();
    for (subprotocols, lines) in [
        ("", vec![START, UPGRADE, CONNECTION, ACCEPT, end]),
        ("", vec![START, UPGRADE, CONNECTION, ACCEPT, "X: y", "", "\u{1}\u{0}"]),
        ("", vec![START, CONNECTION, ACCEPT, end]),
        ("", vec![START, "Upgrade: h2c", CONNECTION, ACCEPT, end]),
        ("", vec![START, UPGRADE, ACCEPT, end]),
        ("", vec![START, UPGRADE, "Connection: close", ACCEPT, end]),
        ("", vec![START, UPGRADE, CONNECTION, end]),
        ("", vec![START, UPGRADE, CONNECTION, "Sec-WebSocket-Accept: x", end]),
        ("", vec![START, UPGRADE, CONNECTION, ACCEPT, ANY, end]),
        ("a, b", vec![START, UPGRADE, CONNECTION, ACCEPT, ANY, end]),
        ("c, b", vec![START, UPGRADE, CONNECTION, ACCEPT, ANY, end]),
        ("a", vec![START, UPGRADE, CONNECTION, ACCEPT, end]),
        ("", vec!["HTTP/1.0 101 Switching Protocols", UPGRADE, CONNECTION, ACCEPT, end]),
        ("", vec!["HTTP/1.1 403 Forbidden", "Content-Length: 4", "", "sorry"]),
        ("", vec!["HTTP/1.1 302 Found", "Location: ws://b/", end]),
        ("", vec!["HTTP/1.1 100 Continue", end]),
        ("", vec!["HTTP/1.1 ok", end]),
        ("", vec!["SSH-2.0"]),
        ("", vec![START, UPGRADE]),
        ("", vec![""]),
    ] {
        told.push(client(url, subprotocols, &lines).await);
    }
    for url in ["http://localhost/", "wss://localhost/", "ws://[::1]:8/x"] {
        told.push(client(url, "", &[START, UPGRADE, CONNECTION, ACCEPT, end]).await);
    }
    told.push(bad_request(|it| _ = it.headers_mut().remove("host")).await);
    told.push(bad_request(|it| _ = it.headers_mut().remove("sec-websocket-key")).await);
    told.push(bad_request(|it| _ = it.headers_mut().append("upgrade", "x".parse().unwrap())).await);
    told.push(bad_request(|it| *it.method_mut() = http::Method::PUT).await);
    told.push(bad_request(|it| *it.version_mut() = http::Version::HTTP_10).await);
    told.push(bad_request(|it| *it.version_mut() = http::Version::HTTP_2).await);
    told
}

async fn bad_request(change: impl FnOnce(&mut http::Request<()>)) -> String {
    let mut request = "ws://localhost/".into_client_request().expect("a URL");
    change(&mut request);
    let (io, peer) = duplex(1 << 10);
    drop(peer);
    told::result(client_async(request, io).await)
}

/// URLs and requests, and the headers that become of them.
pub(crate) fn requests() -> Vec<String> {
    let described = |asked: Result<http::Request<()>, _>| match asked {
        Ok(mut it) => {
            let key = it.headers_mut().remove("sec-websocket-key");
            format!("{it:?} {:?}", key.map(|it| it.len()))
        }
        Err(it) => told::error(&it),
    };
    let mut told = Vec::new();
    for url in [
        "ws://localhost",
        "wss://user:secret@localhost:9/path?q",
        "ws://[::1]:80/",
        "http://x/",
        "/path",
        "ws://",
        "ws://@/",
        "localhost",
        "ws://a b/",
        "",
    ] {
        told.push(format!("{url}: {}", described(url.into_client_request())));
        told.push(described(url.to_owned().into_client_request()));
    }
    let builder = || ClientRequestBuilder::new("ws://localhost/x".parse().expect("a URL"));
    let whole = builder().with_header("X-A", "1").with_sub_protocol("p").with_sub_protocol("q");
    told.push(described(whole.into_client_request()));
    told.push(described(builder().with_header("X A", "1").into_client_request()));
    told.push(described(builder().with_header("X-A", "\n").into_client_request()));
    told.push(generate_key().len().to_string());
    told
}
