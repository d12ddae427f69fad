//! Ordinary requests over HTTP/2.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use taiwa::{Deadlines, LocalAddr, RequestBody};
use tokio::{sync::mpsc, time::timeout};

use super::{
    super::{bind, echo, run, soon},
    Client, body, get,
};

fn full(text: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::from(text.into()).boxed()
}

async fn answer(request: Request<RequestBody>) -> Response<BoxBody<Bytes, Infallible>> {
    let extensions = request.extensions();
    assert!(extensions.get::<SocketAddr>().unwrap().ip().is_loopback());
    assert!(extensions.get::<LocalAddr>().is_some());
    let (head, body) = request.into_parts();
    if let Some(length) = head.headers.get("content-length") {
        let exact = http_body::Body::size_hint(&body).exact();
        assert_eq!(exact.map(|it| it.to_string()).as_deref(), length.to_str().ok());
    }
    let body = match body.collect(1 << 20).await {
        Ok(body) => body.len(),
        Err(error) => return Response::new(full(error.to_string())),
    };
    let host = head.headers["host"].to_str().unwrap();
    let text = format!("{} {} at {host}: {body}", head.method, head.uri.path());
    let mut response = Response::new(full(text));
    for (name, value) in [("keep-alive", "5"), ("upgrade", "websocket"), ("connection", "upgrade")]
    {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

#[tokio::test]
async fn they_reach_the_closure_of_http_1_and_so_do_their_bodies() {
    let (server, addr) = bind().await;
    run(server.http(answer).serve(echo));
    let client = Client::connect(addr).await;
    let response = client.request(get("/page"), None).await;
    let headers = response.headers().clone();
    assert_eq!(body(response).await.unwrap(), "GET /page at 127.0.0.1: 0");
    assert_eq!(headers["content-length"], "25");
    assert!(headers.contains_key("date"));
    for name in ["connection", "keep-alive", "upgrade"] {
        assert!(!headers.contains_key(name), "{name} is of a connection of HTTP/1.1");
    }

    // Longer than all windows: what is read gives credit again.
    let long = vec![b'x'; 1 << 20];
    let post = || Request::post("http://a.example/up").body(()).unwrap();
    let mut told = post();
    told.headers_mut().insert("content-length", long.len().into());
    let response = client.request(told, Some(&long)).await;
    assert_eq!(body(response).await.unwrap(), "POST /up at a.example: 1048576");
    let response = client.request(post(), Some(&[b'x'; (1 << 20) + 1])).await;
    assert!(body(response).await.unwrap().contains("length limit"));

    let head = Request::head("http://127.0.0.1/page").body(()).unwrap();
    let response = client.request(head, None).await;
    assert_eq!(response.headers()["content-length"], "26");
    assert_eq!(body(response).await.unwrap(), "");
}

type Part = Result<Frame<Bytes>, &'static str>;

/// Serves a body that the test writes.
async fn written_by_the_test() -> (SocketAddr, mpsc::UnboundedReceiver<mpsc::Sender<Part>>) {
    let (server, addr) = bind().await;
    let (tell, told) = mpsc::unbounded_channel();
    let write = Some(Duration::from_millis(400));
    let server = server.deadlines(Deadlines { write, ..Deadlines::default() });
    let serving = server.http(move |_: Request<RequestBody>| {
        let (send, mut parts) = mpsc::channel::<Part>(1);
        tell.send(send).unwrap();
        let parts = futures_util::stream::poll_fn(move |cx| parts.poll_recv(cx));
        async move { Response::new(StreamBody::new(parts)) }
    });
    run(serving.serve(echo));
    (addr, told)
}

fn data(bytes: impl Into<Bytes>) -> Part {
    Ok(Frame::data(bytes.into()))
}

#[tokio::test]
async fn a_body_streams_while_it_is_made_and_may_end_with_trailers() {
    let (addr, mut told) = written_by_the_test().await;
    let client = Client::connect(addr).await;
    let mut stream = client.request(get("/events"), None).await.into_body();
    let write = told.recv().await.unwrap();
    for text in ["one", "two"] {
        write.send(data(text)).await.unwrap();
        assert_eq!(soon(stream.data()).await.unwrap().unwrap(), text);
    }
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "6".parse().unwrap())]);
    write.send(Ok(Frame::trailers(trailers))).await.unwrap();
    assert!(soon(stream.data()).await.is_none());
    assert_eq!(soon(stream.trailers()).await.unwrap().unwrap()["x-sum"], "6");
}

#[tokio::test]
async fn a_body_that_fails_resets_its_stream_and_one_that_nobody_wants_is_dropped() {
    let (addr, mut told) = written_by_the_test().await;
    let client = Client::connect(addr).await;
    let failing = client.request(get("/"), None).await;
    told.recv().await.unwrap().send(Err("it broke")).await.unwrap();
    let error = body(failing).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));

    let unwanted = client.request(get("/"), None).await;
    let write = told.recv().await.unwrap();
    drop(unwanted);
    soon(write.closed()).await;
}

#[tokio::test]
async fn a_client_without_credit_holds_up_its_own_answer_and_not_for_ever() {
    let (addr, mut told) = written_by_the_test().await;
    let mut builder = h2::client::Builder::new();
    // RFC 9113 §6.9.2 lets a window begin with nothing.
    let client = Client::built(addr, builder.initial_window_size(0)).await;
    let stuck = client.request(get("/"), None).await;
    let write = told.recv().await.unwrap();
    write.send(data("never")).await.unwrap();
    let mut other = client.request(get("/"), None).await.into_body();
    let write_other = told.recv().await.unwrap();
    drop(write_other);
    let last = soon(other.data()).await.transpose().unwrap();
    assert!(last.is_none_or(|it| it.is_empty()), "an end needs no credit");
    let error = body(stuck).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    soon(write.closed()).await;
}

#[tokio::test]
async fn a_body_waits_for_who_reads_it() {
    let (addr, mut told) = written_by_the_test().await;
    let client = Client::connect(addr).await;
    let mut stream = client.request(get("/"), None).await.into_body();
    let write = told.recv().await.unwrap();
    let mut written = 0;
    while timeout(Duration::from_millis(200), write.send(data(vec![0; 10_000]))).await.is_ok() {
        written += 10_000;
    }
    // The client's window, ours of 64 KiB, and what is between.
    assert!((60_000..200_000).contains(&written), "{written}");
    let first = soon(stream.data()).await.unwrap().unwrap();
    assert!(!first.is_empty());
}

#[tokio::test]
async fn an_answer_that_closes_its_connection_ends_it_behind_all_streams() {
    let (server, addr) = bind().await;
    let serving = server.http(|_: Request<RequestBody>| async move {
        let mut response = Response::new(full("bye"));
        response.headers_mut().insert("connection", "close".parse().unwrap());
        response
    });
    run(serving.serve(echo));
    let client = Client::connect(addr).await;
    let mut socket = client.open("/").await;
    let response = client.request(get("/"), None).await;
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(body(response).await.unwrap(), "bye");
    soon(async {
        while client.send.clone().ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    socket.echoes("still open").await;
    drop(socket);
    soon(client.ending).await.unwrap().expect("GOAWAY with NO_ERROR");
}

#[tokio::test]
async fn cookies_in_pieces_reach_closures_in_one_field() {
    let (server, addr) = bind().await;
    let seen = |headers: &HeaderMap| {
        let cookies: Vec<_> = headers.get_all("cookie").iter().collect();
        format!("{cookies:?} {:?}", headers.get("host"))
    };
    let server = server.http(move |request: Request<RequestBody>| {
        let response = Response::new(full(seen(request.headers())));
        async move { response }
    });
    run(server.serve(move |upgrade: taiwa::Upgrade| async move {
        let seen = seen(upgrade.headers());
        upgrade.reject(403, seen).await
    }));
    let client = Client::connect(addr).await;
    let with_crumbs = |mut request: Request<()>| {
        for crumb in ["a=1", "b=2"] {
            request.headers_mut().append("cookie", crumb.parse().unwrap());
        }
        request
    };
    let expected = "[\"a=1; b=2\"] Some(\"127.0.0.1\")";
    let answer = client.request(with_crumbs(get("/")), None).await;
    assert_eq!(body(answer).await.unwrap(), expected);
    let refused = client.ask(with_crumbs(super::connect("/"))).await.err().unwrap();
    assert_eq!(body(refused).await.unwrap(), expected);
}
