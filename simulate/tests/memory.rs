//! What a session costs in the hub, measured from outside. Alone in its process, whose memory is counted.

use std::time::Instant;

use taiwa_core::{Channel, Command, Connect, Delivery, Link, Subscribe, Target};
use taiwa_hub::{Limits, Settings};
use taiwa_simulate::Crowd;

/// Resident memory in bytes, where the system tells it.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

#[test]
fn a_session_with_a_subscription_costs_little_memory() {
    let size = std::env::var("TAIWA_SIMULATE_CROWD").ok();
    let size = size.map_or(40_000, |it| it.parse().expect("TAIWA_SIMULATE_CROWD is a number"));
    let mut settings = Settings::open();
    settings.limits = Limits::default().with(|it| it.sessions_max = 1 << 21);
    let Some(before) = resident() else {
        println!("skipped: this system does not tell how much memory is resident");
        return;
    };
    let mut crowd = Crowd::new(1, settings, Instant::now());
    let people: Vec<_> = (0..size)
        .map(|_| {
            let who = crowd.enter(0);
            crowd.ask(who, Command::Connect(Link(0), Box::<Connect>::default()));
            crowd.heard(who);
            who
        })
        .collect();
    let connected = resident().unwrap_or(before);
    for who in people {
        let one = Target::Channel(Channel::parse("one").unwrap());
        let wish = Subscribe { join_leave: false, ..Subscribe::new(one, Delivery::Personal) };
        crowd.ask(who, Command::Subscribe(Link(0), Box::new(wish)));
        crowd.heard(who);
    }
    let subscribed = resident().unwrap_or(before);
    let each = |from: usize, to: usize| to.saturating_sub(from) / size;
    let (session, subscription) = (each(before, connected), each(connected, subscribed));
    // What the crowd itself remembers of each, an entry of a vector and one of a map, is in the first number.
    println!(
        "{size} sessions: {session} B each, and {subscription} B more with a subscription and its presence"
    );
    assert!(session <= 900 && subscription <= 700, "{session} {subscription}");
}
