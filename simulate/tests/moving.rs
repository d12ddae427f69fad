//! Sessions that go on at another node, with their log, and presence that is the same wherever one asks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Channel, Cluster, Command, Connect, Delivery, Event, Link, NodeId, Payload, Position, Publish,
    Reply, Resume, ResumeKey, Resumed, Subscribe, Target, Token,
};
use taiwa_hub::Settings;
use taiwa_memory::World;
use taiwa_simulate::{Crowd, Who};

const LINK: Link = Link(0);

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

struct Pair {
    world: Arc<World>,
    ids: [NodeId; 2],
    nodes: [Crowd; 2],
}

/// A client that has a session which is kept.
struct Guest {
    who: Who,
    key: ResumeKey,
    heard: Vec<(u64, String)>,
    positions: Vec<(Channel, Position)>,
}

impl Pair {
    fn new() -> Self {
        let (world, start) = (World::new(7), Instant::now());
        let ids = [NodeId(1 << 48 | 5), NodeId(2 << 48 | 6)];
        let nodes = ids.map(|id| {
            Crowd::new(2, Settings::open(), start).in_cluster(Cluster::of(&world.join(id)))
        });
        let mut it = Self { world, ids, nodes };
        it.settle();
        it
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            let mut is_busy = false;
            for node in &mut self.nodes {
                is_busy |= node.turn();
            }
            if !is_busy && self.nodes.iter().all(|it| !it.is_busy()) {
                return;
            }
        }
        panic!("the nodes find no rest");
    }

    fn pass(&mut self, time: Duration) {
        self.world.advance(time);
        for node in &mut self.nodes {
            node.pass(time);
        }
        self.settle();
    }

    fn ask(&mut self, node: usize, who: Who, command: Command) -> (Token, Vec<Event>) {
        let token = self.nodes[node].ask(who, command);
        self.settle();
        (token, self.nodes[node].heard(who))
    }

    fn reply(&mut self, node: usize, who: Who, command: Command) -> Reply {
        let (token, events) = self.ask(node, who, command);
        let found = events.into_iter().find_map(|it| match it {
            Event::Reply(it, reply) if it == token => Some(reply.unwrap()),
            _ => None,
        });
        found.expect("an answer")
    }

    fn come(&mut self, node: usize, user: &str) -> Who {
        let who = self.nodes[node].enter(0);
        let connect = Connect { token: Some(user.into()), ..Connect::default() };
        self.reply(node, who, Command::Connect(LINK, Box::new(connect)));
        who
    }

    fn subscribe(&mut self, node: usize, who: Who, name: &str) {
        let wish = Subscribe::new(Target::Channel(channel(name)), Delivery::Personal);
        self.reply(node, who, Command::Subscribe(LINK, Box::new(wish)));
    }

    fn say(&mut self, node: usize, name: &str, text: &str) {
        let who = self.come(node, "speaker");
        let publish = Publish::new(channel(name), Payload::Text(text.to_owned().into()));
        self.reply(node, who, Command::Publish(LINK, Box::new(publish)));
        self.nodes[node].leave(who, false);
        self.pass(Duration::from_millis(10));
    }

    /// A guest of the first node that hears `a` and `b`.
    fn guest(&mut self) -> Guest {
        let who = self.come(0, "ada");
        let Reply::Kept(key) = self.reply(0, who, Command::Keep(Duration::from_secs(60))) else {
            panic!()
        };
        for name in ["a", "b"] {
            self.subscribe(0, who, name);
        }
        Guest { who, key, heard: vec![], positions: vec![] }
    }

    fn listen(&mut self, node: usize, guest: &mut Guest) {
        for event in self.nodes[node].heard(guest.who) {
            guest.take(event);
        }
    }

    /// Takes the session up at the second node.
    fn resume(&mut self, guest: &mut Guest, positions: bool, read: u64) -> Resumed {
        let positions = if positions { guest.positions.clone() } else { vec![] };
        let resume = Some(Resume { key: guest.key, read, positions });
        let connect = Connect { token: Some("ada".into()), resume, ..Connect::default() };
        guest.who = self.nodes[1].enter(1);
        let command = Command::Connect(LINK, Box::new(connect));
        let (token, mut events) = self.ask(1, guest.who, command);
        if events.is_empty() {
            // The node that had it says nothing; the store is asked then.
            self.pass(Duration::from_secs(3));
            events = self.nodes[1].heard(guest.who);
        }
        let mut resumed = None;
        for event in events {
            match event {
                Event::Reply(it, Ok(Reply::Connected(connected))) if it == token => {
                    resumed = connected.resumed;
                }
                event => {
                    assert!(resumed.is_some(), "it is told first that it goes on");
                    guest.take(event);
                }
            }
        }
        resumed.expect("it is told what became of it")
    }
}

impl Guest {
    fn take(&mut self, event: Event) {
        let Event::Said(_, Target::Channel(name), publication, number) = event else { return };
        let Payload::Text(text) = &publication.payload else { panic!() };
        self.heard.push((number, String::from_utf8(text.to_vec()).unwrap()));
        self.positions.retain(|(it, _)| *it != name);
        self.positions.push((name, publication.position.unwrap()));
    }

    fn texts(&self) -> Vec<&str> {
        self.heard.iter().map(|(_, text)| &**text).collect()
    }
}

#[test]
fn a_session_goes_on_at_another_node_while_its_own_is_alive() {
    let mut pair = Pair::new();
    let mut guest = pair.guest();
    pair.say(1, "a", "a1");
    pair.say(0, "b", "b1");
    pair.listen(0, &mut guest);
    assert_eq!(guest.texts(), ["a1", "b1"]);
    let read = guest.heard.last().unwrap().0;
    pair.nodes[0].leave(guest.who, true);
    pair.settle();
    pair.say(0, "a", "a2");
    pair.say(1, "b", "b2");
    assert_eq!(pair.resume(&mut guest, false, read), Resumed::Whole);
    pair.say(0, "a", "a3");
    pair.listen(1, &mut guest);
    assert_eq!(guest.texts(), ["a1", "b1", "a2", "b2", "a3"]);
    let numbers: Vec<_> = guest.heard.iter().map(|it| it.0).collect();
    assert_eq!(numbers, (read - 1..read + 4).collect::<Vec<_>>(), "one log, without a hole");
    assert_eq!(pair.nodes[0].counts(), (0, 0, 0), "nothing of it is left behind");
}

#[test]
fn a_session_goes_on_when_its_node_died_while_it_was_away() {
    let mut pair = Pair::new();
    let mut guest = pair.guest();
    pair.say(0, "a", "a1");
    pair.listen(0, &mut guest);
    let read = guest.heard.last().unwrap().0;
    pair.nodes[0].leave(guest.who, true);
    pair.settle();
    pair.world.kill(pair.ids[0]);
    pair.say(1, "a", "a2");
    pair.say(1, "b", "b1");
    assert_eq!(pair.resume(&mut guest, false, read), Resumed::Whole);
    pair.say(1, "b", "b2");
    pair.listen(1, &mut guest);
    assert_eq!(guest.texts(), ["a1", "a2", "b1", "b2"]);
}

#[test]
fn a_session_goes_on_when_its_node_died_under_it_if_its_client_knows_where_it_stands() {
    for knows in [true, false] {
        let mut pair = Pair::new();
        let mut guest = pair.guest();
        for (name, text) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
            pair.say(1, name, text);
        }
        pair.listen(0, &mut guest);
        // Of what was said last it has heard nothing.
        pair.say(1, "b", "b2");
        pair.world.kill(pair.ids[0]);
        pair.say(1, "a", "a3");
        let read = guest.heard.last().unwrap().0;
        let resumed = pair.resume(&mut guest, knows, read);
        pair.say(1, "b", "b3");
        pair.listen(1, &mut guest);
        if knows {
            assert_eq!(resumed, Resumed::Whole);
            let texts = guest.texts();
            let of = |name: &str| -> Vec<_> {
                texts.iter().copied().filter(|it| it.starts_with(name)).collect()
            };
            assert_eq!((of("a"), of("b")), (vec!["a1", "a2", "a3"], vec!["b1", "b2", "b3"]));
        } else {
            assert_eq!(resumed, Resumed::Anew, "nobody knows what it has heard");
            assert_eq!(guest.texts(), ["a1", "b1", "a2"], "it has no subscriptions");
        }
    }
}

#[test]
fn who_does_not_know_the_secret_gets_no_session() {
    let mut pair = Pair::new();
    let mut guest = pair.guest();
    let key = guest.key;
    guest.key.secret ^= 1;
    let owner = guest.who;
    assert_eq!(pair.resume(&mut guest, false, 0), Resumed::Anew);
    pair.say(0, "a", "a1");
    let heard = pair.nodes[0].heard(owner);
    assert!(heard.iter().any(|it| matches!(it, Event::Said(..))), "its owner still has it");
    let Reply::Kept(still) = pair.reply(0, owner, Command::Keep(Duration::from_secs(60))) else {
        panic!()
    };
    assert_eq!(still, key);
}

#[test]
fn presence_is_the_same_at_all_nodes_and_knows_first_and_last_of_a_user() {
    let mut pair = Pair::new();
    let watcher = pair.come(1, "watcher");
    let mut wish = Subscribe::new(Target::Channel(channel("a")), Delivery::Personal);
    wish.join_leave = true;
    pair.reply(1, watcher, Command::Subscribe(LINK, Box::new(wish)));
    pair.nodes[1].heard(watcher);
    let changes = |pair: &mut Pair| -> Vec<String> {
        let heard = pair.nodes[1].heard(watcher).into_iter();
        let told = heard.filter_map(|it| match it {
            Event::Joined(_, it) => Some(('+', it)),
            Event::Left(_, it) => Some(('-', it)),
            _ => None,
        });
        let user = |(sign, it): (char, Arc<taiwa_core::Change>)| {
            let user = it.member.client.user.as_ref().unwrap().as_str().to_owned();
            format!("{sign}{user}{}", if it.of_user { "!" } else { "" })
        };
        told.map(user).collect()
    };
    let (one, two) = (pair.come(0, "bob"), pair.come(1, "bob"));
    pair.subscribe(0, one, "a");
    pair.subscribe(1, two, "a");
    assert_eq!(changes(&mut pair), ["+bob!", "+bob"]);
    for (node, who) in [(0, one), (1, two)] {
        let Reply::Presence(members) = pair.reply(node, who, Command::Presence(LINK, channel("a")))
        else {
            panic!()
        };
        let mut users: Vec<_> =
            members.iter().map(|it| it.client.user.as_ref().unwrap().as_str()).collect();
        users.sort_unstable();
        assert_eq!(users, ["bob", "bob", "watcher"], "asked at node {node}");
        let counts = pair.reply(node, who, Command::Counts(LINK, channel("a")));
        assert!(matches!(counts, Reply::Counts { sessions: 3, users: 2 }), "{counts:?}");
    }
    changes(&mut pair);
    pair.nodes[1].leave(two, false);
    pair.settle();
    assert_eq!(changes(&mut pair), ["-bob"]);
    // Its node dies: the others say that it went.
    pair.world.kill(pair.ids[0]);
    pair.settle();
    let Reply::Presence(members) = pair.reply(1, watcher, Command::Presence(LINK, channel("a")))
    else {
        panic!()
    };
    assert_eq!(members.len(), 1, "{members:?}");
}
