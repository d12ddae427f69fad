//! Every row of the table, in both roles: without I/O, and through the real server and client.

use std::time::Duration;

use http::{HeaderValue, header::SEC_WEBSOCKET_EXTENSIONS};
use taiwa::{Error, Http3, Message, Server, WebSocket};
use taiwa_conformance::{
    Ends, Sender,
    ends::KEEPS_WINDOWS,
    frames::frames,
    h2::{Http2, flag::END_STREAM, frame, kind},
    http3,
    raw::{RawClient, RawServer},
    violations::{MESSAGE_BYTES_MAX, Violation, config, table},
};
use taiwa_proto::{CloseCode, End, Role, Side};
use tokio::sync::mpsc;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(2);

fn good() -> [Message; 3] {
    ["first".into(), vec![0xff; 300].into(), "対話 in two fragments".into()]
}

/// Good messages, the violation, and more good messages which nobody must see.
fn wire(row: &Violation, peer: Sender) -> Vec<u8> {
    let fragmented = "対話 in two fragments".as_bytes();
    let mut wire = peer.frame(0x81, b"first");
    wire.extend(peer.frame(0x82, &[0xff; 300]));
    wire.extend(peer.frame(1, &fragmented[..4]));
    wire.extend(peer.frame(0x80, &fragmented[4..]));
    wire.extend((row.wire)(peer));
    wire
}

fn after(peer: Sender) -> Vec<u8> {
    [peer.frame(0x81, b"after"), peer.frame(0x89, b"ping"), peer.close(1000, b"")].concat()
}

/// Pongs for the violation's own Pings, then one Close frame with `code`, then nothing.
#[track_caller]
fn ends_with_close(from: Role, written: &[u8], code: u16, what: &str) {
    let mut frames = frames(from, written);
    let close = frames.pop().unwrap_or_else(|| panic!("{what}: no Close frame"));
    assert_eq!(close, (0x88, code.to_be_bytes().to_vec()), "{what}");
    assert!(frames.iter().all(|it| it.0 == 0x8a), "{what}: {frames:x?}");
}

/// Both roles that can meet the violation.
fn roles(row: &Violation) -> impl Iterator<Item = Role> {
    let only = row.only;
    [Role::Client, Role::Server].into_iter().filter(move |ours| only != Some(*ours))
}

#[test]
fn each_violation_is_answered_with_its_code_after_the_messages_before_it() {
    let rows = table();
    assert!(80 < rows.len());
    for row in &rows {
        for role in roles(row) {
            for piece_len in [1, 3, usize::MAX] {
                let what = format!("{} ({}), {role:?} by {piece_len}", row.what, row.clause);
                let mut ends = Ends::new(role, config(), row.deflate.then_some(KEEPS_WINDOWS));
                ends.receive_by(&wire(row, ends.peer), piece_len);
                ends.receive_by(&after(ends.peer), piece_len);
                assert_eq!(ends.messages, good(), "{what}");
                ends_with_close(role, &ends.written(), row.code, &what);
                assert_eq!(ends.end(), End::Fault(row.fault), "{what}");
                ends.receive(&after(ends.peer));
                assert_eq!((ends.messages.len(), ends.written().len()), (3, 0), "{what}");
            }
        }
    }
}

/// Receives until the end, as the documentation has it.
async fn receive(socket: &mut WebSocket) -> (Vec<Message>, Option<Error>) {
    let mut messages = vec![];
    loop {
        match socket.recv().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

#[track_caller]
fn delivered(what: &str, row: &Violation, (messages, error): (Vec<Message>, Option<Error>)) {
    assert_eq!(messages, good(), "{what}");
    match error {
        Some(Error::Fault(fault)) => assert_eq!(fault, row.fault, "{what}"),
        it => panic!("{what}: {it:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_each_violation_on_the_wire_and_tells_it() {
    let (send, mut seen) = mpsc::channel(1);
    let server = Server::bind("127.0.0.1:0").await.unwrap().config(config());
    let addr = server.local_addr().unwrap();
    let serving = server.serve(move |upgrade| {
        let send = send.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            let received = receive(&mut socket).await;
            let closed = socket.closed().cloned();
            send.send((received, closed)).await.unwrap();
            Ok::<(), Error>(())
        }
    });
    let serving = tokio::spawn(serving.into_future());
    for row in table().iter().filter(|it| roles(it).any(|it| it == Role::Server)) {
        let what = format!("{} ({})", row.what, row.clause);
        let mut peer = RawClient::connect(addr, "/", row.deflate);
        let sender = Sender(Role::Client);
        peer.write(&[wire(row, sender), after(sender)].concat());
        let written = peer.read_to_end(WITHIN).unwrap_or_else(|it| panic!("{what}: {it}"));
        ends_with_close(Role::Server, &written, row.code, &what);
        // The server reads on until the end, so that no reset overtakes its Close frame.
        drop(peer);
        let (received, closed) = timeout(seen.recv()).await.expect("the closure tells");
        delivered(&what, row, received);
        let closed = closed.expect("it is over");
        assert_eq!(
            (closed.code.get(), closed.clean, closed.by),
            (row.code, false, Side::Us),
            "{what}"
        );
    }
    serving.abort();
}

/// The same on streams of one connection (RFC 8441): a violation ends its own stream alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_each_violation_on_a_stream_and_the_connection_goes_on() {
    let server = Server::bind("127.0.0.1:0").await.unwrap().config(config());
    let addr = server.local_addr().unwrap();
    let (send, mut seen) = mpsc::channel(1);
    let serving = server.serve(move |upgrade| {
        let send = send.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            let received = receive(&mut socket).await;
            send.send((received, socket.closed().cloned())).await.unwrap();
            Ok::<(), Error>(())
        }
    });
    let serving = tokio::spawn(serving.into_future());
    let mut peer = Http2::connect(addr);
    let mut stream = 1;
    for row in table().iter().filter(|it| roles(it).any(|it| it == Role::Server)) {
        let what = format!("{} ({})", row.what, row.clause);
        peer.open_with(stream, row.deflate);
        let sender = Sender(Role::Client);
        for part in [wire(row, sender), after(sender)].concat().chunks(16 << 10) {
            peer.write(&frame(kind::DATA, 0, stream, part));
        }
        let mut written = Vec::new();
        while let more @ [_, ..] = &peer.data(stream)[..] {
            written.extend_from_slice(more);
        }
        ends_with_close(Role::Server, &written, row.code, &what);
        peer.write(&frame(kind::DATA, END_STREAM, stream, b""));
        let (received, closed) = timeout(seen.recv()).await.expect("the closure tells");
        delivered(&what, row, received);
        let closed = closed.expect("it is over");
        assert_eq!((closed.code.get(), closed.by), (row.code, Side::Us), "{what}");
        stream += 2;
    }
    assert!(peer.is_alive());
    serving.abort();
}

/// The same over HTTP/3 (RFC 9220).
#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_on_streams_of_http_3() {
    let certificate = http3::Certificate::default();
    let (chain, key) = certificate.pem();
    let server = Server::bind("127.0.0.1:0").await.unwrap().config(config());
    let addr = server.local_addr().unwrap();
    let server = server.tls(chain.as_bytes(), key.as_bytes()).unwrap().http3(Http3::default());
    let (send, mut seen) = mpsc::channel(1);
    let serving = server.serve(move |upgrade| {
        let send = send.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            let received = receive(&mut socket).await;
            send.send((received, socket.closed().cloned())).await.unwrap();
            Ok::<(), Error>(())
        }
    });
    let serving = tokio::spawn(serving.into_future());
    let client = http3::RawQuic::connect(addr, &certificate).await;
    for row in table().iter().filter(|it| roles(it).any(|it| it == Role::Server)) {
        let what = format!("{} ({})", row.what, row.clause);
        let mut request = http3::websocket("/");
        if row.deflate {
            let offer = HeaderValue::from_static("permessage-deflate");
            request.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, offer);
        }
        let mut stream = client.bidi(&http3::head(&request)).await;
        let sender = Sender(Role::Client);
        for part in [wire(row, sender), after(sender)].concat().chunks(1 << 10) {
            stream.send.write_all(&http3::frame(0, part)).await.expect("open");
        }
        assert_eq!(stream.outcome().await, http3::Outcome::Answers(200), "{what}");
        let written = stream.content().await.unwrap_or_else(|it| panic!("{what}: {it:?}"));
        ends_with_close(Role::Server, &written, row.code, &what);
        // The server may have stopped it by now.
        let _ = stream.send.finish();
        let (received, closed) = timeout(seen.recv()).await.expect("the closure tells");
        delivered(&what, row, received);
        let closed = closed.expect("it is over");
        assert_eq!((closed.code.get(), closed.by), (row.code, Side::Us), "{what}");
    }
    assert_eq!(client.quic.close_reason(), None);
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_reaches_a_peer_that_goes_on_sending() {
    // A socket that is closed with bytes unread resets the connection, and the reset overtakes what was
    // written last.
    let server = Server::bind("127.0.0.1:0").await.unwrap().config(config());
    let addr = server.local_addr().unwrap();
    let serving = server.serve(|upgrade| async move {
        let mut socket = upgrade.accept().await?;
        receive(&mut socket).await;
        Ok::<(), Error>(())
    });
    let serving = tokio::spawn(serving.into_future());
    let mut peer = RawClient::connect(addr, "/", false);
    let sender = Sender(Role::Client);
    let flood = sender.frame(0x82, &[0; MESSAGE_BYTES_MAX]).repeat(4000);
    let wire = [sender.frame(0x83, b""), flood].concat();
    assert_eq!(peer.write_until_stalled(&wire, WITHIN), wire.len(), "what follows is thrown away");
    let written = peer.read_to_end(WITHIN).expect("no reset");
    ends_with_close(Role::Server, &written, 1002, "flood");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_answers_each_violation_on_the_wire_and_tells_it() {
    let server = RawServer::bind();
    let client = taiwa::Client::builder().config(config()).build().unwrap();
    for row in table().iter().filter(|it| roles(it).any(|it| it == Role::Client)) {
        let what = format!("{} ({})", row.what, row.clause);
        let url = format!("ws://{}/", server.addr());
        let connecting = tokio::spawn({
            let client = client.clone();
            async move {
                let mut socket = client.connect(&url).await.unwrap();
                receive(&mut socket).await
            }
        });
        let mut peer = server.accept(row.deflate);
        let sender = Sender(Role::Server);
        peer.write(&[wire(row, sender), after(sender)].concat());
        let written = peer.read_to_end(WITHIN).unwrap_or_else(|it| panic!("{what}: {it}"));
        ends_with_close(Role::Client, &written, row.code, &what);
        drop(peer);
        delivered(&what, row, timeout(connecting).await.unwrap());
    }
}

async fn timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WITHIN, future).await.expect("in time")
}

/// A server whose closure does `what`, and what a client then reads.
async fn closed_by(what: fn(&str) -> Result<(), String>) -> Vec<u8> {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    let serving = tokio::spawn(
        server
            .serve(move |upgrade| async move {
                let path = upgrade.uri().path().to_owned();
                let mut socket = upgrade.accept().await.map_err(|it| it.to_string())?;
                let _ = socket.recv().await;
                what(&path)
            })
            .into_future(),
    );
    let mut peer = RawClient::connect(addr, "/", false);
    peer.write(&Sender(Role::Client).frame(0x81, b"go"));
    let written = peer.read_frames(1, WITHIN);
    peer.write(&Sender(Role::Client).close(1011, b""));
    assert_eq!(peer.read_to_end(WITHIN).unwrap(), b"", "nothing follows");
    serving.abort();
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_that_fails_or_panics_closes_with_1011_and_tells_nothing_of_the_inside() {
    // §7.4.1: "1011 indicates that a server is terminating the connection because it encountered an
    // unexpected condition".
    let failed = closed_by(|_| Err("the password is 1234".to_owned())).await;
    assert_eq!(failed, [0x88, 2, 3, 243]);
    let panicked = closed_by(|_| panic!("expected by the test")).await;
    assert_eq!(panicked, [0x88, 2, 3, 243]);
}

#[test]
fn a_client_that_misses_an_extension_may_close_with_1010() {
    // §7.4.1: "1010 indicates that an endpoint (client) is terminating the connection because it has
    // expected the server to negotiate one or more extension".
    let mut client = Ends::new(Role::Client, config(), None);
    let code = CloseCode::MANDATORY_EXTENSION;
    client.conn.close(code, "permessage-deflate", client.now, &mut client.pool).unwrap();
    let frames = frames(Role::Client, &client.written());
    assert_eq!(frames, [(0x88, b"\x03\xf2permessage-deflate".to_vec())]);
}
