//! WebSockets on streams (RFC 8441).

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use http::Version;
use taiwa::{Deflate, Error, Http2, RawTransport, Upgrade};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc, oneshot},
    time::sleep,
};

use super::{
    super::{bind, connect as connect_http1, echo, run, soon, tls::certificate},
    Client, Socket, connect, get,
};

#[tokio::test]
async fn several_share_a_connection_and_the_closure_is_the_one_of_http_1() {
    let (server, addr) = bind().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let seen = (upgrade.version(), upgrade.uri().to_string(), upgrade.host().to_owned());
        tell.send((seen, upgrade.method().to_string(), upgrade.peer_addr().clone())).unwrap();
        echo(upgrade)
    }));
    let client = Client::connect(addr).await;
    let mut sockets = [client.open("/a?x=1").await, client.open("/b").await];
    for socket in &mut sockets {
        let headers = &socket.head.headers;
        assert_eq!(headers.keys().map(|it| it.as_str()).collect::<Vec<_>>(), ["date"]);
        socket.echoes("hello").await;
    }
    sockets[0].echoes("again").await;
    connect_http1(addr).await.send("x").await.unwrap();
    let ((version, uri, host), method, peer) = told.recv().await.unwrap();
    assert_eq!((version, &uri[..], &host[..]), (Version::HTTP_2, "/a?x=1", "127.0.0.1"));
    assert_eq!((&method[..], peer.ip()), ("CONNECT", Some(addr.ip())));
    assert_eq!(told.recv().await.unwrap().0.1, "/b");
    let ((version, uri, _), method, _) = told.recv().await.unwrap();
    assert_eq!((version, &uri[..], &method[..]), (Version::HTTP_11, "/", "GET"));
}

#[tokio::test]
async fn over_tls_it_is_agreed_on_by_alpn_and_http_1_stays_beside_it() {
    let made = certificate();
    let (server, addr) = bind().await;
    let server = server.tls(made.certificate.as_bytes(), made.key.as_bytes()).unwrap();
    run(server.serve(|upgrade: Upgrade| {
        assert!(upgrade.is_tls());
        echo(upgrade)
    }));
    let client = Client::over_tls(addr, &made.certificate).await;
    client.open("/").await.echoes("over TLS").await;
    for offer in [&[&b"http/1.1"[..]][..], &[]] {
        let mut tls = super::tls(addr, &made.certificate, offer).await;
        tls.write_all(super::super::handshake("").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        soon(tls.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
    }
}

#[tokio::test]
async fn subprotocol_and_compression_are_negotiated_as_over_http_1() {
    let (server, addr) = bind().await;
    run(server.compression(Deflate::default()).serve(|upgrade: Upgrade| async move {
        let mut upgrade = upgrade.subprotocol(["chat"]);
        upgrade.response_headers().insert("x-room", "1".parse().unwrap());
        upgrade.response_headers().insert("connection", "close".parse().unwrap());
        upgrade.accept().await?.send("a text that is compressed ".repeat(9)).await
    }));
    let mut request = connect("/");
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", "other, chat".parse().unwrap());
    headers.insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
    let mut socket = Client::connect(addr).await.ask(request).await.unwrap();
    let headers = &socket.head.headers;
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    let extensions = headers["sec-websocket-extensions"].to_str().unwrap();
    assert!(extensions.starts_with("permessage-deflate"), "{extensions}");
    assert_eq!(headers["x-room"], "1");
    assert!(!headers.contains_key("connection"));
    assert_eq!(socket.frame().await.0, 0xc1, "a compressed text");
}

#[tokio::test]
async fn end_of_stream_follows_the_close_frame() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let client = Client::connect(addr).await;
    let mut socket = client.open("/").await;
    socket.send(0x88, &[3, 0xe8]).await;
    assert_eq!(socket.frame().await, (0x88, Bytes::from_static(&[3, 0xe8])));
    assert_eq!(socket.data().await.unwrap(), None);
    // In either order: here the server ends first, and resets nothing while the client still may send.
    sleep(Duration::from_millis(50)).await;
    socket.send.send_data(Bytes::new(), true).expect("the stream is not reset");
    client.open("/").await.echoes("the connection goes on").await;
}

#[tokio::test]
async fn a_closure_that_returns_closes_its_stream_in_an_orderly_way() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move { upgrade.accept().await.map(drop) }));
    let client = Client::connect(addr).await;
    let mut socket = client.open("/").await;
    assert_eq!(socket.frame().await, (0x88, Bytes::from_static(&[3, 0xe8])));
    socket.send(0x88, &[3, 0xe8]).await;
    assert_eq!(socket.data().await.unwrap(), None);
}

/// Serves closures that tell how their socket ended.
async fn ends() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (server, addr) = bind().await;
    let (tell, told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            let ended = loop {
                match socket.recv().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break "closed".to_owned(),
                    Err(error) => break error.to_string(),
                }
            };
            tell.send(format!("{ended} {:?}", socket.closed().map(|it| it.code))).unwrap();
            Ok::<(), Error>(())
        }
    }));
    (addr, told)
}

#[tokio::test]
async fn a_reset_and_a_lost_connection_are_abnormal_closures() {
    let (addr, mut told) = ends().await;
    let client = Client::connect(addr).await;
    let mut reset = client.open("/").await;
    reset.send(0x81, b"x").await;
    let mut other = client.open("/").await;
    reset.send.send_reset(h2::Reason::CANCEL);
    let ended = soon(told.recv()).await.unwrap();
    assert!(ended.contains("1006") || ended.contains("reset"), "{ended}");
    other.send(0x89, b"still here").await;
    assert_eq!(other.frame().await, (0x8a, Bytes::from_static(b"still here")));

    // The stream ends without a Close frame.
    let mut short = client.open("/").await;
    short.send.send_data(Bytes::new(), true).unwrap();
    let ended = soon(told.recv()).await.unwrap();
    assert!(!ended.starts_with("closed"), "{ended}");

    client.ending.abort();
    let ended = soon(told.recv()).await.unwrap();
    assert!(!ended.starts_with("closed"), "{ended}");
}

#[tokio::test]
async fn a_socket_that_is_dropped_open_by_its_server_is_reset() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let raw = upgrade.accept_raw().await?;
        assert!(matches!(raw.transport, RawTransport::Other(_)));
        drop(raw);
        Ok::<(), Error>(())
    }));
    let client = Client::connect(addr).await;
    // Perhaps before the response is written: then it is not.
    let (response, _send) = client.begin(connect("/")).await;
    let error = match soon(response).await {
        Ok(response) => super::body(response).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
}

#[tokio::test]
async fn one_in_pieces_outlives_its_closure() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let raw = upgrade.accept_raw().await?;
        tokio::spawn(async move {
            let RawTransport::Other(mut io) = raw.transport else { panic!("no socket") };
            let mut bytes = [0; 64];
            while let n @ 1.. = io.read(&mut bytes).await.unwrap() {
                io.write_all(&bytes[..n]).await.unwrap();
            }
            io.shutdown().await.unwrap();
            drop(raw.seat);
        });
        Ok::<(), Error>(())
    }));
    let mut socket = Client::connect(addr).await.open("/").await;
    for bytes in [&b"ab"[..], b"cd"] {
        socket.send_bytes(bytes.to_vec()).await;
        assert_eq!(socket.data().await.unwrap().unwrap(), bytes);
    }
    socket.send.send_data(Bytes::new(), true).unwrap();
    assert_eq!(socket.data().await.unwrap(), None);
}

/// Serves echo, except that sockets at `/paused` read nothing until they are told.
async fn pausing(limits: Http2) -> (std::net::SocketAddr, Arc<Notify>) {
    let (server, addr) = bind().await;
    let go_on = Arc::new(Notify::new());
    let notify = Arc::clone(&go_on);
    run(server.http2(limits).keepalive(None).serve(move |upgrade: Upgrade| {
        let notify = Arc::clone(&notify);
        async move {
            if upgrade.uri().path() != "/paused" {
                return echo(upgrade).await;
            }
            let mut socket = upgrade.accept().await?;
            notify.notified().await;
            let mut messages = 0;
            while socket.recv().await?.is_some_and(|it| it.as_bytes() != b"end") {
                messages += 1;
            }
            socket.send(messages.to_string()).await?;
            socket.recv().await.map(drop)
        }
    }));
    (addr, go_on)
}

/// Sends small messages until the server gives no more credit; returns how many were sent whole.
async fn stuff(socket: &mut Socket) -> (usize, Vec<u8>) {
    let mut messages = 0;
    loop {
        let mut bytes = Bytes::from(super::frame(0x81, b"m"));
        while bytes.has_remaining() {
            let len = bytes.len();
            let credit = std::future::poll_fn(|cx| socket.poll_credit(cx, len));
            let Ok(n) = tokio::time::timeout(Duration::from_millis(300), credit).await else {
                return (messages, bytes.to_vec());
            };
            socket.send.send_data(bytes.split_to(n), false).unwrap();
        }
        messages += 1;
    }
}

#[tokio::test]
async fn one_that_pauses_never_starves_99_others() {
    let (addr, go_on) = pausing(Http2::default()).await;
    let client = Client::connect(addr).await;
    let mut paused = client.open("/paused").await;
    let mut flowing = Vec::new();
    for _ in 0..99 {
        flowing.push(client.open("/").await);
    }
    let (messages, rest) = stuff(&mut paused).await;
    // Its window is full, and not more than that.
    let sent = (messages + 1) * 7 - rest.len();
    assert_eq!(sent, 64 << 10, "{messages} messages");
    for round in 0..20 {
        for socket in &mut flowing {
            socket.echoes(&format!("{round} {}", "x".repeat(100))).await;
        }
    }
    // Nothing is lost.
    go_on.notify_one();
    paused.send_bytes(rest).await;
    paused.send(0x81, b"end").await;
    assert_eq!(paused.frame().await.1, (messages + 1).to_string());
}

#[tokio::test]
async fn many_that_pause_with_small_messages_do_not_end_the_connection() {
    let limits = Http2 { streams_max: 20, ..Http2::default() };
    let (addr, go_on) = pausing(limits).await;
    let client = Client::connect(addr).await;
    let mut paused = Vec::new();
    for _ in 0..19 {
        let mut socket = client.open("/paused").await;
        let stuffed = stuff(&mut socket).await;
        paused.push((socket, stuffed));
    }
    client.open("/").await.echoes("and there is room for one more").await;
    for (mut socket, (messages, rest)) in paused {
        go_on.notify_one();
        socket.send_bytes(rest).await;
        socket.send(0x81, b"end").await;
        assert_eq!(socket.frame().await.1, (messages + 1).to_string());
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_one_holds_up_that_one_alone() {
    let (server, addr) = bind().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.keepalive(None).serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            if upgrade.uri().path() != "/much" {
                return echo(upgrade).await;
            }
            let mut socket = upgrade.accept().await?;
            for n in 0..1000 {
                socket.send(vec![b'm'; 10_000]).await?;
                tell.send(n).unwrap();
            }
            Ok(())
        }
    }));
    let client = Client::connect(addr).await;
    let mut unread = client.open("/much").await;
    let mut other = client.open("/").await;
    let mut sent = 0;
    while let Ok(Some(n)) = tokio::time::timeout(Duration::from_millis(300), told.recv()).await {
        sent = n;
    }
    // The client's window of 64 KiB, ours of as much, and what the socket keeps: 1 MiB.
    assert!(sent * 10_000 < (1 << 20) + (200 << 10), "{sent} were taken");
    for _ in 0..50 {
        other.echoes("it flows").await;
    }
    let mut read = 0;
    while let Some(data) = unread.data().await.unwrap() {
        read += data.len();
        if read == 1000 * 10_004 + 4 {
            // The Close frame, too.
            unread.send(0x88, &[3, 0xe8]).await;
        }
    }
    assert_eq!(read, 1000 * 10_004 + 4);
}

#[tokio::test]
async fn going_away_is_told_to_the_connection_and_to_each_socket() {
    let (server, addr) = bind().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = run(server.serve(echo).with_shutdown(async { _ = stopped.await }));
    let client = Client::connect(addr).await;
    let mut sockets = [client.open("/").await, client.open("/").await];
    sockets[0].echoes("x").await;
    stop.send(()).unwrap();
    for socket in &mut sockets {
        assert_eq!(socket.frame().await, (0x88, Bytes::from_static(&[3, 0xe9])));
        socket.send(0x88, &[3, 0xe9]).await;
        assert_eq!(socket.data().await.unwrap(), None);
        socket.send.send_data(Bytes::new(), true).unwrap();
    }
    soon(client.ending).await.unwrap().expect("GOAWAY with NO_ERROR");
    soon(serving).await.unwrap().unwrap();
    assert!(soon(client.send.clone().ready()).await.is_err(), "no more streams");
}

#[tokio::test]
async fn pages_versions_and_protocols_that_may_not_are_refused_on_their_stream_alone() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let client = Client::connect(addr).await;
    let with = |name: &'static str, value: &str| {
        let mut request = connect("/");
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let mut webtransport = connect("/");
    let protocol = h2::ext::Protocol::from_static("webtransport");
    webtransport.extensions_mut().insert(protocol);
    for (request, status) in [
        (with("origin", "https://evil.example"), 403),
        (with("sec-websocket-version", "8"), 400),
        (with("host", "elsewhere"), 400),
        (webtransport, 501),
    ] {
        let refused = client.ask(request).await.err().expect("it is refused");
        assert_eq!(refused.status(), status);
        assert!(!refused.headers().contains_key("upgrade"));
        assert!(!super::body(refused).await.unwrap().is_empty());
    }
    client.open("/").await.echoes("x").await;
}

#[tokio::test]
async fn a_closure_may_say_no_and_the_connection_goes_on() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        match upgrade.uri().path() {
            "/401" => upgrade.reject(401, "token please").await,
            "/gone" => {
                drop(upgrade);
                Ok(())
            }
            _ => echo(upgrade).await,
        }
    }));
    let client = Client::connect(addr).await;
    let refused = client.ask(connect("/401")).await.err().unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(super::body(refused).await.unwrap(), "token please");
    assert_eq!(client.ask(connect("/gone")).await.err().unwrap().status(), 500);
    client.open("/").await.echoes("x").await;
    let refused = client.request(get("/"), None).await;
    assert_eq!(
        (refused.status(), refused.version()),
        (http::StatusCode::BAD_REQUEST, Version::HTTP_2)
    );
}

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_client_that_takes_its_request_back_ends_the_closure() {
    let (server, addr) = bind().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            tell.send(()).unwrap();
            let _dropped = Dropped(tell);
            sleep(Duration::from_secs(1000)).await;
            upgrade.accept().await.map(drop)
        }
    }));
    let client = Client::connect(addr).await;
    let (response, mut send) = client.begin(connect("/")).await;
    soon(told.recv()).await.expect("the closure runs");
    send.send_reset(h2::Reason::CANCEL);
    soon(told.recv()).await.expect("the closure is dropped");
    drop(response);
}

/// A client's frame of up to 65,535 bytes with a mask of zeros, and the server's of the same.
fn long(n: usize) -> (Vec<u8>, Vec<u8>) {
    let len = (n as u16).to_be_bytes();
    let payload: Vec<u8> = (0..n).map(|it| (it * 7 + n) as u8).collect();
    let frame = |mask: &[u8], bit: u8| {
        let head =
            if n < 126 { vec![0x82, bit | n as u8] } else { vec![0x82, bit | 126, len[0], len[1]] };
        [&head[..], mask, &payload[..]].concat()
    };
    (frame(&[0; 4], 0x80), frame(&[], 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bytes_come_through_whole_and_in_order_with_readers_in_other_tasks_and_threads() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let is_apart = upgrade.uri().path() == "/apart";
        let socket = upgrade.accept().await?;
        if !is_apart {
            return super::super::echo_over(socket).await;
        }
        let (sender, mut receiver) = socket.split();
        let (forward, mut forwarded) = mpsc::channel(1);
        let receiving = tokio::spawn(async move {
            while let Ok(Some(message)) = receiver.recv().await {
                if forward.send(message).await.is_err() {
                    return;
                }
            }
        });
        while let Some(message) = forwarded.recv().await {
            sender.send(message).await?;
        }
        receiving.await.unwrap();
        Ok(())
    }));
    let client = Client::connect(addr).await;
    let mut all = tokio::task::JoinSet::new();
    for n in 0..12_usize {
        let mut socket = client.open(if n % 2 == 0 { "/apart" } else { "/here" }).await;
        all.spawn(async move {
            let mut len = n * 1009;
            for _ in 0..100 {
                len = (len * 31 + 17) % 20_000;
                let (ours, theirs) = long(len);
                socket.send_bytes(ours).await;
                let mut read = Vec::new();
                while read.len() < theirs.len() {
                    read.extend(socket.data().await.unwrap().expect("more"));
                }
                assert_eq!(read, theirs, "{len} bytes on socket {n}");
            }
            socket.send(0x88, &[3, 0xe8]).await;
            while socket.data().await.unwrap().is_some() {}
        });
    }
    while let Some(done) =
        tokio::time::timeout(Duration::from_secs(60), all.join_next()).await.unwrap()
    {
        done.unwrap();
    }
}
