//! Sessions of WebTransport, of plain and of Centrifuge's clients: one channel with WebSockets, and what is volatile in it.

use std::{fs, future::Future, time::Duration};

use taiwa::{
    Message, WebSocket,
    webtransport::{self, BidirectionalStream, Ending, Session},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::support::{Folder, PATIENCE, Server};

const SETTINGS: &str = r#"
[dialects.centrifuge]
ping_every = "1s"

[[namespace]]
history_size = 100
recovery = "stream"
presence = true
rights = { subscribe = "all", publish = "all", history = "all", presence = "all" }
"#;

async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(PATIENCE, it).await.expect("in time")
}

/// `taiwa serve` with a certificate that its clients trust.
struct House {
    server: Server,
    pem: Vec<u8>,
    client: webtransport::Client,
    _folder: Folder,
}

impl House {
    fn new(name: &str, more: &[&str]) -> Self {
        let folder = Folder::new(name);
        let state = folder.0.join("state");
        let set = format!("tls.folder={}", state.display());
        let config = folder.write("taiwa.toml", SETTINGS);
        let args = ["--tls", "dev", "--set", &set, "--config", &config];
        let server = Server::start(&[&args, more].concat());
        let pem = fs::read(state.join("dev-cert.pem")).unwrap();
        let client = webtransport::Client::builder().roots(&pem).unwrap().build().unwrap();
        Self { server, pem, client, _folder: folder }
    }

    async fn session(&self, target: &str) -> (Session, BidirectionalStream) {
        let url = format!("https://{}{target}", self.server.addr);
        let session = soon(self.client.connect(&url)).await.unwrap();
        let stream = soon(session.open_bi()).await.unwrap();
        (session, stream)
    }

    /// Opens a session, and waits until it is in its channel: what it says itself comes back.
    async fn plain(&self, target: &str) -> (Session, BidirectionalStream) {
        let (session, mut stream) = self.session(&format!("{target}echo=true")).await;
        say(&mut stream, "in").await;
        assert_eq!(said(&mut stream).await, "in");
        (session, stream)
    }

    async fn websocket(&self, target: &str) -> WebSocket {
        let client = taiwa::Client::builder().root_certificate_pem(&self.pem).build().unwrap();
        soon(client.connect(&format!("wss://{}{target}", self.server.addr))).await.unwrap()
    }
}

/// Says one text on the stream of a plain client.
async fn say(stream: &mut BidirectionalStream, text: &str) {
    let message = [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    soon(stream.write_all(&message)).await.unwrap();
}

async fn said(stream: &mut BidirectionalStream) -> String {
    let len = soon(stream.read_u32()).await.unwrap() as usize;
    let mut text = vec![0; len];
    soon(stream.read_exact(&mut text)).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// A Centrifuge client's JSON: a line for each command and reply.
struct Lines {
    session: Session,
    stream: BidirectionalStream,
    read: Vec<u8>,
}

impl Lines {
    /// Comes in and subscribes to a channel.
    async fn new(house: &House, channel: &str) -> Self {
        let (session, stream) = house.session("/connection/webtransport").await;
        let mut lines = Self { session, stream, read: vec![] };
        lines.write(r#"{"id":1,"connect":{"name":"test"}}"#).await;
        assert!(lines.line().await.starts_with(r#"{"id":1,"connect":{"client":"#));
        lines.write(&format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#)).await;
        assert!(lines.line().await.starts_with(r#"{"id":2,"subscribe":{"#));
        lines
    }

    async fn write(&mut self, line: &str) {
        soon(self.stream.write_all(format!("{line}\n").as_bytes())).await.unwrap();
    }

    /// Returns the next line that is no ping; pings are answered.
    async fn line(&mut self) -> String {
        loop {
            let byte = soon(self.stream.read_u8()).await.unwrap();
            if byte != b'\n' {
                self.read.push(byte);
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut self.read)).unwrap();
            if line != "{}" {
                return line;
            }
            self.write("{}").await;
        }
    }

    /// Returns the data of the next publication.
    async fn publication(&mut self) -> String {
        let line = self.line().await;
        let data = line.split(r#""data":"#).nth(1).unwrap_or_else(|| panic!("{line}"));
        data.split([',', '}']).next().expect("there is a first part").to_owned()
    }
}

/// Sends a datagram again and again until something comes of it.
async fn until<T>(session: &Session, datagram: &[u8], heard: impl Future<Output = T>) -> T {
    let sending = async {
        loop {
            session.send_datagram(datagram).unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        heard = soon(heard) => heard,
        () = sending => unreachable!("it goes on"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_is_heard_by_whoever_listens_in_whatever_way_and_kept_nowhere() {
    let house = House::new("webtransport-volatile", &[]);
    let (speaker, mut kept) = house.plain("/news?").await;
    let (by_datagram, _stream) = house.plain("/news?").await;
    let (_session, mut by_stream) = house.plain("/news?datagrams=none&").await;
    let mut by_socket = house.websocket("/news").await;
    let mut by_lines = Lines::new(&house, "news").await;
    // What came to the first while the others came in.
    let heard = until(&speaker, b"\0here", by_datagram.recv_datagram()).await;
    assert_eq!(heard.as_deref(), Some(&b"\0here"[..]));
    let hears = async { while said(&mut by_stream).await != "there" {} };
    until(&speaker, b"\0there", hears).await;
    let hears =
        async { while by_socket.recv().await.unwrap() != Some(Message::from("over there")) {} };
    until(&speaker, b"\0over there", hears).await;
    let hears = async { while by_lines.publication().await != r#""everywhere""# {} };
    until(&speaker, b"\0everywhere", hears).await;
    // Its own echo comes as a datagram, too.
    let hears = async { while speaker.recv_datagram().await.as_deref() != Some(b"\x01\x07") {} };
    until(&speaker, b"\x01\x07", hears).await;

    say(&mut kept, "kept").await;
    by_lines.write(r#"{"id":3,"history":{"channel":"news","limit":100}}"#).await;
    let mut history = by_lines.line().await;
    while !history.starts_with(r#"{"id":3,"#) {
        history = by_lines.line().await;
    }
    let data = |it: &str| it.split(r#""data":"#).skip(1).map(|it| it[..8].to_owned()).collect();
    let of_history: Vec<String> = data(&history);
    // Each of the three plain sessions has said that it is in.
    assert!(of_history.iter().all(|it| it.contains("in") || it.contains("kept")), "{history}");
    assert!(of_history.len() >= 3 && history.contains(r#""offset":"#), "{history}");
    for word in ["here", "everywhere"] {
        assert!(!history.contains(word), "{history}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_may_come_by_datagrams_and_what_is_too_long_for_one_comes_on_the_stream() {
    let house = House::new("webtransport-all", &[]);
    let mut socket = house.websocket("/news").await;
    let (session, mut stream) = house.session("/news?datagrams=all").await;
    let heard = async {
        loop {
            soon(socket.send("said on a WebSocket")).await.unwrap();
            let heard = timeout(Duration::from_millis(100), session.recv_datagram());
            if let Ok(heard) = heard.await {
                break heard;
            }
        }
    };
    assert_eq!(soon(heard).await.as_deref(), Some(&b"\0said on a WebSocket"[..]));
    let long = "x".repeat(5000);
    soon(socket.send(long.as_str())).await.unwrap();
    assert_eq!(said(&mut stream).await, long);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_centrifuge_client_comes_by_lines_and_hears_why_it_has_to_leave() {
    let house = House::new("webtransport-lines", &[]);
    let mut socket = house.websocket("/news?echo=true").await;
    // Once it hears itself it is in its channel.
    soon(socket.send("in")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some(Message::from("in")));
    let mut one = Lines::new(&house, "news").await;
    one.write(r#"{"id":3,"publish":{"channel":"news","data":{"n":1}}}"#).await;
    let (mut first, mut second) = (one.line().await, one.line().await);
    if first.contains("push") {
        (first, second) = (second, first);
    }
    assert_eq!(first, r#"{"id":3,"publish":{}}"#);
    assert!(second.starts_with(r#"{"push":{"channel":"news","pub":{"data":{"n":1},"#), "{second}");
    let heard = soon(socket.recv()).await.unwrap();
    assert_eq!(heard, Some(Message::from(r#"{"n":1}"#)));
    // Several at once, in pieces that end where no command does.
    for piece in
        ["{\"id\":4,\"pi", "ng\":{}}\n{\"id\":5,\"presence\":{\"chan", "nel\":\"news\"}}\n"]
    {
        soon(one.stream.write_all(piece.as_bytes())).await.unwrap();
        soon(one.stream.flush()).await.unwrap();
    }
    assert_eq!(one.line().await, r#"{"id":4,"ping":{}}"#);
    assert!(one.line().await.starts_with(r#"{"id":5,"presence":{"presence":{"#));
    // It is asked for a sign of life each second, and gives one.
    sleep(Duration::from_millis(2500)).await;
    one.write(r#"{"id":6,"ping":{}}"#).await;
    assert_eq!(one.line().await, r#"{"id":6,"ping":{}}"#);
    one.write("nonsense").await;
    let push = r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#;
    assert_eq!(one.line().await, push);
    let ending = soon(one.session.closed()).await;
    assert_eq!(ending, Ending::ByPeer(3501, "bad request".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_centrifuge_client_may_speak_protocol_buffers() {
    let house = House::new("webtransport-protobuf", &[]);
    let target = "/connection/webtransport?cf_protocol=protobuf";
    let (_session, mut stream) = house.session(target).await;
    // Commands 1, connect, and 2, subscribe to `news`.
    let commands = b"\x04\x08\x01\x22\x00\x0a\x08\x02\x2a\x06\x0a\x04news";
    soon(stream.write_all(commands)).await.unwrap();
    let reply = async |stream: &mut BidirectionalStream| {
        let len = usize::from(soon(stream.read_u8()).await.unwrap());
        assert!(len < 0x80, "a reply of a few bytes");
        let mut reply = vec![0; len];
        soon(stream.read_exact(&mut reply)).await.unwrap();
        reply
    };
    assert_eq!(reply(&mut stream).await[..2], *b"\x08\x01");
    assert_eq!(reply(&mut stream).await[..2], *b"\x08\x02");
    let mut socket = house.websocket("/news").await;
    soon(socket.send("dialogue")).await.unwrap();
    let push = reply(&mut stream).await;
    assert!(push.windows(8).any(|it| it == b"dialogue"), "{push:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_a_switch() {
    for (name, set) in [("webtransport-off", ""), ("webtransport-unspoken", "dialects.centrifuge.")]
    {
        let house = House::new(name, &["--set", &format!("{set}webtransport=false")]);
        let url = format!("https://{}/connection/webtransport", house.server.addr);
        let refused = soon(house.client.connect(&url)).await;
        assert!(refused.is_err(), "{set}: {refused:?}");
        let _socket = house.websocket("/connection/websocket").await;
        if !set.is_empty() {
            let _others_are_let_in = house.plain("/news?").await;
        }
    }
}
