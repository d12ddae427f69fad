//! How lines end, and how shards do.

use std::time::{Duration, Instant};

use taiwa::{CloseCode, Config, Deadline, Deadlines, Keepalive, Server, Side};
use taiwa_proto::End;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{Site, Told, connect, defaults, raw, site, soon};

#[tokio::test]
async fn what_came_before_the_end_of_input_is_answered_and_the_line_is_lost() {
    let (mut site, addr) = site(defaults()).await;
    let mut tcp = raw::open(addr, "/echo", b"").await;
    site.joined().await;
    soon(tcp.write_all(&raw::frame(0x81, b"last words"))).await.unwrap();
    soon(tcp.shutdown()).await.unwrap();
    assert_eq!(raw::read_to_end(&mut tcp).await, b"\x81\x0alast words");
    let (_, left) = site.left().await;
    assert_eq!(left.end, End::Lost);
    let closed = left.closed();
    assert_eq!((closed.code, closed.by, closed.clean), (CloseCode::ABNORMAL, Side::Peer, false));
}

#[tokio::test]
async fn a_reset_is_a_lost_line_also_while_it_is_paused() {
    let (mut site, addr) = site(defaults()).await;
    for pauses in [false, true] {
        let tcp = raw::open(addr, "/tell", b"").await;
        let (key, _) = site.joined().await;
        if pauses {
            site.ask(move |_, lines| lines.pause(key)).await;
        }
        tcp.set_zero_linger().unwrap();
        drop(tcp);
        let (left, how) = site.left().await;
        assert_eq!((left, how.end), (key, End::Lost));
    }
}

#[tokio::test]
async fn a_close_of_ours_is_answered_and_told() {
    let (mut site, addr) = site(defaults()).await;
    let mut socket = connect(addr, "/tell").await;
    let (key, _) = site.joined().await;
    let closed = site.ask(move |_, lines| lines.close(key, CloseCode::new(4000), "go")).await;
    assert_eq!(closed, Ok(()));
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code, &*closed.reason), (CloseCode::new(4000), "go"));
    let (_, left) = site.left().await;
    assert!(matches!(&left.end, End::Closed(it) if it.clean && it.by == Side::Us), "{left:?}");
    let refused = site.ask(move |_, lines| lines.close(key, CloseCode::NORMAL, "")).await;
    assert_eq!(refused, Err(taiwa_server::shard::Unsent::Gone));
}

#[tokio::test]
async fn a_line_that_is_cut_ends_without_a_word() {
    let (mut site, addr) = site(defaults()).await;
    let mut tcp = raw::open(addr, "/tell", b"").await;
    let (key, _) = site.joined().await;
    site.ask(move |_, lines| lines.cut(key)).await;
    assert_eq!(raw::read_to_end(&mut tcp).await, b"");
    assert_eq!(site.left().await.1.end, End::Lost);
}

#[tokio::test]
async fn a_silent_peer_is_asked_and_then_closed_with_1011() {
    let keepalive = Keepalive {
        ping_after: Duration::from_millis(100),
        pong_within: Duration::from_millis(300),
    };
    let (mut site, addr) = site(Config { keepalive: Some(keepalive), ..Config::default() }).await;
    let began = Instant::now();
    let mut tcp = raw::open(addr, "/tell", b"").await;
    site.joined().await;
    assert_eq!(raw::read(&mut tcp, 2).await, b"\x89\x00");
    assert!(Duration::from_millis(100) <= began.elapsed());
    assert_eq!(raw::read(&mut tcp, 4).await, b"\x88\x02\x03\xf3");
    // One that answers stays.
    let mut other = connect(addr, "/tell").await;
    let (alive, _) = site.joined().await;
    assert!(timeout(Duration::from_secs(1), other.recv()).await.is_err());
    drop(tcp);
    let (key, left) = site.left().await;
    assert!(key != alive && left.end == End::Late(Deadline::Pong), "{left:?}");
    let stats = site.ask(move |_, lines| lines.stats(alive)).await.unwrap();
    assert!(stats.round_trip.is_some() && 2 <= stats.sent.frames, "{stats:?}");
}

#[tokio::test]
async fn a_message_that_never_ends_is_not_waited_for() {
    let deadlines = Deadlines { message: Some(Duration::from_millis(200)), ..Deadlines::default() };
    let (mut site, addr) = site(Config { deadlines, ..defaults() }).await;
    let mut tcp = raw::open(addr, "/tell", &raw::frame(0x01, b"begun")).await;
    site.joined().await;
    assert_eq!(raw::read(&mut tcp, 4).await, b"\x88\x02\x03\xf0");
    drop(tcp);
    assert_eq!(site.left().await.1.end, End::Late(Deadline::Message));
}

#[tokio::test]
async fn shutting_down_closes_all_with_1001_and_waits_for_them() {
    let mut site = Site::new(3);
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    site.behind(server);
    let mut sockets = Vec::new();
    for _ in 0..30 {
        sockets.push(connect(addr, "/tell").await);
        site.joined().await;
    }
    let reading = async {
        for socket in &mut sockets {
            assert_eq!(soon(socket.recv()).await.unwrap(), None);
            assert_eq!(socket.closed().unwrap().code, CloseCode::GOING_AWAY);
        }
    };
    let shutting_down = site.shards.shut_down(Duration::from_secs(10));
    let (ended, ()) = soon(async { tokio::join!(shutting_down, reading) }).await;
    assert_eq!(ended, Ok(()));
    for _ in 0..30 {
        assert!(matches!(site.left().await.1.end, End::Closed(it) if it.clean));
    }
}

#[tokio::test]
async fn shutting_down_does_not_wait_longer_than_it_was_told_to() {
    let (mut site, addr) = site(defaults()).await;
    let mut tcp = raw::open(addr, "/tell", b"").await;
    site.joined().await;
    let began = Instant::now();
    soon(site.shards.shut_down(Duration::from_millis(300))).await.unwrap();
    let took = began.elapsed();
    assert!((300..3_000).contains(&took.as_millis()), "{took:?}");
    // What is dropped is told as every end is.
    assert_eq!(site.left().await.1.end, End::Lost);
    // Again does no harm.
    assert_eq!(soon(site.shards.shut_down(Duration::from_secs(9))).await, Ok(()));
    assert_eq!(raw::read_to_end(&mut tcp).await, b"\x88\x02\x03\xe9");
}

#[tokio::test]
async fn a_panic_ends_all_shards_and_is_told() {
    let site = Site::new(2);
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    site.behind(server);
    let mut on_both = [raw::open(addr, "/tell", b"").await, raw::open(addr, "/tell", b"").await];
    site.shards.posts()[1].send(Box::new(|_, _| panic!("by a test")));
    let failure = soon(site.shards.ended()).await.unwrap_err();
    assert_eq!(failure.to_string(), "shard 1 failed: panicked: by a test");
    for tcp in &mut on_both {
        assert_eq!(raw::read_to_end(tcp).await, b"");
    }
    // Nobody is there to take it; nobody waits for it either.
    assert_eq!(soon(site.shards.shut_down(Duration::from_secs(9))).await, Err(failure));
}

#[tokio::test]
async fn a_seat_is_taken_until_the_line_has_ended() {
    let mut site = Site::new(1);
    let server = Server::bind("127.0.0.1:0").await.unwrap().connections_max(1);
    let addr = server.local_addr().unwrap();
    site.behind(server);
    let url = format!("ws://{addr}/tell");
    let mut socket = soon(taiwa::connect(&url)).await.unwrap();
    site.joined().await;
    let refused = soon(taiwa::connect(&url)).await.unwrap_err();
    assert!(matches!(&refused, taiwa::Error::Refused(it) if it.status() == 503), "{refused:?}");
    soon(socket.close(CloseCode::NORMAL, "")).await.unwrap();
    assert!(matches!(site.next().await, Told::Left(..)));
    assert!(soon(taiwa::connect(&url)).await.is_ok());
}
