//! Clients whose requests and WebSockets reach another node than that of their conversation: three nodes, on each broker.

use std::{net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use taiwa::{CloseCode, Config, Message, Origins, Server, WebSocket};
use taiwa_core::{Cluster, NodeId};
use taiwa_server::{Anyone, HostLimits, Running, Site, hub::Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

use crate::{fixture::Fixture, node::SOON, puppet::Puppets};

pub(crate) struct Node {
    running: Running,
    addr: SocketAddr,
    id: NodeId,
    cluster: Cluster,
}

/// Three nodes, and what their conversations hear.
pub(crate) struct House {
    nodes: Vec<Node>,
    told: UnboundedReceiver<String>,
    heard: Vec<String>,
}

async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(SOON, it).await.expect("in time")
}

impl House {
    async fn new(fixture: &dyn Fixture) -> Self {
        let (tell, told) = unbounded_channel();
        let mut nodes: Vec<Node> = vec![];
        for _ in 0..3 {
            let cluster = fixture.join().await;
            let mut limits = HostLimits::default();
            limits.exchanges_max = 64;
            let site = Site::new(Settings::open(), Arc::new(Anyone))
                .dialect(Puppets::new(tell.clone()))
                .limits(limits)
                .origins(Origins::Any)
                .cluster(cluster.clone());
            let running = site.start().unwrap();
            let mut config = Config::default();
            config.limits.outbox_bytes_max = 64 << 10;
            let server = Server::bind("127.0.0.1:0").await.unwrap().config(config);
            let addr = server.local_addr().unwrap();
            tokio::spawn(running.serve(server, |_| async { None }).into_future());
            nodes.push(Node { running, addr, id: cluster.registry.node(), cluster });
        }
        let house = Self { nodes, told, heard: vec![] };
        soon(async {
            while house.nodes.iter().any(|it| it.cluster.registry.nodes().len() < 3) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        house
    }

    /// Waits until a puppet tells this, and returns what follows it.
    async fn hears(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.heard.iter().position(|it| it.starts_with(what)) {
                return self.heard.remove(at)[what.len()..].trim().to_owned();
            }
            match timeout(SOON, self.told.recv()).await {
                Ok(told) => self.heard.push(told.expect("there are puppets")),
                Err(_) => panic!("nobody told {what:?}, but {:?}", self.heard),
            }
        }
    }

    /// Begins a request at a node.
    async fn begin(&self, node: usize, target: &str, orders: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.nodes[node].addr).await.unwrap();
        let len = orders.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n"
        );
        socket.write_all((head + orders).as_bytes()).await.unwrap();
        socket
    }

    /// Has a puppet do something by a request at a node, and returns status and body.
    async fn post(&self, node: usize, target: &str, orders: &str) -> (u16, String) {
        finish(self.begin(node, target, orders).await).await
    }

    /// Opens a conversation at a node, and returns its address.
    async fn open(&self, node: usize, name: &str) -> String {
        let target = format!("/http?name={name}");
        let (status, address) = self.post(node, &target, "alarm 600000; reply address").await;
        assert_eq!((status, address.len()), (200, 68), "{address}");
        address
    }

    async fn try_connect(&self, node: usize, target: &str) -> Result<WebSocket, taiwa::Error> {
        soon(taiwa::connect(&format!("ws://{}{target}", self.nodes[node].addr))).await
    }

    async fn connect(&self, node: usize, target: &str) -> WebSocket {
        self.try_connect(node, target).await.expect("it opens")
    }

    /// Opens a conversation at one node and a WebSocket of it at another.
    async fn join(&mut self, name: &str, here: usize, there: usize) -> (String, WebSocket) {
        let address = self.open(there, name).await;
        let socket = self.connect(here, &format!("/join?to={address}")).await;
        self.hears(&format!("{name}: joined 1")).await;
        (address, socket)
    }

    /// Waits until no node has a conversation.
    async fn is_empty(&self) {
        for node in &self.nodes {
            soon(async {
                loop {
                    let shards = node.running.control().look(10).await;
                    if shards.iter().all(|it| it.dialects.is_empty() && it.lines == [0; 3]) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
    }
}

/// Reads the answer to a request to its end.
async fn finish(mut socket: TcpStream) -> (u16, String) {
    let mut answer = vec![];
    soon(socket.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).expect("a text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let body = if head.contains("transfer-encoding: chunked") { whole(body) } else { body.into() };
    (head[9..12].parse().expect("a status"), body)
}

/// Puts a chunked body together (RFC 9112 §7.1).
fn whole(mut body: &str) -> String {
    let mut all = String::new();
    while let Some((len, rest)) = body.split_once("\r\n") {
        let len = usize::from_str_radix(len, 16).expect("a length");
        if len == 0 {
            break;
        }
        all += &rest[..len];
        body = &rest[len + 2..];
    }
    all
}

async fn said(socket: &mut WebSocket) -> String {
    let message = soon(socket.recv()).await.expect("it is open").expect("a message");
    message.as_text().expect("a text").to_owned()
}

/// Waits for the end, and returns code and reason; 1006 without a closing handshake.
async fn closed(socket: &mut WebSocket) -> (u16, String) {
    while let Ok(Some(_)) = soon(socket.recv()).await {}
    let closed = socket.closed();
    closed.map_or((1006, String::new()), |it| (it.code.into(), it.reason.as_str().to_owned()))
}

pub(crate) async fn a_websocket_joins_a_conversation_of_another_node(fixture: &dyn Fixture) {
    let mut house = House::new(fixture).await;
    let (address, mut socket) = house.join("p", 0, 1).await;
    // In order, both ways, whatever the kind and the size.
    for number in 0..200 {
        socket.send(format!("send 1 {number}")).await.unwrap();
    }
    for number in 0..200 {
        assert_eq!(said(&mut socket).await, number.to_string());
    }
    for len in [0, 1, 125, 70_000, 1 << 20] {
        let sent = Message::Binary(vec![7; len].into());
        socket.send(sent.clone()).await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Some(sent));
        socket.send(format!("fill 1 {len}")).await.unwrap();
        assert_eq!(said(&mut socket).await.len(), len);
    }
    // What is said to all comes over it, and so does what waited.
    socket.send("flow none; connect; hear news").await.unwrap();
    house.hears("p: hear: subscribed").await;
    let (_, mut sayer) = house.join("s", 1, 2).await;
    sayer.send("connect; say news early").await.unwrap();
    house.hears("s: say: published").await;
    socket.send("flow 1").await.unwrap();
    sayer.send("say news late").await.unwrap();
    assert_eq!(said(&mut socket).await, "all: early");
    assert_eq!(said(&mut socket).await, "all: late");
    // A third node brings another, which takes over.
    let mut second = house.connect(2, &format!("/join?to={address}")).await;
    house.hears("p: joined 2").await;
    second.send("flow 2; close 1 4005").await.unwrap();
    assert_eq!(closed(&mut socket).await, (4005, "closed".into()));
    house.hears("p: left 1").await;
    sayer.send("say news moved").await.unwrap();
    assert_eq!(said(&mut second).await, "all: moved");
    let closed_by_client = soon(second.close(CloseCode::new(4321), "enough")).await.unwrap();
    assert_eq!((u16::from(closed_by_client.code), closed_by_client.clean), (4321, true));
    house.hears("p: left 2").await;
    house.post(2, &format!("/http?to={address}"), "reply 204; end 1000 done").await;
    sayer.send("end 4000 done").await.unwrap();
    assert_eq!(closed(&mut sayer).await, (4000, "done".into()));
    house.is_empty().await;
}

pub(crate) async fn who_goes_without_a_word_is_missed_on_the_other_node(fixture: &dyn Fixture) {
    let mut house = House::new(fixture).await;
    let address = house.open(1, "p").await;
    let mut socket = TcpStream::connect(house.nodes[0].addr).await.unwrap();
    let head = format!(
        "GET /join?to={address} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    house.hears("p: joined 1").await;
    drop(socket);
    house.hears("p: left 1").await;
    // One who gives up a poll is missed, too, and at once.
    let target = format!("/http?to={address}");
    let poll = house.begin(0, &target, "reply poll; flow this").await;
    house.hears("p: asked 2").await;
    drop(poll);
    house.hears("p: left 2").await;
    let waits = house.begin(2, &target, "later").await;
    house.hears("p: asked 3").await;
    drop(waits);
    house.hears("p: left 3").await;
    assert_eq!(house.post(2, &target, "answer 3 200 no; reply 204; end 1000 x").await.0, 204);
    house.is_empty().await;
}

pub(crate) async fn requests_reach_their_conversation_in_the_order_in_which_they_came(
    fixture: &dyn Fixture,
) {
    let mut house = House::new(fixture).await;
    let address = house.open(1, "p").await;
    house.hears("p: asked").await;
    let target = format!("/http?to={address}");
    for _ in 0..20 {
        // They are begun one behind the other, and none is waited for meanwhile.
        let mut answers: Vec<_> = (0..20)
            .map(|number| {
                let body = Full::<Bytes>::from("reply 200 done");
                let request = http::Request::builder().method(format!("M{number}").as_str());
                let running = house.nodes[0].running.clone();
                let request = request.uri(&target).body(body).unwrap();
                Box::pin(async move { running.answer(request).await.status() })
            })
            .collect();
        soon(std::future::poll_fn(|cx| {
            answers.retain_mut(|it| match it.as_mut().poll(cx) {
                Poll::Ready(status) => {
                    assert_eq!(status, 200);
                    false
                }
                Poll::Pending => true,
            });
            if answers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }))
        .await;
        for number in 0..20 {
            let told = house.hears("p: asked").await;
            assert!(told.ends_with(&format!(" M{number}")), "{told} is number {number}");
        }
    }
}

pub(crate) async fn who_does_not_read_is_sent_away_and_who_floods_is_not_read(
    fixture: &dyn Fixture,
) {
    let mut house = House::new(fixture).await;
    let (_, socket) = house.join("p", 0, 1).await;
    // A flood that nobody reads comes to stand in bounded memory, and loses nothing.
    let (sender, mut receiver) = socket.split();
    let flood = tokio::spawn(async move {
        for number in 0..1500_u32 {
            let mut payload = vec![7; 16 << 10];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            sender.send(payload).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let queued = house.nodes[1].running.control().look(0).await[0].queued_bytes;
    assert!(queued <= (64 << 10) + (32 << 10), "{queued} bytes wait");
    assert!(!flood.is_finished(), "24 MB wait somewhere");
    for number in 0..1500_u32 {
        let message = soon(receiver.recv()).await.unwrap().expect("a message").into_bytes();
        assert_eq!(message[..4], number.to_be_bytes());
    }
    soon(flood).await.unwrap();
    // Who does not read what others say is sent away, as on its own node.
    let (_, mut lazy) = house.join("q", 0, 1).await;
    lazy.send("connect; hear news; flow 1").await.unwrap();
    house.hears("q: hear: subscribed").await;
    let (_, mut sayer) = house.join("s", 2, 1).await;
    sayer.send("connect").await.unwrap();
    let long = "x".repeat(60_000);
    soon(async {
        loop {
            sayer.send(format!("say news {long}")).await.unwrap();
            house.hears("s: say: published").await;
            while let Ok(it) = house.told.try_recv() {
                house.heard.push(it);
            }
            if house.heard.iter().any(|it| it.starts_with("q: sent away Slow")) {
                return;
            }
        }
    })
    .await;
    drop(lazy);
    let address = house.open(1, "p").await;
    assert_eq!(house.post(0, &format!("/http?to={address}"), "reply 200 on").await.1, "on");
}

pub(crate) async fn what_is_not_there_is_told_by_whatever_node(fixture: &dyn Fixture) {
    let mut house = House::new(fixture).await;
    let (address, mut socket) = house.join("p", 0, 1).await;
    socket.send("end 4000 done").await.unwrap();
    assert_eq!(closed(&mut socket).await.0, 4000);
    for node in 0..3 {
        for (path, status) in [("/worded", 418), ("/http", 404), ("/join", 404)] {
            let target = format!("{path}?to={address}");
            if path != "/join" {
                assert_eq!(house.post(node, &target, "reply 200").await.0, status, "{path}");
            }
            if path != "/http" {
                match house.try_connect(node, &target).await {
                    Err(taiwa::Error::Refused(it)) => assert_eq!(it.status(), status, "{path}"),
                    other => panic!("{:?}", other.map(drop)),
                }
            }
        }
        // Who may begin anew does.
        let target = format!("/worded?name=n{node}&to_or_new={address}");
        assert_eq!(house.post(node, &target, "reply 200 new").await, (200, "new".into()));
        house.hears(&format!("n{node}: asked 0")).await;
        let mut socket = house.connect(node, &target).await;
        house.hears(&format!("n{node}: joined 0")).await;
        socket.send("end 4000 done").await.unwrap();
        assert_eq!(closed(&mut socket).await.0, 4000);
    }
    // As long as it is there, nobody begins anew.
    let (address, _socket) = house.join("q", 0, 1).await;
    let target = format!("/worded?name=wrong&to_or_new={address}");
    assert_eq!(house.post(2, &target, "reply 200 old").await, (200, "old".into()));
    house.hears("q: asked 2").await;
    let _second = house.connect(2, &target).await;
    house.hears("q: joined 3").await;
}

pub(crate) async fn a_node_that_leaves_says_so_to_all(fixture: &dyn Fixture) {
    let mut house = House::new(fixture).await;
    let (_, mut from_it) = house.join("p", 0, 1).await;
    let (_, mut to_it) = house.join("q", 2, 0).await;
    let (_, mut another) = house.join("r", 1, 2).await;
    let leaving = house.nodes[0].running.clone();
    // It drains, whose socket it has and whose conversation it has: both are told, in the words of the dialect.
    let draining = tokio::spawn(async move { leaving.drain(Duration::from_secs(2)).await });
    house.hears("p: sent away Shutdown(Some(").await;
    house.hears("q: sent away Shutdown(Some(").await;
    assert_eq!(closed(&mut from_it).await, (4001, "bye".into()));
    assert_eq!(closed(&mut to_it).await, (4001, "bye".into()));
    soon(draining).await.unwrap();
    another.send("send 1 still here").await.unwrap();
    assert_eq!(said(&mut another).await, "still here");
    // One that shuts down at once says so, too.
    let (_, mut late) = house.join("t", 1, 2).await;
    let (_, mut later) = house.join("u", 2, 1).await;
    soon(house.nodes[1].running.shut_down(Duration::from_secs(3))).await.unwrap();
    for (name, socket) in [("r", &mut another), ("t", &mut late), ("u", &mut later)] {
        house.hears(&format!("{name}: sent away Shutdown")).await;
        assert_eq!(closed(socket).await, (4001, "bye".into()), "{name}");
    }
}

/// Lets a node die, and waits until the others know.
async fn dies(house: &House, fixture: &dyn Fixture, node: usize) {
    let Node { id, cluster, .. } = &house.nodes[node];
    fixture.kill(cluster.clone()).await;
    soon(async {
        while house.nodes[2].cluster.registry.nodes().contains(id) {
            fixture.pass(Duration::from_millis(200)).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// In memory alone: of the other brokers a node dies with its process, see `interop/`.
pub(crate) async fn a_dead_node_ends_the_lines_that_went_through_it(fixture: &dyn Fixture) {
    let mut house = House::new(fixture).await;
    let (address, mut of_it) = house.join("p", 2, 0).await;
    let (_, _by_it) = house.join("q", 0, 2).await;
    let (_, mut another) = house.join("r", 1, 2).await;
    let poll = house.begin(0, &format!("/http?to={}", house.open(2, "s").await), "later").await;
    house.hears("s: asked 1").await;
    dies(&house, fixture, 0).await;
    assert_eq!(closed(&mut of_it).await.0, 1006, "whose conversation it had");
    house.hears("q: left 1").await;
    house.hears("s: left 1").await;
    drop(poll);
    another.send("send 1 still here").await.unwrap();
    assert_eq!(said(&mut another).await, "still here");
    assert_eq!(house.post(2, &format!("/worded?to={address}"), "").await.0, 418);
    let target = format!("/worded?name=n&to_or_new={address}");
    assert_eq!(house.post(2, &target, "reply 200 new").await.1, "new");
}

/// In memory alone, where it can be said which letters get lost.
pub(crate) async fn what_gets_lost_between_nodes_ends_the_line(fixture: &dyn Fixture) {
    let mut house = House::new(fixture).await;
    let (_, mut socket) = house.join("p", 0, 1).await;
    socket.send("send 1 before").await.unwrap();
    assert_eq!(said(&mut socket).await, "before");
    fixture.stop(crate::fixture::Kept::Everything).await;
    socket.send("send 1 lost").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    fixture.start().await;
    // The line does not go on as if nothing had been.
    let _ = socket.send("send 1 after").await;
    assert_eq!(closed(&mut socket).await.0, 1006);
    house.hears("p: left 1").await;
}

pub(crate) async fn a_poll_is_given_up_when_nodes_did_not_hear_each_other(fixture: &dyn Fixture) {
    let mut house = House::new(fixture).await;
    let address = house.open(1, "p").await;
    let target = format!("/http?to={address}");
    let poll = house.begin(0, &target, "reply poll; flow this").await;
    house.hears("p: asked 1").await;
    fixture.stop(crate::fixture::Kept::Everything).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    fixture.start().await;
    // Its answer may have been lost: neither side waits for it any longer, and its client may ask again.
    // With 404 where the other node was silent for so long that it was taken for dead.
    let (status, _) = finish(poll).await;
    assert!(matches!(status, 503 | 404), "{status}");
    house.hears("p: left 1").await;
    assert_eq!(soon(again(&house, &target)).await, "there");
}

/// Asks until the nodes hear each other.
async fn again(house: &House, target: &str) -> String {
    loop {
        let (status, body) = house.post(0, target, "reply 200 there").await;
        if status == 200 {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
