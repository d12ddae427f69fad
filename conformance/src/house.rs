//! A whole house without a socket or a clock: rooms, one shard of the hub, and an app, in one thread.

use std::{
    collections::VecDeque,
    mem,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Action, Addressee, Admission, Answer, Command, Conversation, Dialect, Disconnect, Door, Event,
    Exchange, Input, Knock, Line, Message, Question, Refusal, RefusalKind, Request, Response,
    Token, Transport,
};
use taiwa_hub::{
    Arrival, Done, Encoded, Letter, Now, Order, OrderId, Outlet, Seat, Settings, Shard, Ticket,
};

/// What the tokens of the app's own clients begin with; what follows is the user. Other tokens are refused.
pub const TOKEN: &str = "user-";

/// The token of a client that the app sends away, and the method by which any client asks for that.
pub const BANNED: &str = "banned";

/// The house.
pub struct House {
    shard: Shard,
    street: Street,
    rooms: Vec<Box<dyn Dialect>>,
    people: Vec<Person>,
    now: Instant,
}

/// One client, by its place in the house.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Who(usize);

/// How a conversation ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End {
    /// The close code.
    pub code: u16,
    /// The reason.
    pub reason: String,
}

struct Person {
    seat: Seat,
    conversation: Option<Box<dyn Conversation>>,
    line: LineState,
    flows: bool,
    waiting: Vec<Message>,
    heard: Vec<Message>,
    status: Option<u16>,
    end: Option<End>,
}

/// Each client has one line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineState {
    Unanswered,
    Open,
    Poll,
    Gone,
}

/// What the shard wants done.
#[derive(Default)]
struct Street {
    told: VecDeque<(Seat, Told)>,
    encoded: Vec<Message>,
    orders: Vec<(OrderId, Result<Done, Refusal>)>,
    drawn: u128,
}

enum Told {
    Event(Event),
    Message(Message),
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
        }
    }

    /// Lets a client come in by a WebSocket.
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

    /// Lets a client come in by a request.
    ///
    /// # Errors
    ///
    /// The refusal of the dialect.
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Result<Who, Refusal> {
        let mut request = Request::get(target);
        let owned = |(name, value): &(&str, &str)| ((*name).into(), (*value).to_owned().into());
        request.headers = headers.iter().map(owned).collect();
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
        let doors =
            self.rooms.iter().flat_map(|room| room.doors().iter().map(move |it| (room, it)));
        let best = doors
            .filter(|(_, door)| fits(door))
            .max_by_key(|(_, door)| (door.path.len(), !door.subprotocols.is_empty()));
        let no_door = || Refusal::new(RefusalKind::NotFound, "no door");
        let (room, door) = best.ok_or_else(no_door)?;
        assert_eq!(room.addressee(&request), Addressee::New);
        let (subprotocol, random) = (agreed(door), self.street.random());
        let knock = Knock { transport, request: &request, subprotocol, address: "a", random };
        let conversation = room.open(&knock, self.now)?;
        let address = Some(IpAddr::from([127, 0, 0, 1]));
        let arrival = Arrival { dialect: room.name(), address };
        let (seat, _) = self.shard.enter(arrival, &mut self.street).expect("there are seats left");
        let (line, input) = match transport {
            Transport::WebSocket => (LineState::Open, Input::Joined(Line(0))),
            _ => (LineState::Unanswered, Input::Request(Exchange(0), request)),
        };
        self.people.push(Person {
            seat,
            conversation: Some(conversation),
            line,
            flows: true,
            waiting: vec![],
            heard: vec![],
            status: None,
            end: None,
        });
        let who = Who(self.people.len() - 1);
        self.input(who, input);
        Ok(who)
    }

    /// Lets a client say something.
    pub fn say(&mut self, who: Who, message: Message) {
        self.input(who, Input::Message(Line(0), message));
    }

    /// Lets a client's line end.
    pub fn leave(&mut self, who: Who) {
        self.people[who.0].line = LineState::Gone;
        self.input(who, Input::Left(Line(0)));
    }

    /// Lets the server's own API do something.
    pub fn order(&mut self, order: Order) {
        let now = self.time();
        self.shard.order(1, order, now, &mut self.street);
        self.settle();
        let (_, outcome) = self.street.orders.pop().expect("one shard answers at once");
        outcome.expect("the order is one that can be done");
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
                self.act(Who(i), out);
            }
        }
        self.settle();
    }

    /// Takes what a client has heard.
    pub fn heard(&mut self, who: Who) -> Vec<Message> {
        mem::take(&mut self.people[who.0].heard)
    }

    /// Takes what a client has heard, as one text.
    pub fn text(&mut self, who: Who) -> String {
        let heard = self.heard(who);
        heard.iter().map(|it| String::from_utf8_lossy(it.as_bytes())).collect()
    }

    /// Tells how a conversation ended, if it did.
    pub fn end(&self, who: Who) -> Option<&End> {
        self.people[who.0].end.as_ref()
    }

    /// Tells with which status a request was answered, if it was.
    pub fn status(&self, who: Who) -> Option<u16> {
        self.people[who.0].status
    }

    /// Tells how many sessions and subscriptions there are.
    pub fn counts(&self) -> (usize, usize) {
        let info = self.shard.info();
        (info.sessions, info.subscriptions)
    }

    fn time(&self) -> Now {
        Now { at: self.now, unix_ms: 1_800_000_000_000 }
    }

    fn input(&mut self, who: Who, input: Input) {
        let mut out = vec![];
        let conversation = self.people[who.0].conversation.as_mut();
        conversation.expect("it has not ended").receive(input, self.now, &mut out);
        self.act(who, out);
        self.settle();
    }

    /// Brings everything to those whom it is for, until all is quiet.
    fn settle(&mut self) {
        loop {
            while let Some((seat, told)) = self.street.told.pop_front() {
                let Some(at) = self.people.iter().rposition(|it| it.seat == seat) else { continue };
                let person = &mut self.people[at];
                let Some(conversation) = &mut person.conversation else { continue };
                match told {
                    Told::Message(message) if person.flows => person.hear(message),
                    Told::Message(message) => person.waiting.push(message),
                    Told::Event(event) => {
                        let mut out = vec![];
                        conversation.deliver(event, self.now, &mut out);
                        self.act(Who(at), out);
                    }
                }
            }
            let used = self
                .people
                .iter()
                .position(|it| it.line == LineState::Poll && !it.heard.is_empty());
            match used {
                Some(at) if self.people[at].conversation.is_some() => self.leave(Who(at)),
                _ => return,
            }
        }
    }

    fn act(&mut self, who: Who, actions: Vec<Action>) {
        for action in actions {
            let now = self.time();
            let person = &mut self.people[who.0];
            let seat = person.seat;
            match action {
                Action::Send(Line(0), message) => person.hear(message),
                Action::Flow(line) => {
                    person.flows = line.is_some();
                    if person.flows {
                        mem::take(&mut person.waiting).into_iter().for_each(|it| person.hear(it));
                    }
                }
                Action::Respond(Exchange(0), response) => {
                    (person.line, person.status) = match response {
                        Response::Whole { status, body, .. } => {
                            person.heard.push(Message::Text(body));
                            (LineState::Gone, Some(status))
                        }
                        Response::Stream { .. } => (LineState::Open, Some(200)),
                        Response::Poll { .. } => (LineState::Poll, Some(200)),
                        other => panic!("{other:?} is not known here"),
                    };
                }
                Action::Ask(token, command) => {
                    self.shard.command(seat, token, command, now, &mut self.street);
                }
                Action::Answer(id, answer) => {
                    self.shard.answer_call(seat, id, answer, now, &mut self.street);
                }
                Action::End(code, reason) => {
                    person.conversation = None;
                    person.line = LineState::Gone;
                    person.end = Some(End { code, reason: (*reason).to_owned() });
                    self.shard.depart(seat, None, now, &mut self.street);
                }
                other => panic!("{other:?} needs more than one line"),
            }
        }
    }
}

impl Person {
    fn hear(&mut self, message: Message) {
        match self.line {
            LineState::Unanswered => panic!("nothing is said before the answer: {message:?}"),
            LineState::Open | LineState::Poll => self.heard.push(message),
            LineState::Gone => {}
        }
    }
}

fn banned() -> Answer {
    let reason = "banned for good".into();
    Answer::Disconnect(Disconnect::App { code: 4007, reason, may_return: false })
}

impl Outlet for Street {
    fn event(&mut self, seat: Seat, event: Event) {
        self.told.push_back((seat, Told::Event(event)));
    }

    fn encoded(&mut self, message: Message) -> Encoded {
        self.encoded.push(message);
        Encoded(self.encoded.len() as u32 - 1)
    }

    fn deliver(&mut self, seat: Seat, encoded: Encoded) {
        let message = self.encoded[encoded.0 as usize].clone();
        self.told.push_back((seat, Told::Message(message)));
    }

    fn fan_out_ended(&mut self) {
        self.encoded.clear();
    }

    fn queued(&self, _: Seat) -> usize {
        0
    }

    fn tell_drained(&mut self, _: Seat, _: usize) {}

    // Without sockets nobody is behind with reading.
    fn hold(&mut self, _: Seat, _: Instant) {}

    fn post(&mut self, shard: u16, _: Letter) {
        panic!("there is no shard {shard}");
    }

    /// The app: it knows its own tokens and lets those without one stay anonymous.
    fn ask(&mut self, _: Ticket, question: Question) -> Option<Result<Answer, Refusal>> {
        Some(match question {
            Question::Connect { connect, .. } => match connect.token.as_deref() {
                None => Ok(Answer::Admission(Box::default())),
                Some(token) => match token.strip_prefix(TOKEN) {
                    Some(user) => {
                        let user = Some(user.into());
                        Ok(Answer::Admission(Box::new(Admission { user, ..Admission::default() })))
                    }
                    None if token == BANNED => Ok(banned()),
                    None => Err(Refusal::new(RefusalKind::Unauthorized, "not one of our tokens")),
                },
            },
            Question::Call { method, .. } if *method == *BANNED => Ok(banned()),
            _ => Ok(Answer::Noted),
        })
    }

    fn done(&mut self, order: OrderId, result: Result<Done, Refusal>) {
        self.orders.push((order, result));
    }

    fn reseat(&mut self, _: Seat, _: Seat) {
        panic!("no session is kept here");
    }

    fn migrate(&mut self, _: Seat, _: u16, _: Token, _: Command) {
        panic!("there is one shard");
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
