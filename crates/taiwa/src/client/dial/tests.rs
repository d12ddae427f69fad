//! URLs, the order of addresses, and the race between them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use taiwa_proto::handshake::HandshakeMisuse;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use super::{
    Place, parse_url,
    race::{connect, interleaved},
    resolve::Resolver,
};

#[test]
fn a_unix_url_has_a_socket_and_a_target() {
    for (url, socket, uri) in [
        ("ws+unix:/run/app.sock:/chat?x=1", "/run/app.sock", "ws://localhost/chat?x=1"),
        ("WS+Unix:/run/app.sock:/a:b", "/run/app.sock", "ws://localhost/a:b"),
        ("wss+unix:/run/app.sock:/", "/run/app.sock", "wss://localhost/"),
        ("ws+unix:/run/app.sock", "/run/app.sock", "ws://localhost/"),
        ("ws+unix:/run/app.sock:", "/run/app.sock", "ws://localhost/"),
        ("ws+unix:/run/app.sock:?x=1", "/run/app.sock", "ws://localhost/?x=1"),
        ("ws+unix:///run/app.sock:/chat", "/run/app.sock", "ws://localhost/chat"),
        ("ws+unix://app.example/run/a:/b", "/run/a", "ws://app.example/b"),
        ("ws+unix://u:p@app.example/run/a:/b", "/run/a", "ws://u:p@app.example/b"),
        ("ws+unix://u:p@/run/a:/b", "/run/a", "ws://u:p@localhost/b"),
        ("ws+unix:../app.sock:/b", "../app.sock", "ws://localhost/b"),
        ("ws+unix:/a%3Ab%20c%25:/%20", "/a:b c%", "ws://localhost/%20"),
        ("ws+unix:/a%zz?b:/c", "/a%zz?b", "ws://localhost/c"),
        ("ws+unix:/語.sock:/", "/語.sock", "ws://localhost/"),
        ("ws+unix:%00abstract:/x", "\0abstract", "ws://localhost/x"),
    ] {
        let (parsed, path) = parse_url(url).unwrap_or_else(|it| panic!("{url}: {it}"));
        assert_eq!(parsed, uri, "{url}");
        assert_eq!(path.as_deref(), Some(Path::new(socket)), "{url}");
    }
}

#[test]
fn what_is_no_unix_url_is_refused() {
    use HandshakeMisuse::{Fragment, Scheme, Uri};
    for (url, misuse) in [
        ("ws+unix:", Uri),
        ("ws+unix::/chat", Uri),
        ("ws+unix://host", Uri),
        ("ws+unix:/a:chat", Uri),
        ("ws+unix:/a:@evil.example/", Uri),
        ("ws+unix:/a:/b c", Uri),
        ("ws+unix:/a:/b#c", Fragment),
        ("ws+unix:/a#b:/c", Fragment),
        ("ws+pipe:/a:/b", Uri),
        ("unix:///a", Uri),
        ("http+unix://a/", Scheme),
    ] {
        assert_eq!(parse_url(url), Err(misuse), "{url}");
    }
}

#[test]
fn a_uri_names_host_port_and_tls_whatever_the_case_of_its_scheme() {
    for (url, is_tls, host, port) in [
        ("ws://a.example/", false, "a.example", 80),
        ("WSS://a.example/", true, "a.example", 443),
        ("Ws://u:p@a.example:8080/", false, "a.example", 8080),
        ("wss://[2001:db8::7]:444/", true, "2001:db8::7", 444),
        ("ws://192.0.2.7", false, "192.0.2.7", 80),
    ] {
        let (uri, socket) = parse_url(url).unwrap();
        let place = Place::of(&uri);
        assert_eq!((place.is_tls, place.host, place.port), (is_tls, host, port), "{url}");
        assert_eq!(socket, None);
    }
}

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|it| it.parse().unwrap()).collect()
}

#[test]
fn families_take_turns_from_the_first_on() {
    let (a, b, c) = ("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1");
    let (x, y) = ("[2001:db8::1]:1", "[2001:db8::2]:1");
    for (given, order) in [
        (&[][..], &[][..]),
        (&[a], &[a]),
        (&[a, b, c, x, y], &[a, x, b, y, c]),
        (&[x, y, a], &[x, a, y]),
        (&[x, x, a, a], &[x, a]),
        (&[y, a, x, b], &[y, a, x, b]),
    ] {
        assert_eq!(interleaved(&addresses(given)), addresses(order), "{given:?}");
    }
    let many: Vec<SocketAddr> = (1..=100).map(|it| ([192, 0, 2, it], 1).into()).collect();
    assert_eq!(interleaved(&many), many[..32]);
}

#[tokio::test]
async fn addresses_answer_for_themselves_and_an_empty_answer_is_told() {
    let never = Resolver::own(|host, _| async move { panic!("{host} is asked for") });
    for host in ["192.0.2.1", "2001:db8::7"] {
        assert_eq!(
            never.resolve(host, 7).await.unwrap()[0].to_string().rsplit(':').next(),
            Some("7")
        );
    }
    let empty = Resolver::own(|_, _| async { Ok(Vec::new()) });
    let error = empty.resolve("a.example", 1).await.unwrap_err();
    assert_eq!(error.to_string(), "a.example has no address");
    let broken = Resolver::own(|_, _| async { Err(std::io::ErrorKind::TimedOut.into()) });
    let error = broken.resolve("a.example", 1).await.unwrap_err();
    assert_eq!(error.to_string(), "can't resolve a.example: timed out");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

/// A listener that takes in no more connections: its queue is full.
async fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(addr)).await {
        queued.push(connected.unwrap());
        assert!(queued.len() < 50, "the queue is never full");
    }
    (addr, listener, queued)
}

async fn listener() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// An address where nobody listens.
async fn closed() -> SocketAddr {
    listener().await.0
}

#[tokio::test]
async fn the_next_address_is_tried_after_a_quarter_of_a_second() {
    let ((silent, _listening, _queued), (good, _good_listens)) =
        (black_hole().await, listener().await);
    let begun = Instant::now();
    let tcp = timeout(Duration::from_secs(10), connect(&[silent, good], None)).await;
    assert_eq!(tcp.expect("in time").unwrap().peer_addr().unwrap(), good);
    let took = begun.elapsed().as_millis();
    assert!((250..3000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn the_next_address_is_tried_at_once_when_one_fails() {
    let (good, _listening) = listener().await;
    let mut dead = Vec::new();
    for _ in 0..12 {
        dead.push(closed().await);
    }
    let begun = Instant::now();
    let all = [&dead[..], &[good]].concat();
    let tcp = timeout(Duration::from_secs(10), connect(&all, None)).await.expect("in time");
    assert_eq!(tcp.unwrap().peer_addr().unwrap(), good);
    // Waiting for each would take three seconds; the machine may be busy.
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_error_names_each_address_that_was_tried() {
    let dead = [closed().await, closed().await];
    let error = connect(&dead, None).await.unwrap_err();
    let message = error.to_string();
    assert!(dead.iter().all(|it| message.contains(&it.to_string())), "{message}");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_local_address_is_kept_and_leaves_the_other_family_out() {
    let (good, listening) = listener().await;
    let other = "[::1]:9".parse().unwrap();
    let local = "127.0.0.2".parse().unwrap();
    let connected = connect(&[other, good], Some(local)).await;
    if cfg!(target_os = "linux") {
        assert_eq!(connected.unwrap().local_addr().unwrap().ip(), local);
        assert_eq!(listening.accept().await.unwrap().1.ip(), local);
    }
    let error = connect(&[other], Some(local)).await.unwrap_err().to_string();
    assert!(error.contains("not of the family of the local address 127.0.0.2"), "{error}");
}
