//! What tests can do to a world.

use std::sync::Mutex;

use taiwa_core::State;

use super::*;

/// Writes down what it hears, and asks the node something when it hears `again`.
#[derive(Default)]
struct Diary {
    lines: Mutex<Vec<String>>,
    node: Mutex<Option<Arc<Memory>>>,
}

impl Diary {
    fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

impl Ears for Diary {
    fn heard(&self, heard: Heard) {
        let said = String::from_utf8(heard.body.to_vec()).unwrap();
        self.write(format!("{said} {}", heard.position.unwrap().offset));
        let node = self.node.lock().unwrap().clone();
        if let Some(node) = node.filter(|_| said == "again") {
            node.publish(statement("once"), Box::new(|it| assert!(it.is_ok())));
        }
    }

    fn letter(&self, from: NodeId, letter: Bytes) {
        self.write(format!("letter {} {letter:?}", from.0));
    }

    fn node_come(&self, node: NodeId) {
        self.write(format!("come {}", node.0));
    }

    fn node_gone(&self, node: NodeId) {
        self.write(format!("gone {}", node.0));
    }

    fn state(&self, state: State) {
        self.write(format!("{state:?}"));
    }
}

const KEEP: Keep =
    Keep { size: 9, ttl: Duration::from_secs(60), epoch_ttl: Duration::from_secs(90) };

fn channel() -> Channel {
    Channel::parse("a").unwrap()
}

fn statement(said: &'static str) -> Statement {
    let body = Bytes::from_static(said.as_bytes());
    Statement { channel: channel(), body, keep: KEEP, id: None, to_patterns: false }
}

fn say(node: &Memory, said: &'static str) {
    node.publish(statement(said), Box::new(|it| assert!(it.is_ok())));
}

type Listener = (Arc<Memory>, Arc<Diary>);

/// Two nodes that hear, both subscribed.
fn pair() -> (Arc<World>, [Listener; 2]) {
    let world = World::new(1);
    let nodes = [1, 2].map(|it| (world.join(NodeId(it)), Arc::<Diary>::default()));
    for (node, diary) in &nodes {
        node.begin(diary.clone());
        node.subscribe(&channel(), KEEP, 0, Box::new(|it| assert!(it.is_ok())));
    }
    assert_eq!(nodes[0].1.read(), ["come 2"]);
    assert_eq!(nodes[1].1.read(), [""; 0]);
    (world, nodes)
}

#[test]
fn what_is_lost_or_repeated_is_lost_or_repeated_for_one_node() {
    let (world, [(a, at_a), (_, at_b)]) = pair();
    world.lose(NodeId(2), 1);
    world.repeat(NodeId(1), 1);
    say(&a, "x");
    say(&a, "y");
    assert_eq!(at_a.read(), ["x 1", "x 1", "y 2"]);
    assert_eq!(at_b.read(), ["y 2"]);
}

#[test]
fn a_node_that_is_cut_off_hears_nothing_and_comes_back_subscribed() {
    let (world, [(a, at_a), (b, at_b)]) = pair();
    world.cut(NodeId(2));
    say(&a, "x");
    b.publish(statement("y"), Box::new(|it| assert!(it.is_err())));
    world.bury(NodeId(2));
    world.mend(NodeId(2));
    say(&a, "z");
    assert_eq!(at_b.read(), ["Lost", "Back { entries_lost: true }", "z 2"]);
    assert_eq!(at_a.read(), ["x 1", "gone 2", "come 2", "z 2"]);
}

#[test]
fn who_was_away_learns_who_came_and_went() {
    let (world, [(a, at_a), (b, _)]) = pair();
    world.cut(NodeId(1));
    world.kill(NodeId(2));
    let c = world.join(NodeId(3));
    c.begin(Arc::<Diary>::default());
    assert_eq!(a.nodes(), [NodeId(1), NodeId(2)]);
    world.mend(NodeId(1));
    assert_eq!(at_a.read(), ["Lost", "Back { entries_lost: false }", "gone 2", "come 3"]);
    assert_eq!(a.nodes(), [NodeId(1), NodeId(3)]);
    b.publish(statement("y"), Box::new(|it| assert!(it.is_err())));
}

#[test]
fn what_is_held_back_comes_in_order_when_it_is_released() {
    let (world, [(a, _), (b, at_b)]) = pair();
    world.hold(NodeId(2));
    say(&a, "x");
    let diary = at_b.clone();
    let answered = move |it: Result<Accepted, _>| diary.write(format!("{}", it.is_ok()));
    b.publish(statement("y"), Box::new(answered));
    assert_eq!(at_b.read(), [""; 0]);
    world.release(NodeId(2));
    assert_eq!(at_b.read(), ["x 1", "y 2", "true"]);
}

#[test]
fn a_node_may_speak_while_it_hears() {
    let (_, [(a, at_a), (b, at_b)]) = pair();
    *at_b.node.lock().unwrap() = Some(b);
    say(&a, "again");
    assert_eq!(at_a.read(), ["again 1", "once 2"]);
    assert_eq!(at_b.read(), ["again 1", "once 2"]);
}

#[test]
fn all_is_lost_at_once_and_time_passes_on_request() {
    let (world, [(a, at_a), _]) = pair();
    say(&a, "x");
    world.lose_everything();
    say(&a, "y");
    assert_eq!(at_a.read(), ["x 1", "Lost", "Back { entries_lost: true }", "y 1"]);
    world.advance(KEEP.ttl);
    let empty = |it: Result<Log, _>| assert_eq!(it.unwrap().entries.len(), 0);
    a.read(&channel(), KEEP, Page { limit: 9, ..Default::default() }, Box::new(empty));
    world.advance(KEEP.epoch_ttl);
    say(&a, "z");
    assert_eq!(at_a.read(), ["z 1"]);
}

#[test]
fn who_leaves_is_gone_and_gets_its_answers() {
    let (world, [(a, at_a), (b, at_b)]) = pair();
    world.hold(NodeId(2));
    let diary = at_b.clone();
    let answered = move |_: Result<_, _>| diary.write("answered".into());
    b.publish(statement("x"), Box::new(answered));
    let diary = at_b.clone();
    b.leave(Box::new(move |_| diary.write("left".into())));
    assert_eq!(at_b.read(), ["answered", "left"]);
    assert_eq!(at_a.read(), ["x 1", "gone 2"]);
    assert_eq!(a.nodes(), [NodeId(1)]);
    a.send(NodeId(2), Bytes::new(), Box::new(|it| assert!(it.is_err())));
}
