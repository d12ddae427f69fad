//! Orders that concern sessions of two nodes: who hears a channel, what all of them answer.

use std::time::Duration;

use taiwa_core::{
    Arguments, CallId, Channel, Command, Connect, Delivery, Event, Link, Payload, Subscribe, Target,
};
use taiwa_hub::{Answers, Done, Order, OrderId, Which, Whom};
use taiwa_simulate::{Pair, Who};

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

struct Nodes(Pair);

impl Nodes {
    /// Lets a client in with the links 0 and 1, the second of the scope `/chat`, which hears `/chat:r`.
    fn come(&mut self, node: usize, user: &str) -> Who {
        let who = self.0.nodes[node].enter(1);
        for (link, scope) in [(0, None), (1, Some("/chat".into()))] {
            let connect = Connect { token: Some(user.into()), scope, ..Connect::default() };
            self.0.nodes[node].ask(who, Command::Connect(Link(link), Box::new(connect)));
        }
        let wish = Subscribe::new(Target::Channel(channel("/chat:r")), Delivery::Personal);
        self.0.nodes[node].ask(who, Command::Subscribe(Link(1), Box::new(wish)));
        self.0.settle();
        self.0.nodes[node].heard(who);
        who
    }

    fn done(&mut self, order: Order) -> Done {
        let id = self.0.nodes[0].order(order);
        self.0.settle();
        self.0.nodes[0].done(id).expect("it is done").expect("it is not refused")
    }

    fn call_all(&mut self) -> OrderId {
        let id = self.0.nodes[0].order(Order::CallAll {
            whom: Whom::Channel(channel("/chat:r")),
            which: Which::Usual,
            method: "ask".into(),
            args: Payload::null().into(),
            except: vec![],
            except_channels: vec![],
            deadline: Duration::from_secs(5),
        });
        self.0.settle();
        id
    }

    fn called(&mut self, node: usize, who: Who) -> CallId {
        let calls = self.0.nodes[node].heard(who).into_iter();
        let mut calls = calls.filter_map(|it| match it {
            Event::Call(id, Link(1), ..) => Some(id),
            _ => None,
        });
        calls.next().expect("it was called by its second link")
    }

    fn answers(&mut self, order: OrderId) -> Answers {
        self.0.settle();
        match self.0.nodes[0].done(order) {
            Some(Ok(Done::Answers(it))) => *it,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_subscribes_to_a_channel_is_found_on_all_nodes() {
    let mut nodes = Nodes(Pair::default());
    let all = [(0, nodes.come(0, "ada")), (1, nodes.come(1, "bob"))];
    let room = || Whom::Channel(channel("/chat:r"));
    let Done::Sessions(list) = nodes.done(Order::Sessions { whom: room(), limit: 9 }) else {
        panic!()
    };
    let mut users: Vec<_> =
        list.iter().map(|it| (it.user.as_ref().unwrap().as_str(), it.scope())).collect();
    users.sort_unstable();
    assert_eq!(users, [("ada", Some("/chat")), ("bob", Some("/chat"))]);
    let args = Arguments { payload: Payload::Json("[1,2]".into()), is_list: true };
    let which = Which::Usual;
    let tell = Order::Tell { whom: room(), which, event: Some("greet".into()), args: args.clone() };
    assert!(matches!(nodes.done(tell), Done::Affected(2)));
    for (node, who) in all {
        let heard = nodes.0.nodes[node].heard(who);
        let [Event::Told(Link(1), Some(event), said)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((&**event, said), ("greet", &args));
    }
    let why = taiwa_core::Disconnect::Done;
    assert!(matches!(
        nodes.done(Order::Disconnect { whom: room(), which: None, why }),
        Done::Affected(2)
    ));
}

#[test]
fn a_call_of_many_brings_the_answers_of_all_nodes() {
    let mut nodes = Nodes(Pair::default());
    let (ada, bob, silent) = (nodes.come(0, "ada"), nodes.come(1, "bob"), nodes.come(1, "cyd"));
    let order = nodes.call_all();
    for (node, who, text) in [(0, ada, "a"), (1, bob, "b")] {
        let call = nodes.called(node, who);
        nodes.0.nodes[node].answer(who, call, Ok(Payload::Text(text.into())));
    }
    nodes.called(1, silent);
    nodes.0.settle();
    assert!(nodes.0.nodes[0].done(order).is_none());
    for node in &mut nodes.0.nodes {
        node.pass(Duration::from_secs(6));
    }
    let told = nodes.answers(order);
    let mut texts: Vec<_> = told.answers.iter().map(|it| format!("{:?}", it.answer)).collect();
    texts.sort();
    assert_eq!(texts, [r#"Ok(Text(b"a"))"#, r#"Ok(Text(b"b"))"#]);
    assert_eq!((told.late, told.left_out, told.nodes_lost), (1, 0, 0));
}

#[test]
fn a_node_that_dies_is_counted_and_the_answers_of_the_others_are_told() {
    let mut nodes = Nodes(Pair::default());
    let (ada, bob) = (nodes.come(0, "ada"), nodes.come(1, "bob"));
    let order = nodes.call_all();
    let call = nodes.called(0, ada);
    nodes.called(1, bob);
    nodes.0.world.kill(nodes.0.ids[1]);
    nodes.0.nodes[0].answer(ada, call, Ok(Payload::null()));
    let told = nodes.answers(order);
    assert_eq!((told.answers.len(), told.late, told.nodes_lost), (1, 0, 1));
}
