//! HTTP/2: what breaks its rules, byte by byte, and how it ends.

use std::{future::IntoFuture, net::SocketAddr, time::Duration};

use taiwa::{Error, Http2 as Limits, Server, Upgrade};
use taiwa_conformance::h2::{
    CONNECT, GET, Http2, fields,
    flag::{ACK, END_HEADERS, END_STREAM, PADDED},
    frame,
    kind::{CONTINUATION, DATA, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE},
};
use tokio::task::spawn_blocking;

/// Error codes (RFC 9113 §7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

async fn server(limits: Limits) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0").await.unwrap().http2(limits);
    let addr = server.local_addr().unwrap();
    let echo = |upgrade: Upgrade| async move {
        let mut socket = upgrade.accept().await?;
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok::<(), Error>(())
    };
    tokio::spawn(server.serve(echo).into_future());
    addr
}

/// Runs a blocking client against a server with these limits.
async fn against(limits: Limits, client: impl FnOnce(SocketAddr) + Send + 'static) {
    let addr = server(limits).await;
    spawn_blocking(move || client(addr)).await.unwrap();
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(GET))
}

fn asked(flags: u8, list: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, &fields(list))
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// The clause, what is written, and the code that answers it.
type Row = (&'static str, Vec<u8>, u32);

/// Frames and streams that end the connection.
fn of_the_connection() -> Vec<Row> {
    let long = vec![0; (16 << 10) + 1];
    let one = asked(0, GET);
    vec![
        ("§4.2 a frame past SETTINGS_MAX_FRAME_SIZE", frame(DATA, 0, 1, &long), FRAME_SIZE_ERROR),
        ("§5.1 DATA on an idle stream", frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        ("§5.1 RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), PROTOCOL_ERROR),
        (
            "§5.1 WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            PROTOCOL_ERROR,
        ),
        ("§5.1.1 an even stream", get(2), PROTOCOL_ERROR),
        ("§6.1 DATA on no stream", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (
            "§6.1 padding longer than its frame",
            [one.clone(), frame(DATA, PADDED, 1, &[9, 0])].concat(),
            PROTOCOL_ERROR,
        ),
        ("§6.2 HEADERS on no stream", get(0), PROTOCOL_ERROR),
        (
            "§6.2 another frame within a list of fields",
            [frame(HEADERS, 0, 1, &fields(GET)), frame(PING, 0, 0, &[0; 8])].concat(),
            PROTOCOL_ERROR,
        ),
        ("§6.4 RST_STREAM on no stream", frame(RST_STREAM, 0, 0, &[0; 4]), PROTOCOL_ERROR),
        (
            "§6.4 RST_STREAM of 3 bytes",
            [one.clone(), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            FRAME_SIZE_ERROR,
        ),
    ]
}

/// Settings, credit and fields that end the connection.
fn of_its_settings() -> Vec<Row> {
    let one = asked(0, GET);
    vec![
        ("§6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL_ERROR),
        ("§6.5 SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR),
        (
            "§6.5 an answer to SETTINGS with a payload",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            FRAME_SIZE_ERROR,
        ),
        ("§6.5.2 SETTINGS_ENABLE_PUSH = 2", setting(2, 2), PROTOCOL_ERROR),
        ("§6.5.2 a window past 2^31-1", setting(4, 1 << 31), FLOW_CONTROL_ERROR),
        ("§6.5.2 SETTINGS_MAX_FRAME_SIZE too small", setting(5, 100), PROTOCOL_ERROR),
        ("§6.5.2 SETTINGS_MAX_FRAME_SIZE too great", setting(5, 1 << 24), PROTOCOL_ERROR),
        ("RFC 8441 §3 SETTINGS_ENABLE_CONNECT_PROTOCOL = 2", setting(8, 2), PROTOCOL_ERROR),
        (
            "§6.6 PUSH_PROMISE of a client",
            [one.clone(), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(),
            PROTOCOL_ERROR,
        ),
        ("§6.7 PING of 7 bytes", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        ("§6.7 PING on a stream", frame(PING, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("§6.9 WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), FRAME_SIZE_ERROR),
        ("§6.9 no credit", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL_ERROR),
        (
            "§6.9.1 credit past 2^31-1",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            FLOW_CONTROL_ERROR,
        ),
        (
            "§6.10 CONTINUATION without a beginning",
            frame(CONTINUATION, END_HEADERS, 1, &fields(GET)),
            PROTOCOL_ERROR,
        ),
        (
            "RFC 7541 §2.3.3 an index that is not there",
            frame(HEADERS, END_HEADERS, 1, &[0xff, 0x7f]),
            COMPRESSION_ERROR,
        ),
        (
            "RFC 7541 §6.3 a table past the limit",
            frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xff, 0xff, 0x7f]),
            COMPRESSION_ERROR,
        ),
    ]
}

/// Faults of a stream that end the connection, as §5.4.1 lets an endpoint choose: the crate under us can't go on behind some,
/// and does not for others.
fn of_a_stream_and_more() -> Vec<Row> {
    let with = |list: &[(&'static str, &'static str)]| asked(END_STREAM, &[GET, list].concat());
    vec![
        ("§8.2.1 a name in capitals", with(&[("X-Big", "1")]), PROTOCOL_ERROR),
        ("§8.3 one that nobody knows", with(&[(":what", "1")]), PROTOCOL_ERROR),
        (
            "§6.9 no credit for a stream",
            [asked(0, CONNECT), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            PROTOCOL_ERROR,
        ),
        ("§5.1 DATA behind END_STREAM", [get(1), frame(DATA, 0, 1, b"x")].concat(), STREAM_CLOSED),
    ]
}

#[tokio::test]
async fn what_breaks_a_rule_of_the_connection_ends_it_with_its_code() {
    against(Limits::default(), |addr| {
        let rows = [of_the_connection(), of_its_settings(), of_a_stream_and_more()].concat();
        for (clause, wire, code) in rows {
            let mut client = Http2::connect(addr);
            assert!(client.is_alive(), "{clause}");
            client.write(&wire);
            // §5.4: "a generic error code [...] can always be used in place of more specific error codes".
            let said = client.goaway();
            assert!(said == Some(code) || said == Some(PROTOCOL_ERROR), "{clause}: {said:?}");
            assert_eq!(client.until(|_| true), None, "{clause}: nothing behind it");
        }
        let mut none = Http2::connect(addr);
        none.open(1);
    })
    .await;
}

/// What is written on stream 1, which is reset.
fn of_a_stream() -> Vec<Row> {
    let with = |list: &[(&'static str, &'static str)]| asked(END_STREAM, &[GET, list].concat());
    let open = asked(0, CONNECT);
    // One byte more than 64 KiB.
    let past = [open, frame(DATA, 0, 1, &[0; 16 << 10]).repeat(4), frame(DATA, 0, 1, b"x")];
    vec![
        (
            "§8.1.1 more than its length",
            [
                asked(0, &[GET, &[("content-length", "1")]].concat()),
                frame(DATA, END_STREAM, 1, b"ab"),
            ]
            .concat(),
            PROTOCOL_ERROR,
        ),
        ("§8.1.1 less than its length", with(&[("content-length", "1")]), PROTOCOL_ERROR),
        ("§8.2.2 a field of the connection", with(&[("connection", "close")]), PROTOCOL_ERROR),
        ("§8.2.2 TE that is not trailers", with(&[("te", "gzip")]), PROTOCOL_ERROR),
        ("§8.3 a pseudo field behind others", with(&[("x", "1"), (":path", "/")]), PROTOCOL_ERROR),
        ("§8.3 one of responses", with(&[(":status", "200")]), PROTOCOL_ERROR),
        ("§8.3.1 one twice", with(&[(":path", "/x")]), PROTOCOL_ERROR),
        ("§8.3.1 no path", asked(END_STREAM, &GET[..3]), PROTOCOL_ERROR),
        (
            "§8.3.1 an empty path",
            asked(END_STREAM, &[&GET[..3], &[(":path", "")]].concat()),
            PROTOCOL_ERROR,
        ),
        ("§8.3.1 no method", asked(END_STREAM, &GET[1..]), PROTOCOL_ERROR),
        (
            "§8.5 CONNECT with a path and without :protocol",
            asked(0, &[&[(":method", "CONNECT")], &GET[1..]].concat()),
            PROTOCOL_ERROR,
        ),
        ("RFC 8441 §4 :protocol of a GET", with(&[(":protocol", "websocket")]), PROTOCOL_ERROR),
        ("RFC 8441 §4 an extended CONNECT without a path", asked(0, &CONNECT[..4]), PROTOCOL_ERROR),
        ("§6.9.1 more than the window", past.concat(), FLOW_CONTROL_ERROR),
    ]
}

#[tokio::test]
async fn what_breaks_a_rule_of_a_stream_resets_it_and_leaves_the_others() {
    against(Limits::default(), |addr| {
        for (clause, wire, code) in of_a_stream() {
            let mut client = Http2::connect(addr);
            assert!(client.is_alive(), "{clause}");
            client.write(&wire);
            let reset = client.until(|it| it.code().is_some());
            let said = reset.and_then(|it| Some((it.kind, it.code()?)));
            assert_eq!(said, Some((RST_STREAM, code)), "{clause}");
            client.open(3);
        }
    })
    .await;
}

#[tokio::test]
async fn one_stream_too_many_is_refused_and_the_others_stay() {
    against(Limits { streams_max: 3, ..Limits::default() }, |addr| {
        let mut client = Http2::connect(addr);
        for stream in [1, 3, 5] {
            client.open(stream);
        }
        client.write(&frame(HEADERS, END_HEADERS, 7, &fields(CONNECT)));
        let reset = client.until(|it| it.kind == RST_STREAM).unwrap();
        assert_eq!((reset.stream, reset.code()), (7, Some(REFUSED_STREAM)));
        // A place that is free again is taken.
        client.write(&frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]));
        assert!(client.is_alive());
        client.open(9);
    })
    .await;
}

#[tokio::test]
async fn what_nobody_knows_is_ignored() {
    against(Limits::default(), |addr| {
        let mut client = Http2::connect(addr);
        // RFC 9113 §5.5, §6.5.2, §6.3: types, settings and priorities of others.
        client.write(&frame(0xbe, 0xff, 0, b"what is this"));
        client.write(&setting(0xabcd, 7));
        client.write(&frame(2, 0, 1, &[0, 0, 0, 0, 16]));
        client.open(1);
        client.write(&frame(0xbe, 0xff, 1, b"what is this"));
        client.write(&frame(DATA, PADDED, 1, &[&[3][..], b"\x81\x82\0\0\0\0ok", &[0; 3]].concat()));
        let echoed = client.until(|it| it.kind == DATA).unwrap();
        assert_eq!((echoed.stream, &echoed.payload[..]), (1, &b"\x81\x02ok"[..]));
    })
    .await;
}

#[tokio::test]
async fn a_window_that_shrinks_below_nothing_holds_up_and_loses_nothing() {
    against(Limits::default(), |addr| {
        let mut client = Http2::connect(addr);
        client.open(1);
        let echo = |text: &[u8; 2]| frame(DATA, 0, 1, &[b"\x81\x82\0\0\0\0", &text[..]].concat());
        client.write(&echo(b"ab"));
        assert!(client.until(|it| it.kind == DATA).is_some());
        // RFC 9113 §6.9.2: the window of stream 1 is -4 now, which was used.
        client.write(&setting(4, 0));
        client.write(&echo(b"cd"));
        assert!(client.is_alive());
        std::thread::sleep(Duration::from_millis(100));
        client.write(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 6]));
        let mut got = vec![];
        while got.len() < 2 {
            got.extend(client.until(|it| it.kind == DATA).unwrap().payload);
        }
        assert_eq!(got, b"\x81\x02", "no more than credit was given");
        client.write(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]));
        assert_eq!(client.until(|it| it.kind == DATA).unwrap().payload, b"cd");
    })
    .await;
}
