//! `UpgradeService`: a closure for upgrades in front of a tower service.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use taiwa::{CloseCode, Deadlines, Error, Outcome, Sockets, Upgrade, UpgradeLayer, UpgradeService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower_service::Service;

use super::{frame, handshake, request, rest, soon};

/// Serves an axum application behind the closure.
async fn serve<F, A>(sockets: &Sockets, answer: F) -> SocketAddr
where
    F: Fn(Upgrade) -> A + Clone + Send + Sync + 'static,
    A: Future<Output: Outcome> + Send + 'static,
{
    let app = Router::new().route("/", get("a page")).layer(UpgradeLayer::new(sockets, answer));
    let app = app.layer(Extension("from middleware"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(axum::serve(listener, app).into_future());
    addr
}

async fn echo(upgrade: Upgrade) -> Result<(), Error> {
    let mut socket = upgrade.subprotocol(["b"]).accept().await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

#[tokio::test]
async fn upgrades_go_to_the_closure_and_the_rest_to_the_inner_service() {
    let addr = serve(&Sockets::default(), echo).await;
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let bytes = [handshake("").into_bytes(), frame(0x81, b"early")].concat();
    tcp.write_all(&bytes).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\x81\x05early") {
        assert_ne!(soon(tcp.read_buf(&mut read)).await.unwrap(), 0, "{}", read.escape_ascii());
    }
    tcp.write_all(&frame(0x88, b"")).await.unwrap();
    assert_eq!(rest(&mut tcp).await, [0x88, 0]);

    let plain = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (mut tcp, head) = request(addr, plain).await;
    let whole = [head.into_bytes(), rest(&mut tcp).await].concat();
    assert!(whole.starts_with(b"HTTP/1.1 200 ") && whole.ends_with(b"a page"));

    let (_, head) = request(addr, &handshake("Origin: https://evil.example\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
}

#[tokio::test]
async fn a_closure_decides_in_its_own_time_with_all_that_middleware_left() {
    let addr = serve(&Sockets::default(), |upgrade: Upgrade| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        match upgrade.uri().path() {
            "/reject" => upgrade.reject(401, "token please").await,
            "/forget" => Ok(()),
            "/panic" => panic!("ouch"),
            _ => {
                let left = *upgrade.extensions().get::<&str>().expect("there is a layer");
                upgrade.accept().await?.send(left).await
            }
        }
    })
    .await;
    for (path, status, body) in
        [("reject", 401, "token please"), ("forget", 500, ""), ("panic", 500, "")]
    {
        let refused = soon(taiwa::connect(&format!("ws://{addr}/{path}"))).await;
        let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
        assert_eq!((response.status().as_u16(), &response.body()[..]), (status, body.as_bytes()));
    }
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("from middleware".into()));
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, CloseCode::NORMAL);
}

#[tokio::test]
async fn errors_close_with_1011_and_are_told() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let sockets =
        Sockets::builder().on_error(move |_, error| tell.send(error.to_string()).unwrap());
    let addr = serve(&sockets.build(), |upgrade: Upgrade| async move {
        let _socket = upgrade.accept().await.map_err(|it| it.to_string())?;
        Err::<(), _>("secret".to_owned())
    })
    .await;
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code, &closed.reason[..]), (CloseCode::INTERNAL_ERROR, ""));
    assert_eq!(soon(told.recv()).await.as_deref(), Some("secret"));
}

#[tokio::test]
async fn on_upgrade_works_where_accept_does() {
    let sockets = Sockets::default();
    let addr = serve(&sockets, |upgrade: Upgrade| async move {
        let _: Response<()> = upgrade.on_upgrade(|mut socket| async move {
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
            Ok::<(), Error>(())
        });
    })
    .await;
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.unwrap();
    socket.send("x").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
    assert_eq!(sockets.open(), 1);
    let (left, received) = tokio::join!(soon(sockets.shut_down()), soon(socket.recv()));
    assert_eq!((left, received.unwrap()), (0, None));
    assert_eq!(socket.closed().unwrap().code, CloseCode::GOING_AWAY);
}

#[tokio::test]
async fn shutting_down_closes_the_sockets_and_refuses_the_undecided() {
    let close = Some(Duration::from_millis(100));
    let sockets = Sockets::builder().deadlines(Deadlines { close, ..Deadlines::default() }).build();
    let (tell, mut told) = mpsc::unbounded_channel();
    let addr = serve(&sockets, move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            tell.send(()).unwrap();
            if upgrade.uri().path() == "/undecided" {
                tokio::time::sleep(Duration::from_secs(1000)).await;
            }
            echo(upgrade).await
        }
    })
    .await;
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.unwrap();
    let undecided =
        tokio::spawn(async move { taiwa::connect(&format!("ws://{addr}/undecided")).await });
    soon(told.recv()).await.unwrap();
    soon(told.recv()).await.unwrap();
    let (left, received) = tokio::join!(soon(sockets.shut_down()), soon(socket.recv()));
    assert_eq!((left, received.unwrap()), (0, None));
    assert_eq!(socket.closed().unwrap().code, CloseCode::GOING_AWAY);
    for opened in
        [soon(undecided).await.unwrap(), soon(taiwa::connect(&format!("ws://{addr}/"))).await]
    {
        assert!(matches!(&opened, Err(Error::Refused(it)) if it.status() == 503), "{opened:?}");
    }
}

#[tokio::test]
async fn a_name_bound_to_this_machine_never_reaches_the_socket() {
    let is_in = Arc::new(AtomicBool::new(false));
    let was_in = Arc::clone(&is_in);
    let addr = serve(&Sockets::default(), move |upgrade: Upgrade| {
        let is_in = Arc::clone(&is_in);
        async move {
            let accepted = upgrade.accept().await;
            is_in.store(accepted.is_ok(), Ordering::SeqCst);
            accepted.map(drop)
        }
    })
    .await;
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(handshake("Origin: http://a.example\r\n").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"origin not allowed") {
        assert_ne!(soon(tcp.read_buf(&mut read)).await.unwrap(), 0, "{}", read.escape_ascii());
    }
    tcp.write_all(&frame(0x88, &1008_u16.to_be_bytes())).await.unwrap();
    assert_eq!(rest(&mut tcp).await, b"");
    assert!(!was_in.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_service_that_is_no_axum_is_served_by_bare_hyper() {
    #[derive(Clone)]
    struct Page;

    impl<B> Service<Request<B>> for Page {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<B>) -> Self::Future {
            std::future::ready(Ok(Response::new(Full::from("a page"))))
        }
    }

    let mut service = UpgradeService::new(&Sockets::default(), Page, echo);
    // Asked by hand, for what is no WebSocket: over HTTP/2 it is refused, and does not reach the page.
    let request = Request::builder().method("CONNECT").version(http::Version::HTTP_2);
    let request = request.extension(hyper::ext::Protocol::from_static("connect-udp"));
    let request = request.uri("https://a.example/").header("sec-websocket-version", "13");
    let response = service.call(request.body(()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 501);
    assert!(!response.headers().contains_key("connection"));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request| service.clone().call(request));
        http1::Builder::new()
            .serve_connection(TokioIo::new(tcp), service)
            .with_upgrades()
            .await
            .unwrap();
    });
    let client = taiwa::Client::builder().subprotocols(["a", "b"]).build().unwrap();
    let (mut socket, _) = soon(client.open(&format!("ws://{addr}/"))).await.unwrap();
    assert_eq!(socket.subprotocol(), Some("b"));
    socket.send("x").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
}
