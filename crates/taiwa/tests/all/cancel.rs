//! Opening handshakes over real sockets that are given up at every poll, by either end.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use taiwa::{Client, Error, Upgrade, WebSocket};
use tokio::{net::TcpListener, task::yield_now};

use super::{bind, echo_over, run, soon};

/// Polls so often, the runtime going on in between, and drops.
async fn polled<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(it) = polled {
            return Some(it);
        }
        // The kernel, too, has to get on.
        tokio::time::sleep(Duration::from_millis(1)).await;
        yield_now().await;
    }
    None
}

#[tokio::test]
async fn a_client_that_gives_up_at_any_poll_leaves_no_connection_behind() {
    let (server, addr) = bind().await;
    run(server.serve(super::echo));
    // Between client and server, to see each connection's end.
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", between.local_addr().unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = between.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(addr).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                tell.send(()).unwrap();
            });
        }
    });
    let client = Client::builder().build().unwrap();
    let (mut connections, mut polls) = (0, 0);
    let mut socket = loop {
        let opened = polled(polls, client.open(&url)).await;
        // Nothing happens before the first poll.
        connections += u32::from(polls > 0);
        match opened {
            Some(opened) => break opened.unwrap().0,
            None => polls += 1,
        }
        assert!(polls < 1000, "it never opens");
    };
    assert!(polls > 1, "opening waits");
    for _ in 1..connections {
        soon(told.recv()).await.expect("a connection's end");
    }
    soon(socket.send("still served")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("still served".into()));
    drop(socket);
    soon(told.recv()).await.expect("the last connection's end");
}

#[tokio::test]
async fn an_answer_given_up_at_any_poll_ends_its_connection_and_no_other() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let polls: u32 = upgrade.uri().path()[1..].parse().unwrap();
        match polled(polls, upgrade.accept()).await {
            Some(socket) => echo_over(socket?).await,
            None => Ok(()),
        }
    }));
    for polls in 0..1000 {
        let opened: Result<WebSocket, Error> =
            soon(taiwa::connect(&format!("ws://{addr}/{polls}"))).await;
        match (polls, opened) {
            (0, Err(Error::Refused(response))) => assert_eq!(response.status(), 500),
            // It may be open for a moment, and is then closed.
            (_, Ok(mut socket)) => {
                let sent = soon(socket.send("echo?")).await;
                match (sent, soon(socket.recv()).await) {
                    (Ok(()), Ok(Some(message))) => {
                        assert_eq!(message, "echo?".into());
                        assert!(polls > 1, "accepting waits");
                        return;
                    }
                    (_, Ok(None) | Err(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            (_, Err(Error::Io(_) | Error::Lost)) => {}
            (_, Err(error)) => panic!("{polls}: {error:?}"),
        }
    }
    panic!("never accepted");
}

#[tokio::test]
async fn a_refusal_that_is_never_polled_is_a_500_and_one_that_is_needs_one_poll() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let polls: u32 = upgrade.uri().path()[1..].parse().unwrap();
        let _ = polled(polls, upgrade.reject(403, "no")).await;
        Ok::<(), Error>(())
    }));
    for (polls, status) in [(0, 500), (1, 403)] {
        let opened = soon(taiwa::connect(&format!("ws://{addr}/{polls}"))).await;
        let Err(Error::Refused(response)) = opened else { panic!("{opened:?}") };
        assert_eq!(response.status(), status);
    }
}
