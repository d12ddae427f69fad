//! What must hold for crowds: mass disconnects, reconnect storms, slow readers.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Channel, Command, Connect, Connected, Delivery, Event, Link, Payload, Position, Publish,
    Recovered, Reply, Resume, ResumeKey, Resumed, Subscribe, Subscribed, Target, Token,
};
use taiwa_hub::{Limits, Namespace, Settings, settings::Slow};
use taiwa_simulate::{Crowd, Dice, Who};

/// The size of the largest crowd: `TAIWA_SIMULATE_CROWD=1000000 cargo test --release -p taiwa-simulate --test crowd`.
fn crowd_size() -> usize {
    let size = std::env::var("TAIWA_SIMULATE_CROWD").ok();
    size.map_or(40_000, |it| it.parse().expect("TAIWA_SIMULATE_CROWD is a number"))
}

fn settings(change: impl FnOnce(&mut Namespace)) -> Settings {
    let mut namespace = Namespace { join_leave: false, ..Namespace::open() };
    change(&mut namespace);
    let mut settings = Settings::open();
    settings.without_namespace = Arc::new(namespace);
    settings.limits = Limits::default().with(|it| {
        (it.sessions_max, it.kept_max, it.channels_max) = (1 << 21, 1 << 21, 1 << 21);
    });
    settings
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn subscribe(name: &str, since: Option<Position>) -> Command {
    let wish = Subscribe::new(Target::Channel(channel(name)), Delivery::Personal);
    Command::Subscribe(Link(0), Box::new(Subscribe { since, positioned: true, ..wish }))
}

fn publish(name: &str, text: String) -> Command {
    Command::Publish(Link(0), Box::new(Publish::new(channel(name), Payload::Text(text.into()))))
}

fn connect(resume: Option<Resume>) -> Command {
    Command::Connect(Link(0), Box::new(Connect { resume, ..Connect::default() }))
}

fn reply(events: &[Event], token: Token) -> Option<&Reply> {
    events.iter().find_map(|it| match it {
        Event::Reply(it, Ok(reply)) if *it == token => Some(reply),
        _ => None,
    })
}

fn subscribed(events: &[Event], token: Token) -> Option<&Subscribed> {
    match reply(events, token)? {
        Reply::Subscribed(it) => Some(it),
        other => panic!("{other:?}"),
    }
}

/// Lets so many disconnect at once; returns in how many turns and steps a newcomer in the middle of it was served.
fn newcomer_among_leavers(size: usize) -> (usize, u64) {
    let shards = 4;
    let mut crowd = Crowd::new(shards, settings(|_| {}), Instant::now());
    for at in 0..size {
        let who = crowd.enter(at % usize::from(shards));
        crowd.ask(who, connect(None));
        crowd.ask(who, subscribe(&format!("room-{}", at / 10), None));
        crowd.heard(who);
        if at % 1000 == 0 {
            crowd.settle();
        }
    }
    crowd.settle();
    assert_eq!(crowd.counts(), (size, 0, size));
    for at in 0..size {
        crowd.leave(Who(at), false);
        crowd.heard(Who(at));
    }
    for _ in 0..size / 1000 {
        crowd.turn();
    }
    let (before, mut turns) = (crowd.steps(), 0);
    let newcomer = crowd.enter(1);
    crowd.ask(newcomer, connect(None));
    let token = crowd.ask(newcomer, subscribe("room-0", None));
    let mut heard = vec![];
    while subscribed(&heard, token).is_none() {
        assert!(crowd.is_busy(), "the crowd is still leaving");
        crowd.turn();
        turns += 1;
        heard.extend(crowd.heard(newcomer));
        assert!(crowd.letters_most() < 2000, "{} letters wait", crowd.letters_most());
    }
    let steps = crowd.steps() - before;
    crowd.settle();
    assert_eq!(crowd.counts(), (1, 0, 1), "the newcomer alone is left");
    (turns, steps)
}

#[test]
fn a_newcomer_is_served_at_once_while_a_crowd_disconnects() {
    let small = newcomer_among_leavers(4_000);
    let large = newcomer_among_leavers(crowd_size());
    println!("turns and steps until a newcomer is served: {small:?} {large:?}");
    for (turns, steps) in [small, large] {
        assert!(turns <= 3, "{turns} turns");
        // A turn of four shards ends 256 sessions with a subscription each.
        assert!(steps <= 3 * 256 * 8, "{steps} steps");
    }
}

/// What a client of the storm knows.
struct Guest {
    who: Who,
    room: usize,
    at: Option<Position>,
    key: Option<ResumeKey>,
    read: u64,
    token: Option<Token>,
    got: Vec<u64>,
}

impl Guest {
    /// Reads what it heard. Each publication must be the next one of its room.
    fn digest(&mut self, crowd: &mut Crowd) {
        for event in crowd.heard(self.who) {
            match event {
                Event::Said(_, _, it, number) => {
                    self.take(it.position.unwrap());
                    self.read = self.read.max(number);
                }
                Event::Reply(token, Ok(Reply::Subscribed(told))) if Some(token) == self.token => {
                    self.subscribed(&told);
                }
                Event::Reply(_, Ok(Reply::Connected(it))) => self.connected(&it),
                Event::Reply(_, Ok(Reply::Kept(key))) => self.key = Some(key),
                Event::Reply(_, Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn connected(&self, it: &Connected) {
        let expected = self.key.map(|_| Resumed::Whole);
        assert!(it.resumed == expected || self.at.is_none(), "{:?}", it.resumed);
    }

    fn subscribed(&mut self, told: &Subscribed) {
        match (&told.recovered, self.at) {
            (Recovered::NotAsked, None) => self.at = told.position,
            (Recovered::Whole(missed), Some(_)) => {
                missed.iter().for_each(|it| self.take(it.position.unwrap()));
                assert_eq!(self.at, told.position);
            }
            (other, at) => panic!("{at:?} {other:?}"),
        }
    }

    fn take(&mut self, is: Position) {
        let was = self.at.expect("it is subscribed");
        assert_eq!(is, Position { offset: was.offset + 1, ..was }, "neither gap nor double");
        self.at = Some(is);
        self.got.push(is.offset);
    }
}

#[test]
fn a_storm_of_ten_thousand_comes_back_whole() {
    const GUESTS: usize = 10_000;
    const ROOMS: usize = 20;
    let (tick, jitter) = (Duration::from_millis(10), 1000);
    let mut dice = Dice::new(1);
    let mut crowd = Crowd::new(4, settings(|it| it.history_size = 500), Instant::now());
    let room = |at: usize| format!("room-{at}");
    let mut guests: Vec<Guest> = (0..GUESTS)
        .map(|at| {
            let who = crowd.enter(at % 4);
            let (room, key) = (at % ROOMS, None);
            Guest { who, room, at: None, key, read: 0, token: None, got: vec![] }
        })
        .collect();
    for guest in &mut guests {
        crowd.ask(guest.who, connect(None));
        guest.token = Some(crowd.ask(guest.who, subscribe(&room(guest.room), None)));
        if dice.one_in(2) {
            crowd.ask(guest.who, Command::Keep(Duration::from_secs(60)));
        }
    }
    let speaker = crowd.enter(0);
    crowd.ask(speaker, connect(None));
    crowd.settle();
    for guest in &mut guests {
        guest.digest(&mut crowd);
        crowd.leave(guest.who, guest.key.is_some());
    }
    // Everyone comes back at a random time of ten seconds (full jitter), and the talk goes on meanwhile.
    let mut arrivals: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..GUESTS {
        arrivals.entry(20 + dice.below(jitter)).or_default().push(at);
    }
    let (mut said, mut letters_most, mut steps_most) = (0, 0, 0);
    for now in 0..20 + jitter + 20 {
        crowd.pass(tick);
        let before = crowd.steps();
        if now % 5 == 0 {
            crowd.ask(speaker, publish(&room(said % ROOMS), said.to_string()));
            crowd.heard(speaker);
            said += 1;
        }
        for at in arrivals.remove(&now).unwrap_or_default() {
            let guest = &mut guests[at];
            guest.who = crowd.enter(dice.below(4));
            let resume = guest.key.map(|key| Resume { key, read: guest.read, positions: vec![] });
            crowd.ask(guest.who, connect(resume));
            if guest.key.is_none() {
                guest.token = Some(crowd.ask(guest.who, subscribe(&room(guest.room), guest.at)));
            }
        }
        crowd.turn();
        letters_most = letters_most.max(crowd.letters_most());
        steps_most = steps_most.max(crowd.steps() - before);
    }
    crowd.settle();
    for guest in &mut guests {
        guest.digest(&mut crowd);
        let in_room = (said - 1 - guest.room) / ROOMS + 1;
        assert_eq!(guest.got, (1..=in_room as u64).collect::<Vec<_>>(), "room {}", guest.room);
    }
    assert_eq!(crowd.counts(), (GUESTS + 1, 0, GUESTS));
    let (resumed, recovered) = (crowd.counter("resumed"), crowd.counter("recovered"));
    assert_eq!(resumed + recovered, GUESTS as u64);
    assert_eq!((crowd.counter("resumed_anew"), crowd.counter("gaps")), (0, 0));
    println!("at most {letters_most} letters waited, and {steps_most} steps were in a tick");
    assert!(letters_most < 1000 && steps_most < 20_000, "{letters_most} {steps_most}");
}

/// Someone who reads so many bytes at a time.
#[derive(Default)]
struct Reader {
    who: Who,
    speed: usize,
    last: Option<u64>,
    /// It was told that something is missing before what comes next.
    is_warned: bool,
    missed: u64,
    is_gone: bool,
}

impl Reader {
    /// Takes what was said: newer things alone, and no gap without a word.
    fn hear(&mut self, event: Event, policy: Slow) {
        match event {
            Event::Said(_, _, it, _) => {
                let is = it.position.unwrap().offset;
                let follows = self.last.is_none_or(|was| is == was + 1);
                assert!(self.last.is_none_or(|was| is > was), "{policy:?}: {is} once and in order");
                let may_skip = self.is_warned || matches!(policy, Slow::KeepLatest(_));
                assert!(follows || may_skip, "{policy:?}: {:?} {is}", self.last);
                (self.last, self.is_warned) = (Some(is), false);
            }
            Event::Missed(_, _, count, at) => {
                self.missed += count.unwrap_or(1);
                self.is_warned = policy != Slow::Pause;
                if policy == Slow::Pause {
                    self.last = at.map(|it| it.offset);
                }
            }
            Event::Disconnect(taiwa_core::Disconnect::Slow) => self.is_gone = true,
            Event::Reply(..) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Lets readers of random speeds hear what is said faster than they read.
fn slow_readers(policy: Slow, seed: u64) {
    const MESSAGE: usize = 1000;
    const QUEUE: usize = 20_000;
    // Who was paused catches up from it.
    let history = if policy == Slow::Pause { 50 } else { 5 };
    let mut dice = Dice::new(seed);
    let settings = settings(|it| {
        (it.slow, it.queue_bytes_max, it.history_size) = (policy, QUEUE, history);
    });
    let mut crowd = Crowd::new(2, settings, Instant::now());
    let mut readers: Vec<_> = (0..20)
        .map(|at| (crowd.enter(at % 2), if at == 0 { 10_000 } else { dice.below(2_500) }))
        .map(|(who, speed)| Reader { who, speed, ..Reader::default() })
        .collect();
    for reader in &readers {
        crowd.ask(reader.who, connect(None));
        crowd.ask(reader.who, subscribe("a", None));
    }
    let speaker = crowd.enter(1);
    crowd.ask(speaker, connect(None));
    let mut held_most = 0;
    for n in 0..600 {
        let text = format!("{n:0>MESSAGE$}");
        let key = Some(format!("{}", n % 30).as_str().into());
        let publish = Publish { key, ..Publish::new(channel("a"), Payload::Text(text.into())) };
        // The talk pauses now and then, so that some catch up.
        if n % 200 < 150 {
            crowd.ask(speaker, Command::Publish(Link(0), Box::new(publish)));
        }
        crowd.pass(Duration::from_millis(10));
        crowd.settle();
        crowd.heard(speaker);
        for reader in &mut readers {
            crowd.read(reader.who, reader.speed);
            for event in crowd.heard(reader.who) {
                reader.hear(event, policy);
            }
            if reader.is_gone {
                crowd.leave(reader.who, false);
            }
            let most = crowd.queued_most(reader.who);
            assert!(most <= 3 * QUEUE, "{policy:?}: {most} bytes waited, seed {seed}");
        }
        crowd.settle();
        held_most = held_most.max(crowd.publications_held());
    }
    // The history, or what all who lag behind have in common: the last so many.
    let kept = match policy {
        Slow::DropOldest(count) => count,
        Slow::KeepLatest(_) => QUEUE / MESSAGE,
        _ => 0,
    };
    assert!(held_most <= history.max(kept) + 1, "{policy:?}: {held_most} held, seed {seed}");
    let gone = readers.iter().filter(|it| it.is_gone).count();
    let missed_all: u64 = readers.iter().map(|it| it.missed).sum();
    assert_eq!(readers[0].last, Some(450), "who reads fast gets all: {policy:?} seed {seed}");
    assert_eq!(gone > 0, policy == Slow::Disconnect, "{policy:?} seed {seed}");
    assert!(missed_all > 0 || policy == Slow::Disconnect, "{policy:?} seed {seed}");
    println!("{policy:?}: {held_most} publications held, {missed_all} missed, {gone} sent away");
}

#[test]
fn slow_readers_cost_no_more_than_their_policy_says() {
    for policy in [Slow::Disconnect, Slow::DropOldest(10), Slow::KeepLatest(15), Slow::Pause] {
        for seed in 0..5 {
            slow_readers(policy, seed);
        }
    }
}
