//! Sessions between two ends of ours over loopback, and with peers that break rules.

use bytes::{BufMut, Bytes};
use http::{HeaderMap, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    Protocol,
    net::{
        Connection, Limits as NetLimits,
        tests::{Pair, ours, raw, soon},
    },
    webtransport::{Dialect, Ending, Limits, code, protocols},
};

fn limits(webtransport: Limits) -> NetLimits {
    NetLimits { webtransport, ..NetLimits::default() }
}

fn wish(path: &str) -> Request<()> {
    Request::connect(format!("https://localhost{path}")).body(()).expect("right")
}

/// The next request for a session; what comes besides is dropped.
async fn asked(server: &Connection) -> SessionRequest {
    let (request, stream) = soon(server.accept()).await.expect("open");
    SessionRequest::new(server, request, stream).await.expect("there is room")
}

/// Both ends of a session.
async fn session(limits: NetLimits) -> (Session, Session, Connection, Connection, Pair) {
    let (server, client, pair) = ours(limits).await;
    let (server_side, client_side) = tokio::join!(
        async { asked(&server).await.accept(HeaderMap::new()).await.expect("accepted") },
        async { soon(client.session(wish("/chat"))).await.expect("accepted").0 },
    );
    (server_side, client_side, server, client, pair)
}

fn inside(error: &std::io::Error) -> &StreamError {
    error.get_ref().and_then(|it| it.downcast_ref()).expect("one of ours")
}

#[tokio::test]
async fn both_sides_open_streams_of_both_kinds() {
    let (server, client, ..) = session(NetLimits::default()).await;
    assert_eq!((server.dialect(), server.has_flow_control()), (Dialect::Draft15, true));
    for (from, to) in [(&client, &server), (&server, &client)] {
        let mut asking = soon(from.open_bi()).await.expect("allowed");
        asking.write_all(b"question").await.expect("taken");
        asking.shutdown().await.expect("taken");
        let mut asked = soon(to.accept_bi()).await.expect("open");
        let mut question = String::new();
        soon(asked.read_to_string(&mut question)).await.expect("whole");
        assert_eq!(question, "question");
        asked.write_all(b"answer").await.expect("taken");
        asked.shutdown().await.expect("taken");
        let mut answer = String::new();
        soon(asking.read_to_string(&mut answer)).await.expect("whole");
        assert_eq!(answer, "answer");

        let mut telling = soon(from.open_uni()).await.expect("allowed");
        telling.write_all(b"news").await.expect("taken");
        telling.shutdown().await.expect("taken");
        let mut told = String::new();
        let mut hearing = soon(to.accept_uni()).await.expect("open");
        soon(hearing.read_to_string(&mut told)).await.expect("whole");
        assert_eq!(told, "news");
        assert_eq!(soon(telling.stopped()).await, Ok(None), "all has arrived");
    }
}

#[tokio::test]
async fn datagrams_go_both_ways_and_too_large_ones_are_told() {
    let (server, client, ..) = session(NetLimits::default()).await;
    for (from, to) in [(&client, &server), (&server, &client)] {
        from.send_datagram(b"hi").expect("taken");
        assert_eq!(soon(to.recv_datagram()).await, Some(Bytes::from("hi")));
        let max = from.datagram_bytes_max().expect("the peer takes them");
        from.send_datagram(&vec![7; max]).expect("it fits");
        assert_eq!(soon(to.recv_datagram()).await.map(|it| it.len()), Some(max));
        let refused = from.send_datagram(&vec![7; 60_000]).expect_err("over any path");
        assert!(matches!(refused, DatagramError::TooLarge(1000..)), "{refused}");
    }
}

#[tokio::test]
async fn a_close_tells_code_and_reason_and_resets_the_streams() {
    let (server, client, connection, ..) = session(NetLimits::default()).await;
    let mut stream = soon(client.open_bi()).await.expect("allowed");
    stream.write_all(b"half").await.expect("taken");
    let mut other = soon(server.accept_bi()).await.expect("open");
    server.close(42, "enough");
    assert_eq!(server.ending(), Some(Ending::ByUs(42, "enough".into())));
    let ending = Ending::ByPeer(42, "enough".into());
    assert_eq!(soon(client.closed()).await, ending);
    let error = soon(stream.read(&mut [0; 9])).await.expect_err("reset");
    assert_eq!(inside(&error), &StreamError::Ended(ending.clone()));
    let error = soon(other.read(&mut [0; 9])).await.expect_err("reset");
    assert!(matches!(inside(&error), StreamError::Ended(Ending::ByUs(42, _))));
    assert!(soon(client.accept_bi()).await.is_none());
    assert_eq!(soon(client.open_uni()).await.err(), Some(StreamError::Ended(ending.clone())));
    assert_eq!(client.send_datagram(b"late"), Err(DatagramError::Ended(ending)));
    // The place among the sessions is free again.
    soon(async {
        while connection.sessions().count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_has_time_to_tell_of_a_close_before_anything_else_comes() {
    let (server, client, connection, _client_connection, pair) =
        session(NetLimits::default()).await;
    // Of these its session knows nothing, so that it does not reset them itself.
    let streams = [raw_uni(&pair, &[0], b"x").await, raw_uni(&pair, &[0], b"x").await];
    let _held = soon(server.accept_uni()).await.expect("open");
    let dropped = soon(server.accept_uni()).await.expect("open");
    let since = std::time::Instant::now();
    server.close(42, "enough");
    drop(dropped);
    assert_eq!(soon(client.closed()).await, Ending::ByPeer(42, "enough".into()));
    // A new session is welcome meanwhile.
    soon(async {
        while connection.sessions().count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let late = raw_uni(&pair, &[0], b"x").await;
    for stream in &streams {
        let code = soon(stream.stopped()).await.expect("connected").expect("stopped");
        assert_eq!(code.into_inner(), code::SESSION_GONE.get());
        assert!(since.elapsed() >= drive::HEARD_WITHIN, "{:?}", since.elapsed());
    }
    soon(connection.settled()).await;
    assert!(since.elapsed() >= drive::HEARD_WITHIN, "{:?}", since.elapsed());
    let code = soon(late.stopped()).await.expect("connected").expect("stopped");
    assert_eq!(code.into_inner(), code::SESSION_GONE.get());
}

#[tokio::test]
async fn who_waits_on_a_stream_hears_at_once_that_the_session_has_ended() {
    for is_ours in [true, false] {
        let (server, client, _server_connection, _connection, pair) =
            session(NetLimits::default()).await;
        // Nobody else ever touches this stream.
        let _stream = raw_uni(&pair, &[0], b"").await;
        let mut hearing = soon(server.accept_uni()).await.expect("open");
        let mut telling = soon(server.open_uni()).await.expect("allowed");
        let reading = tokio::spawn(async move { hearing.read(&mut [0; 9]).await });
        let writing = tokio::spawn(async move {
            loop {
                if let Err(error) = telling.write_all(&[0; 1 << 20]).await {
                    return error;
                }
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(!reading.is_finished() && !writing.is_finished());
        (if is_ours { &server } else { &client }).close(42, "enough");
        let both = soon(async { tokio::join!(reading, writing) }).await;
        let read = both.0.expect("no panic").expect_err("it has ended");
        let written = both.1.expect("no panic");
        for error in [read, written] {
            assert!(matches!(inside(&error), StreamError::Ended(_)), "{error}");
        }
    }
}

#[tokio::test]
async fn a_dropped_session_is_closed_with_0() {
    let (server, client, ..) = session(NetLimits::default()).await;
    drop(client);
    assert_eq!(soon(server.closed()).await, Ending::ByPeer(0, String::new()));
}

#[tokio::test]
async fn a_lost_connection_ends_its_sessions() {
    let (server, client, _, connection, _pair) = session(NetLimits::default()).await;
    connection.close(Code::NO_ERROR, "");
    assert_eq!(soon(server.closed()).await, Ending::Lost);
    assert_eq!(soon(client.closed()).await, Ending::Lost);
}

#[tokio::test]
async fn resets_and_stops_carry_the_application_s_code() {
    let (server, client, ..) = session(NetLimits::default()).await;
    let mut stream = soon(client.open_bi()).await.expect("allowed");
    stream.write_all(b"half").await.expect("taken");
    let mut other = soon(server.accept_bi()).await.expect("open");
    stream.send.reset(70_000);
    let mut read = Vec::new();
    let error = soon(other.read_to_end(&mut read)).await.expect_err("reset");
    assert_eq!(inside(&error), &StreamError::Reset(Some(70_000)));
    stream.receive.stop(3);
    assert_eq!(soon(other.send.stopped()).await, Ok(Some(3)));
    let error = soon(async {
        loop {
            if let Err(error) = other.write(b"more").await {
                return error;
            }
        }
    });
    assert_eq!(inside(&error.await), &StreamError::Stopped(Some(3)));
    // Dropped before its end, a stream is not taken for whole.
    let mut dropped = soon(client.open_uni()).await.expect("allowed");
    dropped.write_all(b"half").await.expect("taken");
    let mut hearing = soon(server.accept_uni()).await.expect("open");
    drop(dropped);
    let error = soon(hearing.read_to_end(&mut read)).await.expect_err("reset");
    assert_eq!(inside(&error), &StreamError::Reset(Some(0)));
}

#[tokio::test]
async fn more_than_the_session_s_window_goes_through_if_it_is_read() {
    let small = Limits { session_window: 4096, ..Limits::default() };
    let (server, client, ..) = session(limits(small)).await;
    let sent: Vec<u8> = (0..200_000_u32).map(|it| it as u8).collect();
    let mut telling = soon(client.open_uni()).await.expect("allowed");
    let writing = async {
        telling.write_all(&sent).await.expect("taken");
        telling.shutdown().await.expect("taken");
    };
    let mut read = Vec::new();
    let reading = async {
        let mut hearing = server.accept_uni().await.expect("open");
        hearing.read_to_end(&mut read).await.expect("whole");
    };
    soon(async { tokio::join!(writing, reading) }).await;
    assert!(read == sent);
}

#[tokio::test]
async fn who_does_not_read_holds_the_whole_session_back_and_nothing_else() {
    let small = Limits { session_window: 4096, ..Limits::default() };
    let (server, client, server_connection, connection, _pair) = session(limits(small)).await;
    let mut telling = soon(client.open_uni()).await.expect("allowed");
    let writing = telling.write_all(&[0; 8192]);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(200), writing).await;
    waiting.expect_err("nobody reads it");
    let (other_server, other) = tokio::join!(
        async { asked(&server_connection).await.accept(HeaderMap::new()).await.expect("yes") },
        async { soon(connection.session(wish("/other"))).await.expect("accepted").0 },
    );
    let mut telling = soon(other.open_uni()).await.expect("allowed");
    soon(telling.write_all(b"news")).await.expect("taken");
    let mut hearing = soon(other_server.accept_uni()).await.expect("open");
    let mut news = [0; 4];
    soon(hearing.read_exact(&mut news)).await.expect("there");
    assert_eq!((&news, server.ending()), (b"news", None));
}

#[tokio::test]
async fn as_many_streams_as_one_likes_one_after_the_other_but_not_at_once() {
    let few = Limits { streams_unidirectional_max: 2, ..Limits::default() };
    let (server, client, ..) = session(limits(few)).await;
    for _ in 0..20 {
        let mut telling = soon(client.open_uni()).await.expect("allowed");
        telling.shutdown().await.expect("taken");
        let mut hearing = soon(server.accept_uni()).await.expect("open");
        assert_eq!(soon(hearing.read(&mut [0; 1])).await.expect("its end"), 0);
    }
    let first = soon(client.open_uni()).await.expect("allowed");
    let second = soon(client.open_uni()).await.expect("allowed");
    let third = client.open_uni();
    tokio::pin!(third);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(100), &mut third).await;
    assert!(waiting.is_err(), "a third would be too many");
    drop((first, second));
    let hearings = (soon(server.accept_uni()).await, soon(server.accept_uni()).await);
    drop(hearings);
    soon(third).await.expect("there is room again");
}

#[tokio::test]
async fn past_the_limit_sessions_are_rejected() {
    let one = Limits { sessions_max: 1, ..Limits::default() };
    let (server, _client, connection, other_connection, _pair) = session(limits(one)).await;
    let refused = soon(other_connection.session(wish("/more"))).await;
    assert!(matches!(refused, Err(SessionError::TooMany)), "our client asks for no more");
    // One that asks all the same is rejected.
    let request = Request::connect("https://localhost/").extension(Protocol::WEBTRANSPORT);
    let mut stream =
        soon(other_connection.open(request.body(()).expect("right"))).await.expect("sent");
    let (request, asking) = soon(connection.accept()).await.expect("open");
    assert!(SessionRequest::new(&connection, request, asking).await.is_none());
    let error = soon(stream.recv_response()).await.expect_err("rejected");
    assert!(matches!(error, crate::net::Error::Reset(Code::REQUEST_REJECTED)), "{error}");
    assert_eq!(server.ending(), None);
}

#[tokio::test]
async fn both_sides_agree_on_a_protocol_that_both_know() {
    let (server, client, _pair) = ours(NetLimits::default()).await;
    for (offered, ours, agreed) in [
        (Some(r#""v3", "v2";q=1, "v1""#), &["v1", "v2"][..], Some("v2")),
        (Some(r#""v3""#), &["v1"], None),
        (Some("v1"), &["v1"], None),
        (None, &["v1"], None),
    ] {
        let mut request = wish("/");
        if let Some(offered) = offered {
            let offered = offered.parse().expect("a header");
            request.headers_mut().insert(protocols::AVAILABLE, offered);
        }
        let accepting = async {
            let mut asked = asked(&server).await;
            assert_eq!(asked.choose(ours), agreed);
            asked.accept(HeaderMap::new()).await.expect("accepted")
        };
        let (there, here) = tokio::join!(accepting, soon(client.session(request)));
        let (here, response) = here.expect("accepted");
        assert_eq!((here.protocol(), there.protocol()), (agreed, agreed));
        assert_eq!(response.headers().contains_key(protocols::CHOSEN), agreed.is_some());
    }
}

#[tokio::test]
async fn a_protocol_that_was_not_offered_ends_the_session_and_a_wrong_field_counts_for_nothing() {
    let (server, client, _pair) = ours(NetLimits::default()).await;
    for (chosen, is_wrong) in [("\"v2\"", true), ("v1", false), ("\"v1\", \"v1\"", false)] {
        let mut request = wish("/");
        let offered = protocols::write_list(&["v1"]).expect("printable");
        request.headers_mut().insert(protocols::AVAILABLE, offered);
        let accepting = async {
            let mut headers = HeaderMap::new();
            headers.insert(protocols::CHOSEN, chosen.parse().expect("a header"));
            asked(&server).await.accept(headers).await.expect("accepted")
        };
        let (there, here) = tokio::join!(accepting, soon(client.session(request)));
        match here {
            Err(SessionError::ProtocolNotOffered) if is_wrong => {
                assert_eq!(soon(there.closed()).await, Ending::Broken(code::ALPN_ERROR));
            }
            Ok((here, _)) if !is_wrong => assert_eq!(here.protocol(), None),
            other => panic!("{chosen}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn who_asks_at_once_gets_no_more_sessions_than_there_may_be() {
    let two = Limits { sessions_max: 2, ..Limits::default() };
    let (server, client, _pair) = ours(limits(two)).await;
    let accepting = tokio::spawn(async move {
        let mut sessions = Vec::new();
        while sessions.len() < 2 {
            sessions.push(asked(&server).await.accept(HeaderMap::new()).await.expect("accepted"));
        }
        sessions
    });
    let ask = || async { soon(client.session(wish("/"))).await };
    let all = tokio::join!(ask(), ask(), ask());
    let all = [all.0, all.1, all.2];
    let too_many = all.iter().filter(|it| matches!(it, Err(SessionError::TooMany))).count();
    assert_eq!((too_many, all.iter().filter(|it| it.is_ok()).count()), (1, 2));
    assert_eq!(accepting.await.expect("no panic").len(), 2);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status() {
    let (server, client, _pair) = ours(NetLimits::default()).await;
    let refusing = async {
        let mut response = http::Response::new(());
        *response.status_mut() = http::StatusCode::FORBIDDEN;
        asked(&server).await.reject(&response, "no".into()).await.expect("told");
    };
    let (refused, ()) = tokio::join!(soon(client.session(wish("/"))), refusing);
    let Err(SessionError::Refused(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 403);
    assert_eq!((client.sessions().count(), server.sessions().count()), (0, 0));
}

#[tokio::test]
async fn without_sessions_webtransport_is_not_announced() {
    let none = Limits { sessions_max: 0, ..Limits::default() };
    let (_server, client, _pair) = ours(limits(none)).await;
    let refused = soon(client.session(wish("/"))).await;
    assert!(matches!(refused, Err(SessionError::Unsupported)), "{refused:?}");
}

/// A stream of a raw client that belongs to the session of request 0.
async fn raw_uni(pair: &Pair, session: &[u8], body: &[u8]) -> quinn::SendStream {
    let mut stream = pair.client.open_uni().await.expect("allowed");
    let mut bytes = vec![0x40, 0x54];
    bytes.put_slice(session);
    bytes.put_slice(body);
    // Piece by piece, as a network may cut it.
    for byte in bytes {
        stream.write_all(&[byte]).await.expect("taken");
    }
    stream
}

#[tokio::test]
async fn streams_whose_session_never_comes_are_refused_past_a_limit() {
    let few = Limits { early_streams_max: 2, ..Limits::default() };
    let (_server, pair) = raw(limits(few)).await;
    let mut streams = vec![];
    for _ in 0..3 {
        streams.push(raw_uni(&pair, &[0], b"x").await);
    }
    let (stopped, _, _) =
        futures_util::future::select_all(streams.iter().map(|it| Box::pin(it.stopped()))).await;
    let code = stopped.expect("connected").expect("stopped");
    assert_eq!(code.into_inner(), code::BUFFERED_STREAM_REJECTED.get());
}

#[tokio::test]
async fn a_session_that_no_request_can_begin_ends_the_connection() {
    let (_server, pair) = raw(NetLimits::default()).await;
    let _stream = raw_uni(&pair, &[1], b"x").await;
    match soon(pair.client.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code.into_inner(), Code::ID_ERROR.get());
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_arrives_before_the_session_waits_for_it() {
    let (server, client, pair) = ours(NetLimits::default()).await;
    let asking = client.session(wish("/"));
    let answering = async {
        let request = asked(&server).await;
        // Both belong to the session, which is not answered yet.
        let _early = raw_uni(&pair, &[0], b"early").await;
        pair.client.send_datagram(Bytes::from_static(b"\0early")).expect("taken");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let session = request.accept(HeaderMap::new()).await.expect("accepted");
        let mut stream = soon(session.accept_uni()).await.expect("open");
        let mut early = [0; 5];
        soon(stream.read_exact(&mut early)).await.expect("there");
        assert_eq!(&early, b"early");
        assert_eq!(soon(session.recv_datagram()).await, Some("early".into()));
    };
    let (session, ()) = tokio::join!(soon(asking), answering);
    session.expect("accepted");
}

#[tokio::test]
async fn a_connection_whose_sessions_have_ended_is_settled() {
    let (server, client, server_connection, client_connection, _pair) =
        session(NetLimits::default()).await;
    let mut stream = soon(client.open_bi()).await.expect("allowed");
    stream.write_all(b"half").await.expect("taken");
    let held = soon(server.accept_bi()).await.expect("open");
    let _telling = soon(client.open_uni()).await.expect("allowed");
    client.close(1, "");
    soon(server.closed()).await;
    soon(server_connection.settled()).await;
    soon(client_connection.settled()).await;
    drop((held, stream));
}

#[tokio::test]
async fn the_end_of_a_connection_says_whether_a_session_is_lost_by_it() {
    for is_lost in [false, true] {
        let (server, client, connection, _, pair) = session(NetLimits::default()).await;
        if !is_lost {
            server.close(42, "enough");
            soon(client.closed()).await;
            soon(connection.settled()).await;
        }
        connection.close(Code::NO_ERROR, "bye");
        let quinn::ConnectionError::ApplicationClosed(end) = soon(pair.client.closed()).await
        else {
            panic!("by the other side");
        };
        assert_eq!(end.error_code.into_inner(), Code::NO_ERROR.get());
        assert_eq!(end.reason, if is_lost { "bye" } else { "0:bye" });
    }
}
