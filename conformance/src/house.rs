//! A whole house without a socket or a clock: rooms, one shard of the hub, and an app, in one thread.

mod person;
mod street;

use std::{
    mem,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use taiwa_core::{
    Action, Addressee, Dialect, Disconnect, Door, Event, Exchange, Input, Knock, Line, Message,
    Refusal, RefusalKind, Request, Response, Transport,
};
use taiwa_hub::{Arrival, Done, Now, Order, Outlet, Settings, Shard};

use person::{Person, State, Way};
use street::{Street, Told};

/// What the tokens of the app's own clients begin with; what follows is the user. Other tokens are refused.
pub const TOKEN: &str = "user-";

/// The token of a client that the app sends away, and the method by which any client asks for that.
pub const BANNED: &str = "banned";

/// The method whose answer is what it was called with; the app knows no other one.
pub const ECHO: &str = "echo";

/// The house.
pub struct House {
    shard: Shard,
    street: Street,
    rooms: Vec<Box<dyn Dialect>>,
    people: Vec<Person>,
    now: Instant,
    orders: u64,
}

/// One line or request of a client, by its place in the house.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Who {
    person: usize,
    line: Line,
}

/// How a line ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End {
    /// The close code.
    pub code: u16,
    /// The reason.
    pub reason: String,
}

impl House {
    /// Builds it.
    pub fn new(settings: Settings, rooms: Vec<Box<dyn Dialect>>) -> Self {
        Self {
            shard: Shard::new(0, 1, Arc::new(settings), [7; 16]),
            street: Street::default(),
            rooms,
            people: vec![],
            now: Instant::now(),
            orders: 0,
        }
    }

    /// Lets a client come in by a WebSocket, or join the conversation that it names.
    ///
    /// # Errors
    ///
    /// The refusal of the dialect.
    pub fn websocket(&mut self, target: &str, subprotocol: &str) -> Result<Who, Refusal> {
        let mut request = Request::get(target);
        if !subprotocol.is_empty() {
            let value = subprotocol.to_owned().into();
            request.headers = Box::new([("sec-websocket-protocol".into(), value)]);
        }
        self.come(Transport::WebSocket, request)
    }

    /// Lets a client come in by a request, or ask the conversation that it names.
    ///
    /// # Errors
    ///
    /// The refusal of the dialect, if it has no words of its own for it.
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Result<Who, Refusal> {
        let mut request = Request::get(target);
        let owned = |(name, value): &(&str, &str)| ((*name).into(), (*value).to_owned().into());
        request.headers = headers.iter().map(owned).collect();
        self.come(Transport::Http, request)
    }

    /// As [`House::get`], with a body.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn post(
        &mut self,
        target: &str,
        kind: &str,
        body: impl Into<Bytes>,
    ) -> Result<Who, Refusal> {
        let mut request = Request::get(target);
        request.method = "POST".into();
        request.headers = Box::new([("content-type".into(), kind.to_owned().into())]);
        request.body = body.into();
        self.come(Transport::Http, request)
    }

    fn come(&mut self, transport: Transport, request: Request) -> Result<Who, Refusal> {
        let offered = request.header("sec-websocket-protocol").unwrap_or("").to_owned();
        let offered: Vec<&str> = offered.split(',').map(str::trim).collect();
        let agreed = |it: &Door| offered.iter().copied().find(|one| it.subprotocols.contains(one));
        let fits = |it: &&Door| {
            let path = match it.path.strip_suffix('*') {
                Some(start) => request.path.starts_with(start),
                None => *request.path == *it.path,
            };
            let speaks = it.subprotocols.is_empty() || agreed(it).is_some();
            path && speaks && it.transports.contains(&transport)
        };
        let doors = self
            .rooms
            .iter()
            .enumerate()
            .flat_map(|(n, room)| room.doors().iter().map(move |it| (n, *it)));
        let best = doors
            .filter(|(_, door)| fits(&door))
            .max_by_key(|(_, door)| (door.path.len(), !door.subprotocols.is_empty()));
        let no_door = || Refusal::new(RefusalKind::NotFound, "no door");
        let (room, door) = best.ok_or_else(no_door)?;
        let known = |people: &[Person], address: &str| {
            people.iter().position(|it| it.conversation.is_some() && it.address == address)
        };
        let there = match self.rooms[room].addressee(&request) {
            Addressee::New => None,
            Addressee::KnownOrNew(address) => known(&self.people, &address),
            Addressee::Known(address) => match known(&self.people, &address) {
                Some(it) => Some(it),
                None => {
                    let why = Refusal::new(RefusalKind::NotFound, "there is no such conversation");
                    return self.turn_away(room, &request, why);
                }
            },
            Addressee::Nobody(_, why) => {
                let why = Refusal::new(RefusalKind::BadRequest, why);
                return self.turn_away(room, &request, why);
            }
        };
        let person = match there {
            Some(it) => it,
            None => match self.open(room, transport, &request, agreed(&door)) {
                Ok(it) => it,
                Err(why) => return self.turn_away(room, &request, why),
            },
        };
        let line = Line(self.people[person].lines.len() as u32);
        let (state, input) = match transport {
            Transport::WebSocket => (State::Open, Input::Joined(line)),
            _ => (State::Unanswered, Input::Request(Exchange(line.0), request)),
        };
        self.people[person].lines.insert(line, Way::new(state));
        let who = Who { person, line };
        self.input(who, input);
        Ok(who)
    }

    /// Begins a conversation.
    fn open(
        &mut self,
        room: usize,
        transport: Transport,
        request: &Request,
        subprotocol: Option<&str>,
    ) -> Result<usize, Refusal> {
        let room = &self.rooms[room];
        let named = format!("address-{}", self.people.len());
        let address = if transport == Transport::WebSocket { "" } else { &named };
        let random = self.street.random();
        let knock = Knock { transport, request, subprotocol, address, random };
        let conversation = room.open(&knock, self.now)?;
        let mut person = Person::new(address.to_owned(), Some(conversation));
        if transport != Transport::WebSocket {
            person.flow(None);
        }
        let address = Some(IpAddr::from([127, 0, 0, 1]));
        let arrival = Arrival { dialect: room.name(), address };
        let (seat, _) = self.shard.enter(arrival, &mut self.street).expect("there are seats left");
        person.seat = Some(seat);
        self.people.push(person);
        Ok(self.people.len() - 1)
    }

    /// Gives a request that reaches no conversation the answer of the room, if it has one.
    fn turn_away(&mut self, room: usize, request: &Request, why: Refusal) -> Result<Who, Refusal> {
        let Some(Response::Whole { status, body, .. }) = self.rooms[room].turn_away(request, &why)
        else {
            return Err(why);
        };
        let mut person = Person::new(String::new(), None);
        let mut way = Way::new(State::Gone);
        way.heard.push(Message::Text(body));
        way.status = Some(status);
        person.lines.insert(Line::default(), way);
        self.people.push(person);
        Ok(Who { person: self.people.len() - 1, line: Line::default() })
    }

    /// Lets a client say something.
    pub fn say(&mut self, who: Who, message: Message) {
        self.input(who, Input::Message(who.line, message));
    }

    /// Lets a client's line end.
    pub fn leave(&mut self, who: Who) {
        self.way_mut(who).state = State::Gone;
        self.left(who);
        self.settle();
    }

    /// Has a client read no more: from now on much waits for it.
    pub fn stall(&mut self, who: Who) {
        self.street.stalled.extend(self.people[who.person].seat);
    }

    /// Lets the server's own API do something.
    pub fn order(&mut self, order: Order) -> Done {
        let id = self.start(order);
        let done = self.done(id).expect("one shard answers at once");
        done.expect("the order is one that can be done")
    }

    /// As [`House::order`], for what a client has to answer first: [`House::done`] tells what became of it.
    pub fn start(&mut self, order: Order) -> u64 {
        self.orders += 1;
        let now = self.time();
        self.shard.order(self.orders, order, now, &mut self.street);
        self.settle();
        self.orders
    }

    /// Takes what became of an order.
    pub fn done(&mut self, order: u64) -> Option<Result<Done, Refusal>> {
        let at = self.street.orders.iter().position(|(it, _)| *it == order)?;
        Some(self.street.orders.swap_remove(at).1)
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        let now = self.time();
        self.shard.timeout(now, usize::MAX, &mut self.street);
        for i in 0..self.people.len() {
            let now = self.now;
            let Some(conversation) = &mut self.people[i].conversation else { continue };
            if conversation.deadline().is_some_and(|it| it <= now) {
                let mut out = vec![];
                conversation.timeout(now, &mut out);
                self.act(i, out);
            }
        }
        self.settle();
    }

    /// Takes what a client has heard.
    pub fn heard(&mut self, who: Who) -> Vec<Message> {
        mem::take(&mut self.way_mut(who).heard)
    }

    /// Takes what a client has heard, as one text.
    pub fn text(&mut self, who: Who) -> String {
        let heard = self.heard(who);
        heard.iter().map(|it| String::from_utf8_lossy(it.as_bytes())).collect()
    }

    /// Tells how a line ended, if it was not the client who ended it.
    pub fn end(&self, who: Who) -> Option<&End> {
        self.way(who).end.as_ref()
    }

    /// Tells whether a line is over, or a request answered.
    pub fn is_over(&self, who: Who) -> bool {
        matches!(self.way(who).state, State::Gone)
    }

    /// Tells with which status a request was answered, if it was.
    pub fn status(&self, who: Who) -> Option<u16> {
        self.way(who).status
    }

    /// Tells how many sessions and subscriptions there are.
    pub fn counts(&self) -> (usize, usize) {
        let info = self.shard.info();
        (info.sessions, info.subscriptions)
    }

    fn way(&self, who: Who) -> &Way {
        &self.people[who.person].lines[&who.line]
    }

    fn way_mut(&mut self, who: Who) -> &mut Way {
        self.people[who.person].lines.get_mut(&who.line).expect("there is such a line")
    }

    fn time(&self) -> Now {
        Now { at: self.now, unix_ms: 1_800_000_000_000 }
    }

    fn input(&mut self, who: Who, input: Input) {
        let mut out = vec![];
        let conversation = self.people[who.person].conversation.as_mut();
        conversation.expect("it has not ended").receive(input, self.now, &mut out);
        self.act(who.person, out);
        self.settle();
    }

    /// Tells a conversation that a line is gone.
    fn left(&mut self, who: Who) {
        let person = &mut self.people[who.person];
        person.unflow(who.line);
        self.feed(who.person, Input::Left(who.line));
    }

    fn feed(&mut self, at: usize, input: Input) {
        let Some(conversation) = &mut self.people[at].conversation else { return };
        let mut out = vec![];
        conversation.receive(input, self.now, &mut out);
        self.act(at, out);
    }

    /// Brings everything to those whom it is for, until all is quiet.
    fn settle(&mut self) {
        loop {
            while let Some((seat, told)) = self.street.told.pop_front() {
                let Some(at) = self.people.iter().rposition(|it| it.seat == Some(seat)) else {
                    continue;
                };
                match told {
                    Told::Message(message) => self.people[at].hear_with_all(message),
                    Told::Event(event) => self.tell(at, event),
                    Told::Reseat(taken) => {
                        if let Some(old) = self.people.iter().position(|it| it.seat == Some(taken))
                        {
                            // Its session is another's now: it ends without taking the session along.
                            self.people[old].seat = None;
                            self.tell(old, Event::Disconnect(Disconnect::Replaced));
                        }
                        self.people[at].seat = Some(taken);
                    }
                }
            }
            let answered = (0..self.people.len()).find_map(|person| {
                let line = self.people[person].finish_poll()?;
                Some(Who { person, line })
            });
            match answered {
                Some(who) => {
                    self.feed(who.person, Input::Answered(who.line));
                    self.left(who);
                }
                None => return,
            }
        }
    }

    fn tell(&mut self, at: usize, event: Event) {
        let Some(conversation) = &mut self.people[at].conversation else { return };
        let mut out = vec![];
        conversation.deliver(event, self.now, &mut out);
        self.act(at, out);
    }

    fn act(&mut self, at: usize, actions: Vec<Action>) {
        for action in actions {
            let now = self.time();
            let person = &mut self.people[at];
            let seat = person.seat;
            match (action, seat) {
                (Action::Send(line, message), _) => person.hear(line, message),
                (Action::Say(message), _) => person.hear_with_all(message),
                (Action::Flow(line), _) => person.flow(line),
                (Action::Respond(exchange, response), _) => {
                    person.respond(exchange.line(), response)
                }
                (Action::Ask(token, command), Some(seat)) => {
                    self.shard.command(seat, token, command, now, &mut self.street);
                }
                (Action::Answer(id, answer), Some(seat)) => {
                    self.shard.answer_call(seat, id, answer, now, &mut self.street);
                }
                (Action::Close(line, code, reason), _) => {
                    if person.close(line, End { code, reason: (*reason).to_owned() }) {
                        self.left(Who { person: at, line });
                    }
                }
                (Action::End(code, reason), _) => self.end_conversation(at, code, &reason),
                (Action::Ask(..) | Action::Answer(..), None) => {}
                // Its lines are open from the beginning.
                (Action::Open(_), _) => {}
                (other, _) => panic!("{other:?} is not known here"),
            }
        }
    }

    fn end_conversation(&mut self, at: usize, code: u16, reason: &str) {
        let now = self.time();
        let person = &mut self.people[at];
        let had_line = person.has_line();
        person.conversation = None;
        for line in person.lines.keys().copied().collect::<Vec<_>>() {
            let end = End { code, reason: reason.to_owned() };
            person.close(line, end.clone());
            let way = person.lines.get_mut(&line).expect("it was there before");
            way.end.get_or_insert(end);
        }
        let Some(seat) = person.seat.take() else { return };
        if had_line {
            self.shard.depart(seat, None, now, &mut self.street);
        } else {
            // A session that is to be kept is.
            self.shard.detach(seat, now, &mut self.street);
        }
    }
}
