//! No attack: a client of WebTransport that speaks as Safari does, byte by byte. It sends nothing on a session before a capsule
//! allows it to, whatever the settings say, and counts what it was allowed.

use std::{collections::HashMap, time::Duration};

use quinn::{Connection, RecvStream, TransportConfig};
use taiwa::{
    Http3, Upgrade,
    webtransport::{Ending, Session, SessionRequest},
};
use taiwa_conformance::http3::{Certificate, RawQuic, frame, headers};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);
/// Capsules of drafts 13 to 16, §9.6, and settings, §9.2.
const MAX_DATA: u64 = 0x190b_4d3d;
const MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
const MAX_STREAMS_UNI: u64 = 0x190b_4d40;
const CLOSE: u64 = 0x2843;
const MAX_SESSIONS: u64 = 0x14e9_cd29;
const ENABLED: u64 = 0x2c7c_f000;
const INITIAL: [u64; 3] = [0x2b61, 0x2b64, 0x2b65];

/// A number of QUIC, in eight bytes.
fn number(it: u64) -> [u8; 8] {
    (it | 3 << 62).to_be_bytes()
}

/// What comes on a stream, number by number.
struct Incoming {
    stream: RecvStream,
    bytes: Vec<u8>,
}

impl Incoming {
    async fn take(&mut self, len: usize) -> Vec<u8> {
        while self.bytes.len() < len {
            let chunk = timeout(SOON, self.stream.read_chunk(usize::MAX, true)).await;
            let chunk = chunk.expect("in time").expect("open").expect("more");
            self.bytes.extend_from_slice(&chunk.bytes);
        }
        self.bytes.drain(..len).collect()
    }

    async fn number(&mut self) -> u64 {
        let first = self.take(1).await[0];
        let rest = self.take((1 << (first >> 6)) - 1).await;
        rest.iter().fold(u64::from(first & 0x3f), |it, byte| it << 8 | u64::from(*byte))
    }

    /// Type and payload of the next frame of HTTP/3.
    async fn frame(&mut self) -> (u64, Vec<u8>) {
        let kind = self.number().await;
        let len = self.number().await;
        (kind, self.take(len.try_into().expect("short")).await)
    }
}

/// Reads the numbers of a payload.
fn numbers(mut bytes: &[u8]) -> Vec<u64> {
    let mut all = vec![];
    while let Some(first) = bytes.first() {
        let (number, rest) = bytes.split_at(1 << (first >> 6));
        let begin = u64::from(first & 0x3f);
        all.push(number[1..].iter().fold(begin, |it, byte| it << 8 | u64::from(*byte)));
        bytes = rest;
    }
    all
}

/// A session, and what it was allowed and has used: bytes, bidirectional and unidirectional streams.
struct Waiting {
    client: RawQuic,
    send: quinn::SendStream,
    incoming: Incoming,
    /// Capsules of which the whole has not come.
    said: Vec<u8>,
    allowed: [u64; 3],
    used: [u64; 3],
    _control: quinn::SendStream,
}

impl Waiting {
    /// Connects, says these settings, looks for those that it needs, and begins a session.
    async fn begin(place: &Place, settings: &[(u64, u64)], token: &str) -> Self {
        let client =
            RawQuic::knock_with(place.addr, &place.certificate, TransportConfig::default()).await;
        let mut payload = vec![];
        for (id, value) in [&[(0x33, 1)], settings].concat() {
            payload.extend([number(id), number(value)].concat());
        }
        let control = client.uni(&[&[0][..], &frame(4, &payload)].concat()).await;
        let theirs = settings_of(&client.quic).await;
        let value = |id: u64| theirs.get(&id).copied().unwrap_or(0);
        assert_eq!([value(0x08), value(0x33), value(ENABLED)], [1, 1, 1], "{theirs:x?}");
        assert!(value(MAX_SESSIONS) > 1, "{theirs:x?}");
        // Safari refuses servers that take several sessions and say nothing of these.
        assert!(INITIAL.iter().all(|it| value(*it) > 0), "{theirs:x?}");
        let (mut send, recv) = client.quic.open_bi().await.expect("open");
        assert_eq!(u64::from(send.id()), 0);
        let head = [
            (":method", "CONNECT"),
            (":protocol", token),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/echo"),
            ("origin", "https://localhost"),
        ];
        send.write_all(&headers(&head)).await.expect("open");
        let mut incoming = Incoming { stream: recv, bytes: vec![] };
        let (kind, section) = incoming.frame().await;
        // RFC 9204: no dynamic table, and 25 of the static one, which is `:status: 200`.
        assert_eq!((kind, &section[..3]), (1, &[0, 0, 0xd9][..]));
        let (allowed, used) = ([0; 3], [0; 3]);
        Self { client, send, incoming, said: vec![], allowed, used, _control: control }
    }

    /// Uses so much, when it is allowed: capsules are read until then.
    async fn spend(&mut self, place: usize, amount: u64) {
        while self.used[place] + amount > self.allowed[place] {
            let (kind, payload) = self.incoming.frame().await;
            assert_eq!(kind, 0, "DATA, which carries capsules");
            self.said.extend(payload);
            self.hear();
        }
        self.used[place] += amount;
    }

    fn hear(&mut self) {
        // Types and lengths of these capsules are in 8, 4 or 1 bytes, and all have come with their frame.
        while let [kind, len, ..] = numbers(&self.said)[..] {
            let width = |at: usize| 1_usize << (self.said[at] >> 6);
            let begin = width(0) + width(width(0));
            let end = begin + usize::try_from(len).expect("short");
            let value = numbers(&self.said[begin..end])[0];
            let place = match kind {
                MAX_DATA => 0,
                MAX_STREAMS_BIDI => 1,
                MAX_STREAMS_UNI => 2,
                other => panic!("a capsule of type {other:#x}"),
            };
            // Draft 16 §5.6.4: what "does not increase" a bound closes the session.
            assert!(value > self.allowed[place], "{value} where there was {:?}", self.allowed);
            self.allowed[place] = value;
            self.said.drain(..end);
        }
    }

    /// Sends on a stream of its own, and hears it come back.
    async fn echoes(&mut self, len: usize) {
        self.spend(1, 1).await;
        let (mut send, mut recv) = self.client.quic.open_bi().await.expect("QUIC allows it");
        send.write_all(&[0x40, 0x41, 0]).await.expect("open");
        self.spend(0, len as u64).await;
        send.write_all(&vec![7; len]).await.expect("open");
        send.finish().expect("open");
        let heard = timeout(SOON, recv.read_to_end(len)).await.expect("in time").expect("whole");
        assert!(heard == vec![7; len], "{} bytes where {len} were due", heard.len());
    }

    async fn says(&mut self, what: &[u8]) {
        self.spend(2, 1).await;
        self.spend(0, what.len() as u64).await;
        self.client.uni(&[&[0x40, 0x54, 0], what].concat()).await.finish().expect("open");
    }
}

/// Reads the settings that a server says on its control stream.
async fn settings_of(quic: &Connection) -> HashMap<u64, u64> {
    loop {
        let stream = timeout(SOON, quic.accept_uni()).await.expect("in time").expect("open");
        let mut incoming = Incoming { stream, bytes: vec![] };
        if incoming.number().await != 0 {
            continue;
        }
        let (kind, payload) = incoming.frame().await;
        assert_eq!(kind, 4, "SETTINGS come first");
        // Dropped, the stream would be stopped, and it is a critical one.
        tokio::spawn(async move { while incoming.stream.read_chunk(9, true).await.is_ok() {} });
        return numbers(&payload).chunks(2).map(|it| (it[0], it[1])).collect();
    }
}

/// A server that echoes streams and datagrams, and tells what unidirectional streams said and how sessions ended.
struct Place {
    addr: std::net::SocketAddr,
    certificate: Certificate,
    told: mpsc::UnboundedReceiver<String>,
}

async fn place() -> Place {
    let certificate = Certificate::default();
    let (chain, key) = certificate.pem();
    let server = taiwa::Server::bind("127.0.0.1:0").await.expect("a free port");
    let addr = server.local_addr().expect("bound");
    let (tell, told) = mpsc::unbounded_channel();
    let server = server.tls(chain.as_bytes(), key.as_bytes()).expect("they fit");
    let server = server.http3(Http3::default()).webtransport(move |request: SessionRequest| {
        let tell = tell.clone();
        async move {
            attend(request.accept().await?, &tell).await;
            Ok::<(), taiwa::Error>(())
        }
    });
    tokio::spawn(server.serve(async |it: Upgrade| it.reject(404, "").await).into_future());
    Place { addr, certificate, told }
}

async fn attend(session: Session, tell: &mpsc::UnboundedSender<String>) {
    loop {
        tokio::select! {
            Some(stream) = session.accept_bi() => {
                tokio::spawn(async move {
                    let (mut send, mut receive) = stream.split();
                    tokio::io::copy(&mut receive, &mut send).await?;
                    send.shutdown().await
                });
            }
            Some(mut stream) = session.accept_uni() => {
                let mut heard = String::new();
                let _ = stream.read_to_string(&mut heard).await;
                let _ = tell.send(heard);
            }
            Some(datagram) = session.recv_datagram() => drop(session.send_datagram(&datagram)),
            else => break,
        }
    }
    let Some(Ending::ByPeer(code, reason)) = session.ending() else { return };
    let _ = tell.send(format!("{code} {reason}"));
}

/// More bytes and more streams than the server allows at once, each when it is allowed; then a datagram, and the end.
async fn is_let_go_on(settings: &[(u64, u64)], token: &str) {
    let mut place = place().await;
    let mut it = Waiting::begin(&place, settings, token).await;
    for len in [0, 5, 300_000] {
        it.echoes(len).await;
    }
    for _ in 0..150 {
        it.echoes(20_000).await;
    }
    for count in 0..150 {
        it.says(format!("message {count}").as_bytes()).await;
        let heard = timeout(SOON, place.told.recv()).await.expect("in time");
        assert_eq!(heard, Some(format!("message {count}")));
    }
    it.client.quic.send_datagram(b"\0hi".to_vec().into()).expect("there is room");
    let back = timeout(SOON, it.client.quic.read_datagram()).await.expect("in time");
    assert_eq!(&back.expect("open")[..], b"\0hi");
    let value = [&7_u32.to_be_bytes()[..], "またね".as_bytes()].concat();
    let capsule = [&number(CLOSE)[..], &number(value.len() as u64), &value].concat();
    it.send.write_all(&frame(0, &capsule)).await.expect("open");
    it.send.finish().expect("open");
    let ended = timeout(SOON, place.told.recv()).await.expect("in time");
    assert_eq!(ended.as_deref(), Some("7 またね"));
}

/// The client's own bounds, which are no matter here.
const OPEN_HANDED: [(u64, u64); 3] =
    [(INITIAL[0], 1 << 40), (INITIAL[1], 1 << 20), (INITIAL[2], 1 << 20)];

#[tokio::test]
async fn a_client_of_draft_14_that_waits_is_let_go_on_for_ever() {
    is_let_go_on(&[&[(MAX_SESSIONS, 10)], &OPEN_HANDED[..]].concat(), "webtransport").await;
}

#[tokio::test]
async fn a_client_of_draft_14_that_waits_and_never_said_so_is_let_go_on_for_ever() {
    is_let_go_on(&[(MAX_SESSIONS, 1)], "webtransport").await;
}

#[tokio::test]
async fn a_client_of_draft_15_that_waits_is_let_go_on_for_ever() {
    is_let_go_on(&[&[(ENABLED, 1)], &OPEN_HANDED[..]].concat(), "webtransport-h3").await;
}

#[tokio::test]
async fn a_client_with_settings_of_draft_15_and_the_older_token_is_let_go_on_for_ever() {
    is_let_go_on(&[(ENABLED, 1), (MAX_SESSIONS, 1)], "webtransport").await;
}
