//! Sessions that go on at another node, with their log, and presence that is the same wherever one asks.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Channel, Command, Connect, Delivery, Event, Link, Payload, Position, Publish, RefusalKind,
    Reply, Resume, ResumeKey, Resumed, Subscribe, Target, Token,
};
use taiwa_simulate::{Pair, Who};

const LINK: Link = Link(0);

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

struct Two(Pair);

/// A client that has a session which is kept.
struct Guest {
    who: Who,
    /// What it was told when it came back.
    links: Vec<(Link, Option<Arc<str>>)>,
    key: ResumeKey,
    heard: Vec<(u64, String)>,
    positions: Vec<Position>,
}

impl Two {
    fn ask(&mut self, node: usize, who: Who, command: Command) -> (Token, Vec<Event>) {
        let token = self.0.nodes[node].ask(who, command);
        self.0.settle();
        (token, self.0.nodes[node].heard(who))
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
        let who = self.0.nodes[node].enter(0);
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
        self.0.nodes[node].leave(who, false);
        self.0.pass(Duration::from_millis(10));
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
        Guest { who, key, links: vec![], heard: vec![], positions: vec![] }
    }

    fn listen(&mut self, node: usize, guest: &mut Guest) {
        for event in self.0.nodes[node].heard(guest.who) {
            guest.take(event);
        }
    }

    /// Takes the session up at the second node.
    fn resume(&mut self, guest: &mut Guest, positions: bool, read: u64) -> Resumed {
        self.resume_by(LINK, guest, positions, read)
    }

    fn resume_by(&mut self, link: Link, guest: &mut Guest, positions: bool, read: u64) -> Resumed {
        let positions = if positions { guest.positions.clone() } else { vec![] };
        let resume = Some(Resume { key: guest.key, read, positions });
        let connect = Connect { token: Some("ada".into()), resume, ..Connect::default() };
        guest.who = self.0.nodes[1].enter(1);
        let command = Command::Connect(link, Box::new(connect));
        let (token, mut events) = self.ask(1, guest.who, command);
        if events.is_empty() {
            // The node that had it says nothing; the store is asked then.
            self.0.pass(Duration::from_secs(3));
            events = self.0.nodes[1].heard(guest.who);
        }
        let mut resumed = None;
        for event in events {
            match event {
                Event::Reply(it, Ok(Reply::Connected(connected))) if it == token => {
                    resumed = connected.resumed;
                    guest.links = connected.links;
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
        let Event::Said(_, Target::Channel(_), publication, number) = event else { return };
        let Payload::Text(text) = &publication.payload else { panic!() };
        self.heard.push((number, String::from_utf8(text.to_vec()).unwrap()));
        let at = publication.position.unwrap();
        self.positions.retain(|it| it.epoch != at.epoch);
        self.positions.push(at);
    }

    fn texts(&self) -> Vec<&str> {
        self.heard.iter().map(|(_, text)| &**text).collect()
    }
}

#[test]
fn a_session_goes_on_at_another_node_while_its_own_is_alive() {
    let mut pair = Two(Pair::default());
    let mut guest = pair.guest();
    pair.say(1, "a", "a1");
    pair.say(0, "b", "b1");
    pair.listen(0, &mut guest);
    assert_eq!(guest.texts(), ["a1", "b1"]);
    let read = guest.heard.last().unwrap().0;
    pair.0.nodes[0].leave(guest.who, true);
    pair.0.settle();
    pair.say(0, "a", "a2");
    pair.say(1, "b", "b2");
    assert_eq!(pair.resume(&mut guest, false, read), Resumed::Whole);
    pair.say(0, "a", "a3");
    pair.listen(1, &mut guest);
    assert_eq!(guest.texts(), ["a1", "b1", "a2", "b2", "a3"]);
    let numbers: Vec<_> = guest.heard.iter().map(|it| it.0).collect();
    assert_eq!(numbers, (read - 1..read + 4).collect::<Vec<_>>(), "one log, without a hole");
    assert_eq!(pair.0.nodes[0].counts(), (0, 0, 0), "nothing of it is left behind");
}

#[test]
fn a_session_goes_on_when_its_node_died_while_it_was_away() {
    let mut pair = Two(Pair::default());
    let mut guest = pair.guest();
    pair.say(0, "a", "a1");
    pair.listen(0, &mut guest);
    let read = guest.heard.last().unwrap().0;
    pair.0.nodes[0].leave(guest.who, true);
    pair.0.settle();
    pair.0.world.kill(pair.0.ids[0]);
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
        let mut pair = Two(Pair::default());
        let mut guest = pair.guest();
        for (name, text) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
            pair.say(1, name, text);
        }
        pair.listen(0, &mut guest);
        // Of what was said last it has heard nothing.
        pair.say(1, "b", "b2");
        pair.0.world.kill(pair.0.ids[0]);
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
fn while_the_node_of_a_session_is_silent_its_client_is_asked_to_come_again() {
    let mut pair = Two(Pair::default());
    let mut guest = pair.guest();
    pair.say(1, "a", "a1");
    pair.listen(0, &mut guest);
    let read = guest.heard.last().unwrap().0;
    pair.0.world.hold(pair.0.ids[0]);
    let resume = Some(Resume { key: guest.key, read, positions: vec![] });
    let connect = Connect { token: Some("ada".into()), resume, ..Connect::default() };
    let who = pair.0.nodes[1].enter(1);
    let (token, events) = pair.ask(1, who, Command::Connect(LINK, Box::new(connect)));
    assert!(events.is_empty(), "{events:?}");
    pair.0.pass(Duration::from_secs(3));
    let answer = pair.0.nodes[1].heard(who).pop();
    let Some(Event::Reply(it, Err(why))) = answer else { panic!("{answer:?}") };
    assert_eq!((it, why.kind), (token, RefusalKind::Unavailable));

    // What it answers when it hears of it reaches nobody who waits; the store has it then.
    pair.0.world.release(pair.0.ids[0]);
    pair.0.settle();
    pair.say(0, "a", "a2");
    assert_eq!(pair.resume(&mut guest, false, read), Resumed::Whole);
    assert_eq!(guest.texts(), ["a1", "a2"]);
}

#[test]
fn a_session_goes_on_once_more_if_its_client_did_not_hear_that_it_does() {
    let mut pair = Two(Pair::default());
    let mut guest = pair.guest();
    pair.say(1, "a", "a1");
    pair.listen(0, &mut guest);
    let read = guest.heard.last().unwrap().0;
    assert_eq!(pair.resume(&mut guest, false, read), Resumed::Whole);
    pair.say(0, "a", "a2");
    guest.heard.clear();
    assert_eq!(pair.resume(&mut guest, false, read), Resumed::Whole);
    assert_eq!(guest.texts(), ["a2"]);
}

#[test]
fn who_does_not_know_the_secret_gets_no_session() {
    let mut pair = Two(Pair::default());
    let mut guest = pair.guest();
    let key = guest.key;
    guest.key.secret ^= 1;
    let owner = guest.who;
    assert_eq!(pair.resume(&mut guest, false, 0), Resumed::Anew);
    pair.say(0, "a", "a1");
    let heard = pair.0.nodes[0].heard(owner);
    assert!(heard.iter().any(|it| matches!(it, Event::Said(..))), "its owner still has it");
    let Reply::Kept(still) = pair.reply(0, owner, Command::Keep(Duration::from_secs(60))) else {
        panic!()
    };
    assert_eq!(still, key);
}

#[test]
fn presence_is_the_same_at_all_nodes_and_knows_first_and_last_of_a_user() {
    let mut pair = Two(Pair::default());
    let watcher = pair.come(1, "watcher");
    let mut wish = Subscribe::new(Target::Channel(channel("a")), Delivery::Personal);
    wish.join_leave = true;
    pair.reply(1, watcher, Command::Subscribe(LINK, Box::new(wish)));
    pair.0.nodes[1].heard(watcher);
    let changes = |pair: &mut Two| -> Vec<String> {
        let heard = pair.0.nodes[1].heard(watcher).into_iter();
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
    pair.0.nodes[1].leave(two, false);
    pair.0.settle();
    assert_eq!(changes(&mut pair), ["-bob"]);
    // Its node dies: the others say that it went.
    pair.0.world.kill(pair.0.ids[0]);
    pair.0.settle();
    assert_eq!(changes(&mut pair), ["-bob!"]);
    let Reply::Presence(members) = pair.reply(1, watcher, Command::Presence(LINK, channel("a")))
    else {
        panic!()
    };
    assert_eq!(members.len(), 1, "{members:?}");
}

#[test]
fn whom_a_publication_excepts_and_what_is_volatile_hold_on_all_nodes() {
    let mut pair = Two(Pair::default());
    let mut guests = vec![];
    for node in [0, 1] {
        let (plain, vip) = (pair.come(node, "ada"), pair.come(node, "bob"));
        for who in [plain, vip] {
            pair.subscribe(node, who, "a");
        }
        pair.subscribe(node, vip, "vip");
        let wish = Subscribe::new(
            Target::Pattern(taiwa_core::Pattern::parse("a", taiwa_core::Syntax::Prefix).unwrap()),
            Delivery::Personal,
        );
        let both = pair.come(node, "cyd");
        pair.subscribe(node, both, "vip");
        pair.reply(node, both, Command::Subscribe(LINK, Box::new(wish)));
        guests.extend([(node, plain), (node, vip), (node, both)]);
    }
    let speaker = pair.come(0, "speaker");
    let texts = |pair: &mut Two, (node, who): (usize, Who)| -> Vec<String> {
        pair.0.nodes[node].read(who, usize::MAX);
        let said = pair.0.nodes[node].heard(who).into_iter().filter_map(|it| match it {
            Event::Said(_, _, it, _) => Some(it),
            _ => None,
        });
        said.map(|it| match (&it.payload, it.volatile, it.is_list) {
            (Payload::Json(json), volatile, true) => {
                let mark = if volatile { " volatile" } else { "" };
                format!("{}{mark}", String::from_utf8_lossy(json))
            }
            other => panic!("{other:?}"),
        })
        .collect()
    };
    let all = guests.len();
    for (text, volatile, except, expected) in [
        ("[1]", false, vec![], [Some("[1]"); 3]),
        ("[2]", false, vec![channel("vip")], [Some("[2]"), None, None]),
        ("[3]", true, vec![], [Some("[3] volatile"); 3]),
    ] {
        let mut publish = Publish::new(channel("a"), Payload::Json(text.into()));
        (publish.volatile, publish.is_list, publish.except_channels) = (volatile, true, except);
        pair.reply(0, speaker, Command::Publish(LINK, Box::new(publish)));
        for (at, guest) in guests.iter().enumerate() {
            let expected: Vec<_> = expected[at % 3].into_iter().collect();
            assert_eq!(texts(&mut pair, *guest), expected, "guest {at} of {all}");
        }
    }
}

impl Two {
    /// Gives a guest a second link, which hears `/chat` and `/chat:r`.
    fn with_link(&mut self, guest: &Guest) {
        let (token, scope) = (Some("ada".into()), Some("/chat".into()));
        let connect = Connect { token, scope, ..Connect::default() };
        self.reply(0, guest.who, Command::Connect(Link(1), Box::new(connect)));
        for name in ["/chat", "/chat:r"] {
            let wish = Subscribe::new(Target::Channel(channel(name)), Delivery::Personal);
            self.reply(0, guest.who, Command::Subscribe(Link(1), Box::new(wish)));
        }
    }
}

#[test]
fn all_links_of_a_session_go_on_at_another_node() {
    for link in [LINK, Link(1)] {
        for is_alive in [true, false] {
            let mut pair = Two(Pair::default());
            let mut guest = pair.guest();
            pair.with_link(&guest);
            pair.say(0, "/chat:r", "r1");
            pair.say(1, "a", "a1");
            pair.listen(0, &mut guest);
            let read = guest.heard.last().unwrap().0;
            pair.0.nodes[0].leave(guest.who, true);
            pair.0.settle();
            pair.say(1, "a", "a2");
            pair.say(1, "/chat:r", "r2");
            if !is_alive {
                pair.0.world.kill(pair.0.ids[0]);
                pair.say(1, "/chat", "c1");
            }
            assert_eq!(pair.resume_by(link, &mut guest, false, read), Resumed::Whole);
            let other = if link == LINK { Link(1) } else { LINK };
            let scope = (other != LINK).then(|| "/chat".into());
            assert_eq!(guest.links, [(other, scope)], "{link:?} {is_alive}");
            pair.say(1, "/chat", "c2");
            pair.say(1, "b", "b1");
            pair.listen(1, &mut guest);
            let mut texts = guest.texts();
            // Between channels the order is that of clocks.
            texts.sort_unstable();
            let expected: &[&str] = match is_alive {
                true => &["a1", "a2", "b1", "c2", "r1", "r2"],
                false => &["a1", "a2", "b1", "c1", "c2", "r1", "r2"],
            };
            assert_eq!(texts, expected, "{link:?} {is_alive}");
            // They may do what they might.
            for link in [LINK, Link(1)] {
                let publish = Publish::new(channel("b"), Payload::Text("b2".into()));
                let publish = Command::Publish(link, Box::new(publish));
                assert!(matches!(pair.reply(1, guest.who, publish), Reply::Published(_)));
            }
        }
    }
}

#[test]
fn with_positions_that_name_no_channels_a_session_goes_on_when_its_node_died_under_it() {
    // Once it has heard something of each channel, once of a part of them.
    for names in [&["a", "b", "/chat", "/chat:r"][..], &["a"]] {
        let mut pair = Two(Pair::default());
        let mut guest = pair.guest();
        pair.with_link(&guest);
        for name in names {
            pair.say(1, name, &format!("{name}1"));
        }
        pair.listen(0, &mut guest);
        assert_eq!(guest.positions.len(), names.len());
        let read = guest.heard.last().unwrap().0;
        pair.say(1, "/chat:r", "never heard at the node that dies");
        pair.0.nodes[0].heard(guest.who);
        pair.0.world.kill(pair.0.ids[0]);
        pair.say(1, "/chat:r", "after");
        assert_eq!(pair.resume(&mut guest, true, read), Resumed::Whole, "{names:?}");
        let told = guest.texts()[names.len()..].to_vec();
        assert_eq!(told, ["never heard at the node that dies", "after"], "{names:?}");
    }
}

#[test]
fn where_some_positions_are_missing_nothing_is_guessed() {
    let mut pair = Two(Pair::default());
    let mut guest = pair.guest();
    pair.say(1, "a", "a1");
    pair.say(1, "b", "b1");
    pair.listen(0, &mut guest);
    // Saved again, with what was said: nobody can tell whether the client has that.
    pair.0.pass(Duration::from_secs(61));
    guest.positions.truncate(1);
    pair.0.world.kill(pair.0.ids[0]);
    assert_eq!(pair.resume(&mut guest, true, 1), Resumed::Anew);
}
