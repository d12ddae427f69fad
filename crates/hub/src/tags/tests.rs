//! Tests of the filters: rows for each kind, and whatever comes.

use super::*;
use crate::dice::Dice;

fn tags(pairs: &[(&str, &str)]) -> Tags {
    Tags::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

fn pair(make: fn(Box<str>, Box<str>) -> Filter, key: &str, value: &str) -> Filter {
    make(key.into(), value.into())
}

fn within(key: &str, values: &[&str]) -> Filter {
    Filter::In(key.into(), values.iter().map(|it| Box::from(*it)).collect())
}

fn not(part: Filter) -> Filter {
    Filter::Not(Box::new(part))
}

#[test]
fn every_kind_chooses_what_it_says() {
    let tags = tags(&[("ticker", "BTC"), ("price", "50000.10"), ("empty", "")]);
    for (filter, expected) in [
        (Filter::Exists("ticker".into()), true),
        (Filter::Exists("empty".into()), true),
        (Filter::Exists("none".into()), false),
        (pair(Filter::Equals, "ticker", "BTC"), true),
        (pair(Filter::Equals, "ticker", "btc"), false),
        (pair(Filter::Equals, "none", ""), false),
        // What the wire calls "not equal" and "not in" is true for a tag that is not there.
        (not(pair(Filter::Equals, "none", "x")), true),
        (not(within("none", &["x"])), true),
        (within("ticker", &["ETH", "BTC"]), true),
        (within("ticker", &["ETH"]), false),
        (within("none", &[""]), false),
        (pair(Filter::StartsWith, "ticker", "BT"), true),
        (pair(Filter::StartsWith, "ticker", "TC"), false),
        (pair(Filter::StartsWith, "none", ""), false),
        (pair(Filter::EndsWith, "ticker", "TC"), true),
        (pair(Filter::EndsWith, "ticker", "BT"), false),
        (pair(Filter::Contains, "ticker", "T"), true),
        (pair(Filter::Contains, "ticker", "E"), false),
        (pair(Filter::Below, "price", "50000.2"), true),
        (pair(Filter::Below, "price", "50000.1"), false),
        (pair(Filter::AtMost, "price", "50000.1"), true),
        (pair(Filter::AtMost, "price", "9"), false),
        (pair(Filter::Above, "price", "9"), true),
        (pair(Filter::Above, "price", "50000.1000"), false),
        (pair(Filter::AtLeast, "price", "50000.1000"), true),
        (pair(Filter::AtLeast, "price", "50000.1001"), false),
        (pair(Filter::AtLeast, "ticker", "0"), false),
        (pair(Filter::AtMost, "ticker", "0"), false),
        (pair(Filter::AtLeast, "none", "0"), false),
    ] {
        assert_eq!(matches(&filter, &tags), expected, "{filter:?}");
        assert_eq!(matches(&not(filter.clone()), &tags), !expected, "not {filter:?}");
        for (other, is) in [("ticker", true), ("none", false)] {
            let parts = || Box::new([filter.clone(), Filter::Exists(other.into())]);
            assert_eq!(matches(&Filter::And(parts()), &tags), expected && is, "{filter:?}");
            assert_eq!(matches(&Filter::Or(parts()), &tags), expected || is, "{filter:?}");
        }
    }
}

#[test]
fn decimal_numbers_of_any_length_are_compared_exactly() {
    let ascending: [&[&str]; 10] = [
        &["-100000000000000000000000000000.5"],
        &["-100000000000000000000000000000", "-0100000000000000000000000000000.0"],
        &["-2"],
        &["-1.5", "-01.50"],
        &["-1.05"],
        &["0", "-0", "+0", "0.0", "-00.00"],
        &["0.09"],
        &["0.1", "+0.1", "00.1000"],
        &["9.99999999999999999999999999999999999999999"],
        &["10", "+10", "10.0"],
    ];
    for (i, row) in ascending.iter().enumerate() {
        for (j, other) in ascending.iter().enumerate() {
            for (a, b) in row.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                let found = Decimal::parse(a).unwrap().compare(&Decimal::parse(b).unwrap());
                assert_eq!(found, i.cmp(&j), "{a} and {b}");
            }
        }
    }
    for bad in
        ["", "-", "+", ".", "1.", ".5", "1e3", "--1", "1.2.3", " 1", "0x1", "１", "NaN", "1_0"]
    {
        assert!(Decimal::parse(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn filters_beyond_the_limits_are_refused() {
    let limits = FilterLimits { nodes_max: 4, depth_max: 3, bytes_max: 10 };
    let a = || Filter::Exists("a".into());
    let and = |count: usize| Filter::And((0..count).map(|_| a()).collect());
    for (filter, expected) in [
        (and(3), Ok(())),
        (and(4), Err(FilterFault::TooManyNodes)),
        (within("a", &["b", "c", "d"]), Ok(())),
        (within("a", &["b", "c", "d", "e"]), Err(FilterFault::TooManyNodes)),
        (not(not(a())), Ok(())),
        (not(not(not(a()))), Err(FilterFault::TooDeep)),
        // Depth is not a sum.
        (Filter::Or(Box::new([not(a()), a()])), Ok(())),
        (pair(Filter::Equals, "12345", "12345"), Ok(())),
        (pair(Filter::Equals, "12345", "123456"), Err(FilterFault::TooManyBytes)),
        (within("12345", &["12345", "6"]), Err(FilterFault::TooManyBytes)),
        (Filter::Exists("12345678901".into()), Err(FilterFault::TooManyBytes)),
        (and(0), Err(FilterFault::Empty)),
        (Filter::Or(Box::new([])), Err(FilterFault::Empty)),
        (within("a", &[]), Err(FilterFault::Empty)),
        (pair(Filter::Below, "a", "ten"), Err(FilterFault::NoNumber)),
        (pair(Filter::AtLeast, "a", "-1.5"), Ok(())),
    ] {
        assert_eq!(check(&filter, &limits), expected, "{filter:?}");
    }
}

fn any(dice: &mut Dice, depth: usize) -> Filter {
    let word = |dice: &mut Dice| Box::from(["a", "b", "", "1", "-2.50", "対"][dice.below(6)]);
    let kinds = if depth == 0 { 10 } else { 13 };
    match dice.below(kinds) {
        0 => Filter::Exists(word(dice)),
        1 => Filter::Equals(word(dice), word(dice)),
        2 => Filter::In(word(dice), (0..dice.below(3)).map(|_| word(dice)).collect()),
        3 => Filter::StartsWith(word(dice), word(dice)),
        4 => Filter::EndsWith(word(dice), word(dice)),
        5 => Filter::Contains(word(dice), word(dice)),
        6 => Filter::Below(word(dice), word(dice)),
        7 => Filter::AtMost(word(dice), word(dice)),
        8 => Filter::Above(word(dice), word(dice)),
        9 => Filter::AtLeast(word(dice), word(dice)),
        10 => Filter::And((0..dice.below(3)).map(|_| any(dice, depth - 1)).collect()),
        11 => Filter::Or((0..dice.below(3)).map(|_| any(dice, depth - 1)).collect()),
        _ => not(any(dice, depth - 1)),
    }
}

#[test]
fn shared_filters_answer_like_single_ones_and_go_with_their_last_user() {
    for seed in 0..5 {
        let mut dice = Dice::new(seed);
        let mut filters = Filters::new(Seeded::new([seed as u8; 16]));
        let mut users = vec![];
        for number in 0..300 {
            if dice.one_in(3) && !users.is_empty() {
                let (id, _) = users.swap_remove(dice.below(users.len()));
                filters.remove(id);
            } else {
                let filter = any(&mut dice, 3);
                users.push((filters.add(filter.clone()), filter));
            }
            let tags =
                tags(&[("a", ["1", "-2.5", "b"][dice.below(3)]), ("b", "")][dice.below(2)..]);
            for (id, filter) in &users {
                let expected = matches(filter, &tags);
                assert_eq!(
                    filters.matches(*id, &tags, number),
                    expected,
                    "seed {seed}: {filter:?}"
                );
            }
            let mut different: Vec<_> = users.iter().map(|it| &it.1).collect();
            different.sort_by_key(|it| format!("{it:?}"));
            different.dedup();
            assert_eq!(filters.len(), different.len(), "seed {seed}");
        }
        for (id, _) in users {
            filters.remove(id);
        }
        assert!(filters.is_empty() && filters.shared.is_empty());
    }
}

#[test]
fn a_filter_is_evaluated_once_for_a_publication() {
    let mut filters = Filters::new(Seeded::new([0; 16]));
    let id = filters.add(Filter::Exists("a".into()));
    assert!(filters.matches(id, &tags(&[("a", "")]), 1));
    assert!(filters.matches(id, &tags(&[]), 1), "the same publication has the same tags");
    assert!(!filters.matches(id, &tags(&[]), 2));
    filters.remove(id);
    assert!(!filters.matches(id, &tags(&[("a", "")]), 3));
}
