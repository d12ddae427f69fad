//! Tests of the slab against a plain map.

use std::collections::BTreeMap;

use super::*;
use crate::dice::Dice;

#[test]
fn it_does_what_a_map_does_and_stale_keys_find_nothing() {
    for seed in 0..10 {
        let mut dice = Dice::new(seed);
        let mut slab = Slab::new(500);
        let mut model = BTreeMap::new();
        let mut stale = vec![];
        for item in 0..5_000_u64 {
            // Long tides, so that chunks fill and empty.
            if dice.below(1_000) < if item % 1_000 < 500 { 700 } else { 200 } {
                match slab.insert(item) {
                    Ok(key) => assert_eq!(model.insert(key, item), None, "seed {seed}"),
                    Err(back) => assert_eq!((back, model.len()), (item, 500), "seed {seed}"),
                }
            } else if let Some((&key, _)) = model.iter().nth(dice.below(model.len())) {
                assert_eq!(slab.remove(key), model.remove(&key), "seed {seed}");
                stale.push(key);
            }
            if let Some(&key) = stale.get(dice.below(stale.len())) {
                assert_eq!(slab.get(key), None, "seed {seed}");
                assert_eq!(slab.get_mut(key), None, "seed {seed}");
                assert_eq!(slab.remove(key), None, "seed {seed}");
            }
            assert_eq!(slab.len(), model.len(), "seed {seed}");
        }
        let mut all: Vec<_> = model.iter().map(|(key, item)| (*key, item)).collect();
        all.sort_by_key(|(key, _)| key.index());
        assert_eq!(slab.iter().collect::<Vec<_>>(), all, "seed {seed}");
        let mut walked = vec![];
        let mut next = slab.next_from(0);
        while let Some(key) = next {
            walked.push((key, slab.get(key).unwrap()));
            next = slab.next_from(key.index() + 1);
        }
        assert_eq!(walked, all, "seed {seed}");
    }
}

#[test]
fn the_lowest_free_place_is_taken_first() {
    let mut slab = Slab::new(10_000);
    let keys: Vec<Key> = (0..10_000).map(|it| slab.insert(it).unwrap()).collect();
    assert!(keys.iter().enumerate().all(|(at, key)| key.index() as usize == at));
    for at in [9_999, 64, 63, 5_000] {
        slab.remove(keys[at]);
    }
    let places: Vec<u32> = (0..4).map(|it| slab.insert(it).unwrap().index()).collect();
    assert_eq!(places, [63, 64, 5_000, 9_999]);
}

#[test]
fn memory_comes_back_after_a_mass_disconnect_and_old_keys_stay_dead() {
    let mut slab = Slab::new(100_000);
    let keys: Vec<Key> = (0..100_000_u64).map(|it| slab.insert(it).unwrap()).collect();
    let full = slab.bytes();
    for key in &keys {
        slab.remove(*key);
    }
    assert!(slab.bytes() * 20 < full, "{} of {full}", slab.bytes());
    for item in 0..100_000 {
        slab.insert(item).unwrap();
    }
    assert!(keys.iter().all(|it| !slab.contains(*it)));
    assert_eq!(slab.len(), 100_000);
}

#[test]
fn one_that_comes_and_goes_keeps_its_memory() {
    let mut slab = Slab::new(10);
    let key = slab.insert(1).unwrap();
    let with_one = slab.bytes();
    slab.remove(key);
    assert_eq!(slab.bytes(), with_one);
}

#[test]
fn a_place_with_too_many_tenants_is_let_no_more() {
    let mut slab = Slab::new(1_000);
    let first = slab.insert(0).unwrap();
    let Chunk::Let(tenants) = &mut slab.chunks[0] else { panic!("no tenants") };
    tenants.generations[0] = u32::MAX;
    let last = Key::new(first.index(), u32::MAX).unwrap();
    assert_eq!(slab.remove(last), Some(0));
    let places: Vec<u32> = (0..100).map(|it| slab.insert(it).unwrap().index()).collect();
    assert!(!places.contains(&first.index()));
    // Not even when its chunk was empty in between.
    for index in places {
        let key = slab.next_from(index).unwrap();
        slab.remove(key);
    }
    assert!(slab.is_empty());
    assert_eq!(slab.insert(0).map(Key::index), Ok(1));
}

#[test]
fn a_full_slab_gives_the_item_back() {
    let mut slab = Slab::new(1);
    slab.insert('a').unwrap();
    assert_eq!(slab.insert('b'), Err('b'));
    assert_eq!(slab.insert_with(|_| panic!("not called")), None);
    assert_eq!(Slab::new(0).insert('c'), Err('c'));
}

#[test]
fn keys_are_numbers_that_come_back() {
    let mut slab = Slab::new(2);
    let key = slab.insert_with(|key| key).unwrap();
    assert_eq!(slab.get(key), Some(&key));
    assert_eq!(Key::from_bits(key.bits()), Some(key));
    for nonsense in [0, 1, u64::from(u32::MAX)] {
        assert_eq!(Key::from_bits(nonsense), None);
    }
    assert_eq!(slab.get(Key::from_bits(u64::MAX).unwrap()), None);
    assert_eq!(size_of::<Option<Key>>(), 8);
}
