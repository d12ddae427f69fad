//! How connections end: faults, losses, closures that fail.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use taiwa::{CloseCode, Error, Fault, Message, Upgrade};
use tokio::{io::AsyncWriteExt, sync::mpsc, task::coop, time::sleep};

use super::{bind, connect, frame, handshake, request, rest, run, soon};

#[tokio::test]
async fn messages_before_a_fault_are_delivered_and_the_peer_reads_the_close_code_before_the_end() {
    let (server, addr) = bind().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            loop {
                match socket.recv().await {
                    Ok(Some(message)) => tell.send(Ok(message)).unwrap(),
                    Ok(None) => return Ok(()),
                    Err(error) => tell.send(Err(error)).unwrap(),
                }
            }
            #[allow(unreachable_code)]
            Ok::<(), Error>(())
        }
    }));
    let cases: [(Vec<u8>, Fault, u16); 3] = [
        (frame(0x83, b""), Fault::ReservedOpcode, 1002),
        (vec![0x82, 0], Fault::Unmasked, 1002),
        (frame(0x81, &[0xff]), Fault::TextNotUtf8, 1007),
    ];
    for (bad, fault, code) in cases {
        let (mut tcp, head) = request(addr, &handshake("")).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // More follows than the server will look at: a careless close would reset the connection.
        let write = [frame(0x81, b"before"), bad, vec![0; 100_000]].concat();
        tcp.write_all(&write).await.unwrap();
        let read = rest_after_half_close(&mut tcp).await;
        assert_eq!(read, [&[0x88, 2][..], &u16::to_be_bytes(code)].concat());
        assert_eq!(soon(told.recv()).await.unwrap().unwrap(), Message::from("before"));
        let error = soon(told.recv()).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Fault(it) if it == fault), "{error}");
    }
}

async fn rest_after_half_close(tcp: &mut tokio::net::TcpStream) -> Vec<u8> {
    let read = rest(tcp).await;
    tcp.shutdown().await.unwrap();
    read
}

#[tokio::test]
async fn the_server_closes_what_a_closure_leaves_open() {
    let (server, addr) = bind().await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&errors);
    let serving = server.serve(|upgrade: Upgrade| async move {
        let path = upgrade.uri().path().to_owned();
        let mut socket = upgrade.accept().await.map_err(|it| it.to_string())?;
        match &path[..] {
            "/ok" => Ok(()),
            "/err" => Err("out of cheese".to_owned()),
            "/panic" => panic!("on purpose"),
            "/queued" => socket.try_send("first").map_err(|it| it.to_string()),
            "/dropped" => {
                drop(socket);
                std::future::pending().await
            }
            "/task" => {
                tokio::spawn(async move {
                    let _ = socket.recv().await;
                    panic!("in a task, on purpose");
                });
                Ok(())
            }
            _ => unreachable!(),
        }
    });
    run(serving.on_error(move |_, error| hear.lock().unwrap().push(error.to_string())));
    for (path, code) in [
        ("ok", CloseCode::NORMAL),
        ("err", CloseCode::INTERNAL_ERROR),
        ("panic", CloseCode::INTERNAL_ERROR),
        ("queued", CloseCode::NORMAL),
        ("dropped", CloseCode::NORMAL),
        ("task", CloseCode::INTERNAL_ERROR),
    ] {
        let mut socket = soon(taiwa::connect(&format!("ws://{addr}/{path}"))).await.unwrap();
        if path == "task" {
            socket.send("go").await.unwrap();
        }
        if path == "queued" {
            assert_eq!(soon(socket.recv()).await.unwrap(), Some("first".into()));
        }
        assert_eq!(soon(socket.recv()).await.unwrap(), None, "{path}");
        let closed = socket.closed().unwrap();
        assert_eq!((closed.code, closed.clean, &*closed.reason), (code, true, ""), "{path}");
    }
    assert_eq!(*errors.lock().unwrap(), ["out of cheese", "panicked: on purpose"]);
}

#[tokio::test]
async fn a_peer_that_vanishes_is_lost() {
    let (server, addr) = bind().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            tell.send(socket.recv().await).unwrap();
            Ok::<(), Error>(())
        }
    }));
    let (tcp, _) = request(addr, &handshake("")).await;
    drop(tcp);
    let error = soon(told.recv()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Lost) && error.is_retryable());
    assert_eq!(error.close_code(), Some(CloseCode::ABNORMAL));
}

#[tokio::test]
async fn a_client_that_is_dropped_says_that_it_goes_away() {
    let (server, addr) = bind().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            assert_eq!(socket.recv().await?, None);
            tell.send(socket.closed().unwrap().code).unwrap();
            Ok::<(), Error>(())
        }
    }));
    drop(connect(addr).await);
    assert_eq!(soon(told.recv()).await, Some(CloseCode::GOING_AWAY));
}

#[tokio::test]
async fn a_socket_that_another_task_drops_is_closed_though_its_closure_had_used_up_its_turn() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let socket = upgrade.accept().await?;
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
        tokio::spawn(async move {
            sleep(Duration::from_millis(50)).await;
            drop(socket);
        });
        pending::<()>().await;
        Ok::<_, Error>(())
    }));
    let mut socket = connect(addr).await;
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, CloseCode::NORMAL);
}
