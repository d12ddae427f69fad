//! Two servers that are nodes of one cluster in memory, and clients of each.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use taiwa::{Message, Server};
use taiwa_core::{Channel, Cluster, NodeId, Payload, Publish};
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
    let Ok(Done::Sessions(all)) = order(Order::Sessions { user: None, limit: 10 }).await else {
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
    let Ok(Done::Affected(1)) = order(Order::Disconnect { whom: Whom::Session(id), why }).await
    else {
        panic!()
    };
    let end = timeout(SOON, bob.recv()).await.unwrap();
    assert!(matches!(end, Ok(None)), "{end:?}");
}
