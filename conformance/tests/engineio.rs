//! Engine.IO 4.1 over WebTransport: sessions that open or join a conversation of Socket.IO, on real sockets.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use taiwa::{
    Config, Deadlines, Error, Http3, Server,
    webtransport::{BidirectionalStream, Client, Ending, Session},
};
use taiwa_core::{Channel, Cluster, Disconnect, NodeId};
use taiwa_memory::World;
use taiwa_server::{
    Anyone, Running, Site,
    hub::{Done, Order, Settings, Whom},
};
use taiwa_socketio::SocketIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// No test waits longer.
async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), it).await.expect("in time")
}

/// A server that speaks HTTP/3.
struct Place {
    running: Running,
    certificate: String,
    port: u16,
}

impl Place {
    async fn new() -> Self {
        Self::with(|_| {}, Config::default(), None).await
    }

    async fn with(
        change: impl FnOnce(&mut taiwa_socketio::Settings),
        config: Config,
        cluster: Option<Cluster>,
    ) -> Self {
        let mut settings = taiwa_socketio::Settings::default();
        settings.webtransport = true;
        settings.broadcast = ["say".into()].into();
        change(&mut settings);
        let mut site = Site::new(Settings::open(), Arc::new(Anyone))
            .dialect(SocketIo::new(settings))
            .dialect(taiwa_plain::Plain::default());
        if let Some(cluster) = cluster {
            site = site.cluster(cluster);
        }
        let running = site.start().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let server = Server::bind("127.0.0.1:0").await.unwrap().config(config);
        let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = running.serve(server.http3(Http3::default()), |_| async { None });
        tokio::spawn(serving.into_future());
        Self { running, certificate, port }
    }

    async fn knock(&self, target: &str, headers: &[(&str, &str)]) -> Result<Session, Error> {
        let client = Client::builder().roots(self.certificate.as_bytes()).unwrap();
        let client =
            headers.iter().fold(client, |client, (name, value)| client.header(name, value));
        let url = format!("https://localhost:{}{target}", self.port);
        soon(client.build().unwrap().connect(&url)).await
    }

    /// Opens a session and its stream, as published clients do.
    async fn session(&self) -> Talk {
        let session = self.knock("/socket.io/", &[]).await.unwrap();
        let stream = soon(session.open_bi()).await.unwrap();
        Talk { session, stream, arrived: BytesMut::new() }
    }

    /// Opens a session that has said and heard the first packet.
    async fn open(&self) -> Talk {
        let mut talk = self.session().await;
        talk.say("0").await;
        let open = talk.hears().await;
        assert!(open.starts_with("0{\"sid\":\""), "{open}");
        talk
    }

    /// Opens one that is in the main namespace.
    async fn enter(&self) -> Talk {
        let mut talk = self.open().await;
        talk.enter().await;
        talk
    }

    /// Sends a request of a client that polls.
    async fn ask(&self, method: &str, sid: &str, body: &str) -> (StatusCode, String) {
        let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
        let uri = format!("https://localhost/socket.io/?EIO=4&transport=polling{sid}");
        let request = Request::builder().method(method).uri(uri);
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let answer = self.running.answer(request.body(body).unwrap());
        let response: Response<_> = soon(answer).await;
        let (parts, body) = response.into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        (parts.status, String::from_utf8(body.into()).unwrap())
    }

    /// Begins to poll, enters the main namespace, and returns the session's name.
    async fn poll(&self) -> String {
        let (status, open) = self.ask("GET", "", "").await;
        assert_eq!(status, 200, "{open}");
        assert!(open.contains("\"upgrades\":[\"websocket\",\"webtransport\"]"), "{open}");
        let sid = open.split('"').nth(3).unwrap().to_owned();
        assert_eq!(self.ask("POST", &sid, "40").await, (StatusCode::OK, "ok".to_owned()));
        let (_, entered) = self.ask("GET", &sid, "").await;
        assert!(entered.starts_with("40{"), "{entered}");
        sid
    }

    async fn sessions(&self) -> usize {
        let order = Order::Sessions { whom: Whom::All, limit: 100 };
        match soon(self.running.control().order(order)).await {
            Ok(Done::Sessions(all)) => all.len(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until so many sessions are there.
    async fn has(&self, sessions: usize) {
        soon(async {
            while self.sessions().await != sessions {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// A session and its stream, with frames that are put together here byte by byte.
struct Talk {
    session: Session,
    stream: BidirectionalStream,
    arrived: BytesMut,
}

fn framed(is_binary: bool, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut out = match length {
        0..126 => vec![length as u8],
        126..65_536 => [&[126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[127][..], &(length as u64).to_be_bytes()].concat(),
    };
    out[0] |= u8::from(is_binary) << 7;
    out.extend_from_slice(payload);
    out
}

impl Talk {
    async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    async fn say(&mut self, packet: &str) {
        self.write(&framed(false, packet.as_bytes())).await;
    }

    /// Makes sure that so many bytes have arrived.
    async fn has(&mut self, bytes: usize) {
        while self.arrived.len() < bytes {
            let read = soon(self.stream.read_buf(&mut self.arrived)).await.unwrap();
            assert!(read > 0, "the stream has ended");
        }
    }

    /// Waits for a packet; it is answered on the way that the client is there.
    async fn packet(&mut self) -> (bool, Bytes) {
        loop {
            self.has(1).await;
            let first = self.arrived.get_u8();
            let length = match first & 0x7f {
                126 => {
                    self.has(2).await;
                    self.arrived.get_u16().into()
                }
                127 => {
                    self.has(8).await;
                    self.arrived.get_u64() as usize
                }
                length => length.into(),
            };
            self.has(length).await;
            let payload = self.arrived.split_to(length).freeze();
            match (first & 0x80 != 0, payload) {
                (false, ping) if *ping == *b"2" => self.say("3").await,
                packet => return packet,
            }
        }
    }

    async fn hears(&mut self) -> String {
        let (is_binary, payload) = self.packet().await;
        assert!(!is_binary, "{payload:?}");
        String::from_utf8(payload.into()).unwrap()
    }

    async fn enter(&mut self) {
        self.say("40").await;
        let entered = self.hears().await;
        assert!(entered.starts_with("40{\"sid\":\""), "{entered}");
    }

    /// Waits for the end, behind which nothing is said.
    async fn ends(mut self) -> (u32, String) {
        let mut rest = vec![];
        // A close may overtake the end of the stream.
        let _ = soon(self.stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
        drop(self.stream);
        match soon(self.session.closed()).await {
            Ending::ByPeer(code, reason) => (code, reason),
            other => panic!("{other:?}"),
        }
    }
}

fn end(code: u32, reason: &str) -> (u32, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn a_session_opens_by_its_first_packet() {
    let place = Place::new().await;
    let mut talk = place.session().await;
    talk.say("0").await;
    let open = talk.hears().await;
    let rest = open.split_once("\",").unwrap().1;
    assert_eq!(
        rest,
        "\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"
    );
    talk.enter().await;
    place.has(1).await;
    talk.say("42[\"say\",\"対話\"]").await;
    assert_eq!(talk.hears().await, "42[\"say\",\"対話\"]");
    talk.session.close(0, "");
    place.has(0).await;
}

#[tokio::test]
async fn packets_of_all_lengths_go_both_ways() {
    let place = Place::new().await;
    let (mut ada, mut bob) = (place.enter().await, place.enter().await);
    // The lengths of whole packets lie around those where headers grow.
    for length in [0, 1, 113, 114, 115, 65_523, 65_524, 65_525, 200_000] {
        let packet = format!("42[\"say\",\"{}\"]", "x".repeat(length));
        ada.say(&packet).await;
        for it in [&mut ada, &mut bob] {
            assert!(it.hears().await == packet, "{length}");
        }
    }
    for length in [1, 125, 126, 65_535, 65_536] {
        let bytes = vec![7; length];
        ada.say("451-[\"say\",{\"_placeholder\":true,\"num\":0}]").await;
        ada.write(&framed(true, &bytes)).await;
        for it in [&mut ada, &mut bob] {
            assert_eq!(it.hears().await, "451-[\"say\",{\"_placeholder\":true,\"num\":0}]");
            assert!(it.packet().await == (true, Bytes::from(bytes.clone())), "{length}");
        }
    }
    // What npm's parser would take for an error is written as base64.
    ada.say("451-[\"say\",{\"_placeholder\":true,\"num\":0}]").await;
    ada.write(&[0x80]).await;
    assert_eq!(bob.hears().await, "451-[\"say\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(bob.hears().await, "b");
}

#[tokio::test]
async fn packets_arrive_whole_however_they_are_cut() {
    let place = Place::new().await;
    let mut talk = place.session().await;
    let before = ["0", "40"].map(|it| framed(false, it.as_bytes())).concat();
    for byte in before {
        talk.write(&[byte]).await;
    }
    assert!(talk.hears().await.starts_with("0{"));
    assert!(talk.hears().await.starts_with("40{"));
    let said = ["42[\"say\",1]", "42[\"say\",2]"].map(|it| framed(false, it.as_bytes())).concat();
    for bytes in said.chunks(1) {
        talk.write(bytes).await;
    }
    talk.write(&said).await;
    for number in [1, 2, 1, 2] {
        assert_eq!(talk.hears().await, format!("42[\"say\",{number}]"));
    }
    // Behind what says for whom it is.
    let mut talk = place.session().await;
    talk.write(&["0", "40"].map(|it| framed(false, it.as_bytes())).concat()).await;
    assert!(talk.hears().await.starts_with("0{"));
    assert!(talk.hears().await.starts_with("40{"));
}

#[tokio::test]
async fn a_client_that_polls_changes_to_a_session() {
    let place = Place::new().await;
    let sid = place.poll().await;
    let mut other = place.enter().await;
    place.has(2).await;
    let mut talk = place.session().await;
    talk.say(&format!("0{{\"sid\":\"{sid}\"}}")).await;
    talk.say("2probe").await;
    let (waiting, ()) = tokio::join!(place.ask("GET", &sid, ""), async {
        assert_eq!(talk.hears().await, "3probe");
    });
    assert_eq!(waiting, (StatusCode::OK, "6".to_owned()));
    // What is said meanwhile goes with it.
    other.say("42[\"say\",1]").await;
    assert_eq!(other.hears().await, "42[\"say\",1]");
    talk.say("5").await;
    other.say("42[\"say\",2]").await;
    assert_eq!(talk.hears().await, "42[\"say\",1]");
    assert_eq!(talk.hears().await, "42[\"say\",2]");
    talk.say("42[\"say\",3]").await;
    assert_eq!(talk.hears().await, "42[\"say\",3]");
    for method in ["GET", "POST"] {
        let (status, why) = place.ask(method, &sid, "3").await;
        assert_eq!((status.as_u16(), &*why), (400, "{\"code\":3,\"message\":\"Bad request\"}"));
    }
    let mut second = place.session().await;
    second.say(&format!("0{{\"sid\":\"{sid}\"}}")).await;
    assert_eq!(second.ends().await, end(1000, ""));
    place.has(2).await;
    talk.session.close(0, "");
    place.has(1).await;
    let (status, why) = place.ask("GET", &sid, "").await;
    assert_eq!((status.as_u16(), &*why), (400, "{\"code\":1,\"message\":\"Session ID unknown\"}"));
}

#[tokio::test]
async fn who_takes_too_long_goes_on_polling() {
    let change = |it: &mut taiwa_socketio::Settings| it.upgrade_within = Duration::from_millis(100);
    let place = Place::with(change, Config::default(), None).await;
    let sid = place.poll().await;
    let mut talk = place.session().await;
    talk.say(&format!("0{{\"sid\":\"{sid}\"}}")).await;
    assert_eq!(talk.ends().await, end(1000, ""));
    let posted = place.ask("POST", &sid, "42[\"say\",1]").await;
    assert_eq!(posted.0, 200);
    assert_eq!(place.ask("GET", &sid, "").await.1, "42[\"say\",1]");
}

#[tokio::test]
async fn who_is_silent_is_closed_and_who_answers_stays() {
    let change = |it: &mut taiwa_socketio::Settings| {
        it.ping_every = Duration::from_millis(200);
        it.pong_within = Duration::from_secs(5);
    };
    let place = Place::with(change, Config::default(), None).await;
    let (mut there, mut silent) = (place.enter().await, place.open().await);
    silent.say("40").await;
    let mut heard = vec![];
    let ended = async {
        let _ = silent.stream.read_to_end(&mut heard).await;
        silent.session.closed().await
    };
    tokio::pin!(ended);
    let ending = soon(async {
        tokio::select! {
            ending = &mut ended => ending,
            (_, said) = there.packet() => panic!("{said:?}"),
        }
    })
    .await;
    assert_eq!(ending, Ending::ByPeer(1000, "ping timeout".to_owned()));
    there.say("42[\"say\",1]").await;
    assert_eq!(there.hears().await, "42[\"say\",1]");
}

#[tokio::test]
async fn nonsense_closes_a_session() {
    let place = Place::new().await;
    for (bytes, code, reason) in [
        (&framed(false, b"x")[..], 1002, "an unknown type of packet"),
        (&framed(false, b""), 1002, "an empty packet"),
        (&framed(false, b"2"), 1002, "a heartbeat in the wrong direction"),
        (&framed(false, b"42[\"say\"]"), 1002, "not in this namespace"),
        (&framed(false, b"4\xff"), 1007, "the text is no UTF-8"),
        (&[127, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x41], 1009, "the message is too long"),
        (&[0xff; 9], 1009, "the message is too long"),
        (&framed(false, b"1"), 1000, ""),
    ] {
        let mut talk = place.open().await;
        talk.write(bytes).await;
        assert_eq!(talk.ends().await, end(code, reason), "{bytes:?}");
    }
    let mut talk = place.open().await;
    talk.write(&[5, b'4']).await;
    talk.stream.shutdown().await.unwrap();
    assert_eq!(talk.ends().await, end(1002, "the stream ends within a message"));
    let mut talk = place.open().await;
    talk.stream.shutdown().await.unwrap();
    assert_eq!(talk.ends().await, end(1000, ""));
    place.has(0).await;
}

#[tokio::test]
async fn a_session_that_does_not_open_is_refused() {
    let place = Place::new().await;
    const BAD: &str = "{\"code\":3,\"message\":\"Bad request\"}";
    const UNKNOWN: &str = "{\"code\":1,\"message\":\"Session ID unknown\"}";
    let long = framed(false, &[b' '; 100_000]);
    for (bytes, code, reason) in [
        (&framed(false, b"40")[..], 4400, BAD),
        (&framed(false, b"2probe"), 4400, BAD),
        (&framed(true, b"0"), 4400, BAD),
        (&framed(false, b""), 4400, BAD),
        (&framed(false, b"0{"), 4400, UNKNOWN),
        (&framed(false, b"0{\"sid\":1}"), 4400, UNKNOWN),
        (&framed(false, b"0{\"sid\":\"unheard-of\"}"), 4400, UNKNOWN),
        (&long[..20], 1009, "the message is too long"),
        (&framed(false, b"\xff"), 1007, "the text is no UTF-8"),
    ] {
        let mut talk = place.session().await;
        talk.write(bytes).await;
        assert_eq!(talk.ends().await, end(code, reason), "{:?}", &bytes[..bytes.len().min(30)]);
    }
    // A name that another dialect's conversation, or none any more, has.
    let sid = place.poll().await;
    assert_eq!(place.ask("POST", &sid, "1").await.0, 200);
    place.has(0).await;
    let mut talk = place.session().await;
    talk.say(&format!("0{{\"sid\":\"{sid}\"}}")).await;
    let (code, reason) = talk.ends().await;
    // For a moment its last poll is waited for.
    assert!(
        (code, &*reason) == (4400, UNKNOWN) || (code, &*reason) == (1000, ""),
        "{code} {reason}"
    );
    place.has(0).await;
}

#[tokio::test]
async fn who_says_nothing_has_no_session_for_long() {
    let deadlines =
        Deadlines { handshake: Some(Duration::from_millis(300)), ..Deadlines::default() };
    let place = Place::with(|_| {}, Config { deadlines, ..Config::default() }, None).await;
    let silent = place.knock("/socket.io/", &[]).await.unwrap();
    assert_eq!(soon(silent.closed()).await, Ending::ByPeer(4408, "nobody was introduced".into()));
    let mut half = place.session().await;
    half.write(&[12, b'0']).await;
    assert_eq!(half.ends().await, end(4408, "nobody was introduced"));
    let mut ended = place.session().await;
    ended.stream.shutdown().await.unwrap();
    assert_eq!(ended.ends().await, end(0, ""));
}

#[tokio::test]
async fn pages_of_other_origins_and_other_versions_are_refused() {
    let place = Place::new().await;
    let refused = place.knock("/socket.io/", &[("origin", "https://evil.example")]).await;
    let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 403);
    let own = format!("https://localhost:{}", place.port);
    let session = place.knock("/socket.io/", &[("origin", &own)]).await.unwrap();
    let stream = soon(session.open_bi()).await.unwrap();
    let mut talk = Talk { session, stream, arrived: BytesMut::new() };
    talk.say("0").await;
    assert!(talk.hears().await.starts_with("0{"));

    let session = place.knock("/socket.io/?EIO=3", &[]).await.unwrap();
    let stream = soon(session.open_bi()).await.unwrap();
    let mut talk = Talk { session, stream, arrived: BytesMut::new() };
    talk.say("0").await;
    let why = "{\"code\":5,\"message\":\"Unsupported protocol version\"}";
    assert_eq!(talk.ends().await, end(4400, why));
}

#[tokio::test]
async fn where_it_is_off_nobody_is_told_of_it_and_nobody_let_in() {
    let place = Place::with(|it| it.webtransport = false, Config::default(), None).await;
    let (_, open) = place.ask("GET", "", "").await;
    assert!(open.contains("\"upgrades\":[\"websocket\"]"), "{open}");
    let refused = place.knock("/socket.io/", &[]).await;
    let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn it_shares_a_channel_with_a_websocket_and_is_sent_away() {
    let place = Place::new().await;
    let session = place.knock("/socket.io/?channel=room", &[]).await.unwrap();
    let stream = soon(session.open_bi()).await.unwrap();
    let mut talk = Talk { session, stream, arrived: BytesMut::new() };
    talk.say("0").await;
    assert!(talk.hears().await.starts_with("0{"));
    talk.enter().await;
    let client = taiwa::Client::builder().root_certificate_pem(place.certificate.as_bytes());
    let url = format!("wss://localhost:{}/room", place.port);
    let mut socket = soon(client.build().unwrap().connect(&url)).await.unwrap();
    soon(async {
        let room = Channel::parse("room").unwrap();
        loop {
            match place.running.control().order(Order::Presence(room.clone())).await {
                Ok(Done::Presence(it)) if it.len() == 2 => break,
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(why) => panic!("{why:?}"),
            }
        }
    })
    .await;
    socket.send(vec![1u8, 2, 3]).await.unwrap();
    assert_eq!(talk.hears().await, "451-[\"message\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(talk.packet().await, (true, Bytes::from_static(&[1, 2, 3])));
    talk.say("420[\"taiwa:publish\",\"room\",\"said\",\"hello\"]").await;
    let heard = [talk.hears().await, talk.hears().await];
    assert!(heard.contains(&"42[\"said\",\"hello\"]".to_owned()), "{heard:?}");
    assert!(heard.iter().any(|it| it.starts_with("430[{")), "{heard:?}");
    let said = soon(socket.recv()).await.unwrap().unwrap();
    assert_eq!(said, taiwa::Message::from("\"hello\""));

    let why = Disconnect::App { code: 4000, reason: "enough".into(), may_return: false };
    let order = Order::Disconnect { whom: Whom::All, which: None, why };
    soon(place.running.control().order(order)).await.unwrap();
    assert_eq!(talk.hears().await, "41");
    assert_eq!(talk.ends().await.0, 4000);
}

#[tokio::test]
async fn a_session_joins_a_conversation_of_another_node() {
    let world = World::new(1);
    let node = |id: u64| {
        let cluster = Cluster::of(&world.join(NodeId(id << 48 | 1)));
        Place::with(|_| {}, Config::default(), Some(cluster))
    };
    let (one, two) = (node(1).await, node(2).await);
    let sid = one.poll().await;
    let mut talk = two.session().await;
    talk.say(&format!("0{{\"sid\":\"{sid}\"}}")).await;
    talk.say("2probe").await;
    let (waiting, ()) = tokio::join!(one.ask("GET", &sid, ""), async {
        assert_eq!(talk.hears().await, "3probe");
    });
    assert_eq!(waiting.1, "6");
    talk.say("5").await;
    let mut other = two.enter().await;
    let long = "x".repeat(300_000);
    for said in ["1", &format!("\"{long}\"")] {
        let packet = format!("42[\"say\",{said}]");
        talk.say(&packet).await;
        assert!(talk.hears().await == packet);
        assert!(other.hears().await == packet);
    }
    talk.say("1").await;
    assert_eq!(talk.ends().await, end(1000, ""));
    // Its node has forgotten it, and so the other knows.
    let mut late = two.session().await;
    late.say(&format!("0{{\"sid\":\"{sid}\"}}")).await;
    let why = "{\"code\":1,\"message\":\"Session ID unknown\"}";
    assert_eq!(late.ends().await, end(4400, why));
}

#[tokio::test]
async fn while_the_server_drains_nobody_new_is_let_in() {
    let place = Place::new().await;
    let (stranger, talk) = (place.session().await, place.enter().await);
    soon(place.running.drain(Duration::from_secs(10))).await;
    assert_eq!(talk.ends().await.0, 1012);
    for mut late in [stranger, place.session().await] {
        late.say("0").await;
        assert_eq!(late.ends().await, end(4503, "the server goes away"));
    }
    soon(place.running.shut_down(Duration::from_secs(10))).await.unwrap();
}
