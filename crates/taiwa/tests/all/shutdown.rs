//! The end of a server: every socket hears 1001.

use std::{sync::Arc, time::Duration};

use taiwa::{CloseCode, Deadlines, Error, Upgrade};
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc, oneshot},
    time::sleep,
};

use super::{bind, connect, echo, run, soon};

#[tokio::test]
async fn sockets_in_and_out_of_recv_are_closed_with_1001_and_awaited() {
    let (server, addr) = bind().await;
    let close = Some(Duration::from_millis(300));
    let server = server.deadlines(Deadlines { close, ..Deadlines::default() });
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, mut told) = mpsc::unbounded_channel();
    let serving = server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let path = upgrade.uri().path().to_owned();
            let mut socket = upgrade.accept().await?;
            match &path[..] {
                "/recv" => assert_eq!(socket.recv().await?, None),
                "/away" => sleep(Duration::from_secs(1000)).await,
                "/task" => {
                    let tell = tell.clone();
                    tokio::spawn(async move {
                        assert_eq!(socket.recv().await.unwrap(), None);
                        tell.send("/task in its task".to_owned()).unwrap();
                    });
                }
                _ => unreachable!(),
            }
            tell.send(path).unwrap();
            Ok::<(), Error>(())
        }
    });
    let serving = run(serving.with_shutdown(async { stopped.await.unwrap() }));
    let mut clients = Vec::new();
    for path in ["recv", "away", "task", "recv"] {
        let socket = soon(taiwa::connect(&format!("ws://{addr}/{path}"))).await.unwrap();
        clients.push(tokio::spawn(async move {
            let mut socket = socket;
            assert_eq!(socket.recv().await.unwrap(), None);
            socket.closed().unwrap().clone()
        }));
    }
    assert_eq!(soon(told.recv()).await.as_deref(), Some("/task"));
    stop.send(()).unwrap();
    soon(serving).await.unwrap().unwrap();
    for client in clients {
        let closed = soon(client).await.unwrap();
        assert_eq!((closed.code, closed.clean), (CloseCode::GOING_AWAY, true));
    }
    let mut returned = Vec::new();
    while let Ok(path) = told.try_recv() {
        returned.push(path);
    }
    returned.sort();
    // The one that slept never came back: it was dropped.
    assert_eq!(returned, ["/recv", "/recv", "/task in its task"]);
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn connections_that_are_no_websockets_do_not_hold_the_server() {
    let (server, addr) = bind().await;
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let serving = run(server.serve(echo).with_shutdown(async move { stopped.notified().await }));
    let _silent = TcpStream::connect(addr).await.unwrap();
    let (_kept, head) = super::request(addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    let mut open = connect(addr).await;
    stop.notify_one();
    let (serving, received) = tokio::join!(soon(serving), soon(open.recv()));
    serving.unwrap().unwrap();
    assert_eq!(received.unwrap(), None);
}

#[tokio::test]
async fn a_closure_that_has_not_decided_when_the_server_stops_refuses_with_503() {
    let (server, addr) = bind().await;
    let close = Some(Duration::from_millis(100));
    let server = server.deadlines(Deadlines { close, ..Deadlines::default() });
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let serving = server.serve(move |upgrade: Upgrade| {
        asked.send(()).unwrap();
        async move {
            sleep(Duration::from_secs(1000)).await;
            upgrade.accept().await.map(drop)
        }
    });
    let serving = run(serving.with_shutdown(async move { was_asked.recv().await.unwrap() }));
    let opened = soon(taiwa::connect(&format!("ws://{addr}/"))).await;
    let Err(Error::Refused(response)) = opened else { panic!("{opened:?}") };
    assert_eq!(response.status(), 503);
    soon(serving).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_socket_misses_the_end_on_several_threads() {
    for _ in 0..20 {
        let (server, addr) = bind().await;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let serving =
            run(server.serve(echo).with_shutdown(async move { stopped.notified().await }));
        let (served, mut was_served) = mpsc::unbounded_channel();
        let clients: Vec<_> = (0..30)
            .map(|_| {
                let mut served = Some(served.clone());
                tokio::spawn(async move {
                    let mut socket = connect(addr).await;
                    loop {
                        // A send meets the closing handshake sooner or later.
                        let _ = socket.send("x").await;
                        match socket.recv().await.unwrap() {
                            Some(message) => assert_eq!(message, "x".into()),
                            None => return socket.closed().unwrap().code,
                        }
                        if let Some(served) = served.take() {
                            served.send(()).unwrap();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..30 {
            soon(was_served.recv()).await.unwrap();
        }
        stop.notify_one();
        soon(serving).await.unwrap().unwrap();
        for client in clients {
            assert_eq!(soon(client).await.unwrap(), CloseCode::GOING_AWAY);
        }
    }
}
