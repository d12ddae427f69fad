//! A crowd on the shards of a hub: sessions without conversations, on a clock that is only a number.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use taiwa_core::{
    Admission, Answer, CallId, Cluster, Command, Event, Messages, Payload, Publication, Question,
    Refusal, Token,
};
use taiwa_hub::{
    Arrival, Done, Encoded, Letter, Now, Order, OrderId, Outlet, Seat, Settings, Shard, Ticket,
    far::{Wish, shard_of},
};

use crate::{
    Load,
    node::{News, Node},
};

/// How much of each kind a shard does in a turn: letters read, clients that left, timers.
const LETTERS: usize = 256;
const LEAVERS: usize = 64;
const TIMERS: usize = 256;

type Act = dyn FnOnce(&mut Shard, &mut Hall);

/// One client, by its number.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Who(pub usize);

/// The shards and everyone at them.
pub struct Crowd {
    shards: Vec<Shard>,
    halls: Vec<Hall>,
    letters: Vec<VecDeque<Letter>>,
    /// Clients that have left and whose sessions still have to end.
    leaving: Vec<VecDeque<(Who, bool)>>,
    clients: Vec<Client>,
    now: Now,
    tokens: Token,
    node: Option<Node>,
}

/// What is known of a client.
#[derive(Default)]
struct Client {
    shard: usize,
    seat: Option<Seat>,
    heard: Vec<Event>,
    queued: usize,
    queued_most: usize,
    /// Wants to hear when less than half of this waits.
    below: Option<usize>,
}

/// What one shard wants done.
#[derive(Default)]
struct Hall {
    seats: BTreeMap<Seat, Who>,
    said: Vec<(Seat, Event)>,
    delivered: Vec<(Seat, usize)>,
    encoded: Vec<usize>,
    wanted: Vec<(Seat, usize)>,
    queued: BTreeMap<Seat, usize>,
    posts: Vec<(u16, Letter)>,
    reseats: Vec<(Seat, Seat)>,
    moves: Vec<(Seat, u16, Token, Command)>,
    wishes: Vec<(Option<Ticket>, Wish)>,
    done: Vec<(OrderId, Result<Done, Refusal>)>,
    drawn: u128,
    /// Calls of the shard, and what it wanted done in them.
    steps: u64,
    /// Publications that may still be held somewhere.
    alive: Vec<Weak<Publication>>,
}

impl Crowd {
    /// Builds the shards; everybody is let in, as the user that the token names.
    pub fn new(shards: u16, settings: Settings, start: Instant) -> Self {
        let settings = Arc::new(settings);
        let count = usize::from(shards);
        let hall = |at| Hall { drawn: at as u128 + 1, ..Hall::default() };
        Self {
            shards: (0..shards)
                .map(|it| Shard::new(it, shards, settings.clone(), [7; 16]))
                .collect(),
            halls: (0..count).map(hall).collect(),
            letters: (0..count).map(|_| VecDeque::new()).collect(),
            leaving: (0..count).map(|_| VecDeque::new()).collect(),
            clients: vec![],
            now: Now { at: start, unix_ms: 1 },
            tokens: 0,
            node: None,
        }
    }

    /// Makes the shards those of one node of several.
    #[must_use]
    pub fn in_cluster(mut self, cluster: Cluster) -> Self {
        let id = cluster.registry.node();
        let names: Arc<[&'static str]> = ["crowd"].into();
        let shards = mem::take(&mut self.shards).into_iter();
        self.shards = shards.map(|it| it.in_cluster(id, names.clone())).collect();
        for hall in &mut self.halls {
            hall.drawn = hall.drawn.wrapping_mul(u128::from(id.0) | 1);
        }
        self.node = Some(Node::new(cluster));
        self
    }

    /// Lets a client come in at a shard.
    ///
    /// # Panics
    ///
    /// If the shard is full.
    pub fn enter(&mut self, shard: usize) -> Who {
        let who = Who(self.clients.len());
        self.clients.push(Client { shard, ..Client::default() });
        self.sit(who, shard);
        who
    }

    fn sit(&mut self, who: Who, shard: usize) {
        let arrival = Arrival { dialect: "crowd", address: None };
        let (seat, _) = self.shards[shard]
            .enter(arrival, &mut self.halls[shard])
            .expect("the crowd is smaller than the hub's limits");
        self.halls[shard].seats.insert(seat, who);
        let client = &mut self.clients[who.0];
        (client.shard, client.seat) = (shard, Some(seat));
    }

    /// Lets a client ask the hub; the answer is an event with the token returned.
    pub fn ask(&mut self, who: Who, command: Command) -> Token {
        self.tokens += 1;
        let (token, now) = (self.tokens, self.now);
        if let Client { shard, seat: Some(seat), .. } = self.clients[who.0] {
            self.on(shard, |it, out| it.command(seat, token, command, now, out));
        }
        token
    }

    /// Gives the first shard an order.
    pub fn order(&mut self, order: Order) -> OrderId {
        self.tokens += 1;
        let (id, now) = (self.tokens, self.now);
        self.on(0, |it, out| it.order(id, order, now, out));
        id
    }

    /// Takes what came of an order.
    pub fn done(&mut self, order: OrderId) -> Option<Result<Done, Refusal>> {
        let done = &mut self.halls[0].done;
        let at = done.iter().position(|(it, _)| *it == order)?;
        Some(done.swap_remove(at).1)
    }

    /// Lets a client answer a call.
    pub fn answer(&mut self, who: Who, id: CallId, answer: Result<Payload, Refusal>) {
        let now = self.now;
        if let Client { shard, seat: Some(seat), .. } = self.clients[who.0] {
            self.on(shard, |it, out| it.answer_call(seat, id, answer, now, out));
        }
    }

    /// Lets a client go. Its session ends, or is kept, when its turn comes.
    pub fn leave(&mut self, who: Who, is_lost: bool) {
        let shard = self.clients[who.0].shard;
        self.leaving[shard].push_back((who, is_lost));
    }

    /// Takes what a client heard.
    pub fn heard(&mut self, who: Who) -> Vec<Event> {
        mem::take(&mut self.clients[who.0].heard)
    }

    /// Lets a client read so many bytes of what waits for it.
    pub fn read(&mut self, who: Who, bytes: usize) {
        let client = &mut self.clients[who.0];
        client.queued -= bytes.min(client.queued);
        let Client { shard, seat: Some(seat), queued, below, .. } = *client else { return };
        self.halls[shard].queued.insert(seat, queued);
        if below.is_some_and(|below| queued <= below / 2) {
            self.clients[who.0].below = None;
            let now = self.now;
            self.on(shard, |it, out| it.drained(seat, now, out));
        }
    }

    /// Returns the most bytes that ever waited for a client.
    pub fn queued_most(&self, who: Who) -> usize {
        self.clients[who.0].queued_most
    }

    /// Does one turn of each shard: a bounded number of letters, leavers and timers. Returns whether anything is left.
    pub fn turn(&mut self) -> bool {
        let now = self.now;
        self.hear_others();
        for shard in 0..self.shards.len() {
            for _ in 0..LETTERS {
                let Some(letter) = self.letters[shard].pop_front() else { break };
                self.on(shard, |it, out| it.letter(letter, now, out));
            }
            for _ in 0..LEAVERS {
                let Some((who, is_lost)) = self.leaving[shard].pop_front() else { break };
                let Some(seat) = self.clients[who.0].seat.take() else { continue };
                self.halls[shard].seats.remove(&seat);
                self.halls[shard].queued.remove(&seat);
                self.on(shard, |it, out| match is_lost {
                    true => _ = it.detach(seat, now, out),
                    false => it.depart(seat, None, now, out),
                });
            }
            self.on(shard, |it, out| it.timeout(now, TIMERS, out));
        }
        self.is_busy()
    }

    /// Tells whether letters or leavers wait for a turn.
    pub fn is_busy(&self) -> bool {
        self.letters.iter().any(|it| !it.is_empty())
            || self.leaving.iter().any(|it| !it.is_empty())
            || self.node.as_ref().is_some_and(Node::is_busy)
    }

    /// Returns what the node asked of the broker so far, and heard from it; nothing if it is alone.
    pub fn load(&self) -> Load {
        self.node.as_ref().map(|it| it.load).unwrap_or_default()
    }

    /// Gives what came from other nodes to the shards.
    fn hear_others(&mut self) {
        let now = self.now;
        let Some(heard) = self.node.as_mut().map(Node::take) else { return };
        for news in heard {
            match news {
                News::Found(shard, ticket, found) => {
                    self.on(shard, |it, out| it.found(ticket, found, now, out));
                }
                News::Heard(heard) => {
                    let owner = usize::from(self.shards[0].owner(&heard.channel));
                    self.on(owner, |it, out| it.heard(heard, now, out));
                }
                News::Letter(from, letter) => {
                    let shard = shard_of(&letter, self.shards.len() as u16);
                    let shard = usize::from(shard.expect("it is of this version"));
                    self.on(shard, |it, out| it.far_letter(from, &letter, now, out));
                }
                News::Come(node) => self.on_all(|it, out| it.node_come(node, now, out)),
                News::Gone(node) => self.on_all(|it, out| it.node_gone(node, now, out)),
                News::State(state) => self.on_all(|it, out| it.cluster_state(state, now, out)),
            }
        }
    }

    fn on_all(&mut self, act: impl Fn(&mut Shard, &mut Hall)) {
        for shard in 0..self.shards.len() {
            self.on(shard, &act);
        }
    }

    /// Returns how many letters wait at the shard where most do.
    pub fn letters_most(&self) -> usize {
        self.letters.iter().map(VecDeque::len).max().unwrap_or(0)
    }

    /// Does turns until nothing is left to do, and returns how many.
    pub fn settle(&mut self) -> usize {
        let mut turns = 1;
        while self.turn() {
            turns += 1;
        }
        turns
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.now.unix_ms += time.as_millis() as u64;
    }

    /// Returns how many calls the shards had and how many things they wanted done: a measure of work that is the same on
    /// each machine.
    pub fn steps(&self) -> u64 {
        self.halls.iter().map(|it| it.steps).sum()
    }

    /// Returns how many publications are still held by the hub, once all events were taken.
    pub fn publications_held(&mut self) -> usize {
        let mut held = std::collections::BTreeSet::new();
        for hall in &mut self.halls {
            hall.alive.retain(|it| it.strong_count() > 0);
            held.extend(hall.alive.iter().map(|it| it.as_ptr() as usize));
        }
        held.len()
    }

    /// Returns how many sessions, kept sessions and subscriptions there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        let all: Vec<_> = self.shards.iter().map(Shard::info).collect();
        let sum = |of: fn(&taiwa_hub::Info) -> usize| all.iter().map(of).sum();
        (sum(|it| it.sessions), sum(|it| it.kept), sum(|it| it.subscriptions))
    }

    /// Returns the sum of a counter.
    pub fn counter(&self, name: &str) -> u64 {
        let all = self.shards.iter().flat_map(|it| it.info().counters.fields());
        all.filter(|(it, _)| *it == name).map(|(_, value)| value).sum()
    }

    fn on(&mut self, shard: usize, act: impl FnOnce(&mut Shard, &mut Hall)) {
        let hall = &mut self.halls[shard];
        hall.steps += 1;
        act(&mut self.shards[shard], hall);
        for (to, letter) in hall.posts.drain(..) {
            self.letters[usize::from(to)].push_back(letter);
        }
        if let Some(node) = &mut self.node {
            for (ticket, wish) in hall.wishes.drain(..) {
                node.ask(shard, ticket, wish);
            }
        }
        for (fresh, taken) in mem::take(&mut hall.reseats) {
            let who = hall.seats.remove(&fresh).expect("somebody sits there");
            if let Some(old) = hall.seats.insert(taken, who) {
                self.clients[old.0].seat = None;
            }
            self.clients[who.0].seat = Some(taken);
        }
        for (seat, event) in mem::take(&mut hall.said) {
            let Some(who) = hall.seats.get(&seat) else { continue };
            if let Event::Said(_, _, publication, _) = &event {
                hall.alive.push(Arc::downgrade(publication));
                hall.delivered.push((seat, publication.payload.len()));
            }
            self.clients[who.0].heard.push(event);
        }
        for (seat, bytes) in mem::take(&mut hall.delivered) {
            let Some(who) = hall.seats.get(&seat) else { continue };
            let client = &mut self.clients[who.0];
            client.queued += bytes;
            client.queued_most = client.queued_most.max(client.queued);
            hall.queued.insert(seat, client.queued);
        }
        for (seat, below) in mem::take(&mut hall.wanted) {
            if let Some(who) = hall.seats.get(&seat) {
                self.clients[who.0].below = Some(below);
            }
        }
        for (seat, to, token, command) in mem::take(&mut self.halls[shard].moves) {
            let who = self.halls[shard].seats.remove(&seat).expect("somebody sits there");
            let (to, now) = (usize::from(to), self.now);
            self.sit(who, to);
            let Some(seat) = self.clients[who.0].seat else { continue };
            let act: Box<Act> = Box::new(move |it, out| it.command(seat, token, command, now, out));
            self.on(to, act);
        }
    }
}

impl Outlet for Hall {
    fn event(&mut self, seat: Seat, event: Event) {
        self.steps += 1;
        self.said.push((seat, event));
    }

    fn encoded(&mut self, messages: Messages) -> Encoded {
        self.encoded.push(messages.len());
        Encoded(self.encoded.len() as u32 - 1)
    }

    fn deliver(&mut self, seat: Seat, encoded: Encoded) {
        self.steps += 1;
        self.delivered.push((seat, self.encoded[encoded.0 as usize]));
    }

    fn fan_out_ended(&mut self) {
        self.encoded.clear();
    }

    fn queued(&self, seat: Seat) -> usize {
        self.queued.get(&seat).copied().unwrap_or(0)
    }

    fn tell_drained(&mut self, seat: Seat, below: usize) {
        self.wanted.push((seat, below));
    }

    fn hold(&mut self, _: Seat, _: Instant) {}

    fn post(&mut self, shard: u16, letter: Letter) {
        self.steps += 1;
        self.posts.push((shard, letter));
    }

    fn ask(&mut self, _: Ticket, question: Question) -> Option<Result<Answer, Refusal>> {
        self.steps += 1;
        Some(Ok(match question {
            Question::Connect { connect, .. } => {
                let user = connect.token.as_deref().map(Into::into);
                Answer::Admission(Box::new(Admission { user, ..Admission::default() }))
            }
            _ => Answer::Noted,
        }))
    }

    fn far(&mut self, ticket: Option<Ticket>, wish: Wish) {
        self.wishes.push((ticket, wish));
    }

    fn done(&mut self, order: OrderId, result: Result<Done, Refusal>) {
        self.done.push((order, result));
    }

    fn reseat(&mut self, fresh: Seat, taken: Seat) {
        self.reseats.push((fresh, taken));
    }

    fn migrate(&mut self, seat: Seat, shard: u16, token: Token, command: Command) {
        self.moves.push((seat, shard, token, command));
    }

    /// The same in each run, as far apart as random ones.
    fn random(&mut self) -> u128 {
        self.drawn = self
            .drawn
            .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
            .wrapping_add(0x5851_f42d_4c95_7f2d);
        self.drawn
    }
}
