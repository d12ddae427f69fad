//! What must hold of all that clients have heard and said while their server was exchanged.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{Exchange, client::Record};

/// Parts of the period that are looked at.
const PARTS: usize = 8;

/// Checks what holds with and without a broker. Order and completeness of what each client hears it has checked itself.
pub(crate) fn check(exchange: &Exchange, period: Duration) {
    let records = &exchange.records;
    for record in records {
        assert!(record.wrong.is_empty(), "{:?}", record.wrong);
        assert!(record.shut.is_empty(), "somebody was refused: {:?}", record.shut);
        assert_eq!(record.stays.len(), 2, "one on each server: {:?}", record.stays);
        assert!(!record.acknowledged.is_empty());
    }
    let took = exchange.ended - exchange.told;
    assert!(took < period + Duration::from_secs(8), "it took {took:?} to end");
    let told = |it: &Record| it.stays[0].told.expect("told to go") - exchange.told;
    let came = |it: &Record| it.stays[1].came - exchange.told;
    spread("goodbyes", records.iter().map(told), period);
    spread("returns", records.iter().map(came), period);
    agreement(records);
}

/// Asserts that moments are spread over the period: none of its parts has much more than its share.
fn spread(what: &str, moments: impl Iterator<Item = Duration>, period: Duration) {
    let mut parts = vec![0; PARTS];
    let mut all = 0;
    for moment in moments {
        let part = moment.as_millis() * PARTS as u128 / period.as_millis();
        parts[(part as usize).min(PARTS - 1)] += 1;
        all += 1;
    }
    println!("{what}: {parts:?}");
    let share = all / PARTS;
    // On a machine that is busy with other things they are late together.
    assert!(parts.iter().all(|it| *it < 3 * share), "{what} come in a crowd: {parts:?}");
    assert!(parts.iter().all(|it| *it > share / 8), "{what} are missing: {parts:?}");
}

/// Asserts that all who heard a channel heard the same in the same places, and nothing in two places.
fn agreement(records: &[Record]) {
    let mut logs: HashMap<usize, BTreeMap<(Arc<str>, u64), &str>> = HashMap::new();
    for record in records {
        let log = logs.entry(record.channel).or_default();
        for it in &record.heard {
            let there = log.entry((it.epoch.clone(), it.offset)).or_insert(&it.id);
            assert_eq!(*there, it.id, "two publications at {} in {}", it.offset, record.channel);
        }
    }
    let mut said = HashSet::new();
    for id in logs.values().flat_map(BTreeMap::values) {
        assert!(said.insert(*id), "{id} was said twice");
    }
    println!("{} publications, each in one place", said.len());
}

/// Checks what holds where history ends with its process: that nobody is told otherwise, and that what was acknowledged was
/// heard by who stayed.
pub(crate) fn check_memory(exchange: &Exchange) {
    let mut uncertain = 0;
    for record in &exchange.records {
        let [first, second] = &record.stays[..] else { unreachable!("two stays") };
        assert_ne!(first.epoch, second.epoch, "a channel is born anew");
        assert_eq!((first.recovered, second.recovered), (None, Some(false)));
        let heard: HashSet<_> = record.heard.iter().map(|it| it.id.as_str()).collect();
        let unheard = record.acknowledged.iter().filter(|it| !heard.contains(it.as_str()));
        // The last one before its goodbye, at most: its own copy may be under way then.
        assert!(unheard.count() <= 1, "{:?}", record.acknowledged);
        uncertain += record.uncertain.len();
    }
    println!("{uncertain} publications were under way when their clients left");
    assert!(uncertain < exchange.records.len() / 20, "{uncertain} were not answered");
}

/// Checks what holds where history outlives its process: everybody goes on where he was, what was acknowledged was said, and
/// all who heard a channel heard it to its end.
pub(crate) fn check_broker(exchange: &Exchange) {
    let records = &exchange.records;
    let mut ends: HashMap<usize, u64> = HashMap::new();
    let mut said: HashSet<&str> = HashSet::new();
    for record in records {
        let [first, second] = &record.stays[..] else { unreachable!("two stays") };
        assert_eq!(first.epoch, second.epoch, "a channel lives on");
        assert_eq!((first.recovered, second.recovered), (None, Some(true)));
        let last = record.heard.last().expect("something").offset;
        let end = ends.entry(record.channel).or_insert(last);
        *end = last.max(*end);
        said.extend(record.heard.iter().map(|it| it.id.as_str()));
    }
    let mut acknowledged = 0;
    for record in records {
        let last = record.heard.last().map(|it| it.offset);
        assert_eq!(last, ends.get(&record.channel).copied(), "it stopped before the end");
        assert_eq!(record.uncertain, Vec::<String>::new());
        for id in &record.acknowledged {
            assert!(said.contains(id.as_str()), "{id} was acknowledged and never heard");
            acknowledged += 1;
        }
    }
    // All that was said is known to who said it.
    assert_eq!(acknowledged, said.len());
    println!("{acknowledged} publications, all heard by all who were to hear them");
}
