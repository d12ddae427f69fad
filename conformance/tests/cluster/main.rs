//! Servers that are nodes of one cluster, and clients of each.

mod far;
#[path = "../brokers/fixture.rs"]
#[expect(dead_code, reason = "other suites need more of it")]
mod fixture;
#[path = "../brokers/memory.rs"]
mod memory;
#[path = "../brokers/nats.rs"]
mod nats;
#[path = "../../../crates/server/tests/site/puppet.rs"]
#[expect(dead_code, reason = "other suites need more of it")]
mod puppet;
#[path = "../brokers/redis.rs"]
#[expect(dead_code, reason = "other suites need more of it")]
mod redis;

/// How long nodes may take.
mod node {
    pub(crate) const SOON: std::time::Duration = std::time::Duration::from_secs(20);
}

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use taiwa::{Message, Server};
use taiwa_core::{Channel, Cluster, Keep, NodeId, Payload, Publish, Statement};
use taiwa_memory::World;
use taiwa_server::{
    Anyone, Running, Site,
    hub::{Done, Order, Settings, Whom},
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

struct Node {
    running: Running,
    addr: SocketAddr,
}

async fn node(world: &Arc<World>, id: u64) -> Node {
    let cluster = Cluster::of(&world.join(NodeId(id << 48 | 1)));
    let site = Site::new(Settings::open(), Arc::new(Anyone))
        .dialect(taiwa_plain::Plain::default())
        .dialect(taiwa_sse::Sse::default())
        .dialect(taiwa_centrifuge::Centrifuge::default())
        .cluster(cluster);
    let running = site.start().unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.addrs().unwrap()[0].tcp().unwrap();
    tokio::spawn(running.serve(server, |_| async { None }).into_future());
    Node { running, addr }
}

async fn connect(node: &Node, path: &str) -> taiwa::WebSocket {
    let url = format!("ws://{}{path}", node.addr);
    timeout(SOON, taiwa::connect(&url)).await.unwrap().unwrap()
}

async fn next(socket: &mut taiwa::WebSocket) -> String {
    let message = timeout(SOON, socket.recv()).await.expect("in time").unwrap().unwrap();
    match message {
        Message::Text(text) => text.as_str().to_owned(),
        Message::Binary(_) => panic!("a text was expected"),
    }
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

#[tokio::test]
async fn what_one_node_says_the_other_hears_in_order_and_once() {
    let world = World::new(1);
    let (one, two) = (node(&world, 1).await, node(&world, 2).await);
    let (mut ada, mut bob) =
        (connect(&one, "/chat?echo=true").await, connect(&two, "/chat?echo=true").await);
    // The subscription of each stands once it hears itself.
    for (number, socket) in [&mut ada, &mut bob].into_iter().enumerate() {
        socket.send(format!("here {number}")).await.unwrap();
        while next(socket).await != format!("here {number}") {}
    }
    while next(&mut ada).await != "here 1" {}
    for number in 0..100 {
        ada.send(format!("a{number}")).await.unwrap();
        bob.send(format!("b{number}")).await.unwrap();
    }
    let (mut heard_by_ada, mut heard_by_bob) = (vec![], vec![]);
    for _ in 0..200 {
        heard_by_ada.push(next(&mut ada).await);
        heard_by_bob.push(next(&mut bob).await);
    }
    assert_eq!(heard_by_ada, heard_by_bob, "all nodes have one order");
    for who in ["a", "b"] {
        let theirs: Vec<_> = heard_by_ada.iter().filter(|it| it.starts_with(who)).collect();
        let said: Vec<_> = (0..100).map(|it| format!("{who}{it}")).collect();
        assert!(theirs.into_iter().eq(&said), "{who}");
    }
}

#[tokio::test]
async fn orders_reach_sessions_of_all_nodes() {
    let world = World::new(1);
    let (one, two) = (node(&world, 1).await, node(&world, 2).await);
    let mut bob = connect(&two, "/chat?echo=true").await;
    bob.send("here").await.unwrap();
    assert_eq!(next(&mut bob).await, "here");

    let order = |order| {
        let control = one.running.control().clone();
        async move { timeout(SOON, control.order(order)).await.unwrap() }
    };
    let Ok(Done::Presence(members)) = order(Order::Presence(channel("chat"))).await else {
        panic!()
    };
    assert_eq!(members.len(), 1);
    let id = members[0].client.session;
    let Ok(Done::Sessions(all)) = order(Order::Sessions { whom: Whom::All, limit: 10 }).await
    else {
        panic!()
    };
    assert_eq!(all.iter().map(|it| it.session).collect::<Vec<_>>(), [id]);
    let list = Order::Channels { prefix: "".into(), limit: 10 };
    let Ok(Done::Channels(all)) = order(list).await else { panic!() };
    assert_eq!(all, [(channel("chat"), 1)]);
    let Ok(Done::Nodes(nodes)) = order(Order::Nodes).await else { panic!() };
    let counts: Vec<_> =
        nodes.iter().map(|(_, it)| it.iter().map(|it| it.sessions).sum::<usize>()).collect();
    assert_eq!(counts, [0, 1]);

    let mut publish = Publish::new(channel("chat"), Payload::Text("from afar".into()));
    publish.receipt = true;
    let Ok(Done::Published(published)) = order(Order::Publish(Box::new(publish))).await else {
        panic!()
    };
    assert_eq!(published.delivered, Some(1), "counted where it was delivered");
    assert_eq!(next(&mut bob).await, "from afar");

    let why = taiwa_core::Disconnect::App { code: 4001, reason: "out".into(), may_return: false };
    let Ok(Done::Affected(1)) =
        order(Order::Disconnect { whom: Whom::Session(id), which: None, why }).await
    else {
        panic!()
    };
    let end = timeout(SOON, bob.recv()).await.unwrap();
    assert!(matches!(end, Ok(None)), "{end:?}");
}

#[tokio::test]
async fn what_a_node_of_another_version_says_is_counted_and_the_rest_goes_on() {
    let world = World::new(1);
    let one = node(&world, 1).await;
    let mut ada = connect(&one, "/chat?echo=true").await;
    ada.send("here").await.unwrap();
    assert_eq!(next(&mut ada).await, "here");

    let stranger = Cluster::of(&world.join(NodeId(9 << 48 | 1)));
    let letters: [&[u8]; 4] = [
        // For the hub of a shard, for who forwards requests, for a part that nobody knows, for nobody.
        &[0, 200, 0, 0, 1],
        &[1, 200, 0, 1],
        &[99],
        &[],
    ];
    for letter in letters {
        let letter = Bytes::from_static(letter);
        stranger.registry.send(NodeId(1 << 48 | 1), letter, Box::new(|_| {}));
    }
    for body in [&[200, 1, 2][..], &[]] {
        let body = Bytes::from_static(body);
        let keep = Keep { size: 0, ttl: Duration::ZERO, epoch_ttl: Duration::ZERO };
        let channel = channel("chat");
        let said = Statement { channel, body, keep, id: None, to_patterns: false };
        stranger.broker.publish(said, Box::new(|it| assert!(it.is_ok())));
    }
    let unread = async {
        loop {
            let shards = one.running.control().look(0).await;
            let unread = shards.iter().map(|it| it.hub.counters.unread).sum::<u64>();
            if unread >= 6 {
                return unread;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(timeout(SOON, unread).await.expect("all are counted"), 6);
    ada.send("still here").await.unwrap();
    assert_eq!(next(&mut ada).await, "still here");
}

/// Plays scenes on one broker.
macro_rules! scenes {
    ($broker:ident: $($scene:ident),* $(,)?) => {
        mod $broker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scene() {
                    if let Some(fixture) = crate::$broker::fixture().await {
                        crate::far::$scene(&*fixture).await;
                    }
                }
            )*
        }
    };
    ($broker:ident) => {
        scenes! { $broker:
            a_websocket_joins_a_conversation_of_another_node,
            who_goes_without_a_word_is_missed_on_the_other_node,
            requests_reach_their_conversation_in_the_order_in_which_they_came,
            who_does_not_read_is_sent_away_and_who_floods_is_not_read,
            what_is_not_there_is_told_by_whatever_node,
            a_node_that_leaves_says_so_to_all,
            a_poll_is_given_up_when_nodes_did_not_hear_each_other,
        }
    };
}

mod on {
    scenes!(memory);
    scenes!(nats);
    scenes!(redis);
}

mod alone {
    scenes! { memory:
        a_dead_node_ends_the_lines_that_went_through_it,
        what_gets_lost_between_nodes_ends_the_line,
    }
}

/// Reads until something is said that has all of these words in it.
async fn until(socket: &mut taiwa::WebSocket, words: &[&str]) -> String {
    loop {
        let text = next(socket).await;
        let mut lines = text.lines();
        if let Some(line) = lines.find(|line| words.iter().all(|it| line.contains(it))) {
            return line.to_owned();
        }
    }
}

/// A client of Centrifugo's protocol, in a channel. Returns its identifier, too.
async fn listener(node: &Node) -> (taiwa::WebSocket, String) {
    let mut socket = connect(node, "/connection/websocket").await;
    socket.send(r#"{"id":1,"connect":{}}"#).await.unwrap();
    let connected = until(&mut socket, &["\"connect\"", "\"client\""]).await;
    let (_, client) = connected.split_once("\"client\":\"").unwrap();
    let client = client.split('"').next().unwrap().to_owned();
    socket.send(r#"{"id":2,"subscribe":{"channel":"chat","join_leave":true}}"#).await.unwrap();
    until(&mut socket, &["\"id\":2", "\"subscribe\""]).await;
    (socket, client)
}

#[tokio::test]
async fn who_was_at_a_node_that_dies_is_told_to_leave() {
    let world = World::new(1);
    let (one, two) = (node(&world, 1).await, node(&world, 2).await);
    let (mut ada, _) = listener(&one).await;
    let (_bob, id) = listener(&two).await;
    until(&mut ada, &["\"join\"", &id]).await;
    world.kill(NodeId(2 << 48 | 1));
    until(&mut ada, &["\"leave\"", &id]).await;
}
