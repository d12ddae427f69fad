//! Streams of two peers over a pipe: order, credit, ends.

use std::{future::poll_fn, time::Duration};

use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::timeout,
};

use super::*;

const STREAM_WINDOW: u32 = 1000;

const WITHIN: Duration = Duration::from_secs(5);

type Raw = (SendStream<Bytes>, RecvStream);

/// Opens streams on one connection: each one's two ends, the client's first.
async fn raw_pairs(count: usize) -> Vec<(Raw, Raw)> {
    let (ours, theirs) = duplex(1 << 16);
    let mut client = ::h2::client::Builder::new();
    client.initial_window_size(STREAM_WINDOW).initial_connection_window_size(1 << 16);
    client.data_frame_budget(1 << 20);
    let (requests, connection) = client.handshake::<_, Bytes>(ours).await.unwrap();
    tokio::spawn(connection);
    let mut server = ::h2::server::Builder::new();
    server.initial_window_size(STREAM_WINDOW).initial_connection_window_size(1 << 16);
    server.data_frame_budget(1 << 20);
    let mut server = server.handshake::<_, Bytes>(theirs).await.unwrap();
    let mut out = Vec::new();
    for _ in 0..count {
        let mut requests = requests.clone().ready().await.unwrap();
        let request = Request::post("http://a.example/").body(()).unwrap();
        let (response, send) = requests.send_request(request, false).unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        let answered = respond.send_response(Response::new(()), false).unwrap();
        let theirs = (answered, request.into_body());
        let recv = async {
            tokio::select! {
                response = response => response.unwrap().into_body(),
                _ = server.accept() => unreachable!("there is no other request"),
            }
        };
        out.push(((send, recv.await), theirs));
    }
    tokio::spawn(async move { while server.accept().await.is_some() {} });
    out
}

fn stream((send, recv): Raw) -> SocketStream {
    let (stream, pump) = super::pair(recv, send);
    tokio::spawn(pump.run(Some(WITHIN)));
    stream.ended_when_dropped()
}

async fn pairs(count: usize) -> Vec<(SocketStream, SocketStream)> {
    let raw = raw_pairs(count).await.into_iter();
    raw.map(|(client, server)| (stream(client), stream(server))).collect()
}

async fn pair() -> (SocketStream, SocketStream) {
    pairs(1).await.pop().unwrap()
}

async fn raw_pair() -> (Raw, Raw) {
    raw_pairs(1).await.pop().unwrap()
}

/// Writes for as long as there is room; returns how much was taken.
async fn fill(stream: &mut SocketStream) -> usize {
    let mut taken = 0;
    while let Ok(n) = timeout(Duration::from_millis(200), stream.write(&[7; 300])).await {
        taken += n.unwrap();
    }
    taken
}

#[tokio::test]
async fn bytes_arrive_in_order_in_both_directions() {
    let (mut client, mut server) = pair().await;
    let sent: Vec<u8> = (0..100_000_u32).map(|it| it as u8).collect();
    let mut got = vec![0; sent.len()];
    let (write, read) = tokio::join!(client.write_all(&sent), server.read_exact(&mut got));
    write.unwrap();
    read.unwrap();
    assert_eq!(got, sent);
    let mut got = vec![0; sent.len()];
    let (write, read) = tokio::join!(server.write_all(&sent), client.read_exact(&mut got));
    write.unwrap();
    read.unwrap();
    assert_eq!(got, sent);
}

#[tokio::test]
async fn slices_become_one_frame() {
    let (client, (_send, mut recv)) = raw_pair().await;
    let mut client = stream(client);
    let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
    let n = poll_fn(|cx| Pin::new(&mut client).poll_write_vectored(cx, &slices)).await.unwrap();
    assert_eq!(n, 5);
    assert_eq!(recv.data().await.unwrap().unwrap(), "abcde");
}

#[tokio::test]
async fn who_is_not_read_is_held_back_at_the_stream_s_window_and_goes_on_when_read() {
    let (mut client, mut server) = pair().await;
    assert_eq!(fill(&mut client).await, STREAM_WINDOW as usize);
    let mut got = [0; STREAM_WINDOW as usize];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(fill(&mut client).await, STREAM_WINDOW as usize);
}

#[tokio::test]
async fn streams_that_nobody_reads_hold_back_no_other() {
    let mut pairs = pairs(20).await;
    let (mut client, mut server) = pairs.pop().unwrap();
    for (paused, _) in &mut pairs {
        let taken = timeout(Duration::from_secs(5), paused.write_all(&[7; 1000])).await;
        taken.expect("there is room").unwrap();
    }
    let sent = vec![7; 200_000];
    let mut got = vec![0; sent.len()];
    let both = async { tokio::join!(client.write_all(&sent), server.read_exact(&mut got)) };
    let (write, read) = timeout(Duration::from_secs(10), both).await.expect("it flows");
    write.unwrap();
    read.unwrap();
}

#[tokio::test]
async fn shutting_down_is_the_end_of_the_stream_and_of_one_direction_alone() {
    let (mut client, mut server) = pair().await;
    client.write_all(b"last").await.unwrap();
    client.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    got.clear();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"answer");
}

#[tokio::test]
async fn a_dropped_stream_ends_behind_what_was_written() {
    let (mut client, mut server) = pair().await;
    client.write_all(b"last").await.unwrap();
    drop(client);
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_whose_peer_does_not_end_is_reset_later() {
    let (client, mut server) = pair().await;
    drop(client);
    assert_eq!(fill(&mut server).await, STREAM_WINDOW as usize, "it gets no more credit");
    tokio::time::sleep(WITHIN).await;
    let error = server.write_all(b"more").await.unwrap_err();
    let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

#[tokio::test]
async fn a_reset_of_the_peer_is_an_error_behind_what_came_before_it() {
    let (mut client, mut server) = pair().await;
    client.write_all(b"last").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'l');
    client.send.send_reset(Reason::CANCEL);
    let mut got = Vec::new();
    let error = server.read_to_end(&mut got).await.unwrap_err();
    assert_eq!((&got[..], error.kind()), (&b"ast"[..], io::ErrorKind::ConnectionReset));
    let error = server.write_all(b"answer").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_without_error_is_the_end() {
    let (mut client, mut server) = pair().await;
    server.send.send_reset(Reason::NO_ERROR);
    assert_eq!(client.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_dropped_stream_that_is_not_to_be_ended_is_reset() {
    let ((send, recv), server) = raw_pair().await;
    let (client, _pump) = super::pair(recv, send);
    drop(client);
    let error = stream(server).read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn small_frames_that_nobody_reads_cost_their_bytes_alone() {
    let (mut client, mut server) = pair().await;
    for index in 0..STREAM_WINDOW {
        client.write_all(&[index as u8]).await.unwrap();
    }
    let mut got = [0; STREAM_WINDOW as usize];
    let taken = async {
        while lock(&server.inlet).waiting.len() < got.len() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), taken).await.expect("they are taken off");
    server.read_exact(&mut got).await.unwrap();
    assert!(got.iter().enumerate().all(|(index, it)| *it == index as u8));
}
