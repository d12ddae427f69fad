//! Transports that are no sockets: what hyper hands over of a pipe in memory.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use taiwa::{CloseCode, Sockets, WebSocket};
use taiwa_proto::End;
use taiwa_server::shard::{Opening, Post};
use tokio::io::DuplexStream;

use super::{Room, Site, client, echo, raw, soon};

/// Serves one request of hyper's, which is to be an upgrade, and hands its transport over.
async fn serve(pipe: DuplexStream, sockets: Sockets, post: Post<Room>) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (sockets, post) = (sockets.clone(), post.clone());
        async move {
            let upgrade = sockets.upgrade(&mut request).unwrap();
            let opening = Opening::of(&upgrade);
            let (response, opens) = upgrade.respond_raw().unwrap();
            tokio::spawn(async move { post.join(opens.await.unwrap(), opening).unwrap() });
            Ok::<Response<Full<Bytes>>, Infallible>(response)
        }
    });
    let http = http1::Builder::new().serve_connection(TokioIo::new(pipe), service);
    http.with_upgrades().await.unwrap();
}

async fn connect(site: &Site, sockets: &Sockets) -> WebSocket {
    let (near, far) = tokio::io::duplex(1000);
    tokio::spawn(serve(far, sockets.clone(), site.shards.assign().clone()));
    soon(client().connect_over(near, "ws://localhost/echo")).await.unwrap().0
}

#[tokio::test]
async fn a_pipe_is_a_line_like_all_others() {
    let (mut site, sockets) = (Site::new(1), Sockets::default());
    let socket = connect(&site, &sockets).await;
    let (key, _) = site.joined().await;
    assert_eq!(sockets.open(), 1);
    echo::talk(socket).await;
    let (left, how) = site.left().await;
    assert_eq!((left, how.closed().code), (key, CloseCode::new(4321)));
    assert_eq!(sockets.open(), 0);
}

#[tokio::test]
async fn a_pipe_that_breaks_is_a_lost_line() {
    let (mut site, sockets) = (Site::new(1), Sockets::default());
    let (mut near, far) = tokio::io::duplex(1000);
    tokio::spawn(serve(far, sockets.clone(), site.shards.assign().clone()));
    raw::shake_hands(&mut near, "/echo", b"").await;
    let (key, _) = site.joined().await;
    drop(near);
    let (left, how) = site.left().await;
    assert_eq!((left, how.end), (key, End::Lost));
}

#[tokio::test]
async fn a_close_of_ours_reaches_the_end_of_a_pipe() {
    let (mut site, sockets) = (Site::new(1), Sockets::default());
    let mut socket = connect(&site, &sockets).await;
    let (key, _) = site.joined().await;
    site.ask(move |_, lines| lines.close(key, CloseCode::new(4000), "go").unwrap()).await;
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, CloseCode::new(4000));
    assert!(matches!(site.left().await.1.end, End::Closed(it) if it.clean));
}
