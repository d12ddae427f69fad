//! One shard that is a node, asked and told by hand: what it asks of the store, and what its clients hear of it.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use taiwa_core::{
    Admission, Answer, Client, Command, Connect, Delivery, Entry, Event, Heard, Link, Log,
    Messages, Question, RefusalKind, Reply, SessionId, State, Subscribe, Target, Token, User,
};

use super::*;
use crate::{
    Arrival, Done, Encoded, Letter, Limits, OrderId, Seat, Settings, Ticket,
    wire::{self, Body, Move},
};

const HERE: NodeId = NodeId(1 << 48);
const FAR: NodeId = NodeId(2 << 48);

#[derive(Default)]
struct Record {
    wishes: VecDeque<(Option<Ticket>, Wish)>,
    told: Vec<(Seat, String)>,
    drawn: u128,
}

/// A node of one shard that knows one other.
struct Desk {
    shard: Shard,
    record: Record,
    now: Now,
    tokens: Token,
}

fn channel() -> Channel {
    Channel::parse("chat").unwrap()
}

fn show(sign: char, change: &Change) -> String {
    let user = change.member.client.user.as_ref().map_or("nobody", |it| it.as_str());
    format!("{sign}{user}{}", if change.of_user { "!" } else { "" })
}

impl Outlet for Record {
    fn event(&mut self, seat: Seat, event: Event) {
        let told = match event {
            Event::Joined(_, it) => show('+', &it),
            Event::Left(_, it) => show('-', &it),
            Event::Reply(_, Ok(Reply::Presence(all))) => {
                let user = |it: &Arc<Member>| it.client.user.as_ref().unwrap().as_str().to_owned();
                let mut all: Vec<_> = all.iter().map(user).collect();
                all.sort();
                all.join(",")
            }
            Event::Reply(_, Err(refusal)) => format!("{:?}", refusal.kind),
            _ => return,
        };
        self.told.push((seat, told));
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
        self.wishes.push_back((ticket, wish));
    }

    fn random(&mut self) -> u128 {
        self.drawn += 1;
        self.drawn
    }
}

impl Desk {
    fn new(presence_max: usize) -> Self {
        let mut settings = Settings::open();
        settings.limits = Limits::default().with(|it| it.presence_max = presence_max);
        let shard = Shard::new(0, 1, Arc::new(settings), [7; 16]).in_cluster(HERE, ["test"].into());
        let now = Now { at: Instant::now(), unix_ms: 1 };
        let mut it = Self { shard, record: Record::default(), now, tokens: 0 };
        it.shard.node_come(FAR, now, &mut it.record);
        it
    }

    fn command(&mut self, seat: Seat, command: Command) {
        self.tokens += 1;
        self.shard.command(seat, self.tokens, command, self.now, &mut self.record);
    }

    fn come(&mut self, user: &str) -> Seat {
        let arrival = Arrival { dialect: "test", address: None };
        let (seat, _) = self.shard.enter(arrival, &mut self.record).unwrap();
        let connect = Connect { token: Some(user.into()), ..Connect::default() };
        self.command(seat, Command::Connect(Link(0), Box::new(connect)));
        seat
    }

    fn subscribe(&mut self, seat: Seat, name: &str, join_leave: bool) {
        let target = Target::Channel(Channel::parse(name).unwrap());
        let wish = Subscribe { join_leave, ..Subscribe::new(target, Delivery::Personal) };
        self.command(seat, Command::Subscribe(Link(0), Box::new(wish)));
        let is_it = |it: &(_, Wish)| matches!(it.1, Wish::Subscribe(..));
        if let Some(at) = self.record.wishes.iter().position(is_it) {
            self.record.wishes.swap(0, at);
            self.answer(Ok(Found::Log(Log::default())));
        }
    }

    /// Somebody who listens, and has been entered into the store and announced.
    fn listener(&mut self) -> Seat {
        let seat = self.come("listener");
        self.subscribe(seat, "chat", true);
        assert_eq!(self.asked(), "Come Who", "the store is asked when the first one listens");
        self.answer(Ok(Found::First(true)));
        seat
    }

    /// Names what was asked and not answered.
    fn asked(&self) -> String {
        let name = |(_, wish): &(_, Wish)| {
            let text = format!("{wish:?}");
            text.split(['(', ' ']).next().unwrap_or_default().to_owned()
        };
        self.record.wishes.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    /// Answers what was asked first.
    fn answer(&mut self, found: Result<Found, Refusal>) -> Wish {
        let (ticket, wish) = self.record.wishes.pop_front().expect("something was asked");
        let ticket = ticket.expect("an answer is wanted");
        self.shard.found(ticket, found, self.now, &mut self.record);
        wish
    }

    fn refuse(&mut self) -> Wish {
        self.answer(Err(Refusal::new(RefusalKind::Unavailable, "away")))
    }

    fn list(&mut self, members: &[(NodeId, u128, &str)]) {
        let entry = |(node, session, user): &(NodeId, u128, &str)| {
            let body = Seen::of(&member(*session, user)).write().unwrap();
            let (session, user) = (SessionId(*session), Some(User::from(*user)));
            (*node, Entry { session, link: Link(0), user, body })
        };
        let present = Present { members: members.iter().map(entry).collect(), silent: vec![] };
        self.list_present(present);
    }

    fn list_present(&mut self, present: Present) {
        let wish = self.answer(Ok(Found::Members(present)));
        assert!(matches!(wish, Wish::Who(..)), "{wish:?}");
    }

    /// Takes what was to be published, as if the broker had brought it, too.
    fn publish(&mut self) -> (User, bool) {
        let wish = self.answer(Ok(Found::Accepted(taiwa_core::Accepted::default())));
        let Wish::Publish(statement) = wish else { panic!("{wish:?}") };
        let body = wire::read_body(&channel(), None, &statement.body, &["test"]);
        let Some(Body::Changed(it)) = body else { panic!("{body:?}") };
        assert_eq!((it.node, statement.keep.size), (HERE, 0));
        self.hear(statement.body);
        (it.member.client.user.clone().unwrap(), it.joined)
    }

    fn hear(&mut self, body: Bytes) {
        let heard = Heard { channel: channel(), position: None, body, by_pattern: false };
        self.shard.heard(heard, self.now, &mut self.record);
    }

    fn hear_of(&mut self, node: NodeId, session: u128, user: &str, joined: bool) {
        let (link, member, of_user) = (Link(0), member(session, user), false);
        self.hear(wire::write_change(&Move { node, link, member, joined, of_user }).unwrap());
    }

    fn told(&mut self, seat: Seat) -> Vec<String> {
        let (theirs, others): (Vec<_>, _) =
            std::mem::take(&mut self.record.told).into_iter().partition(|it| it.0 == seat);
        self.record.told = others;
        theirs.into_iter().map(|it| it.1).collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now.at += std::time::Duration::from_secs(seconds);
        self.shard.timeout(self.now, 100, &mut self.record);
    }

    fn state(&mut self, state: State) {
        self.shard.cluster_state(state, self.now, &mut self.record);
    }
}

fn member(session: u128, user: &str) -> Arc<Member> {
    let (session, user) = (SessionId(session), Some(User::from(user)));
    let client = Client { session, user, about: None, address: None, dialect: "test" };
    Arc::new(Member { client: Arc::new(client), channel_info: None })
}

/// A node at which one listens and knows of two far ones.
fn listening() -> (Desk, Seat) {
    let mut desk = Desk::new(100);
    let seat = desk.listener();
    desk.list(&[(FAR, 7, "ada"), (FAR, 8, "ada")]);
    assert_eq!(desk.publish(), ("listener".into(), true));
    assert_eq!(desk.told(seat), ["+listener!"], "once");
    (desk, seat)
}

#[test]
fn who_was_on_a_node_that_dies_goes_and_comes_when_it_is_back() {
    let (mut desk, seat) = listening();
    desk.shard.node_gone(FAR, desk.now, &mut desk.record);
    assert_eq!(desk.told(seat), ["-ada", "-ada!"]);
    desk.hear_of(FAR, 7, "ada", false);
    desk.hear_of(FAR, 9, "bob", true);
    assert_eq!(desk.told(seat), Vec::<String>::new(), "what it said last comes too late");
    desk.shard.node_come(FAR, desk.now, &mut desk.record);
    desk.shard.node_come(FAR, desk.now, &mut desk.record);
    assert_eq!(desk.asked(), "Who", "once");
    desk.hear_of(FAR, 7, "ada", true);
    desk.list(&[(FAR, 7, "ada"), (FAR, 10, "cyd")]);
    assert_eq!(desk.told(seat), ["+ada!", "+cyd!"]);
}

#[test]
fn where_nobody_listens_the_store_is_not_asked() {
    let mut desk = Desk::new(100);
    let seat = desk.come("ada");
    desk.subscribe(seat, "chat", false);
    assert_eq!(desk.asked(), "Come");
    let listener = desk.come("bob");
    desk.subscribe(listener, "chat", true);
    assert_eq!(desk.asked(), "Come Come Who");
    desk.command(listener, Command::Unsubscribe(Link(0), Target::Channel(channel())));
    desk.record.wishes.clear();
    desk.state(State::Missed);
    assert!(!desk.asked().contains("Who"), "nobody listens any more: {}", desk.asked());
    assert!(desk.shard.owned[&channel()].replica.as_ref().unwrap().roster.is_none());
}

#[test]
fn a_store_that_refuses_is_asked_again() {
    let mut desk = Desk::new(100);
    let seat = desk.listener();
    desk.refuse();
    desk.publish();
    desk.told(seat);
    assert_eq!(desk.asked(), "");
    desk.pass(1);
    assert_eq!(desk.asked(), "Who");
    desk.refuse();
    desk.pass(1);
    desk.list(&[(FAR, 7, "ada")]);
    desk.shard.node_gone(FAR, desk.now, &mut desk.record);
    assert_eq!(desk.told(seat), ["-ada!"]);
}

#[test]
fn whoever_asks_is_told_who_came_and_went_without_a_word() {
    let (mut desk, seat) = listening();
    desk.command(seat, Command::Presence(Link(0), channel()));
    desk.list(&[(FAR, 7, "ada"), (FAR, 9, "bob")]);
    assert_eq!(desk.told(seat), ["+bob!", "-ada", "ada,bob,listener"]);
    desk.hear_of(FAR, 9, "bob", true);
    desk.hear_of(FAR, 8, "ada", false);
    assert_eq!(desk.told(seat), Vec::<String>::new(), "that is known already");
}

#[test]
fn while_a_node_is_silent_it_is_told_what_is_known() {
    let (mut desk, seat) = listening();
    desk.command(seat, Command::Presence(Link(0), channel()));
    desk.list_present(Present { members: vec![], silent: vec![FAR] });
    assert_eq!(desk.told(seat), ["ada,ada,listener"]);
    assert_eq!(desk.asked(), "");
    desk.pass(1);
    desk.list(&[(FAR, 8, "ada")]);
    assert_eq!(desk.told(seat), ["-ada"], "it is asked again until all have answered");
    desk.pass(1);
    assert_eq!(desk.asked(), "");
}

#[test]
fn an_answer_from_before_something_was_missed_does_not_count() {
    let (mut desk, seat) = listening();
    desk.command(seat, Command::Presence(Link(0), channel()));
    desk.state(State::Missed);
    desk.list(&[]);
    assert_eq!(desk.told(seat), ["ada,ada,listener"], "as it was told");
    // The channel itself is read again, too.
    desk.record.wishes.retain(|(_, wish)| matches!(wish, Wish::Who(..)));
    desk.list(&[(FAR, 7, "ada")]);
    assert_eq!(desk.told(seat), ["-ada"]);
}

#[test]
fn what_could_not_be_announced_is_announced_again() {
    let (mut desk, seat) = listening();
    let bob = desk.come("bob");
    desk.subscribe(bob, "chat", false);
    desk.answer(Ok(Found::First(true)));
    assert!(matches!(desk.refuse(), Wish::Publish(_)));
    assert_eq!((desk.told(seat), desk.asked()), (vec![], String::new()));
    desk.pass(1);
    assert_eq!(desk.asked(), "Come Come", "all who are here, since one of them is not known");
    desk.answer(Ok(Found::First(false)));
    desk.answer(Ok(Found::First(false)));
    for _ in 0..2 {
        assert!(desk.publish().1);
    }
    assert_eq!(desk.told(seat), ["+bob!"], "once");

    desk.command(bob, Command::Unsubscribe(Link(0), Target::Channel(channel())));
    assert!(matches!(desk.refuse(), Wish::Go(..)));
    desk.pass(1);
    assert!(matches!(desk.answer(Ok(Found::First(true))), Wish::Go(..)));
    assert_eq!(desk.publish(), ("bob".into(), false));
    assert_eq!(desk.told(seat), ["-bob!"]);
}

#[test]
fn who_came_again_meanwhile_is_not_said_to_go() {
    let (mut desk, seat) = listening();
    let bob = desk.come("bob");
    desk.subscribe(bob, "chat", false);
    desk.answer(Ok(Found::First(true)));
    desk.publish();
    desk.told(seat);
    desk.command(bob, Command::Unsubscribe(Link(0), Target::Channel(channel())));
    desk.refuse();
    desk.subscribe(bob, "chat", false);
    desk.answer(Ok(Found::First(false)));
    assert_eq!(desk.publish(), ("bob".into(), true));
    desk.pass(1);
    assert_eq!(desk.asked(), "", "it is there");
    assert_eq!(desk.told(seat), Vec::<String>::new());
}

#[test]
fn what_is_announced_is_true_then() {
    let (mut desk, _) = listening();
    let bob = desk.come("bob");
    desk.subscribe(bob, "chat", false);
    desk.command(bob, Command::Unsubscribe(Link(0), Target::Channel(channel())));
    assert_eq!(desk.asked(), "Come Go");
    desk.answer(Ok(Found::First(true)));
    assert_eq!(desk.asked(), "Go", "it has gone: that it came is said no more");
    desk.answer(Ok(Found::First(true)));
    assert_eq!(desk.publish(), ("bob".into(), false));
}

#[test]
fn after_a_loss_of_all_the_store_is_asked_when_all_are_in_it_again() {
    let (mut desk, seat) = listening();
    desk.state(State::Lost);
    desk.state(State::Back { entries_lost: true });
    desk.record.wishes.retain(|(_, wish)| !matches!(wish, Wish::Read(..)));
    assert_eq!(desk.asked(), "Come");
    desk.answer(Ok(Found::First(true)));
    desk.publish();
    desk.pass(2);
    assert_eq!(desk.asked(), "");
    desk.pass(1);
    desk.list(&[(FAR, 7, "ada")]);
    assert_eq!(desk.told(seat), ["-ada"]);
}

#[test]
fn the_store_is_asked_about_a_few_channels_at_once() {
    let mut desk = Desk::new(100);
    let seat = desk.come("listener");
    for number in 0..LISTING_MAX + 10 {
        desk.subscribe(seat, &format!("room-{number}"), true);
    }
    let whos = |desk: &Desk| desk.asked().matches("Who").count();
    assert_eq!(whos(&desk), LISTING_MAX);
    desk.record.wishes.retain(|(_, wish)| matches!(wish, Wish::Who(..)));
    for _ in 0..10 {
        desk.list(&[]);
        assert_eq!(whos(&desk), LISTING_MAX);
    }
    while whos(&desk) > 0 {
        desk.list(&[]);
    }
    assert_eq!(desk.shard.nodes.as_ref().unwrap().listing, 0);
}
