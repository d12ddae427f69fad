//! Sessions of WebTransport: one stream of messages, each behind its length, and datagrams.

use std::time::Duration;

use taiwa::{
    Error, Http3, Server,
    webtransport::{BidirectionalStream, Client, Ending, Session, StreamError},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Stage, Terms, soon};

const BINARY: u32 = 1 << 31;

/// A site behind HTTP/3.
struct Place {
    stage: Stage,
    client: Client,
    url: String,
}

impl Place {
    async fn new() -> Self {
        let terms = Terms::default();
        let (running, told) = Stage::site(&terms);
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
        let server = Server::bind("127.0.0.1:0").await.unwrap().config(terms.config);
        let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
        let addr = server.local_addr().unwrap();
        let serving = running.serve(server.http3(Http3::default()), |_| async { None });
        tokio::spawn(serving.into_future());
        let client = Client::builder().roots(certificate.as_bytes()).unwrap().build().unwrap();
        let stage = Stage::of(running, addr, told);
        Self { stage, client, url: format!("https://localhost:{}", addr.port()) }
    }

    async fn connect(&self, target: &str) -> (Session, BidirectionalStream) {
        let session = soon(self.client.connect(&format!("{}{target}", self.url))).await.unwrap();
        let stream = soon(session.open_bi()).await.unwrap();
        (session, stream)
    }
}

async fn say(stream: &mut BidirectionalStream, kind: u32, payload: &[u8]) {
    let header = kind | payload.len() as u32;
    stream.write_all(&[&header.to_be_bytes(), payload].concat()).await.unwrap();
}

async fn said(stream: &mut BidirectionalStream) -> (bool, Vec<u8>) {
    let header = soon(stream.read_u32()).await.unwrap();
    let mut payload = vec![0; (header & !BINARY) as usize];
    soon(stream.read_exact(&mut payload)).await.unwrap();
    (header & BINARY != 0, payload)
}

#[tokio::test]
async fn messages_go_both_ways_and_the_close_has_the_dialect_s_code() {
    let mut place = Place::new().await;
    let (session, mut stream) = place.connect("/wt?name=w").await;
    say(&mut stream, 0, b"connect; hear news").await;
    place.stage.hears("w: joined 0").await;
    place.stage.hears("w: hear: subscribed").await;
    say(&mut stream, 0, b"say news hello").await;
    assert_eq!(said(&mut stream).await, (false, b"all: hello".to_vec()));
    let large = vec![7; 100_000];
    say(&mut stream, BINARY, &large).await;
    assert_eq!(said(&mut stream).await, (true, large));
    say(&mut stream, 0, b"send 0 last words; end 4002 enough").await;
    assert_eq!(said(&mut stream).await, (false, b"last words".to_vec()));
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "nothing more is said");
    drop(stream);
    assert_eq!(soon(session.closed()).await, Ending::ByPeer(4002, "enough".to_owned()));
    place.stage.is_empty().await;
}

#[tokio::test]
async fn datagrams_are_messages_that_may_be_lost() {
    let mut place = Place::new().await;
    let (session, mut stream) = place.connect("/wt?name=w&datagrams=true").await;
    session.send_datagram(b"\0send 0 hello").unwrap();
    say(&mut stream, 0, b"send 0 there").await;
    let said_both = [said(&mut stream).await.1, said(&mut stream).await.1];
    assert!(said_both.contains(&b"hello".to_vec()) && said_both.contains(&b"there".to_vec()));
    for nonsense in [&b""[..], b"\0\xff"] {
        session.send_datagram(nonsense).unwrap();
    }
    session.send_datagram(b"\x07\x08").unwrap();
    assert_eq!(soon(session.recv_datagram()).await.as_deref(), Some(&b"\x07\x08"[..]));
    // What no datagram holds comes on the stream.
    let large = vec![7; 5000];
    say(&mut stream, BINARY, &large).await;
    assert_eq!(said(&mut stream).await, (true, large));
    session.close(4321, "bye");
    place.stage.hears("w: left 0").await;
    place.stage.is_empty().await;
}

#[tokio::test]
async fn messages_arrive_whole_however_they_are_cut_and_as_many_as_come_at_once() {
    let mut place = Place::new().await;
    let (_session, mut stream) = place.connect("/wt?name=w").await;
    for byte in [0, 0, 0, 8].iter().chain(b"send 0 a") {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(said(&mut stream).await, (false, b"a".to_vec()));
    let small = (0..100).collect::<Vec<u8>>();
    let mut many = vec![];
    for n in 0..1000_u32 {
        let payload = [&n.to_be_bytes()[..], &small].concat();
        many.extend((BINARY | payload.len() as u32).to_be_bytes());
        many.extend(payload);
    }
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        write.write_all(&many).await.unwrap();
        write
    });
    for n in 0..1000_u32 {
        assert_eq!(soon(read.read_u32()).await.unwrap(), BINARY | 104);
        let mut payload = vec![0; 104];
        soon(read.read_exact(&mut payload)).await.unwrap();
        assert_eq!(payload[..4], n.to_be_bytes());
    }
    drop(soon(writing).await.unwrap());
    place.stage.hears("w: joined 0").await;
}

#[tokio::test]
async fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    let place = Place::new().await;
    let max = taiwa::Limits::default().message_bytes_max;
    let (_session, stream) = place.connect("/wt").await;
    let longest = vec![7; max];
    let (mut read, mut write) = tokio::io::split(stream);
    let header = (BINARY | max as u32).to_be_bytes();
    let writing = tokio::spawn(async move {
        write.write_all(&[&header[..], &longest].concat()).await.unwrap();
        write
    });
    assert_eq!(soon(read.read_u32()).await.unwrap(), BINARY | max as u32);
    let mut payload = vec![0; max];
    soon(read.read_exact(&mut payload)).await.unwrap();
    assert!(payload.iter().all(|it| *it == 7));
    drop(soon(writing).await.unwrap());
    let (session, mut stream) = place.connect("/wt").await;
    stream.write_all(&(BINARY | (max as u32 + 1)).to_be_bytes()).await.unwrap();
    let too_long = Ending::ByPeer(1009, "the message is too long".to_owned());
    assert_eq!(soon(session.closed()).await, too_long);
}

#[tokio::test]
async fn who_ends_the_stream_or_vanishes_leaves() {
    let mut place = Place::new().await;
    let (session, mut stream) = place.connect("/wt?name=a").await;
    stream.shutdown().await.unwrap();
    assert_eq!(soon(session.closed()).await, Ending::ByPeer(1000, String::new()));
    place.stage.hears("a: left 0").await;
    let (session, mut stream) = place.connect("/wt?name=b").await;
    say(&mut stream, 0, b"sleep").await;
    place.stage.hears("b: joined 0").await;
    drop((stream, session));
    place.stage.hears("b: left 0").await;
    place.stage.is_empty().await;
}

#[tokio::test]
async fn nonsense_closes_with_the_codes_of_websockets() {
    let place = Place::new().await;
    for (bytes, code) in [
        (&[0x7f, 0xff, 0xff, 0xff][..], 1009),
        (&[0, 0, 0, 2, 0xc3, 0x28], 1007),
        (&[0, 0, 0, 9, b'x'], 1002),
        (&[0, 0], 1002),
    ] {
        let (session, mut stream) = place.connect("/wt").await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let ending = soon(session.closed()).await;
        assert!(matches!(&ending, Ending::ByPeer(it, _) if *it == code), "{code}: {ending:?}");
    }
    place.stage.is_empty().await;
}

#[tokio::test]
async fn there_is_one_stream_and_others_are_turned_away() {
    let place = Place::new().await;
    let (session, mut stream) = place.connect("/wt").await;
    say(&mut stream, 0, b"send 0 first").await;
    said(&mut stream).await;
    let mut second = soon(session.open_bi()).await.unwrap();
    let _ = second.write_all(b"more").await;
    let error = soon(second.read(&mut [0])).await.expect_err("turned away");
    let inside = error.get_ref().and_then(|it| it.downcast_ref::<StreamError>());
    assert_eq!(inside, Some(&StreamError::Reset(Some(0))));
    say(&mut stream, 0, b"send 0 still here").await;
    assert_eq!(said(&mut stream).await.1, b"still here");
}

#[tokio::test]
async fn where_no_door_is_or_it_stays_shut_the_status_says_so() {
    let place = Place::new().await;
    let shut = [("/nowhere", 404), ("/ws", 404), ("/wt?formless", 404), ("/wt?forbidden=1", 403)];
    for (target, status) in shut {
        let refused = soon(place.client.connect(&format!("{}{target}", place.url))).await;
        let Err(Error::Refused(response)) = refused else { panic!("{target}: {refused:?}") };
        assert_eq!(response.status(), status, "{target}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let mut place = Place::new().await;
    let (_paused, mut stream) = place.connect("/wt?name=p").await;
    say(&mut stream, 0, b"connect; hear news").await;
    place.stage.hears("p: hear: subscribed").await;
    let (_reader, mut other) = place.connect("/wt?name=r").await;
    say(&mut other, 0, b"connect; hear news").await;
    place.stage.hears("r: hear: subscribed").await;
    let word = "x".repeat(10_000);
    for _ in 0..50 {
        say(&mut other, 0, format!("say news {word}").as_bytes()).await;
        assert_eq!(said(&mut other).await.1.len(), 10_005);
    }
    // What it did not read is there, or it was sent away as too slow: that is its channel's rule.
    let first = tokio::time::timeout(Duration::from_secs(10), stream.read_u32()).await;
    assert!(first.is_ok(), "it hears something");
}
