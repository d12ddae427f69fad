//! What must hold for the clients of several nodes, whatever happens to nodes, to the broker and to what it says: one order
//! for all, nothing twice, nothing lost without a word, and an honest answer to everyone who comes back.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Channel, Cluster, Command, Delivery, Event, Link, NodeId, Payload, Position, Publish,
    Recovered, Reply, Subscribe, Target, Token,
};
use taiwa_hub::{Limits, Namespace, Settings};
use taiwa_memory::World;
use taiwa_simulate::{Counts, Crowd, Dice, Who, run_seeds};

const CHANNELS: usize = 3;

fn channel(number: usize) -> Channel {
    Channel::parse(&format!("channel-{number}")).unwrap()
}

fn settings(history_size: usize) -> Settings {
    let namespace = Namespace {
        history_size,
        history_ttl: Duration::from_secs(3600),
        epoch_ttl: Duration::from_secs(7200),
        ..Namespace::open()
    };
    let mut settings = Settings::open();
    settings.without_namespace = Arc::new(namespace);
    settings.limits = Limits::default();
    settings
}

/// What a client knows of a channel.
#[derive(Clone, Debug, Default)]
struct Ear {
    /// Where it stands.
    at: Option<Position>,
    /// Its subscription was asked for, from there on.
    asked: Option<(Token, Option<Position>)>,
    stands: bool,
}

/// A client, at one node after the other.
struct Guest {
    node: usize,
    who: Who,
    ears: [Ear; CHANNELS],
    said: BTreeMap<Token, (usize, String)>,
}

struct Fleet {
    world: Arc<World>,
    nodes: Vec<(NodeId, Crowd)>,
    guests: Vec<Guest>,
    /// What lies where: found out once, true for all.
    truth: BTreeMap<(usize, u64, u64), String>,
    born: u64,
    texts: u64,
    history_size: usize,
    shards: u16,
    start: Instant,
    counts: Counts,
}

impl Fleet {
    fn new(dice: &mut Dice) -> Self {
        let history_size = [4, 20, 1000][dice.below(3)];
        let mut it = Self {
            world: World::new(dice.roll()),
            nodes: vec![],
            guests: vec![],
            truth: BTreeMap::new(),
            born: 0,
            texts: 0,
            history_size,
            shards: 1 + dice.below(3) as u16,
            start: Instant::now(),
            counts: BTreeMap::new(),
        };
        for _ in 0..2 + dice.below(2) {
            let node = it.bear();
            it.nodes.push(node);
        }
        for at in 0..6 {
            let node = at % it.nodes.len();
            let who = it.come(node);
            it.guests.push(Guest { node, who, ears: Default::default(), said: BTreeMap::new() });
        }
        it
    }

    fn bear(&mut self) -> (NodeId, Crowd) {
        self.born += 1;
        let id = NodeId(self.born << 48 | self.born);
        let crowd = Crowd::new(self.shards, settings(self.history_size), self.start)
            .in_cluster(Cluster::of(&self.world.join(id)));
        (id, crowd)
    }

    fn come(&mut self, node: usize) -> Who {
        let shard = self.guests.len() % usize::from(self.shards);
        let crowd = &mut self.nodes[node].1;
        let who = crowd.enter(shard);
        crowd.ask(who, Command::Connect(Link(0), Box::default()));
        crowd.heard(who);
        who
    }

    fn subscribe(&mut self, guest: usize, at: usize) {
        let Guest { node, who, ears, .. } = &mut self.guests[guest];
        let ear = &mut ears[at];
        if ear.stands || ear.asked.is_some() {
            return;
        }
        let wish = Subscribe::new(Target::Channel(channel(at)), Delivery::Personal);
        let wish = Subscribe { since: ear.at, positioned: true, ..wish };
        let token = self.nodes[*node].1.ask(*who, Command::Subscribe(Link(0), Box::new(wish)));
        ear.asked = Some((token, ear.at));
    }

    fn publish(&mut self, guest: usize, at: usize) {
        self.texts += 1;
        let text = format!("text-{}", self.texts);
        let Guest { node, who, said, .. } = &mut self.guests[guest];
        let publish = Publish::new(channel(at), Payload::Text(text.clone().into()));
        let token = self.nodes[*node].1.ask(*who, Command::Publish(Link(0), Box::new(publish)));
        said.insert(token, (at, text));
    }

    /// Goes away from its node, and comes to another one.
    fn wander(&mut self, guest: usize, dice: &mut Dice) {
        let (node, who) = (self.guests[guest].node, self.guests[guest].who);
        if node < self.nodes.len() {
            self.nodes[node].1.leave(who, true);
        }
        let node = dice.below(self.nodes.len());
        let who = self.come(node);
        let it = &mut self.guests[guest];
        (it.node, it.who) = (node, who);
        it.said.clear();
        for ear in &mut it.ears {
            (ear.asked, ear.stands) = (None, false);
        }
    }

    /// Kills a node; its clients come to others.
    fn kill(&mut self, node: usize, dice: &mut Dice) {
        let (id, crowd) = self.nodes.swap_remove(node);
        drop(crowd);
        self.world.kill(id);
        let fresh = self.bear();
        self.nodes.push(fresh);
        let last = self.nodes.len() - 1;
        for at in 0..self.guests.len() {
            let theirs = self.guests[at].node;
            if theirs == node {
                self.guests[at].node = usize::MAX;
                self.wander(at, dice);
            } else if theirs == last {
                // What was the last node has the place of the dead one now.
                self.guests[at].node = node;
            }
        }
    }

    /// Lets every node do its work until none has any.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            for (_, crowd) in &mut self.nodes {
                crowd.turn();
            }
            if self.nodes.iter().all(|(_, it)| !it.is_busy()) {
                return;
            }
        }
        panic!("the nodes find no rest");
    }

    fn pass(&mut self, time: Duration) {
        self.world.advance(time);
        for (_, crowd) in &mut self.nodes {
            crowd.pass(time);
        }
    }

    /// Takes note of what lies where; it may never be two things.
    fn learn(&mut self, at: usize, position: Position, text: &str) {
        let known = self.truth.entry((at, position.epoch, position.offset)).or_insert(text.into());
        assert_eq!(known, text, "two statements have one position: {at} {position:?}");
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Reads what all clients heard, and checks each word of it.
    fn listen(&mut self) {
        for guest in 0..self.guests.len() {
            let Guest { node, who, .. } = self.guests[guest];
            for event in self.nodes[node].1.heard(who) {
                self.take(guest, event);
            }
        }
    }

    fn take(&mut self, guest: usize, event: Event) {
        match event {
            Event::Reply(token, answer) => self.answered(guest, token, answer),
            Event::Said(_, Target::Channel(name), publication, _) => {
                let at = (0..CHANNELS).find(|it| channel(*it) == name).unwrap();
                let position = publication.position.expect("all channels have positions");
                let text = String::from_utf8(text(&publication.payload)).unwrap();
                self.learn(at, position, &text);
                let ear = &mut self.guests[guest].ears[at];
                assert!(ear.stands, "{guest} hears what it is not subscribed to");
                let before = ear.at.expect("a subscription has a position");
                let next = Position { offset: before.offset + 1, ..before };
                assert_eq!(
                    position, next,
                    "{guest} in {at}: a hole or a repetition without a word"
                );
                ear.at = Some(position);
                self.count("heard");
            }
            Event::Missed(_, Target::Channel(name), _, position) => {
                let at = (0..CHANNELS).find(|it| channel(*it) == name).unwrap();
                let ear = &mut self.guests[guest].ears[at];
                ear.at = Some(position.expect("it is told where it goes on"));
                self.count("missed");
            }
            _ => {}
        }
    }

    fn answered(&mut self, guest: usize, token: Token, answer: Result<Reply, taiwa_core::Refusal>) {
        if let Some((at, text)) = self.guests[guest].said.remove(&token) {
            match answer {
                Ok(Reply::Published(it)) => {
                    self.learn(at, it.position.expect("all channels have positions"), &text);
                    self.count("published");
                }
                Err(_) => self.count("refused"),
                other => panic!("{other:?}"),
            }
            return;
        }
        let asked = |it: &Ear| it.asked.is_some_and(|(it, _)| it == token);
        let Some(at) = self.guests[guest].ears.iter().position(asked) else { return };
        let (_, since) = self.guests[guest].ears[at].asked.take().unwrap();
        let told = match answer {
            Ok(Reply::Subscribed(told)) => told,
            Err(_) => return self.count("not subscribed"),
            other => panic!("{other:?}"),
        };
        let position = told.position.expect("all channels have positions");
        let ear = &mut self.guests[guest].ears[at];
        (ear.stands, ear.at) = (true, Some(position));
        let (missed, is_whole) = match &told.recovered {
            Recovered::Whole(missed) => (missed, true),
            Recovered::Gap(missed) => (missed, false),
            Recovered::NotAsked => return,
        };
        let since = since.expect("nobody else recovers");
        self.count(if is_whole { "recovered" } else { "not recovered" });
        if is_whole {
            assert_eq!(since.epoch, position.epoch, "{guest} in {at}");
            let offsets: Vec<_> =
                missed.iter().map(|it| it.position.map_or(0, |it| it.offset)).collect();
            let all: Vec<_> = (since.offset + 1..=position.offset).collect();
            assert_eq!(offsets, all, "{guest} in {at}: all behind {since:?} up to {position:?}");
        }
        for publication in missed {
            let text = String::from_utf8(text(&publication.payload)).unwrap();
            self.learn(at, publication.position.unwrap(), &text);
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        let guest = dice.below(self.guests.len());
        let at = dice.below(CHANNELS);
        let node = dice.below(self.nodes.len());
        let id = self.nodes[node].0;
        match dice.below(100) {
            0..25 => self.subscribe(guest, at),
            25..65 => self.publish(guest, at),
            65..68 => self.wander(guest, dice),
            68..70 => {
                let Guest { node, who, ears, .. } = &mut self.guests[guest];
                if ears[at].stands {
                    let target = Target::Channel(channel(at));
                    self.nodes[*node].1.ask(*who, Command::Unsubscribe(Link(0), target));
                    // Until then everything was heard.
                    self.listen();
                    self.guests[guest].ears[at].stands = false;
                }
            }
            70..74 => {
                self.world.lose(id, 1 + dice.below(3));
                self.world.missed(id);
            }
            74..78 => self.world.repeat(id, 1 + dice.below(3)),
            78..80 => self.world.cut(id),
            80..85 => self.world.mend(id),
            85..87 => self.world.hold(id),
            87..91 => self.world.release(id),
            91 => self.kill(node, dice),
            92 if dice.below(4) == 0 => self.world.lose_everything(),
            93..95 => self.pass(Duration::from_millis(700)),
            _ => self.settle(),
        }
        let node = dice.below(self.nodes.len());
        self.nodes[node].1.turn();
        self.listen();
    }

    /// Makes all well, and checks that nobody lags behind then.
    fn heal(&mut self) {
        for at in 0..self.nodes.len() {
            let id = self.nodes[at].0;
            self.world.lose(id, 0);
            self.world.release(id);
            self.world.mend(id);
        }
        for _ in 0..4 {
            self.settle();
            self.listen();
            self.pass(Duration::from_millis(1100));
        }
        for guest in 0..self.guests.len() {
            for at in 0..CHANNELS {
                self.subscribe(guest, at);
            }
        }
        self.settle();
        self.listen();
        for at in 0..CHANNELS {
            self.publish(at, at);
        }
        self.settle();
        self.listen();
        for at in 0..CHANNELS {
            let places: Vec<_> =
                self.guests.iter().map(|it| (it.ears[at].stands, it.ears[at].at)).collect();
            assert!(places[0].0, "all is well again");
            assert!(places.iter().all(|it| *it == places[0]), "channel {at}: {places:?}");
        }
    }
}

fn text(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Text(text) => text.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn run(seed: u64) -> Counts {
    let mut dice = Dice::new(seed);
    let mut fleet = Fleet::new(&mut dice);
    for _ in 0..400 {
        fleet.step(&mut dice);
    }
    fleet.heal();
    fleet.counts
}

#[test]
fn whatever_happens_order_holds_and_nothing_is_lost_without_a_word() {
    // More of them: `TAIWA_SIMULATE_SEEDS=20000 cargo test --release -p taiwa-simulate --test cluster`.
    let counts = run_seeds(run);
    // A run in which nothing happens proves nothing.
    for what in ["heard", "published", "refused", "recovered", "not recovered", "missed"] {
        assert!(counts.get(what).is_some_and(|it| *it > 20), "{what}: {counts:?}");
    }
}
