//! What must hold between two connections, whatever the network does to them.

use std::time::Duration;

use taiwa_proto::{CloseCode, Deadline, End, Side, deflate::Params};
use taiwa_simulate::{Dice, Disaster, Network, Party, Plan, World};

const SECOND: Duration = Duration::from_secs(1);

/// Names the seed when a run of it panics.
struct Culprit(u64);

impl Drop for Culprit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0} fails; run it alone: TAIWA_SIMULATE_SEED={0}", self.0);
        }
    }
}

/// Runs so many seeds, or the one that the environment names.
fn seeds(count: u64, run: impl Fn(u64)) {
    let only = std::env::var("TAIWA_SIMULATE_SEED").ok();
    let only = only.map(|it| it.parse().expect("TAIWA_SIMULATE_SEED is a number"));
    let seeds = only.map_or(0..count, |it: u64| it..it + 1);
    for seed in seeds {
        let culprit = Culprit(seed);
        run(seed);
        drop(culprit);
    }
}

fn end(party: &Party) -> &End {
    &party.end.as_ref().expect("it ended").0
}

/// Both ended by the closing handshake, have all that was sent, and tell the same story.
#[track_caller]
fn agree([client, server]: &[Party; 2]) {
    assert_eq!(client.received, server.sent);
    assert_eq!(server.received, client.sent);
    let mut firsts = 0;
    for (us, peer) in [(client, server), (server, client)] {
        let (End::Closed(ours), End::Closed(theirs)) = (end(us), end(peer)) else {
            panic!("{:?} {:?}", end(us), end(peer));
        };
        assert!(ours.clean);
        match (ours.by, theirs.by) {
            (Side::Us, Side::Peer) => {
                let (code, reason) = us.closed.expect("we closed");
                assert_eq!((theirs.code, theirs.reason.as_str()), (code, reason));
                assert_eq!((ours.code, ours.reason.as_str()), (code, reason), "it comes back");
                firsts += 1;
            }
            (Side::Us, Side::Us) => {
                let (code, reason) = peer.closed.expect("the peer closed as well");
                assert_eq!((ours.code, ours.reason.as_str()), (code, reason));
                firsts += 1;
            }
            (Side::Peer, Side::Us) => {}
            (Side::Peer, Side::Peer) => panic!("somebody was first"),
        }
    }
    assert!(1 <= firsts);
}

#[test]
fn every_message_arrives_once_in_order_and_both_ends_agree_how_it_ended() {
    seeds(2000, |seed| agree(&World::new(Plan::from_seed(seed)).run()));
}

#[test]
fn windows_stay_in_step_in_all_combinations_of_kept_contexts() {
    for combination in 0..4 {
        seeds(250, |seed| {
            let mut plan = Plan::from_seed(seed);
            let mut dice = Dice::new(seed);
            plan.deflate = Some(Params {
                server_no_context_takeover: combination & 1 != 0,
                client_no_context_takeover: combination & 2 != 0,
                server_max_window_bits: 9 + dice.below(7) as u8,
                client_max_window_bits: 8 + dice.below(8) as u8,
            });
            agree(&World::new(plan).run());
        });
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    seeds(50, |seed| {
        let [one, other] = [0, 1].map(|_| World::new(Plan::from_seed(seed)).run());
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one.received, other.received);
            assert_eq!(end(one), end(other));
        }
    });
}

#[test]
fn a_reset_at_any_time_leaves_a_prefix_and_ends_both() {
    seeds(1000, |seed| {
        let mut plan = Plan::from_seed(seed);
        plan.disaster = Some(Disaster::Reset(Dice::new(seed).time(10 * SECOND)));
        // That what came is a prefix is checked at every turn.
        for party in &World::new(plan).run() {
            assert!(matches!(end(party), End::Lost | End::Closed(_)), "{:?}", end(party));
        }
    });
}

/// The time from a silence until the last moment in which keepalive must have noticed it: a ping, its
/// answer, and the attempt to say so with a Close frame.
fn keepalive_max(network: &Network) -> Duration {
    (20 + 20 + 5) * SECOND + 3 * network.delay_max
}

#[test]
fn a_silent_peer_is_given_up_by_keepalive_at_the_latest() {
    seeds(1000, |seed| {
        let mut plan = Plan::from_seed(seed).never_closing();
        let mut config = (*plan.config).clone();
        config.deadlines.close = Some(5 * SECOND);
        plan.config = config.into();
        let at = Dice::new(seed).time(30 * SECOND);
        plan.disaster = Some(Disaster::Silence(at));
        // Nobody reads during a pause, so it does not count.
        let pauses: Duration = plan.pauses().iter().sum();
        let latest = at + keepalive_max(&plan.network) + pauses;
        let world = World::new(plan);
        let start = world.start();
        for party in &world.run() {
            let (end, then) = party.end.as_ref().expect("it ended");
            assert!(matches!(end, End::Late(Deadline::Pong | Deadline::Write)), "{end:?}");
            let then = *then - start;
            assert!(at < then && then <= latest, "silent at {at:?}, noticed at {then:?}");
        }
    });
}

#[test]
fn a_peer_that_hangs_is_given_up_and_one_that_half_closes_is_lost() {
    seeds(1000, |seed| {
        let mut plan = Plan::from_seed(seed).never_closing();
        let mut dice = Dice::new(seed);
        let (who, at) = (dice.below(2), dice.time(30 * SECOND));
        let hangs = dice.one_in(2);
        plan.disaster =
            Some(if hangs { Disaster::Hang(who, at) } else { Disaster::HalfClose(who, at) });
        let mut config = (*plan.config).clone();
        config.deadlines.close = Some(5 * SECOND);
        plan.config = config.into();
        let parties = World::new(plan).run();
        let other = end(&parties[1 - who]);
        match hangs {
            true => {
                assert!(matches!(other, End::Late(Deadline::Pong | Deadline::Write)), "{other:?}")
            }
            // A full pipe may be noticed first.
            false => assert!(matches!(other, End::Lost | End::Late(Deadline::Write)), "{other:?}"),
        }
        assert!(parties[who].end.is_none());
    });
}

#[test]
fn a_close_that_nobody_answers_ends_at_its_deadline_and_drops_nothing_that_came_before() {
    seeds(500, |seed| {
        let mut plan = Plan::from_seed(seed);
        let mut config = (*plan.config).clone();
        config.deadlines.close = Some(5 * SECOND);
        plan.config = config.into();
        let at = Dice::new(seed).time(5 * SECOND);
        plan.disaster = Some(Disaster::Silence(at));
        for party in &World::new(plan).run() {
            match end(party) {
                End::Closed(it) => assert_ne!(it.code, CloseCode::ABNORMAL),
                End::Late(Deadline::Close) => assert!(party.closed.is_some()),
                End::Late(Deadline::Pong | Deadline::Write) => {}
                it => panic!("{it:?}"),
            }
        }
    });
}
