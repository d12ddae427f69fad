//! Simulations of what a [`Plan`](super::Plan) rests on: real hubs of several nodes, a broker in memory, a clock that is only a
//! number. The same seed gives the same run.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Channel, Command, Connect, Delivery, Event, Link, Payload, Position, Publish, Recovered, Reply,
    Subscribe, Target, Token,
};
use taiwa_hub::{Limits, Namespace, Settings};

use super::plan::nodes_with;
use crate::{Dice, Fleet, Guest, Load};

/// Shards of each node.
const SHARDS: u16 = 2;

fn settings() -> Settings {
    let quiet = Namespace { join_leave: false, presence: false, ..Namespace::open() };
    let mut settings = Settings::open();
    settings.without_namespace = Arc::new(Namespace { history_size: 500, ..quiet });
    settings.limits = Limits::default().with(|it| it.sessions_max = 1 << 20);
    settings
}

fn channel(number: usize) -> Channel {
    Channel::parse(&format!("room-{number}")).expect("this is a name")
}

fn subscribe(number: usize, since: Option<Position>) -> Command {
    let wish = Subscribe::new(Target::Channel(channel(number)), Delivery::Personal);
    Command::Subscribe(Link(0), Box::new(Subscribe { since, positioned: true, ..wish }))
}

fn publish(number: usize, text: String) -> Command {
    Command::Publish(Link(0), Box::new(Publish::new(channel(number), Payload::Text(text.into()))))
}

fn connect() -> Command {
    Command::Connect(Link(0), Box::<Connect>::default())
}

/// What publications cost: the broker brings one to each node where somebody hears it, once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FanOut {
    /// Nodes.
    pub nodes: usize,
    /// Subscribers of each channel, on nodes by chance.
    pub subscribers: usize,
    /// Channels.
    pub channels: usize,
    /// Publications.
    pub said: usize,
    /// What all nodes asked and heard while all came and all was said.
    pub load: Load,
    /// Deliveries to clients.
    pub delivered: usize,
    /// Channels that nodes have subscribers for, of all nodes together.
    pub on_nodes: usize,
}

impl FanOut {
    /// Lets subscribers come, and says so much in each channel.
    pub fn run(nodes: usize, channels: usize, subscribers: usize, said: usize, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut fleet = Fleet::new(nodes, SHARDS, &settings(), Instant::now());
        let before = fleet.load();
        let mut guests = vec![];
        let mut places = BTreeSet::new();
        for room in 0..channels {
            for _ in 0..subscribers {
                let guest = fleet.enter(dice.below(nodes), dice.below(usize::from(SHARDS)));
                fleet.ask(guest, connect());
                fleet.ask(guest, subscribe(room, None));
                places.insert((guest.node, room));
                guests.push(guest);
            }
            fleet.settle();
        }
        let speaker = fleet.enter(0, 0);
        fleet.ask(speaker, connect());
        for number in 0..said * channels {
            fleet.ask(speaker, publish(number % channels, number.to_string()));
            fleet.settle();
            fleet.heard(speaker);
        }
        let load = fleet.load().since(&before);
        let is_said = |it: &Event| matches!(it, Event::Said(..));
        let heard =
            guests.iter().map(|it| fleet.heard(*it).iter().filter(|it| is_said(it)).count());
        let delivered = heard.sum();
        let (said, on_nodes) = (said * channels, places.len());
        Self { nodes, subscribers, channels, said, load, delivered, on_nodes }
    }

    /// Returns on how many nodes a channel is by the plan's arithmetic.
    pub fn expected_nodes(&self) -> f64 {
        nodes_with(self.nodes as f64, self.subscribers as f64)
    }
}

/// What is asked of a [`Storm`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weather {
    /// Nodes, of which one dies.
    pub nodes: usize,
    /// Sessions of each.
    pub sessions: usize,
    /// Channels, one of which each session hears.
    pub channels: usize,
    /// Within which time clients come back, each at a random moment.
    pub window: Duration,
    /// How long a node needs to take one back; others wait for their turn meanwhile.
    pub each: Duration,
}

/// What comes of a node's death.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Storm {
    /// Clients that came back, on other nodes.
    pub back: usize,
    /// Of them, those to whom all that they missed was brought, and who heard nothing twice.
    pub whole: usize,
    /// When the last of them was back.
    pub last: Duration,
    /// The most that waited for their turn at one node.
    pub waiting_most: usize,
    /// The most that one node took back in one second.
    pub per_second_most: usize,
    /// What the nodes asked of the broker because of it: nothing that was said is in it.
    pub load: Load,
    /// Publications that were said meanwhile.
    pub said: usize,
}

const TICK: Duration = Duration::from_millis(10);

struct Client {
    guest: Guest,
    room: usize,
    at: Option<Position>,
    token: Token,
    is_whole: bool,
    is_back: bool,
}

impl Client {
    /// Reads what it heard: each publication must be the next one.
    fn read(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Said(_, _, it, _) => self.take(it.position),
                Event::Reply(token, Ok(Reply::Subscribed(told))) if token == self.token => {
                    match told.recovered {
                        Recovered::Whole(missed) => {
                            self.is_back = true;
                            missed.iter().for_each(|it| self.take(it.position));
                            self.is_whole &= self.at == told.position;
                        }
                        Recovered::NotAsked => self.at = told.position,
                        _ => self.is_whole = false,
                    }
                }
                Event::Reply(_, Ok(_)) => {}
                _ => self.is_whole = false,
            }
        }
    }

    fn take(&mut self, is: Option<Position>) {
        let follows = self
            .at
            .zip(is)
            .is_some_and(|(was, is)| is.epoch == was.epoch && is.offset == was.offset + 1);
        self.is_whole &= follows;
        self.at = is;
    }
}

impl Storm {
    /// Lets the first of several nodes die, and its clients come back to the others while 20 publications a second are said.
    pub fn run(weather: Weather, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut fleet = Fleet::new(weather.nodes, SHARDS, &settings(), Instant::now());
        let mut clients = gather(&mut fleet, weather, &mut dice);
        let speaker = fleet.enter(1, 0);
        fleet.ask(speaker, connect());
        fleet.settle();
        for client in &mut clients {
            let events = fleet.heard(client.guest);
            client.read(events);
        }
        fleet.kill(0);
        fleet.settle();
        let mut run = Run::new(&fleet, weather, &clients, &mut dice);
        let ticks = weather.window.as_millis() / TICK.as_millis();
        // Whoever waits for a minute is not back.
        for tick in 0..ticks as usize + 6000 {
            fleet.pass(TICK);
            if tick % 5 == 0 {
                fleet.ask(speaker, publish(run.said % weather.channels, run.said.to_string()));
                fleet.heard(speaker);
                run.said += 1;
            }
            run.take_back(&mut fleet, &mut clients, tick, &mut dice);
            fleet.settle();
            if run.is_over() {
                break;
            }
        }
        run.storm(&mut fleet, clients)
    }
}

/// Lets all clients come, evenly to all nodes, each to a room of chance.
fn gather(fleet: &mut Fleet, weather: Weather, dice: &mut Dice) -> Vec<Client> {
    let mut clients = vec![];
    for number in 0..weather.nodes * weather.sessions {
        let guest = fleet.enter(number % weather.nodes, dice.below(usize::from(SHARDS)));
        fleet.ask(guest, connect());
        let room = dice.below(weather.channels);
        let token = fleet.ask(guest, subscribe(room, None));
        clients.push(Client { guest, room, at: None, token, is_whole: true, is_back: false });
        if number % 1000 == 0 {
            fleet.settle();
        }
    }
    clients
}

/// A storm under way.
struct Run {
    weather: Weather,
    before: Load,
    /// Who comes back in which tick.
    arrivals: BTreeMap<usize, Vec<usize>>,
    waiting: Vec<VecDeque<usize>>,
    /// Time of each node that is left for those who wait.
    spare: Vec<Duration>,
    taken: Vec<BTreeMap<usize, usize>>,
    last: usize,
    waiting_most: usize,
    said: usize,
}

impl Run {
    fn new(fleet: &Fleet, weather: Weather, clients: &[Client], dice: &mut Dice) -> Self {
        let ticks = weather.window.as_millis() / TICK.as_millis();
        let mut arrivals: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, _) in clients.iter().enumerate().filter(|(_, it)| it.guest.node == 0) {
            arrivals.entry(dice.below(ticks as usize)).or_default().push(number);
        }
        Self {
            weather,
            before: fleet.load(),
            arrivals,
            waiting: vec![VecDeque::new(); weather.nodes],
            spare: vec![Duration::ZERO; weather.nodes],
            taken: vec![BTreeMap::new(); weather.nodes],
            last: 0,
            waiting_most: 0,
            said: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.arrivals.is_empty() && self.waiting.iter().all(VecDeque::is_empty)
    }

    /// Lets those come whose moment it is, and each node take as many as it has time for.
    fn take_back(
        &mut self,
        fleet: &mut Fleet,
        clients: &mut [Client],
        tick: usize,
        dice: &mut Dice,
    ) {
        for number in self.arrivals.remove(&tick).unwrap_or_default() {
            self.waiting[1 + dice.below(self.weather.nodes - 1)].push_back(number);
        }
        let ticks_of_a_second = (1000 / TICK.as_millis()) as usize;
        for node in 1..self.weather.nodes {
            self.spare[node] += TICK;
            while self.spare[node] >= self.weather.each
                && let Some(number) = self.waiting[node].pop_front()
            {
                self.spare[node] -= self.weather.each;
                let client = &mut clients[number];
                client.guest = fleet.enter(node, dice.below(usize::from(SHARDS)));
                fleet.ask(client.guest, connect());
                client.token = fleet.ask(client.guest, subscribe(client.room, client.at));
                *self.taken[node].entry(tick / ticks_of_a_second).or_default() += 1;
                self.last = tick + 1;
            }
            // Time that nobody needed is no time for later.
            self.spare[node] = self.spare[node].min(TICK.max(self.weather.each));
            self.waiting_most = self.waiting_most.max(self.waiting[node].len());
        }
    }

    fn storm(self, fleet: &mut Fleet, mut clients: Vec<Client>) -> Storm {
        let all = fleet.load().since(&self.before);
        let mut storm = Storm {
            back: 0,
            whole: 0,
            last: TICK * self.last as u32,
            waiting_most: self.waiting_most,
            per_second_most: self
                .taken
                .iter()
                .flat_map(BTreeMap::values)
                .copied()
                .max()
                .unwrap_or(0),
            load: Load { published: 0, heard: 0, ..all },
            said: self.said,
        };
        for (number, client) in clients.iter_mut().enumerate() {
            let events = fleet.heard(client.guest);
            client.read(events);
            let was_there = number % self.weather.nodes == 0;
            storm.back += usize::from(was_there && client.is_back);
            storm.whole += usize::from(was_there && client.is_back && client.is_whole);
        }
        storm
    }
}
