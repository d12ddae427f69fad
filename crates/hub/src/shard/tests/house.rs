//! A few shards, the queues between them, clients that write down what they hear, and an app.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Admission, Answer, Authorization, CallId, Channel, Command, Connect, Delivery, Encoding, Event,
    Link, Message, Messages, Payload, Position, Publication, Publish, Published, Question,
    Recovered, Refusal, RefusalKind, Reply, ResumeKey, SessionId, Subscribe, Subscribed, Target,
    Token,
};

use crate::{
    Arrival, Done, Encoded, Letter, Namespace, Now, Order, OrderId, Outlet, Seat, Settings, Shard,
    Ticket, dice::Dice,
};

/// What the app says: `None` for later.
pub(super) type App = dyn Fn(&Question) -> Said;

pub(super) type Said = Option<Result<Answer, Refusal>>;

type Act = dyn FnOnce(&mut Shard, &mut Record);

/// One conversation.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Who(pub(super) usize);

pub(super) struct House {
    pub(super) shards: Vec<Shard>,
    outlets: Vec<Record>,
    /// From each shard to each.
    queues: Vec<VecDeque<Letter>>,
    talks: Rc<RefCell<Vec<Talk>>>,
    pub(super) dice: Dice,
    pub(super) now: Now,
    tokens: Token,
    orders: OrderId,
}

/// What became of a conversation.
#[derive(Default)]
struct Talk {
    shard: usize,
    seat: Option<Seat>,
    heard: Vec<Heard>,
    queued: usize,
    wants_drained: Option<usize>,
    held: Option<Instant>,
    /// What it said last, for the answer to a connection that moved.
    ended: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Heard {
    Event(Event),
    Sent(String),
}

struct Record {
    shard: usize,
    talks: Rc<RefCell<Vec<Talk>>>,
    by_seat: BTreeMap<Seat, Who>,
    encoded: Vec<Messages>,
    posted: Vec<(u16, Letter)>,
    moves: Vec<(Seat, u16, Token, Command)>,
    done: BTreeMap<OrderId, Vec<Result<Done, Refusal>>>,
    app: Rc<App>,
    asked: Vec<Question>,
    later: Vec<(Ticket, Question)>,
    dice: Dice,
}

pub(super) static PLAIN: Encoding = Encoding { name: "plain", encode: |said| written(said).into() };
pub(super) static OTHER: Encoding = Encoding { name: "other", encode: |said| written(said).into() };

fn written(said: &taiwa_core::Said<'_>) -> Message {
    use taiwa_core::Said;
    let text = match said {
        Said::Publication(it) => show(it),
        Said::Delta(it) => format!("{} by delta", show(it)),
        Said::Joined(it) => format!("joined {} {}", it.channel, name(&it.member.client)),
        Said::Left(it) => format!("left {} {}", it.channel, name(&it.member.client)),
        _ => "?".into(),
    };
    Message::Text(text.into())
}

fn name(client: &taiwa_core::Client) -> String {
    client.user.as_ref().map_or("nobody", |it| it.as_str()).to_owned()
}

/// `channel@offset payload`
pub(super) fn show(it: &Publication) -> String {
    let at = it.position.map_or(String::new(), |it| format!("@{}", it.offset));
    format!("{}{at} {}", it.channel, text(&it.payload))
}

pub(super) fn text(payload: &Payload) -> String {
    match payload {
        Payload::Text(bytes) | Payload::Json(bytes) | Payload::Binary(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => "mixed".into(),
    }
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

pub(super) fn target(name: &str) -> Target {
    Target::Channel(channel(name))
}

pub(super) fn saying(name: &str, text: &str) -> Publish {
    Publish::new(channel(name), Payload::Text(text.to_owned().into()))
}

/// Subscribes link 0, and hears everything by event.
pub(super) fn hearing(name: &str) -> Subscribe {
    Subscribe::new(target(name), Delivery::Personal)
}

pub(super) fn refused(kind: RefusalKind) -> Refusal {
    Refusal::new(kind, "the app says no")
}

/// Settings in which everyone may do anything in channels without namespace, changed.
pub(super) fn open(change: impl FnOnce(&mut Namespace)) -> Settings {
    let mut namespace = Namespace::open();
    change(&mut namespace);
    let mut settings = Settings::open();
    settings.without_namespace = Arc::new(namespace.clone());
    settings.unknown_namespaces = Some(Arc::new(namespace));
    settings
}

/// The token is the user's name, and everything is allowed.
pub(super) fn friendly(question: &Question) -> Option<Result<Answer, Refusal>> {
    Some(Ok(match question {
        Question::Connect { connect, .. } => {
            let user = connect.token.as_deref().map(Into::into);
            Answer::Admission(Box::new(Admission { user, ..Admission::default() }))
        }
        Question::Refresh { who, .. } => {
            let user = who.user.clone();
            Answer::Admission(Box::new(Admission { user, ..Admission::default() }))
        }
        Question::Subscribe { .. } => Answer::Authorization(Box::default()),
        Question::Publish { publish, .. } => Answer::Publish(publish.clone()),
        Question::Call { payload, .. } => Answer::Payload(payload.clone()),
        _ => Answer::Noted,
    }))
}

impl House {
    pub(super) fn new(shards: u16, settings: Settings, seed: u64) -> Self {
        Self::with_app(shards, settings, seed, friendly)
    }

    pub(super) fn with_app(
        shards: u16,
        settings: Settings,
        seed: u64,
        app: impl Fn(&Question) -> Option<Result<Answer, Refusal>> + 'static,
    ) -> Self {
        let (settings, mut dice) = (Arc::new(settings), Dice::new(seed));
        let talks = Rc::new(RefCell::new(vec![]));
        let app: Rc<App> = Rc::new(app);
        let record = |shard: u16| Record {
            shard: shard.into(),
            talks: Rc::clone(&talks),
            by_seat: BTreeMap::new(),
            encoded: vec![],
            posted: vec![],
            moves: vec![],
            done: BTreeMap::new(),
            app: Rc::clone(&app),
            asked: vec![],
            later: vec![],
            dice: Dice::new(dice.roll()),
        };
        Self {
            outlets: (0..shards).map(record).collect(),
            shards: (0..shards)
                .map(|it| Shard::new(it, shards, settings.clone(), [7; 16]))
                .collect(),
            queues: (0..shards * shards).map(|_| VecDeque::new()).collect(),
            talks,
            dice,
            now: Now { at: Instant::now(), unix_ms: 1 },
            tokens: 0,
            orders: 0,
        }
    }

    // ---- clients

    pub(super) fn enter(&mut self, shard: usize) -> Who {
        let who = Who(self.talks.borrow().len());
        self.talks.borrow_mut().push(Talk { shard, ..Talk::default() });
        assert!(self.sit(who, shard), "there is room");
        who
    }

    fn sit(&mut self, who: Who, shard: usize) -> bool {
        let arrival = Arrival { dialect: "test", address: Some([127, 0, 0, 1].into()) };
        let Ok((seat, id)) = self.shards[shard].enter(arrival, &mut self.outlets[shard]) else {
            return false;
        };
        assert_eq!(usize::from(id.shard()), shard);
        self.outlets[shard].by_seat.insert(seat, who);
        let mut talks = self.talks.borrow_mut();
        (talks[who.0].shard, talks[who.0].seat) = (shard, Some(seat));
        true
    }

    /// Enters and connects link 0 as a user; without a name as nobody.
    pub(super) fn join(&mut self, shard: usize, user: &str) -> Who {
        let who = self.enter(shard);
        let token = (!user.is_empty()).then(|| user.into());
        let connect = Connect { token, ..Connect::default() };
        match self.get(who, Command::Connect(Link(0), Box::new(connect))) {
            Ok(Reply::Connected(_)) => who,
            other => panic!("{other:?}"),
        }
    }

    /// Enters and resumes; returns what it was told.
    pub(super) fn come_back(
        &mut self,
        shard: usize,
        user: &str,
        key: ResumeKey,
        read: u64,
    ) -> (Who, Box<taiwa_core::Connected>) {
        let who = self.enter(shard);
        let token = (!user.is_empty()).then(|| user.into());
        let resume = Some(taiwa_core::Resume { key, read, positions: vec![] });
        let connect = Connect { token, resume, ..Connect::default() };
        match self.get(who, Command::Connect(Link(0), Box::new(connect))) {
            Ok(Reply::Connected(connected)) => (who, connected),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn keep(&mut self, who: Who, ttl: u64) -> ResumeKey {
        match self.get(who, Command::Keep(Duration::from_secs(ttl))) {
            Ok(Reply::Kept(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn seat(&self, who: Who) -> Option<(usize, Seat)> {
        let talk = &self.talks.borrow()[who.0];
        Some((talk.shard, talk.seat?))
    }

    pub(super) fn id(&self, who: Who) -> SessionId {
        let (shard, seat) = self.seat(who).unwrap();
        self.shards[shard].sessions.get(seat).unwrap().id()
    }

    /// Asks without waiting for anything; returns the token.
    pub(super) fn ask(&mut self, who: Who, command: Command) -> Token {
        self.tokens += 1;
        if let Some((shard, seat)) = self.seat(who) {
            let (token, now) = (self.tokens, self.now);
            self.on(shard, |it, out| it.command(seat, token, command, now, out));
        }
        self.tokens
    }

    /// Asks, lets all letters arrive, and returns the answer.
    #[track_caller]
    pub(super) fn get(&mut self, who: Who, command: Command) -> Result<Reply, Refusal> {
        let token = self.ask(who, command);
        self.run();
        self.answer(who, token).expect("it is answered")
    }

    /// Takes the answer to a question out of what was heard.
    #[track_caller]
    pub(super) fn answer(&mut self, who: Who, token: Token) -> Option<Result<Reply, Refusal>> {
        let heard = &mut self.talks.borrow_mut()[who.0].heard;
        let is_it = |it: &Heard| matches!(it, Heard::Event(Event::Reply(it, _)) if *it == token);
        let at = heard.iter().position(is_it)?;
        match heard.remove(at) {
            Heard::Event(Event::Reply(_, answer)) => {
                assert!(!heard.iter().any(is_it), "answered once");
                Some(answer)
            }
            _ => None,
        }
    }

    #[track_caller]
    pub(super) fn subscribe(&mut self, who: Who, wish: Subscribe) -> Subscribed {
        match self.try_subscribe(who, wish) {
            Ok(it) => it,
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    #[track_caller]
    pub(super) fn try_subscribe(
        &mut self,
        who: Who,
        wish: Subscribe,
    ) -> Result<Subscribed, Refusal> {
        match self.get(who, Command::Subscribe(Link(0), Box::new(wish))) {
            Ok(Reply::Subscribed(it)) => Ok(*it),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        }
    }

    #[track_caller]
    pub(super) fn hear(&mut self, who: Who, name: &str) {
        self.subscribe(who, hearing(name));
    }

    pub(super) fn publish(&mut self, who: Who, it: Publish) -> Result<Published, Refusal> {
        match self.get(who, Command::Publish(Link(0), Box::new(it))) {
            Ok(Reply::Published(it)) => Ok(it),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        }
    }

    #[track_caller]
    pub(super) fn say(&mut self, who: Who, name: &str, text: &str) -> Published {
        self.publish(who, saying(name, text)).unwrap()
    }

    pub(super) fn unsubscribe(&mut self, who: Who, name: &str) {
        let done = self.get(who, Command::Unsubscribe(Link(0), target(name)));
        assert!(matches!(done, Ok(Reply::Done)), "{done:?}");
    }

    pub(super) fn depart(&mut self, who: Who) {
        let Some((shard, seat)) = self.forget_seat(who) else { return };
        let now = self.now;
        self.on(shard, |it, out| it.depart(seat, None, now, out));
    }

    /// Loses the line; returns whether the session is kept.
    pub(super) fn lose_line(&mut self, who: Who) -> bool {
        let Some((shard, seat)) = self.forget_seat(who) else { return false };
        let now = self.now;
        self.on(shard, |it, out| it.detach(seat, now, out))
    }

    fn forget_seat(&mut self, who: Who) -> Option<(usize, Seat)> {
        let (shard, seat) = self.seat(who)?;
        let talk = &mut self.talks.borrow_mut()[who.0];
        (talk.seat, talk.ended) = (None, true);
        self.outlets[shard].by_seat.remove(&seat);
        Some((shard, seat))
    }

    pub(super) fn answer_call(&mut self, who: Who, id: CallId, text: &str) {
        let Some((shard, seat)) = self.seat(who) else { return };
        let (answer, now) = (Ok(Payload::Text(text.to_owned().into())), self.now);
        self.on(shard, |it, out| it.answer_call(seat, id, answer, now, out));
        self.run();
    }

    /// Says how much waits for a client.
    pub(super) fn queue(&mut self, who: Who, bytes: usize) {
        self.talks.borrow_mut()[who.0].queued = bytes;
    }

    /// Lets a client read everything that waits for it.
    pub(super) fn read_all(&mut self, who: Who) {
        self.queue(who, 0);
        let wants = self.talks.borrow_mut()[who.0].wants_drained.take();
        let Some((shard, seat)) = self.seat(who).filter(|_| wants.is_some()) else { return };
        let now = self.now;
        self.on(shard, |it, out| it.drained(seat, now, out));
    }

    pub(super) fn take(&mut self, who: Who) -> Vec<Heard> {
        std::mem::take(&mut self.talks.borrow_mut()[who.0].heard)
    }

    /// Takes for how long a client is not to be read from.
    pub(super) fn held(&mut self, who: Who) -> Option<Duration> {
        let until = self.talks.borrow_mut()[who.0].held.take()?;
        Some(until - self.now.at)
    }

    pub(super) fn saw_anything(&self, who: Who) -> bool {
        !self.talks.borrow()[who.0].heard.is_empty()
    }

    /// Takes what a client has heard, in words.
    pub(super) fn heard(&mut self, who: Who) -> Vec<String> {
        self.take(who).iter().map(words).collect()
    }

    // ---- the house

    fn on<T>(&mut self, shard: usize, act: impl FnOnce(&mut Shard, &mut Record) -> T) -> T {
        let result = act(&mut self.shards[shard], &mut self.outlets[shard]);
        let (posted, count) = (std::mem::take(&mut self.outlets[shard].posted), self.shards.len());
        for (to, letter) in posted {
            assert_ne!(usize::from(to), shard, "what is for itself needs no letter");
            self.queues[shard * count + usize::from(to)].push_back(letter);
        }
        for (seat, to, token, command) in std::mem::take(&mut self.outlets[shard].moves) {
            let who = self.outlets[shard].by_seat.remove(&seat).expect("it has a conversation");
            let to = usize::from(to);
            assert!(self.sit(who, to));
            let ((_, seat), now) = (self.seat(who).unwrap(), self.now);
            self.tell(to, seat, token, command, now);
        }
        result
    }

    fn tell(&mut self, shard: usize, seat: Seat, token: Token, command: Command, now: Now) {
        let act: Box<Act> = Box::new(move |it, out| {
            it.command(seat, token, command, now, out);
        });
        self.on(shard, act);
    }

    /// Lets one letter arrive, of a queue that the dice choose; returns false if there is none.
    pub(super) fn step(&mut self) -> bool {
        let full = self.queues.iter().enumerate().filter(|(_, it)| !it.is_empty());
        let full: Vec<_> = full.map(|(at, _)| at).collect();
        if full.is_empty() {
            return false;
        }
        let at = full[self.dice.below(full.len())];
        let (letter, now) = (self.queues[at].pop_front().unwrap(), self.now);
        self.on(at % self.shards.len(), |it, out| it.letter(letter, now, out));
        true
    }

    pub(super) fn run(&mut self) {
        while self.step() {}
    }

    /// Lets time pass, with everything that is due on the way.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.at + time;
        self.run();
        loop {
            let due = self.shards.iter().filter_map(Shard::deadline).min();
            let Some(due) = due.filter(|it| *it <= end) else { break };
            self.now.at = self.now.at.max(due);
            for shard in 0..self.shards.len() {
                let now = self.now;
                self.on(shard, |it, out| it.timeout(now, 10, out));
            }
            self.run();
        }
        self.now.at = end;
        self.now.unix_ms += time.as_millis() as u64;
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub(super) fn begin_order(&mut self, shard: usize, order: Order) -> OrderId {
        self.orders += 1;
        let (id, now) = (self.orders, self.now);
        self.on(shard, |it, out| it.order(id, order, now, out));
        id
    }

    pub(super) fn done(&mut self, shard: usize, id: OrderId) -> Option<Result<Done, Refusal>> {
        let mut all = self.outlets[shard].done.remove(&id)?;
        assert_eq!(all.len(), 1, "answered once");
        all.pop()
    }

    #[track_caller]
    pub(super) fn order(&mut self, shard: usize, order: Order) -> Result<Done, Refusal> {
        let id = self.begin_order(shard, order);
        self.run();
        self.done(shard, id).expect("the order is answered")
    }

    /// Tells whether there is a seat left on the first shard.
    pub(super) fn may_enter(&mut self, arrival: Arrival) -> bool {
        self.shards[0].enter(arrival, &mut self.outlets[0]).is_ok()
    }

    /// Takes what the app was asked.
    pub(super) fn asked(&mut self) -> Vec<Question> {
        self.outlets.iter_mut().flat_map(|it| std::mem::take(&mut it.asked)).collect()
    }

    /// Answers the oldest question that waits on a shard.
    pub(super) fn answer_later(
        &mut self,
        shard: usize,
        answer: impl FnOnce(&Question) -> Result<Answer, Refusal>,
    ) {
        let (ticket, question) = self.outlets[shard].later.remove(0);
        let (answer, now) = (answer(&question), self.now);
        self.on(shard, |it, out| it.answered(ticket, answer, now, out));
        self.run();
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        let all = self.shards.iter().flat_map(|it| it.info().counters.fields());
        all.filter(|(it, _)| *it == name).map(|(_, value)| value).sum()
    }

    pub(super) fn kept(&self) -> usize {
        self.shards.iter().map(|it| it.info().kept).sum()
    }

    /// Lets everyone go and asserts that nothing of them is left.
    #[track_caller]
    pub(super) fn empty(&mut self) {
        let count = self.talks.borrow().len();
        for who in 0..count {
            self.depart(Who(who));
        }
        self.run();
        // Kept sessions, questions, calls, histories and their epochs.
        self.seconds(200);
        self.seconds(4 * 3600);
        for (at, shard) in self.shards.iter().enumerate() {
            assert_eq!(shard.left_over(), "", "of shard {at}");
        }
    }
}

/// What a client heard, in few words.
pub(super) fn words(heard: &Heard) -> String {
    let event = match heard {
        Heard::Sent(text) => return format!("sent {text}"),
        Heard::Event(event) => event,
    };
    let via = |target: &Target, it: &Publication| match target {
        Target::Pattern(pattern) => format!("{} via {}", show(it), pattern.as_str()),
        Target::Channel(_) => show(it),
    };
    let first = |of_user| if of_user { " of user" } else { "" };
    match event {
        Event::Said(_, target, it, 0) => format!("said {}", via(target, it)),
        Event::Said(_, target, it, number) => format!("said {} #{number}", via(target, it)),
        Event::Joined(_, it) => {
            format!("joined {} {}{}", it.channel, name(&it.member.client), first(it.of_user))
        }
        Event::Left(_, it) => {
            format!("left {} {}{}", it.channel, name(&it.member.client), first(it.of_user))
        }
        Event::Subscribed(_, channel, it) => format!("subscribed {channel} {}", recovered(it)),
        Event::Unsubscribed(_, target, why) => format!("unsubscribed {} {why:?}", called(target)),
        Event::Missed(_, target, count, at) => {
            let at = at.map_or(String::new(), |it| format!("@{}", it.offset));
            format!("missed {}{at} {count:?}", called(target))
        }
        Event::Call(_, _, method, with) => format!("call {method} {}", text(&with.payload)),
        Event::Told(_, _, said) => format!("told {}", text(&said.payload)),
        Event::Refreshed(_, it) => format!("refreshed {:?}", it.expires),
        Event::Expiring(_) => "expiring".into(),
        Event::Ended(_, why) => format!("ended {why:?}"),
        Event::Disconnect(why) => format!("disconnect {why:?}"),
        Event::Reply(_, Ok(it)) => format!("reply {}", kind(it)),
        Event::Reply(_, Err(it)) => format!("refused {:?}", it.kind),
        _ => "?".into(),
    }
}

fn kind(reply: &Reply) -> &'static str {
    match reply {
        Reply::Done => "done",
        Reply::Connected(_) => "connected",
        Reply::Subscribed(_) => "subscribed",
        Reply::Published(_) => "published",
        _ => "else",
    }
}

fn called(target: &Target) -> String {
    match target {
        Target::Channel(it) => it.to_string(),
        Target::Pattern(it) => it.as_str().to_owned(),
    }
}

/// `not asked`, `whole a,b`, `gap a,b`.
pub(super) fn recovered(told: &Subscribed) -> String {
    let list = |all: &[Arc<Publication>]| {
        all.iter().map(|it| text(&it.payload)).collect::<Vec<_>>().join(",")
    };
    match &told.recovered {
        Recovered::NotAsked => "not asked".into(),
        Recovered::Whole(all) => format!("whole {}", list(all)).trim_end().into(),
        Recovered::Gap(all) => format!("gap {}", list(all)).trim_end().into(),
    }
}

pub(super) fn behind(told: &Subscribed, offset: u64) -> Option<Position> {
    Some(Position { offset, ..told.position.unwrap() })
}

pub(super) fn authorized(it: Authorization) -> Option<Result<Answer, Refusal>> {
    Some(Ok(Answer::Authorization(Box::new(it))))
}

impl Outlet for Record {
    fn event(&mut self, seat: Seat, event: Event) {
        let Some(who) = self.by_seat.get(&seat) else {
            panic!("nobody sits there: {event:?}");
        };
        let talk = &mut self.talks.borrow_mut()[who.0];
        let is_end = |it: &Heard| matches!(it, Heard::Event(Event::Disconnect(_)));
        assert!(!talk.heard.iter().any(is_end), "nothing follows a disconnect: {event:?}");
        talk.heard.push(Heard::Event(event));
    }

    fn encoded(&mut self, messages: Messages) -> Encoded {
        self.encoded.push(messages);
        Encoded(self.encoded.len() as u32 - 1)
    }

    fn deliver(&mut self, seat: Seat, encoded: Encoded) {
        let who = self.by_seat.get(&seat).expect("somebody sits there");
        for message in self.encoded[encoded.0 as usize].as_slice() {
            let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
            self.talks.borrow_mut()[who.0].heard.push(Heard::Sent(text));
        }
    }

    fn fan_out_ended(&mut self) {
        self.encoded.clear();
    }

    fn queued(&self, seat: Seat) -> usize {
        self.by_seat.get(&seat).map_or(0, |it| self.talks.borrow()[it.0].queued)
    }

    fn tell_drained(&mut self, seat: Seat, below: usize) {
        let who = self.by_seat.get(&seat).expect("somebody sits there");
        self.talks.borrow_mut()[who.0].wants_drained = Some(below);
    }

    fn hold(&mut self, seat: Seat, until: Instant) {
        let who = self.by_seat.get(&seat).expect("somebody sits there");
        self.talks.borrow_mut()[who.0].held = Some(until);
    }

    fn post(&mut self, shard: u16, letter: Letter) {
        self.posted.push((shard, letter));
    }

    fn ask(&mut self, ticket: Ticket, question: Question) -> Option<Result<Answer, Refusal>> {
        self.asked.push(question.clone());
        let answer = (self.app)(&question);
        if answer.is_none() {
            self.later.push((ticket, question));
        }
        answer
    }

    fn done(&mut self, order: OrderId, result: Result<Done, Refusal>) {
        self.done.entry(order).or_default().push(result);
    }

    fn reseat(&mut self, fresh: Seat, taken: Seat) {
        let who = self.by_seat.remove(&fresh).expect("somebody sits there");
        let mut talks = self.talks.borrow_mut();
        if let Some(old) = self.by_seat.insert(taken, who) {
            (talks[old.0].seat, talks[old.0].ended) = (None, true);
            let replaced = Event::Disconnect(taiwa_core::Disconnect::Replaced);
            talks[old.0].heard.push(Heard::Event(replaced));
        }
        talks[who.0].seat = Some(taken);
        assert_eq!(talks[who.0].shard, self.shard);
    }

    fn migrate(&mut self, seat: Seat, shard: u16, token: Token, command: Command) {
        self.moves.push((seat, shard, token, command));
    }

    fn random(&mut self) -> u128 {
        u128::from(self.dice.roll()) << 64 | u128::from(self.dice.roll())
    }
}
