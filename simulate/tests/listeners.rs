//! What must hold for clients of several nodes who hear who comes and goes: whatever happens to nodes, to the broker and to
//! what it says, each ends with exactly those who are there, and is told nothing twice on the way.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Change, Channel, Cluster, Command, Connect, Delivery, Event, Link, NodeId, Reply, SessionId,
    Subscribe, Target, Token,
};
use taiwa_hub::{Namespace, Settings};
use taiwa_memory::World;
use taiwa_simulate::{Counts, Crowd, Dice, Who, run_seeds};

const LINK: Link = Link(0);
const GUESTS: usize = 8;
const USERS: [&str; 4] = ["ada", "bob", "cyd", ""];

fn channel() -> Channel {
    Channel::parse("chat").unwrap()
}

/// Where a client is with its subscription.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    Out,
    Asked(Token),
    In,
}

/// A client, at one node after the other.
struct Guest {
    node: usize,
    who: Who,
    session: Option<SessionId>,
    stand: Stand,
    listens: bool,
    asked: Option<Token>,
    /// Who is there, by what it was told; nothing before the first answer.
    knows: Option<BTreeMap<SessionId, String>>,
}

struct Fleet {
    world: Arc<World>,
    nodes: Vec<Node>,
    guests: Vec<Guest>,
    born: u64,
    shards: u16,
    start: Instant,
    settings: Settings,
    /// Clients ask again and again who is there, which corrects what they were told.
    asks: bool,
    counts: Counts,
}

struct Node {
    id: NodeId,
    crowd: Crowd,
    is_cut: bool,
    /// Publications are being lost, of which it has not been told yet.
    loses: bool,
}

impl Fleet {
    fn new(dice: &mut Dice) -> Self {
        let mut settings = Settings::open();
        let history_size = [0, 10][dice.below(2)];
        let namespace = Namespace { history_size, ..Namespace::open() };
        settings.without_namespace = Arc::new(namespace);
        let mut it = Self {
            world: World::new(dice.roll()),
            nodes: vec![],
            guests: vec![],
            born: 0,
            shards: 1 + dice.below(3) as u16,
            start: Instant::now(),
            settings,
            asks: dice.one_in(2),
            counts: BTreeMap::new(),
        };
        for _ in 0..2 + dice.below(2) {
            let node = it.bear();
            it.nodes.push(node);
        }
        it.settle();
        for at in 0..GUESTS {
            let guest = it.come(at % it.nodes.len(), dice);
            it.guests.push(guest);
        }
        it
    }

    fn bear(&mut self) -> Node {
        self.born += 1;
        let id = NodeId(self.born << 48 | self.born);
        let crowd = Crowd::new(self.shards, self.settings.clone(), self.start)
            .in_cluster(Cluster::of(&self.world.join(id)));
        Node { id, crowd, is_cut: false, loses: false }
    }

    fn come(&mut self, node: usize, dice: &mut Dice) -> Guest {
        let crowd = &mut self.nodes[node].crowd;
        let who = crowd.enter(dice.below(usize::from(self.shards)));
        let token = Some(dice.pick(&USERS)).filter(|it| !it.is_empty()).map(Into::into);
        let connect = Connect { token, ..Connect::default() };
        crowd.ask(who, Command::Connect(LINK, Box::new(connect)));
        let (stand, listens) = (Stand::Out, false);
        Guest { node, who, session: None, stand, listens, asked: None, knows: None }
    }

    fn subscribe(&mut self, guest: usize, listens: bool) {
        let it = &mut self.guests[guest];
        if it.stand != Stand::Out {
            return;
        }
        let mut wish = Subscribe::new(Target::Channel(channel()), Delivery::Personal);
        wish.join_leave = listens;
        let crowd = &mut self.nodes[it.node].crowd;
        let token = crowd.ask(it.who, Command::Subscribe(LINK, Box::new(wish)));
        (it.stand, it.listens, it.knows, it.asked) = (Stand::Asked(token), listens, None, None);
    }

    fn unsubscribe(&mut self, guest: usize) {
        self.listen();
        let it = &mut self.guests[guest];
        if it.stand == Stand::In {
            let command = Command::Unsubscribe(LINK, Target::Channel(channel()));
            self.nodes[it.node].crowd.ask(it.who, command);
            it.stand = Stand::Out;
            // What is on its way to it does not count any more.
            self.nodes[it.node].crowd.heard(it.who);
            (it.knows, it.asked) = (None, None);
        }
    }

    /// Asks who is there.
    fn ask(&mut self, guest: usize) {
        let it = &mut self.guests[guest];
        if it.stand == Stand::In && it.asked.is_none() {
            let crowd = &mut self.nodes[it.node].crowd;
            it.asked = Some(crowd.ask(it.who, Command::Presence(LINK, channel())));
        }
    }

    /// Goes away from its node, and comes to another one.
    fn wander(&mut self, guest: usize, dice: &mut Dice) {
        let (node, who) = (self.guests[guest].node, self.guests[guest].who);
        if node < self.nodes.len() {
            self.nodes[node].crowd.leave(who, dice.one_in(2));
        }
        let node = dice.below(self.nodes.len());
        self.guests[guest] = self.come(node, dice);
    }

    /// Kills a node; its clients come to others.
    fn kill(&mut self, node: usize, dice: &mut Dice) {
        let dead = self.nodes.swap_remove(node);
        drop(dead.crowd);
        self.world.kill(dead.id);
        let moved = self.nodes.len();
        for at in 0..self.guests.len() {
            let theirs = self.guests[at].node;
            if theirs == node {
                self.guests[at].node = usize::MAX;
                self.wander(at, dice);
            } else if theirs == moved {
                // What was the last node has the place of the dead one now.
                self.guests[at].node = node;
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.nodes.iter_mut().for_each(|it| _ = it.crowd.turn());
            if self.nodes.iter().all(|it| !it.crowd.is_busy()) {
                return;
            }
        }
        panic!("the nodes find no rest");
    }

    fn pass(&mut self, time: Duration) {
        self.world.advance(time);
        self.nodes.iter_mut().for_each(|it| it.crowd.pass(time));
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Reads what all clients heard, and checks each word of it.
    fn listen(&mut self) {
        for guest in 0..self.guests.len() {
            let Guest { node, who, .. } = self.guests[guest];
            for event in self.nodes[node].crowd.heard(who) {
                self.take(guest, event);
            }
        }
    }

    fn take(&mut self, guest: usize, event: Event) {
        match event {
            Event::Reply(token, answer) => self.answered(guest, token, answer),
            Event::Joined(_, change) => self.told(guest, &change, true),
            Event::Left(_, change) => self.told(guest, &change, false),
            _ => {}
        }
    }

    fn answered(&mut self, guest: usize, token: Token, answer: Result<Reply, taiwa_core::Refusal>) {
        let it = &mut self.guests[guest];
        let is_first = it.knows.is_none();
        match answer {
            Ok(Reply::Connected(connected)) => it.session = Some(connected.session),
            Ok(Reply::Subscribed(_)) if it.stand == Stand::Asked(token) => it.stand = Stand::In,
            Err(_) if it.stand == Stand::Asked(token) => it.stand = Stand::Out,
            Ok(Reply::Presence(members)) if it.asked == Some(token) => {
                it.asked = None;
                let all: BTreeMap<_, _> =
                    members.iter().map(|it| (it.client.session, user(it))).collect();
                assert_eq!(all.len(), members.len(), "nobody is there twice");
                if let Some(knows) = it.knows.as_ref().filter(|_| it.listens) {
                    assert_eq!(*knows, all, "{guest} was told of all others before");
                }
                it.knows = Some(all);
                self.count(if is_first { "asked" } else { "asked again" });
            }
            Err(_) if it.asked == Some(token) => {
                it.asked = None;
                self.count("refused");
            }
            _ => {}
        }
    }

    fn told(&mut self, guest: usize, change: &Change, joined: bool) {
        let it = &mut self.guests[guest];
        assert!(it.stand == Stand::In && it.listens, "{guest} does not listen");
        let Some(knows) = &mut it.knows else { return };
        let (session, user) = (change.member.client.session, user(&change.member));
        let others = |knows: &BTreeMap<_, String>| knows.values().any(|it| *it == user);
        if joined {
            let is_first = user.is_empty() || !others(knows);
            assert_eq!(change.of_user, is_first, "{guest} is told of the first of {user}");
            assert!(knows.insert(session, user).is_none(), "{guest}: {session} came twice");
        } else {
            assert!(knows.remove(&session).is_some(), "{guest}: {session} went twice");
            let is_last = user.is_empty() || !others(knows);
            assert_eq!(change.of_user, is_last, "{guest} is told of the last of {user}");
        }
        self.count(if joined { "joined" } else { "left" });
    }

    fn step(&mut self, dice: &mut Dice) {
        let guest = dice.below(self.guests.len());
        let node = dice.below(self.nodes.len());
        let id = self.nodes[node].id;
        match dice.below(100) {
            0..30 => self.subscribe(guest, dice.one_in(2)),
            30..40 => self.unsubscribe(guest),
            40..55 if self.asks || self.guests[guest].knows.is_none() => self.ask(guest),
            55..62 => self.wander(guest, dice),
            62..65 => {
                self.world.lose(id, 1 + dice.below(3));
                self.nodes[node].loses = true;
            }
            65..69 => self.lose_no_more(node),
            69..72 => self.world.repeat(id, 1 + dice.below(3)),
            72..75 => {
                self.world.cut(id);
                self.nodes[node].is_cut = true;
            }
            75..78 if self.nodes[node].is_cut => {
                self.world.bury(id);
                self.count("buried");
            }
            78..82 => self.mend(node),
            82..84 => self.world.hold(id),
            84..88 => self.world.release(id),
            88 if self.nodes.len() > 1 => {
                self.kill(node, dice);
                self.count("killed");
            }
            89 if self.nodes.len() < 4 => {
                let fresh = self.bear();
                self.nodes.push(fresh);
            }
            90 if dice.below(4) == 0 => self.world.lose_everything(),
            91..94 => self.pass(Duration::from_millis(700)),
            _ => self.settle(),
        }
        let node = dice.below(self.nodes.len());
        self.nodes[node].crowd.turn();
        self.listen();
    }

    /// Tells a node that something was lost, as brokers do.
    fn lose_no_more(&mut self, node: usize) {
        if std::mem::take(&mut self.nodes[node].loses) {
            self.world.lose(self.nodes[node].id, 0);
            self.world.missed(self.nodes[node].id);
        }
    }

    /// Makes all well, and checks that everybody knows who is there then.
    fn heal(&mut self) {
        for at in 0..self.nodes.len() {
            self.lose_no_more(at);
            self.world.release(self.nodes[at].id);
            self.mend(at);
        }
        for _ in 0..8 {
            self.settle();
            self.pass(Duration::from_millis(1100));
        }
        self.check();
    }

    fn mend(&mut self, node: usize) {
        self.world.mend(self.nodes[node].id);
        self.nodes[node].is_cut = false;
    }

    /// Who is there.
    fn truth(&self) -> Vec<SessionId> {
        let there = self.guests.iter().filter(|it| it.stand == Stand::In);
        let mut all: Vec<_> = there.map(|it| it.session.expect("it was let in")).collect();
        all.sort();
        all
    }

    /// Checks that everybody who listens knows who is there once all is said.
    fn check(&mut self) {
        self.settle();
        self.listen();
        let truth = self.truth();
        let mut sure = 0;
        for (at, it) in self.guests.iter().enumerate() {
            if let Some(knows) = it.knows.as_ref().filter(|_| it.stand == Stand::In && it.listens) {
                assert!(knows.keys().eq(&truth), "{at} knows {knows:?}, there are {truth:?}");
                sure += 1;
            }
        }
        *self.counts.entry("sure").or_default() += sure;
    }

    /// One thing happens while all is well: what is told of it is true at once.
    fn calm(&mut self, dice: &mut Dice) {
        let node = dice.below(self.nodes.len());
        match dice.below(4) {
            0 if self.nodes.len() > 1 => self.kill(node, dice),
            1 => {
                // It comes back with its members, whom the others took for gone.
                let id = self.nodes[node].id;
                self.world.cut(id);
                self.world.bury(id);
                self.settle();
                self.listen();
                self.mend(node);
            }
            2 => self.wander(dice.below(GUESTS), dice),
            _ => self.subscribe(dice.below(GUESTS), false),
        }
        self.check();
    }

    /// Checks what those are told who ask.
    fn ask_all(&mut self) {
        for guest in 0..self.guests.len() {
            (self.guests[guest].knows, self.guests[guest].asked) = (None, None);
            self.ask(guest);
        }
        self.settle();
        self.listen();
        let truth = self.truth();
        for (at, it) in self.guests.iter().enumerate().filter(|(_, it)| it.stand == Stand::In) {
            let knows = it.knows.as_ref().unwrap_or_else(|| panic!("{at}: all is well again"));
            assert!(knows.keys().eq(&truth), "{at} asks: {knows:?}, not {truth:?}");
        }
    }
}

fn user(member: &taiwa_core::Member) -> String {
    member.client.user.as_ref().map(|it| it.as_str().to_owned()).unwrap_or_default()
}

fn run(seed: u64) -> Counts {
    let mut dice = Dice::new(seed);
    let mut fleet = Fleet::new(&mut dice);
    for _ in 0..4 {
        for _ in 0..100 {
            fleet.step(&mut dice);
        }
        fleet.heal();
        for _ in 0..4 {
            fleet.calm(&mut dice);
        }
    }
    fleet.ask_all();
    fleet.counts
}

#[test]
fn whoever_listens_to_comings_and_goings_knows_who_is_there() {
    // More of them: `TAIWA_SIMULATE_SEEDS=20000 cargo test --release -p taiwa-simulate --test listeners`.
    let counts = run_seeds(run);
    // A run in which nothing happens proves nothing.
    for what in ["asked", "asked again", "joined", "left", "refused", "killed", "buried"] {
        assert!(counts.get(what).is_some_and(|it| *it > 20), "{what}: {counts:?}");
    }
    assert!(counts["sure"] > 20, "{counts:?}");
}
