//! The site as a service of a program's own axum server.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::Request, middleware::map_request, routing::get};
use http::{Method, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use taiwa::{Error, HttpVersion};
use taiwa_server::Running;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::{Stage, Terms, closed, read, said, soon};

/// A stage whose server is axum's, and what ends it.
async fn embedded() -> (Stage, oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let (running, told) = Stage::site(&Terms { shards: 2, ..Terms::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let app =
        Router::new().route("/", get(|| async { "mine" })).fallback_service(running.service());
    let app = app.layer(map_request(|mut request: Request| async move {
        request.extensions_mut().insert(SocketAddr::from(([192, 0, 2, 1], 5000)));
        request
    }));
    let serving = axum::serve(listener, app).with_graceful_shutdown(end(running.clone(), stopped));
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<_>>();
    let stage = Stage { running, addr, told, heard: vec![], client };
    (stage, stop, tokio::spawn(serving.into_future()))
}

async fn end(running: Running, stopped: oneshot::Receiver<()>) {
    let _ = stopped.await;
    running.shut_down(Duration::from_secs(5)).await.expect("no shard failed");
}

#[tokio::test]
async fn a_program_of_ones_own_serves_both_its_routes_and_the_dialects() {
    let (mut stage, stop, served) = embedded().await;
    let page = stage.ask(stage.request(Method::GET, "/", "")).await;
    assert_eq!(read(page).await, (200, "mine".into()));
    assert_eq!(stage.post("/elsewhere", "").await.0, 404);
    assert!(taiwa::connect(&format!("ws://{}/elsewhere", stage.addr)).await.is_err());
    let mut socket = stage.connect("/ws?name=w").await;
    socket.send("connect; hear news").await.unwrap();
    stage.hears("w: hear: subscribed").await;
    let orders = "connect; hear news; reply stream; flow this; say news word";
    let request = stage.request(Method::POST, "/http?name=s", orders);
    let mut stream = stage.ask(request).await;
    assert_eq!(said(&mut socket).await, "all: word");
    let frame = soon(stream.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "all: word");
    let shards = stage.running.control().look(10).await;
    let rows: Vec<_> = shards.iter().flat_map(|it| &it.rows).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|it| it.who == "192.0.2.1:5000"), "{rows:?}");
    stop.send(()).unwrap();
    assert_eq!(said(&mut socket).await, "bye Shutdown(None)");
    assert_eq!(closed(&mut socket).await, (4001, "bye".into()));
    let rest = soon(stream.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(rest, "bye Shutdown(None)");
    // A client that keeps its connection open must not keep the server.
    drop(stage.client);
    soon(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn over_http_2_it_is_the_same() {
    let (mut stage, stop, served) = embedded().await;
    let client = taiwa::Client::builder().http_version(HttpVersion::Http2).build().unwrap();
    let url = |path: &str| format!("ws://{}{path}", stage.addr);
    let (mut socket, response) = soon(client.open(&url("/ws?name=w"))).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let refused = soon(client.connect(&url("/elsewhere"))).await;
    assert!(matches!(&refused, Err(Error::Refused(it)) if it.status() == 404), "{refused:?}");
    socket.send("connect; hear news").await.unwrap();
    stage.hears("w: hear: subscribed").await;

    let requests = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<_>>();
    // A page of the same host, which is known by `:authority` alone.
    let orders = "connect; hear news; reply stream; flow this; say news word";
    let mut request = stage.request(Method::POST, "/http?name=s", orders);
    let origin = format!("http://{}", stage.addr).parse().unwrap();
    request.headers_mut().insert("origin", origin);
    let mut stream = soon(requests.request(request)).await.unwrap();
    assert_eq!((stream.version(), stream.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(said(&mut socket).await, "all: word");
    let frame = soon(stream.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "all: word");

    stop.send(()).unwrap();
    assert_eq!(said(&mut socket).await, "bye Shutdown(None)");
    assert_eq!(closed(&mut socket).await, (4001, "bye".into()));
    drop((stage.client, requests, client));
    soon(served).await.unwrap().unwrap();
}
