//! Tests of the index: rows of the specifications, and a comparison with one pattern at a time.

use std::collections::BTreeMap;

use super::*;
use crate::dice::Dice;

fn pattern(text: &str, syntax: Syntax) -> Pattern {
    Pattern::parse(text, syntax).unwrap_or_else(|| panic!("{text:?} is no pattern"))
}

#[track_caller]
fn check(syntax: Syntax, rows: &[(&str, &[&str], &[&str])]) {
    for (text, matched, others) in rows {
        let mut index = Wildcards::new();
        index.insert(&pattern(text, syntax), ()).unwrap();
        for (names, count) in [(matched, 1), (others, 0)] {
            for name in *names {
                let mut found = vec![];
                index.find(name, &mut found);
                assert_eq!(found.len(), count, "{text:?} and {name:?}");
                assert_eq!(matches(&pattern(text, syntax), name), count == 1, "{text:?}, {name:?}");
            }
        }
    }
}

/// The definition: a pattern and a name, level by level.
fn matches(pattern: &Pattern, name: &str) -> bool {
    let (text, is_mqtt) = (pattern.as_str(), pattern.syntax() == Syntax::Levels);
    if pattern.syntax() == Syntax::Prefix {
        return name.starts_with(text);
    }
    if is_mqtt && name.starts_with('$') && text.starts_with(['+', '#']) {
        return false;
    }
    let split = |text: &str| -> Vec<String> {
        let mut levels = vec![String::new()];
        for letter in text.chars() {
            if if is_mqtt { letter == '/' } else { matches!(letter, '.' | ':') } {
                levels.push(String::new());
            }
            levels.last_mut().unwrap().push(letter);
        }
        levels
    };
    let (one, rest) = if is_mqtt { ("+", "#") } else { ("*", "**") };
    let (wanted, given) = (split(text), split(name));
    let is_separated = |at: usize| at > 0;
    for (at, level) in wanted.iter().enumerate() {
        let bare = &level[usize::from(is_separated(at))..];
        if bare == rest {
            let Some(next) = given.get(at) else { return is_mqtt && at == given.len() };
            return !is_separated(at) || next[..1] == level[..1];
        }
        let Some(given) = given.get(at) else { return false };
        let same_separator = !is_separated(at) || given[..1] == level[..1];
        if given != level && !(bare == one && same_separator) {
            return false;
        }
    }
    wanted.len() == given.len()
}

#[test]
fn levels_match_as_mqtt_has_it() {
    // The examples of MQTT 5 §4.7.1 and §4.7.2 among them.
    check(
        Syntax::Levels,
        &[
            (
                "sport/tennis/player1/#",
                &[
                    "sport/tennis/player1",
                    "sport/tennis/player1/ranking",
                    "sport/tennis/player1/score/wimbledon",
                ],
                &["sport/tennis", "sport/tennis/player10", "sport/tennis/player2/x"],
            ),
            ("sport/#", &["sport", "sport/", "sport/x"], &["sports", "/sport"]),
            ("#", &["a", "/", "a/b/c", "//"], &["$SYS", "$SYS/x"]),
            (
                "sport/tennis/+",
                &["sport/tennis/player1", "sport/tennis/"],
                &["sport/tennis", "sport/tennis/player1/ranking"],
            ),
            ("sport/+", &["sport/"], &["sport"]),
            ("+", &["finance"], &["/finance", "$SYS"]),
            ("+/+", &["/finance", "a/b"], &["finance", "$SYS/x", "a/b/c"]),
            ("/+", &["/finance", "/"], &["finance", "//"]),
            ("+/monitor/Clients", &["a/monitor/Clients"], &["$SYS/monitor/Clients"]),
            ("$SYS/#", &["$SYS", "$SYS/x/y"], &["SYS/x"]),
            ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor"]),
            ("a//b", &["a//b"], &["a/b", "a///b"]),
            ("a.*", &["a.*"], &["a.b"]),
        ],
    );
}

#[test]
fn words_match_one_or_the_rest_and_separators_stand_for_themselves() {
    check(
        Syntax::Words,
        &[
            ("ticks.*", &["ticks.eur", "ticks."], &["ticks", "ticks.eur.usd", "ticks:eur"]),
            ("ticks.*.usd", &["ticks.eur.usd"], &["ticks.eur", "ticks.eur.gbp", "ticks.eur:usd"]),
            (
                "news:**",
                &["news:a", "news:a:b", "news:a.b", "news:"],
                &["news", "news.a", "newsy:a"],
            ),
            ("*:*", &["a:b", ":"], &["a.b", "a", "a:b:c"]),
            ("*", &["a", "a/b", "$a"], &["a.b", ":"]),
            ("**", &["a", "a.b:c", ":"], &[]),
            ("*.**", &["a.b", "a.b.c"], &["a", "a:b"]),
            ("a.b", &["a.b"], &["a:b", "a.b.", "a"]),
        ],
    );
}

#[test]
fn prefixes_are_bytes() {
    check(
        Syntax::Prefix,
        &[
            ("", &["a", "対話"], &[]),
            ("a", &["a", "ab", "a/b"], &["b", "A"]),
            ("対", &["対話"], &["話対", "寿"]),
            ("a*", &["a*b"], &["ab"]),
        ],
    );
}

/// Few letters, so that much meets; every pattern that this syntax takes can come out.
fn text(dice: &mut Dice, letters: &[&str]) -> String {
    (0..dice.below(8)).map(|_| letters[dice.below(letters.len())]).collect()
}

#[test]
fn the_index_finds_what_one_pattern_at_a_time_finds() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut index = Wildcards::new();
        let mut model: BTreeMap<Pattern, u32> = BTreeMap::new();
        for step in 0..400 {
            let (syntax, letters): (_, &[&str]) = [
                (Syntax::Levels, &["a", "$", "/", "/", "+", "#"][..]),
                (Syntax::Words, &["a", "b", ".", ":", "*", "**"][..]),
                (Syntax::Prefix, &["a", "b", "/", ".", "$", "対"][..]),
            ][dice.below(3)];
            if let Some(pattern) = Pattern::parse(&text(&mut dice, letters), syntax) {
                if dice.one_in(3) {
                    assert_eq!(index.remove(&pattern), model.remove(&pattern), "seed {seed}");
                } else {
                    let old = index.insert(&pattern, step).unwrap();
                    assert_eq!(old, model.insert(pattern.clone(), step), "seed {seed}");
                }
                assert_eq!(index.get_mut(&pattern), model.get_mut(&pattern), "seed {seed}");
            }
            assert_eq!(index.len(), model.len(), "seed {seed}");
            let name = text(&mut dice, &["a", "b", "$", "/", ".", ":", "対"]);
            let mut found = vec![];
            index.find(&name, &mut found);
            found.sort_unstable();
            let all = model.iter().filter(|(pattern, _)| matches(pattern, &name));
            let mut expected: Vec<u32> = all.map(|(_, value)| *value).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "seed {seed}: {name:?} in {model:?}");
        }
        for pattern in model.into_keys() {
            index.remove(&pattern).unwrap();
        }
        assert_eq!((index.levels.nodes.len(), index.words.nodes.len()), (1, 1), "seed {seed}");
    }
}

#[test]
fn removed_patterns_leave_no_nodes() {
    let mut index = Wildcards::new();
    index.insert(&pattern("a/b", Syntax::Levels), 0).unwrap();
    for round in 0..100 {
        let one = pattern(&format!("a/{round}/+/x/#"), Syntax::Levels);
        index.insert(&one, round).unwrap();
        assert_eq!(index.remove(&one), Some(round));
        assert_eq!(index.remove(&one), None);
    }
    assert_eq!(index.levels.nodes.len() - index.levels.free.len(), 3);
    assert!(index.levels.nodes.len() < 10);
}

#[test]
fn depth_is_limited_and_names_are_not() {
    let mut index = Wildcards::new();
    let deepest = vec!["+"; LEVELS_MAX].join("/");
    assert_eq!(index.insert(&pattern(&deepest, Syntax::Levels), 1), Ok(None));
    let deeper = pattern(&format!("{deepest}/+"), Syntax::Levels);
    assert_eq!(index.insert(&deeper, 2), Err(TooDeep));
    assert_eq!((index.len(), index.remove(&deeper)), (1, None));
    let mut found = vec![];
    index.find(&"/".repeat(100_000), &mut found);
    index.find(&"/".repeat(LEVELS_MAX - 1), &mut found);
    assert_eq!(found, [1]);
}
