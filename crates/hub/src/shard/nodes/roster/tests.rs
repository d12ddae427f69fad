//! Tests of the roster alone.

use taiwa_core::Client;

use super::*;

const HERE: NodeId = NodeId(1);
const LIMIT: usize = 4;

fn member(session: u128, user: &str) -> Arc<Member> {
    let user = Some(user).filter(|it| !it.is_empty()).map(User::from);
    let (session, about, address, dialect) = (SessionId(session), None, None, "test");
    let client = Client { session, user, about, address, dialect };
    Arc::new(Member { client: Arc::new(client), channel_info: None })
}

fn a_move(node: u64, session: u128, user: &str, joined: bool) -> Move {
    let (node, link, member) = (NodeId(node), Link(0), member(session, user));
    Move { node, link, member, joined, of_user: false }
}

fn show((member, joined, of_user): &Tell) -> String {
    let sign = if *joined { '+' } else { '-' };
    format!("{sign}{}{}", member.client.session.0, if *of_user { "!" } else { "" })
}

/// A roster that does what lines say: `+ node session user`, `-` the same, `?` for a question, `= node.session.user …` for
/// an answer (`~node` for one that is silent), `x node` for a node that dies.
struct Played {
    roster: Roster,
    dead: Vec<u64>,
}

impl Played {
    fn new() -> Self {
        Self { roster: Roster::new(1, &Seeded::new([1; 16])), dead: vec![] }
    }

    fn play(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |it: &str| it.parse::<u64>().unwrap();
        let mut told: Vec<_> = match words[0] {
            sign @ ("+" | "-") => {
                let user = words.get(3).copied().unwrap_or("");
                let session = number(words[2]).into();
                let it = a_move(number(words[1]), session, user, sign == "+");
                self.roster.hear(it, LIMIT).iter().map(show).collect()
            }
            "?" => {
                self.roster.ask();
                vec![]
            }
            "=" => {
                let entry = |it: &&str| {
                    let parts: Vec<&str> = it.split('.').collect();
                    let user = parts.get(2).copied().unwrap_or("");
                    (NodeId(number(parts[0])), Link(0), member(number(parts[1]).into(), user))
                };
                let (silent, there): (Vec<&str>, Vec<&str>) =
                    words[1..].iter().partition(|it| it.starts_with('~'));
                let silent = silent.iter().map(|it| NodeId(number(&it[1..]))).collect();
                let members: Vec<_> = there.iter().map(entry).collect();
                let answer = Answer { is_cut: members.len() >= LIMIT, silent, members };
                let dead = self.dead.clone();
                let told = self.roster.learn(answer, HERE, |it| !dead.contains(&it.0), LIMIT);
                told.map_or(vec!["again".into()], |it| it.iter().map(show).collect())
            }
            "x" => {
                self.dead.push(number(words[1]));
                self.roster.lose(NodeId(number(words[1]))).iter().map(show).collect()
            }
            _ => panic!("{line}"),
        };
        told.sort();
        told
    }
}

/// Plays lines: `what happens => what is told`.
#[track_caller]
fn check(lines: &[&str]) {
    let mut played = Played::new();
    for line in lines {
        let (act, expected) = line.split_once("=>").unwrap();
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(played.play(act), expected, "{line}");
    }
}

#[test]
fn whoever_comes_is_listed_and_whoever_goes_was() {
    check(&["? =>", "= =>", "+ 2 7 ada => +7!", "+ 2 7 ada =>", "+ 3 8 ada => +8"]);
    check(&["? =>", "= 2.7.ada =>", "- 2 7 ada => -7!", "- 2 7 ada =>", "- 2 9 =>"]);
    check(&["? =>", "= 2.7 2.8 =>", "+ 2 9 => +9!", "- 2 7 => -7!"]);
}

#[test]
fn before_the_store_has_told_everything_is_told() {
    check(&["? =>", "- 2 7 ada => -7", "+ 2 8 ada => +8", "+ 2 8 ada =>", "= 2.7 2.8.ada =>"]);
}

#[test]
fn who_was_on_a_dead_node_goes_the_last_of_a_user_as_such() {
    check(&["? =>", "= 2.7.ada 3.8.ada 2.9.bob =>", "x 2 => -7 -9!", "- 2 9 =>"]);
    check(&["? =>", "= 2.7.ada 2.8.ada =>", "x 3 =>", "- 2 8 ada => -8", "x 2 => -7!"]);
}

#[test]
fn what_the_store_says_of_a_dead_node_does_not_count() {
    check(&["? =>", "= 2.7 =>", "? =>", "x 2 => -7!", "= 2.7 3.8 => +8!"]);
    check(&["? =>", "= =>", "? =>", "+ 2 7 => +7!", "x 2 => -7!", "= =>"]);
}

#[test]
fn what_was_heard_while_the_store_was_asked_counts_for_more() {
    check(&["? =>", "= 2.7 =>", "? =>", "- 2 7 => -7!", "= 2.7 =>"]);
    check(&["? =>", "= =>", "? =>", "+ 2 7 => +7!", "= =>", "? =>", "= => -7!"]);
    // Of several answers, too, until none is awaited.
    check(&["? =>", "= =>", "? =>", "? =>", "+ 2 7 => +7!", "= =>", "= =>", "? =>", "= => -7!"]);
}

#[test]
fn what_the_store_says_corrects_what_was_not_heard() {
    check(&["? =>", "= 2.7.ada 2.8.bob =>", "? =>", "= 2.8.bob 3.9.ada => +9 -7"]);
}

#[test]
fn a_session_that_moves_neither_comes_nor_goes() {
    check(&["? =>", "= 2.7 =>", "+ 3 7 =>", "- 2 7 =>", "- 3 7 => -7!"]);
    check(&["? =>", "= 2.7 =>", "+ 3 7 =>", "x 2 =>", "x 3 => -7!"]);
    check(&["? =>", "= 2.7 3.7 =>", "x 3 =>", "- 2 7 => -7!"]);
    // An end that comes late is of the node where it was.
    check(&["? =>", "= 2.7 =>", "? =>", "= 3.7 =>", "- 2 7 =>", "x 2 =>", "x 3 => -7!"]);
}

#[test]
fn who_was_on_a_silent_node_is_there_until_it_says_something() {
    check(&["? =>", "= 2.7 3.8 =>", "? =>", "= ~2 3.9 => +9! -8!", "? =>", "= 3.9 => -7!"]);
    check(&["? =>", "= 2.7 =>", "? =>", "= ~2 =>", "x 2 => -7!"]);
    check(&["? =>", "= ~2 =>", "? =>", "= 2.7 => +7!"]);
    check(&["? =>", "= 2.7 =>", "? =>", "- 2 7 => -7!", "= ~2 =>"]);
    check(&["? =>", "= 2.7 =>", "? =>", "x 2 => -7!", "= ~2 =>"]);
}

#[test]
fn beyond_the_limit_all_is_told_as_the_nodes_say() {
    check(&[
        "? =>",
        "= 2.1.ada 2.2 2.3 =>",
        "+ 2 4 bob => +4!",
        "+ 2 5 ada => +5",
        "- 2 5 ada => -5",
        "- 2 6 ada => -6",
        "x 2 => -1! -2! -3! -4!",
        "? =>",
        "= 3.1 =>",
        "- 3 2 =>",
    ]);
    // There may be more: who is not among them is not gone.
    check(&["? =>", "= 2.1 2.2 =>", "? =>", "= 3.4 3.5 3.6 3.7 =>", "- 2 9 => -9", "- 2 1 => -1"]);
}

#[test]
fn what_is_heard_while_the_store_is_asked_is_kept_up_to_the_limit() {
    let lines = ["+ 2 1 => +1", "+ 2 2 => +2", "+ 2 3 => +3", "- 2 3 => -3", "+ 2 4 => +4"];
    let end = ["+ 2 5 => +5", "+ 2 6 => +6", "= => again", "? =>", "= => -1! -2! -4! -5!"];
    check(&[&["? =>"], &lines[..], &end[..]].concat());
}

#[test]
fn answers_of_a_former_round_are_not_awaited() {
    let mut played = Played::new();
    played.play("?");
    played.play("+ 2 7");
    played.roster.doubt(2);
    assert_eq!(played.roster.round, 2);
    assert!(played.roster.news.is_empty() && !played.roster.knows_something());
    played.play("?");
    assert_eq!(played.play("= "), ["-7!"], "what was heard before may have changed");
}
