//! Tests of the wheel against a sorted list.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::dice::Dice;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn all<K>(wheel: &mut Wheel<K>, now: Instant) -> Vec<K> {
    let mut due = vec![];
    assert!(!wheel.advance(now, usize::MAX, &mut due));
    due.into_iter().map(|it| it.key).collect()
}

#[test]
fn every_entry_comes_up_once_in_order_never_early_and_at_most_a_tick_late() {
    for seed in 0..30 {
        let mut dice = Dice::new(seed);
        let start = Instant::now();
        let granularity = Duration::from_micros(1 + dice.below(100_000) as u64);
        let mut wheel = Wheel::new(granularity, start);
        let mut model: BTreeMap<u64, Instant> = BTreeMap::new();
        let mut past = BTreeSet::new();
        let mut now = start;
        for key in 0..3_000 {
            // From the past over the next tick to a year.
            let ahead = Duration::from_micros(dice.roll() >> (19 + dice.below(45)));
            let at = if dice.one_in(20) { start } else { now + ahead };
            wheel.schedule(key, at);
            model.insert(key, at);
            if at <= now {
                past.insert(key);
            }
            if dice.one_in(3) {
                now += Duration::from_micros(dice.roll() >> (24 + dice.below(40)));
                let limit = if dice.one_in(4) { dice.below(5) } else { usize::MAX };
                let mut due = vec![];
                let more = wheel.advance(now, limit, &mut due);
                assert!(due.len() <= limit, "seed {seed}");
                let in_time = due.iter().filter(|it| !past.contains(&it.key));
                assert!(in_time.is_sorted_by_key(|it| it.tick), "seed {seed}");
                for due in due {
                    let at = model.remove(&due.key).expect("once");
                    assert!(at <= now, "seed {seed}: {:?} early", at - now);
                }
                if !more {
                    let late = model.values().find(|it| **it + granularity <= now);
                    assert_eq!(late, None, "seed {seed}");
                }
            }
            assert_eq!(wheel.len(), model.len(), "seed {seed}");
            let first = model.values().min().map(|it| *it + granularity);
            assert_eq!(wheel.next().is_some(), first.is_some(), "seed {seed}");
            assert!(wheel.next() <= first.map(|it| it.max(now)), "seed {seed}");
        }
        let end = *model.values().max().unwrap() + granularity;
        assert_eq!(all(&mut wheel, end).len(), model.len(), "seed {seed}");
        assert!(wheel.is_empty() && wheel.next().is_none());
    }
}

#[test]
fn following_next_alone_brings_everything_up_in_few_steps() {
    let start = Instant::now();
    let mut wheel = Wheel::new(millis(10), start);
    for key in 0..1_000 {
        wheel.schedule(key, start + Duration::from_secs(key * 97));
    }
    let (mut steps, mut seen) = (0, vec![]);
    while let Some(next) = wheel.next() {
        seen.extend(all(&mut wheel, next));
        steps += 1;
    }
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    // Each entry is moved down at most once a level.
    assert!(steps <= 1_000 * LEVELS, "{steps} steps");
}

#[test]
fn a_storm_is_handed_out_in_pieces_and_nobody_overtakes() {
    let start = Instant::now();
    let mut wheel = Wheel::new(millis(10), start);
    for key in 0..1_000 {
        wheel.schedule(key, start + millis(100));
    }
    let now = start + millis(100);
    let mut due = vec![];
    assert!(wheel.advance(now, 400, &mut due));
    wheel.schedule(1_000, start);
    assert_eq!(wheel.next(), Some(now));
    assert!(wheel.advance(now, 400, &mut due));
    assert!(!wheel.advance(now, 400, &mut due));
    assert_eq!(due.iter().map(|it| it.key).collect::<Vec<_>>(), (0..=1_000).collect::<Vec<_>>());
}

#[test]
fn a_million_entries_cost_sixteen_bytes_each_and_give_them_back() {
    let start = Instant::now();
    let mut wheel = Wheel::new(millis(50), start);
    let empty = wheel.bytes();
    for key in 0..1_000_000_u64 {
        wheel.schedule(key, start + millis(25_000 + key % 10_000));
    }
    // Vectors grow by doubling.
    assert!(wheel.bytes() < 32_000_000 + empty, "{}", wheel.bytes());
    assert_eq!(all(&mut wheel, start + millis(40_000)).len(), 1_000_000);
    let slots = (SLOTS as usize * LEVELS + 1) * SLOT_KEPT * 16;
    assert!(wheel.bytes() <= empty + slots, "{}", wheel.bytes());
}

#[test]
fn times_without_end_and_before_the_start_are_taken() {
    let start = Instant::now() + Duration::from_secs(1_000);
    let mut wheel = Wheel::new(Duration::ZERO, start);
    wheel.schedule("past", start - Duration::from_secs(1_000));
    assert_eq!(all(&mut wheel, start - Duration::from_secs(1)), ["past"]);
    // 2⁴² nanoseconds are 73 minutes: what is behind comes up then, and goes on at once.
    wheel.schedule("far", start + Duration::from_secs(100_000));
    assert_eq!(all(&mut wheel, start + Duration::from_secs(4_398)), [""; 0]);
    assert_eq!(all(&mut wheel, start + Duration::from_secs(4_399)), ["far"]);
    let mut coarse = Wheel::new(Duration::MAX, start);
    coarse.schedule("far", start + Duration::from_secs(1));
    assert_eq!(coarse.next(), None, "no clock can show that time");
    assert_eq!(all(&mut coarse, start + Duration::from_secs(2)), [""; 0]);
}

#[test]
fn an_alarm_has_one_entry_however_often_its_deadline_moves_away() {
    let start = Instant::now();
    let mut wheel = Wheel::new(millis(10), start);
    let mut alarm = Alarm::default();
    let mut deadline = start;
    for message in 0..1_000 {
        deadline = start + millis(message) + Duration::from_secs(25);
        alarm.set(deadline, 'a', &mut wheel);
    }
    assert_eq!(wheel.len(), 1);
    // It comes up early, is set anew, and then is right.
    let mut due = vec![];
    wheel.advance(start + Duration::from_secs(25), usize::MAX, &mut due);
    assert!(alarm.rings(due[0].tick));
    alarm.set(deadline, 'a', &mut wheel);
    assert_eq!((wheel.len(), wheel.next() <= Some(deadline + millis(10))), (1, true));

    // An earlier deadline has its own entry, and the later one is silent.
    alarm.set(start + Duration::from_secs(25) + millis(500), 'a', &mut wheel);
    assert_eq!(wheel.len(), 2);
    due.clear();
    wheel.advance(deadline + millis(10), usize::MAX, &mut due);
    let rings: Vec<bool> = due.iter().map(|it| alarm.rings(it.tick)).collect();
    assert_eq!(rings, [true, false]);
}
