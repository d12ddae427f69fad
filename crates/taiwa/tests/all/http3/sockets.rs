//! WebSockets on streams (RFC 9220).

use http::Version;
use taiwa::{Deflate, RawTransport, Upgrade};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{echo, run},
    *,
};

#[tokio::test]
async fn several_share_a_connection_and_the_closure_is_the_one_of_http_1() {
    let (server, addr, root) = server(Http3::default()).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let seen = (upgrade.version(), upgrade.uri().to_string(), upgrade.host().to_owned());
        let ends = (upgrade.peer_addr().clone(), upgrade.local_addr().clone());
        tell.send((seen, upgrade.method().to_string(), ends, upgrade.is_tls())).unwrap();
        echo(upgrade)
    }));
    let client = Client::connect(addr, &root).await;
    let mut sockets = [client.open("/a?x=1").await, client.open("/b").await];
    for socket in &mut sockets {
        let headers = socket.head.headers();
        assert_eq!(headers.keys().map(|it| it.as_str()).collect::<Vec<_>>(), ["date"]);
        socket.echoes("hello").await;
    }
    sockets[0].echoes("again").await;
    let ((version, uri, host), method, (peer, local), is_tls) = told.recv().await.unwrap();
    assert_eq!((version, &uri[..], &host[..]), (Version::HTTP_3, "/a?x=1", "localhost"));
    assert_eq!((&method[..], peer.ip(), is_tls), ("CONNECT", Some(addr.ip()), true));
    assert_eq!(local.tcp(), Some(addr));
    assert_eq!(told.recv().await.unwrap().0.1, "/b");
}

#[tokio::test]
async fn subprotocol_and_compression_are_negotiated_as_over_http_1() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.compression(Deflate::default()).serve(|upgrade: Upgrade| async move {
        let mut socket = upgrade.subprotocol(["chat"]).accept().await?;
        socket.send("a text that is compressed ".repeat(9)).await
    }));
    let mut request = connect("/");
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", "other, chat".parse().unwrap());
    headers.insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
    let mut socket = Client::connect(addr, &root).await.ask(request).await.unwrap();
    assert_eq!(socket.head.headers()["sec-websocket-protocol"], "chat");
    assert!(socket.head.headers().contains_key("sec-websocket-extensions"));
    assert_eq!(socket.frame().await.0, 0xc1, "compressed");
}

#[tokio::test]
async fn the_end_of_the_stream_follows_the_close_frame() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.serve(echo));
    let client = Client::connect(addr, &root).await;
    let mut socket = client.open("/").await;
    socket.send(0x88, &1000_u16.to_be_bytes()).await;
    assert_eq!(socket.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
    assert_eq!(soon(socket.io.read(&mut [0; 9])).await.expect("no reset"), 0);
}

#[tokio::test]
async fn a_reset_and_a_lost_connection_are_abnormal_closures() {
    let (server, addr, root) = server(Http3::default()).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let ended = upgrade.accept().await?.recv().await;
            tell.send(format!("{ended:?}")).unwrap();
            Ok::<(), taiwa::Error>(())
        }
    }));
    let client = Client::connect(addr, &root).await;
    drop(client.open("/").await);
    let ended = soon(told.recv()).await.unwrap();
    assert!(ended.starts_with("Err"), "{ended}");
    let _socket = client.open("/").await;
    client.connection.close(taiwa_h3::error::Code::NO_ERROR, "");
    let ended = soon(told.recv()).await.unwrap();
    assert!(ended.starts_with("Err"), "{ended}");
}

#[tokio::test]
async fn one_in_pieces_outlives_its_closure() {
    let (server, addr, root) = server(Http3::default()).await;
    let (give, given) = oneshot::channel();
    let give = std::sync::Mutex::new(Some(give));
    run(server.serve(move |upgrade: Upgrade| {
        let give = give.lock().unwrap().take();
        async move {
            let raw = upgrade.accept_raw().await?;
            if let Some(give) = give {
                drop(give.send(raw));
            }
            Ok::<(), taiwa::Error>(())
        }
    }));
    let client = Client::connect(addr, &root).await;
    let mut socket = client.open("/").await;
    let raw = soon(given).await.unwrap();
    let RawTransport::Other(mut io) = raw.transport else { panic!("it is no socket") };
    socket.send(0x82, b"abc").await;
    let mut bytes = [0; 9];
    soon(io.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(bytes, frame(0x82, b"abc")[..]);
    soon(io.write_all(b"\x82\x01x")).await.unwrap();
    soon(io.flush()).await.unwrap();
    assert_eq!(socket.frame().await, (0x82, b"x".to_vec()));
}

#[tokio::test]
async fn one_that_pauses_never_starves_99_others() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.serve(|upgrade: Upgrade| async move {
        let is_paused = upgrade.uri().path() == "/paused";
        let socket = upgrade.accept().await?;
        if is_paused {
            std::future::pending::<()>().await;
        }
        super::super::echo_over(socket).await
    }));
    let client = Client::connect(addr, &root).await;
    let mut paused = client.open("/paused").await;
    let stuffing = async {
        loop {
            paused.io.write_all(&frame(0x82, &[0; 125])).await.expect("the stream is open");
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), stuffing).await.is_err());
    let mut others = vec![];
    for _ in 0..99 {
        others.push(client.open("/").await);
    }
    for _ in 0..3 {
        for socket in &mut others {
            socket.send(0x82, &[1; 125]).await;
        }
        for socket in &mut others {
            assert_eq!(socket.frame().await, (0x82, vec![1; 125]));
        }
    }
}

#[tokio::test]
async fn going_away_is_told_to_the_connection_and_to_each_socket() {
    let (server, addr, root) = server(Http3::default()).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving =
        tokio::spawn(server.serve(echo).with_shutdown(async { _ = stopped.await }).into_future());
    let client = Client::connect(addr, &root).await;
    let mut socket = client.open("/").await;
    stop.send(()).unwrap();
    assert_eq!(socket.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
    assert!(client.connection.peer_goes_away());
    socket.send(0x88, &1001_u16.to_be_bytes()).await;
    assert_eq!(soon(socket.io.read(&mut [0; 9])).await.expect("no reset"), 0);
    soon(socket.io.shutdown()).await.unwrap();
    let ended = soon(client.connection.closed()).await;
    assert!(ended.to_string().contains("H3_NO_ERROR"), "{ended}");
    soon(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_may_not_is_refused_on_his_stream_alone() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.serve(|upgrade: Upgrade| async move {
        match upgrade.uri().path() {
            "/no" => upgrade.reject(401, "token please").await,
            _ => echo(upgrade).await,
        }
    }));
    let client = Client::connect(addr, &root).await;
    let check = async |request: Request<()>, status: u16, text: &str| {
        let (head, mut stream) = client.ask(request).await.err().expect("refused");
        assert_eq!(head.status(), status);
        let body = soon(stream.recv_data()).await.expect("whole").unwrap_or_default();
        assert!(String::from_utf8_lossy(&body).contains(text), "{body:?}");
    };
    check(connect("/no"), 401, "token please").await;
    let mut foreign = connect("/");
    foreign.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    check(foreign, 403, "").await;
    let mut old = connect("/");
    old.headers_mut().insert("sec-websocket-version", "8".parse().unwrap());
    check(old, 400, "").await;
    let mut other = connect("/");
    other.extensions_mut().insert(Protocol::new("connect-udp").unwrap());
    check(other, 501, "").await;
    client.open("/").await.echoes("still here").await;
}

#[tokio::test]
async fn a_client_that_takes_its_request_back_ends_the_closure() {
    let (server, addr, root) = server(Http3::default()).await;
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let (alive, mut is_alive) = mpsc::unbounded_channel::<()>();
    run(server.serve(move |upgrade: Upgrade| {
        let (begun, alive) = (begun.clone(), alive.clone());
        async move {
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
            drop((upgrade, alive));
            Ok::<(), taiwa::Error>(())
        }
    }));
    let client = Client::connect(addr, &root).await;
    let stream = soon(client.connection.open(connect("/"))).await.unwrap();
    soon(has_begun.recv()).await.unwrap();
    let before = is_alive.sender_strong_count();
    drop(stream);
    soon(async {
        while is_alive.sender_strong_count() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    is_alive.close();
}

#[tokio::test]
async fn websockets_can_be_switched_off() {
    let (server, addr, root) = server(Http3 { websockets: false, ..Http3::default() }).await;
    run(server.serve(echo));
    let client = Client::connect(addr, &root).await;
    let opened = soon(client.connection.open(connect("/"))).await;
    assert!(matches!(opened, Err(Error::NoConnectProtocol)));
}

#[tokio::test]
async fn websockets_count_where_a_number_of_connections_is_allowed() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.connections_max(3).serve(echo));
    let client = Client::connect(addr, &root).await;
    let _sockets = [client.open("/").await, client.open("/").await];
    let (head, _) = client.ask(connect("/")).await.err().expect("one too many");
    assert_eq!(head.status(), 503);
    assert!(Client::try_connect(addr, &root).await.is_err(), "refused");
}
