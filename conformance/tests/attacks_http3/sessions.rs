//! Sessions of WebTransport that break rules, or take more than is allowed.

use std::time::Duration;

use http::Request;
use quinn::TransportConfig;
use taiwa::Http3;
use taiwa_conformance::http3::{Outcome, RawQuic, Server, Stream, frame, head};
use taiwa_h3::{
    Protocol, capsule,
    error::Code,
    settings::{SettingId, Settings},
    streams::StreamType,
    varint::VarInt,
    webtransport::code,
};
use taiwa_proto::Config;
use tokio::time::timeout;

use super::{SOON, others_are_served};

const DRAFT_02: (u64, u64) = (0x2b60_3742, 1);
/// Draft 13 with flow control for each session.
const DRAFT_13: [(u64, u64); 4] =
    [(0x14e9_cd29, 10), (0x2b61, 1 << 20), (0x2b64, 10), (0x2b65, 10)];

async fn server() -> Server {
    Server::of_taiwa(Http3::default(), Config::default()).await
}

/// A client that has said which draft it speaks; dropped, its control stream would end.
async fn speaks(
    server: &Server,
    draft: &[(u64, u64)],
    transport: TransportConfig,
) -> (RawQuic, quinn::SendStream) {
    let mut settings = Settings::default();
    settings.set(SettingId::H3_DATAGRAM, 1).set(SettingId::H3_DATAGRAM_DRAFT04, 1);
    for (id, value) in draft {
        settings.set(SettingId::new(*id).expect("below 2^62"), *value);
    }
    let mut control = vec![];
    StreamType::CONTROL.write(&mut control);
    settings.write(&mut control);
    let (addr, certificate) = (server.addr(), server.certificate());
    let client = RawQuic::knock_with(addr, certificate, transport).await;
    let control = client.uni(&control).await;
    (client, control)
}

async fn begin(client: &RawQuic) -> Stream {
    let request = Request::connect("https://localhost/").extension(Protocol::WEBTRANSPORT);
    client.bidi(&head(&request.body(()).expect("right"))).await
}

/// A capsule in a DATA frame.
fn said(kind: u64, value: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    capsule::write(VarInt::new(kind).expect("below 2^62"), value, &mut out);
    frame(0, &out)
}

#[tokio::test]
async fn capsules_that_are_wrong_end_their_session_alone() {
    let server = server().await;
    let malformed = Code::MESSAGE_ERROR;
    let rows = [
        ("close without a code", said(0x2843, &[0, 0]), Code::DATAGRAM_ERROR),
        ("reason of 1,025 bytes", said(0x2843, &[b'x'; 4 + 1025]), malformed),
        ("reason that is no UTF-8", said(0x2843, &[0, 0, 0, 0, 0xff]), malformed),
        ("drain with a value", said(0x78ae, b"x"), Code::DATAGRAM_ERROR),
        ("bound of one stream", said(0x190b_4d3e, &[0, 1]), code::FLOW_CONTROL_ERROR),
        ("close and more", frame(0, b"\x68\x43\x04\0\0\0\0\x80\0\x78\xae\0"), malformed),
        ("capsule of 2^61 bytes", frame(0, b"\x68\x43\xe0\0\0\0\0\0\0\0"), malformed),
    ];
    let (client, _control) = speaks(&server, &[DRAFT_02], TransportConfig::default()).await;
    for (what, bytes, code) in rows {
        let mut session = begin(&client).await;
        assert_eq!(session.outcome().await, Outcome::Answers(200), "{what}");
        session.send.write_all(&bytes).await.expect("open");
        let ended = timeout(SOON, session.content()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{what}: goes on"));
        assert_eq!(ended, Err(Outcome::Resets(code)), "{what}");
    }
    client.is_served().await;
}

#[tokio::test]
async fn sessions_over_the_limit_are_rejected_on_their_streams() {
    let server = server().await;
    let (client, _control) = speaks(&server, &[DRAFT_02], TransportConfig::default()).await;
    let mut open = vec![];
    for count in 0..20 {
        let mut session = begin(&client).await;
        let expected = match count {
            0..16 => Outcome::Answers(200),
            _ => Outcome::Resets(Code::REQUEST_REJECTED),
        };
        assert_eq!(session.outcome().await, expected, "session {count}");
        open.push(session);
    }
    client.is_served().await;
}

#[tokio::test]
async fn streams_of_sessions_that_never_come_are_few_and_then_rejected() {
    let server = server().await;
    let (client, _control) = speaks(&server, &[DRAFT_02], TransportConfig::default()).await;
    let mut streams = vec![];
    for _ in 0..100 {
        // 0x41, and the session of request stream 4,000.
        streams.push(client.bidi(&[0x40, 0x41, 0x4f, 0xa0, b'x']).await);
    }
    client.is_served().await;
    let mut rejected = 0;
    for stream in &mut streams {
        let reset = timeout(Duration::from_millis(50), stream.recv.read_to_end(9)).await;
        let Ok(Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(reset)))) = reset else {
            continue;
        };
        assert_eq!(reset.into_inner(), code::BUFFERED_STREAM_REJECTED.get());
        rejected += 1;
    }
    assert_eq!(rejected, 100 - 16);
}

#[tokio::test]
async fn a_stream_of_no_request_ends_the_connection() {
    let server = server().await;
    for session in [1, 2, 3, 5] {
        let (client, _control) = speaks(&server, &[DRAFT_02], TransportConfig::default()).await;
        let _stream = client.bidi(&[0x40, 0x41, session]).await;
        assert_eq!(client.closed().await, Code::ID_ERROR, "bidirectional, of {session}");
        let (client, _control) = speaks(&server, &[DRAFT_02], TransportConfig::default()).await;
        let _stream = client.uni(&[0x40, 0x54, session]).await;
        assert_eq!(client.closed().await, Code::ID_ERROR, "unidirectional, of {session}");
    }
    others_are_served(&server).await;
}

#[tokio::test]
async fn streams_over_the_session_s_limit_are_rejected() {
    let server = server().await;
    let (client, _control) = speaks(&server, &[DRAFT_02], TransportConfig::default()).await;
    let mut session = begin(&client).await;
    assert_eq!(session.outcome().await, Outcome::Answers(200));
    let mut streams = vec![];
    for _ in 0..120 {
        streams.push(client.bidi(&[0x40, 0x41, 0, b'x']).await);
    }
    for (at, stream) in streams.iter_mut().enumerate().skip(100) {
        let reset = timeout(SOON, stream.recv.read_to_end(9)).await.expect("in time");
        let expected = code::BUFFERED_STREAM_REJECTED.get();
        let quinn::ReadToEndError::Read(quinn::ReadError::Reset(reset)) =
            reset.expect_err("nobody reads")
        else {
            panic!("stream {at} is not reset")
        };
        assert_eq!(reset.into_inner(), expected, "stream {at}");
    }
    client.is_served().await;
}

#[tokio::test]
async fn who_asks_for_ever_more_gets_no_more_than_the_window() {
    let server = server().await;
    let (client, _control) = speaks(&server, &DRAFT_13, TransportConfig::default()).await;
    let mut session = begin(&client).await;
    assert_eq!(session.outcome().await, Outcome::Answers(200));
    // WT_DATA_BLOCKED at each bound that an answer to the one before would name, and nothing was sent.
    let flood: Vec<u8> = (1..100_000_u64)
        .flat_map(|bound| {
            let mut value = vec![];
            VarInt::new(bound << 20).expect("below 2^62").write(&mut value);
            said(0x190b_4d41, &value)
        })
        .collect();
    timeout(SOON, session.send.write_all(&flood)).await.expect("in time").expect("open");
    session.send.finish().expect("open");
    let said = timeout(SOON, session.content()).await.expect("in time").expect("to the end");
    assert!(said.len() < 100, "{} bytes of answers", said.len());
    client.is_served().await;
}

#[tokio::test]
async fn datagrams_that_nobody_receives_are_dropped() {
    let server = server().await;
    let (client, _control) = speaks(&server, &[DRAFT_02], TransportConfig::default()).await;
    let mut session = begin(&client).await;
    assert_eq!(session.outcome().await, Outcome::Answers(200));
    for count in 0..5_000_u32 {
        let _ = client.quic.send_datagram([&[0][..], &[7; 1000]].concat().into());
        if count % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    client.is_served().await;
    others_are_served(&server).await;
}
