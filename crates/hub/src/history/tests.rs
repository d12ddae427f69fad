//! Tests of the history: rows, and a comparison with the whole log.

use super::*;
use crate::dice::Dice;

const EPOCH: u64 = 0xfeed;

const ALL: Retention = Retention {
    items_max: usize::MAX,
    bytes_max: usize::MAX,
    age_max: Duration::MAX,
    position_age_max: Duration::MAX,
};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn filled(count: u64, keep: &Retention, now: Instant) -> History<u64> {
    let mut history = History::new(EPOCH, now);
    for item in 1..=count {
        assert_eq!(history.next().offset, item);
        assert_eq!(history.push(item, 10, keep, now), item);
    }
    history
}

/// `Ok` with the offsets of a whole recovery, `Err` with those that come along with a gap.
fn recover(
    history: &mut History<u64>,
    since: (u64, u64),
    limit: usize,
    keep: &Retention,
    now: Instant,
) -> Result<Vec<u64>, Vec<u64>> {
    let since = Position { epoch: since.0, offset: since.1 };
    let offsets = |items: Items<'_, u64>| {
        assert!(items.size_hint() == (items.len(), Some(items.len())));
        items.inspect(|(offset, item)| assert_eq!(offset, *item)).map(|it| it.0).collect()
    };
    match history.recover(since, limit, keep, now) {
        Recovery::Whole(items) => Ok(offsets(items)),
        Recovery::Gap(items) => Err(offsets(items)),
    }
}

#[test]
fn a_recovery_is_whole_or_says_that_it_is_not() {
    let now = Instant::now();
    let keep = Retention { items_max: 3, ..ALL };
    for (pushed, epoch, offset, limit, expected) in [
        // Nothing was missed.
        (5, EPOCH, 5, 10, Ok(vec![])),
        (0, EPOCH, 0, 10, Ok(vec![])),
        (5, EPOCH, 5, 0, Ok(vec![])),
        // Something was, and all of it is kept: 3, 4 and 5.
        (5, EPOCH, 4, 10, Ok(vec![5])),
        (5, EPOCH, 2, 10, Ok(vec![3, 4, 5])),
        (3, EPOCH, 0, 3, Ok(vec![1, 2, 3])),
        // One of them is gone.
        (5, EPOCH, 1, 10, Err(vec![3, 4, 5])),
        (5, EPOCH, 0, 10, Err(vec![3, 4, 5])),
        // More were missed than the limit allows.
        (5, EPOCH, 2, 2, Err(vec![4, 5])),
        (5, EPOCH, 2, 0, Err(vec![])),
        // Ahead of the history.
        (5, EPOCH, 6, 10, Err(vec![3, 4, 5])),
        (5, EPOCH, u64::MAX, 10, Err(vec![3, 4, 5])),
        (0, EPOCH, 1, 10, Err(vec![])),
        // Another life of the channel.
        (5, 0xbeef, 5, 10, Err(vec![3, 4, 5])),
        (5, 0xbeef, 0, usize::MAX, Err(vec![3, 4, 5])),
        (0, 0xbeef, 0, 10, Err(vec![])),
    ] {
        let mut history = filled(pushed, &keep, now);
        let found = recover(&mut history, (epoch, offset), limit, &keep, now);
        assert_eq!(found, expected, "pushed {pushed}, since {epoch:x}:{offset}, limit {limit}");
    }
}

#[test]
fn pages_go_forwards_and_backwards() {
    let now = Instant::now();
    let keep = Retention { items_max: 4, ..ALL };
    let mut history = filled(6, &keep, now);
    for (offset, limit, expected) in [
        (0, 10, vec![3, 4, 5, 6]),
        (2, 2, vec![3, 4]),
        (4, 10, vec![5, 6]),
        (6, 10, vec![]),
        (u64::MAX, 10, vec![]),
        (0, 0, vec![]),
    ] {
        let found: Vec<u64> = history.after(offset, limit, &keep, now).map(|it| it.0).collect();
        assert_eq!(found, expected, "{limit} after {offset}");
    }
    for (offset, limit, expected) in [
        (u64::MAX, 10, vec![6, 5, 4, 3]),
        (u64::MAX, 2, vec![6, 5]),
        (6, 2, vec![5, 4]),
        (4, 10, vec![3]),
        (3, 10, vec![]),
        (0, 10, vec![]),
    ] {
        let page = history.before(offset, limit, &keep, now);
        let found: Vec<u64> = page.rev().map(|(at, _)| at).collect();
        assert_eq!(found, expected, "{limit} before {offset}");
    }
}

#[test]
fn items_leave_with_age_and_the_position_outlives_them() {
    let start = Instant::now();
    let keep = Retention { age_max: seconds(10), position_age_max: seconds(100), ..ALL };
    let mut history = filled(1, &keep, start);
    history.push(2, 10, &keep, start + seconds(5));
    assert_eq!(history.deadline(&keep), Some(start + seconds(10)));

    let now = start + seconds(10);
    assert_eq!(history.last(&keep, now), Some((2, &2)));
    assert_eq!(history.len(), 1);
    assert_eq!(recover(&mut history, (EPOCH, 0), 9, &keep, now), Err(vec![2]));

    let now = start + seconds(15);
    assert_eq!(history.last(&keep, now), None);
    assert_eq!(recover(&mut history, (EPOCH, 2), 9, &keep, now), Ok(vec![]));
    assert_eq!(recover(&mut history, (EPOCH, 1), 9, &keep, now), Err(vec![]));
    // Whoever asks keeps the position alive.
    assert_eq!(history.deadline(&keep), Some(start + seconds(115)));
    assert!(!history.is_idle(&keep, start + seconds(114)));
    assert!(history.is_idle(&keep, start + seconds(115)));
    // A push as well, and its offset goes on.
    assert_eq!(history.push(3, 10, &keep, start + seconds(115)), 3);
    assert!(!history.is_idle(&keep, start + seconds(124)), "an item is there");
    assert!(!history.is_idle(&keep, start + seconds(214)));
    assert!(history.is_idle(&keep, start + seconds(215)));
}

#[test]
fn a_clock_that_stands_or_steps_back_expires_nothing() {
    let now = Instant::now() + seconds(1_000);
    let keep = Retention { age_max: seconds(10), position_age_max: seconds(10), ..ALL };
    let mut history = filled(3, &keep, now);
    let earlier = now - seconds(100);
    assert_eq!(recover(&mut history, (EPOCH, 0), 9, &keep, earlier), Ok(vec![1, 2, 3]));
    assert!(!history.is_idle(&keep, earlier));
    assert_eq!(history.push(4, 1, &keep, earlier), 4);
}

#[test]
fn an_item_above_the_limit_is_counted_and_leaves_no_hole() {
    let now = Instant::now();
    let keep = Retention { bytes_max: 3 * (History::<u64>::ITEM_BYTES + 10), ..ALL };
    let mut history = filled(5, &keep, now);
    assert_eq!(history.len(), 3);
    assert_eq!(history.push(6, keep.bytes_max, &keep, now), 6);
    assert_eq!((history.len(), history.counted()), (0, 0));
    assert_eq!(recover(&mut history, (EPOCH, 5), 9, &keep, now), Err(vec![]));
    assert_eq!(history.push(7, usize::MAX, &keep, now), 7);
    assert_eq!(history.push(8, 10, &keep, now), 8);
    assert_eq!(recover(&mut history, (EPOCH, 7), 9, &keep, now), Ok(vec![8]));
}

#[test]
fn without_items_only_positions_count() {
    let now = Instant::now();
    let keep = Retention { items_max: 0, ..ALL };
    let mut history = filled(4, &keep, now);
    assert_eq!((history.position().offset, history.len()), (4, 0));
    assert_eq!(recover(&mut history, (EPOCH, 4), 9, &keep, now), Ok(vec![]));
    assert_eq!(recover(&mut history, (EPOCH, 3), 9, &keep, now), Err(vec![]));
    assert_eq!(history.last(&keep, now), None);
}

#[test]
fn cleared_and_resumed_histories_admit_their_gap() {
    let now = Instant::now();
    let mut history = filled(4, &ALL, now);
    history.clear();
    assert_eq!(history.counted(), 0);
    let mut resumed = History::resume(history.position(), now);
    for history in [&mut history, &mut resumed] {
        assert_eq!(recover(history, (EPOCH, 4), 9, &ALL, now), Ok(vec![]));
        assert_eq!(recover(history, (EPOCH, 3), 9, &ALL, now), Err(vec![]));
        assert_eq!(history.push(5, 1, &ALL, now), 5);
        assert_eq!(recover(history, (EPOCH, 4), 9, &ALL, now), Ok(vec![5]));
        assert_eq!(recover(history, (EPOCH, 3), 9, &ALL, now), Err(vec![5]));
    }
}

#[test]
fn memory_comes_back_when_items_go() {
    let now = Instant::now();
    let mut history = filled(10_000, &ALL, now);
    assert!(history.bytes() >= 10_000 * (10 + History::<u64>::ITEM_BYTES));
    let keep = Retention { age_max: seconds(1), ..ALL };
    history.expire(&keep, now + seconds(1));
    assert!(history.bytes() <= size_of_val(&history) + SHRINK_FROM * History::<u64>::ITEM_BYTES);
}

#[test]
fn a_whole_recovery_is_exactly_what_the_whole_log_has() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let mut now = Instant::now();
        let keep = Retention {
            items_max: dice.below(20),
            bytes_max: dice.below(2_000),
            age_max: seconds(dice.below(30) as u64),
            position_age_max: seconds(100),
        };
        let mut history = History::new(EPOCH, now);
        let mut log = vec![];
        for _ in 0..500 {
            now += Duration::from_millis(dice.below(3_000) as u64);
            if dice.one_in(2) {
                let bytes = dice.below(200);
                let offset = history.push(log.len() as u64 + 1, bytes, &keep, now);
                log.push((now, bytes));
                assert_eq!(offset, log.len() as u64, "seed {seed}");
            }
            let since = dice.below(log.len() + 2) as u64;
            let limit = dice.below(30);
            let found = recover(&mut history, (EPOCH, since), limit, &keep, now);
            let top = log.len() as u64;
            match found {
                Ok(items) => {
                    assert_eq!(items, (since + 1..=top).collect::<Vec<_>>(), "seed {seed}")
                }
                // Nothing is called lost without a reason.
                Err(items) => {
                    let kept = history.len() as u64;
                    let missed = top.checked_sub(since);
                    assert!(missed.is_none_or(|it| it > kept || it > limit as u64), "seed {seed}");
                    let newest = kept.min(limit as u64);
                    assert_eq!(items, (top - newest + 1..=top).collect::<Vec<_>>(), "seed {seed}");
                }
            }
            // What is kept is what the limits allow: no more, and no less.
            let allowed = allowed(&log, &keep, now);
            assert_eq!(history.len(), allowed, "seed {seed}");
            let bytes: usize = log[log.len() - allowed..].iter().map(|it| it.1).sum();
            let counted = bytes + allowed * History::<u64>::ITEM_BYTES;
            assert_eq!(history.counted(), counted, "seed {seed}");
        }
    }
}

/// How many of the newest may be there still. An item that went, because there was too much for a moment, never comes
/// back: so this walks through the whole past.
fn allowed(log: &[(Instant, usize)], keep: &Retention, now: Instant) -> usize {
    let mut from = 0;
    for end in 1..=log.len() {
        let bytes = |from: usize| -> usize {
            log[from..end].iter().map(|it| it.1 + History::<u64>::ITEM_BYTES).sum()
        };
        while end - from > keep.items_max || bytes(from) > keep.bytes_max {
            from += 1;
        }
    }
    while from < log.len() && now - log[from].0 >= keep.age_max {
        from += 1;
    }
    log.len() - from
}
