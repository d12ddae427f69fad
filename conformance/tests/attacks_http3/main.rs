//! Attacks over HTTP/3 on what a server has to keep and to compute: what the attacker gets, and that everybody else is still
//! served.

mod memory;
mod sessions;
mod waits;

use std::time::Duration;

use quinn::{SendStream, TransportConfig};
use taiwa::Http3;
use taiwa_conformance::http3::{
    LONG, Outcome, RawQuic, Server, Stream, control, frame, get, head, headers, websocket,
};
use taiwa_h3::error::Code;
use taiwa_proto::{Config, Deadlines};
use tokio::time::{Instant, sleep, timeout};

const SOON: Duration = Duration::from_secs(8);

/// A server that gives nobody more than a second.
async fn hasty() -> Server {
    let second = Some(Duration::from_secs(1));
    let deadlines = Deadlines { handshake: second, write: second, ..Deadlines::default() };
    Server::of_taiwa(Http3::default(), Config { deadlines, ..Config::default() }).await
}

async fn attacker(server: &Server) -> RawQuic {
    RawQuic::connect(server.addr(), server.certificate()).await
}

/// Somebody else is served, and soon.
async fn others_are_served(server: &Server) {
    let start = Instant::now();
    attacker(server).await.is_served().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Does `act` with new streams until the connection is closed; returns how many there were, and the code.
async fn flood(client: &RawQuic, act: impl Fn(&mut Stream)) -> Option<(usize, Code)> {
    let flooding = async {
        for count in 1.. {
            let Ok((send, recv)) = client.quic.open_bi().await else { return count };
            let mut stream = Stream::new(send, recv);
            if stream.send.write_all(&head(&websocket("/"))).await.is_err() {
                return count;
            }
            act(&mut stream);
            // Lets the others of this thread, of which the server is one, do something.
            tokio::task::yield_now().await;
        }
        unreachable!("it counts for ever")
    };
    let count = timeout(SOON, flooding).await.ok()?;
    Some((count, client.closed().await))
}

#[tokio::test]
async fn who_opens_and_resets_requests_rapidly_is_closed() {
    let server = Server::of_taiwa(Http3::default(), Config::default()).await;
    // RFC 9114 §4.1.1 lets a client cancel with H3_REQUEST_CANCELLED; an attacker has any code.
    for code in [Code::REQUEST_CANCELLED, Code::NO_ERROR, Code::MESSAGE_ERROR] {
        let client = attacker(&server).await;
        let give_up = |stream: &mut Stream| {
            let code = quinn::VarInt::from_u64(code.get()).expect("below 2^62");
            let _ = stream.send.reset(code);
            let _ = stream.recv.stop(code);
        };
        let (count, closed) =
            flood(&client, give_up).await.unwrap_or_else(|| panic!("never ends with {code}"));
        assert_eq!(closed, Code::EXCESSIVE_LOAD, "with {code}");
        assert!(count < 20_000, "{count} streams with {code}");
        others_are_served(&server).await;
    }
}

#[tokio::test]
async fn heads_that_never_end_are_given_up_in_time() {
    let server = hasty().await;
    let client = attacker(&server).await;
    let whole = head(&get());
    let mut streams = vec![];
    for at in 0..256 {
        streams.push(client.bidi(&whole[..1 + at % (whole.len() - 1)]).await);
    }
    // No more than that are allowed, so another one has to wait.
    assert!(timeout(Duration::from_millis(200), client.quic.open_bi()).await.is_err());
    others_are_served(&server).await;
    for (at, stream) in streams.iter_mut().enumerate() {
        let outcome =
            timeout(SOON, stream.outcome()).await.unwrap_or_else(|_| panic!("stream {at}"));
        assert_eq!(outcome, Outcome::Resets(Code::REQUEST_REJECTED), "{at}");
    }
    drop(streams);
    client.is_served().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_are_held_back_and_given_up_in_time() {
    let server = hasty().await;
    let mut transport = TransportConfig::default();
    // Room for a head, and for nearly nothing of 4 MiB.
    transport.stream_receive_window(1024_u32.into()).receive_window((64_u32 << 10).into());
    let (addr, certificate) = (server.addr(), server.certificate());
    let client = RawQuic::knock_with(addr, certificate, transport).await;
    let _control = client.uni(&control()).await;
    let request = http::Request::get("https://localhost/long").body(()).expect("right");
    let mut streams = vec![];
    for _ in 0..64 {
        let mut stream = client.bidi(&head(&request)).await;
        stream.send.finish().expect("open");
        streams.push(stream);
    }
    sleep(Duration::from_millis(500)).await;
    others_are_served(&server).await;
    sleep(Duration::from_millis(1500)).await;
    for stream in &mut streams {
        // What QUIC had taken by then is lost with the reset.
        let given_up = Outcome::Resets(Code::REQUEST_CANCELLED);
        assert_eq!(stream.outcome().await, given_up, "and not {LONG} bytes later");
    }
}

#[tokio::test]
async fn windows_of_nothing_hold_back_their_owner_alone() {
    let server = hasty().await;
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(0_u32.into()).receive_window(0_u32.into());
    transport.max_concurrent_uni_streams(0_u32.into());
    let (addr, certificate) = (server.addr(), server.certificate());
    let client = RawQuic::knock_with(addr, certificate, transport).await;
    let _control = client.uni(&control()).await;
    let mut streams = vec![];
    for _ in 0..64 {
        streams.push(client.bidi(&head(&websocket("/"))).await);
    }
    sleep(Duration::from_millis(500)).await;
    others_are_served(&server).await;
}

#[tokio::test]
async fn streams_of_unknown_types_are_tolerated_and_resets_of_them_counted() {
    let server = Server::of_taiwa(Http3::default(), Config::default()).await;
    let client = attacker(&server).await;
    let open = async |client: &RawQuic| {
        let opened = timeout(SOON, client.quic.open_uni()).await.expect("in time");
        let mut stream = opened.ok()?;
        stream.write_all(&[0x21, 7]).await.ok().map(|()| stream)
    };
    for _ in 0..2_000 {
        let mut stream = open(&client).await.expect("they are tolerated");
        let _ = stream.finish();
    }
    client.is_served().await;
    let resetting = async {
        while let Some(mut stream) = open(&client).await {
            let _ = stream.reset(0_u32.into());
        }
    };
    timeout(SOON, resetting).await.expect("the server puts an end to it");
    assert_eq!(client.closed().await, Code::EXCESSIVE_LOAD);
    others_are_served(&server).await;
}

#[tokio::test]
async fn streams_without_a_type_are_no_more_than_allowed() {
    let server = Server::of_taiwa(Http3::default(), Config::default()).await;
    let client = attacker(&server).await;
    let mut open: Vec<SendStream> = vec![];
    let opening = async {
        loop {
            // Half of a type in two bytes.
            let mut stream = client.quic.open_uni().await.expect("open");
            stream.write_all(&[0x40]).await.expect("open");
            open.push(stream);
        }
    };
    let _: Result<(), _> = timeout(Duration::from_millis(500), opening).await;
    assert!(open.len() <= 128, "{} of them", open.len());
    client.is_served().await;
    others_are_served(&server).await;
}

#[tokio::test]
async fn datagrams_of_nobody_are_dropped_however_many() {
    let server = Server::of_taiwa(Http3::default(), Config::default()).await;
    let client = attacker(&server).await;
    for count in 0..5_000_u32 {
        let _ = client.quic.send_datagram([&[0x3f][..], &[7; 1000]].concat().into());
        if count % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    client.is_served().await;
    others_are_served(&server).await;
}

#[tokio::test]
async fn trailers_over_the_limit_end_their_stream_alone() {
    let server = Server::of_taiwa(Http3::default(), Config::default()).await;
    let client = attacker(&server).await;
    let long = "x".repeat(20 << 10);
    let trailers = headers(&[("a", &long)]);
    let mut stream = client.bidi(&[&head(&get())[..], &frame(0, b"x"), &trailers].concat()).await;
    stream.send.finish().expect("open");
    let outcome = stream.outcome().await;
    let is_refused = [Outcome::Answers(400), Outcome::Resets(Code::EXCESSIVE_LOAD)];
    assert!(is_refused.contains(&outcome), "{outcome:?}");
    client.is_served().await;
}
