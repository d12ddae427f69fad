//! The client over HTTP/2, in front of servers made of the crate h2: versions, shared connections, ends.

mod peer;

use std::time::Duration;

use http::Version;
use taiwa::{
    Client, ClientBuilder, CloseCode, Deadlines, Error, HandshakeFault, HttpVersion, Sharing,
    VersionReason, WebSocket,
};
use tokio::time::{sleep, timeout};

use super::soon;
use peer::{Peer, Settings};

fn trusting(peer: &Peer) -> ClientBuilder {
    Client::builder().root_certificate_pem(peer.certificate.as_bytes())
}

async fn open(client: &Client, url: &str) -> (WebSocket, Version, VersionReason) {
    let (socket, response) = soon(client.open(url)).await.expect("it opens");
    let reason = *response.extensions().get::<VersionReason>().expect("it is always there");
    (socket, response.version(), reason)
}

async fn echoes(socket: &mut WebSocket) {
    soon(socket.send("hello")).await.expect("it is taken");
    assert_eq!(soon(socket.recv()).await.expect("it answers"), Some("hello".into()));
}

#[tokio::test]
async fn websockets_of_one_origin_share_a_connection() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).build().unwrap();
    let mut sockets = Vec::new();
    for index in 0..3 {
        let (socket, version, reason) = open(&client, &peer.url("/")).await;
        assert_eq!(version, Version::HTTP_2);
        let first = [VersionReason::Negotiated, VersionReason::Shared];
        assert_eq!(reason, first[usize::from(index > 0)]);
        assert_eq!(socket.peer_addr(), Some(peer.addr));
        sockets.push(socket);
    }
    for socket in &mut sockets {
        echoes(socket).await;
    }
    for mut socket in sockets {
        let closed = soon(socket.close(CloseCode::NORMAL, "done")).await.unwrap();
        assert!(closed.clean);
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn who_comes_at_once_shares_one_connection_too() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).build().unwrap();
    let url = peer.url("/");
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, url) = (client.clone(), url.clone());
        opening.spawn(async move { echoes(&mut open(&client, &url).await.0).await });
    }
    while let Some(opened) = opening.join_next().await {
        opened.unwrap();
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_server_without_extended_connect_gets_http_1_on_a_new_connection_and_that_is_remembered()
{
    let peer = Peer::tls(Settings { extended_connect: false, ..Settings::default() }).await;
    let client = trusting(&peer).build().unwrap();
    for connections in [2, 3] {
        let (mut socket, version, reason) = open(&client, &peer.url("/")).await;
        echoes(&mut socket).await;
        assert_eq!((version, reason), (Version::HTTP_11, VersionReason::NoExtendedConnect));
        assert_eq!(peer.connections(), connections);
    }
    let sharing = Sharing { remembered_for: Duration::ZERO, ..Sharing::default() };
    let forgetful = trusting(&peer).sharing(sharing).build().unwrap();
    for connections in [5, 7] {
        drop(open(&forgetful, &peer.url("/")).await);
        assert_eq!(peer.connections(), connections);
    }
}

#[tokio::test]
async fn a_server_of_http_1_alone_gets_it_on_the_first_connection() {
    let peer = Peer::tls(Settings { alpn: &["http/1.1"], ..Settings::default() }).await;
    let client = trusting(&peer).build().unwrap();
    let (mut socket, version, reason) = open(&client, &peer.url("/")).await;
    echoes(&mut socket).await;
    assert_eq!((version, reason), (Version::HTTP_11, VersionReason::Negotiated));
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_version_that_is_forced_is_used_or_missed() {
    let both = Peer::tls(Settings::default()).await;
    let http1 = trusting(&both).http_version(HttpVersion::Http1).build().unwrap();
    let (mut socket, version, reason) = open(&http1, &both.url("/")).await;
    echoes(&mut socket).await;
    assert_eq!((version, reason), (Version::HTTP_11, VersionReason::Asked));

    let http2 = |peer: &Peer| trusting(peer).http_version(HttpVersion::Http2).build().unwrap();
    let (mut socket, version, reason) = open(&http2(&both), &both.url("/")).await;
    echoes(&mut socket).await;
    assert_eq!((version, reason), (Version::HTTP_2, VersionReason::Asked));

    let old = Peer::tls(Settings { alpn: &["http/1.1"], ..Settings::default() }).await;
    let error = soon(http2(&old).open(&old.url("/"))).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    let deaf = Peer::tls(Settings { alpn: &[], ..Settings::default() }).await;
    let error = soon(http2(&deaf).open(&deaf.url("/"))).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    let plain = Peer::tls(Settings { extended_connect: false, ..Settings::default() }).await;
    let error = soon(http2(&plain).open(&plain.url("/"))).await.unwrap_err();
    let missing = HandshakeFault::NoExtendedConnect;
    assert!(matches!(error, Error::Handshake(it) if it == missing), "{error:?}");
}

#[tokio::test]
async fn without_tls_http_2_is_spoken_with_prior_knowledge_when_it_is_asked_for() {
    let peer = Peer::cleartext(Settings::default()).await;
    let client = Client::builder().http_version(HttpVersion::Http2).build().unwrap();
    for reason in [VersionReason::Asked, VersionReason::Shared] {
        let (mut socket, version, why) = open(&client, &peer.url("/")).await;
        assert_eq!((version, why), (Version::HTTP_2, reason));
        echoes(&mut socket).await;
    }
    assert_eq!(peer.connections(), 1);
    let over = tokio::net::TcpStream::connect(peer.addr).await.unwrap();
    let (mut socket, response) = soon(client.connect_over(over, &peer.url("/"))).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    echoes(&mut socket).await;
    assert!(soon(socket.close(CloseCode::NORMAL, "")).await.unwrap().clean);
    drop(socket);
    peer.ended(1).await;
}

#[tokio::test]
async fn settings_that_come_late_are_waited_for() {
    let late = Duration::from_millis(300);
    let peer = Peer::tls(Settings { settings_after: late, ..Settings::default() }).await;
    let client = trusting(&peer).build().unwrap();
    let (mut socket, version, _) = open(&client, &peer.url("/")).await;
    echoes(&mut socket).await;
    assert_eq!((version, peer.connections()), (Version::HTTP_2, 1));
}

#[tokio::test]
async fn no_more_streams_are_opened_on_a_connection_than_either_end_wants() {
    for (theirs, ours, connections) in [(Some(2), 100, 3), (None, 3, 2), (Some(10), 1, 5)] {
        let peer = Peer::tls(Settings { streams_max: theirs, ..Settings::default() }).await;
        let sharing = Sharing { streams_max: ours, ..Sharing::default() };
        let client = trusting(&peer).sharing(sharing).build().unwrap();
        let mut sockets = Vec::new();
        for _ in 0..5 {
            sockets.push(open(&client, &peer.url("/")).await.0);
        }
        for socket in &mut sockets {
            echoes(socket).await;
        }
        assert_eq!(peer.connections(), connections, "{theirs:?} {ours}");
    }
}

#[tokio::test]
async fn a_connection_beyond_those_that_may_be_shared_is_closed_with_its_websocket() {
    let peer = Peer::tls(Settings::default()).await;
    let sharing = Sharing { connections_max: 0, ..Sharing::default() };
    let client = trusting(&peer).sharing(sharing).build().unwrap();
    let (mut one, ..) = open(&client, &peer.url("/")).await;
    let (mut other, ..) = open(&client, &peer.url("/")).await;
    echoes(&mut one).await;
    echoes(&mut other).await;
    assert_eq!(peer.connections(), 2);
    soon(one.close(CloseCode::NORMAL, "")).await.unwrap();
    drop(one);
    peer.ended(1).await;
    echoes(&mut other).await;
}

#[tokio::test]
async fn an_idle_connection_is_ended_and_the_next_websocket_gets_a_new_one() {
    let peer = Peer::tls(Settings::default()).await;
    let sharing = Sharing { idle_max: Duration::from_millis(200), ..Sharing::default() };
    let client = trusting(&peer).sharing(sharing).build().unwrap();
    let (mut socket, ..) = open(&client, &peer.url("/")).await;
    sleep(Duration::from_millis(500)).await;
    echoes(&mut socket).await;
    soon(socket.close(CloseCode::NORMAL, "")).await.unwrap();
    drop(socket);
    peer.ended(1).await;
    let (mut socket, _, reason) = open(&client, &peer.url("/")).await;
    echoes(&mut socket).await;
    assert_eq!((reason, peer.connections()), (VersionReason::Negotiated, 2));
}

#[tokio::test]
async fn a_connection_whose_server_goes_away_keeps_its_websockets_and_gets_no_more() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).build().unwrap();
    let (mut old, ..) = open(&client, &peer.url("/")).await;
    peer.go_away();
    sleep(Duration::from_millis(200)).await;
    let (mut new, _, reason) = open(&client, &peer.url("/")).await;
    assert_eq!((reason, peer.connections()), (VersionReason::Negotiated, 2));
    echoes(&mut old).await;
    echoes(&mut new).await;
}

#[tokio::test]
async fn a_connection_that_died_in_silence_is_replaced_within_the_deadline() {
    let peer = Peer::tls(Settings::default()).await;
    let deadlines = Deadlines { handshake: Some(Duration::from_secs(10)), ..Deadlines::default() };
    let client = trusting(&peer).deadlines(deadlines).build().unwrap();
    let (_old, ..) = open(&client, &peer.url("/")).await;
    peer.fall_silent();
    let (mut new, _, reason) = open(&client, &peer.url("/")).await;
    assert_eq!((reason, peer.connections()), (VersionReason::Negotiated, 2));
    echoes(&mut new).await;
}

#[tokio::test]
async fn a_stream_that_the_server_refused_unseen_is_tried_on_another_connection() {
    let peer = Peer::tls(Settings { refuse_streams: 1, ..Settings::default() }).await;
    let client = trusting(&peer).build().unwrap();
    let (mut socket, version, _) = open(&client, &peer.url("/")).await;
    echoes(&mut socket).await;
    assert_eq!((version, peer.connections()), (Version::HTTP_2, 2));
    let peer = Peer::tls(Settings { refuse_streams: 100, ..Settings::default() }).await;
    let client = trusting(&peer).build().unwrap();
    let error = soon(client.open(&peer.url("/"))).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    assert_eq!(peer.connections(), 3);
}

#[tokio::test]
async fn a_server_that_wants_http_1_for_it_gets_that() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).build().unwrap();
    let (mut socket, version, _) = open(&client, &peer.url("/http1")).await;
    echoes(&mut socket).await;
    assert_eq!((version, peer.connections()), (Version::HTTP_11, 2));
}

#[tokio::test]
async fn refusals_and_redirects_are_as_over_http_1() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).redirects(2).build().unwrap();
    let error = soon(client.open(&peer.url("/refused"))).await.unwrap_err();
    let Error::Refused(response) = error else { panic!("{error:?}") };
    assert_eq!((response.status().as_u16(), response.version()), (401, Version::HTTP_2));
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(&response.body()[..], b"token please");
    let (socket, response) = soon(client.open(&peer.url("/moved"))).await.unwrap();
    let taiwa::FinalUrl(at) = response.extensions().get().unwrap();
    assert_eq!((at.path(), response.version()), ("/", Version::HTTP_2));
    drop(socket);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_wrong_answer_opens_nothing() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).build().unwrap();
    let error = soon(client.open(&peer.url("/chosen"))).await.unwrap_err();
    let chosen = HandshakeFault::SubprotocolNotOffered;
    assert!(matches!(error, Error::Handshake(it) if it == chosen), "{error:?}");
}

#[tokio::test]
async fn who_gives_up_opening_leaves_no_stream_behind() {
    let peer = Peer::tls(Settings { streams_max: Some(1), ..Settings::default() }).await;
    let client = trusting(&peer).build().unwrap();
    for _ in 0..3 {
        let url = peer.url("/never");
        let never = timeout(Duration::from_millis(300), client.open(&url)).await;
        assert!(never.is_err());
        sleep(Duration::from_millis(50)).await;
    }
    let (mut socket, _, reason) = open(&client, &peer.url("/")).await;
    echoes(&mut socket).await;
    assert_eq!((reason, peer.connections()), (VersionReason::Shared, 1));
}

#[tokio::test]
async fn a_reset_is_an_abnormal_end_of_that_websocket_alone() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).build().unwrap();
    let (mut other, ..) = open(&client, &peer.url("/")).await;
    let (mut reset, ..) = open(&client, &peer.url("/reset")).await;
    let error = soon(reset.recv()).await.unwrap_err();
    assert_eq!(error.close_code(), Some(CloseCode::ABNORMAL), "{error:?}");
    echoes(&mut other).await;
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn one_paused_websocket_holds_back_none_of_its_99_siblings() {
    let peer = Peer::tls(Settings::default()).await;
    let client = trusting(&peer).build().unwrap();
    let (paused, ..) = open(&client, &peer.url("/flood")).await;
    let mut siblings = Vec::new();
    for _ in 0..99 {
        siblings.push(open(&client, &peer.url("/")).await.0);
    }
    sleep(Duration::from_millis(300)).await;
    for socket in &mut siblings {
        soon(socket.send(vec![7; 100_000])).await.unwrap();
    }
    for socket in &mut siblings {
        assert_eq!(soon(socket.recv()).await.unwrap(), Some(vec![7; 100_000].into()));
    }
    assert_eq!(peer.connections(), 1);
    // It has got no more than its window, and goes on when it is read.
    assert!(peer.flooded() <= 256 << 10, "{}", peer.flooded());
    let mut paused = paused;
    let mut bytes = 0;
    while bytes < 1 << 20 {
        bytes += soon(paused.recv()).await.unwrap().expect("there is more").as_bytes().len();
    }
}
