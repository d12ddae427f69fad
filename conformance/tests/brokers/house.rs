//! A node of one shard of the hub on a broker, with clients who want to hear who comes and goes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use taiwa_core::{
    Admission, Answer, Change, Channel, Cluster, Command, Connect, Delivery, Ears, Event, Heard,
    Link, Messages, NodeId, Question, Refusal, Reply, SessionId, State, Subscribe, Target, Token,
};
use taiwa_hub::{
    Arrival, Done, Encoded, Letter, Now, OrderId, Outlet, Seat, Settings, Shard, Ticket,
    far::{Found, Wish},
};

use crate::{fixture::Fixture, node::SOON};

const LINK: Link = Link(0);

enum News {
    Found(Ticket, Result<Found, Refusal>),
    Heard(Heard),
    Letter(NodeId, Bytes),
    Come(NodeId),
    Gone(NodeId),
    State(State),
}

#[derive(Default)]
struct Inbox(Mutex<VecDeque<News>>);

impl Inbox {
    fn put(&self, news: News) {
        self.0.lock().unwrap().push_back(news);
    }
}

impl Ears for Inbox {
    fn heard(&self, heard: Heard) {
        self.put(News::Heard(heard));
    }

    fn letter(&self, from: NodeId, letter: Bytes) {
        self.put(News::Letter(from, letter));
    }

    fn node_come(&self, node: NodeId) {
        self.put(News::Come(node));
    }

    fn node_gone(&self, node: NodeId) {
        self.put(News::Gone(node));
    }

    fn state(&self, state: State) {
        self.put(News::State(state));
    }
}

/// Who is there, as a client who listens knows it.
#[derive(Default)]
pub(crate) struct Knows {
    /// Nothing before the first answer.
    all: Option<BTreeMap<SessionId, String>>,
    asked: Option<Token>,
    /// Its subscription stands.
    stands: bool,
    /// What it was told since that was looked at.
    pub(crate) told: Vec<String>,
}

/// What the shard wants done.
#[derive(Default)]
struct Wants {
    wishes: Vec<(Option<Ticket>, Wish)>,
    events: Vec<(Seat, Event)>,
    drawn: u128,
}

pub(crate) struct House {
    shard: Shard,
    cluster: Cluster,
    inbox: Arc<Inbox>,
    wants: Wants,
    begun: Instant,
    tokens: Token,
    pub(crate) listeners: BTreeMap<Seat, Knows>,
}

pub(crate) fn channel() -> Channel {
    Channel::parse("chat").unwrap()
}

fn name(client: &taiwa_core::Client) -> String {
    client.user.as_ref().map_or("nobody", |it| it.as_str()).to_owned()
}

impl Knows {
    /// Takes what it is told. Nobody comes or goes twice.
    fn take(&mut self, event: Event) {
        match event {
            Event::Joined(_, it) => self.change(&it, '+'),
            Event::Left(_, it) => self.change(&it, '-'),
            Event::Reply(_, Ok(Reply::Subscribed(_))) => self.stands = true,
            Event::Reply(token, answer) if self.asked == Some(token) => {
                self.asked = None;
                let Ok(Reply::Presence(members)) = answer else { return };
                let members = members.iter();
                let all: BTreeMap<_, _> =
                    members.map(|it| (it.client.session, name(&it.client))).collect();
                if let Some(knows) = &self.all {
                    assert_eq!(*knows, all, "it was told of all others");
                }
                self.all = Some(all);
            }
            _ => {}
        }
    }

    fn change(&mut self, it: &Change, sign: char) {
        let user = name(&it.member.client);
        self.told.push(format!("{sign}{user}{}", if it.of_user { "!" } else { "" }));
        let Some(all) = &mut self.all else { return };
        let session = it.member.client.session;
        match sign {
            '+' => assert!(all.insert(session, user).is_none(), "{session} came twice"),
            _ => assert!(all.remove(&session).is_some(), "{session} went twice"),
        }
    }

    /// Returns who is there, sorted; nothing before that is known.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.all.iter().flat_map(|it| it.values().cloned()).collect();
        names.sort();
        names
    }
}

impl House {
    pub(crate) async fn join(fixture: &dyn Fixture) -> Self {
        let cluster = fixture.join().await;
        let inbox = Arc::<Inbox>::default();
        for node in cluster.registry.nodes() {
            inbox.put(News::Come(node));
        }
        cluster.registry.begin(inbox.clone());
        let node = cluster.registry.node();
        let settings = Arc::new(Settings::open());
        let shard = Shard::new(0, 1, settings, [7; 16]).in_cluster(node, ["house"].into());
        let wants = Wants { drawn: u128::from(node.0), ..Wants::default() };
        let (begun, listeners) = (Instant::now(), BTreeMap::new());
        Self { shard, cluster, inbox, wants, begun, tokens: 0, listeners }
    }

    /// Ends as by kill -9; the cluster is the only handle that is left.
    pub(crate) fn die(self) -> Cluster {
        self.cluster
    }

    pub(crate) fn id(&self) -> NodeId {
        self.cluster.registry.node()
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.cluster.registry.nodes()
    }

    fn now(&self) -> Now {
        let unix_ms = 1_700_000_000_000 + self.begun.elapsed().as_millis() as u64;
        Now { at: Instant::now(), unix_ms }
    }

    fn command(&mut self, seat: Seat, command: Command) -> Token {
        self.tokens += 1;
        let now = self.now();
        self.shard.command(seat, self.tokens, command, now, &mut self.wants);
        self.tokens
    }

    /// Lets a user in, who subscribes.
    pub(crate) fn come(&mut self, user: &str, listens: bool) -> Seat {
        let arrival = Arrival { dialect: "house", address: None };
        let (seat, _) = self.shard.enter(arrival, &mut self.wants).unwrap();
        let connect = Connect { token: Some(user.into()), ..Connect::default() };
        self.command(seat, Command::Connect(LINK, Box::new(connect)));
        let wish = Subscribe::new(Target::Channel(channel()), Delivery::Personal);
        let wish = Subscribe { join_leave: listens, ..wish };
        self.command(seat, Command::Subscribe(LINK, Box::new(wish)));
        if listens {
            self.listeners.insert(seat, Knows::default());
        }
        seat
    }

    pub(crate) fn go(&mut self, seat: Seat) {
        let now = self.now();
        self.listeners.remove(&seat);
        self.shard.depart(seat, None, now, &mut self.wants);
    }

    /// Does what there is to do.
    fn turn(&mut self) {
        let news = std::mem::take(&mut *self.inbox.0.lock().unwrap());
        let now = self.now();
        let (shard, out) = (&mut self.shard, &mut self.wants);
        for news in news {
            match news {
                News::Found(ticket, found) => shard.found(ticket, found, now, out),
                News::Heard(heard) => shard.heard(heard, now, out),
                News::Letter(from, letter) => shard.far_letter(from, &letter, now, out),
                News::Come(node) => shard.node_come(node, now, out),
                News::Gone(node) => shard.node_gone(node, now, out),
                News::State(state) => shard.cluster_state(state, now, out),
            }
        }
        shard.timeout(now, 100, out);
        for (ticket, wish) in std::mem::take(&mut self.wants.wishes) {
            let inbox = self.inbox.clone();
            let then = move |found| {
                if let Some(ticket) = ticket {
                    inbox.put(News::Found(ticket, found));
                }
            };
            wish.ask(&self.cluster, Box::new(then));
        }
        for (seat, event) in std::mem::take(&mut self.wants.events) {
            if let Some(it) = self.listeners.get_mut(&seat) {
                it.take(event);
            }
        }
        // Who comes or goes before a subscription stands, nobody is told.
        let unsure =
            |it: &(&Seat, &Knows)| it.1.stands && it.1.all.is_none() && it.1.asked.is_none();
        let seats: Vec<Seat> = self.listeners.iter().filter(unsure).map(|it| *it.0).collect();
        for seat in seats {
            self.ask(seat);
        }
    }

    /// Has a listener ask who is there.
    pub(crate) fn ask(&mut self, seat: Seat) {
        let token = self.command(seat, Command::Presence(LINK, channel()));
        if let Some(it) = self.listeners.get_mut(&seat) {
            it.asked = Some(token);
        }
    }

    /// Tells whether all who listen know that these are there.
    pub(crate) fn all_know(&self, names: &[&str]) -> bool {
        self.listeners.values().all(|it| it.asked.is_none() && it.names() == names)
    }
}

/// Lets houses work until something holds.
pub(crate) async fn until(
    houses: &mut [House],
    what: &str,
    holds: impl Fn(&[House]) -> bool,
) -> Duration {
    let begun = Instant::now();
    while !holds(houses) {
        if begun.elapsed() > SOON {
            let known: Vec<_> = houses
                .iter()
                .flat_map(|it| it.listeners.values().map(|it| (it.names(), &it.told)))
                .collect();
            panic!("not in time: {what}; {known:?}");
        }
        houses.iter_mut().for_each(House::turn);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    begun.elapsed()
}

/// Lets them work for so long.
pub(crate) async fn rest(houses: &mut [House], time: Duration) {
    let begun = Instant::now();
    until(houses, "time passes", |_| begun.elapsed() > time).await;
}

impl Outlet for Wants {
    fn event(&mut self, seat: Seat, event: Event) {
        self.events.push((seat, event));
    }

    fn encoded(&mut self, _: Messages) -> Encoded {
        Encoded(0)
    }

    fn deliver(&mut self, _: Seat, _: Encoded) {}

    fn fan_out_ended(&mut self) {}

    fn queued(&self, _: Seat) -> usize {
        0
    }

    fn tell_drained(&mut self, _: Seat, _: usize) {}

    fn hold(&mut self, _: Seat, _: Instant) {}

    fn post(&mut self, _: u16, _: Letter) {
        panic!("there is no other shard");
    }

    fn ask(&mut self, _: Ticket, question: Question) -> Option<Result<Answer, Refusal>> {
        Some(Ok(match question {
            Question::Connect { connect, .. } => {
                let user = connect.token.as_deref().map(Into::into);
                Answer::Admission(Box::new(Admission { user, ..Admission::default() }))
            }
            _ => Answer::Noted,
        }))
    }

    fn done(&mut self, _: OrderId, _: Result<Done, Refusal>) {}

    fn reseat(&mut self, _: Seat, _: Seat) {}

    fn migrate(&mut self, _: Seat, _: u16, _: Token, _: Command) {}

    fn far(&mut self, ticket: Option<Ticket>, wish: Wish) {
        self.wishes.push((ticket, wish));
    }

    fn random(&mut self) -> u128 {
        self.drawn = self.drawn.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645) + 1;
        self.drawn
    }
}
